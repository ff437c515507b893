"""Signed notes (C2SP signed-note): a short text for people and machines, and who signed it.

A key here has a name and an id: `vkey` is both with the public key, in one line that fits into a configuration. Two
kinds are read, both Ed25519: a log signs the text itself (1), a witness what it saw and when (4, C2SP
tlog-cosignature). Signatures of keys that are not known say nothing, for or against; one of a key that is known and
does not hold refuses the whole note.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust.encoding import decoded
from placet.trust.keys import SigningKey, VerifyingKey

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 100

Kind = Literal[1, 4]
SIGNS: Kind = 1
"""An Ed25519 signature of the note's text."""
COSIGNS: Kind = 4
"""A timestamped Ed25519 cosignature of a checkpoint."""

_NAME = re.compile(r"[^\s+]{1,255}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NO_TEXT = re.compile(r"[\ud800-\udfff]")
"""What Python makes of bytes that are no UTF-8, on a command line or in a file."""
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


_VKEY = (
    "a verifier key is NAME+ID+KEY, of type 1 or 4: a log's is told by its operator, and as `signedBy` by"
    " `placet audit verify --json`"
)


class NoteKey(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs notes, by name, kind and public key."""

    name: str
    kind: Kind
    key: VerifyingKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def id(self) -> bytes:
        """Four bytes. Short on purpose: a name for a key, not a fingerprint of it."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key.raw).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.key.raw).decode()}"

    @classmethod
    def from_vkey(cls, text: str) -> NoteKey:
        """Raises Unreadable."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            raw = decoded(encoded, f"the key in {text!r}")
        except Unreadable as error:
            raise Unreadable(error.detail, fix=_VKEY) from error
        match raw[:1]:
            case b"\x01":
                kind = SIGNS
            case b"\x04":
                kind = COSIGNS
            case _:
                raise Unreadable(f"{text!r} is no verifier key of an Ed25519 key", fix=_VKEY)
        try:
            found = cls(name=name, kind=kind, key=VerifyingKey.from_raw(raw[1:]))
        except Refused as error:
            raise Unreadable(error.detail, fix=error.fix or _VKEY) from error
        if key_id != found.id.hex():
            raise Unreadable(
                f"the key called {name!r} has the id {found.id.hex()}, not {key_id!r}",
                fix="copy it whole, with its name: the id is of both",
            )
        return found


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One line below a note. What `raw` is depends on the key's kind, which only who knows the key knows."""

    name: str
    id: bytes
    raw: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.id + self.raw).decode()}\n"

    def is_of(self, key: NoteKey) -> bool:
        return self.name == key.name and self.id == key.id

    @classmethod
    def from_line(cls, line: str) -> Signature:
        found = _LINE.fullmatch(line)
        raw = decoded(found[2], "a signature") if found else b""
        if not found or len(raw) <= 4:
            raise Unreadable(f"{line[:100]!r} is no signature of a note")
        return cls(name=found[1], id=raw[:4], raw=raw[4:])


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """`text` ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(each.line for each in self.signatures)}"

    def to_bytes(self) -> bytes:
        return str(self).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """Read without believing anything. Raises Unreadable."""
        if len(data) > MAX_NOTE_BYTES:
            raise Unreadable(f"a note of {len(data)} bytes is over the limit of {MAX_NOTE_BYTES}")
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise Unreadable("this is no signed note: it is not UTF-8") from error
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or _CONTROL.search(whole):
            raise Unreadable("this is no signed note: a text, an empty line, and lines of signatures")
        signatures = lines[:-1].split("\n")
        if len(signatures) > MAX_SIGNATURES:
            raise Unreadable(f"a note with more than {MAX_SIGNATURES} signatures")
        return cls(text=text + "\n", signatures=tuple(Signature.from_line(each) for each in signatures))

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        """Those that are not there yet, at the end."""
        new = [each for each in dict.fromkeys(more) if each not in self.signatures]
        return Note(text=self.text, signatures=(*self.signatures, *new))


def sign(text: str, *, name: str, key: SigningKey) -> Signature:
    """A signature of the text itself."""
    by = NoteKey(name=name, kind=SIGNS, key=key.public)
    return Signature(name=name, id=by.id, raw=key.sign(text.encode()))


def verify(note: Note, keys: Iterable[NoteKey]) -> list[NoteKey]:
    """The keys of those given, all of kind 1, that signed the note. Raises Refused where a signature does not hold."""
    signed = [(key, each) for key in keys for each in note.signatures if each.is_of(key)]
    for key, signature in signed:
        if not key.key.verifies(signature.raw, note.text.encode()):
            raise Refused(f"the signature of {key.name} ({key.key.kid}) does not hold: the note was changed")
    return [key for key, _ in signed]


def check_name(name: str) -> None:
    """Raises Refused for what cannot be the name of a key."""
    if not _NAME.fullmatch(name) or _CONTROL.search(name) or _NO_TEXT.search(name):
        raise Refused(
            f"{name!r} cannot be the name of a key: it has blanks or a plus, or is empty or long",
            fix="a name such as placet.example.org/audit",
        )
