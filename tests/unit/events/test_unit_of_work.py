"""A change is decided on what is there, staged, and committed whole; whoever was overtaken decides again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa
from placet.errors import Conflict, Refused, Unavailable
from placet.events import tables
from placet.events.decider import Decider
from placet.events.envelope import Actor
from placet.events.store import Claim, ClaimLost
from placet.events.testing import ManualClock, given
from placet.events.unit_of_work import MAX_CONFLICTS, Context, UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.unit.events.harness import (
    CONTEXT,
    AlphaNoted,
    FatefulStore,
    ThingKept,
    append,
    kept,
    seal,
)


@dataclass(frozen=True, kw_only=True)
class Keep:
    text: str


def decide(command: Keep, state: tuple[str, ...]) -> list[ThingKept]:
    if command.text == "forbidden":
        raise Refused("that is not kept here")
    return [] if command.text in state else [ThingKept(text=command.text)]


def evolve(state: tuple[str, ...], happened: ThingKept) -> tuple[str, ...]:
    return (*state, happened.text)


THING: Decider[Keep, tuple[str, ...], ThingKept] = Decider(initial=(), decide=decide, evolve=evolve)


async def texts(wiring: Wiring, stream: str) -> list[str]:
    return [each.data.text for each in await wiring.store.read(stream)]


async def test_a_decision_is_appended_with_its_context(wiring: Wiring, clock: ManualClock) -> None:
    context = replace_context(causation="event-0", traceparent="00-a-b-01")

    async def change(work: UnitOfWork) -> str:
        await work.decide(THING, "thing/1", Keep(text="a"))
        return "answer"

    answer, (recorded,) = await transact(wiring, "tester", context, change)
    event = recorded.event

    assert answer == "answer"
    assert (recorded.position, recorded.version, event.subject, event.data) == (
        1,
        1,
        "thing/1",
        ThingKept(text="a"),
    )
    assert (event.producer, event.partitionkey, event.correlationid) == ("tester", "churn", "operation-1")
    assert (event.causationid, event.attributes.traceparent, event.actor) == (
        "event-0",
        "00-a-b-01",
        CONTEXT.actor,
    )
    assert event.time == "2026-01-01T00:00:00.000Z"


async def test_a_second_decision_on_a_stream_sees_the_first(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> tuple[str, ...]:
        await work.decide(THING, "thing/1", Keep(text="a"))
        assert await work.decide(THING, "thing/1", Keep(text="a")) == ()
        await work.decide(THING, "thing/1", Keep(text="b"))
        return await work.state(THING, "thing/1")

    state, _ = await transact(wiring, "tester", CONTEXT, change)
    assert state == ("a", "b")
    assert await texts(wiring, "thing/1") == ["a", "b"]


async def test_events_are_said_in_the_order_in_which_they_were_decided(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> list[str]:
        await work.state(THING, "thing/2")
        for stream, text in (("thing/1", "a"), ("thing/2", "b"), ("thing/1", "c")):
            await work.decide(THING, stream, Keep(text=text))
        return [each.data.text for each in work.said]

    said, recorded = await transact(wiring, "tester", CONTEXT, change)
    assert said == ["a", "b", "c"]
    assert [(each.data.text, each.position, each.version) for each in recorded] == [
        ("a", 1, 1),
        ("b", 2, 1),
        ("c", 3, 2),
    ]


async def test_a_refusal_commits_nothing(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", Keep(text="a"))
        await work.decide(THING, "thing/1", Keep(text="forbidden"))

    with pytest.raises(Refused, match="not kept here"):
        await transact(wiring, "tester", CONTEXT, change)
    assert (await wiring.store.head()).position == 0


async def test_a_service_says_its_own_events_only(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> None:
        await work.state(THING, "thing/1")
        work.stage("thing/1", [AlphaNoted(text="a")])

    with pytest.raises(TypeError, match=r"tester cannot say placet\.alpha\.thing\.noted\.v1: it is alpha's"):
        await transact(wiring, "tester", CONTEXT, change)


async def test_who_was_overtaken_decides_again_on_what_is_there_now(wiring: Wiring) -> None:
    tries = []

    async def change(work: UnitOfWork) -> None:
        tries.append(await work.state(THING, "thing/1"))
        if len(tries) == 1:
            await wiring.store.commit(append("other"))
        await work.decide(THING, "thing/1", Keep(text="mine"))
        work.put(kept, number=1, place=f"try {len(tries)}")

    await transact(wiring, "tester", CONTEXT, change)
    assert tries == [(), ("other",)]
    assert await texts(wiring, "thing/1") == ["other", "mine"]
    assert [row.place for row in await wiring.store.rows(sa.select(kept))] == ["try 2"]


async def test_what_is_known_already_is_not_loaded_again(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wiring.store.commit(append("a"))

    async def change(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", Keep(text="b"))

    async def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("it was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(wiring.store, "read", asked)
        await transact(wiring, "tester", CONTEXT, change, known={"thing/1": [ThingKept(text="a")]})
    assert await texts(wiring, "thing/1") == ["a", "b"]


@pytest.mark.parametrize("text", ["a", "b"])
async def test_what_was_known_and_is_not_all_by_now_counts_for_nothing(wiring: Wiring, text: str) -> None:
    """Also where nothing is said of it: that too is decided on what there was."""
    await wiring.store.commit(append("a"))
    seen: list[tuple[str, ...]] = []

    async def change(work: UnitOfWork) -> None:
        seen.append(await work.state(THING, "thing/1"))
        await work.decide(THING, "thing/1", Keep(text=text))

    await transact(wiring, "tester", CONTEXT, change, known={"thing/1": []})
    assert seen == [(), ("a",)]
    assert await texts(wiring, "thing/1") == (["a"] if text == "a" else ["a", "b"])


async def test_who_is_always_overtaken_gives_up_for_now(wiring: Wiring) -> None:
    tries = []

    async def change(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", Keep(text="mine"))
        tries.append(1)
        await wiring.store.commit(append(f"other {len(tries)}"))

    with pytest.raises(Unavailable, match="others were first") as given_up:
        await transact(wiring, "tester", CONTEXT, change)
    assert len(tries) == MAX_CONFLICTS
    assert given_up.value.retry_after is None  # so that it counts as an attempt


async def test_a_lost_claim_is_final(wiring: Wiring) -> None:
    tries = []

    async def change(work: UnitOfWork) -> None:
        tries.append(1)
        await work.decide(THING, "thing/1", Keep(text="a"))

    with pytest.raises(ClaimLost):
        await transact(wiring, "tester", CONTEXT, change, Claim(statement=sa.delete(kept)))
    assert tries == [1]
    assert await texts(wiring, "thing/1") == []


async def test_what_changes_nothing_asks_the_database_nothing(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> str:
        return "nothing to do"

    away = replace(wiring, store=FatefulStore(wiring.store, ["lost"]))
    assert await transact(away, "tester", CONTEXT, change) == ("nothing to do", ())


async def test_a_conflict_of_the_domains_own_is_not_tried_again(wiring: Wiring) -> None:
    tries = []

    async def change(work: UnitOfWork) -> None:
        tries.append(1)
        raise Conflict("this name is taken")

    with pytest.raises(Conflict, match="this name is taken"):
        await transact(wiring, "tester", CONTEXT, change)
    assert tries == [1]


async def test_a_job_is_accepted_with_the_events_that_say_so(wiring: Wiring) -> None:
    async def change(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", Keep(text="accepted"))
        work.enqueue("build", "churn", Keep(text="job"))
        raise Refused("after all, no")

    with pytest.raises(Refused):
        await transact(wiring, "tester", CONTEXT, change)
    assert await wiring.store.rows(sa.select(tables.jobs)) == []


async def test_a_reaction_has_the_event_as_its_cause_and_the_service_as_its_actor() -> None:
    event = seal(AlphaNoted(text="a"), "event-7", project="fraud")
    context = Context.after(event, "tester")

    assert (context.project, context.correlation, context.causation) == ("fraud", "operation-1", "event-7")
    assert context.actor == Actor.service("tester")


def replace_context(**changes: Any) -> Context:
    fields = {name: getattr(CONTEXT, name) for name in CONTEXT.__struct_fields__}
    return Context(**{**fields, **changes})


# given, when, then.


def test_given_when_then_passes_for_what_happens() -> None:
    assert given(THING).when(Keep(text="a")).then(ThingKept(text="a")) == ("a",)
    assert given(THING, ThingKept(text="a")).when(Keep(text="a")).then_nothing() == ("a",)
    given(THING).when(Keep(text="forbidden")).then_refused(saying="not kept here")


@pytest.mark.parametrize(
    "scenario",
    [
        lambda: given(THING).when(Keep(text="a")).then_nothing(),
        lambda: given(THING).when(Keep(text="a")).then(ThingKept(text="b")),
        lambda: given(THING).when(Keep(text="forbidden")).then(ThingKept(text="b")),
        lambda: given(THING).when(Keep(text="a")).then_refused(saying="not kept"),
        lambda: given(THING).when(Keep(text="forbidden")).then_refused(saying="something else"),
        lambda: given(THING).when(Keep(text="forbidden")).then_refused(saying="not", kind=Conflict),
    ],
)
def test_given_when_then_fails_for_what_does_not(scenario: Any) -> None:
    with pytest.raises(AssertionError):
        scenario()


def test_given_when_then_finds_a_state_that_depends_on_when_it_was_folded() -> None:
    folds = iter(range(100))
    forgetful: Decider[Keep, tuple[str, ...], ThingKept] = replace(
        THING, evolve=lambda state, happened: (*state, f"{next(folds)}")
    )
    with pytest.raises(AssertionError, match="is not live"):
        given(forgetful).when(Keep(text="a"))
