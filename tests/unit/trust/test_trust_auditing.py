"""An auditor goes through a log by itself: whole, in order, and the one that others were shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Refused, Unreadable
from placet.events.chain import Chain
from placet.trust.auditing import MOST_EPOCHS, Audited, Auditor, Entry, Known, Said, first_difference
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import leaf_hash, root_of

ORIGIN = "placet.example/audit"


def entry(
    position: int,
    producer: str = "gateway",
    of_producer: int | None = None,
    epoch: str = "1",
    said: str = "x",
) -> Entry:
    raw = json.dumps(
        {"data": said, "id": f"{producer}-{position}", "source": producer, "type": "placet.x.v1"}
    ).encode()
    return Entry(
        position=position,
        producer=producer,
        epoch=epoch,
        producer_position=of_producer or position,
        event=msgspec.Raw(raw),
    )


LOG = [
    entry(1),
    entry(2, "builder", 1),
    entry(3, "gateway", 2),
    entry(4, "gateway", 3),
    entry(5, "builder", 2),
    entry(6, "gateway", 4),
]


def checkpoint(log: Sequence[Entry], size: int) -> Checkpoint:
    leaves = [each.leaf() for each in log[:size]]
    return Checkpoint(origin=ORIGIN, size=size, root=root_of([leaf_hash(leaf.to_bytes()) for leaf in leaves]))


def audited(log: Sequence[Entry], *known: Known) -> Auditor:
    auditor = Auditor(Audited(origin=ORIGIN), known)
    auditor.take(log)
    return auditor


@pytest.mark.parametrize("size", range(7))
def test_a_log_agrees_with_what_was_signed_of_it(size: int) -> None:
    known = Known(checkpoint(LOG, size), "a file")
    auditor = audited(LOG, known)
    assert (auditor.agreed, auditor.contradicted, auditor.unreached()) == ([known], [], [])
    assert auditor.root() == checkpoint(LOG, 6).root


Change = Callable[[list[Entry]], list[Entry]]
CHANGES: dict[str, Change] = {
    "a byte of an event": lambda log: [*log[:2], entry(3, "gateway", 2, said="y"), *log[3:]],
    "the tail is cut, and other events follow": lambda log: [
        *log[:4],
        entry(5, "builder", 2, said="y"),
        entry(6, "gateway", 4, said="y"),
    ],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_log_that_was_rewritten_contradicts_what_was_kept_of_it(change: Change) -> None:
    early, late = Known(checkpoint(LOG, 2), "a witness"), Known(checkpoint(LOG, 6), "a file")
    auditor = audited(change(list(LOG)), early, late)
    assert (auditor.agreed, auditor.contradicted) == ([early], [late])


MOVES: dict[str, tuple[Change, str]] = {
    "removed": (
        lambda log: [*log[:2], *(renumbered(each, -1) for each in log[3:])],
        "position 3 is the event 3 of gateway, where 2 comes next",
    ),
    "swapped": (
        lambda log: [*log[:2], renumbered(log[3], -1), renumbered(log[2], 1), *log[4:]],
        "position 3 is the event 3 of gateway, where 2 comes next",
    ),
    "inserted": (
        lambda log: [*log[:2], entry(3, "gateway", 2, said="y"), *(renumbered(each, 1) for each in log[2:])],
        "position 4 is the event 2 of gateway, where 3 comes next",
    ),
    "removed, and its position too": (
        lambda log: [*log[:2], *log[3:]],
        "after position 2 the log goes on with 4",
    ),
    "twice": (lambda log: [*log[:2], log[1], *log[2:]], "after position 2 the log goes on with 2"),
    "not from the first on": (lambda log: log[1:], "after position 0 the log goes on with 2"),
    "a producer not from its first on": (lambda log: [entry(1, "builder", 2)], "where 1 comes next"),
}


def renumbered(each: Entry, by: int) -> Entry:
    return msgspec.structs.replace(each, position=each.position + by)


@pytest.mark.parametrize(("change", "said"), MOVES.values(), ids=MOVES)
def test_an_event_that_is_out_of_place_is_named(change: Change, said: str) -> None:
    with pytest.raises(Refused, match=said):
        audited(change(list(LOG)))


def test_a_producer_that_was_restored_goes_on_behind_its_copy() -> None:
    audited([entry(1), entry(2), entry(3, epoch="2", of_producer=2), entry(4, epoch="2", of_producer=3)])
    with pytest.raises(Refused, match="position 3 is the event 4 of gateway, where 3 comes next"):
        audited([entry(1), entry(2), entry(3, epoch="2", of_producer=4)])


def test_a_log_that_ends_before_what_was_signed_is_told() -> None:
    known = Known(checkpoint(LOG, 6), "a file")
    auditor = audited(LOG[:4], known)
    assert (auditor.agreed, auditor.unreached()) == ([], [known])


def test_another_log_s_checkpoint_is_refused() -> None:
    other = Known(Checkpoint(origin="other.example", size=0, root=checkpoint(LOG, 0).root), "a file")
    with pytest.raises(Refused, match="a file is of other"):
        audited(LOG, other)


@given(st.integers(0, 6))
def test_an_audit_goes_on_another_day(day: int) -> None:
    first = audited(LOG[:day])
    second = Auditor(Audited.from_json(first.kept().to_json()), [Known(checkpoint(LOG, 6), "a file")])
    second.take(LOG[day:])
    assert len(second.agreed) == 1
    assert second.kept() == audited(LOG).kept()


def store_of(log: Sequence[Entry], producer: str, *, epoch: str = "1", began_after: int = 0) -> Said:
    """What the producer says of its own store, made as it makes it."""
    chain = Chain.begin(producer, epoch, began_after)
    for each in log:
        if (each.producer, each.epoch) == (producer, epoch):
            chain.extend(bytes(each.event))
    return Said(producer, epoch, chain.position, chain.value)


def compared(log: Sequence[Entry], *said: Said, day: int = 0) -> Auditor:
    first = Auditor(Audited(origin=ORIGIN))
    first.take(log[:day])
    auditor = Auditor(Audited.from_json(first.kept().to_json()), said=said)
    auditor.take(log[day:])
    return auditor


@pytest.mark.parametrize("day", range(7))
def test_what_producers_have_themselves_is_what_the_log_has(day: int) -> None:
    said = [store_of(LOG, "gateway"), store_of(LOG, "builder")]
    assert compared(LOG, *said, day=day).stores == {"gateway": True, "builder": True}


@pytest.mark.parametrize("at", range(6))
def test_a_store_that_has_another_event_is_named(at: int) -> None:
    changed = entry(at + 1, LOG[at].producer, LOG[at].producer_position, said="y")
    said = store_of([*LOG[:at], changed, *LOG[at + 1 :]], LOG[at].producer)
    assert compared(LOG, said).stores == {LOG[at].producer: False}


def test_a_store_that_has_more_is_not_compared_yet() -> None:
    said = store_of([*LOG, entry(7, "gateway", 5)], "gateway")
    auditor = compared(LOG, said)
    assert (auditor.stores, auditor.uncompared()) == ({}, {"gateway": said})


def test_of_a_store_that_was_restored_what_follows_is_compared() -> None:
    log = [entry(1), entry(2), entry(3, epoch="2", of_producer=2), entry(4, epoch="2", of_producer=3)]
    said = store_of(log, "gateway", epoch="2", began_after=1)
    assert compared(log, said).stores == {"gateway": True}
    other = store_of(log, "gateway", epoch="2", began_after=0)
    assert compared(log, other).stores == {"gateway": False}, "it says that its epoch began elsewhere"


def test_an_audit_of_before_there_was_a_chain_compares_nothing() -> None:
    first = Auditor(Audited(origin=ORIGIN))
    first.take(LOG[:3])
    auditor = Auditor(msgspec.structs.replace(first.kept(), chains={}), said=[store_of(LOG, "gateway")])
    auditor.take(LOG[3:])
    assert (auditor.stores, set(auditor.uncompared())) == ({}, {"gateway"})


@pytest.mark.parametrize("data", [b"", b"{}", b'{"origin":"a","sise":1}', b"\xff"])
def test_what_no_audit_kept_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Audited.from_json(data)


def test_what_an_audit_kept_has_to_fit() -> None:
    for kept in (Audited(origin=ORIGIN, size=1), Audited(origin=ORIGIN, size=1, peaks=("AAAA",))):
        with pytest.raises((Refused, Unreadable)):
            Auditor(kept)


def test_the_first_leaf_that_a_tile_has_otherwise_is_found() -> None:
    hashes = [leaf_hash(bytes([at])) for at in range(4)]
    assert first_difference(hashes, b"".join(hashes)) is None
    assert first_difference(hashes, b"".join([hashes[0], hashes[2], hashes[2]])) == 1
    assert first_difference(hashes, b"".join(hashes[:3])) == 3


def test_a_log_that_names_ever_other_producers_is_refused() -> None:
    """An auditor that remembers each of them would end when its memory does."""
    with pytest.raises(Refused, match="no platform has"):
        audited([entry(at, f"p{at}", 1) for at in range(1, MOST_EPOCHS + 2)])
