"""The witness: one request at a time is decided, recorded, and only then answered with a cosignature.

Two requests that were checked side by side could be recorded in the wrong order, and take back what the first was
told. So the lock is held from looking to recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import assert_never

from placet.errors import Conflict, Refused
from placet.trust import checkpoints
from placet.trust.keys import SigningKey
from placet.trust.notes import COSIGNS, SIGNS, Note, NoteKey, Signature
from placet.witness.domain import Agreed, Inconsistent, Offer, Stale, decide, is_fork, offered
from placet.witness.records import Disk, Evidence, LocalDisk, Records, Seen

Now = Callable[[], datetime]


class OtherSize(Conflict):
    """The log has to prove that it goes on from `size`."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the last checkpoint that was cosigned is of {size} leaves", fix="prove it from there"
        )
        self.size = size


class Witness:
    """Safe to call from several threads."""

    def __init__(
        self,
        key: SigningKey,
        name: str,
        logs: Iterable[NoteKey],
        records: Records,
        *,
        now: Now,
        tell: Callable[[str], None],
    ) -> None:
        self._key = key
        self._own = NoteKey(name=name, kind=COSIGNS, key=key.public)
        self._logs = _by_origin(logs)
        self._records = records
        self._now = now
        self._tell = tell
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._own.name

    @property
    def vkey(self) -> str:
        return self._own.vkey

    def add_checkpoint(self, body: bytes) -> Signature:
        """A cosignature for what goes on from what was cosigned before, which is recorded when this returns.

        Raises Unreadable, Unknown, Forbidden, OtherSize and other Refused, and Unavailable where it cannot be recorded.
        """
        offer = offered(body, self._logs)
        with self._lock:
            seen = self._records.of(offer.checkpoint.origin)
            known = None if seen is None else seen.checkpoint
            forked = is_fork(known, offer)
            if forked:
                self._accuse(
                    "fork", seen, offer, f"two trees of {offer.checkpoint.size} leaves have different roots"
                )
            match decide(known, offer):
                case Agreed():
                    return self._cosign(seen, offer)
                case Stale(size=size):
                    raise OtherSize(size)
                case Inconsistent(why=why):
                    if not forked:
                        self._accuse("unproven", seen, offer, why)
                    raise Refused(why)
                case unreachable:
                    assert_never(unreachable)

    def latest(self, hashed: str) -> Note | None:
        """The last checkpoint of the log with this hash of its origin, with its signatures and ours."""
        seen = self._records.by_hash(hashed)
        return None if seen is None else seen.note

    def _cosign(self, seen: Seen | None, offer: Offer) -> Signature:
        now = self._now()
        # A clock that was put back must not date a larger tree before a smaller one.
        at = now if seen is None else max(now, seen.at)
        signature = checkpoints.cosign(offer.note.text, name=self.name, key=self._key, at=at)
        note = offer.note.with_signatures([signature])
        self._records.keep(Seen(checkpoint=offer.checkpoint, note=note, at=at))
        return signature

    def _accuse(self, kind: str, seen: Seen | None, offer: Offer, why: str) -> None:
        evidence = Evidence(
            origin=offer.checkpoint.origin,
            kind=kind,
            at=self._now(),
            known=None if seen is None else str(seen.note),
            offered=str(offer.note),
            old=offer.old,
            hashes=tuple(each.hex() for each in offer.hashes),
            why=why,
        )
        file = self._records.keep_evidence(evidence)
        if file is not None:
            self._tell(f"{offer.checkpoint.origin}: {why}; what it signed is in {file}")


def open_witness(
    *,
    name: str,
    logs: Iterable[NoteKey],
    key: Path,
    state: Path,
    now: Now,
    tell: Callable[[str], None],
    disk: Disk | None = None,
) -> Witness:
    """The witness with its key and its folder, both made at the first start. Raises Refused, and Unreadable."""
    disk = disk or LocalDisk()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not key.exists()
    if is_new and (state / "vkey").exists():
        raise Refused(
            f"the key {key} is not there, and {state} is the folder of one",
            fix="put the key back, or begin as a new witness with another folder",
        )
    signing = SigningKey.load_or_create(key)
    disk.sync_names(key.parent)
    own = NoteKey(name=name, kind=COSIGNS, key=signing.public)
    records = Records.open(state, own, disk, is_new=is_new)
    return Witness(signing, name, logs, records, now=now, tell=tell)


def _by_origin(logs: Iterable[NoteKey]) -> dict[str, list[NoteKey]]:
    found: dict[str, list[NoteKey]] = {}
    for key in dict.fromkeys(logs):
        if key.kind != SIGNS:
            raise Refused(
                f"the key of {key.name} is of a witness, not of a log",
                fix="the log's verifier key is of type 1",
            )
        found.setdefault(key.name, []).append(key)
    if not found:
        raise Refused("there is no log to witness", fix="name the verifier key of one")
    return found
