"""The builder on a database of its own; the workshop is a fake that counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.builder.adapters.image_workshop import RegistryImages
from placet.builder.api import router
from placet.builder.handlers import MAX_WHY, BuildJob, build_worker
from placet.builder.ports import KnownImage, Ports
from placet.builder.projections import TABLES
from placet.builder.queries import KnownImages
from placet.builder.subscriptions import HEARS, SAYS, reaction
from placet.errors import Refused, Unavailable
from placet.events import Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.builder import BuildAccepted, BuildFailed, ImageBuilt, ImageReused
from placet.events.contracts.gateway import TokenRevoked
from placet.events.jobs import Job
from placet.events.testing import changed
from placet.events.unit_of_work import Context
from placet.oci import ImageLayout
from placet.trust import KeySet, SigningKey, tokens

from tests.unit.gateway.roads import IMAGE, SOURCE, built, cleared, reserved
from tests.unit.hearing import Alone, alone

OTHER_SOURCE = f"sha256:{'6' * 64}"


@dataclass
class Shelf:
    """The `Images` port: what the registry still has."""

    gone: set[str] = field(default_factory=set)

    async def exists(self, known: KnownImage) -> bool:
        return known.image not in self.gone


@dataclass
class CountingWorkshop:
    """The `Workshop` port: makes the same image of everything."""

    logs: Path
    builds: list[tuple[str, int, str]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    def reuse_key(self, source: str) -> str:
        return f"key of {source}"

    def log_of(self, project: str, release: int) -> Path:
        return self.logs / project / f"{release}.log"

    async def build(self, project: str, release: int, source: str) -> ImageBuilt:
        if self.trouble:
            raise self.trouble.pop(0)
        self.builds.append((project, release, source))
        return changed(built(project, release), source=source)


@dataclass
class Builder:
    alone: Alone
    workshop: CountingWorkshop
    shelf: Shelf
    key: SigningKey
    ports: Ports

    async def reserve(self, project: str = "churn", release: int = 1, **more: Any) -> None:
        await self.alone.hear(changed(reserved(project, release), **more))
        await self.alone.work_off()

    def token(self) -> str:
        return tokens.issue(
            id="token-1",
            person="person:00000000-0000-7000-8000-000000000001",
            roles=frozenset({"auditor"}),
            now=self.alone.clock.now(),
            lifetime=timedelta(hours=1),
            key=self.key,
        )


@pytest.fixture
async def builder(tmp_path: Path) -> AsyncIterator[Builder]:
    workshop, shelf, key = CountingWorkshop(tmp_path / "logs"), Shelf(), SigningKey.generate()
    made: list[Ports] = []

    async def build(wiring: Wiring) -> Service:
        ports = Ports(known=KnownImages(wiring.store), images=shelf, workshop=workshop)
        made.append(ports)
        return Service(
            name="builder",
            wiring=wiring,
            hears=frozenset(contract_of(event).producer for event in HEARS),
            says=SAYS,
            reaction=reaction(ports),
            workers=(build_worker(ports, slots=2),),
            routers=(
                router(
                    keys=KeySet([key.public]),
                    clock=wiring.clock,
                    store=wiring.store,
                    log_of=workshop.log_of,
                ),
            ),
        )

    async with alone("builder", tmp_path, build, tables=(TABLES,)) as service:
        yield Builder(service, workshop, shelf, key, made[0])


def kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


async def test_an_unknown_source_is_built_once_its_resources_are_there(builder: Builder) -> None:
    await builder.alone.hear(cleared())
    assert await builder.alone.said() == []
    await builder.reserve()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]
    assert builder.workshop.builds == [("churn", 1, SOURCE)]


async def test_a_mere_build_waits_for_no_resources(builder: Builder) -> None:
    await builder.alone.hear(cleared("build"))
    await builder.alone.work_off()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]


async def test_hearing_it_twice_builds_once(builder: Builder) -> None:
    heard = builder.alone.heard(reserved())
    await builder.alone.handle(heard)
    await builder.alone.handle(heard)
    await builder.alone.work_off()
    await builder.alone.handle(heard)
    await builder.alone.work_off()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]
    assert len(builder.workshop.builds) == 1


async def test_the_same_source_is_reused_whatever_project_asks(builder: Builder) -> None:
    await builder.reserve()
    await builder.reserve("other", 1)
    reused = (await builder.alone.said())[-1]
    assert isinstance(reused, ImageReused)
    assert (reused.project, reused.image, reused.repository) == ("other", IMAGE, "models/churn")
    assert len(builder.workshop.builds) == 1


async def test_another_source_is_built(builder: Builder) -> None:
    await builder.reserve()
    await builder.reserve(release=2, source=OTHER_SOURCE)
    assert [source for _, _, source in builder.workshop.builds] == [SOURCE, OTHER_SOURCE]


async def test_an_image_is_asked_for_by_its_digest(builder: Builder) -> None:
    await builder.reserve()
    await builder.reserve("other", 1, source=OTHER_SOURCE, image=IMAGE)
    assert isinstance((await builder.alone.said())[-1], ImageReused)


async def test_an_image_that_the_builder_never_made_is_made_from_its_source(builder: Builder) -> None:
    await builder.reserve(image=f"sha256:{'f' * 64}")
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]


@pytest.mark.parametrize("image", [None, IMAGE])
async def test_an_image_that_vanished_is_built_again(builder: Builder, image: str | None) -> None:
    await builder.reserve()
    builder.shelf.gone.add(IMAGE)
    await builder.reserve(release=2, image=image)
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt, BuildAccepted, ImageBuilt]
    builder.shelf.gone.clear()
    await builder.reserve(release=3)
    assert isinstance((await builder.alone.said())[-1], ImageReused)


async def test_a_project_that_cannot_be_built_says_why(builder: Builder) -> None:
    builder.workshop.trouble = [Refused("no wheel of ancient fits", fix="pin another version")]
    await builder.reserve()
    failed = (await builder.alone.said())[-1]
    assert isinstance(failed, BuildFailed)
    assert (failed.why, failed.fix) == ("no wheel of ancient fits", "pin another version")


async def test_however_much_a_resolver_says_the_failure_is_told(builder: Builder) -> None:
    builder.workshop.trouble = [Refused("because " * 20_000)]
    await builder.reserve()
    failed = (await builder.alone.said())[-1]
    assert isinstance(failed, BuildFailed)
    assert failed.why.startswith("because because")
    assert len(failed.why) <= MAX_WHY + 2


async def test_a_failure_is_not_remembered_as_an_image(builder: Builder) -> None:
    builder.workshop.trouble = [Refused("no")]
    await builder.reserve()
    await builder.reserve(release=2)
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)


async def test_an_index_that_is_away_is_waited_for(builder: Builder) -> None:
    builder.workshop.trouble = [Unavailable("the index is away", retry_after=0.0)] * 3
    await builder.reserve()
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)


async def test_an_index_that_stays_away_is_given_up_and_told(builder: Builder) -> None:
    builder.workshop.trouble = [Unavailable("the index is away", retry_after=0.0)] * 100
    await builder.reserve()
    failed = (await builder.alone.said())[-1]
    assert isinstance(failed, BuildFailed)
    assert "the index is away" in failed.why
    assert failed.fix


async def test_a_bug_is_told_without_its_traceback(builder: Builder) -> None:
    builder.workshop.trouble = [RuntimeError("password=hunter2")] * 100
    await builder.reserve()
    failed = (await builder.alone.said())[-1]
    assert isinstance(failed, BuildFailed)
    assert "RuntimeError" in failed.why
    assert "hunter2" not in failed.why
    assert "File" not in failed.why


async def test_a_crash_after_the_push_builds_again_and_says_it_once(builder: Builder) -> None:
    heard = builder.alone.heard(reserved())
    await builder.alone.handle(heard)
    worker = builder.alone.service.workers[0]
    job = Job(
        kind="build",
        key="churn/1",
        payload=BuildJob(project="churn", release=1, source=SOURCE),
        context=Context.after(heard.event, "builder"),
        attempts=0,
    )
    await worker.run(job)  # pushed, and dead before it was said
    await builder.alone.work_off()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]
    assert len(builder.workshop.builds) == 2


async def test_the_registry_is_asked_whether_it_still_has_an_image(tmp_path: Path) -> None:
    images = RegistryImages(ImageLayout(tmp_path))
    assert not await images.exists(KnownImage(image=IMAGE, repository="models/churn"))


# the log


async def test_a_build_s_log_is_for_those_with_a_token(builder: Builder) -> None:
    file = builder.workshop.log_of("churn", 1)
    file.parent.mkdir(parents=True)
    file.write_text("resolved 12 packages\n")
    async with builder.alone.http() as http:
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 401
    async with builder.alone.http(builder.token()) as http:
        answer = await http.get("/v1/builds/churn/1/log")
        assert (answer.status_code, answer.text) == (200, "resolved 12 packages\n")
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await http.get("/v1/builds/churn/2/log")).status_code == 404
        await builder.alone.hear(TokenRevoked(token="token-1"))
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 401


@pytest.mark.parametrize(
    ("project", "release"),
    [
        ("..", "1"),
        ("..%2f..", "1"),
        ("%2e%2e%2fsecret", "1"),
        ("churn%00", "1"),
        ("churn%0a", "1"),
        ("CHURN", "1"),
        ("churn", "-1"),
        ("churn", "0"),
        ("churn", "1%2f..%2f2"),
        ("churn", "9" * 300),
        ("churn", "9" * 5000),
        ("churn", "one"),
    ],
)
async def test_no_name_leads_to_another_file(builder: Builder, project: str, release: str) -> None:
    (builder.workshop.logs / "churn").mkdir(parents=True)
    (builder.workshop.logs / "1.log").write_text("what another build said")
    async with builder.alone.http(builder.token()) as http:
        answer = await http.get(f"/v1/builds/{project}/{release}/log")
    assert answer.status_code in (400, 404)
    assert "what another build said" not in answer.text  # the path itself may be named
