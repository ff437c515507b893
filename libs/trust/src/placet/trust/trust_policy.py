"""Which logs are believed, and whose cosignatures a checkpoint needs for that: a trust policy (C2SP tlog-policy).

Whoever verifies writes it, not the log. A log alone can show each of its readers another tree; the quorum says how
many outsiders have to have seen the same one. Names are for the policy alone and of any bytes: `K` and the sign of
kelvin are two names. What this module does not do: look at a clock, or fetch anything from a URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust import checkpoints
from placet.trust.checkpoints import Checkpoint, Cosigned
from placet.trust.moments import written
from placet.trust.notes import COSIGNS, SIGNS, Kind, Note, NoteKey

MAX_POLICY_BYTES = 256 * 1024
MAX_OF_A_KIND = 256
"""Logs, witnesses, groups: the specification asks for 32 of each."""
NONE = "none"
"""The quorum that asks for nobody, and so the name of nobody."""

_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_BLANKS = re.compile(r"[ \t]+")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


class Log(NamedTuple):
    """A log's key, which is named after its origin, and where the log is."""

    key: NoteKey
    url: str | None


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the policy's for it; what its key is called may be another."""

    name: str
    key: NoteKey
    url: str | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Has seen a checkpoint when `threshold` of its members have: witnesses, or groups above it in the file."""

    name: str
    threshold: int
    members: tuple[str, ...]


class TrustPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`quorum` names a witness or a group; none asks for no cosignature at all."""

    logs: tuple[Log, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> TrustPolicy:
        """Raises Unreadable, with the line that is wrong."""
        if len(data) > MAX_POLICY_BYTES:
            raise Unreadable(f"a trust policy of {len(data)} bytes is over the limit of {MAX_POLICY_BYTES}")
        reader = _Reader()
        for number, line in enumerate(data.split(b"\n"), start=1):
            try:
                reader.read(line)
            except (Refused, Unreadable) as error:
                raise Unreadable(
                    f"line {number} of the trust policy: {error.detail}", fix=error.fix
                ) from error
        return reader.policy()

    @classmethod
    def load(cls, path: Path) -> TrustPolicy:
        """The policy in a file. Raises Refused where there is none, and Unreadable."""
        try:
            with path.open("rb") as file:
                return cls.from_bytes(file.read(MAX_POLICY_BYTES + 1))
        except OSError as error:
            raise Refused(
                f"the trust policy {path} cannot be read: {error.strerror}",
                fix="name a file with a line `log VKEY`, and one for each witness: docs/how-to/run-a-witness.md",
            ) from error

    def is_satisfied_by(self, cosigners: Collection[str]) -> bool:
        """Whether the witnesses of these names are enough."""
        if self.quorum is None:
            return True
        seen_by = {each.name for each in self.witnesses if each.name in cosigners}
        for group in self.groups:  # each names only those before it
            if sum(member in seen_by for member in group.members) >= group.threshold:
                seen_by.add(group.name)
        return self.quorum in seen_by

    def verify(
        self, note: Note, *, seen_within: tuple[datetime, datetime] | None = None
    ) -> tuple[Checkpoint, tuple[Cosigned, ...]]:
        """The checkpoint that `note` is, and who saw it when. Raises Refused, and Unreadable for other notes.

        Only cosignatures from `seen_within`, both ends included, count for the quorum: an old one says that the log
        was so once, and whoever hides what came since has one to show for ever.
        """
        checkpoint, _ = checkpoints.verify(note, [log.key for log in self.logs])
        seen = tuple(checkpoints.cosigned(note, [each.key for each in self.witnesses]))
        cosigners = self._names({each.by for each in seen})
        what = f"the checkpoint of {checkpoint.origin} at {checkpoint.size}"
        if not self.is_satisfied_by(cosigners):
            told = ", ".join(map(_shown, cosigners)) or "no witness that is known"
            raise Refused(
                f"{what} is cosigned by {told}, and the quorum asks for {self._asked()}",
                fix="ask the log for a checkpoint with more cosignatures; a newer one may have fewer for a while",
            )
        if seen_within is not None:
            first, last = seen_within
            timely = self._names({each.by for each in seen if first <= each.at <= last})
            if not self.is_satisfied_by(timely):
                latest = {each.by: each.at for each in sorted(seen, key=lambda each: each.at)}
                told = ", ".join(f"{by.name} at {written(at)}" for by, at in latest.items())
                raise Refused(
                    f"{what} was cosigned by {told}, and the quorum asks for {self._asked()} between "
                    f"{written(first)} and {written(last)}: nobody outside "
                    "says that the log is still this one",
                    fix="ask the log's operator why its witnesses see it no more, and compare the clocks",
                )
        return checkpoint, seen

    def _names(self, keys: Collection[NoteKey]) -> list[str]:
        return [each.name for each in self.witnesses if each.key in keys]

    def _asked(self) -> str:
        """The quorum in words."""
        words: dict[str | None, str] = {each.name: _shown(each.name) for each in self.witnesses}
        for group in self.groups:
            words[group.name] = (
                f"{group.threshold} of ({', '.join(words[member] for member in group.members)})"
            )
        return words[self.quorum]


class _Reader:
    """What the lines so far have said."""

    def __init__(self) -> None:
        self._logs: list[Log] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._names: set[str] = set()
        self._members: set[str] = set()
        self._quorum: str | None = None

    def read(self, line: bytes) -> None:
        if _FORBIDDEN.search(line):
            raise Unreadable("it holds a control character", fix="lines end with a newline alone, as on Unix")
        # Bytes that are no UTF-8 stay what they are: nobody reads two names as one.
        text = line.decode(errors="surrogateescape").strip(" \t")
        if not text or text.startswith("#"):
            return
        keyword, *words = _BLANKS.split(text)
        kinds: Mapping[str, Callable[[Sequence[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._set_quorum,
        }
        if keyword not in kinds:
            raise Unreadable(
                f"{_shown(keyword)} begins no line", fix=f"one of {', '.join(kinds)}, or # for a comment"
            )
        kinds[keyword](words)

    def policy(self) -> TrustPolicy:
        if self._quorum is None:
            raise Unreadable(
                "the trust policy names no quorum",
                fix=f"`quorum NAME`, or `quorum {NONE}` to need no witness",
            )
        logs = {each.key.key.raw: each.key.name for each in self._logs}
        for witness in self._witnesses:
            if witness.key.key.raw in logs:
                raise Unreadable(
                    f"the key of the witness {_shown(witness.name)} is that of the log {logs[witness.key.key.raw]}",
                    fix="take a witness with a key of its own: a log that saw itself was seen by nobody",
                )
        return TrustPolicy(
            logs=tuple(self._logs),
            witnesses=tuple(self._witnesses),
            groups=tuple(self._groups),
            quorum=None if self._quorum == NONE else self._quorum,
        )

    def _log(self, words: Sequence[str]) -> None:
        if len(words) not in (1, 2):
            raise Unreadable("a log is a key and perhaps a URL", fix="log VKEY [URL]")
        key = _key(words[0], SIGNS, "a log", [each.key for each in self._logs])
        self._logs.append(Log(key, words[1] if len(words) == 2 else None))

    def _witness(self, words: Sequence[str]) -> None:
        if len(words) not in (2, 3):
            raise Unreadable("a witness is a name, a key and perhaps a URL", fix="witness NAME VKEY [URL]")
        key = _key(words[1], COSIGNS, "a witness", [each.key for each in self._witnesses])
        self._define(words[0])
        self._witnesses.append(Witness(name=words[0], key=key, url=words[2] if len(words) == 3 else None))

    def _group(self, words: Sequence[str]) -> None:
        if len(words) < 3:
            raise Unreadable(
                "a group is a name, a number and its members", fix="group NAME all|any|NUMBER NAME..."
            )
        if len(self._groups) == MAX_OF_A_KIND:
            raise Unreadable(f"there are more than {MAX_OF_A_KIND} groups")
        name, many, *members = words
        for member in members:
            if member not in self._names:
                raise Unreadable(
                    f"no witness and no group above is called {_shown(member)}",
                    fix="define it on a line before",
                )
            if member in self._members:
                raise Unreadable(
                    f"{_shown(member)} is a member already",
                    fix="let each witness and each group be in one group only",
                )
            self._members.add(member)
        self._define(name)
        self._groups.append(
            Group(name=name, threshold=_threshold(many, len(members)), members=tuple(members))
        )

    def _set_quorum(self, words: Sequence[str]) -> None:
        if len(words) != 1:
            raise Unreadable("a quorum is one name", fix=f"quorum NAME, or quorum {NONE}")
        if self._quorum is not None:
            raise Unreadable(f"the quorum is {_shown(self._quorum)} already", fix="keep one quorum line")
        if words[0] != NONE and words[0] not in self._names:
            raise Unreadable(
                f"no witness and no group above is called {_shown(words[0])}",
                fix="define it on a line before",
            )
        self._quorum = words[0]

    def _define(self, name: str) -> None:
        if name == NONE:
            raise Unreadable(f"{NONE!r} is the quorum that asks for nobody", fix="choose another name")
        if name in self._names:
            raise Unreadable(
                f"{_shown(name)} is defined already", fix="give witnesses and groups names of their own"
            )
        self._names.add(name)


def _key(vkey: str, kind: Kind, what: str, others: Collection[NoteKey]) -> NoteKey:
    key = NoteKey.from_vkey(vkey)
    if key.kind != kind:
        raise Unreadable(
            f"the key of {key.name} is of type {key.kind}, and {what} has one of type {kind}",
            fix="a log signs its checkpoints (1), a witness cosigns them (4)",
        )
    for other in others:
        if other.key == key.key:
            raise Unreadable(f"the key of {key.name} is that of {other.name} already: {what} has its own")
    if len(others) == MAX_OF_A_KIND:
        raise Unreadable(f"this is {what} more than {MAX_OF_A_KIND}")
    return key


def _threshold(text: str, members: int) -> int:
    if text in ("all", "any"):
        return members if text == "all" else 1
    if not _NUMBER.fullmatch(text) or int(text) > members:
        raise Unreadable(f"{_shown(text)} of {members} is no threshold", fix=f"all, any, or 1 to {members}")
    return int(text)


def _shown(name: str) -> str:
    """A name in words; whatever is not printable, escaped."""
    return name if name.isprintable() else repr(name)
