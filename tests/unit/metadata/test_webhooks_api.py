"""Webhooks from outside: over HTTP, by the command, and to the very receiver that the how-to shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from placet.cli.command import main
from placet.client import Client, Connection
from placet.events import ServiceRunner
from placet.events.http import http_app
from placet.metadata.delivering import Delivering
from placet.trust.tokens import Role

from tests.support.eventually import eventually
from tests.support.servers.local import free_port
from tests.support.serving import serving
from tests.unit.gateway.roads import START_AGAIN, asked
from tests.unit.metadata.logs import Metadata, a_log
from tests.unit.metadata.receivers import listening, plain

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs" / "how-to" / "subscribe-with-webhooks.md"
UNKNOWN = "00000000-0000-7000-8000-999999999999"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Metadata]:
    async with a_log(tmp_path, webhook_hosts="127.0.0.1") as one:
        one.alone.clock.pass_(datetime.now(UTC) - one.alone.clock.now())  # noqa: TID251 (a receiver looks at its own)
        yield one


async def call(
    log: Metadata, method: str, path: str, status: int, role: Role = "operator", **body: Any
) -> Any:
    async with log.alone.http(log.token(role=role)) as http:
        answer = await http.request(method, f"/v1/webhooks{path}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


@asynccontextmanager
async def sending(log: Metadata) -> AsyncIterator[None]:
    [run] = [each.run for each in log.alone.service.periodic if each.name == "webhooks"]
    running = asyncio.ensure_future(run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def served(log: Metadata) -> AbstractAsyncContextManager[str]:
    """On a real socket, for the command and the client."""
    return serving(http_app("placet", [ServiceRunner(log.alone.service)], version="1"))


# over HTTP


async def test_the_secret_is_told_once(log: Metadata) -> None:
    added = await call(log, "POST", "", 201, url="https://127.0.0.1/hook", type="placet.*", after=0)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", added["secret"])
    assert {key: added[key] for key in ("url", "type", "project", "state", "position", "addedBy")} == {
        "url": "https://127.0.0.1/hook",
        "type": "placet.*",
        "project": None,
        "state": "enabled",
        "position": 0,
        "addedBy": "person:00000000-0000-7000-8000-000000000001",
    }
    webhook = added.pop("webhook")
    secret = added.pop("secret")
    for path in (f"/{webhook}", ""):
        told = await call(log, "GET", path, 200)
        assert secret not in json.dumps(told)
        assert "whsec_" not in json.dumps(told)
    rotated = await call(log, "POST", f"/{webhook}/rotate", 200)
    assert rotated["secret"] not in ("", secret)


@pytest.mark.parametrize("role", ["scientist", "approver", "auditor"])
async def test_webhooks_are_for_those_who_keep_the_platform(log: Metadata, role: Role) -> None:
    added = await call(log, "POST", "", 201, url="http://127.0.0.1:81/hook")
    of_it = f"/{added['webhook']}"
    for method, path in (
        ("GET", ""),
        ("GET", of_it),
        ("DELETE", of_it),
        *(("POST", f"{of_it}/{verb}") for verb in ("rotate", "enable", "test")),
    ):
        refused = await call(log, method, path, 403, role=role)
        assert "admin, compliance, operator" in refused["detail"]
    await call(log, "POST", "", 403, role=role, url="http://127.0.0.1:82/hook")
    async with log.alone.http() as http:
        assert (await http.get("/v1/webhooks")).status_code == 401


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"url": "https://10.0.0.1/hook"}),
        (422, {"url": "https://user:hunter2@hooks.example.org/"}),
        (422, {"url": "http://127.0.0.2/"}),
        (422, {"url": "ftp://127.0.0.1/"}),
        (422, {"url": ""}),
        (422, {"url": "https://127.0.0.1/", "type": "bogus"}),
        (422, {"url": "https://127.0.0.1/", "type": "placet.deployer.modle.*"}),
        (400, {"url": "https://127.0.0.1/", "after": -1}),
        (400, {"url": "https://127.0.0.1/", "after": "1"}),
        (400, {"url": "https://127.0.0.1/", "type": "\0"}),
        (400, {"url": "https://127.0.0.1/", "typ": "placet.*"}),
        (400, {"type": "placet.*"}),
        (400, {"url": "https://127.0.0.1/" + "x" * 2000}),
        (413, {"url": "https://127.0.0.1/" + "x" * 70_000}),
    ],
)
async def test_what_makes_no_sense_is_refused(log: Metadata, status: int, body: dict[str, Any]) -> None:
    problem = await call(log, "POST", "", status, **body)
    assert "hunter2" not in json.dumps(problem)
    assert (await call(log, "GET", "", 200)) == {"webhooks": []}


async def test_the_same_twice_is_a_conflict_and_what_is_not_there_unknown(log: Metadata) -> None:
    added = await call(log, "POST", "", 201, url="https://127.0.0.1/")
    conflict = await call(log, "POST", "", 409, url="https://127.0.0.1/")
    assert added["webhook"] in conflict["detail"]
    await call(log, "DELETE", f"/{added['webhook']}", 204)
    for method, path in (
        *(("GET", ""), ("DELETE", "")),
        *(("POST", f"/{verb}") for verb in ("rotate", "enable", "test")),
    ):
        await call(log, method, f"/{UNKNOWN}{path}", 404)


async def test_an_answer_s_body_is_shown_to_nobody(log: Metadata) -> None:
    """Of a request into the inside, that would be what somebody wants to read."""
    async with listening(lambda head, body: plain(500, body=b"root:x:0:0")) as there, sending(log):
        added = await call(log, "POST", "", 201, url=f"http://127.0.0.1:{there.port}/", after=0)
        await log.keep(log.heard(asked(), 1))
        await eventually(lambda: bool(there.heard))
        tried = await call(log, "POST", f"/{added['webhook']}/test", 200)
        told = await call(log, "GET", f"/{added['webhook']}", 200)
    assert tried["trouble"] == "it answers 500"
    assert "root" not in json.dumps([tried, told])


def test_the_leader_sends(log: Metadata) -> None:
    [run] = [each.run for each in log.alone.service.periodic if each.name == "webhooks"]
    assert getattr(run, "__func__", None) is Delivering.run


def test_the_page_of_all_calls_has_every_one(log: Metadata) -> None:
    app = http_app("placet", [ServiceRunner(log.alone.service)], version="1")
    rows = [
        line
        for line in (ROOT / "docs/reference/rest.md").read_text("utf-8").splitlines()
        if "/webhooks" in line
    ]
    declared = {
        f"{method.upper()} {path}"
        for path, item in app.rest.openapi()["paths"].items()
        if path.startswith("/v1/webhooks")
        for method in item
    }
    assert set(re.findall(r"`([A-Z]+ /v1/webhooks[^`]*)`", "\n".join(rows))) == declared


async def test_behind_the_end_of_the_log_nothing_begins(log: Metadata) -> None:
    """What happens up to there would be told to nobody, and nobody would notice."""
    await log.keep(log.heard(asked(), 1))
    ahead = await call(log, "POST", "", 422, url="http://127.0.0.1:9/", after=2)
    assert "the audit log ends at position 1, and what follows position 2 is still to come" in ahead["detail"]
    assert ahead["fix"] == "begin with position 2 at most, or leave it out for what happens from now on"
    assert (await call(log, "GET", "", 200))["webhooks"] == []
    added = await call(log, "POST", "", 201, url="http://127.0.0.1:9/", after=1)
    enabled = f"/{added['webhook']}/enable"
    ahead = await call(log, "POST", enabled, 422, after=999)
    assert "still to come" in ahead["detail"]
    assert ahead["fix"].endswith("or leave it out for what it has not taken yet")
    assert (await call(log, "POST", enabled, 200, after=0))["position"] == 0
    assert (await call(log, "POST", enabled, 200, after=1))["position"] == 1


@pytest.mark.parametrize(
    ("type", "near"),
    [
        ("model.started", "placet.deployer.model.started.v1"),
        ("placet.gateway.deploy.requestd.*", "placet.gateway.deploy.requested.v1"),
    ],
)
async def test_a_type_that_no_event_has_is_refused_with_the_nearest(
    log: Metadata, type: str, near: str
) -> None:
    refused = await call(log, "POST", "", 422, url="http://127.0.0.1:9/", type=type)
    assert refused["detail"] == f"no event has a type like {type!r}"
    assert repr(near) in refused["fix"]
    for known in (near, near.replace(".v1", ".*"), "*.model.*", "*"):
        await call(log, "POST", "", 201, url="http://127.0.0.1:9/", type=known)


async def test_what_a_filter_leaves_out_is_no_lag(log: Metadata) -> None:
    url, kind = "http://127.0.0.1:9/", "placet.gateway.start.*"
    added = await call(log, "POST", "", 201, url=url, type=kind, after=0)
    for number in (1, 2, 3):
        await log.keep(log.heard(asked(release=number), number))
    async with log.indexing():
        shown = await call(log, "GET", f"/{added['webhook']}", 200)
        assert (shown["position"], shown["head"]) == (3, 3)
        enabled = await call(log, "POST", f"/{added['webhook']}/enable", 200, after=1)
        assert enabled["position"] == 1  # what was asked for
    await log.keep(log.heard(START_AGAIN[0], 4))
    await log.keep(log.heard(asked(release=4), 5))
    async with log.indexing():
        [shown] = (await call(log, "GET", "", 200))["webhooks"]
        assert (shown["position"], shown["head"]) == (3, 5)  # what waits to be taken is lag


# the how-to


@dataclass
class Run:
    process: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def the_receiver_of_the_how_to(secret: str, port: int) -> AsyncIterator[Run]:
    """The very snippet, in a process of its own that has nothing but Python's standard library."""
    [snippet] = re.findall(r"```python\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    assert len([line for line in snippet.splitlines() if line.strip()]) <= 18
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", snippet),
        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Run(process)
    finally:
        process.kill()
        await process.communicate()


async def test_the_receiver_of_the_how_to_takes_what_is_ours_and_nothing_else(log: Metadata) -> None:
    port = free_port()
    added = await call(log, "POST", "", 201, url=f"http://127.0.0.1:{port}/")
    tested = f"/{added['webhook']}/test"
    async with the_receiver_of_the_how_to(added["secret"], port) as receiver:

        async def takes() -> bool:
            return bool((await call(log, "POST", tested, 200))["taken"])

        await eventually(takes)
        assert (await receiver.line()).endswith(" placet.webhook.test")
        async with sending(log):
            event = log.heard(asked(), 1)
            await log.keep(event)
            assert await receiver.line() == f"{event.event.id} {event.event.type}"
        rotated = await call(log, "POST", f"/{added['webhook']}/rotate", 200)
        assert rotated["secret"] != added["secret"]
        assert await takes()  # the secret that it knows signs for a day
        await call(log, "POST", f"/{added['webhook']}/rotate", 200)
        refused = await call(log, "POST", tested, 200)
        assert (refused["taken"], refused["status"]) == (False, 401)  # and the one before that no more


# the command and the client


async def test_the_command_adds_shows_tries_rotates_enables_and_removes(
    log: Metadata, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(log) as url, listening(lambda head, body: plain(204)) as there:
        monkeypatch.setenv("PLACET_URL", url)
        monkeypatch.setenv("PLACET_TOKEN", log.token(role="operator"))

        async def placet(*argv: str, status: int = 0) -> str:
            assert await asyncio.to_thread(main, ("webhook", *argv)) == status, capsys.readouterr()
            return capsys.readouterr().out

        hook = f"http://127.0.0.1:{there.port}/hook"
        secret = (await placet("add", hook, "--from", "1", "--project", "churn")).strip()
        assert secret.startswith("whsec_")
        [shown] = json.loads(await placet("list", "--json"))["webhooks"]
        webhook = shown["webhook"]
        assert (shown["url"], shown["project"], shown["position"]) == (hook, "churn", 0)
        assert "secret" not in shown
        assert hook in await placet("list")
        assert "enabled, at position 0 of 0" in await placet("show", webhook)
        assert "it took the message" in await placet("test", webhook)
        rotated = json.loads(await placet("rotate", webhook, "--json"))
        assert rotated["secret"].startswith("whsec_")
        await log.keep(log.heard(asked(), 1))
        assert "behind" not in await placet("enable", webhook, "--from", "2")
        assert json.loads(await placet("show", webhook, "--json"))["position"] == 1
        await placet("add", "https://10.0.0.1/", status=1)
        await placet("remove", webhook)
        assert await asyncio.to_thread(main, ("webhook", "list")) == 0
        assert "there is no webhook yet: `placet webhook add URL`" in capsys.readouterr().err
        await placet("show", webhook, status=1)


async def test_a_test_that_is_not_taken_is_a_failure_of_the_command(
    log: Metadata, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(log) as url, listening(lambda head, body: plain(401)) as there:
        monkeypatch.setenv("PLACET_URL", url)
        monkeypatch.setenv("PLACET_TOKEN", log.token(role="operator"))
        async with Client(Connection(url=url, token=log.token(role="operator"))) as platform:
            added = await platform.add_webhook(f"http://127.0.0.1:{there.port}/")
            assert await platform.webhooks() == (await platform.webhook(added.webhook),)
        assert await asyncio.to_thread(main, ("webhook", "test", added.webhook)) == 1
        told = capsys.readouterr().err
        assert "it answers 401" in told
        assert "  fix: whoever receives answers 2xx within 20 seconds" in told
