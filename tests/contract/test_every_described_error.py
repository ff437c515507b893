"""Every error that the OpenAPI document promises is seen here: each status of each call, of all six services.

What is alike of many calls follows from the document: nobody known (401), not allowed (403), not there (404), not
readable (400), too large (413), too often (429), away (503). What takes a state of its own has a case in `CASES`. An
error that neither has seen fails here, and so does a case that the document does not have.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from placet.events import Context, Heard, Service, UnitOfWork, transact
from placet.events.json_route import JsonRoute
from placet.events.projection import ProjectionRunner
from placet.events.testing import ManualClock
from placet.gateway.cloud_events import BATCH
from placet.trust import tokens

from tests.support.all_services import UNKNOWN, AllServices, all_services
from tests.support.described import Described
from tests.support.oidc_provider import CLIENT, OidcProvider, running
from tests.unit.assessments.test_examining import SURVEY
from tests.unit.gateway import test_advisories_api as of_advisories
from tests.unit.gateway import test_approvals_api as of_approvals
from tests.unit.gateway import test_assessments_api as of_assessments
from tests.unit.gateway import test_erasing as of_people
from tests.unit.gateway import test_exceptions_api as of_exceptions
from tests.unit.gateway import test_policies_api as of_policies
from tests.unit.gateway import test_reports_api as of_reports
from tests.unit.gateway import test_revoking as of_revoking
from tests.unit.gateway import test_sharing_api as of_sharing
from tests.unit.gateway.harness import Gateway, a_gateway, asked, knows_source, live
from tests.unit.gateway.roads import APPROVED, SOURCE, awaited
from tests.unit.gateway.test_reports_reading import cloud_event
from tools import workspace

Call = tuple[str, str, int]
"""Method, path and status."""

PRIVATE = "secret"
"""A project on which somebody has a role who asks for nothing here."""
OF_AUDITORS = tuple(f"/v1/audit/{of}" for of in ("state", "why", "approvals", "exceptions", "expiring"))
OF_THE_WHOLE_LOG = ("/v1/audit/entries", "/v1/audit/tile/entries/{number}")
MORE: Mapping[tuple[str, str], dict[str, Any]] = {
    ("GET", "/v1/events"): {"params": {"follow": True, "after": 99}},
    ("GET", "/v1/audit/proof"): {"params": {"position": 1}},
    ("GET", "/v1/audit/bundle"): {"params": {"project": "nobody"}},
    ("GET", "/v1/audit/projects"): {"params": {"position": 99}},
    **{("GET", path): {"params": {"project": "nobody"}} for path in OF_AUDITORS},
    ("POST", "/v1/commands"): {"json": {"command": "stop", "project": "nobody"}},
    ("POST", "/v1/certificates/{id}/revoke"): {"json": {"reason": "it harms"}},
    ("POST", "/v1/certificates/{id}/review"): {"json": {"found": "nothing"}},
    ("PUT", "/v1/models/{project}/hold"): {"json": {"reason": "a case"}},
    ("PUT", "/v1/models/{project}/members"): {"json": {"to": "team:nobody", "role": "viewer"}},
    ("PUT", "/v1/teams/{team}"): {"json": {"members": ["nobody"]}},
    ("PUT", "/v1/teams/{team}/members"): {"json": {"person": "nobody"}},
    ("POST", "/v1/models/{project}/assessments"): {
        "json": {"questionnaire": "algorithmic-impact", "answers": {}}
    },
    ("POST", "/v1/models/{project}/metadata"): {
        "params": {"release": 1},
        "json": cloud_event(),
        "headers": {"Content-Type": "application/cloudevents+json"},
    },
}
"""What a call needs beside that, to be told that the thing is not there."""
FOR_SOME = {"/v1/audit/bundle": {"params": {"project": "nobody", "people": True}}}
"""What makes it a call for some roles alone."""
BY_DIGEST = ("/v1/sources/{digest}", "/v1/advisories/{digest}")
"""Calls that look at how long a body says it is, before they read it."""


@dataclass(kw_only=True)
class Everything(AllServices):
    provider: OidcProvider
    exhausted: str
    """The token of somebody who has asked as often as one may."""


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def provider(clock: ManualClock) -> Iterator[OidcProvider]:
    with running(OidcProvider(now=lambda: clock.now().timestamp())) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything(
    clock: ManualClock, provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Everything]:
    settings = {
        "READS_PER_SECOND": "1",
        "WRITES_PER_SECOND": "1",
        "FAILURES_PER_SECOND": "0",
        "MAX_SOURCE_BYTES": "65536",
        "OIDC_ISSUER": provider.issuer,
        "OIDC_CLIENT_ID": CLIENT,
    }
    async with all_services(tmp_path_factory.mktemp("described"), clock, settings) as services:
        await has_a_private_project(services, list(services.services.values()))
        exhausted = services.token("auditor")
        for _ in range(10):
            await services.ask("GET", "/v1/me", exhausted)
            await services.ask("POST", "/v1/me/token", exhausted)
        yield Everything(**vars(services), provider=provider, exhausted=exhausted)


async def has_a_private_project(to: AllServices, services: Sequence[Service]) -> None:
    """The gateway says so, and each of the others hears it."""
    for method, path, body in (
        ("POST", "/v1/tokens", {"as": "Ada", "roles": ["scientist"]}),
        ("PUT", f"/v1/models/{PRIVATE}/members", {"to": "Ada", "role": "owner"}),
        ("PUT", f"/v1/models/{PRIVATE}/private", None),
    ):
        answer = await to.ask(method, path, to.token("admin"), json=body)
        assert answer.is_success, answer.text
    [gateway] = [each for each in services if each.name == "gateway"]
    said = await gateway.wiring.store.read_all(0, 100)
    for service in (each for each in services if each is not gateway):
        for each in said:
            event = service.reaction.read(service.wiring, each.event.raw)
            await hear(service, Heard(event=event, epoch="1", position=each.position))
        for projection in service.projections:
            await ProjectionRunner(service.name, service.wiring, projection).rebuild()


async def hear(service: Service, heard: Heard[Any]) -> None:
    async def change(work: UnitOfWork) -> None:
        await service.reaction([heard], work)

    await transact(service.wiring, service.name, Context.after(heard.event, service.name), change)


async def nobody_known(to: Everything, method: str, path: str) -> httpx.Response:
    return await to.ask(method, path, None)


async def not_allowed(to: Everything, method: str, path: str) -> httpx.Response:
    """A scientist has not the roles that some calls take; whom the provider gives no role of ours has none anywhere."""
    answer = await to.ask(method, path, to.token("scientist"), **FOR_SOME.get(path, {}))
    if answer.status_code == 403:
        return answer
    return await to.ask(method, path, to.provider.token(groups=["payroll"]))


async def not_there(to: Everything, method: str, path: str) -> httpx.Response:
    more = MORE.get((method, path), {})
    is_service = path.startswith("/v1/services")
    everybody = to.token(*get_args(tokens.Role))
    return await to.ask(method, path, everybody, values={"service": "nobody"} if is_service else {}, **more)


async def not_readable(to: Everything, method: str, path: str) -> httpx.Response:
    return await to.ask(method, path, to.token("admin"), params={"nobody": "1"})


async def too_large(to: Everything, method: str, path: str) -> httpx.Response:
    headers = {"Content-Type": "application/zip" if path == "/v1/sources" else "application/json"}
    if path in BY_DIGEST:
        return await to.ask(
            method, path, to.token("admin"), headers=headers | {"Content-Length": "9" * 17}, content=b""
        )
    return await to.ask(method, path, to.token("admin"), headers=headers, content=b" " * (1024**2 + 1))


async def too_often(to: Everything, method: str, path: str) -> httpx.Response:
    return await to.ask(method, path, to.exhausted)


async def away(to: Everything, method: str, path: str) -> httpx.Response:
    for store in to.stores:
        store.is_away = True
    try:
        return await to.ask(method, path, to.token("admin"))
    finally:
        for store in to.stores:
            store.is_away = False


ALIKE: Mapping[int, Callable[[Everything, str, str], Awaitable[httpx.Response]]] = {
    400: not_readable,
    401: nobody_known,
    403: not_allowed,
    404: not_there,
    413: too_large,
    429: too_often,
    503: away,
}

# What takes a state of its own

Case = Callable[[Gateway], Awaitable[httpx.Response]]
CASES: dict[Call, Case] = {}


def case(method: str, path: str, status: int) -> Callable[[Case], Case]:
    def keep(provoke: Case) -> Case:
        CASES[method, path, status] = provoke
        return provoke

    return keep


async def as_admin(gateway: Gateway, method: str, path: str, **more: Any) -> httpx.Response:
    async with gateway.http() as http:
        return await http.request(method, path, **more)


@case("DELETE", "/v1/teams/{team}", 409)
async def a_team_is_disbanded_that_has_a_role(gateway: Gateway) -> httpx.Response:
    await of_sharing.somebody(gateway, "ada")
    await of_sharing.share(gateway, "ada", "owner")
    await as_admin(gateway, "PUT", "/v1/teams/fraud", json={})
    await of_sharing.share(gateway, "team:fraud", "deployer")
    return await as_admin(gateway, "DELETE", "/v1/teams/fraud")


@case("PUT", "/v1/teams/{team}", 422)
async def a_team_is_made_of_who_is_called_otherwise(gateway: Gateway) -> httpx.Response:
    await of_sharing.somebody(gateway, "ada")
    return await as_admin(gateway, "PUT", "/v1/teams/fraud", json={"members": ["ADA"]})


@case("PUT", "/v1/teams/{team}/members", 422)
async def who_is_called_otherwise_joins_a_team(gateway: Gateway) -> httpx.Response:
    await of_sharing.somebody(gateway, "ada")
    await as_admin(gateway, "PUT", "/v1/teams/fraud", json={})
    return await as_admin(gateway, "PUT", "/v1/teams/fraud/members", json={"person": "ADA"})


@case("PUT", "/v1/models/{project}/members", 409)
async def the_first_role_is_no_owner_s(gateway: Gateway) -> httpx.Response:
    await of_sharing.somebody(gateway, "ada")
    return await as_admin(gateway, "PUT", of_sharing.MEMBERS, json={"to": "ada", "role": "viewer"})


@case("PUT", "/v1/models/{project}/members", 422)
async def who_is_called_otherwise_is_given_a_role(gateway: Gateway) -> httpx.Response:
    await of_sharing.somebody(gateway, "ada")
    return await as_admin(gateway, "PUT", of_sharing.MEMBERS, json={"to": "ADA", "role": "owner"})


@case("DELETE", "/v1/models/{project}/members/{to}", 409)
async def the_last_owner_leaves(gateway: Gateway) -> httpx.Response:
    ada = await of_sharing.somebody(gateway, "ada")
    await of_sharing.share(gateway, "ada", "owner")
    return await ada.http.delete(f"{of_sharing.MEMBERS}/{ada.person}")


@case("PUT", "/v1/models/{project}/private", 409)
async def what_nobody_owns_is_made_private(gateway: Gateway) -> httpx.Response:
    return await as_admin(gateway, "PUT", of_sharing.PRIVATE)


@case("POST", "/v1/commands", 409)
async def a_release_that_serves_nothing_is_scaled(gateway: Gateway) -> httpx.Response:
    await asked(gateway)
    return await as_admin(
        gateway, "POST", "/v1/commands", json={"command": "scale", "project": "churn", "replicas": 2}
    )


@case("POST", "/v1/commands", 422)
async def a_command_names_no_project(gateway: Gateway) -> httpx.Response:
    return await as_admin(gateway, "POST", "/v1/commands", json={"command": "stop"})


@case("POST", "/v1/tokens", 409)
async def a_name_looks_like_another(gateway: Gateway) -> httpx.Response:
    await of_people.token_for(gateway, "Ada")
    return await as_admin(gateway, "POST", "/v1/tokens", json={"as": "ADA", "roles": ["scientist"]})


@case("POST", "/v1/me/token", 422)
async def whoever_has_one_of_our_tokens_asks_for_one(gateway: Gateway) -> httpx.Response:
    return await as_admin(gateway, "POST", "/v1/me/token")


@case("POST", "/v1/models/{project}/exceptions", 409)
async def the_same_exception_is_asked_for_otherwise(gateway: Gateway) -> httpx.Response:
    await of_exceptions.asked(gateway)
    return await of_exceptions.ask(gateway, reason="said otherwise")


@case("POST", "/v1/models/{project}/exceptions", 422)
async def a_rule_admits_no_exception(gateway: Gateway) -> httpx.Response:
    return await of_exceptions.ask(gateway, rule="no.such-rule")


@case("POST", "/v1/models/{project}/exceptions/{id}/grant", 409)
async def another_grants_what_was_granted(gateway: Gateway) -> httpx.Response:
    exception = await of_exceptions.asked(gateway)
    await of_exceptions.post(gateway, exception, "grant")
    return await of_exceptions.post(gateway, exception, "grant", gateway.token("admin"))


@case("POST", "/v1/models/{project}/exceptions/{id}/withdraw", 409)
async def what_is_over_is_withdrawn(gateway: Gateway) -> httpx.Response:
    exception = await of_exceptions.asked(gateway, until=of_exceptions.days(gateway, 1))
    gateway.clock.pass_(timedelta(days=2))
    return await of_exceptions.post(gateway, exception, "withdraw")


async def release_awaits(gateway: Gateway) -> str:
    operation = await asked(gateway)
    await gateway.hear_all((*APPROVED[1:5], awaited(asker=of_approvals.ADA)), operation)
    return operation


@case("POST", "/v1/models/{project}/approvals", 409)
async def one_key_is_used_for_two_approvals(gateway: Gateway) -> httpx.Response:
    await release_awaits(gateway)
    await of_approvals.approve(gateway, key="one")
    return await of_approvals.approve(gateway, key="one", reason="another")


@case("POST", "/v1/models/{project}/approvals", 422)
async def what_waits_for_nothing_is_approved(gateway: Gateway) -> httpx.Response:
    return await of_approvals.approve(gateway)


@case("POST", "/v1/certificates/{id}/revoke", 409)
async def it_is_revoked_for_another_reason(gateway: Gateway) -> httpx.Response:
    await live(gateway)
    await of_revoking.revoke(gateway)
    return await of_revoking.revoke(gateway, reason="it harms more")


@case("POST", "/v1/certificates/{id}/review", 409)
async def two_review_the_same(gateway: Gateway) -> httpx.Response:
    operation = await release_awaits(gateway)
    for each in (of_approvals.broken(), of_approvals.owed()):
        await gateway.hear(each, operation)
    first, second = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (4, 5))
    await of_approvals.review(gateway, first)
    return await of_approvals.review(gateway, second)


@case("POST", "/v1/questionnaires", 409)
async def the_same_bytes_are_imported_by_another_name(gateway: Gateway) -> httpx.Response:
    file, named = json.dumps(SURVEY).encode(), {"form": "surveyjs", "id": "aia", "version": "1"}
    await of_assessments.imports(gateway, file, **named)
    return await of_assessments.imports(gateway, file, **named | {"version": "2"})


@case("POST", "/v1/questionnaires", 422)
async def a_file_is_no_questionnaire(gateway: Gateway) -> httpx.Response:
    return await of_assessments.imports(gateway, b"id: 7")


@case("POST", "/v1/models/{project}/assessments", 422)
async def a_question_is_not_answered(gateway: Gateway) -> httpx.Response:
    await knows_source(gateway)
    await of_assessments.imports(gateway)
    return await of_assessments.answer(gateway, {}, source=SOURCE)


@case("POST", "/v1/models/{project}/metadata", 409)
async def one_event_says_two_things(gateway: Gateway) -> httpx.Response:
    await of_reports.send(gateway, cloud_event())
    return await of_reports.send(gateway, cloud_event(time="2020-01-01T00:00:00Z"))


@case("POST", "/v1/models/{project}/metadata", 422)
async def a_report_is_of_no_kind(gateway: Gateway) -> httpx.Response:
    return await of_reports.send(gateway, [cloud_event(data={})], BATCH)


@case("DELETE", "/v1/people/{person}", 409)
async def somebody_is_erased_of_whom_something_is_held(gateway: Gateway) -> httpx.Response:
    ada = await of_people.a_person_with_a_past(gateway)
    await as_admin(gateway, "PUT", "/v1/models/churn/hold", json={"reason": "a case"})
    return await of_people.erase(gateway, ada["person"])


@case("PUT", "/v1/sources/{digest}", 422)
async def a_source_is_not_what_its_digest_says(gateway: Gateway) -> httpx.Response:
    return await as_admin(gateway, "PUT", f"/v1/sources/{UNKNOWN}", content=b"others")


@case("POST", "/v1/sources", 422)
async def a_zip_is_none(gateway: Gateway) -> httpx.Response:
    zipped = {"Content-Type": "application/zip"}
    return await as_admin(gateway, "POST", "/v1/sources", content=b"no zip", headers=zipped)


@case("GET", "/v1/sources", 422)
async def an_address_is_elsewhere(gateway: Gateway) -> httpx.Response:
    return await as_admin(gateway, "GET", "/v1/sources", params={"git": "https://elsewhere.org/churn.git"})


@case("POST", "/v1/policies", 422)
async def a_file_is_no_policy(gateway: Gateway) -> httpx.Response:
    return await of_policies.submit(gateway, "policy: 7")


@case("PUT", "/v1/advisories/{digest}", 422)
async def advisories_are_not_what_their_digest_says(gateway: Gateway) -> httpx.Response:
    return await of_advisories.send(gateway, under=UNKNOWN)


ELSEWHERE: Mapping[Call, str] = {
    ("GET", "/readyz", 503): "events/test_readiness.py::test_without_a_database_it_is_not_ready",
    ("GET", "/v1/sources", 413): "gateway/test_git_sources.py::test_one_that_is_too_large_is_told_to_be",
    ("GET", "/v1/audit/bundle", 422): (
        "metadata/test_bundles.py::test_without_a_registry_it_is_said_what_to_set"
    ),
    ("GET", "/v1/audit/bundle", 413): "metadata/test_bundles.py::test_that_is_told_over_http_as_too_large",
    ("POST", "/v1/me/token", 409): (
        "gateway/test_oidc.py::test_nobody_has_tokens_made_for_themselves_without_end"
    ),
    ("GET", "/v1/audit/proof", 422): (
        "metadata/test_checkpoints_api.py::test_a_proof_is_of_one_thing_that_is_there"
    ),
    ("POST", "/v1/webhooks", 409): (
        "metadata/test_webhooks_api.py::test_the_same_twice_is_a_conflict_and_what_is_not_there_unknown"
    ),
    ("POST", "/v1/webhooks", 422): "metadata/test_webhooks_api.py::test_what_makes_no_sense_is_refused",
    ("POST", "/v1/webhooks/{id}/enable", 422): (
        "metadata/test_webhooks_api.py::test_behind_the_end_of_the_log_nothing_begins"
    ),
    ("POST", "/v1/services/{service}/parked/{id}/retry", 422): (
        "events/test_services_api.py::test_what_is_parked_comes_in_pages"
    ),
}
"""By the unit test that sees it: there was all that it takes, already."""


@pytest.mark.parametrize(("method", "path", "status"), CASES)
async def test_what_takes_a_state_is_answered_as_described(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with a_gateway(tmp_path) as gateway:
        answer = await CASES[method, path, status](gateway)
        described = Described(gateway.app.rest.openapi())
    assert answer.status_code == status, answer.text
    assert described.path_of(answer.request.method, answer.request.url.path) == path
    described.must_allow(answer)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("status", ALIKE)
async def test_what_is_alike_of_many_calls_is_answered_as_described(
    everything: Everything, status: int
) -> None:
    for method, path, call in everything.described.calls():
        if str(status) not in call["responses"] or not path.startswith("/v1/"):
            continue
        if (method, path, status) in ELSEWHERE:
            continue
        answer = await ALIKE[status](everything, method, path)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        everything.described.must_allow(answer)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_call_writes_what_it_answers_at_once(everything: Everything) -> None:
    calls = [each for each in everything.face.rest.routes if isinstance(each, APIRoute)]
    assert [each.path for each in calls if not isinstance(each, JsonRoute) and each.include_in_schema] == []
    assert len(calls) > 100


@pytest.mark.asyncio(loop_scope="module")
async def test_who_reads_of_a_private_project_without_a_role_is_refused_as_described(
    everything: Everything,
) -> None:
    named = {"project": PRIVATE}
    for method, path, call in everything.described.calls():
        names = {each["name"] for each in call.get("parameters", ())}
        if method != "GET" or ("project" not in names and path not in OF_THE_WHOLE_LOG):
            continue
        more = {"values": named} if "{project}" in path else {"params": named} if "project" in names else {}
        answer = await everything.ask(method, path, everything.token("scientist"), **more)
        assert answer.status_code == 403, f"{path}: {answer.text}"
        assert path in OF_AUDITORS or answer.json()["rule"] == "project.role", path
        everything.described.must_allow(answer)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_error_is_described_that_nothing_here_has_seen(everything: Everything) -> None:
    described = {
        (method, path, int(status))
        for method, path, call in everything.described.calls()
        for status in call["responses"]
        if int(status) >= 400
    }
    particular = {each for each in described if each[2] not in ALIKE} | {
        each for each in described if not each[1].startswith("/v1/")
    }
    assert particular | ELSEWHERE.keys() == CASES.keys() | ELSEWHERE.keys()
    assert ELSEWHERE.keys() <= described


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_what_is_seen_elsewhere_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (workspace.ROOT / "tests" / "unit" / file).read_text("utf-8")
