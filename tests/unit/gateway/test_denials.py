"""Every denial is counted in exactly one event of the log, and nobody can make more than a few of those."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Forbidden, PlacetError, TooMany, Unauthenticated, Unavailable
from placet.events import Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.contracts.gateway import AccessDenied
from placet.events.envelope import Recorded
from placet.events.store import EventStore, Unit
from placet.events.testing import ManualClock
from placet.gateway.projections import TABLES
from placet.identity.denials import MOST_SERIES, Denials
from starlette.requests import Request

from tests.support.eventually import eventually
from tests.unit.gateway.harness import Gateway, a_gateway

ADA = "person:00000000-0000-4000-8000-000000000001"
NOT_ALLOWED = Forbidden("no", rule="access.role")


def asked(
    address: str = "192.0.2.1", *, method: str = "GET", route: str = "/v1/tokens", **path: str
) -> Request:
    return Request(
        {
            "type": "http",
            "method": method,
            "path": "/",
            "query_string": b"",
            "headers": [],
            "client": (address, 1),
            "route": type("Route", (), {"path": route}),
            "path_params": path,
        }
    )


class Told:
    """Denials with a database of their own."""

    def __init__(self, wiring: Wiring, clock: ManualClock) -> None:
        self.wiring, self.clock = wiring, clock
        self.denials = Denials(wiring, AccessDenied)

    def note(self, error: PlacetError, person: str | None = None, **what: Any) -> None:
        self.denials.note(asked(**what), error, person)

    async def after(self, minutes: float) -> Sequence[AccessDenied]:
        self.clock.pass_(timedelta(minutes=minutes))
        await self.denials.tell()
        return await self.events()

    async def events(self) -> Sequence[AccessDenied]:
        return [each.event.data for each in await self.wiring.store.read_all(0, 1000)]


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    clock = ManualClock()
    wiring = await Wiring.embedded(
        "gateway", data=tmp_path, hub=InProcessHub(), tables=(TABLES,), clock=clock, is_kept=False
    )
    yield Told(wiring, clock)
    await wiring.store.close()


async def test_the_first_is_said_at_once_and_the_same_again_as_a_number(told: Told) -> None:
    for _ in range(1000):
        told.note(NOT_ALLOWED, ADA)
    [first] = await told.after(0)
    assert first == AccessDenied(
        denial=first.denial,
        person=ADA,
        origin=None,
        status=403,
        reason="access.role",
        method="GET",
        route="/v1/tokens",
        project=None,
        count=1,
        since="2026-01-01T00:00:00.000Z",
        until="2026-01-01T00:00:00.000Z",
    )
    told.note(NOT_ALLOWED, ADA, method="POST")
    [_, rest] = await told.after(1)
    assert (rest.denial, rest.count, rest.method, rest.route) == (first.denial, 1000, None, "/v1/tokens")
    assert (rest.since, rest.until) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z")


async def test_who_goes_on_makes_one_event_a_window_and_who_rests_begins_anew(told: Told) -> None:
    for _ in range(5):
        for _ in range(100):
            told.note(NOT_ALLOWED, ADA)
        await told.after(0)
        await told.after(1)
    events = await told.after(1)
    assert [each.count for each in events] == [1, 99, 100, 100, 100, 100]
    assert len({each.denial for each in events}) == 1
    told.note(NOT_ALLOWED, ADA)
    assert [each.count for each in await told.after(0)][6:] == [1]


async def test_callers_and_reasons_are_told_apart(told: Told) -> None:
    told.note(NOT_ALLOWED, ADA)
    told.note(TooMany("slower", rule="rate.reads"), ADA)
    told.note(Unauthenticated("who?", rule="token.missing"))
    told.note(Unauthenticated("who?"), address="192.0.2.9")
    told.note(Unauthenticated("who?"), address="2001:db8::1")
    told.note(Unauthenticated("who?"), address="2001:db8::2")
    events = await told.after(0)
    assert [(each.status, each.reason, each.count) for each in events] == [
        (403, "access.role", 1),
        (429, "rate.reads", 1),
        (401, "token.missing", 1),
        (401, "token.invalid", 1),
        (401, "token.invalid", 1),
    ]
    assert len({each.origin for each in events if each.person is None}) == 3
    assert [each.count for each in await told.after(1)][5:] == [1]


async def test_who_is_unknown_is_not_known_by_the_log_either(told: Told, tmp_path: Path) -> None:
    told.note(Unauthenticated("who?"), address="192.0.2.77")
    [said] = await told.after(0)
    other = Told(told.wiring, told.clock)
    other.note(Unauthenticated("who?"), address="192.0.2.77")
    [_, again] = await other.after(0)
    assert said.origin is not None
    assert said.origin.startswith("origin:")
    assert again.origin != said.origin, "another process has another key, and no key is kept"
    stored = b"".join(each.event.raw for each in await told.wiring.store.read_all(0, 10))
    assert b"192.0.2" not in stored


async def test_what_somebody_puts_into_a_path_is_no_project_unless_it_is_a_name(told: Told) -> None:
    told.note(NOT_ALLOWED, ADA, project="churn")
    told.note(NOT_ALLOWED, None, project="my name is Ada Lovelace\n")
    told.note(Unauthenticated("who?"), method="BREW-" * 100)
    events = await told.after(0)
    assert [each.project for each in events] == ["churn", None, None]
    assert events[2].method == "OTHER"
    stored = await told.wiring.store.read_all(0, 10)
    assert {each.event.attributes.partitionkey for each in stored} == {"platform"}


async def test_a_thousand_hostile_callers_make_a_bounded_number_of_events(told: Told) -> None:
    for minute in range(3):
        for caller in range(1000):
            told.note(Unauthenticated("who?"), address=f"192.0.{minute}.{caller % 250}")
            told.note(NOT_ALLOWED, f"{ADA[:-4]}{caller:04d}")
        await told.after(0)
        await told.after(1)
    events = await told.after(1)
    assert sum(each.count for each in events) == 6000, "nothing is dropped"
    assert len(events) <= 3 * (4 * MOST_SERIES + 2)
    beyond = [each for each in events if each.person is None and each.origin is None]
    assert {each.reason for each in beyond} == {"token.invalid", "access.role"}


async def test_who_is_unknown_takes_nobodys_name_out_of_the_log_however_many_they_are(told: Told) -> None:
    for caller in range(MOST_SERIES + 1):
        told.note(Unauthenticated("who?"), address=f"192.0.2.{caller}")
    told.note(NOT_ALLOWED, ADA)
    events = await told.after(0)
    assert (events[-1].person, events[-1].reason) == (ADA, "access.role")
    assert len({each.origin for each in events[:-1]}) == MOST_SERIES


async def test_known_people_leave_room_for_who_is_unknown(told: Told) -> None:
    for person in range(MOST_SERIES + 1):
        told.note(NOT_ALLOWED, f"{ADA[:-4]}{person:04d}")
    told.note(Unauthenticated("who?"))
    events = await told.after(0)
    assert len({each.person for each in events[:-1]}) == MOST_SERIES
    assert events[-1].origin is not None


class Troubled:
    """A store that fails when it is told to: before it commits, or behind, so that its answer is lost."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.trouble = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, unit: Unit) -> tuple[Recorded[Any], ...]:
        if self.trouble == "before":
            raise Unavailable("the database is away")
        recorded = await self._store.commit(unit)
        if self.trouble == "behind":
            raise Unavailable("the database went away")
        return recorded


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 3),
        st.sampled_from((0, 1, 30, 61, -90)),
        st.sampled_from(("", "", "before", "behind")),
    ),
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_each_denial_is_counted_in_exactly_one_event(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int, str]]
) -> None:
    """Whatever the clock is set to, and whenever the database is away."""
    clock = ManualClock()
    wiring = await Wiring.embedded(
        "gateway", data=tmp_path_factory.mktemp("log"), hub=InProcessHub(), clock=clock, is_kept=False
    )
    store = Troubled(wiring.store)
    told = Told(replace(wiring, store=cast("EventStore", store)), clock)
    try:
        for caller, times, seconds, store.trouble in steps:
            for _ in range(times):
                told.note(NOT_ALLOWED, f"{ADA[:-4]}{caller:04d}")
            clock.pass_(timedelta(seconds=seconds))
            with suppress(Unavailable):
                await told.denials.tell()
        store.trouble = ""
        await told.denials.close()
        assert sum(each.count for each in await told.events()) == sum(times for _, times, _, _ in steps)
    finally:
        await wiring.store.close()


async def test_what_a_process_that_ends_has_counted_is_said_first(told: Told) -> None:
    await told.denials.start()
    for _ in range(10):
        told.note(NOT_ALLOWED, ADA)
    await told.denials.close()
    assert sum(each.count for each in await told.events()) == 10


async def test_nobody_waits_for_a_database_that_is_away_and_it_is_said_later(told: Told) -> None:
    store = Troubled(told.wiring.store)
    denials = Denials(replace(told.wiring, store=cast("EventStore", store)), AccessDenied)
    store.trouble = "before"
    await denials.start()
    try:
        for _ in range(10):
            denials.note(asked(), NOT_ALLOWED, ADA)
        store.trouble = ""

        async def is_said() -> bool:
            return [each.count for each in await told.events()] == [1]

        await eventually(is_said)
    finally:
        await denials.close()
    assert sum(each.count for each in await told.events()) == 10


# Over HTTP


async def the_denied(gateway: Gateway, count: int) -> Sequence[AccessDenied]:
    async def are_said() -> bool:
        return len(await gateway.denied()) >= count

    await eventually(are_said)
    return await gateway.denied()


async def test_each_answer_that_denies_is_in_the_log_and_no_other(gateway: Gateway) -> None:
    scientist = gateway.token("scientist")
    async with gateway.http(scientist) as http:
        assert (await http.get("/v1/tokens")).status_code == 403
        assert (await http.delete("/v1/models/churn/team")).status_code == 403
        assert (await http.get("/v1/services/gateway/parked")).status_code == 403
        assert (await http.get("/v1/models/nothing")).status_code == 404
    async with gateway.http("no.such.token") as http:
        assert (await http.get("/v1/models")).status_code == 401
    async with gateway.http() as admin:
        made = (await admin.post("/v1/tokens", json={"as": "Grace", "roles": ["scientist"]})).json()
        assert (await admin.delete(f"/v1/tokens/{made['id']}")).status_code == 204
        async with gateway.http(made["token"]) as revoked:
            assert (await revoked.get("/v1/models")).status_code == 401
        metrics = (await admin.get("/metrics")).text
    denied = await the_denied(gateway, 3)
    assert [(each.status, each.reason, each.route, each.count) for each in denied] == [
        (403, "access.role", "/v1/tokens", 1),
        (401, "token.invalid", "/v1/models", 1),
        (401, "token.revoked", "/v1/models", 1),
    ]
    assert [each.person is None for each in denied] == [False, True, False]
    assert denied[2].person == made["person"]
    counted = "placet_denied_requests_total"
    assert f'{counted}{{reason="access.role",service="gateway",status="403"}} 3.0' in metrics
    assert f'{counted}{{reason="token.invalid",service="gateway",status="401"}} 1.0' in metrics


async def test_who_asks_too_often_is_in_the_log(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, reads_per_second=1) as gateway, gateway.http() as http:
        for _ in range(20):
            await http.get("/v1/models")
        [denied] = await the_denied(gateway, 1)
    assert (denied.status, denied.reason, denied.route) == (429, "rate.reads", "/v1/models")


async def test_a_project_that_is_named_in_a_parameter_is_known(gateway: Gateway) -> None:
    async with gateway.http() as http:
        path = "/v1/images?project=churn"
        answer = await http.get(path, headers={"Authorization": "Bearer no-token"})
        assert answer.status_code == 401
    [denied] = await the_denied(gateway, 1)
    assert (denied.method, denied.route, denied.project) == ("GET", "/v1/images", "churn")


async def test_a_project_that_is_named_in_a_command_is_known(gateway: Gateway) -> None:
    async with gateway.http(gateway.token("auditor")) as http:
        answer = await http.post("/v1/commands", json={"command": "stop", "project": "churn"})
        assert answer.status_code == 403
    [denied] = await the_denied(gateway, 1)
    assert (denied.method, denied.route, denied.project) == ("POST", "/v1/commands", "churn")
