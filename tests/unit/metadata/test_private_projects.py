"""What is private is told to those who have a role on it, or read all: pages, streams, entries, tiles and evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from placet.events.contracts.gateway import (
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    TeamChanged,
    TeamDisbanded,
)

from tests.support.eventually import eventually
from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import Metadata, a_log

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


async def test_who_follows_is_told_no_more_of_what_became_private(metadata: Metadata) -> None:
    await keep(metadata, 1, asked(), GRANTED)
    token = metadata.token(role="scientist")
    seen: list[dict[str, Any]] = []

    async def follow() -> None:
        def took(message: bytes) -> None:
            lines = message.decode().splitlines()
            seen.extend(json.loads(line[6:]) for line in lines if line.startswith("data: "))

        await stream(metadata, token, took)

    async with metadata.indexing():
        following = asyncio.create_task(follow())
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


class _Scientist:
    person, roles, teams = ME, frozenset({"scientist"}), frozenset[str]()


async def stream(metadata: Metadata, token: str, took: Any) -> None:
    """Server-sent events as they come, for ever."""

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            took(message["body"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"follow=1",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("placet", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await metadata.alone._app()(scope, receive, send)
