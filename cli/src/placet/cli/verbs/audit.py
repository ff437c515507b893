"""Verbs that check the audit log, and fetch what lets others check it: they believe no word of the platform's."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from placet.auditing import CUT_OFF, go_through, judge, must_go_on_from, said_of_stores, signed_by
from placet.cli import exits
from placet.cli.audit_kept import Kept, load, save
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted, in_utc
from placet.client import Client
from placet.errors import Refused, Unknown, Unreadable
from placet.trust import checkpoints
from placet.trust.auditing import Audited, Auditor, Known
from placet.trust.checkpoints import Checkpoint
from placet.trust.leaves import Leaf
from placet.trust.notes import MAX_NOTE_BYTES, SIGNS, Note, NoteKey
from placet.trust.proofs import InclusionProof
from placet.trust.trust_policy import TrustPolicy

SAVE_EVERY = 50_000
"""Events between two notes of how far an audit came."""
TELL_EVERY = 2.0
"""Seconds between two words of progress."""
MAX_AGE = timedelta(hours=24)
"""A log that stands still is cosigned anew every hour, so that this is no matter of how much happens."""
AHEAD = timedelta(minutes=10)
"""So far may a witness's clock be before ours."""

_KEPT = "name a file that `placet audit checkpoint --out FILE` wrote, or a folder of such"


async def checkpoint(arguments: Namespace, screen: Screen) -> int:
    """As it is: what was signed is these bytes. What nobody signed would be kept for nothing."""
    _must_be_new(arguments.out)
    async with connect() as platform:
        keys = await _believed(platform, arguments.log, screen)
        data = await platform.checkpoint(witnesses=arguments.witnesses)
        state = await platform.witnesses()
    found, _ = checkpoints.verify(Note.from_bytes(data), keys)
    if arguments.out is None:
        screen.result(data.decode().removesuffix("\n"))
    else:
        _write(arguments.out, data)
        screen.result(f"{arguments.out}: {found.origin} with {counted(found.size, 'event')}")
    for each in state.witnesses:
        seen = f"has seen {each.size} of {counted(state.size, 'event')}" + (
            f", last at {each.seen_at}" if each.seen_at else ""
        )
        screen.note(f"{each.name} {seen}" + (f"; {each.trouble}" if each.trouble else ""))
    if not state.witnesses:
        screen.note(
            "no witness sees this log: whoever has its key can rewrite it; see `placet witness --help`"
        )
    screen.document(
        {
            "checkpoint": data.decode(),
            "origin": found.origin,
            "size": found.size,
            "witnesses": [msgspec.to_builtins(each) for each in state.witnesses],
        }
    )
    return exits.DONE


async def proof(arguments: Namespace, screen: Screen) -> int:
    named = str(arguments.event)
    if named and not named.strip("0"):
        raise WrongUsageError(
            "the audit log has no position 0",
            fix="they begin at 1: `placet events` has the `sequence` of each",
        )
    asked: dict[str, object] = (
        {"position": int(named)} if named.isdecimal() and len(named) < 16 else {"event": named}
    )
    _must_be_new(arguments.out)
    async with connect() as platform:
        keys = await _believed(platform, arguments.log, screen)
        data = await platform.log_proof(**asked)  # type: ignore[arg-type]
    leaf = _proved(data, keys, asked)
    if arguments.out is None:
        screen.result(data.decode().removesuffix("\n"))
    else:
        _write(arguments.out, data)
        screen.result(f"{arguments.out}: that {leaf.type} is at position {leaf.position}")
    screen.document({"proof": data.decode(), "leaf": msgspec.to_builtins(leaf)})
    return exits.DONE


def _proved(data: bytes, keys: Sequence[NoteKey], asked: Mapping[str, object]) -> Leaf:
    """Whoever takes it out in years would find only then that it proves nothing, or something else."""
    inclusion = InclusionProof.from_bytes(data)
    leaf = Leaf.from_bytes(inclusion.extra or b"")
    try:
        inclusion.verify(leaf.to_bytes(), keys)
    except Refused as error:
        raise Refused(
            f"what the platform sends proves nothing: {error.detail}", rule="audit.proof", fix=error.fix
        ) from error
    told = {"position": leaf.position, "event": leaf.id}
    if inclusion.index != leaf.position - 1 or any(told[name] != value for name, value in asked.items()):
        raise Refused(
            f"what the platform sends proves another event, {leaf.id} at position {inclusion.index + 1}",
            rule="audit.proof",
            fix="see with `placet audit verify` what else it does not say as it is",
        )
    return leaf


async def _believed(platform: Client, given: Sequence[str], screen: Screen) -> list[NoteKey]:
    told = await platform.log_keys()
    before = load(platform.connection.url)
    return trusted(given, before, [each.vkey for each in told.keys], told.origin, screen)


async def verify(arguments: Namespace, screen: Screen) -> int:
    if arguments.max_age is not None and arguments.policy is None:
        raise Unreadable(
            "--max-age is about cosignatures, and no witness is asked for",
            fix="say with --policy which witnesses have to have seen the log",
        )
    policy = None if arguments.policy is None else TrustPolicy.load(arguments.policy)
    given = [*arguments.log, *(each.key.vkey for each in (policy.logs if policy else ()))]
    async with connect() as platform:
        before = load(platform.connection.url)
        told = await platform.log_keys()
        keys = trusted(given, before, [each.vkey for each in told.keys], told.origin, screen)
        known = _files(arguments.checkpoint, keys, screen)
        if policy is not None:
            known.append(await _cosigned(platform, policy, _lately(arguments.max_age), screen))
        said = await said_of_stores(platform)
        signed, by = await signed_by(platform, keys)  # after the others: none of them is of a longer log then
        known.append(Known(signed, f"the log's own checkpoint of {counted(signed.size, 'event')}"))
        remembered = _remembered(before, signed)
        begun = Audited(origin=signed.origin) if arguments.anew else remembered
        if arguments.anew and remembered.size:  # to look at every event again is not to forget what was seen
            known.append(Known(Auditor(remembered).checkpoint(), "what was verified here before"))
        auditor = Auditor(begun, known, said)
        for each in known:
            if each.checkpoint.size < begun.size:
                await must_go_on_from(platform, each, signed, keys)
        kept = Kept(keys=tuple(each.vkey for each in keys), audited=remembered)
        try:
            progress = _Progress(platform.connection.url, auditor, signed.size, kept, screen)
            await go_through(platform, auditor, signed.size, progress.on_piece)
            await judge(platform, auditor, signed, keys)
        except (Refused, Unreadable):
            save(platform.connection.url, kept)  # what is not so is found again the next time
            raise
        save(platform.connection.url, Kept(keys=kept.keys, audited=auditor.kept()))
    return _told(auditor, signed, by, screen)


class _Progress:
    """Says how far it is, and notes it down."""

    def __init__(self, url: str, auditor: Auditor, until: int, kept: Kept, screen: Screen) -> None:
        self._url = url
        self._auditor = auditor
        self._until = until
        self._kept = kept
        self._screen = screen
        self._begun = self._told = time.monotonic()
        self._from = self._saved = auditor.size

    def on_piece(self) -> None:
        size, now = self._auditor.size, time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            rate = (size - self._from) / (now - self._begun)
            self._screen.note(f"{size} of {counted(self._until, 'event')}, {rate:.0f} a second")
        if size - self._saved >= SAVE_EVERY and size > self._kept.audited.size:
            self._saved = size
            save(self._url, Kept(keys=self._kept.keys, audited=self._auditor.kept()))


def _remembered(before: Kept | None, signed: Checkpoint) -> Audited:
    """What the last audit of this log has seen. Raises Refused where the log is shorter by now."""
    if before is None or before.audited.origin != signed.origin:
        return Audited(origin=signed.origin)
    size = before.audited.size
    if size > signed.size:
        raise Refused(
            f"the log has {counted(signed.size, 'event')}, and had {size} when it was verified: its end was cut off",
            rule="audit.append-only",
            fix=CUT_OFF,
        )
    return before.audited


def _told(auditor: Auditor, signed: Checkpoint, by: NoteKey, screen: Screen) -> int:
    others = len(auditor.agreed) - 1
    screen.result(
        f"{signed.origin} holds: {counted(signed.size, 'event')}, every one in its place and in the tree that"
        f" {by.key.kid} signed"
    )
    if others > 0:
        screen.note(
            "1 more checkpoint agrees with it" if others == 1 else f"{others} more checkpoints agree with it"
        )
    producers = auditor.kept().producers
    for producer, epochs in sorted(producers.items()):
        screen.note(
            f"{producer}: whole up to its event {max(epochs.values(), default=0)}{_of_store(auditor, producer)}"
        )
    screen.document(
        {
            "verified": True,
            "origin": signed.origin,
            "size": signed.size,
            "signedBy": by.vkey,
            "agreed": [each.kept_by for each in auditor.agreed],
            "producers": {
                name: max(epochs.values(), default=0) for name, epochs in sorted(producers.items())
            },
            "sameAsTheirStores": sorted(name for name, is_same in auditor.stores.items() if is_same),
        }
    )
    return exits.DONE


def _of_store(auditor: Auditor, producer: str) -> str:
    """What it says itself, which was told a moment before the log was read."""
    said = auditor.said.get(producer)
    if said is None:
        return "; of its own store it has said nothing yet"
    if auditor.stores.get(producer):
        return f"; its own store has the same up to event {said.position}"
    return f"; its own store, which it told of up to event {said.position}, could not be compared"


def trusted(
    given: Sequence[str], before: Kept | None, told: Sequence[str], origin: str, screen: Screen
) -> list[NoteKey]:
    """The keys that are believed: those given, or those of the last audit; else those of now, and that is said."""
    keys = [NoteKey.from_vkey(each) for each in given or (before.keys if before else told)]
    if any(each.kind != SIGNS for each in keys):
        raise Unreadable(
            "a witness's key signs no log", fix="give the verifier key of the log itself with --log"
        )
    if given or before:
        names = sorted({each.name for each in keys})
        if origin not in names:
            raise Refused(
                f"this platform's log is called {origin}, and the one that you trust {', '.join(names)}",
                rule="audit.origin",
                fix="if it was restored, and you were told so by somebody else than it, give its key with --log",
            )
        return keys
    screen.note("nothing of this log was verified from here yet, so the keys that it tells are believed:")
    for each in told:
        screen.note(f"  {each}")
    screen.note(
        "compare them with those that its operator gave you another way; `placet audit verify` keeps them"
    )
    return keys


def _lately(max_age: int | None) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    return now - (MAX_AGE if max_age is None else timedelta(seconds=max_age)), now + AHEAD


async def _cosigned(
    platform: Client, policy: TrustPolicy, lately: tuple[datetime, datetime], screen: Screen
) -> Known:
    """The newest checkpoint that enough witnesses have seen: the very newest they may not have seen yet."""
    for count in range(len(policy.witnesses) + 1):
        try:
            note = Note.from_bytes(await platform.checkpoint(witnesses=count))
            checkpoint, seen = policy.verify(note, seen_within=lately)
        except Unknown as error:
            raise Refused(
                f"no checkpoint of this log is cosigned as the policy asks: {error.detail}",
                rule="audit.witnesses",
                fix="`placet audit checkpoint` tells what is in its witnesses' way",
            ) from error
        except Refused as error:
            refused = error
            continue
        for each in seen:
            screen.note(
                f"{each.by.name} saw the log with {counted(checkpoint.size, 'event')} at {in_utc(each.at)}"
            )
        return Known(
            checkpoint, f"the checkpoint of {counted(checkpoint.size, 'event')} that witnesses cosigned"
        )
    raise Refused(refused.detail, rule="audit.witnesses", fix=refused.fix) from refused


def _files(paths: Sequence[Path], keys: Sequence[NoteKey], screen: Screen) -> list[Known]:
    """Checkpoints that were kept elsewhere: files, or folders of them."""
    known = []
    for path in paths:
        known.extend(_in_folder(path, keys, screen) if path.is_dir() else [_in_file(path, keys)])
    return known


def _in_folder(folder: Path, keys: Sequence[NoteKey], screen: Screen) -> list[Known]:
    """What is none was torn by a crash, on storage that lets nobody remove it: said, and one has to be whole."""
    known = []
    for file in sorted(folder.glob("*.checkpoint")):
        try:
            known.append(_in_file(file, keys))
        except _Torn as torn:
            screen.note(f"{torn.detail}; the others of {folder} are held against the log")
    if not known:
        raise Refused(f"{folder} holds no checkpoint", fix="files that end in .checkpoint are looked at")
    return known


class _Torn(Refused):
    """A file that holds no note, or not all of one."""


def _in_file(file: Path, keys: Sequence[NoteKey]) -> Known:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}", fix=_KEPT) from error
    try:
        note = Note.from_bytes(data)
    except Unreadable as error:
        raise _Torn(f"{file}: {error.detail}", fix=error.fix or _KEPT) from error
    try:
        return Known(checkpoints.verify(note, keys)[0], str(file))
    except (Refused, Unreadable) as error:
        raise Refused(f"{file}: {error.detail}", fix=error.fix or _KEPT) from error


def _must_be_new(file: Path | None) -> None:
    """What was kept may be all that there is against whoever rewrites the log."""
    if file is not None and file.is_file():
        raise WrongUsageError(
            f"{str(file)!r} is there already, and what was kept is not written over",
            fix="name a file that is not",
        )


def _write(file: Path, data: bytes) -> None:
    """All of it or nothing: what is there may not look like one that was kept."""
    is_new = not file.exists()  # else it is a device, or a pipe
    try:
        with file.open("xb" if is_new else "wb") as opened:
            opened.write(data)
    except OSError as error:
        if is_new and not isinstance(error, FileExistsError):
            with suppress(OSError):
                file.unlink()
        raise Refused(
            f"{file} cannot be written: {error.strerror}",
            fix="name a file in a folder that is there, and that you may write to",
        ) from error
