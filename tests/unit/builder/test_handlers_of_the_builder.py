"""The builder on a database of its own; the workshop is a fake that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from placet.builder.adapters.image_workshop import RegistryImages
from placet.builder.api import Access, router
from placet.builder.jobs import MAX_WHY, build_worker
from placet.builder.ports import BuildJob, KnownImage, Ports
from placet.builder.projections import TABLES
from placet.builder.queries import HeardRequests, KnownImages
from placet.builder.subscriptions import HEARS, SAYS, SHOWS, reaction
from placet.errors import Refused, Unavailable
from placet.events import Service, Wiring, tables
from placet.events.catalog import contract_of
from placet.events.contracts.builder import AccessDenied, BuildAccepted, BuildFailed, ImageBuilt, ImageReused
from placet.events.contracts.gateway import (
    DeleteRequested,
    ErasureRequested,
    ProjectOpened,
    ProjectRestricted,
    RoleGranted,
    StopRequested,
    TeamChanged,
    TokenRevoked,
)
from placet.events.jobs import Job
from placet.events.testing import changed
from placet.events.unit_of_work import Context
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.oci import ImageLayout
from placet.trust import KeySet, SigningKey, tokens

from tests.support.eventually import eventually
from tests.support.piece_by_piece import piece_by_piece
from tests.unit.gateway.roads import IMAGE, SOURCE, asked, built, cleared, reserved
from tests.unit.hearing import Alone, alone

OTHER_SOURCE = f"sha256:{'6' * 64}"

PERSON = "person:00000000-0000-7000-8000-000000000001"


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
    may_end: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    cancelled: list[str] = field(default_factory=list)

    def reuse_key(self, source: str) -> str:
        return f"key of {source}"

    def log_of(self, project: str, release: int) -> Path:
        return self.logs / project / f"{release}.log"

    async def build(self, project: str, release: int, source: str) -> ImageBuilt:
        self.builds.append((project, release, source))
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(project)
            raise
        if self.trouble:
            self.builds.pop()
            raise self.trouble.pop(0)
        return changed(built(project, release), source=source)


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


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

    @asynccontextmanager
    async def at_work(self, builds: int) -> AsyncIterator[asyncio.Event]:
        """While so many builds are under way, which end with the event that is given; at the end all jobs are done."""
        self.workshop.may_end.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.alone.work_off())
            await eventually(lambda: len(self.workshop.builds) == builds)
            yield self.workshop.may_end

    async def waiting(self) -> list[str]:
        """The jobs that are not done."""
        rows = await self.alone.wiring.store.rows(sa.select(tables.jobs.c.key))
        return sorted(row.key for row in rows)

    def token(self, role: tokens.Role = "auditor") -> str:
        return tokens.issue(
            id="token-1",
            person=PERSON,
            roles=frozenset({role}),
            now=self.alone.clock.now(),
            lifetime=timedelta(hours=1),
            key=self.key,
        )


@pytest.fixture
async def builder(tmp_path: Path) -> AsyncIterator[Builder]:
    workshop, shelf, key = CountingWorkshop(tmp_path / "logs"), Shelf(), SigningKey.generate()
    made: list[Ports] = []

    async def build(wiring: Wiring) -> Service:
        ports = Ports(
            known=KnownImages(wiring.store),
            images=shelf,
            workshop=workshop,
            requests=HeardRequests(wiring.store),
        )
        made.append(ports)
        return Service(
            name="builder",
            wiring=wiring,
            hears=frozenset(contract_of(event).producer for event in HEARS),
            says=SAYS,
            reaction=reaction(ports),
            shows=reaction(ports, SHOWS),
            workers=(build_worker(ports, slots=2),),
            routers=lambda: [
                router(
                    access=Access(
                        Callers(lambda: KeySet([key.public]), wiring.clock),
                        wiring.store,
                        Denials(wiring, AccessDenied),
                    ),
                    store=wiring.store,
                    log_of=workshop.log_of,
                )
            ],
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


async def test_a_build_takes_a_turn_of_who_asked_for_it(builder: Builder) -> None:
    await builder.alone.hear(changed(reserved(), asker="person:ada"))
    await builder.alone.hear(changed(cleared("build", project="fraud"), asker="person:grace"))
    assert sorted(await builder.alone.askers()) == ["person:ada", "person:grace"]


async def test_a_crash_after_the_push_builds_again_and_says_it_once(builder: Builder) -> None:
    heard = builder.alone.heard(reserved())
    await builder.alone.handle(heard)
    crashing = build_worker(builder.ports, slots=2)
    job = Job(
        kind="build",
        key="churn/1",
        payload=BuildJob(project="churn", release=1, source=SOURCE),
        context=Context.after(heard.event, "builder"),
        attempts=0,
        asker="person:ada",
    )
    await crashing.run(job)  # pushed, and dead before it was said
    await builder.alone.work_off()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]
    assert len(builder.workshop.builds) == 2


async def test_an_image_that_could_not_be_told_of_is_not_built_again(builder: Builder) -> None:
    await builder.alone.hear(reserved())
    [row] = await builder.alone.wiring.store.rows(sa.select(tables.jobs))
    job = Job(
        kind="build",
        key=row.key,
        payload=msgspec.json.decode(row.payload, type=BuildJob),
        context=msgspec.json.decode(row.context, type=Context),
        attempts=0,
        asker="person:ada",
    )
    await builder.alone.service.workers[0].run(job)  # and the database was away when it was to be said
    await builder.alone.work_off()
    assert kinds(await builder.alone.said()) == [BuildAccepted, ImageBuilt]
    assert len(builder.workshop.builds) == 1
    await builder.reserve("other", 1)
    assert isinstance((await builder.alone.said())[-1], ImageReused)


async def test_the_registry_is_asked_whether_it_still_has_an_image(tmp_path: Path) -> None:
    images = RegistryImages(ImageLayout(tmp_path))
    assert not await images.exists(KnownImage(image=IMAGE, repository="models/churn"))


# wanted by nobody any more, or by several at once


async def test_a_stop_or_a_delete_ends_the_build_that_it_overtakes(builder: Builder) -> None:
    for release, over in ((1, StopRequested(project="churn")), (2, DeleteRequested(project="churn"))):
        builder.workshop.builds.clear()
        await builder.alone.hear(asked(release=release))
        await builder.alone.hear(reserved(release=release))
        async with builder.at_work(1):
            await builder.alone.hear(over)
        failed = (await builder.alone.said())[-1]
        assert isinstance(failed, BuildFailed)
        assert failed.why == f"a later request for churn overtook release {release}"
        assert failed.fix
    assert builder.workshop.cancelled == ["churn", "churn"]


async def test_a_build_that_was_overtaken_before_it_began_does_not_begin(builder: Builder) -> None:
    await builder.alone.hear(asked())
    await builder.alone.hear(StopRequested(project="churn"))
    await builder.reserve()
    assert isinstance((await builder.alone.said())[-1], BuildFailed)
    assert builder.workshop.builds == []


async def test_a_mere_build_runs_nothing_that_could_be_stopped(builder: Builder) -> None:
    await builder.alone.hear(asked("build"))
    await builder.alone.hear(cleared("build"))
    async with builder.at_work(1) as may_end:
        await builder.alone.hear(StopRequested(project="churn"))
        may_end.set()
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)


async def test_a_mere_build_goes_with_its_project(builder: Builder) -> None:
    await builder.alone.hear(asked("build"))
    await builder.alone.hear(cleared("build"))
    async with builder.at_work(1):
        await builder.alone.hear(DeleteRequested(project="churn"))
    assert isinstance((await builder.alone.said())[-1], BuildFailed)


async def test_what_is_asked_for_after_a_stop_is_built(builder: Builder) -> None:
    await builder.alone.hear(asked())
    await builder.alone.hear(StopRequested(project="churn"))
    await builder.alone.hear(asked(release=2))
    await builder.reserve(release=2)
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)


async def test_a_stop_of_another_project_ends_nothing(builder: Builder) -> None:
    await builder.alone.hear(asked())
    await builder.alone.hear(asked(project="other"))
    await builder.alone.hear(reserved())
    async with builder.at_work(1) as may_end:
        await builder.alone.hear(StopRequested(project="other"))
        may_end.set()
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)


async def test_the_same_source_asked_for_twice_at_once_is_built_once(builder: Builder) -> None:
    await builder.alone.hear(reserved())
    await builder.alone.hear(reserved("other", 1))
    async with builder.at_work(1) as may_end:
        may_end.set()
    said = await builder.alone.said()
    assert kinds(said)[:2] == [BuildAccepted, BuildAccepted]
    # Which of the two jobs begins first, and which ends first, is theirs: the image is in the registry for both.
    ((first, _, _),) = builder.workshop.builds
    built, reused = sorted(said[2:], key=lambda each: isinstance(each, ImageReused))
    assert (type(built), built.project) == (ImageBuilt, first)
    assert {first, reused.project} == {"churn", "other"}
    assert (reused.image, reused.repository) == (IMAGE, f"models/{first}")


@pytest.mark.parametrize("others", [1, 3])
async def test_a_build_that_another_release_waits_for_is_not_cancelled(builder: Builder, others: int) -> None:
    """With three others some of them have no slot yet: that they wait is known from their jobs."""
    await builder.alone.hear(asked())
    await builder.alone.hear(reserved())
    async with builder.at_work(1) as may_end:
        for number in range(others):
            await builder.alone.hear(reserved(f"other{number}", 1))
        await builder.alone.hear(StopRequested(project="churn"))
        may_end.set()
    said = await builder.alone.said()
    assert [type(each) for each in said if each.project == "churn"] == [BuildAccepted, ImageBuilt]
    assert sum(isinstance(each, ImageReused) for each in said) == others
    assert builder.workshop.cancelled == []


async def test_who_waits_for_anothers_build_is_told_at_once_that_it_was_overtaken(builder: Builder) -> None:
    await builder.alone.hear(asked(project="other"))
    await builder.alone.hear(reserved())
    async with builder.at_work(1) as may_end:
        await builder.alone.hear(reserved("other", 1))
        await builder.alone.hear(StopRequested(project="other"))
        while await builder.waiting() != ["churn/1"]:
            await builder.alone.wiring.store.committed.wait(5)
        failed = (await builder.alone.said())[-1]
        may_end.set()
    assert isinstance(failed, BuildFailed)
    assert failed.project == "other"
    assert isinstance((await builder.alone.said())[-1], ImageBuilt)
    assert builder.workshop.cancelled == []


async def test_who_waited_for_a_build_that_failed_tries_for_itself(builder: Builder) -> None:
    builder.workshop.trouble = [Refused("no room in the registry of churn")]
    await builder.alone.hear(reserved())
    await builder.alone.hear(reserved("other", 1))
    async with builder.at_work(1) as may_end:
        may_end.set()
    outcomes = {each.project: type(each) for each in (await builder.alone.said())}
    assert sorted(outcomes.values(), key=str) == sorted([BuildFailed, ImageBuilt], key=str)


async def test_an_image_that_vanished_while_it_was_waited_for_is_built_again(builder: Builder) -> None:
    await builder.alone.hear(reserved())
    await builder.alone.hear(reserved("other", 1))
    async with builder.at_work(1) as may_end:
        builder.shelf.gone.add(IMAGE)
        may_end.set()
    assert kinds(await builder.alone.said()).count(ImageBuilt) == 2


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


async def test_a_build_s_log_is_not_for_who_was_erased_by_whichever_token(builder: Builder) -> None:
    file = builder.workshop.log_of("churn", 1)
    file.parent.mkdir(parents=True)
    file.write_text("resolved 12 packages\n")
    async with builder.alone.http(builder.token()) as http:
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 200
        await builder.alone.hear(erasure("person:00000000-0000-7000-8000-000000000009"))
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 200
        await builder.alone.hear(erasure(PERSON))
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 401


async def test_a_private_project_s_log_is_for_those_who_have_a_role_on_it(builder: Builder) -> None:
    """A person or their team, as soon as that was heard, and until it was heard to end."""
    file = builder.workshop.log_of("churn", 1)
    file.parent.mkdir(parents=True)
    file.write_text("resolved 12 packages\n")
    owner = RoleGranted(project="churn", to="person:ada", role="owner", granted_by="person:1")
    of_team = RoleGranted(project="churn", to="team:fraud", role="viewer", granted_by="person:1")
    private = ProjectRestricted(project="churn", restricted_by="person:1")
    joined = TeamChanged(team="fraud", added=(PERSON,), removed=(), changed_by="person:1")
    left = TeamChanged(team="fraud", added=(), removed=(PERSON,), changed_by="person:1")
    opened = ProjectOpened(project="churn", opened_by="person:1")
    said = [(owner, 200), (private, 403), (of_team, 403), (joined, 200), (left, 403), (opened, 200)]
    async with builder.alone.http(builder.token("scientist")) as http:
        for event, status in said:
            await builder.alone.hear(event)
            answer = await http.get("/v1/builds/churn/1/log")
            assert answer.status_code == status, event
            assert status == 200 or "the role viewer" in answer.json()["detail"]
        assert (await http.get("/v1/builds/wine/1/log")).status_code == 404
    await builder.alone.hear(private)
    async with builder.alone.http(builder.token("auditor")) as http:
        assert (await http.get("/v1/builds/churn/1/log")).status_code == 200
    before = await builder.alone.shown()
    await builder.alone.empty()
    assert await builder.alone.rebuild() == {"project_roles": 2, "private_projects": 1}
    assert await builder.alone.shown() == before


def erasure(person: str) -> ErasureRequested:
    return ErasureRequested(person=person, requested_by="person:1", tokens=0, words=0)


async def test_a_build_is_followed_to_its_end(builder: Builder) -> None:
    await builder.alone.hear(reserved())
    file = builder.workshop.log_of("churn", 1)
    file.parent.mkdir(parents=True)
    async with builder.alone.http(builder.token()) as http:
        assert (await http.get("/v1/builds/churn/1/log")).text == ""  # it has not begun
        async with builder.at_work(1) as may_end:
            followed = asyncio.create_task(http.get("/v1/builds/churn/1/log?follow=1"))
            file.write_text("resolved 12 packages\n")
            assert (await http.get("/v1/builds/churn/1/log")).text == "resolved 12 packages\n"
            assert not followed.done()
            with file.open("a") as log:
                log.write("image sha256:1\n")
            may_end.set()
        assert (await followed).text == "resolved 12 packages\nimage sha256:1\n"


@pytest.mark.parametrize("how", ["revoked", "private", "over"])
async def test_who_may_read_a_builds_log_no_more_is_told_no_more_of_it(builder: Builder, how: str) -> None:
    await builder.alone.hear(reserved())
    file = builder.workshop.log_of("churn", 1)
    file.parent.mkdir(parents=True)
    file.write_text("resolved 12 packages\n")
    told = bytearray()

    async def took(piece: bytes) -> None:
        told.extend(piece)

    async with builder.at_work(1) as may_end:
        token, url = builder.token("scientist"), "/v1/builds/churn/1/log?follow=1"
        following = asyncio.create_task(
            piece_by_piece(builder.alone._app(), url, took, authorization=f"Bearer {token}")
        )
        await eventually(lambda: told == b"resolved 12 packages\n")
        match how:
            case "revoked":
                await builder.alone.hear(TokenRevoked(token="token-1"))
            case "private":
                await builder.alone.hear(ProjectRestricted(project="churn", restricted_by="person:1"))
            case _:
                builder.alone.clock.pass_(timedelta(hours=1, seconds=30))
        await eventually(following.done)
        await following
        may_end.set()


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


async def test_what_was_asked_for_is_made_anew_and_nothing_is_built(builder: Builder) -> None:
    for project in ("churn", "digits", "wine"):
        await builder.alone.hear(asked(project=project))
        await builder.reserve(project)
    await builder.alone.hear(asked(release=2))
    await builder.alone.hear(StopRequested(project="digits"))
    await builder.alone.hear(DeleteRequested(project="wine"))
    await builder.alone.hear(TokenRevoked(token="token-1"))
    before, said, builds = (
        await builder.alone.shown(),
        await builder.alone.said(),
        list(builder.workshop.builds),
    )
    assert await builder.alone.rebuild() == {}
    await builder.alone.empty()
    assert await builder.alone.rebuild() == {"requests": 3, "revoked_tokens": 1}
    assert await builder.alone.shown() == before
    assert (await builder.alone.said(), builder.workshop.builds, await builder.waiting()) == (
        said,
        builds,
        [],
    )
