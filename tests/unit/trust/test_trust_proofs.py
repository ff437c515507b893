"""Proofs as text, as C2SP's tlog-proof and tlog-witness have them."""

from __future__ import annotations

import pytest
from placet.errors import Refused, Unreadable
from placet.trust import SigningKey, VerifyingKey, checkpoints, merkle
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


# What a witness is sent in the tests of github.com/FiloSottile/torchwood (cmd/litewitness/testdata/litewitness.txt).
SIGSUM = NoteKey(
    name="sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562",
    kind=SIGNS,
    key=VerifyingKey.from_raw(
        bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
    ),
)
OF_THREE = f"""\
{SIGSUM.name}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— {SIGSUM.name} \
UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
"""
OF_FIVE = f"""\
{SIGSUM.name}
5
QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=

— {SIGSUM.name} \
UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=
"""
FIRST = Checkpoint(origin=SIGSUM.name, size=1, root=bytes([42]) + bytes(31))
TO_THREE = """\
old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

"""
TO_FIVE = """\
old 3
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=
KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

"""


def test_what_others_send_a_witness_verifies() -> None:
    three = ConsistencyProof.from_bytes((TO_THREE + OF_THREE).encode()).verify(FIRST, [SIGSUM])
    assert three.size == 3
    five = ConsistencyProof.from_bytes((TO_FIVE + OF_FIVE).encode())
    assert five.verify(three, [SIGSUM]).size == 5
    assert str(five) == TO_FIVE + OF_FIVE


@pytest.mark.parametrize(
    "request_",
    [
        TO_THREE + OF_THREE.replace("Vrx6go=", "Vrx6gx="),
        "old 1\n\n" + OF_THREE,
        TO_THREE.replace(
            "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABA="
        )
        + OF_THREE,
        TO_THREE + OF_THREE.replace("e562", "e563"),
    ],
    ids=["a changed signature", "no proof", "a changed proof", "another log"],
)
def test_what_others_witness_refuses_is_refused(request_: str) -> None:
    with pytest.raises((Refused, Unreadable)):
        ConsistencyProof.from_bytes(request_.encode()).verify(FIRST, [SIGSUM])
