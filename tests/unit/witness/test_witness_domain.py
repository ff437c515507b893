"""What may be cosigned: whatever a log asks for, no two cosignatures contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Forbidden, PlacetError, Refused, Unknown, Unreadable
from placet.trust import checkpoints, notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import EMPTY_ROOT
from placet.trust.notes import Note
from placet.trust.proofs import ConsistencyProof
from placet.witness.domain import Agreed, Inconsistent, Stale, decide, is_fork, offered

from tests.unit.witness.logs import KNOWN, LOG, ORIGIN, OTHER, checkpoint, leaves, proof, request

LOGS = {ORIGIN: [KNOWN]}
TREE = leaves(20)
FORKED = leaves(20, kind="another", after=TREE[:5])


def decided(tree: Sequence[bytes], old: int, known: Checkpoint | None) -> Agreed | Stale | Inconsistent:
    return decide(known, offered(request(tree, old), LOGS))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 24), st.integers(0, 24), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_no_two_cosignatures_contradict_each_other_and_none_is_smaller(
    asked: list[tuple[int, int, int, bool]],
) -> None:
    """A log that has four histories, and asks for any of them, from anywhere, with and without a proof."""
    trunk = leaves(24)
    histories = [trunk, *(leaves(24, kind=str(at), after=trunk[: 6 * at]) for at in (1, 2, 3))]
    known: Checkpoint | None = None
    signed: list[Sequence[bytes]] = []
    for which, size, old, guesses in asked:
        tree = histories[which][:size]
        at = known.size if guesses and known is not None else old
        try:
            answer = decided(tree, at, known)
        except Unreadable:
            assert at > size
            continue
        if isinstance(answer, Agreed):
            known = checkpoint(tree)
            signed.append(tree)
    for earlier, later in pairwise(signed):
        assert later[: len(earlier)] == earlier


@given(st.lists(st.integers(0, 40), min_size=1, max_size=10).map(sorted))
def test_an_honest_log_is_never_refused(sizes: list[int]) -> None:
    known: Checkpoint | None = None
    tree = leaves(40)
    for size in sizes:
        assert decided(tree[:size], 0 if known is None else known.size, known) == Agreed()
        known = checkpoint(tree[:size])


def test_the_first_checkpoint_needs_no_proof_and_may_have_none() -> None:
    assert decided(TREE, 0, None) == Agreed()
    answer = decide(None, offered(request(TREE, 0, hashes=proof(TREE, 5)), LOGS))
    assert isinstance(answer, Inconsistent)


def test_an_empty_tree_is_cosigned_with_its_own_root() -> None:
    assert decided([], 0, None) == Agreed()
    text = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT[::-1]).text
    note = Note(text=text, signatures=(notes.sign(text, name=ORIGIN, key=LOG),))
    with pytest.raises(Refused, match="empty tree") as refused:
        offered(str(ConsistencyProof(old=0, hashes=(), checkpoint=note)).encode(), LOGS)
    assert not isinstance(refused.value, Forbidden | Unknown)


@pytest.mark.parametrize("old", [0, 4, 6])
def test_a_log_that_starts_from_elsewhere_is_told_the_size(old: int) -> None:
    assert decided(TREE, old, checkpoint(TREE[:5])) == Stale(size=5)


def test_a_smaller_tree_is_never_agreed_to() -> None:
    assert decided(TREE[:4], 4, checkpoint(TREE[:5])) == Stale(size=5)
    with pytest.raises(Unreadable, match="goes on from none of 5"):
        decided(TREE[:4], 5, checkpoint(TREE[:5]))


def test_what_was_rewritten_is_inconsistent() -> None:
    assert isinstance(decided(FORKED, 6, checkpoint(TREE[:6])), Inconsistent)
    assert decided(FORKED, 5, checkpoint(TREE[:5])) == Agreed()


def test_two_trees_of_one_size_are_a_fork_from_wherever_it_is_asked() -> None:
    known = checkpoint(TREE)
    for old in (0, 5, 20):
        assert is_fork(known, offered(request(FORKED, old), LOGS))
    assert isinstance(decided(FORKED, 20, known), Inconsistent)
    assert not is_fork(known, offered(request(TREE, 20), LOGS))
    assert not is_fork(None, offered(request(FORKED, 0), LOGS))


def test_a_log_that_nobody_named_is_unknown() -> None:
    with pytest.raises(Unknown, match="is not witnessed here"):
        offered(request(TREE, 0, origin="other.example"), LOGS)


def test_another_key_is_forbidden_and_so_is_a_signature_that_does_not_hold() -> None:
    with pytest.raises(Forbidden):
        offered(request(TREE, 0, key=OTHER), LOGS)
    broken = request(TREE, 0).replace(b"\n20\n", b"\n21\n", 1)
    with pytest.raises(Forbidden, match="does not hold"):
        offered(broken, LOGS)


def test_signatures_of_strangers_are_ignored_and_not_kept() -> None:
    note = checkpoints.sign(checkpoint(TREE), LOG)
    by_stranger = notes.sign(note.text, name=ORIGIN, key=OTHER)
    body = str(ConsistencyProof(old=0, hashes=(), checkpoint=note.with_signatures([by_stranger]))).encode()
    assert offered(body, LOGS).note == note


def test_a_log_may_sign_with_either_of_its_keys() -> None:
    next_key = type(KNOWN)(name=ORIGIN, kind=KNOWN.kind, key=OTHER.public)
    for key in (LOG, OTHER):
        assert decide(None, offered(request(TREE, 0, key=key), {ORIGIN: [KNOWN, next_key]})) == Agreed()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"old 0\n",
        request(TREE, 0).replace(b"old 0", b"old 00"),
        request(TREE, 0).replace(b"old 0", b"old -1"),
        request(TREE, 0).replace(b"old 0", b"new 0"),
        request(TREE, 0)[:-1],
        request(TREE, 5).replace(b"=\n", b"\n", 1),
        request(TREE, 5, hashes=[b"x" * 31]),
        request(TREE, 5, hashes=[b"x" * 32] * 64),
        request(TREE, 21),
    ],
)
def test_what_is_no_request_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        offered(body, LOGS)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 400))
def test_whatever_is_sent_is_answered(noise: bytes, start: int, end: int) -> None:
    """Also bytes in the midst of a request. An error that is none of ours would be a 500."""
    body = request(TREE, 5)
    for sent in (noise, body[:start] + noise + body[end:]):
        with suppress(PlacetError):
            decide(checkpoint(TREE[:5]), offered(sent, LOGS))
