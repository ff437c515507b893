"""What every event store has to keep to, whatever database is below. Adapters subclass `StoreContract`.

Several stores are opened on one database wherever a case says "another process": a store shares nothing
with its neighbours but the database.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Conflict, Unavailable, Unreadable
from placet.events.adapters.sql_store import SqlStore
from placet.events.catalog import Catalog, event
from placet.events.codec import Codec
from placet.events.envelope import Actor, Event, Recorded
from placet.events.store import ANY_VERSION, EVENTS, Append, Claim, ClaimLost, EventStore, Put, Run, Unit
from placet.events.tables import LIBRARY
from sqlalchemy.exc import DBAPIError

from tests.support.eventually import eventually

ARCHIVE = "archive"
"""A second log, of other services' events."""

HOTEL = sa.MetaData()
rooms = sa.Table(
    "rooms",
    HOTEL,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("guest", sa.Text, nullable=False),
    sa.Index("rooms_guest", "guest"),
)
keys = sa.Table("keys", HOTEL, sa.Column("name", sa.Text, primary_key=True))


@event("tester", "thing.noted")
class ThingNoted:
    text: str


@event("stranger", "thing.seen")
class ThingSeen:
    text: str


CODEC = Codec(Catalog([ThingNoted]))
STRANGERS = Codec(Catalog([ThingSeen]))
TIMEOUT = 60.0
"""Seconds: a bound for hangs, not a measure."""


Administrator = Callable[[str], Awaitable[None]]
"""Runs a statement past the store and all that the database has against it."""


class OpenStore(Protocol):
    def __call__(self) -> Awaitable[SqlStore]:
        """A store on the one database of the test. Closed after the test."""


def noted(
    stream: str, id: str, text: str = "", *, codec: Codec = CODEC, kind: Any = ThingNoted
) -> Event[Any]:
    """An event whose bytes follow from the arguments alone."""
    return codec.seal(
        kind(text=text),
        id=id,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        subject=stream,
        partitionkey="churn",
        correlationid="operation-1",
        actor=Actor.service("tester"),
    )


def appending(stream: str, *ids: str, expected: int | None = ANY_VERSION, text: str = "") -> Unit:
    return Unit(
        appends=(
            Append(stream=stream, expected=expected, events=tuple(noted(stream, id, text) for id in ids)),
        )
    )


def ids_of(recorded: Sequence[Recorded[Any]]) -> list[str]:
    return [each.event.id for each in recorded]


def places_of(recorded: Sequence[Recorded[Any]]) -> list[tuple[int, int]]:
    return [(each.position, each.version) for each in recorded]


async def whole_log(store: EventStore, *, log: str = EVENTS) -> list[Recorded[Any]]:
    """Everything, in pages; fails where positions are not contiguous."""
    found: list[Recorded[Any]] = []
    while page := await store.read_all(len(found), 100, log=log):
        found.extend(page)
        assert [each.position for each in found[-len(page) :]] == list(
            range(len(found) - len(page) + 1, len(found) + 1)
        )
    return found


class Tail:
    """A reader that follows a log by position, as relays and projections do."""

    def __init__(self, store: EventStore, *, limit: int = 7) -> None:
        self._store = store
        self._limit = limit
        self._position = 0
        self.seen: list[tuple[int, str]] = []

    async def look(self) -> bool:
        """Read one page; whether there was anything."""
        page = await self._store.read_all(self._position, self._limit)
        self.seen.extend((each.position, each.event.id) for each in page)
        if page:
            self._position = page[-1].position
        return bool(page)

    async def follow(self, until: asyncio.Event) -> None:
        """Read on until `until` is set and nothing is left."""
        while True:
            ending = until.is_set()
            if not await self.look() and ending:
                return

    async def must_have_seen(self, log: Sequence[Recorded[Any]]) -> None:
        """Everything once and in the log's own order: nothing skipped, nothing reordered."""
        while await self.look():
            pass
        assert self.seen == [(each.position, each.event.id) for each in log]


class StoreContract:
    """The cases. A subclass gives the fixtures `open_store` and `administrator`."""

    owns_its_tables = True

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> SqlStore:
        return await open_store()

    @pytest.fixture
    async def three_stores(self, open_store: OpenStore) -> list[SqlStore]:
        return [await open_store() for _ in range(3)]

    # Places.

    async def test_events_get_the_next_positions_and_versions(self, store: SqlStore) -> None:
        first = await store.commit(appending("a", "1", "2", expected=0))
        second = await store.commit(appending("b", "3", expected=0))
        third = await store.commit(appending("a", "4", expected=2))

        assert places_of(first) == [(1, 1), (2, 2)]
        assert places_of(second) == [(3, 1)]
        assert places_of(third) == [(4, 3)]

    async def test_what_was_appended_is_read_back_byte_for_byte(self, store: SqlStore) -> None:
        sent = noted("a", "1", text='Straße "π" \x01\u2028 😀')
        await store.commit(Unit(appends=(Append(stream="a", expected=0, events=(sent,)),)))

        (read,) = await store.read("a")
        assert read.event == sent
        assert read.event.raw == sent.raw

    async def test_a_stream_is_read_from_a_version_on(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", "2", "3"))
        await store.commit(appending("b", "4"))

        assert ids_of(await store.read("a")) == ["1", "2", "3"]
        assert ids_of(await store.read("a", after=1)) == ["2", "3"]
        assert await store.read("a", after=3) == []
        assert await store.read("nothing") == []

    async def test_many_streams_are_read_in_one_question_each_as_it_is(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", "2"))
        await store.commit(appending("b", "3"))
        await store.commit(appending("a", "4"))

        read = await store.read_many(["b", "nothing", "a", "a"])
        assert read == {"b": await store.read("b"), "nothing": [], "a": await store.read("a")}
        assert ids_of(read["a"]) == ["1", "2", "4"]
        assert await store.read_many([]) == {}

    async def test_more_streams_are_read_than_a_database_has_values_in_a_question(
        self, store: SqlStore
    ) -> None:
        await store.commit(appending("stream-39999", "1"))

        read = await store.read_many([f"stream-{number}" for number in range(40_000)])
        assert [stream for stream, history in read.items() if history] == ["stream-39999"]

    async def test_a_stream_that_grew_is_a_conflict_for_who_only_counts_on_it(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1"))

        await store.commit(appending("a", expected=1))
        with pytest.raises(Conflict):
            await store.commit(appending("a", expected=0))
        assert ids_of(await store.read("a")) == ["1"]

    async def test_the_log_is_read_in_pages(self, store: SqlStore) -> None:
        for number in range(1, 6):
            await store.commit(appending(f"s{number % 2}", str(number)))

        assert ids_of(await store.read_all(0, 2)) == ["1", "2"]
        assert ids_of(await store.read_all(2, 2)) == ["3", "4"]
        assert ids_of(await store.read_all(4, 2)) == ["5"]
        assert await store.read_all(5, 2) == []

    async def test_a_log_that_grows_while_it_is_replayed_is_read_to_its_end(self, store: SqlStore) -> None:
        await store.commit(appending("a", *map(str, range(350))))
        seen: list[str] = []
        while page := await store.read_all(len(seen), 100):
            seen.extend(ids_of(page))
            if len(seen) < 400:
                await store.commit(appending("a", *(f"after {len(seen)}, {n}" for n in range(30))))

        log = [each.event.id for each in await store.read("a")]
        assert seen == log
        assert len(log) > 400

    async def test_a_replay_is_the_whole_log_in_pages(self, store: SqlStore) -> None:
        await store.commit(appending("a", *map(str, range(1, 6))))

        pages = [ids_of(page) async for page in store.replay(1, limit=2)]
        assert pages == [["2", "3"], ["4", "5"]]
        assert [page async for page in store.replay(5)] == []

    async def test_a_replay_goes_on_with_what_was_committed_since_it_began(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", "2", "3"))
        seen: list[str] = []
        async for page in store.replay(limit=1):
            seen.extend(ids_of(page))
            if len(seen) == 1:
                await store.commit(appending("a", "4"))

        assert seen == ["1", "2", "3", "4"]

    async def test_a_replay_that_is_left_leaves_nothing_behind(self, store: SqlStore) -> None:
        await store.commit(appending("a", *map(str, range(1, 10))))
        before = asyncio.all_tasks()
        for _ in range(40):  # more than there are connections to read on
            async with aclosing(store.replay(limit=1)) as pages:
                assert ids_of(await anext(pages)) == ["1"]

        await eventually(
            lambda: asyncio.all_tasks() <= before
        )  # a query is called off by a message of its own
        assert len(await store.read("a")) == 9

    async def test_a_log_is_written_once(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", "2"))
        log = sa.table(EVENTS, sa.column("position"), sa.column("id"))
        for statement in (
            sa.delete(log).where(log.c.position == 2),
            sa.update(log).where(log.c.position == 2).values(id="3"),
        ):
            # By a role that has no right to; else by a trigger.
            with pytest.raises(
                (DBAPIError, Conflict), match=r"rows of events are written once|permission denied"
            ):
                await store.commit(Unit(writes=(Run(statement=statement),)))
        assert ids_of(await store.read_all(0, 10)) == ["1", "2"]

    async def test_a_missing_position_is_told_and_never_stepped_over(
        self, store: SqlStore, administrator: Administrator
    ) -> None:
        await store.commit(appending("a", "1", "2", "3"))
        await administrator("DELETE FROM events WHERE position = 2")

        with pytest.raises(Unreadable, match="no position 2"):
            await store.read_all(0, 10)
        with pytest.raises(Unreadable, match="no position 2"):
            assert [ids_of(page) async for page in store.replay(limit=1)] == [["1"]]

    @pytest.mark.parametrize("limit", [1, 2, 3, 10])
    async def test_a_log_that_lacks_its_end_is_told(
        self, store: SqlStore, administrator: Administrator, limit: int
    ) -> None:
        await store.commit(appending("a", "1", "2", "3"))
        await administrator("DELETE FROM events WHERE position = 3")

        assert ids_of(await store.read_all(0, 2)) == ["1", "2"]
        with pytest.raises(Unreadable, match="no position 3, but ends at 3"):
            await store.read_all(2, limit)
        with pytest.raises(Unreadable, match="no position 3, but ends at 3"):
            assert [page async for page in store.replay(limit=limit) if not page]

    async def test_several_streams_of_one_unit_are_recorded_in_the_order_given(self, store: SqlStore) -> None:
        unit = Unit(
            appends=(
                Append(stream="z", expected=0, events=(noted("z", "1"),)),
                Append(stream="a", expected=0, events=(noted("a", "2"),)),
                Append(stream="z", expected=1, events=(noted("z", "3"),)),
            )
        )

        recorded = await store.commit(unit)
        assert [(each.event.id, each.position, each.version) for each in recorded] == [
            ("1", 1, 1),
            ("2", 2, 1),
            ("3", 3, 2),
        ]
        assert await store.commit(unit) == recorded

    # Expected versions.

    @pytest.mark.parametrize("expected", [0, 1, 3])
    async def test_another_version_than_the_expected_one_is_a_conflict(
        self, store: SqlStore, expected: int
    ) -> None:
        await store.commit(appending("a", "1", "2"))

        with pytest.raises(Conflict, match="stream a is at version 2"):
            await store.commit(appending("a", "3", expected=expected))
        assert ids_of(await whole_log(store)) == ["1", "2"]

    async def test_a_new_stream_is_at_version_0(self, store: SqlStore) -> None:
        with pytest.raises(Conflict, match="at version 0"):
            await store.commit(appending("a", "1", expected=1))
        assert places_of(await store.commit(appending("a", "1", expected=0))) == [(1, 1)]

    async def test_any_version_appends_at_the_end(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1"))
        assert places_of(await store.commit(appending("a", "2", expected=ANY_VERSION))) == [(2, 2)]

    async def test_of_those_who_expect_the_same_version_one_wins(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(3)]

        outcomes = await asyncio.gather(
            *(stores[n % 3].commit(appending("a", str(n), expected=0)) for n in range(12)),
            return_exceptions=True,
        )

        assert sorted(type(each).__name__ for each in outcomes) == ["Conflict"] * 11 + ["tuple"]
        assert len(await whole_log(stores[0])) == 1

    # The same again.

    async def test_the_same_unit_again_keeps_its_original_places(self, store: SqlStore) -> None:
        unit = appending("a", "1", "2", expected=0)
        first = await store.commit(unit)
        await store.commit(appending("a", "3"))

        assert await store.commit(unit) == first
        assert ids_of(await whole_log(store)) == ["1", "2", "3"]

    async def test_the_same_unit_again_at_any_version_keeps_its_places(self, store: SqlStore) -> None:
        first = await store.commit(appending("a", "1", "2"))
        await store.commit(appending("a", "3"))

        assert await store.commit(appending("a", "1", "2")) == first

    async def test_a_value_may_be_worked_out_by_the_database(self, store: EventStore) -> None:
        def put(name: str, guest: object) -> Put:
            return Put(table=rooms, row={"name": name, "guest": guest})

        count = sa.cast(sa.select(sa.func.count()).select_from(rooms).scalar_subquery(), sa.Text)
        await store.commit(
            Unit(writes=(put("1", "Ann"), put("2", sa.func.upper("bob")), put("3", count), put("1", count)))
        )
        rows = await store.rows(sa.select(rooms.c.name, rooms.c.guest).order_by(rooms.c.name))
        assert [tuple(row) for row in rows] == [("1", "3"), ("2", "BOB"), ("3", "2")]

    async def test_rows_that_are_put_together_are_put_one_after_the_other(self, store: EventStore) -> None:
        guests = [("7", "Ann"), ("8", "Bob"), ("7", "Cem")]
        puts = [Put(table=rooms, row={"name": name, "guest": guest}) for name, guest in guests]
        kept = Put(table=rooms, row={"name": "8", "guest": "Dan"}, keep=("guest",))
        await store.commit(Unit(writes=(*puts, kept)))
        rows = await store.rows(sa.select(rooms.c.name, rooms.c.guest).order_by(rooms.c.name))
        assert [tuple(row) for row in rows] == [("7", "Cem"), ("8", "Bob")]
        gone = Run(statement=sa.delete(rooms).where(rooms.c.name == "7"))
        await store.commit(Unit(writes=(puts[0], gone, puts[1])))
        rows = await store.rows(sa.select(rooms.c.name, rooms.c.guest))
        assert [tuple(row) for row in rows] == [("8", "Bob")]

    async def test_a_unit_that_was_committed_before_does_not_write_its_rows_again(
        self, store: SqlStore
    ) -> None:
        unit = Unit(
            appends=appending("a", "1").appends, writes=(Put(table=rooms, row={"name": "7", "guest": "Ann"}),)
        )
        await store.commit(unit)
        await store.commit(Unit(writes=(Put(table=rooms, row={"name": "7", "guest": "Bob"}),)))

        await store.commit(unit)
        assert [row.guest for row in await store.rows(sa.select(rooms))] == ["Bob"]

    async def test_the_same_unit_twice_at_once_is_committed_once(self, open_store: OpenStore) -> None:
        stores = [await open_store(), await open_store()]
        unit = appending("a", "1", expected=0)

        outcomes = await asyncio.gather(*(stores[n % 2].commit(unit) for n in range(6)))

        assert outcomes == [outcomes[0]] * 6
        assert ids_of(await whole_log(stores[0])) == ["1"]

    async def test_a_known_id_with_other_bytes_is_a_conflict(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", text="one"))

        with pytest.raises(Conflict, match="other bytes"):
            await store.commit(appending("a", "1", text="another"))
        with pytest.raises(Conflict, match="other bytes"):
            await store.commit(appending("b", "1", text="another", expected=0))

    async def test_a_unit_of_which_only_some_is_known_is_a_conflict(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1"))

        with pytest.raises(Conflict, match="some events"):
            await store.commit(appending("a", "1", "2"))
        assert ids_of(await whole_log(store)) == ["1"]

    # All of a unit or nothing.

    async def test_events_claims_and_rows_are_committed_together(self, store: SqlStore) -> None:
        await store.commit(Unit(writes=(Put(table=keys, row={"name": "k"}),)))

        await store.commit(
            Unit(
                claims=(Claim(statement=sa.delete(keys).where(keys.c.name == "k")),),
                appends=appending("a", "1").appends,
                writes=(Put(table=rooms, row={"name": "7", "guest": "Ann"}),),
            )
        )

        assert await store.rows(sa.select(keys)) == []
        assert len(await store.rows(sa.select(rooms))) == 1
        assert ids_of(await whole_log(store)) == ["1"]

    async def test_a_lost_claim_leaves_nothing_of_its_unit(self, store: SqlStore) -> None:
        with pytest.raises(ClaimLost):
            await store.commit(
                Unit(
                    claims=(Claim(statement=sa.delete(keys).where(keys.c.name == "gone")),),
                    appends=appending("a", "1").appends,
                    writes=(Put(table=rooms, row={"name": "7", "guest": "Ann"}),),
                )
            )

        assert await whole_log(store) == []
        assert await store.rows(sa.select(rooms)) == []

    async def test_a_claim_must_hit_as_many_rows_as_it_says(self, store: SqlStore) -> None:
        await store.commit(
            Unit(writes=(Run(statement=sa.insert(keys), parameters=[{"name": "k"}, {"name": "l"}]),))
        )

        with pytest.raises(ClaimLost):
            await store.commit(Unit(claims=(Claim(statement=sa.delete(keys), rows=3),)))
        assert len(await store.rows(sa.select(keys))) == 2
        await store.commit(Unit(claims=(Claim(statement=sa.delete(keys), rows=2),)))
        assert await store.rows(sa.select(keys)) == []

    async def test_a_claim_is_won_by_one(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(3)]
        await stores[0].commit(Unit(writes=(Put(table=keys, row={"name": "k"}),)))

        outcomes = await asyncio.gather(
            *(
                stores[n % 3].commit(
                    Unit(claims=(Claim(statement=sa.delete(keys)),), appends=appending("a", str(n)).appends)
                )
                for n in range(9)
            ),
            return_exceptions=True,
        )

        assert sorted(type(each).__name__ for each in outcomes) == ["ClaimLost"] * 8 + ["tuple"]
        assert len(await whole_log(stores[0])) == 1

    async def test_a_failing_row_leaves_nothing_of_its_unit(self, store: SqlStore) -> None:
        await store.commit(Unit(writes=(Put(table=keys, row={"name": "k"}),)))

        with pytest.raises(Conflict):
            await store.commit(
                Unit(
                    appends=appending("a", "1").appends,
                    writes=(Run(statement=sa.insert(keys).values(name="k")),),
                )
            )
        assert await whole_log(store) == []

    async def test_put_replaces_the_row_with_its_key(self, store: SqlStore) -> None:
        for guest in ("Ann", "Bob"):
            await store.commit(Unit(writes=(Put(table=rooms, row={"name": "7", "guest": guest}),)))
            await store.commit(Unit(writes=(Put(table=keys, row={"name": "k"}),)))

        assert [tuple(row) for row in await store.rows(sa.select(rooms))] == [("7", "Bob")]
        assert len(await store.rows(sa.select(keys))) == 1

    async def test_a_unit_that_fails_does_so_alone(self, store: SqlStore) -> None:
        await store.commit(appending("taken", "0", text="mine"))
        bad = {
            3: appending("taken", "late", expected=0),
            5: appending("b", "0", text="not mine"),
            8: Unit(claims=(Claim(statement=sa.delete(keys)),), appends=appending("c", "claimed").appends),
        }

        outcomes = await asyncio.gather(
            *(store.commit(bad.get(n) or appending(f"s{n}", f"e{n}", expected=0)) for n in range(12)),
            return_exceptions=True,
        )

        assert {n: type(each) for n, each in enumerate(outcomes) if isinstance(each, BaseException)} == {
            3: Conflict,
            5: Conflict,
            8: ClaimLost,
        }
        assert ids_of(await whole_log(store)) == ["0"] + [f"e{n}" for n in range(12) if n not in bad]

    @pytest.mark.parametrize("guilty", [1, 10])
    async def test_units_in_conflict_leave_their_neighbours_in_one_transaction(
        self, store: SqlStore, guilty: int
    ) -> None:
        await store.commit(appending("taken", "0"))
        lost = Claim(statement=sa.delete(keys))
        bad = [
            appending("taken", f"late {n}", expected=0)
            if n % 2
            else Unit(claims=(lost,), appends=appending("c", f"claimed {n}").appends)
            for n in range(guilty)
        ]
        before = store.committed.count

        outcomes = await asyncio.gather(
            *(
                store.commit(
                    bad[n // 10] if n % 10 == 3 and n // 10 < guilty else appending(f"s{n}", f"e{n}")
                )
                for n in range(100)
            ),
            return_exceptions=True,
        )

        assert [n for n, each in enumerate(outcomes) if isinstance(each, Conflict)] == [
            10 * n + 3 for n in range(guilty)
        ]
        assert len(await whole_log(store)) == 1 + 100 - guilty
        assert store.committed.count - before == 1

    async def test_a_row_that_the_database_refuses_costs_its_neighbours_two_transactions(
        self, store: SqlStore
    ) -> None:
        await store.commit(Unit(writes=(Put(table=keys, row={"name": "k"}),)))
        bad = Unit(
            appends=appending("b", "bad").appends, writes=(Run(statement=sa.insert(keys).values(name="k")),)
        )
        before = store.committed.count

        outcomes = await asyncio.gather(
            *(store.commit(bad if n == 40 else appending(f"s{n}", f"e{n}")) for n in range(100)),
            return_exceptions=True,
        )

        assert [n for n, each in enumerate(outcomes) if isinstance(each, Conflict)] == [40]
        assert ids_of(await whole_log(store)) == [f"e{n}" for n in range(100) if n != 40]
        assert store.committed.count - before == 2

    async def test_a_unit_that_comes_again_among_others_keeps_its_places_and_halves_them_until_it_is_found(
        self, store: SqlStore
    ) -> None:
        first = await store.commit(appending("a", "1"))
        before = store.committed.count

        outcomes = await asyncio.gather(
            *(store.commit(appending("a", "1") if n == 40 else appending("a", f"e{n}")) for n in range(100))
        )

        assert outcomes[40] == first
        assert len(await whole_log(store)) == 100
        assert store.committed.count - before <= 7

    async def test_units_that_are_committed_together_leave_what_one_after_the_other_would_have(
        self, store: SqlStore
    ) -> None:
        def room(name: str, guest: str) -> Put:
            return Put(table=rooms, row={"name": name, "guest": guest})

        await store.commit(Unit(writes=(room("job", "free"), room("request", "queued"))))
        taken = sa.update(rooms).where(rooms.c.name == "job", rooms.c.guest == "free").values(guest="taken")

        await asyncio.gather(
            store.commit(Unit(writes=(room("request", "queued again"), room("job", "free")))),
            store.commit(Unit(claims=(Claim(statement=taken),), writes=(room("request", "done"),))),
        )

        left = {row.name: row.guest for row in await store.rows(sa.select(rooms))}
        assert left in (
            {"job": "taken", "request": "done"},
            {"job": "free", "request": "queued again"},
        )

    async def test_a_claim_finds_what_a_unit_before_its_own_has_written(self, store: SqlStore) -> None:
        await asyncio.gather(
            store.commit(Unit(writes=(Put(table=keys, row={"name": "k"}),))),
            store.commit(
                Unit(claims=(Claim(statement=sa.delete(keys)),), appends=appending("a", "1").appends)
            ),
        )

        assert await store.rows(sa.select(keys)) == []
        assert ids_of(await whole_log(store)) == ["1"]

    async def test_an_empty_unit_is_no_event(self, store: SqlStore) -> None:
        assert await store.commit(Unit()) == ()
        assert (await store.head()).position == 0

    # Several logs.

    async def test_each_log_has_positions_of_its_own(self, store: SqlStore) -> None:
        unit = Unit(
            appends=(
                *appending("a", "1").appends,
                Append(
                    stream="log/stranger",
                    expected=0,
                    events=(noted("x", "7", codec=STRANGERS, kind=ThingSeen),),
                    log=ARCHIVE,
                ),
                *appending("a", "2").appends,
            )
        )
        recorded = await store.commit(unit)

        assert [(each.event.id, each.position) for each in recorded] == [("1", 1), ("7", 1), ("2", 2)]
        assert await store.commit(unit) == recorded
        assert ids_of(await whole_log(store)) == ["1", "2"]
        assert ids_of(await whole_log(store, log=ARCHIVE)) == ["7"]
        assert (await store.head()).epoch != (await store.head(ARCHIVE)).epoch

    async def test_a_log_of_others_keeps_types_that_nobody_here_knows(self, store: SqlStore) -> None:
        foreign = noted("x", "7", "who knows", codec=STRANGERS, kind=ThingSeen)
        await store.commit(
            Unit(
                appends=(Append(stream="log/stranger", expected=ANY_VERSION, events=(foreign,), log=ARCHIVE),)
            )
        )

        for (kept,) in (
            await store.read("log/stranger", log=ARCHIVE),
            await store.read_all(0, 9, log=ARCHIVE),
        ):
            assert kept.event.raw == foreign.raw
            assert kept.event.type == "placet.stranger.thing.seen.v1"

    async def test_an_unknown_type_in_the_own_log_is_told(self, store: SqlStore) -> None:
        foreign = noted("x", "7", codec=STRANGERS, kind=ThingSeen)
        await store.commit(Unit(appends=(Append(stream="x", expected=0, events=(foreign,)),)))

        with pytest.raises(Unreadable, match=r"placet\.stranger\.thing\.seen\.v1"):
            await store.read_all(0, 10)

    def test_the_own_log_keeps_an_event_in_the_stream_of_its_subject(self) -> None:
        with pytest.raises(ValueError, match="another subject"):
            Append(stream="a", expected=0, events=(noted("a", "1"), noted("b", "2")))

    async def test_an_unknown_log_is_told(self, store: SqlStore) -> None:
        for asking in (
            store.read("a", log="nowhere"),
            store.read_all(0, 1, log="nowhere"),
            store.head("nowhere"),
            store.commit(
                Unit(appends=(Append(stream="a", expected=0, events=(noted("a", "1"),), log="nowhere"),))
            ),
        ):
            with pytest.raises(Unreadable, match="nowhere"):
                await asking

    # Epochs.

    async def test_a_log_begins_with_one_epoch(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.commit(appending("a", "1"))
        head = await store.head()

        assert (head.position, head.began_after) == (1, 0)
        assert await store.epochs() == [head]
        assert await (await open_store()).head() == head

    async def test_a_new_epoch_sorts_after_the_old_one_wherever_its_clock_is(self, store: SqlStore) -> None:
        first = await store.head()
        ahead = str(UUID(int=UUID(first.epoch).int + (1 << 120)))
        epochs = sa.table("log_epochs", sa.column("epoch"))
        await store.commit(Unit(writes=(Run(statement=sa.update(epochs).values(epoch=ahead)),)))
        second, third = await store.begin_epoch(), await store.begin_epoch()
        assert ahead < second.epoch < third.epoch

    async def test_a_new_epoch_names_where_the_old_one_ended(self, store: SqlStore) -> None:
        await store.commit(appending("a", "1", "2"))
        before = await store.head()
        began = await store.begin_epoch()
        await store.commit(appending("a", "3"))

        old, new = await store.epochs()
        assert (old.epoch, old.began_after, old.position) == (before.epoch, 0, 2)
        assert (new.epoch, new.began_after, new.position) == (began.epoch, 2, 3)
        assert new == await store.head()
        assert len(await store.epochs(ARCHIVE)) == 1

    # Other processes, readers, endings.

    async def test_interleaved_writers_leave_no_hole_and_readers_skip_nothing(
        self, open_store: OpenStore
    ) -> None:
        stores = [await open_store() for _ in range(4)]
        tails = [Tail(stores[0]), Tail(stores[3], limit=2)]
        over = asyncio.Event()
        readers = [asyncio.create_task(tail.follow(over)) for tail in tails]

        async def write(writer: int) -> None:
            store = stores[writer % len(stores)]
            for number in range(10):
                own = appending(f"own/{writer}", f"{writer}-{number}-own", expected=number)
                shared = appending("shared", f"{writer}-{number}-shared")
                await store.commit(Unit(appends=own.appends + shared.appends))
                for _ in range((writer * 7 + number * 3) % 5):
                    await asyncio.sleep(0)

        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*(write(writer) for writer in range(16)))
            over.set()
            await asyncio.gather(*readers)

        log = await whole_log(stores[1])
        assert len(log) == len({each.event.id for each in log}) == 16 * 10 * 2
        _versions_are_contiguous(log)
        for tail in tails:
            await tail.must_have_seen(log)

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=list(
            HealthCheck
        ),  # each run has streams of its own, and each adapter its class
    )
    @given(
        script=st.lists(
            st.tuples(
                st.integers(0, 2),  # which process
                st.tuples(
                    st.sampled_from("abc"),  # which stream
                    st.sampled_from([None, 0, 1, 2]),  # the version expected
                    st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),  # ids
                    st.booleans(),  # with a row that may be there already
                ),
            ),
            min_size=1,
            max_size=12,
        )
    )
    async def test_whatever_is_asked_at_once_each_unit_is_there_whole_or_not_at_all(
        self, three_stores: list[SqlStore], script: list[tuple[int, tuple[str, int | None, list[int], bool]]]
    ) -> None:
        run = f"run{next(_runs)}"
        before = (await three_stores[0].head()).position

        def unit(stream: str, expected: int | None, ids: list[int], with_row: bool) -> Unit:
            # Ids are shared by streams on purpose: then the bytes differ.
            names = [f"{run}-{id}" for id in ids]
            row = (Run(statement=sa.insert(keys).values(name=",".join(sorted(names)))),) if with_row else ()
            return Unit(appends=appending(f"{run}/{stream}", *names, expected=expected).appends, writes=row)

        units = [unit(*rest) for _, rest in script]
        outcomes = await asyncio.gather(
            *(three_stores[which].commit(each) for (which, _), each in zip(script, units, strict=True)),
            return_exceptions=True,
        )

        log = (await whole_log(three_stores[0]))[before:]
        _versions_are_contiguous(log)
        by_id = {each.event.id: each for each in log}
        assert len(by_id) == len(log)
        acknowledged = set()
        for sent, outcome in zip(units, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, Conflict)
                continue
            assert [by_id[each.event.id] for each in outcome] == list(outcome)
            assert [each.event.raw for each in outcome] == [each.raw for each in sent.appends[0].events]
            acknowledged.update(ids_of(outcome))
        assert acknowledged == set(by_id)

    async def test_what_is_scrubbed_keeps_its_rows_and_whoever_writes_meanwhile(
        self, store: SqlStore
    ) -> None:
        rows = [Put(table=rooms, row={"name": f"room {number}", "guest": "Ada"}) for number in range(50)]
        await store.commit(Unit(writes=tuple(rows)))
        gone = sa.delete(rooms).where(rooms.c.name != "room 7")
        await store.commit(Unit(writes=(Run(statement=gone),)))

        scrubbed, *_ = await asyncio.gather(
            store.scrub([rooms, keys]), *(store.commit(appending(f"s{n}", str(n))) for n in range(20))
        )

        assert scrubbed == self.owns_its_tables
        assert [row.name for row in await store.rows(sa.select(rooms))] == ["room 7"]
        assert len(await whole_log(store)) == 20

    async def test_a_commit_wakes_who_waits_for_one(self, store: SqlStore) -> None:
        waiting = asyncio.create_task(store.committed.wait(TIMEOUT))
        await asyncio.sleep(0)
        await store.commit(appending("a", "1"))

        async with asyncio.timeout(TIMEOUT / 2):
            await waiting

    async def test_a_cancelled_caller_does_not_undo_what_it_asked(self, store: SqlStore) -> None:
        asked = [asyncio.create_task(store.commit(appending(f"s{n}", str(n), expected=0))) for n in range(4)]
        await asyncio.sleep(0)
        asked[1].cancel()
        asked[3].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await store.commit(appending("last", "last"))

        assert sorted(ids_of(await whole_log(store))) == ["0", "1", "2", "3", "last"]

    async def test_closing_commits_what_waits_and_takes_no_more(self, open_store: OpenStore) -> None:
        store = await open_store()
        waiting = [asyncio.create_task(store.commit(appending(f"s{n}", str(n)))) for n in range(300)]
        await asyncio.sleep(0)
        await store.close()

        assert all(task.done() for task in waiting)
        assert len(await asyncio.gather(*waiting)) == 300
        with pytest.raises(Unavailable, match="closed"):
            await store.commit(appending("late", "late"))
        assert len(await whole_log(await open_store())) == 300

    async def test_what_was_committed_is_there_for_the_next_process(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.commit(appending("a", "1"))
        await store.close()

        again = await open_store()
        assert places_of(await again.commit(appending("a", "2", expected=1))) == [(2, 2)]


_runs = itertools.count()

TABLES = (LIBRARY, HOTEL)
LOGS = (EVENTS, ARCHIVE)


def _versions_are_contiguous(log: Sequence[Recorded[Any]]) -> None:
    streams: dict[str, list[int]] = {}
    for each in log:
        streams.setdefault(each.event.subject, []).append(each.version)
    for stream, versions in streams.items():
        assert versions == list(range(1, len(versions) + 1)), stream
