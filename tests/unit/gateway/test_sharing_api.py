"""Roles on projects over HTTP: every route that names a project asks for one, and what is changed holds at once."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from placet.errors import Conflict, Unknown
from placet.events import PLATFORM, ServiceRunner
from placet.events.codec import timestamp
from placet.events.contracts.gateway import (
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    RoleRevoked,
    SourceUploaded,
    TeamChanged,
    TeamDisbanded,
)
from placet.events.http import http_app
from placet.gateway.access import NEEDS, need_of
from placet.gateway.bootstrap import build
from placet.gateway.granting import Granting
from placet.gateway.queries import Queries
from placet.gateway.settings import GatewaySettings
from placet.trust import tokens

from tests.support.eventually import eventually
from tests.unit.events.harness import FatefulStore
from tests.unit.gateway.harness import Gateway, a_gateway, asked, knows_source, live
from tests.unit.gateway.roads import CERTIFICATE, IMAGE, SOURCE
from tests.unit.gateway.test_gateway_api import MANIFEST, archive

MEMBERS = "/v1/models/churn/members"
PRIVATE = "/v1/models/churn/private"
ADMIN = "person:00000000-0000-0000-0000-000000000001"
STOP = {"command": "stop", "project": "churn"}
SAYS = (TeamChanged, TeamDisbanded, RoleGranted, RoleRevoked, ProjectRestricted, ProjectOpened)


@dataclass(frozen=True, kw_only=True)
class Somebody:
    person: str
    http: httpx.AsyncClient


async def somebody(gateway: Gateway, name: str, *roles: tokens.Role) -> Somebody:
    async with gateway.http() as admin:
        made = await admin.post("/v1/tokens", json={"as": name, "roles": list(roles or ("scientist",))})
    return Somebody(person=made.json()["person"], http=gateway.http(made.json()["token"]))


async def share(gateway: Gateway, to: str, role: str) -> None:
    async with gateway.http() as admin:
        answer = await admin.put(MEMBERS, json={"to": to, "role": role})
    assert answer.status_code == 200, answer.text


async def said(gateway: Gateway) -> list[Any]:
    return [each for each in await gateway.said() if isinstance(each, SAYS)]


def is_refused(answer: httpx.Response, role: str) -> bool:
    problem = answer.json()
    assert answer.status_code == 403, answer.text
    assert problem["rule"] == "project.role"
    assert f"the role {role}" in problem["detail"]
    assert "ada" in problem["fix"]
    assert "or an admin" in problem["fix"]
    return True


async def test_a_team_that_is_disbanded_and_given_a_role_at_once_is_one_or_the_other(
    gateway: Gateway,
) -> None:
    """Whoever is first: a later team of its name has nothing of it."""
    at_once, late = Granting(gateway.wiring, gateway.people), FatefulStore(gateway.wiring.store)
    delayed = Granting(replace(gateway.wiring, store=late), gateway.people)
    for team in ("fraud", "risk"):
        await at_once.change_team(team, ADMIN, makes=True)

    late.script.append("held")
    giving = asyncio.create_task(delayed.grant("churn", "team:fraud", "owner", ADMIN))
    await eventually(lambda: not late.script)
    await at_once.disband("fraud", ADMIN)
    late.released.set()
    with pytest.raises(Unknown, match="fraud"):
        await giving

    late.released.clear()
    late.script.append("held")
    disbanding = asyncio.create_task(delayed.disband("risk", ADMIN))
    await eventually(lambda: not late.script)
    await at_once.grant("churn", "team:risk", "owner", ADMIN)
    late.released.set()
    with pytest.raises(Conflict, match="churn"):
        await disbanding

    happened = [type(each) for each in await said(gateway)]
    assert happened == [TeamChanged, TeamChanged, TeamDisbanded, RoleGranted]


# Every route


@dataclass(frozen=True, kw_only=True)
class Place:
    """A private project that ada owns, with an operation, an image and a certificate."""

    gateway: Gateway
    operation: str
    ada: Somebody
    dan: Somebody
    vic: Somebody
    eve: Somebody

    def filled(self, path: str) -> str:
        row = {"operations": self.operation, "certificates": CERTIFICATE, "images": IMAGE}
        of = path.split("/")[2]
        values = {"project": "churn", "release": "1", "team": "fraud", "to": self.ada.person}
        return re.sub(
            r"\{(\w+)\}", lambda each: values.get(each[1]) or row.get(of) or f"sha256:{'0' * 64}", path
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with a_gateway(tmp_path_factory.mktemp("place")) as gateway:
        operation = await live(gateway)
        people = {name: await somebody(gateway, name) for name in ("ada", "dan", "vic", "eve")}
        for name, role in (("ada", "owner"), ("dan", "deployer"), ("vic", "viewer")):
            await share(gateway, name, role)
        assert (await people["ada"].http.put(PRIVATE)).status_code == 204
        yield Place(gateway=gateway, operation=operation, **people)
        for each in people.values():
            await each.http.aclose()


IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")

BEHIND_A_ROW = {
    ("GET", "/v1/operations/{id}"),
    ("GET", "/v1/operations/{id}/events"),
    ("GET", "/v1/images/{digest}"),
    ("GET", "/v1/images/{digest}/source"),
    ("GET", "/v1/certificates/{id}"),
}
"""What names a project by a row of its own."""
LISTS = {
    ("GET", "/v1/models"),
    ("GET", "/v1/operations"),
    ("GET", "/v1/images"),
    ("GET", "/v1/exceptions"),
    ("GET", "/v1/approvals"),
    ("GET", "/v1/reviews"),
    ("GET", "/v1/quotas"),
    ("GET", "/v1/teams"),
}
"""Of all projects: they leave out what is private."""
BY_BODY = {("POST", "/v1/commands")}
OF_READERS_OF_ALL = {
    ("POST", "/v1/certificates/{id}/revoke"),
    ("POST", "/v1/certificates/{id}/review"),
    ("GET", "/v1/facts"),
    ("GET", "/v1/retention"),
    ("GET", "/v1/people"),
    ("DELETE", "/v1/people/{person}"),
}
"""For roles of a token that read every project."""
OF_NO_PROJECT = {
    (
        "POST",
        "/v1/sources",
    ),  # by whoever has the bytes, or their digest, which nothing of a private project tells others
    ("GET", "/v1/sources"),
    ("PUT", "/v1/sources/{digest}"),
    ("HEAD", "/v1/sources/{digest}"),
    ("GET", "/v1/people/{person}"),  # of oneself
    ("GET", "/v1/people/{person}/words"),
    ("GET", "/v1/me"),
    ("POST", "/v1/me/token"),
    ("GET", "/v1/keys"),
}
OF_THE_PLATFORM = (
    "tokens",
    "policies",
    "advisories",
    "questionnaires",
    "metadata",
    "services",
    "teams",
    "quotas",
)
"""The first words of the paths that name no project, and no row of one."""


def declared(gateway: Gateway) -> dict[tuple[str, str], set[str]]:
    """Every route of the gateway, with the names of what it takes in its path and as parameters."""
    return {
        (method.upper(), path): {each["name"] for each in operation.get("parameters", ())}
        for path, item in gateway.app.rest.openapi()["paths"].items()
        if path.startswith("/v1")
        for method, operation in item.items()
    }


def naming(gateway: Gateway) -> set[tuple[str, str]]:
    return {route for route, _ in declared(gateway).items() if "{project}" in route[1]}


@IN_ONE_LOOP
async def test_every_route_is_known_to_name_a_project_or_none(place: Place) -> None:
    known = naming(place.gateway) | BEHIND_A_ROW | LISTS | BY_BODY | OF_READERS_OF_ALL | OF_NO_PROJECT
    rest = {each for each in declared(place.gateway) if each not in known}
    assert {each for each in rest if each[1].split("/")[2] not in OF_THE_PLATFORM} == set()
    assert known <= set(declared(place.gateway))
    assert set(NEEDS) <= naming(place.gateway)


@IN_ONE_LOOP
async def test_nobody_without_a_role_reads_anything_of_a_private_project(place: Place) -> None:
    reads = {each for each in naming(place.gateway) if each[0] in ("GET", "HEAD")} | BEHIND_A_ROW
    assert len(reads) > 12
    for method, path in sorted(reads):
        refused = await place.eve.http.request(method, place.filled(path))
        assert refused.status_code == 403, (path, refused.text)
        assert refused.json()["rule"] == "project.role", path
        assert "the role viewer" in refused.json()["detail"]
        if path != "/v1/operations/{id}/events":
            allowed = await place.vic.http.request(method, place.filled(path))
            assert allowed.status_code != 403, (path, allowed.text)


@IN_ONE_LOOP
async def test_a_parameter_that_names_it_is_refused_and_a_list_leaves_it_out(place: Place) -> None:
    with_parameter = {route for route, names in declared(place.gateway).items() if "project" in names}
    for method, path in with_parameter - naming(place.gateway):
        answer = await place.eve.http.request(method, path, params={"project": "churn"})
        assert is_refused(answer, "viewer"), path
    for method, path in LISTS:
        listed = await place.eve.http.request(method, path)
        assert listed.status_code == 200
        assert "churn" not in listed.text, path
    for path in ("/v1/models", "/v1/operations", "/v1/images"):
        assert "churn" in (await place.vic.http.get(path)).text


@IN_ONE_LOOP
async def test_nobody_without_the_role_changes_anything_of_a_project(place: Place) -> None:
    """But what is for roles of the whole platform, which a viewer's token has not."""
    changes = {each for each in naming(place.gateway) if each[0] not in ("GET", "HEAD")}
    assert len(changes) > 12
    for method, path in sorted(changes):
        answer = await place.vic.http.request(method, place.filled(path), json={})
        needed = need_of(method, path).role
        if needed is None:
            assert answer.status_code in (400, 403, 404), path
            assert "project.role" not in answer.text
        else:
            assert is_refused(answer, needed), path
    for owners in (route for route in changes if need_of(*route).role == "owner"):
        assert is_refused(await place.dan.http.request(owners[0], place.filled(owners[1]), json={}), "owner")
    for command in (
        "deploy",
        "build",
        "renew",
        "rollback",
        "start",
        "stop",
        "delete",
        "scale",
        "promote",
        "abort",
    ):
        for each in (place.vic, place.eve):
            answer = await each.http.post("/v1/commands", json={"command": command, "project": "churn"})
            assert is_refused(answer, "deployer")


@IN_ONE_LOOP
async def test_a_source_or_an_image_of_a_private_project_is_no_way_round_its_roles(place: Place) -> None:
    by_source = {"command": "deploy", "source": {"digest": SOURCE}}
    assert is_refused(await place.eve.http.post("/v1/commands", json=by_source), "deployer")
    for command in ("deploy", "build"):
        elsewhere = {**by_source, "command": command, "project": "mine"}
        assert is_refused(await place.eve.http.post("/v1/commands", json=elsewhere), "viewer")
    assert (await place.eve.http.head(f"/v1/sources/{SOURCE}")).status_code == 404
    assert (await place.vic.http.head(f"/v1/sources/{SOURCE}")).status_code == 200
    without_it = await place.eve.http.put(f"/v1/sources/{SOURCE}", content=b"what else")
    assert without_it.status_code == 422
    assert "churn" not in without_it.text
    by_image = {"command": "deploy", "project": "mine", "source": {"image": IMAGE}}
    refused = await place.eve.http.post("/v1/commands", json=by_image)
    assert (refused.status_code, refused.json()["rule"]) == (403, "project.role")


@IN_ONE_LOOP
async def test_who_judges_and_audits_reads_all_and_changes_nothing(place: Place) -> None:
    roles: list[tokens.Role] = ["approver", "compliance", "auditor", "operator"]
    for role in roles:
        async with place.gateway.http(place.gateway.token(role)) as http:
            assert (await http.get("/v1/models/churn")).status_code == 200
            assert "churn" in (await http.get("/v1/models")).text
            assert (await http.post("/v1/commands", json=STOP)).status_code == 403


@IN_ONE_LOOP
async def test_a_denial_is_in_the_log_with_the_project(place: Place) -> None:
    path = "/v1/models/churn/approvals"
    assert (await place.eve.http.get(path)).status_code == 403
    for each in place.gateway.service.close[-1:]:
        await each()
    found = [each for each in await place.gateway.denied() if each.person == place.eve.person]
    assert found[0].reason == "project.role"
    assert {each.project for each in found} <= {"churn", None}


async def test_what_somebody_sends_under_anothers_name_is_none_of_that_projects(gateway: Gateway) -> None:
    """Else its history would be filled by anybody, and tell them which exceptions it has."""
    ada, eve = await somebody(gateway, "ada"), await somebody(gateway, "eve")
    await share(gateway, "ada", "owner")
    assert (await ada.http.put(PRIVATE)).status_code == 204
    pickled = pickle.dumps({"a": 1}, protocol=4)
    files = {"placet.yaml": MANIFEST.replace(b"model.skops", b"model.pkl"), "model.pkl": pickled}
    until = timestamp(gateway.clock.now() + timedelta(days=9))
    asked_for = {"rule": "model.pickle-by-exception", "until": until, "reason": "known for years"}
    asked_for_it = await ada.http.post("/v1/models/churn/exceptions", json=asked_for)
    id = asked_for_it.json()["exception"]
    async with gateway.http(gateway.token("approver")) as approver:
        granted = await approver.post(f"/v1/models/churn/exceptions/{id}/grant")
    assert granted.status_code == 200, granted.text

    by_eve = await eve.http.post("/v1/sources", content=archive({**files, "eves": b""}))
    by_ada = await ada.http.post("/v1/sources", content=archive(files))
    assert id in by_ada.text
    assert by_eve.status_code == 201
    assert id not in by_eve.text
    uploads = [
        each.event
        for each in await gateway.wiring.store.read_all(0, 1000)
        if isinstance(each.event.data, SourceUploaded)
    ]
    assert [each.partitionkey for each in uploads] == [PLATFORM, "churn"]

    named = {"command": "deploy", "source": {"digest": by_eve.json()["source"]}}
    assert is_refused(await eve.http.post("/v1/commands", json=named), "deployer")
    mine = await eve.http.post("/v1/commands", json={**named, "project": "mine"})
    assert mine.status_code == 202, "what she sent is hers, whatever it calls itself"


async def test_a_repeated_request_is_answered_to_who_may_still_ask(gateway: Gateway) -> None:
    ada, bob = await somebody(gateway, "ada"), await somebody(gateway, "bob")
    await live(gateway)
    await share(gateway, "ada", "owner")
    await share(gateway, "bob", "deployer")
    renew = {"command": "renew", "project": "churn"}
    key = {"Idempotency-Key": "bobs"}
    assert (await bob.http.post("/v1/commands", json=renew, headers=key)).status_code == 202
    assert (await bob.http.post("/v1/commands", json=renew, headers=key)).status_code == 202
    assert (await ada.http.delete(f"{MEMBERS}/{bob.person}")).status_code == 204
    assert is_refused(await bob.http.post("/v1/commands", json=renew, headers=key), "deployer")


# What is changed


async def test_who_asks_for_the_first_release_owns_the_project(gateway: Gateway) -> None:
    ada, bob = await somebody(gateway, "ada"), await somebody(gateway, "bob")
    await knows_source(gateway)
    deploy = {"command": "deploy", "project": "churn", "source": {"digest": SOURCE}}
    assert (await ada.http.post("/v1/commands", json=deploy)).status_code == 202
    assert await said(gateway) == [
        RoleGranted(project="churn", to=ada.person, role="owner", granted_by=ada.person)
    ]
    assert is_refused(await bob.http.post("/v1/commands", json=deploy), "deployer")
    for _ in range(2):
        granted = await ada.http.put(MEMBERS, json={"to": " bob ", "role": "deployer"})
    assert [(each["name"], each["role"]) for each in granted.json()["members"]] == [
        ("ada", "owner"),
        ("bob", "deployer"),
    ]
    assert granted.json()["yourRole"] == "owner"
    assert granted.json()["youMayShare"] is True
    assert (await bob.http.post("/v1/commands", json=deploy)).status_code == 202
    assert (await ada.http.delete(f"{MEMBERS}/{bob.person}")).status_code == 204
    assert is_refused(await bob.http.post("/v1/commands", json=deploy), "deployer")
    names = [type(each).__name__ for each in await said(gateway)]
    assert names == ["RoleGranted", "RoleGranted", "RoleRevoked"]
    assert (await ada.http.delete(f"{MEMBERS}/{ada.person}")).status_code == 409


async def test_a_project_without_roles_is_as_it_was(gateway: Gateway) -> None:
    """So is one that an admin asked for first: they may always, and would shut out everybody else."""
    await asked(gateway)
    bob = await somebody(gateway, "bob")
    assert await said(gateway) == []
    assert (await bob.http.post("/v1/commands", json=STOP)).status_code == 202
    refused = await bob.http.put(MEMBERS, json={"to": "bob", "role": "owner"})
    assert refused.json()["detail"] == "nobody has a role on churn yet, and the first one an admin gives"
    await share(gateway, "bob", "owner")
    async with gateway.http() as admin:
        assert (await admin.post("/v1/commands", json=STOP)).status_code == 202
        assert (await admin.delete(f"{MEMBERS}/{bob.person}")).status_code == 204
    assert (await (await somebody(gateway, "eve")).http.post("/v1/commands", json=STOP)).status_code == 202


async def test_a_role_allows_nothing_that_the_token_does_not(gateway: Gateway) -> None:
    await asked(gateway)
    auditor = await somebody(gateway, "ada", "auditor")
    await share(gateway, "ada", "owner")
    refused = await auditor.http.post("/v1/commands", json=STOP)
    assert (refused.status_code, refused.json()["rule"]) == (403, "access.role")


async def test_a_team_has_its_role_for_as_long_as_somebody_is_of_it(gateway: Gateway) -> None:
    await asked(gateway)
    ada, bob = await somebody(gateway, "ada"), await somebody(gateway, "bob")
    await share(gateway, "ada", "owner")
    team = "/v1/teams/fraud"
    async with gateway.http() as admin:
        admin_id = (await admin.get("/v1/me")).json()["person"]
        assert (await admin.get(team)).status_code == 404
        assert (await admin.put(f"{team}/members", json={"person": "bob"})).status_code == 404
        assert (await ada.http.put(MEMBERS, json={"to": "team:fraud", "role": "deployer"})).status_code == 404
        for _ in range(2):
            made = await admin.put(team, json={"members": ["ada"]})
        assert made.json() == {"team": "fraud", "members": [{"person": ada.person, "name": "ada"}]}
        told = await ada.http.put(MEMBERS, json={"to": "team:fraud", "role": "deployer"})
        assert [each["name"] for each in told.json()["members"]] == ["ada", "fraud"]
        assert is_refused(await bob.http.post("/v1/commands", json=STOP), "deployer")
        assert (await admin.put(f"{team}/members", json={"person": bob.person})).status_code == 200
        assert (await bob.http.post("/v1/commands", json=STOP)).status_code == 202
        [listed] = (await bob.http.get("/v1/teams")).json()["teams"]
        assert [each["name"] for each in listed["members"]] == ["ada", "bob"]
        assert (await admin.put(team, json={})).json()["members"] == listed["members"]
        assert (await admin.delete(f"{team}/members/{bob.person}")).status_code == 204
        assert is_refused(await bob.http.post("/v1/commands", json=STOP), "deployer")
        assert (await admin.delete(team)).json()["detail"] == "fraud has a role on churn"
        assert (await ada.http.delete(f"{MEMBERS}/team:fraud")).status_code == 204
        assert (await admin.delete(team)).status_code == 204
        assert (await admin.get("/v1/teams")).json()["teams"] == []
        for path, wanted in (
            (f"{team}/members/bob", "person:…"),
            (f"{MEMBERS}/bob", "person:… or team:NAME"),
        ):
            unreadable = await admin.delete(path)
            assert unreadable.status_code == 400
            assert f"'bob' is none: the list has {wanted} for each" in unreadable.json()["detail"]
        for path in (f"{team}/members/{bob.person}%0A", f"{MEMBERS}/team:fraud%0A"):
            assert (await admin.delete(path)).status_code == 400, "what a script read with its line break"
        for method, path in (("PUT", team), ("DELETE", team), ("PUT", f"{team}/members")):
            refused = await ada.http.request(
                method, path, json={"person": "ada"} if "members" in path else {}
            )
            assert refused.json()["rule"] == "access.role"
    assert TeamChanged(team="fraud", added=(ada.person,), removed=(), changed_by=admin_id) in await said(
        gateway
    )
    assert len(await said(gateway)) == 7


async def test_a_team_that_the_provider_tells_has_its_role(gateway: Gateway) -> None:
    """What the token says it says for itself alone, and to every replica."""
    await asked(gateway)
    await somebody(gateway, "ada")
    await share(gateway, "ada", "owner")
    async with gateway.http() as admin:
        await admin.put("/v1/teams/fraud", json={})
    await share(gateway, "team:fraud", "deployer")

    @dataclass(frozen=True)
    class Bearer:
        teams: frozenset[str]
        person: str = "person:00000000-0000-7000-8000-000000000009"
        roles: frozenset[tokens.Role] = frozenset({"scientist"})

    standings = Queries(gateway.wiring.store).standings
    told = {
        team: (await standings.standing("churn", Bearer(frozenset({team})))).role
        for team in ("fraud", "risk")
    }
    assert told == {"fraud": "deployer", "risk": None}


async def test_nobody_is_named_who_is_not_known(gateway: Gateway) -> None:
    await asked(gateway)
    await somebody(gateway, "ada")
    async with gateway.http() as admin:
        for to, status in (("bob", 404), (f"person:{'0' * 8}-0000-7000-8000-{'0' * 12}", 404), ("Ada", 422)):
            answer = await admin.put(MEMBERS, json={"to": to, "role": "owner"})
            assert answer.status_code == status, answer.text
    assert await said(gateway) == []


async def test_a_stream_ends_once_its_project_is_private_to_others(gateway: Gateway) -> None:
    operation = await asked(gateway)
    await somebody(gateway, "ada")
    await share(gateway, "ada", "owner")
    eve = await somebody(gateway, "eve")
    began, sent = asyncio.Event(), list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        await began.wait()
        return await asyncio.Future()  # who follows does not leave

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))
        if message.get("body"):
            began.set()

    path = f"/v1/operations/{operation}/events"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", eve.http.headers["authorization"].encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("placet", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    following = asyncio.create_task(gateway.app(scope, receive, send))
    async with asyncio.timeout(30):
        await began.wait()
        async with gateway.http() as admin:
            for _ in range(2):
                assert (await admin.put(PRIVATE)).status_code == 204
        await following
    assert sent[0]["status"] == 200
    assert sent[-1].get("more_body", False) is False
    assert is_refused(await eve.http.get(path), "viewer")
    async with gateway.http() as admin:
        for _ in range(2):
            assert (await admin.delete(PRIVATE)).status_code == 204
    assert (await eve.http.get(f"/v1/operations/{operation}")).status_code == 200


async def test_two_gateways_on_one_database_agree(gateway: Gateway) -> None:
    """What one has said the other goes by from the commit on: it asks the rows for each request."""
    await asked(gateway)
    ada = await somebody(gateway, "ada")
    await share(gateway, "ada", "owner")
    folder = gateway.folder
    settings = GatewaySettings(
        registry=str(folder / "registry"), token_key=folder / "tokens.pem", failures_per_second=0
    )
    other = await build(settings, gateway.wiring)
    app = http_app("placet", [ServiceRunner(other)], version="1")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://b", headers=ada.http.headers) as http:
        assert (await http.post("/v1/commands", json=STOP)).status_code == 202
        bob = await somebody(gateway, "bob")
        await share(gateway, "bob", "owner")
        assert (await bob.http.delete(f"{MEMBERS}/{ada.person}")).status_code == 204
        refused = await http.post("/v1/commands", json=STOP)
    for step in other.close:
        await step()
    assert refused.status_code == 403
