"""The gateway's REST: who may ask for what, and how it says no."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from placet.events.codec import timestamp
from placet.events.contracts import gateway as said
from placet.events.shares import REQUESTS_EACH

from tests.support.eventually import eventually
from tests.support.piece_by_piece import piece_by_piece
from tests.support.serving import serving
from tests.unit.gateway.harness import MAX_SOURCE, Gateway, a_gateway, asked, knows_source, live
from tests.unit.gateway.roads import CERTIFICATE, DELETE, DEPLOY, IMAGE, SOURCE, cleared, reserved
from tools import workspace

MANIFEST = b"""apiVersion: placet/v1
project: churn
model: {format: sklearn, path: model.skops, sample: sample.json}
requirements: requirements.txt
governance: {purpose: Churn, riskClass: minimal, owner: owner@example.org}
"""
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
DEPLOY_BODY = {"command": "deploy", "source": {"digest": SOURCE}}


def archive(files: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted((files or {"placet.yaml": MANIFEST, "model.skops": b"PK"}).items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def is_problem(answer: httpx.Response, status: int, *saying: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    for text in saying:
        assert text in json.dumps(problem)
    return problem


# who is asking

PERSON = "person:00000000-0000-7000-8000-000000000001"
EVERY_CALL = [
    ("POST", "/v1/sources"),
    ("GET", "/v1/sources"),
    ("PUT", f"/v1/sources/{SOURCE}"),
    ("HEAD", f"/v1/sources/{SOURCE}"),
    ("POST", "/v1/commands"),
    ("GET", "/v1/operations"),
    ("GET", "/v1/operations/x"),
    ("GET", "/v1/operations/x/events"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/churn"),
    ("GET", "/v1/models/churn/releases"),
    ("GET", "/v1/models/churn/releases/1"),
    ("POST", "/v1/models/churn/exceptions"),
    ("GET", "/v1/models/churn/exceptions"),
    ("POST", "/v1/models/churn/exceptions/x/grant"),
    ("POST", "/v1/models/churn/exceptions/x/withdraw"),
    ("GET", "/v1/exceptions"),
    ("GET", "/v1/facts"),
    ("GET", "/v1/models/churn/approvals"),
    ("POST", "/v1/models/churn/approvals"),
    ("GET", "/v1/approvals"),
    ("GET", "/v1/reviews"),
    ("GET", "/v1/models/churn/metadata"),
    ("POST", "/v1/models/churn/metadata"),
    ("GET", "/v1/metadata/schemas/incident"),
    ("GET", "/v1/models/churn/assessments"),
    ("POST", "/v1/models/churn/assessments"),
    ("GET", "/v1/models/churn/assessments/x"),
    ("GET", "/v1/models/churn/assessments/x/answers"),
    ("POST", "/v1/questionnaires"),
    ("GET", "/v1/questionnaires"),
    ("GET", "/v1/questionnaires/aia"),
    ("GET", f"/v1/questionnaires/{SOURCE}/file"),
    ("PUT", f"/v1/advisories/{SOURCE}"),
    ("GET", "/v1/advisories"),
    ("GET", f"/v1/advisories/{SOURCE}"),
    ("GET", f"/v1/advisories/{SOURCE}/file"),
    ("GET", "/v1/images"),
    ("GET", f"/v1/images/{IMAGE}"),
    ("GET", f"/v1/images/{IMAGE}/source"),
    ("GET", "/v1/certificates/x"),
    ("POST", "/v1/certificates/x/revoke"),
    ("POST", "/v1/certificates/x/review"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/policies"),
    ("GET", "/v1/policies"),
    ("GET", "/v1/policies/house"),
    ("GET", f"/v1/policies/{SOURCE}/file"),
    ("POST", "/v1/me/token"),
    ("POST", "/v1/tokens"),
    ("GET", "/v1/tokens"),
    ("GET", "/v1/services/gateway"),
    ("GET", "/v1/services/gateway/parked"),
    ("POST", "/v1/services/gateway/parked/retry"),
    ("POST", "/v1/services/gateway/parked/x/retry"),
    ("DELETE", "/v1/tokens/x"),
    ("GET", "/v1/me"),
    ("GET", "/v1/people"),
    ("GET", f"/v1/people/{PERSON}"),
    ("GET", f"/v1/people/{PERSON}/words"),
    ("DELETE", f"/v1/people/{PERSON}"),
    ("GET", "/v1/retention"),
    ("PUT", "/v1/models/churn/hold"),
    ("DELETE", "/v1/models/churn/hold"),
    ("GET", "/v1/quotas"),
    ("PUT", "/v1/quotas/teams/fraud"),
    ("PUT", "/v1/quotas/projects/churn"),
    ("DELETE", "/v1/quotas/teams/fraud"),
    ("DELETE", "/v1/quotas/projects/churn"),
    ("GET", "/v1/teams"),
    ("PUT", "/v1/teams/fraud/projects/churn"),
    ("DELETE", "/v1/models/churn/team"),
    ("GET", "/v1/teams/fraud"),
    ("PUT", "/v1/teams/fraud"),
    ("DELETE", "/v1/teams/fraud"),
    ("PUT", "/v1/teams/fraud/members"),
    ("DELETE", f"/v1/teams/fraud/members/{PERSON}"),
    ("GET", "/v1/models/churn/members"),
    ("PUT", "/v1/models/churn/members"),
    ("DELETE", "/v1/models/churn/members/team:fraud"),
    ("PUT", "/v1/models/churn/private"),
    ("DELETE", "/v1/models/churn/private"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
@pytest.mark.parametrize("credentials", [None, "Basic YWRtaW46YWRtaW4=", "Bearer", "Bearer x.y.z"])
@IN_ONE_LOOP
async def test_nothing_is_said_to_nobody(
    unmoved: Gateway, method: str, path: str, credentials: str | None
) -> None:
    headers = {"Authorization": credentials} if credentials else {}
    body = (
        {"command": "stop", "project": "churn"} if path == "/v1/commands" else {"as": "x", "roles": ["admin"]}
    )
    async with unmoved.http() as http:
        del http.headers["Authorization"]
        answer = await http.request(method, path, headers=headers, json=body if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert method == "HEAD" or is_problem(answer, 401)


def test_the_list_of_calls_above_is_whole(gateway: Gateway) -> None:
    declared = {
        (method.upper(), path)
        for path, item in gateway.app.rest.openapi()["paths"].items()
        if path.startswith("/v1")
        for method in item
    }
    assert len(declared) == len(EVERY_CALL)


def test_the_page_of_all_calls_has_every_one_and_none_that_is_not(gateway: Gateway) -> None:
    page = (workspace.ROOT / "docs" / "reference" / "rest.md").read_text("utf-8")
    by = ("| gateway |", "| each service |")
    lines = (line for line in page.splitlines() if line.startswith("| "))
    rows = "\n".join(line for line in lines if any(who in line for who in by))
    declared = {
        f"{method.upper()} {path}"
        for path, item in gateway.app.rest.openapi()["paths"].items()
        for method in item
    }
    calls = {call for call in declared if " /v1/" in call}
    assert set(re.findall(r"`([A-Z]+ /v1/[^`]*)`", rows)) == calls


async def test_the_pages_at_docs_take_a_token_for_every_call_that_asks_for_one(gateway: Gateway) -> None:
    document = gateway.app.rest.openapi()
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, item in document["paths"].items():
        needed: Any = [{name: []}] if path.startswith("/v1") else None
        assert {method: call.get("security") for method, call in item.items()} == dict.fromkeys(item, needed)
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_a_token_holds_until_it_ends_or_is_revoked(gateway: Gateway) -> None:
    async with gateway.http() as http:
        issued = (await http.post("/v1/tokens", json={"as": "Ada", "roles": ["scientist"], "ttl": 60})).json()
        mine = {"Authorization": f"Bearer {issued['token']}"}
        me = (await http.get("/v1/me", headers=mine)).json()
        assert me == {
            "person": issued["person"],
            "name": "Ada",
            "roles": ["scientist"],
            "commands": [
                "abort",
                "build",
                "delete",
                "deploy",
                "promote",
                "renew",
                "rollback",
                "scale",
                "start",
                "stop",
            ],
        }
        assert (await http.delete(f"/v1/tokens/{issued['id']}")).status_code == 204
        is_problem(await http.get("/v1/me", headers=mine), 401, "revoked")
        assert (await http.delete(f"/v1/tokens/{issued['id']}")).status_code == 204
        other = (await http.post("/v1/tokens", json={"as": "Ada", "roles": ["auditor"], "ttl": 60})).json()
        assert other["person"] == issued["person"]
        gateway.clock.pass_(timedelta(minutes=2))
        late = await http.get("/v1/me", headers={"Authorization": f"Bearer {other['token']}"})
        is_problem(late, 401, "expired")
    events = [event for event in await gateway.said() if isinstance(event, said.TokenRevoked)]
    assert [event.token for event in events] == [issued["id"]]


async def test_tokens_are_listed_for_admins_in_pages_and_without_themselves(gateway: Gateway) -> None:
    async with gateway.http() as http:
        made = [
            (await http.post("/v1/tokens", json={"as": name, "roles": ["auditor", "approver"]})).json()
            for name in ("Ada", "Grace", "Joan")
        ]
        await http.delete(f"/v1/tokens/{made[1]['id']}")
        listed: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = await http.get(f"/v1/tokens?limit=1{after}")
            listed += answer.json()["tokens"]
            assert not any(each["token"] in answer.text for each in made)
            if (following := answer.json()["next"]) is None:
                break
            after = f"&after={following}"
        theirs = [each for each in listed if each["name"] in ("Ada", "Grace", "Joan")]
        assert [(each["name"], each["revoked"]) for each in theirs] == [
            ("Joan", False), ("Grace", True), ("Ada", False),
        ]  # fmt: skip
        assert theirs[2] == {
            "id": made[0]["id"],
            "person": made[0]["person"],
            "name": "Ada",
            "roles": ["approver", "auditor"],
            "issuedAt": theirs[2]["issuedAt"],
            "expires": made[0]["expires"],
            "revoked": False,
        }
        assert theirs[2]["issuedAt"] < made[0]["expires"]
        refused = await http.get("/v1/tokens", headers={"Authorization": f"Bearer {made[0]['token']}"})
        is_problem(refused, 403, "listing tokens")


async def test_of_who_was_erased_tokens_name_nobody(gateway: Gateway) -> None:
    async with gateway.http() as http:
        made = (await http.post("/v1/tokens", json={"as": "Ada Lovelace", "roles": ["auditor"]})).json()
        assert (await http.delete(f"/v1/people/{made['person']}")).status_code in (200, 202)
        answer = await http.get("/v1/tokens")
    assert "Lovelace" not in answer.text
    (hers,) = [each for each in answer.json()["tokens"] if each["id"] == made["id"]]
    assert hers["revoked"]
    assert hers["name"].startswith("erased person")


async def test_a_person_s_name_is_in_no_event(gateway: Gateway) -> None:
    async with gateway.http() as http:
        await http.post("/v1/tokens", json={"as": "Ada Lovelace", "roles": ["scientist"]})
    raw = b"".join(each.event.raw for each in await gateway.wiring.store.read_all(0, 100))
    assert b"Lovelace" not in raw
    assert b"person:" in raw


async def test_two_tokens_at_once_for_a_new_name_are_one_person_s(gateway: Gateway) -> None:
    async with gateway.http() as http:
        body = {"as": "Grace", "roles": ["scientist"]}
        answers = await asyncio.gather(*(http.post("/v1/tokens", json=body) for _ in range(5)))
    assert len({answer.json()["person"] for answer in answers}) == 1
    assert len({answer.json()["id"] for answer in answers}) == 5


@pytest.mark.parametrize(
    "typed",
    [
        "Ada  Lovelace ",
        "\u00a0Ada\u00a0Lovelace",
        "Ada\u3000Lovelace",
        "Ada\u2800Lovelace\U0001d159",
        "\uff21da Lovelace",
    ],
)
async def test_white_space_makes_nobody_another_person(gateway: Gateway, typed: str) -> None:
    async with gateway.http() as http:
        first, again = [
            (await http.post("/v1/tokens", json={"as": name, "roles": ["scientist"]})).json()
            for name in ("Ada Lovelace", typed)
        ]
        me = (await http.get("/v1/me", headers={"Authorization": f"Bearer {again['token']}"})).json()
    assert (again["person"], me["name"]) == (first["person"], "Ada Lovelace")


async def test_a_name_that_differs_by_case_alone_is_told_whose_it_looks_like(gateway: Gateway) -> None:
    async with gateway.http() as http:
        assert (await http.post("/v1/tokens", json={"as": "Ada", "roles": ["scientist"]})).status_code == 201
        for name in ("ada", " ADA", "\u00a0aDa"):
            answer = await http.post("/v1/tokens", json={"as": name, "roles": ["approver"]})
            is_problem(
                answer, 409, "would be another person than 'Ada', who is known here", "make it for 'Ada'"
            )
        assert (await http.post("/v1/tokens", json={"as": "Adam", "roles": ["scientist"]})).status_code == 201
        for blank in ("  ", "\u2800"):
            answer = await http.post("/v1/tokens", json={"as": blank, "roles": ["scientist"]})
            is_problem(answer, 400, "a name is more than white space")


@pytest.mark.parametrize(
    "unseen",
    [
        "\ufe0f",
        "\ufe00",
        "\U000e0100",
        "\u034f",
        "\u180b",
        "\u17b4",
        "\u115f",
        "\u1160",
        "\u3164",
        "\uffa0",
        "\u200d",
    ],
)
@IN_ONE_LOOP
async def test_a_letter_that_nobody_sees_makes_nobody_another_person(unmoved: Gateway, unseen: str) -> None:
    async with unmoved.http() as http:
        for name in (f"Zoe{unseen}", f"Z{unseen}oe", unseen):
            answer = await http.post("/v1/tokens", json={"as": name, "roles": ["approver"]})
            is_problem(answer, 400, "as: must be one line of text, every letter of which can be seen")


@pytest.mark.parametrize("name", ["team:fraud", "person:ada", "\uff54eam:fraud"])
@IN_ONE_LOOP
async def test_nobody_is_called_as_a_team_or_an_id_is_written(unmoved: Gateway, name: str) -> None:
    async with unmoved.http() as http:
        answer = await http.post("/v1/tokens", json={"as": name, "roles": ["scientist"]})
    is_problem(answer, 400, "as: a name begins with neither person: nor team:")


async def test_of_names_that_look_the_same_at_once_one_becomes_a_person(gateway: Gateway) -> None:
    async with gateway.http() as http:
        bodies = [{"as": name, "roles": ["scientist"]} for name in ("grace", "Grace", "GRACE")]
        answers = await asyncio.gather(*(http.post("/v1/tokens", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_the_first_admin_token_is_left_once_for_its_owner_only(gateway: Gateway) -> None:
    file = gateway.folder / "admin.token"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    for step in gateway.service.start:
        await step()
    assert file.read_text() == before
    assert [path.name for path in gateway.folder.glob(".admin*")] == []


@pytest.mark.parametrize("role", ["approver", "compliance", "auditor"])
async def test_who_only_reads_may_ask_for_nothing(gateway: Gateway, role: Any) -> None:
    async with gateway.http(gateway.token(role)) as http:
        is_problem(await http.post("/v1/commands", json={"command": "stop", "project": "churn"}), 403, role)
        is_problem(await http.put(f"/v1/sources/{SOURCE}", content=b"x"), 403)
        assert (await http.get("/v1/models")).status_code == 200
        assert (await http.get("/v1/me")).json()["commands"] == []


@pytest.mark.parametrize("role", ["scientist", "operator", "admin"])
async def test_who_makes_may_give_each_command_that_there_is(gateway: Gateway, role: Any) -> None:
    async with gateway.http(gateway.token(role)) as http:
        commands = (await http.get("/v1/me")).json()["commands"]
        for command in commands:
            answer = await http.post("/v1/commands", json={"command": command, "project": "churn"})
            assert answer.status_code in (404, 422), answer.text
    schema = gateway.app.rest.openapi()["components"]["schemas"]["CommandBody"]
    assert commands == sorted(schema["properties"]["command"]["enum"])


@pytest.mark.parametrize("role", ["scientist", "operator", "approver", "compliance", "auditor"])
async def test_only_an_admin_hands_out_tokens(gateway: Gateway, role: Any) -> None:
    async with gateway.http(gateway.token(role)) as http:
        is_problem(await http.post("/v1/tokens", json={"as": "me", "roles": ["admin"]}), 403, "admin")
        is_problem(await http.delete("/v1/tokens/x"), 403)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [("/", "/console/models"), ("/console", "/console/models"), ("/upload", "/console/deploy")],
)
async def test_the_platform_s_address_leads_to_the_console(
    gateway: Gateway, path: str, leads_to: str
) -> None:
    async with gateway.http() as http:
        assert (await http.get(path)).headers["location"] == leads_to
        is_problem(await http.get(leads_to), 404, "no console")  # nobody said here where the REST API is


# commands


async def test_a_command_begins_an_operation(gateway: Gateway) -> None:
    await knows_source(gateway)
    async with gateway.http() as http:
        answer = await http.post("/v1/commands", json=DEPLOY_BODY)
        assert answer.status_code == 202
        assert answer.json()["state"] == "requested"
        assert answer.headers["location"] == f"/v1/operations/{answer.json()['operation']}"
        assert (await http.get(answer.headers["location"])).json() == answer.json()
    (event,) = [each for each in await gateway.said() if isinstance(each, said.DeployRequested)]
    assert (event.project, event.release, event.source) == ("churn", 1, SOURCE)


@pytest.mark.parametrize(
    ("body", "status", "saying"),
    [
        ({"command": "launch"}, 400, "command"),
        ({"command": "stop", "project": "churn", "now": True}, 400, "now"),
        ({"command": "stop"}, 422, "needs the project's name"),
        ({"command": "stop", "project": "platform"}, 400, "body.project: 'platform' is no project's"),
        ({"command": "deploy"}, 422, "needs a source"),
        ({"command": "deploy", "source": {"digest": SOURCE, "image": IMAGE}}, 400, "only one of them"),
        ({"command": "deploy", "source": {"git": "https://host/x", "image": IMAGE}}, 400, "only one of them"),
        ({"command": "deploy", "source": {"git": "ssh://host/x"}}, 422, "over https"),
        ({"command": "deploy", "source": {"git": "https://github.com/x/y"}}, 422, "PLACET_GIT_HOSTS"),
        ({"command": "deploy", "source": {"git": "x" * 3000}}, 400, "git"),
        ({"command": "deploy", "source": {"digest": SOURCE}}, 404, "no source"),
        ({"command": "deploy", "source": {"image": IMAGE}}, 404, "no image"),
        ({"command": "deploy", "source": {"digest": "sha256:../../etc/passwd"}}, 400, "digest"),
        ({"command": "deploy", "source": {"digest": SOURCE + "\n"}}, 400, "digest"),
        ({"command": "start", "project": "churn"}, 404, "no project"),
        ({"command": "stop", "project": "churn"}, 404, "no project"),
        ({"command": "delete", "project": "churn"}, 404, "no project"),
        ({"command": "stop", "project": "../../etc"}, 400, "project"),
        ({"command": "stop", "project": "churn\n"}, 400, "project"),
        ({"command": "deploy", "source": {"digest": SOURCE}, "canary": "50"}, 400, "canary"),
        ({"command": "scale", "project": "churn", "replicas": True}, 400, "replicas"),
        ({"command": "promote", "project": "churn", "weight": 50.0}, 400, "weight"),
        ({"command": "stop", "project": "Churn"}, 400, "project"),
        ({"command": "stop", "project": "c" * 41}, 400, "project"),
        ({"command": "stop", "project": "churn.#"}, 400, "project"),
        ([], 400, ""),
        ("stop", 400, ""),
        (None, 400, ""),
    ],
)
@IN_ONE_LOOP
async def test_a_command_that_cannot_be_is_a_problem_with_words(
    unmoved: Gateway, body: Any, status: int, saying: str
) -> None:
    async with unmoved.http() as http:
        answer = await http.post(
            "/v1/commands", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
    is_problem(answer, status, saying)
    assert not [each for each in await unmoved.said() if not isinstance(each, said.TokenIssued)]


@pytest.mark.parametrize(
    ("path", "body", "detail", "fix"),
    [
        (
            "/v1/commands",
            {"command": "stop", "projct": "churn"},
            "body: nobody knows the key 'projct'",
            "the nearest known one is 'project'",
        ),
        (
            "/v1/commands",
            {"command": "deploy", "source": {"digst": SOURCE}},
            "body.source: nobody knows the key 'digst'",
            "the nearest known one is 'digest'",
        ),
        (
            "/v1/commands",
            {"zzz": 1},
            "body: nobody knows the key 'zzz'",
            "known are 'canary', 'command', 'project', 'release', 'replicas', 'source', 'weight'",
        ),
        (
            "/v1/tokens",
            {"as": "Ada", "rolls": ["admin"]},
            "body: nobody knows the key 'rolls'",
            "the nearest known one is 'roles'",
        ),
        ("/v1/commands", [], "body", "what a call takes is at /docs"),
        ("/v1/commands", {"command": "launch"}, "'deploy', 'build'", "what a call takes is at /docs"),
    ],
)
@IN_ONE_LOOP
async def test_a_body_that_cannot_be_read_is_answered_with_a_next_step(
    unmoved: Gateway, path: str, body: Any, detail: str, fix: str
) -> None:
    async with unmoved.http() as http:
        problem = is_problem(await http.post(path, json=body), 400)
    assert detail in problem["detail"]
    assert problem["fix"] == fix


async def test_a_name_that_is_long_or_no_text_is_told_in_part_and_at_once(gateway: Gateway) -> None:
    async with gateway.http() as http:
        many = {f"{'k' * 6}{number}": 1 for number in range(4000)}
        for body in ({"k" * 50_000: 1}, many):
            problem = is_problem(await http.post("/v1/commands", json=body), 400)
            assert len(problem["detail"]) < 200


@pytest.mark.parametrize(
    ("asked", "detail", "fix"),
    [
        ("operations?limt=3", "/v1/operations has no parameter 'limt'", "the nearest known one is 'limit'"),
        (
            "models?from=-1",
            "/v1/models has no parameter 'from'",
            "known are 'after', 'deleted', 'lapsing', 'limit', 'search', 'state', 'windows'",
        ),
        ("me?name=1", "/v1/me has no parameter 'name'", "leave it out"),
    ],
)
async def test_a_parameter_that_nobody_reads_is_refused(
    gateway: Gateway, asked: str, detail: str, fix: str
) -> None:
    async with gateway.http() as http:
        problem = is_problem(await http.get(f"/v1/{asked}"), 400)
    assert (problem["detail"], problem["fix"]) == (detail, fix)


@pytest.mark.parametrize("call", ["operations", "models", "images"])
@pytest.mark.parametrize("limit", ["-1", "0", "501", "1e3", "9" * 30, ""])
@IN_ONE_LOOP
async def test_a_page_has_a_size_that_can_be(unmoved: Gateway, call: str, limit: str) -> None:
    async with unmoved.http() as http:
        is_problem(await http.get(f"/v1/{call}", params={"limit": limit}), 400, "limit")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 60_000,
        b'{"\\ud800": 1}',
        b'{"command": "\\ud800"}',
        b'{"command": "stop", "project": "\\u0000"}',
        b"\xff\xfe",
        b'{"command": 1e999}',
        b'{"command": ' + b"1" * 5000 + b"}",
        b'{"as": "\\u0000", "roles": ["admin"]}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/commands", "/v1/tokens"])
@IN_ONE_LOOP
async def test_hostile_json_is_unreadable_and_no_accident(unmoved: Gateway, path: str, body: bytes) -> None:
    async with unmoved.http() as http:
        answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400)


@pytest.mark.parametrize("path", ["/v1/commands", "/v1/tokens"])
async def test_a_huge_body_is_not_read_to_its_end_even_from_nobody(gateway: Gateway, path: str) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 16_384

    async with gateway.http("nobody") as http:
        asking = http.post(path, content=endless(), headers={"Content-Type": "application/json"})
        answer = await asyncio.wait_for(asking, 20)
    is_problem(answer, 413)
    assert read < 100


@pytest.mark.parametrize(
    "path",
    [
        "/v1/operations/%00",
        "/v1/operations?project=%00",
        "/v1/operations?after=%00",
        "/v1/models/%00",
        "/v1/models?after=%00",
        "/v1/images?after=%00",
        "/v1/images/sha256:xyz",
        "/v1/certificates/%00",
        "/v1/operations?limit=0",
        "/v1/operations?limit=100000",
        f"/v1/operations/{'x' * 300}",
    ],
)
@IN_ONE_LOOP
async def test_what_no_id_can_be_is_not_looked_for(unmoved: Gateway, path: str) -> None:
    async with unmoved.http() as http:
        is_problem(await http.get(path), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/operations/x",
        "/v1/operations/x/events",
        "/v1/models/churn",
        f"/v1/images/{IMAGE}",
        "/v1/certificates/x",
        f"/v1/images/{IMAGE}/source",
        "/v1/nothing",
    ],
)
@IN_ONE_LOOP
async def test_what_is_not_here_is_a_404(unmoved: Gateway, path: str) -> None:
    async with unmoved.http() as http:
        is_problem(await http.get(path), 404)


async def test_a_wrong_method_is_a_problem_too(gateway: Gateway) -> None:
    async with gateway.http() as http:
        is_problem(await http.delete("/v1/models"), 405)


async def test_a_project_may_be_deployed_under_another_name(gateway: Gateway) -> None:
    await knows_source(gateway)
    operation = await gateway.command(DEPLOY_BODY | {"project": "churn-two"})
    assert (operation["project"], operation["release"]) == ("churn-two", 1)


async def test_an_image_is_deployed_from_the_source_it_was_made_from(gateway: Gateway) -> None:
    await live(gateway)
    operation = await gateway.command({"command": "deploy", "source": {"image": IMAGE}})
    assert (operation["project"], operation["source"], operation["image"]) == ("churn", SOURCE, IMAGE)


async def test_a_project_that_was_never_certified_cannot_be_started(gateway: Gateway) -> None:
    await asked(gateway)
    async with gateway.http() as http:
        answer = await http.post("/v1/commands", json={"command": "start", "project": "churn"})
    is_problem(answer, 409, "no certified release")


@pytest.mark.parametrize("command", ["start", "stop", "delete"])
async def test_of_a_deleted_project_it_is_said_when_it_was_deleted(gateway: Gateway, command: str) -> None:
    await live(gateway)
    gateway.clock.pass_(timedelta(days=1))
    delete = await asked(gateway, "delete")
    asked_at = timestamp(gateway.clock.now())
    async with gateway.http() as http:
        answer = await http.post("/v1/commands", json={"command": command, "project": "churn"})
        is_problem(answer, 404, f"churn was deleted at {asked_at}", "deploy it again")
        gateway.clock.pass_(timedelta(seconds=1))
        await gateway.hear(DELETE[1], delete)
        answer = await http.post("/v1/commands", json={"command": command, "project": "churn"})
        is_problem(answer, 404, f"churn was deleted at {timestamp(gateway.clock.now())}")
        answer = await http.get("/v1/models/churn")
    (_, deleted) = answer.json()["cause"]["steps"]
    assert (deleted["name"], deleted["detail"]) == ("deleted", f"at {timestamp(gateway.clock.now())}")


# idempotency


async def test_the_same_key_and_request_give_the_same_operation(gateway: Gateway) -> None:
    await knows_source(gateway)
    first = await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"})
    second = await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"})
    assert first == second
    assert (await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "other"}))["release"] == 2


async def test_two_with_one_key_at_once_are_one_request(gateway: Gateway) -> None:
    await knows_source(gateway)
    answers = await asyncio.gather(
        *(gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"}) for _ in range(8))
    )
    assert len({answer["operation"] for answer in answers}) == 1
    assert len([each for each in await gateway.said() if isinstance(each, said.DeployRequested)]) == 1


async def test_a_key_used_for_something_else_is_a_conflict(gateway: Gateway) -> None:
    await knows_source(gateway)
    bodies = [DEPLOY_BODY, DEPLOY_BODY | {"project": "other"}]
    async with gateway.http() as http:
        answers = await asyncio.gather(
            *(http.post("/v1/commands", json=body, headers={"Idempotency-Key": "k"}) for body in bodies)
        )
    assert sorted(answer.status_code for answer in answers) == [202, 409]


async def test_a_key_is_its_person_s_own(gateway: Gateway) -> None:
    await knows_source(gateway)
    mine = await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"})
    async with gateway.http(gateway.token("scientist")) as http:
        theirs = await http.post("/v1/commands", json=DEPLOY_BODY, headers={"Idempotency-Key": "k"})
    assert theirs.json()["operation"] != mine["operation"]


@pytest.mark.parametrize("key", ["", "k" * 201, "schlüssel".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_unreadable(gateway: Gateway, key: str) -> None:
    await knows_source(gateway)
    async with gateway.http() as http:
        answer = await http.post(
            "/v1/commands", json=DEPLOY_BODY, headers={b"Idempotency-Key": key.encode("latin-1")}
        )
    is_problem(answer, 400, "idempotency-key")


async def test_keys_are_forgotten_after_a_week(gateway: Gateway) -> None:
    await knows_source(gateway)
    forget = next(each for each in gateway.service.periodic if each.name == "forget keys")
    first = await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"})
    gateway.clock.pass_(timedelta(days=6))
    await forget.run()
    assert await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"}) == first
    gateway.clock.pass_(timedelta(days=2))
    await forget.run()
    assert (await gateway.command(DEPLOY_BODY, **{"Idempotency-Key": "k"}))["release"] == 2


# paging


async def test_pages_follow_each_other_without_a_hole(gateway: Gateway) -> None:
    await knows_source(gateway)
    names = [f"model-{number}" for number in range(7)]
    ids = [(await gateway.command(DEPLOY_BODY | {"project": name}))["operation"] for name in names]
    assert await _paged(gateway, "/v1/operations", "operations", "operation") == ids[::-1]
    assert await _paged(gateway, "/v1/models", "models", "project") == names
    only = await gateway.read("/v1/operations?project=model-3")
    assert [each["operation"] for each in only["operations"]] == [ids[3]]


async def _paged(gateway: Gateway, path: str, items: str, name: str) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = await gateway.read(f"{path}?limit=3{after}")
        found += [each[name] for each in page[items]]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


# following


async def events_of(gateway: Gateway, operation: str, last: str | None = None) -> list[tuple[str, str]]:
    """(id, state) of what is sent until the stream ends."""
    headers = {"Last-Event-ID": last} if last is not None else {}
    async with gateway.http() as http:
        answer = await http.get(f"/v1/operations/{operation}/events", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [
        _event(block)
        for block in answer.text.replace("\r\n", "\n").split("\n\n")
        if "event: operation" in block
    ]


def _event(block: str) -> tuple[str, str]:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
    return fields["id"], json.loads(fields["data"])["state"]


async def test_an_operation_is_followed_to_its_end(gateway: Gateway) -> None:
    operation = await asked(gateway)
    following = asyncio.create_task(events_of(gateway, operation))
    await asyncio.sleep(0)
    await gateway.hear_all(DEPLOY[1:], operation)
    seen = await asyncio.wait_for(following, 20)
    assert seen[-1][1] == "live"
    assert [int(id) for id, _ in seen] == sorted({int(id) for id, _ in seen})


@pytest.mark.parametrize("how", ["revoked", "over"])
async def test_who_follows_is_let_go_once_the_token_holds_no_more(gateway: Gateway, how: str) -> None:
    operation, told = await asked(gateway), bytearray()

    async def took(piece: bytes) -> None:
        told.extend(piece)

    async with gateway.http() as admin:
        made = (await admin.post("/v1/tokens", json={"as": "Grace", "roles": ["auditor"]})).json()
        path, bearer = f"/v1/operations/{operation}/events", f"Bearer {made['token']}"
        following = asyncio.create_task(piece_by_piece(gateway.app, path, took, authorization=bearer))
        await eventually(lambda: b"event: operation" in told)
        if how == "revoked":
            assert (await admin.delete(f"/v1/tokens/{made['id']}")).status_code == 204
        else:
            gateway.clock.pass_(timedelta(days=366))
        await eventually(following.done)
    await following


async def test_who_follows_all_that_one_may_leaves_room_for_others(gateway: Gateway) -> None:
    path = f"/v1/operations/{await asked(gateway)}/events"
    greedy = {"Authorization": f"Bearer {gateway.token('scientist')}"}
    other = {"Authorization": f"Bearer {gateway.token('scientist')}"}
    async with (
        serving(gateway.app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, limits=httpx.Limits(), timeout=20) as http,
        AsyncExitStack() as followed,
    ):
        for _ in range(REQUESTS_EACH):
            await followed.enter_async_context(http.stream("GET", path, headers=greedy))
        refused = await http.get("/v1/me", headers=greedy)
        assert refused.status_code == 503
        assert "128 of your requests" in refused.json()["detail"]
        assert (await http.get("/v1/me", headers=other)).status_code == 200


async def test_who_comes_back_is_told_only_what_is_new(gateway: Gateway) -> None:
    operation = await live(gateway)
    ((last, state),) = await events_of(gateway, operation)
    assert state == "live"
    assert await events_of(gateway, operation, last) == []
    assert await events_of(gateway, operation, str(int(last) - 1)) == [(last, "live")]


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 5000])
async def test_a_place_that_is_none_of_ours_begins_from_the_start(gateway: Gateway, last: str) -> None:
    operation = await live(gateway)
    assert [state for _, state in await events_of(gateway, operation, last)] == ["live"]


async def test_each_change_has_a_number_of_its_own_even_when_silence_was_named_meanwhile(
    gateway: Gateway,
) -> None:
    operation = await asked(gateway)
    gateway.clock.pass_(timedelta(seconds=901))
    await gateway.service.periodic[0].run()
    ((stalled, state),) = await events_of(gateway, operation)
    assert state == "stalled"
    await gateway.hear_all(DEPLOY[1:], operation)
    ((end, _),) = await events_of(gateway, operation, stalled)
    assert int(end) > int(stalled)


# sources


async def test_an_archive_is_kept_under_its_digest(gateway: Gateway) -> None:
    body = archive()
    digest = digest_of(body)
    async with gateway.http() as http:
        assert (await http.head(f"/v1/sources/{digest}")).status_code == 404
        first = await http.put(f"/v1/sources/{digest}", content=body)
        again = await http.put(f"/v1/sources/{digest.removeprefix('sha256:')}", content=b"not even read")
        assert (await http.head(f"/v1/sources/{digest}")).status_code == 200
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {"source": digest, "size": len(body), "project": "churn", "files": 2}
    assert again.json() == first.json()
    assert gateway.sources.archives == {digest: body}


async def test_a_compressed_archive_is_known_by_its_compressed_bytes(gateway: Gateway) -> None:
    body = gzip.compress(archive(), mtime=0)
    async with gateway.http() as http:
        answer = await http.put(f"/v1/sources/{digest_of(body)}", content=body)
    assert answer.status_code == 201
    assert answer.json()["size"] == len(body)


async def test_a_source_that_the_registry_lost_is_taken_again(gateway: Gateway) -> None:
    body = archive()
    async with gateway.http() as http:
        await http.put(f"/v1/sources/{digest_of(body)}", content=body)
        gateway.sources.archives.clear()
        assert (await http.head(f"/v1/sources/{digest_of(body)}")).status_code == 404
        assert (await http.put(f"/v1/sources/{digest_of(body)}", content=body)).status_code == 201
    uploads = [event for event in await gateway.said() if isinstance(event, said.SourceUploaded)]
    assert len(uploads) == 1


@pytest.mark.parametrize(
    ("body", "digest", "status", "saying"),
    [
        (archive(), SOURCE, 422, "not sha256:5555"),
        (archive(), "sha256:abc", 400, "no sha256"),
        (archive(), digest_of(archive()).upper(), 400, "no sha256"),
        (archive({"model.skops": b"PK"}), None, 422, "placet.yaml"),
        (archive({"placet.yaml": b"project: [", "m": b""}), None, 400, ""),
        (archive({"placet.yaml": MANIFEST, "../escape": b""}), None, 422, ".."),
        (b"this is no archive" * 100, None, 422, ""),
        (gzip.compress(archive())[:-20], None, 422, ""),
        (b"", None, 422, ""),
    ],
)
async def test_what_is_no_project_leaves_nothing_behind(
    gateway: Gateway, body: bytes, digest: str | None, status: int, saying: str
) -> None:
    async with gateway.http() as http:
        answer = await http.put(f"/v1/sources/{digest or digest_of(body)}", content=body)
    assert answer.status_code in (status, 400, 422)
    is_problem(answer, answer.status_code, saying)
    assert gateway.sources.archives == {}
    assert not [event for event in await gateway.said() if isinstance(event, said.SourceUploaded)]


async def test_too_much_is_noticed_while_it_comes(gateway: Gateway) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 16_384
            yield b"\0" * 16_384

    async with gateway.http() as http:
        answer = await http.put(f"/v1/sources/{SOURCE}", content=endless())
    is_problem(answer, 413, str(MAX_SOURCE))
    assert sent < 4 * MAX_SOURCE


@pytest.mark.parametrize("length", [MAX_SOURCE + 1, 10**30])
async def test_too_much_that_is_announced_is_not_read_at_all(gateway: Gateway, length: int) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with gateway.http() as http:
        answer = await http.put(
            f"/v1/sources/{SOURCE}", content=nothing(), headers={"Content-Length": str(length)}
        )
    is_problem(answer, 413)


async def test_one_archive_sent_by_many_at_once_is_kept_once(gateway: Gateway) -> None:
    body = archive()
    async with gateway.http() as http:
        answers = await asyncio.gather(
            *(http.put(f"/v1/sources/{digest_of(body)}", content=body) for _ in range(6))
        )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len([event for event in await gateway.said() if isinstance(event, said.SourceUploaded)]) == 1


async def test_an_image_s_source_comes_back_as_it_was_sent(gateway: Gateway) -> None:
    await live(gateway)
    async with gateway.http() as http:
        answer = await http.get(f"/v1/images/{IMAGE}/source")
        assert (answer.content, answer.headers["x-placet-source"]) == (b"an archive", SOURCE)
        gateway.sources.archives.clear()
        is_problem(await http.get(f"/v1/images/{IMAGE}/source"), 404, "no longer kept")


async def test_a_certificate_is_shown_as_it_was_signed(gateway: Gateway) -> None:
    await live(gateway)
    statement = {"_type": "statement"}
    envelope = {"payload": base64.b64encode(json.dumps(statement).encode()).decode(), "signatures": [{}]}
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = envelope
    shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
    assert (shown["certificate"], shown["state"]) == (CERTIFICATE, "valid")
    assert (shown["envelope"], shown["statement"]) == (envelope, statement)


# restart


async def test_everything_is_there_after_a_restart(tmp_path: Any) -> None:
    async with a_gateway(tmp_path) as before:
        operation = await asked(before)
        await before.hear(cleared(), operation)
        token = before.admin_token
    async with a_gateway(tmp_path) as after:
        assert after.admin_token == token
        assert (await after.read(f"/v1/operations/{operation}"))["state"] == "cleared"
        await after.hear(reserved(), operation)
        assert (await after.read(f"/v1/operations/{operation}"))["state"] == "reserved"
