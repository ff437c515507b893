"""Evidence in one archive: what is of the project and no more, as it was said, the same bytes each time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from placet.errors import Unavailable, Unknown
from placet.events.contracts.shapes import RecordedFacts
from placet.metadata.bundles import Bundling, Wanted
from placet.metadata.dossier import Said, annex_iv, dossier, marks
from placet.metadata.ports import Kept
from placet.metadata.tree import Tree
from placet.oci import sha256_digest
from placet.trust.key_files import KeyFiles
from placet.verifier.bundles import Bundle
from placet.verifier.checks import Check
from placet.verifier.notes import NoteKey
from placet.verifier.program import main as program

from tests.unit.gateway.roads import asked, built, cleared, reserved
from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import Sealed

FACTS, PEOPLE = b'{"now":"2026-01-01T00:00:00Z"}', b'{"personal":{},"salt":"x"}'
RECORDED = RecordedFacts(facts=sha256_digest(FACTS), personal=sha256_digest(PEOPLE))


@dataclass
class Registry:
    """The `Evidence` port."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def blob(self, repository: str, digest: str) -> bytes | None:
        self.asked.append(repository)
        return self.blobs.get((repository, digest))

    async def tagged(self, repository: str, digest: str) -> bytes | None:
        return await self.blob(repository, digest)

    async def artifact(self, repository: str, digest: str) -> Kept | None:
        self.asked.append(repository)
        return None


@dataclass
class Evidence:
    sealed: Sealed
    registry: Registry
    folder: Path

    @property
    def bundling(self) -> Bundling:
        log = self.sealed.log
        tree = Tree(log.alone.wiring.store)
        return Bundling(
            queries=log.queries, tree=tree, keys=KeyFiles(self.sealed.keys()), evidence=self.registry
        )

    async def made(self, **wanted: object) -> Path:
        into = self.folder / "bundle.zip"
        at = self.sealed.log.alone.clock.now()
        await self.bundling.bundle(Wanted(**{"project": "churn", "at": at, **wanted}), into)  # type: ignore[arg-type]
        return into


@pytest.fixture
async def evidence(tmp_path: Path) -> AsyncIterator[Evidence]:
    async with a_log(tmp_path) as log:
        sealed = Sealed(log, tmp_path)
        source: Any = cleared()
        source = msgspec.structs.replace(source, facts=RECORDED)
        await log.keep_all([asked(), asked(project="other"), source, built(), reserved("other")])
        await sealed.sealing().catch_up()
        async with log.indexing():
            pass
        kept = {("facts", RECORDED.facts): FACTS, ("personal", str(RECORDED.personal)): PEOPLE}
        yield Evidence(sealed, Registry(kept), tmp_path)


def names(bundle: Path) -> set[str]:
    with zipfile.ZipFile(bundle) as opened:
        return set(opened.namelist())


def files(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


async def test_it_has_the_events_of_the_project_with_their_proofs(evidence: Evidence) -> None:
    bundle = await evidence.made()
    events = {name for name in names(bundle) if name.startswith("events/")}
    assert events == {
        f"events/{position:012}.{kind}" for position in (1, 3, 4) for kind in ("json", "tlog-proof")
    }
    check = Check(Bundle(str(bundle)), logs=[NoteKey.from_vkey(evidence.sealed.known[0].vkey)], witnesses=[])
    check.run()
    assert "3 events, each in the tree of that checkpoint" in [each.words for each in check.findings]


async def test_what_is_about_people_is_in_it_only_where_it_is_asked_for(evidence: Evidence) -> None:
    assert not any(name.startswith("people/") for name in names(await evidence.made()))
    assert "personal" not in evidence.registry.asked
    with_people = files(await evidence.made(people=True))
    assert with_people["people/submit-1.json"] == PEOPLE
    assert json.loads(with_people["manifest.json"])["people"] is True


async def test_what_the_registry_has_no_more_is_left_out(evidence: Evidence) -> None:
    assert "facts/submit-1.json" in names(await evidence.made())
    evidence.registry.blobs.clear()
    assert "facts/submit-1.json" not in names(await evidence.made())


async def test_the_same_moment_and_checkpoint_give_the_same_bytes(evidence: Evidence) -> None:
    first = (await evidence.made(size=5)).read_bytes()
    log = evidence.sealed.log
    at = log.alone.clock.now()
    log.alone.clock.pass_(timedelta(hours=1))
    await log.keep(log.heard(built(), 2))
    await evidence.sealed.sealing().catch_up()
    async with log.indexing():
        pass
    assert (await evidence.made(size=5, at=at)).read_bytes() == first
    assert (await evidence.made()).read_bytes() != first


async def test_what_happened_later_is_not_in_it(evidence: Evidence) -> None:
    at = evidence.sealed.log.alone.clock.now() - timedelta(seconds=1)
    with pytest.raises(Unknown, match="nothing had happened to a project churn"):
        await evidence.made(at=at)
    with pytest.raises(Unknown, match="a project nobody"):
        await evidence.made(project="nobody")
    with pytest.raises(Unknown, match="no such checkpoint"):
        await evidence.made(size=2)


async def test_archives_of_one_project_take_no_name_from_each_other(evidence: Evidence) -> None:
    at = evidence.sealed.log.alone.clock.now()
    into = evidence.folder / "bundle.zip"
    told = [
        (await evidence.bundling.bundle(Wanted(project="churn", at=at, **more), into)).name
        for more in ({}, {"asked": True}, {"people": True}, {"asked": True, "people": True})
    ]
    moment = f"{at:%Y%m%dt%H%M%Sz}"
    assert told == [
        "churn-5.zip",
        f"churn-{moment}-5.zip",
        "churn-people-5.zip",
        f"churn-{moment}-people-5.zip",
    ]


async def test_of_a_moment_behind_what_it_has_a_bundle_tells_nothing(
    evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(await evidence.made())
    at = evidence.sealed.log.alone.clock.now()
    assert program([bundle, "--at", at.isoformat()]) == 0
    capsys.readouterr()
    assert program([bundle, "--at", (at + timedelta(seconds=1)).isoformat()]) == 2
    assert "tells nothing of later" in capsys.readouterr().err


async def test_without_a_registry_it_is_said_what_to_set(evidence: Evidence) -> None:
    log = evidence.sealed.log
    keys = KeyFiles(evidence.sealed.keys())
    none = Bundling(queries=log.queries, tree=Tree(log.alone.wiring.store), keys=keys, evidence=None)
    wanted = Wanted(project="churn", at=log.alone.clock.now())
    with pytest.raises(Unavailable, match="told of no registry") as refused:
        await none.bundle(wanted, evidence.folder / "none.zip")
    assert "PLACET_REGISTRY" in str(refused.value.fix)
    assert (await log.read("/v1/audit/bundle?project=churn", 503))["status"] == 503


# the documentation of Annex IV


def test_of_what_nobody_said_anything_is_missing() -> None:
    assert set(marks(annex_iv([], {})).values()) == {"missing"}
    assert len(annex_iv([], {})) == 23


def test_a_field_is_marked_by_who_said_it() -> None:
    started = Said(
        position=7, kind="deployer.model.started", time="2026-01-01T00:00:00.000Z", data={"url": "http://x"}
    )
    card = {
        "considerations": {"useCases": ["Second <reading>"]},
        "modelParameters": {"task": "classification"},
    }
    bom = json.dumps({"components": [{"type": "machine-learning-model", "modelCard": card}]}).encode()
    fields = annex_iv([started], {"images/abc.cdx.json": bom})
    told = marks(fields)
    assert (told["1 (a)"], told["1 (b)"], told["2 (b)"], told["8"]) == (
        "attested",
        "automatic",
        "attested",
        "missing",
    )
    page = dossier("churn", "2026-01-01T00:00:00.000Z", [started], {"images/abc.cdx.json": bom})
    assert "Second &lt;reading&gt;" in page
    assert "<reading>" not in page
    assert "position 7, deployer.model.started" in page


def said(position: int, kind: str, **data: Any) -> Said:
    return Said(position=position, kind=kind, time="2026-01-01T00:00:00.000Z", data=data)


def words(said: list[Said], files: dict[str, bytes], number: str) -> list[str]:
    return [
        each.words for field in annex_iv(said, files) if field.number == number for each in field.statements
    ]


def a_life(
    release: int, digit: str, verdicts: list[dict[str, Any]] | None = None, **cleared: Any
) -> list[Said]:
    """A release from its judgement to its start: of a source and an image with that digit."""
    image = f"sha256:{digit * 64}"
    of = {"project": "churn", "release": release}
    resources = {"cpu_millis": 500, "memory_bytes": 2**29, "gpus": 0, "min_replicas": 1, "max_replicas": 2}
    policy = {"id": "artifact-safety", "version": 1, "digest": "sha256:a"}
    at_end = {"id": "licences", "version": 1, "digest": "sha256:b"}
    shape = {"source": f"source-{digit}", "format": "sklearn", "resources": resources, "policies": [policy]}
    first = release * 10
    return [
        said(first, "certifier.release.cleared", **of, **shape, verdicts=verdicts or [], **cleared),
        said(first + 1, "builder.image.built", **of, image=image),
        said(first + 2, "indexer.image.indexed", **of, image=image),
        said(
            first + 3,
            "certifier.certificate.issued",
            **of,
            certificate=f"certificate:{digit}",
            image=image,
            verdicts=[],
            policies=[at_end],
        ),
        said(first + 4, "deployer.model.started", **of, image=image, url="http://x"),
    ]


def a_bom(purpose: str) -> bytes:
    card = {"considerations": {"useCases": [purpose]}}
    return json.dumps({"components": [{"modelCard": card}]}).encode()


BILLS = {
    f"images/{'2' * 12}.cdx.json": a_bom("the new one"),
    f"images/{'7' * 12}.cdx.json": a_bom("the old one"),
}


def test_a_page_is_of_the_release_that_served_last_and_of_no_other() -> None:
    lives = [*a_life(1, "7"), *a_life(2, "2")]
    assert words(lives, BILLS, "1 (a)")[:2] == ["Purpose: the new one", "Release 2, of the source source-2"]
    waits = [*a_life(1, "7"), *a_life(2, "2")[:1]]
    assert words(waits, BILLS, "1 (a)")[:2] == ["Purpose: the old one", "Release 1, of the source source-7"]
    assert "certificate:7" in words(waits, BILLS, "2 (h)")[0]
    again = [*a_life(1, "7"), *(each for each in a_life(2, "7") if each.kind != "builder.image.built")]
    assert words(again, BILLS, "1 (a)")[:2] == ["Purpose: the old one", "Release 2, of the source source-7"]


def test_a_rule_that_was_not_kept_says_why_it_forbade_nothing() -> None:
    excepted = {
        "rule": "model.pickle",
        "result": "fail",
        "on_fail": "deny",
        "exception": "exception:1",
        "why": None,
    }
    warned = {"rule": "build.pinned", "result": "fail", "on_fail": "warn", "why": "it is not"}
    assert words(a_life(1, "7", [excepted, warned]), {}, "2 (h)")[1:] == [
        "The rule model.pickle: fail, excepted by exception:1",
        "The rule build.pinned: fail, which warns and forbids nothing: it is not",
    ]


def test_an_image_of_a_dockerfile_is_not_said_to_run_nothing() -> None:
    assert "without running any of it" in words(a_life(1, "7"), {}, "2 (c)")[0]
    assert words(a_life(1, "7", dockerfile=True), {}, "2 (c)")[0].startswith(
        "Built by the project's own Dockerfile"
    )


def test_policies_of_both_stages_and_what_ended_it_are_told() -> None:
    taken = said(
        20, "deployer.model.quarantined", project="churn", release=1, why="it was revoked", rule=None
    )
    withdrawn = said(
        19, "gateway.exception.withdrawn", project="churn", exception="exception:1", rule="model.pickle"
    )
    life = [*a_life(1, "7"), withdrawn, taken]
    assert [each.split(",")[0] for each in words(life, {}, "7")] == [
        "Version 1 of the policy artifact-safety",
        "Version 1 of the policy licences",
    ]
    told = words(life, {}, "6")
    assert "exception.withdrawn, model.pickle" in told
    assert "Release 1: model.quarantined" in told
