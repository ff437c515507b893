"""The tree of RFC 6962: its published roots, and proofs that hold for what they are of and for nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Refused
from placet.trust import merkle
from placet.trust.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root_of

# The leaves and roots that implementations of RFC 6962 have in common (github.com/transparency-dev/merkle, testonly).
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(bytes([at])) for at in range(40)]


def recursive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(recursive_root(leaves[:half]), recursive_root(leaves[half:]))


def proof(spans: Sequence[merkle.Span]) -> list[bytes]:
    return [recursive_root(HASHES[start:end]) for start, end in spans]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_are_the_published_ones(size: int) -> None:
    assert root_of([leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


@pytest.mark.parametrize("size", range(41))
def test_a_tree_that_grew_has_the_root_of_one_made_at_once(size: int) -> None:
    assert root_of(HASHES[:size]) == recursive_root(HASHES[:size])


def test_a_tree_goes_on_from_what_was_kept_of_it() -> None:
    first = Frontier()
    first.extend(HASHES[:23])
    second = Frontier(first.size, first.peaks)
    second.extend(HASHES[23:])
    assert second.root() == recursive_root(HASHES)
    assert len(second.peaks) == 2


def test_what_was_kept_fits_its_size() -> None:
    with pytest.raises(Refused, match="2 peaks"):
        Frontier(3, [HASHES[0]])


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_a_leaf_is_proved_to_be_where_it_is(at: tuple[int, int]) -> None:
    index, size = at
    hashes = proof(merkle.inclusion(index, size))
    merkle.verify_inclusion(HASHES[index], index, size, hashes, recursive_root(HASHES[:size]))


@given(st.integers(0, 40).flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size))))
def test_a_tree_is_proved_to_begin_with_what_it_was(sizes: tuple[int, int]) -> None:
    old, size = sizes
    hashes = proof(merkle.consistency(old, size))
    merkle.verify_consistency(old, root_of(HASHES[:old]), size, root_of(HASHES[:size]), hashes)


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, Change] = {
    "one hash less": lambda proof: proof[:-1],
    "one hash more": lambda proof: [*proof, HASHES[0]],
    "another hash": lambda proof: [HASHES[39], *proof[1:]],
    "another order": lambda proof: proof[::-1],
    "none": lambda proof: [],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(("index", "size"), [(0, 7), (3, 7), (6, 7), (5, 8), (13, 15)])
def test_a_changed_proof_of_inclusion_is_refused(change: Change, index: int, size: int) -> None:
    hashes = proof(merkle.inclusion(index, size))
    with pytest.raises(Refused):
        merkle.verify_inclusion(HASHES[index], index, size, change(hashes), root_of(HASHES[:size]))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(("old", "size"), [(3, 7), (6, 8), (1, 8), (6, 13), (12, 15)])
def test_a_changed_proof_of_consistency_is_refused(change: Change, old: int, size: int) -> None:
    hashes = proof(merkle.consistency(old, size))
    with pytest.raises(Refused):
        merkle.verify_consistency(old, root_of(HASHES[:old]), size, root_of(HASHES[:size]), change(hashes))


def test_another_leaf_another_place_and_another_size_are_refused() -> None:
    hashes, root = proof(merkle.inclusion(3, 7)), root_of(HASHES[:7])
    for leaf, index, size in ((HASHES[4], 3, 7), (HASHES[3], 2, 7), (HASHES[3], 3, 40), (HASHES[3], 7, 7)):
        with pytest.raises(Refused):
            merkle.verify_inclusion(leaf, index, size, hashes, root)


def test_a_tree_that_was_rewritten_or_cut_is_told() -> None:
    root = root_of(HASHES[:7])
    with pytest.raises(Refused, match="different roots: one of them was rewritten"):
        merkle.verify_consistency(7, root_of(HASHES[1:8]), 7, root, [])
    with pytest.raises(Refused, match="its end was cut off"):
        merkle.verify_consistency(7, root, 5, root_of(HASHES[:5]), [])
    with pytest.raises(Refused, match="what was there was rewritten"):
        merkle.verify_consistency(5, root_of(HASHES[1:6]), 7, root, proof(merkle.consistency(5, 7)))
    with pytest.raises(Refused, match="nothing to prove"):
        merkle.verify_consistency(0, EMPTY_ROOT, 7, root, [root])


def test_what_is_not_there_has_no_proof() -> None:
    with pytest.raises(Refused, match="no leaf 7 in a tree of 7"):
        merkle.inclusion(7, 7)
    with pytest.raises(Refused, match="does not begin with one of 8"):
        merkle.consistency(8, 7)


EMPTY_BEFORE = "consistency/additional/size1-is-zero-and-size2-is-not-zero"
"""Which has to be refused there, and holds here: `test_an_empty_tree_begins_every_other`."""


def published(name: str) -> list[Any]:
    lines = (Path(__file__).parent / "published" / name).read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    return [pytest.param(case, id=case["name"]) for case in cases if case["name"] != EMPTY_BEFORE]


def raw(text: str) -> bytes:
    return base64.b64decode(text)


@pytest.mark.parametrize("case", published("inclusion.jsonl"))
def test_published_proofs_of_inclusion_hold_or_are_refused(case: dict[str, Any]) -> None:
    assert case["wantErr"] == is_refused(
        merkle.verify_inclusion,
        raw(case["leafHash"]),
        case["leafIdx"],
        case["treeSize"],
        [raw(each) for each in case["proof"] or ()],
        raw(case["root"]),
    )


@pytest.mark.parametrize("case", published("consistency.jsonl"))
def test_published_proofs_of_consistency_hold_or_are_refused(case: dict[str, Any]) -> None:
    assert case["wantErr"] == is_refused(
        merkle.verify_consistency,
        case["size1"],
        raw(case["root1"]),
        case["size2"],
        raw(case["root2"]),
        [raw(each) for each in case["proof"] or ()],
    )


def is_refused(verify: Callable[..., None], *case: Any) -> bool:
    try:
        verify(*case)
    except Refused:
        return True
    return False


def test_an_empty_tree_begins_every_other() -> None:
    """C2SP's tlog-witness has a proof without hashes for that, others have none and refuse it."""
    merkle.verify_consistency(0, EMPTY_ROOT, 7, root_of(HASHES[:7]), [])


def test_an_empty_tree_has_one_root() -> None:
    for old_root, root in ((EMPTY_ROOT, HASHES[0]), (HASHES[0], HASHES[0]), (HASHES[0], EMPTY_ROOT)):
        with pytest.raises(Refused, match="different roots"):
            merkle.verify_consistency(0, old_root, 0, root, [])


@pytest.mark.parametrize("no_hash", [b"", HASHES[0][:-1], HASHES[0] + b"x"])
def test_what_is_no_hash_is_no_leaf(no_hash: bytes) -> None:
    with pytest.raises(Refused, match="32 bytes"):
        merkle.verify_inclusion(no_hash, 0, 1, [], no_hash)
