"""A model's log over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from placet.deployer.domain import stream
from placet.events.problems import speak_problems
from placet.trust import SigningKey, tokens

from tests.support.eventually import eventually
from tests.support.piece_by_piece import piece_by_piece
from tests.unit.deployer.harness import World

TOKEN = "01a20932-14f5-778e-812e-16f3bd347454"


@pytest.fixture
async def app(idle_world: World) -> AsyncIterator[FastAPI]:
    async with idle_world.deployer() as service:
        app = FastAPI()
        speak_problems(app)
        for router in service.routers():
            app.include_router(router)
        yield app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://deployer") as client:
        yield client


PERSON = "person:01a20932-14f5-778e-812e-16f3bd347455"


def authorized(
    world: World, *, key: SigningKey | None = None, role: tokens.Role = "auditor"
) -> dict[str, str]:
    token = tokens.issue(
        id=TOKEN,
        person=PERSON,
        roles=frozenset({role}),
        now=world.clock.now(),
        lifetime=timedelta(hours=1),
        key=key or world.token_key,
    )
    return {"Authorization": f"Bearer {token}"}


async def test_the_log_is_of_the_release_that_was_started_last(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait(release=1)
    await idle_world.deploy_and_wait(release=2)

    answer = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
    assert answer.text == "churn-2 was here\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert told(answer) == ("2", "2")
    nothing = await http.get("/v1/models/churn/logs?tail=0", headers=authorized(idle_world))
    assert nothing.text == ""


def told(answer: httpx.Response) -> tuple[str | None, str | None]:
    """Whose log it is, and which release is live."""
    return answer.headers.get("x-placet-release"), answer.headers.get("x-placet-live-release")


async def fail_to_start(world: World, release: int) -> None:
    world.host.dies_at_once.add(f"churn-{release}")
    world.probe.is_slow = True
    await world.deploy(release=release)
    await world.heard("model.failed", f"deploy churn {release}")
    await world.settled()
    world.probe.is_slow = False


async def test_a_release_that_failed_to_start_is_what_the_log_is_of_while_another_serves(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait(release=1)
    await fail_to_start(idle_world, release=2)

    newest = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
    assert (newest.text, told(newest)) == ("churn-2 was here\n", ("2", "1"))
    live = await http.get("/v1/models/churn/logs?release=1", headers=authorized(idle_world))
    assert (live.text, told(live)) == ("churn-1 was here\n", ("1", "1"))


async def test_of_a_replica_it_is_that_of_what_serves(idle_world: World, http: httpx.AsyncClient) -> None:
    """Who names one means what answers, and not what failed or was aborted since."""
    await idle_world.deploy_and_wait(release=1, replicas=(2, 2))
    await fail_to_start(idle_world, release=2)

    second = await http.get("/v1/models/churn/logs?replica=2", headers=authorized(idle_world))
    assert (second.text, told(second)) == ("churn-1.2 was here\n", ("1", "1"))
    named = await http.get("/v1/models/churn/logs?replica=1&release=2", headers=authorized(idle_world))
    assert (named.text, told(named)) == ("churn-2 was here\n", ("2", "1"))


async def test_what_is_started_again_after_a_failure_is_what_the_log_is_of(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait(release=1)
    await fail_to_start(idle_world, release=2)
    await idle_world.request_stop()
    await idle_world.heard("model.stopped", "stop")
    await idle_world.request_start(release=1)
    await idle_world.heard("model.started", "start")

    answer = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
    assert (answer.text, told(answer)) == ("churn-1 was here\n", ("1", "1"))


async def test_a_release_of_which_no_log_is_kept_is_told_those_of_which_one_is(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait(release=1)
    await fail_to_start(idle_world, release=2)

    answer = await http.get("/v1/models/churn/logs?release=7", headers=authorized(idle_world))
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no log of release 7 of churn is kept here"
    assert answer.json()["fix"] == "there are those of release 1, release 2"


@pytest.mark.parametrize(
    "asked",
    ["churn/logs?release=0", "churn/logs?tail=-1", "%00/logs", "churn/logs?release=x", "churn/logs?tial=1"],
)
async def test_what_no_log_can_be_is_not_looked_for(
    idle_world: World, http: httpx.AsyncClient, asked: str
) -> None:
    answer = await http.get(f"/v1/models/{asked}", headers=authorized(idle_world))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_log_of_a_stopped_model_stays(idle_world: World, http: httpx.AsyncClient) -> None:
    await idle_world.deploy_and_wait()
    await idle_world.request_stop()
    await idle_world.heard("model.stopped", "stop")

    answer = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
    assert answer.text == "churn-1 was here\n"


async def test_a_model_that_never_ran_is_unknown(idle_world: World, http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/models/nobody/logs", headers=authorized(idle_world))
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


async def test_of_a_deleted_model_it_is_said_when_its_logs_went(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait()
    await idle_world.request_delete()
    await idle_world.heard("model.deleted", "delete")
    await idle_world.settled()

    answer = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
    recorded = await idle_world.wiring.store.read(stream("churn"))
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        f"churn was deleted at {recorded[-1].event.time}, with its logs; nothing of it ran since"
    )


async def test_whoever_is_unknown_reads_nothing(idle_world: World, http: httpx.AsyncClient) -> None:
    for headers in ({}, authorized(idle_world, key=SigningKey.generate())):
        answer = await http.get("/v1/models/churn/logs", headers=headers)
        assert answer.status_code == 401


async def test_a_revoked_token_reads_nothing(idle_world: World, http: httpx.AsyncClient) -> None:
    await idle_world.deploy_and_wait()
    await idle_world.revoke(TOKEN)

    async def is_refused() -> bool:
        answer = await http.get("/v1/models/churn/logs", headers=authorized(idle_world))
        return answer.status_code == 401

    await eventually(is_refused)


@pytest.mark.parametrize("how", ["revoked", "private"])
async def test_who_may_read_a_models_log_no_more_is_told_no_more_of_it(
    idle_world: World, app: FastAPI, how: str
) -> None:
    await idle_world.deploy_and_wait()
    told = bytearray()

    async def took(piece: bytes) -> None:
        told.extend(piece)

    token = authorized(idle_world, role="scientist")["Authorization"]
    following = asyncio.create_task(
        piece_by_piece(app, "/v1/models/churn/logs?follow=1", took, authorization=token)
    )
    await eventually(lambda: told == b"churn-1 was here\n")
    await (idle_world.revoke(TOKEN) if how == "revoked" else idle_world.restrict("churn", owner="person:1"))
    await eventually(following.done)
    await following


async def test_what_is_of_a_private_project_is_for_those_who_have_a_role_on_it(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait()
    paths = ("/v1/models/churn/logs", "/v1/models/churn/example", "/v1/capacity?project=churn")
    placement = "/v1/models/churn/placement?cpuMillis=1&memoryBytes=1"

    async def statuses(role: tokens.Role) -> set[int]:
        headers = authorized(idle_world, role=role)
        return {(await http.get(each, headers=headers)).status_code for each in (*paths, placement)}

    assert await statuses("scientist") == {200}
    await idle_world.restrict("churn", owner="person:1")

    async def is_private() -> bool:
        return await statuses("scientist") == {403}

    await eventually(is_private)
    assert await statuses("auditor") == {200}
    assert (
        await http.get("/v1/capacity", headers=authorized(idle_world, role="scientist"))
    ).status_code == 200
    await idle_world.restrict("churn", owner=PERSON)

    async def is_theirs() -> bool:
        return await statuses("scientist") == {200}

    await eventually(is_theirs)


async def test_who_was_erased_reads_nothing_by_whichever_token(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    assert (await http.get("/v1/capacity", headers=authorized(idle_world))).status_code == 200
    await idle_world.erase(PERSON)

    async def is_refused() -> bool:
        return (await http.get("/v1/capacity", headers=authorized(idle_world))).status_code == 401

    await eventually(is_refused)


async def test_the_room_that_there_is_and_what_has_none_is_told(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.deploy_and_wait(memory=2**30)

    async def told_of(**asked: Any) -> Any:
        answer = await http.get("/v1/capacity", params=asked, headers=authorized(idle_world))
        assert answer.status_code == 200
        return answer.json()

    room = await told_of()
    assert room == {
        "total": {"cpuMillis": 2000, "memoryBytes": 2**31, "gpus": 0},
        "free": {"cpuMillis": 1500, "memoryBytes": 2**30, "gpus": 0},
        "containers": False,
        "refusals": [],
    }
    assert await told_of(project="fraud", cpuMillis=1500, memoryBytes=2**30) == room
    full = await told_of(project="fraud", cpuMillis=100, memoryBytes=2**30 + 1)
    assert full["refusals"] == [
        {
            "why": "fraud asks for 0.1 CPU and 1024 MiB of memory, and 1.5 CPU and 1024 MiB of memory is free",
            "fix": "stop one of: churn; or ask for less in placet.yaml",
            "isLasting": False,
        }
    ]
    never = await told_of(project="fraud", gpus=2, dockerfile=True)
    no_containers, no_gpu = never["refusals"]
    assert no_containers["why"].startswith("fraud has a Dockerfile, and its image needs a container platform")
    assert no_gpu == {
        "why": "fraud asks for 2 GPUs, and this platform has none",
        "fix": "ask for less in placet.yaml: this platform has 2 CPU and 2048 MiB of memory, and no GPU, to give",
        "isLasting": True,
    }
    assert no_containers["isLasting"]


async def test_what_a_deploy_would_be_given_is_told_and_nobody_else_notices(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    await idle_world.set_quota("team", "fraud", memory_bytes=2**30 + 2**29, models=3)
    for project in ("churn", "wine"):
        await idle_world.assign(project, "fraud")
    await idle_world.deploy_and_wait("churn", memory=2**30)

    async def told_of(project: str, **asked: Any) -> Any:
        amount = {"cpuMillis": 500, "memoryBytes": 2**28}
        answer = await http.get(
            f"/v1/models/{project}/placement", params={**amount, **asked}, headers=authorized(idle_world)
        )
        assert answer.status_code == 200
        return answer.json()

    said = await idle_world.names()
    fits = await told_of("wine", minReplicas=2, maxReplicas=3)
    assert (fits["state"], fits["where"], fits["replicas"]) == ("reserved", "processes of this machine", 2)
    assert fits["each"] == {"cpuMillis": 500, "memoryBytes": 2**28, "gpus": 0}
    assert fits["all"] == {"cpuMillis": 1000, "memoryBytes": 2**29, "gpus": 0}
    assert fits["free"] == {"cpuMillis": 1500, "memoryBytes": 2**30, "gpus": 0}
    assert fits["quotas"] == [
        {
            "scope": "team",
            "of": "fraud",
            "limits": {"cpuMillis": None, "memoryBytes": 2**30 + 2**29, "gpus": None, "models": 3},
            "held": {"cpuMillis": 500, "memoryBytes": 2**30, "gpus": 0, "models": 1},
            "projects": ["churn"],
        }
    ]
    waits = await told_of("wine", minReplicas=3, maxReplicas=3)
    assert (waits["state"], waits["position"], waits["quota"]) == ("queued", 1, "team fraud")
    assert waits["why"].startswith("team fraud has 1536 MiB of memory and churn holds 1024 MiB of memory")
    never = await told_of("wine", gpus=1)
    assert (never["state"], never["position"]) == ("refused", None)
    assert never["why"] == "wine asks for a GPU, and this platform has none"
    beside = await told_of("churn", memoryBytes=2**31)
    assert beside["beside"] == [{"release": 1, "cpuMillis": 500, "memoryBytes": 2**30, "gpus": 0}]
    assert beside["state"] == "refused"
    assert beside["fix"].startswith("stop churn first")
    amount = {"cpuMillis": 500, "memoryBytes": 2**28, "minReplicas": 3, "maxReplicas": 1}
    answer = await http.get("/v1/models/wine/placement", params=amount, headers=authorized(idle_world))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("minReplicas is 3, and maxReplicas 1")
    canary = await told_of("churn", memoryBytes=2**31, canary=True)
    assert canary["fix"] == "ask for less in placet.yaml: what churn serves runs on beside it"
    tailored = await told_of("wine", dockerfile=True)
    assert (tailored["state"], "needs a container platform" in tailored["why"]) == ("refused", True)
    assert await idle_world.names() == said


async def test_the_keys_of_tokens_are_read_once_they_are_there_and_then_no_more(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    keys, asked = idle_world.settings.token_keys, authorized(idle_world)
    kept = keys.rename(keys.with_suffix(".kept"))
    assert (await http.get("/v1/capacity", headers=asked)).status_code == 503
    kept.rename(keys)
    assert (await http.get("/v1/capacity", headers=asked)).status_code == 200
    keys.unlink()
    assert (await http.get("/v1/capacity", headers=asked)).status_code == 200


async def test_room_is_told_to_who_is_known_and_to_nobody_else(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/capacity")).status_code == 401
    asked = {"cpuMillis": 1, "memoryBytes": 1}
    assert (await http.get("/v1/models/churn/placement", params=asked)).status_code == 401


async def test_what_may_be_asked_of_a_model_is_what_it_says_of_itself(
    idle_world: World, http: httpx.AsyncClient
) -> None:
    path, headers = "/v1/models/churn/example", authorized(idle_world)
    assert (await http.get(path)).status_code == 401
    assert (await http.get(path, headers=headers)).status_code == 404
    idle_world.probe.shown = {"inputs": [[1]]}
    await idle_world.deploy_and_wait()
    said = (await http.get(path, headers=headers)).json()
    assert said == {"project": "churn", "release": 1, "access": "public", "request": {"inputs": [[1]]}}
