"""Whatever a service answers with 401 or 403 is counted in exactly one event of its own, whichever of the six it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import jwt
import pytest
import pytest_asyncio
import sqlalchemy as sa
from placet.builder.projections import sharing as of_builder
from placet.deployer.projections import sharing as of_deployer
from placet.events import Service
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG
from placet.events.contracts.shapes import Denial
from placet.events.store import Put, Unit
from placet.events.testing import ManualClock
from placet.identity.denials import MOST_SERIES, Denials

from tests.support.all_services import AllServices, all_services

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
REGISTRYS = "the token of the registry"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AllServices]:
    settings = {"FAILURES_PER_SECOND": "0", "NOTIFICATION_TOKEN": REGISTRYS}
    async with all_services(tmp_path_factory.mktemp("denied"), ManualClock(), settings) as services:
        yield services


@dataclass
class Asked:
    """One of the six, and what it said since the test began."""

    platform: AllServices
    service: Service
    before: int

    @property
    def denials(self) -> Denials:
        (found,) = [each for each in self.service.counts if isinstance(each, Denials)]
        return found

    async def ask(self, token: str | None, path: str | None = None, method: str = "GET", **more: Any) -> int:
        path = path or f"/v1/services/{self.service.name}/parked"
        return (await self.platform.ask(method, path, token, **more)).status_code

    async def said(self, after: timedelta = timedelta()) -> Sequence[Denial]:
        """Those of the beginnings, and what was counted in windows that are over then."""
        self.platform.clock.pass_(after)
        await self.denials.tell()
        await self.denials.tell()
        return await self.events()

    async def events(self) -> Sequence[Denial]:
        recorded = await self.service.wiring.store.read_all(self.before, 1000)
        assert {each.event.type for each in recorded} <= {f"placet.{self.service.name}.access.denied.v1"}
        assert {each.event.attributes.partitionkey for each in recorded} <= {"platform"}
        return [each.event.data for each in recorded]

    async def keep(self, table: sa.Table, **row: str) -> None:
        await self.service.wiring.store.commit(Unit(writes=(Put(table=table, row=row),)))


async def asked(platform: AllServices, name: str) -> Asked:
    """With nothing left of what an earlier test was denied."""
    found = Asked(platform, platform.services[name], 0)
    for _ in range(3):  # what is to be said, what was counted, and the end of all series
        await found.denials.tell(to_the_end=True)
    found.before = (await found.service.wiring.store.head()).position
    return found


@pytest_asyncio.fixture(loop_scope="module", params=SERVICES)
async def service(request: pytest.FixtureRequest, platform: AllServices) -> Asked:
    return await asked(platform, request.param)


def person_of(token: str) -> str:
    person: str = jwt.decode(token, options={"verify_signature": False})["sub"]
    return person


async def test_somebody_unknown_is_in_the_log_by_where_they_ask_from(service: Asked) -> None:
    assert await service.ask(None) == 401
    assert await service.ask("no.such.token") == 401
    missing, invalid = await service.said()
    assert (missing.person, missing.status, missing.count, missing.method) == (None, 401, 1, "GET")
    assert missing.route == "/v1/services/{service}/parked"
    assert missing.origin is not None
    assert missing.origin == invalid.origin
    assert invalid.reason == "token.invalid"


async def test_whose_role_does_not_suffice_is_in_the_log_once_and_the_same_again_as_a_number(
    service: Asked,
) -> None:
    scientist = service.platform.token("scientist")
    for _ in range(6):
        assert await service.ask(scientist) == 403
    [first] = await service.said()
    assert (first.person, first.origin) == (person_of(scientist), None)
    assert (first.status, first.reason, first.count) == (403, "access.role", 1)
    [_, rest] = await service.said(timedelta(minutes=1))
    assert (rest.denial, rest.count) == (first.denial, 5)


async def test_many_make_a_bounded_number_of_events(service: Asked) -> None:
    for _ in range(MOST_SERIES + 5):
        assert await service.ask(service.platform.token("scientist")) == 403
    events = await service.said(timedelta(minutes=1))
    assert len(events) == MOST_SERIES + 1
    assert sum(each.count for each in events) == MOST_SERIES + 5
    assert (events[-1].person, events[-1].count) == (None, 5)


async def test_what_is_left_is_said_at_the_stop(service: Asked) -> None:
    denials = service.denials
    assert denials.start in service.service.start
    assert denials.close in service.service.close
    for _ in range(3):
        assert await service.ask(None) == 401
    await denials.close()
    assert sum(each.count for each in await service.events()) == 3


@pytest.mark.parametrize("name", ["certifier", "builder", "indexer", "deployer"])
async def test_whose_token_was_revoked_is_in_the_log_by_name(platform: AllServices, name: str) -> None:
    """Those of the gateway and of metadata have tests of their own."""
    service = await asked(platform, name)
    revoked = import_module(f"placet.{name}.projections").revoked_tokens
    token = platform.token("admin")
    await service.keep(revoked, token=person_of(token).removeprefix("person:"))
    assert await service.ask(token) == 401
    [denied] = await service.said()
    assert (denied.person, denied.reason) == (person_of(token), "token.revoked")


@pytest.mark.parametrize(
    ("name", "path", "params", "reason"),
    [
        ("builder", "/v1/builds/{project}/{release}/log", {}, "project.role"),
        ("deployer", "/v1/models/{project}/logs", {}, "project.role"),
        ("deployer", "/v1/capacity", {"project": "hidden"}, "project.role"),
        ("indexer", "/v1/garbage", {}, "access.role"),
        ("metadata", "/v1/audit/state", {}, "access.role"),
        ("metadata", "/v1/audit/bundle", {"project": "hidden", "people": True}, "access.role"),
        ("metadata", "/v1/webhooks", {}, "access.role"),
    ],
)
async def test_what_a_service_looks_at_later_is_in_the_log_too(
    platform: AllServices, name: str, path: str, params: dict[str, Any], reason: str
) -> None:
    service, scientist = await asked(platform, name), platform.token("scientist")
    for sharing, owner in ((of_builder, "builder"), (of_deployer, "deployer")):
        if owner == name:
            await service.keep(sharing.private, project="hidden")
    assert await service.ask(scientist, path, params=params, values={"project": "hidden"}) == 403
    [denied] = await service.said()
    assert (denied.person, denied.status, denied.reason) == (person_of(scientist), 403, reason)
    is_named = "{project}" in path or "project" in params
    assert (denied.route, denied.project) == (path, "hidden" if is_named else None)


async def test_a_registry_with_another_token_is_in_the_log(platform: AllServices) -> None:
    indexer, notifications = await asked(platform, "indexer"), "/v1/registry/notifications"
    assert await indexer.ask(REGISTRYS, notifications, "POST", json={"events": []}) == 202
    assert await indexer.ask("another", notifications, "POST", json={"events": []}) == 401
    [denied] = await indexer.said()
    assert (denied.person, denied.status, denied.route) == (None, 401, notifications)


def counted(platform: AllServices) -> Iterator[float]:
    for service in platform.services.values():
        for each in service.counts:
            if isinstance(each, Denials):
                yield sum(sample.value for family in each.collect() for sample in family.samples)


async def test_every_call_that_denies_is_counted_once(platform: AllServices) -> None:
    for method, path, call in platform.described.calls():
        for token in (None, platform.token("scientist")):
            before = sum(counted(platform))
            answer = await platform.ask(method, path, token)
            denied = answer.status_code in (401, 403)
            assert sum(counted(platform)) - before == denied, f"{method} {path}: {answer.status_code}"
            assert denied or token or "401" not in call["responses"], f"{method} {path}"


async def test_all_of_a_process_are_one_metric(platform: AllServices) -> None:
    for name in SERVICES:
        await (await asked(platform, name)).ask(None)
    lines = (await platform.ask("GET", "/metrics", None)).text.splitlines()
    assert lines.count("# TYPE placet_denied_requests_total counter") == 1
    for name in SERVICES:
        assert any(
            line.startswith("placet_denied_requests_total{") and f'service="{name}"' in line for line in lines
        )


async def test_each_service_says_them_by_the_same_shape() -> None:
    denials = [each for each in CATALOG.types if contract_of(each).name == "access.denied"]
    assert sorted(contract_of(each).producer for each in denials) == sorted(SERVICES)
    assert all(issubclass(each, Denial) for each in denials)
