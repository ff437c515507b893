"""What is private is told to those who have a role on it, or read all: pages, streams, entries, tiles and evidence.
And nobody reads on by a token that holds no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.events.contracts.gateway import (
    AccessDenied,
    ErasureRequested,
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    TeamChanged,
    TeamDisbanded,
    TokenRevoked,
)
from placet.events.store import PAGE

from tests.support.eventually import eventually
from tests.support.piece_by_piece import piece_by_piece
from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import Metadata, a_log
from tests.unit.metadata.test_sealing import Sealed

ME, OTHER = (f"person:00000000-0000-7000-8000-00000000000{each}" for each in "12")
GRANTED = RoleGranted(project="churn", to=OTHER, role="owner", granted_by=OTHER)
RESTRICTED = ProjectRestricted(project="churn", restricted_by=OTHER)
OPENED = ProjectOpened(project="churn", opened_by=OTHER)
TO_TEAM = RoleGranted(project="churn", to="team:fraud", role="viewer", granted_by=OTHER)
MINE = RoleGranted(project="churn", to=ME, role="viewer", granted_by=OTHER)
NO_MORE = RoleRevoked(project="churn", to=ME, role="viewer", revoked_by=OTHER)


def team(added: tuple[str, ...] = (), removed: tuple[str, ...] = ()) -> TeamChanged:
    return TeamChanged(team="fraud", added=added, removed=removed, changed_by=OTHER)


DISBANDED = TeamDisbanded(team="fraud", disbanded_by=OTHER)
WHOLE = ("/v1/audit/entries", "/v1/audit/tile/entries/000.p/1")
OF_IT = ("/v1/events?project=churn", "/v1/audit/entries?project=churn", "/v1/audit/bundle?project=churn")


def denied(reason: str, status: int, count: int) -> str:
    """As metrics tell it, which count what becomes events."""
    return f'placet_denied_requests_total{{reason="{reason}",service="metadata",status="{status}"}} {count}.0'


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with a_log(tmp_path) as one:
        yield one


async def keep(metadata: Metadata, first: int, *said: Any) -> None:
    """What the gateway said, from that position of its own on."""
    for position, each in enumerate(said, first):
        await metadata.keep(metadata.heard(each, position))


async def projects(metadata: Metadata, path: str, role: Any = "scientist") -> set[str]:
    async with metadata.alone.http(metadata.token(role=role)) as http:
        answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return {each["partitionkey"] for each in answer.json()["events"]}


async def test_what_is_private_is_left_out_of_pages_and_refused_where_it_is_named(metadata: Metadata) -> None:
    await keep(metadata, 1, asked(), asked(project="wine"), GRANTED, RESTRICTED)
    async with metadata.indexing():
        for path in ("/v1/events", "/v1/events?before=99"):
            assert await projects(metadata, path) == {"wine"}
            assert await projects(metadata, path, "auditor") == {"churn", "wine"}
        async with metadata.alone.http(metadata.token(role="scientist")) as http:
            for path in (*OF_IT, *WHOLE):
                refused = await http.get(path)
                assert (refused.status_code, refused.json()["rule"]) == (403, "project.role"), path
                if path in WHOLE:
                    assert "`placet events --project NAME`" in refused.json()["fix"], path
            assert (await http.get("/v1/audit/entries?project=wine")).status_code == 200
            assert (await http.get("/v1/audit/checkpoint")).status_code != 403
            assert denied("project.role", 403, len(OF_IT) + len(WHOLE)) in (await http.get("/metrics")).text
        async with metadata.alone.http(metadata.token(role="auditor")) as http:
            for path in (*OF_IT, *WHOLE):
                assert (await http.get(path)).status_code != 403, path


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        ((), False),
        ((MINE,), True),
        ((MINE, NO_MORE), False),
        ((TO_TEAM,), False),
        ((TO_TEAM, team((ME,))), True),
        ((team((ME,)), TO_TEAM), True),
        ((TO_TEAM, team((ME,)), team((), (ME,))), False),
        ((TO_TEAM, team((ME,)), DISBANDED), False),
        ((OPENED,), True),
    ],
    ids=[
        "none",
        "mine",
        "revoked",
        "a team's",
        "my team's",
        "in another order",
        "left",
        "disbanded",
        "opened",
    ],
)
async def test_it_is_told_to_those_who_have_a_role_on_it(
    metadata: Metadata, said: tuple[Any, ...], is_told: bool
) -> None:
    await keep(metadata, 1, asked(), GRANTED, RESTRICTED, *said)
    async with metadata.indexing():
        assert ("churn" in await projects(metadata, "/v1/events")) == is_told


def denied_of(project: str | None) -> AccessDenied:
    now = "2026-01-01T00:00:00.000Z"
    return AccessDenied(
        denial="1",
        person=OTHER,
        origin=None,
        status=403,
        reason="access.role",
        method="POST",
        route="/v1/commands",
        project=project,
        count=1,
        since=now,
        until=now,
    )


async def test_whom_the_platform_denied_something_of_it_is_told_to_the_same_alone(metadata: Metadata) -> None:
    async def keep_denied(first: int) -> None:
        for position, project in enumerate(("churn", "wine", None), first):
            await metadata.keep(metadata.heard(denied_of(project), position, project="platform"))

    async def of(path: str, key: str, role: Any) -> list[str | None]:
        async with metadata.alone.http(metadata.token(role=role)) as http:
            answer = (await http.get(path)).json()[key]
        told = [each if key == "events" else each["event"] for each in answer]
        return [each["data"]["project"] for each in told if each["type"].endswith("access.denied.v1")]

    await keep(metadata, 1, GRANTED, RESTRICTED)
    await keep_denied(3)
    seen: list[dict[str, Any]] = []
    async with metadata.indexing():
        for path, key in (
            ("/v1/events?type=placet.*.access.denied.*", "events"),
            ("/v1/events?project=platform&before=99", "events"),
            ("/v1/audit/entries?project=platform", "entries"),
        ):
            assert set(await of(path, key, "scientist")) == {"wine", None}
            assert set(await of(path, key, "auditor")) == {"churn", "wine", None}
        following = asyncio.create_task(follow(metadata, metadata.token(role="scientist"), seen))
        await eventually(lambda: len(seen) == 2)
        await keep_denied(6)
        await eventually(lambda: len(seen) == 4)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert [each["data"]["project"] for each in seen] == ["wine", None] * 2


async def test_of_what_is_hidden_there_is_no_proof_since_its_leaf_says_what_it_is(metadata: Metadata) -> None:
    await keep(metadata, 1, asked(), asked(project="wine"), GRANTED, RESTRICTED)
    denied = metadata.heard(denied_of("churn"), 5, project="platform")
    await metadata.keep(denied)
    await Sealed(metadata, metadata.folder).sealing().catch_up()
    hidden = ("position=1", "position=5", f"event={denied.event.id}")
    async with metadata.indexing():
        async with metadata.alone.http(metadata.token(role="scientist")) as http:
            for one in hidden:
                refused = await http.get(f"/v1/audit/proof?{one}")
                assert (refused.status_code, refused.json()["rule"]) == (403, "project.role"), one
                assert "churn" not in refused.text
            for other in ("position=2", "since=2"):
                assert (await http.get(f"/v1/audit/proof?{other}")).status_code == 200, other
            assert (await http.get("/v1/audit/proof?position=6")).status_code == 404
        async with metadata.alone.http(metadata.token(role="auditor")) as http:
            for one in hidden:
                assert (await http.get(f"/v1/audit/proof?{one}")).status_code == 200, one


async def test_who_follows_is_told_no_more_of_what_became_private(metadata: Metadata) -> None:
    await keep(metadata, 1, asked(), GRANTED)
    token = metadata.token(role="scientist")
    seen: list[dict[str, Any]] = []

    async with metadata.indexing():
        following = asyncio.create_task(follow(metadata, token, seen))
        await eventually(lambda: len(seen) == 2)
        await keep(metadata, 3, RESTRICTED)
        hidden = metadata.queries.hidden_from

        async def is_private() -> bool:
            return bool(await hidden(_Scientist()))  # type: ignore[arg-type]

        await eventually(is_private)
        await keep(metadata, 4, asked(release=2), asked(project="wine"))
        await eventually(lambda: any(each["partitionkey"] == "wine" for each in seen))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert not any(each["data"].get("release") == 2 for each in seen)


async def follow(metadata: Metadata, token: str, seen: list[dict[str, Any]]) -> None:
    async def took(message: bytes) -> None:
        lines = message.decode().splitlines()
        seen.extend(json.loads(line[6:]) for line in lines if line.startswith("data: "))

    app = metadata.alone._app()
    await piece_by_piece(app, "/v1/events?follow=1", took, authorization=f"Bearer {token}")


REVOKED = (TokenRevoked(token="token-1"), "token/token-1")
ERASED = (ErasureRequested(person=ME, requested_by=OTHER, tokens=1, words=0), ME.replace(":", "/"))
ENDINGS = pytest.mark.parametrize("ending", [REVOKED, ERASED], ids=["revoked", "erased"])


async def end(metadata: Metadata, ending: tuple[Any, str], position: int) -> None:
    """Until the log knows that the token is none any more."""
    said, subject = ending
    await metadata.keep(metadata.heard(said, position, subject=subject))

    async def is_known() -> bool:
        return await metadata.queries.is_revoked("token-1", ME)

    await eventually(is_known)


@ENDINGS
@pytest.mark.parametrize("role", ["scientist", "auditor"])
async def test_who_follows_is_told_nothing_more_once_the_token_holds_no_more(
    metadata: Metadata, ending: tuple[Any, str], role: Any
) -> None:
    await keep(metadata, 1, asked())
    token = metadata.token(role=role)
    seen: list[dict[str, Any]] = []
    async with metadata.indexing():
        following = asyncio.create_task(follow(metadata, token, seen))
        await eventually(lambda: len(seen) == 1)
        await end(metadata, ending, 2)
        await keep(metadata, 3, asked(release=2))
        await eventually(following.done)
        await following
        async with metadata.alone.http(token) as http:
            assert (await http.get("/v1/events?follow=1")).status_code == 401
    assert not any(each["data"].get("release") == 2 for each in seen)


async def test_who_follows_while_nothing_happens_is_let_go_once_the_token_is_over(metadata: Metadata) -> None:
    await keep(metadata, 1, asked())
    seen: list[dict[str, Any]] = []
    following = asyncio.create_task(follow(metadata, metadata.token(), seen))
    await eventually(lambda: len(seen) == 1)
    metadata.alone.clock.pass_(timedelta(days=1, seconds=29))
    await keep(metadata, 2, asked(release=2))
    await eventually(lambda: len(seen) == 2)
    assert not following.done(), "a clock may be that wrong"
    metadata.alone.clock.pass_(timedelta(seconds=1))
    await eventually(following.done)
    await following


@pytest.mark.parametrize(
    ("role", "said", "subject"),
    [("auditor", *REVOKED), ("auditor", *ERASED), ("scientist", RESTRICTED, "project/churn")],
    ids=["revoked", "erased", "private"],
)
async def test_the_log_as_lines_ends_where_it_may_be_read_no_more(
    metadata: Metadata, role: Any, said: Any, subject: str
) -> None:
    await metadata.keep(*(metadata.heard(asked(release=each), each) for each in range(1, PAGE + 2)))
    took: list[int] = []

    async def take(lines: bytes) -> None:
        took.append(lines.count(b"\n"))
        if len(took) > 1:
            return
        await metadata.keep(metadata.heard(said, PAGE + 2, subject=subject))
        await eventually(is_known)

    async def is_known() -> bool:
        hidden = await metadata.queries.hidden_from(_Scientist())  # type: ignore[arg-type]
        return bool(hidden) or await metadata.queries.is_revoked("token-1", ME)

    async with metadata.indexing():
        authorization = f"Bearer {metadata.token(role=role)}"
        app = metadata.alone._app()
        await piece_by_piece(
            app, "/v1/audit/entries", take, authorization=authorization, accept="application/jsonl"
        )
    assert sum(took) == PAGE


class _Scientist:
    person, roles, teams = ME, frozenset({"scientist"}), frozenset[str]()
