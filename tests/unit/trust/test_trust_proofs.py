"""Proofs as text, as C2SP's tlog-proof and tlog-witness have them."""

from __future__ import annotations

import pytest
from placet.errors import Refused, Unreadable
from placet.trust import SigningKey, checkpoints, merkle
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import leaf_hash, root_of
from placet.trust.notes import SIGNS, NoteKey
from placet.trust.proofs import ConsistencyProof, InclusionProof

LEAVES = [b"leaf %d" % at for at in range(7)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
LOG = SigningKey.generate()
KNOWN = NoteKey(name="placet.example/audit", kind=SIGNS, key=LOG.public)


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(origin=KNOWN.name, size=size, root=root_of(HASHES[:size]))


def hashes(spans: list[merkle.Span]) -> tuple[bytes, ...]:
    return tuple(root_of(HASHES[start:end]) for start, end in spans)


def inclusion(index: int, *, size: int = 7, extra: bytes | None = None) -> InclusionProof:
    return InclusionProof(
        index=index,
        hashes=hashes(merkle.inclusion(index, size)),
        checkpoint=checkpoints.sign(checkpoint(size), LOG),
        extra=extra,
    )


def consistency(old: int, *, size: int = 7) -> ConsistencyProof:
    return ConsistencyProof(
        old=old,
        hashes=hashes(merkle.consistency(old, size)),
        checkpoint=checkpoints.sign(checkpoint(size), LOG),
    )


@pytest.mark.parametrize("extra", [None, b"", b"more"])
@pytest.mark.parametrize(("index", "size"), [(0, 1), (3, 7), (6, 7)])
def test_a_proof_of_inclusion_is_read_as_it_was_written(index: int, size: int, extra: bytes | None) -> None:
    written = str(inclusion(index, size=size, extra=extra))
    assert written.startswith("c2sp.org/tlog-proof@v1\n")
    proof = InclusionProof.from_bytes(written.encode())
    assert proof == inclusion(index, size=size, extra=extra)
    assert proof.verify(LEAVES[index], [KNOWN]) == checkpoint(size)


def test_a_proof_of_inclusion_is_of_one_leaf() -> None:
    with pytest.raises(Refused, match="does not lead to the root"):
        inclusion(3).verify(LEAVES[4], [KNOWN])


def test_a_proof_of_inclusion_of_another_log_is_refused() -> None:
    with pytest.raises(Refused, match="no key of that log"):
        inclusion(3).verify(LEAVES[3], [NoteKey(name="other.example", kind=SIGNS, key=LOG.public)])


@pytest.mark.parametrize("old", [0, 1, 3, 4, 7])
def test_a_proof_of_consistency_is_read_as_it_was_written(old: int) -> None:
    proof = ConsistencyProof.from_bytes(str(consistency(old)).encode())
    assert proof == consistency(old)
    assert proof.verify(checkpoint(old), [KNOWN]) == checkpoint(7)


def test_a_log_that_was_rewritten_or_cut_off_has_no_proof() -> None:
    forked = Checkpoint(origin=KNOWN.name, size=3, root=root_of(HASHES[1:4]))
    with pytest.raises(Refused, match="was rewritten"):
        consistency(3).verify(forked, [KNOWN])
    with pytest.raises(Refused, match="its end was cut off"):
        consistency(3, size=5).verify(checkpoint(7), [KNOWN])
    other = Checkpoint(origin="other.example/audit", size=3, root=checkpoint(3).root)
    with pytest.raises(Refused, match="no key of that log"):
        consistency(3).verify(other, [KNOWN])


@pytest.mark.parametrize(
    "change",
    [
        ("tlog-proof@v1", "tlog-proof@v2"),
        ("index 3", "index 03"),
        ("index 3", "index -3"),
        ("index 3\n", ""),
        ("index 3\n", "extra !\nindex 3\n"),
        ("index 3\n", "index 3\nAAAA\n"),
        ("index 3\n", f"index 3\n{'A' * 43}=\n" * 1 + f"{'A' * 43}=\n" * 64),
        ("\n\n", "\n"),
    ],
)
def test_what_is_no_proof_is_unreadable(change: tuple[str, str]) -> None:
    written = str(inclusion(3)).replace(*change, 1)
    with pytest.raises(Unreadable):
        InclusionProof.from_bytes(written.encode())


@pytest.mark.parametrize("data", [b"", b"old 3\n", b"old x\n\n", b"\xff", b"x" * 200_000])
def test_what_is_no_proof_of_consistency_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        ConsistencyProof.from_bytes(data)
