"""Signed checkpoints, cosignatures of witnesses, and proofs that an event is in a log, in the forms of C2SP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from placet.verifier.documents import UTC, read_base64
from placet.verifier.ed25519 import ed25519_verifies
from placet.verifier.failures import Wrong

_MAX_NOTE_BYTES = 64 * 1024
_MAX_SIGNATURES = 100
LOG, WITNESS = 1, 4
"""Kinds of keys."""


class NoteKey(NamedTuple):
    name: str
    kind: int
    raw: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.raw).digest()[:4]

    @classmethod
    def from_vkey(cls, text: str) -> NoteKey:
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = read_base64(encoded, f"the key in {text!r}")
        key = cls(name, raw[0] if raw else 0, raw[1:])
        if key.kind not in (LOG, WITNESS) or len(key.raw) != 32 or key.id.hex() != key_id:
            raise Wrong(f"{text!r} is no verifier key of an Ed25519 key")
        return key


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """Of each the name, the key's id and what is signed."""


def read_checkpoint(data: bytes) -> Checkpoint:
    if len(data) > _MAX_NOTE_BYTES:
        raise Wrong(f"a checkpoint of {len(data)} bytes is none")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Wrong("the checkpoint is no text") from error
    text, blank, lines = whole.rpartition("\n\n")
    parts = text.split("\n")
    if (
        not blank
        or not lines.endswith("\n")
        or len(parts) < 3
        or not re.fullmatch(r"0|[1-9]\d{0,18}", parts[1], re.A)
    ):
        raise Wrong("the checkpoint is none: origin, size and root, an empty line, and signatures")
    signed = lines[:-1].split("\n")
    if len(signed) > _MAX_SIGNATURES or len(set(signed)) < len(signed):
        raise Wrong(f"the checkpoint has {len(signed)} signatures: too many, or one of them twice")
    signatures = []
    for line in signed:
        found = re.fullmatch("— ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})", line)
        raw = read_base64(found[2], "a signature") if found else b""
        if found is None or len(raw) <= 4:
            raise Wrong(f"{line[:80]!r} is no signature of a checkpoint")
        signatures.append((found[1], raw[:4], raw[4:]))
    root = read_base64(parts[2], "the checkpoint's root")
    return Checkpoint(parts[0], int(parts[1]), root, text + "\n", tuple(signatures))


def signed_by(checkpoint: Checkpoint, keys: Iterable[NoteKey]) -> NoteKey | None:
    """Which of the log's `keys` signed it. Raises Wrong where one of theirs does not hold."""
    by = None
    for key in keys:
        for name, key_id, signature in checkpoint.signatures:
            if key.kind == LOG and name == key.name == checkpoint.origin and key_id == key.id:
                if not ed25519_verifies(key.raw, signature, checkpoint.text.encode()):
                    raise Wrong(f"the signature of {name} under the checkpoint does not hold")
                by = by or key
    return by


def seen_by(checkpoint: Checkpoint, witness: NoteKey) -> datetime | None:
    """When this witness cosigned it, if it did."""
    for name, key_id, signature in checkpoint.signatures:
        if name == witness.name and key_id == witness.id:
            seconds = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{checkpoint.text}".encode()
            if len(signature) != 72 or not ed25519_verifies(witness.raw, signature[8:], message):
                raise Wrong(f"the cosignature of {name} under the checkpoint does not hold")
            try:
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
            except OverflowError:
                raise Wrong(f"{name} cosigned the checkpoint at no moment that there is") from None
    return None


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """The root of the tree of `size` that has the leaf with this hash at `index` (RFC 9162, 2.1.3.2). Raises Wrong."""
    if not 0 <= index < size:
        raise Wrong(f"a tree of {size} leaves has no index {index}")
    first, last, root = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            raise Wrong("the proof has more hashes than the tree is high")
        if first & 1 or first == last:
            root = _node_hash(each, root)
            while first and not first & 1:
                first >>= 1
                last >>= 1
        else:
            root = _node_hash(root, each)
        first >>= 1
        last >>= 1
    if last:
        raise Wrong("the proof has too few hashes")
    return root


_PROOF = re.compile(
    r"c2sp\.org/tlog-proof@v1\n(?:extra (\S*)\n)?index (0|[1-9]\d{0,18})\n((?:\S+\n)*)\n(.*)",
    re.DOTALL | re.A,
)


class Proof(NamedTuple):
    place: int
    hashes: tuple[bytes, ...]
    leaf: bytes
    checkpoint: bytes


def read_proof(data: bytes) -> Proof:
    found = _PROOF.fullmatch(data.decode("utf-8", "replace"))
    if found is None or found[1] is None:
        raise Wrong("this is no proof that an event is in the log")
    hashes = tuple(read_base64(each, "a hash of a proof") for each in found[3].split())
    if any(len(each) != 32 for each in hashes):
        raise Wrong("a hash of a proof has another length")
    return Proof(int(found[2]), hashes, read_base64(found[1], "the leaf of a proof"), found[4].encode())
