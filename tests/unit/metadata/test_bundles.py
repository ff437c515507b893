"""Evidence in one archive: what is of the project and no more, as it was said, the same bytes each time."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request
from placet.errors import Refused, TooLarge, Unavailable, Unknown
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ProjectRestricted, RoleGranted
from placet.events.contracts.shapes import RecordedFacts
from placet.events.problems import speak_problems
from placet.metadata import bundles_api
from placet.metadata.bundles import Bundling, Wanted
from placet.metadata.ports import Kept
from placet.metadata.tree import Tree
from placet.oci import sha256_digest
from placet.trust import tokens
from placet.trust.key_files import KeyFiles
from placet.verifier.bundles import Bundle
from placet.verifier.checks import Check
from placet.verifier.failures import Wrong
from placet.verifier.notes import NoteKey
from placet.verifier.program import main as program

from tests.support.eventually import eventually
from tests.unit.gateway.roads import IMAGE, asked, built, cleared, reserved, reused
from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import Sealed

FACTS, PEOPLE = b'{"now":"2026-01-01T00:00:00Z"}', b'{"personal":{},"salt":"x"}'
RECORDED = RecordedFacts(facts=sha256_digest(FACTS), personal=sha256_digest(PEOPLE))


@dataclass
class Registry:
    """The `Evidence` port."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    artifacts: dict[tuple[str, str], Kept] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_slow: asyncio.Event | None = None
    """Set by whoever has it answer."""

    async def blob(self, repository: str, digest: str) -> bytes | None:
        self.asked.append(repository)
        if self.is_slow is not None:
            await self.is_slow.wait()
        return self.blobs.get((repository, digest))

    async def tagged(self, repository: str, digest: str) -> bytes | None:
        return await self.blob(repository, digest)

    async def artifact(self, repository: str, digest: str) -> Kept | None:
        self.asked.append(repository)
        return self.artifacts.get((repository, digest))


@dataclass
class Evidence:
    sealed: Sealed
    registry: Registry
    folder: Path

    @property
    def bundling(self) -> Bundling:
        return self.bundling_with()

    def bundling_with(self, **bounds: int) -> Bundling:
        log = self.sealed.log
        tree = Tree(log.alone.wiring.store)
        return Bundling(
            queries=log.queries,
            tree=tree,
            keys=KeyFiles(self.sealed.keys()),
            evidence=self.registry,
            **bounds,
        )

    async def more(self, *payloads: Any) -> None:
        """Behind what there is, one of each producer: kept, signed and indexed."""
        log = self.sealed.log
        for position, payload in enumerate(payloads, 2):
            await log.keep(log.heard(payload, position))
        await self.sealed.sealing().catch_up()
        async with self.sealed.log.indexing():
            pass

    def checked(self, bundle: Path) -> Check:
        known = [NoteKey.from_vkey(each.vkey) for each in self.sealed.known]
        check = Check(Bundle(str(bundle)), logs=known, witnesses=[])
        check.run()
        return check

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


def asking(evidence: Evidence, bundling: Bundling) -> httpx.AsyncClient:
    """As whom the headers name: an auditor, unless they say so."""
    clock = evidence.sealed.log.alone.clock

    async def reader(request: Request) -> AsyncIterator[tokens.Token]:
        yield tokens.Token(
            id="1",
            person=request.headers["x-person"],
            roles=frozenset({cast("tokens.Role", request.headers.get("x-role", "auditor"))}),
            issued=clock.now(),
            expires=clock.now(),
            kid="1",
        )

    app = FastAPI()
    speak_problems(app)
    app.include_router(
        bundles_api.router(reader=reader, bundling=bundling, queries=evidence.sealed.log.queries, clock=clock)
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://placet")


def names(bundle: Path) -> set[str]:
    with zipfile.ZipFile(bundle) as opened:
        return set(opened.namelist())


def files(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def wrong(check: Check) -> list[str]:
    return [each.words for each in check.findings if each.outcome == "wrong"]


def changed(bundle: Path, change: Callable[[dict[str, bytes]], object], **about: object) -> Path:
    """By somebody who changes the list of files with them."""
    inside = files(bundle)
    index = json.loads(inside.pop("manifest.json")) | about
    change(inside)
    index["files"] = [
        {"path": name, "digest": sha256_digest(data), "size": len(data)} for name, data in inside.items()
    ]
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as opened:
        for name, data in {**inside, "manifest.json": json.dumps(index).encode()}.items():
            opened.writestr(zipfile.ZipInfo(name), data)
    return bundle


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
        (
            await evidence.bundling.bundle(Wanted(project="churn", at=at, asked=asked, people=people), into)
        ).name
        for asked, people in ((False, False), (True, False), (False, True), (True, True))
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
    with pytest.raises(Refused, match="told of no registry") as refused:
        await none.bundle(wanted, evidence.folder / "none.zip")
    assert "PLACET_REGISTRY" in str(refused.value.fix)
    assert (await log.read("/v1/audit/bundle?project=churn", 422))["status"] == 422


# what people read in it


@pytest.mark.parametrize(
    ("page", "before", "after", "line"),
    [
        (
            "dossier.html",
            b"Release 1, of the source",
            b"Release 2, of the source",
            "Release 2, of the source",
        ),
        ("dossier.html", b"nothing is said of this here", b"all is well", "all is well"),
        ("dossier.html", b"</html>\n", b"", "</body>"),
        ("README.txt", b"of the project churn", b"of the project other", "of the project other"),
    ],
)
async def test_a_page_in_which_a_word_was_changed_is_named(
    evidence: Evidence, page: str, before: bytes, after: bytes, line: str
) -> None:
    """Nothing signs it, and it is what most people look at: so it is made again of what is signed."""
    bundle = await evidence.made()
    check = evidence.checked(bundle)
    assert wrong(check) == []
    said = "dossier.html and README.txt say what the events and files say, to the letter"
    assert said in [each.words for each in check.findings if each.outcome == "holds"]
    assert before in files(bundle)[page]
    changed(bundle, lambda inside: inside.update({page: inside[page].replace(before, after, 1)}))
    [found] = wrong(evidence.checked(bundle))
    assert found.startswith(f"{page} was changed: nothing in the log says what line ")
    assert line in found or not after


async def test_a_page_that_was_taken_out_is_missed(evidence: Evidence) -> None:
    bundle = changed(await evidence.made(), lambda inside: inside.pop("dossier.html"))
    assert wrong(evidence.checked(bundle)) != []


async def test_a_page_of_a_form_that_is_not_known_is_not_said_to_be_wrong_or_right(
    evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = changed(await evidence.made(), lambda inside: None, dossier=2)
    assert program([str(bundle)]) == 2
    assert "a dossier of form 2, and 1 is known here: take the verifier that came with it" in (
        capsys.readouterr().err
    )


async def test_what_the_list_of_files_says_of_the_log_is_what_the_log_signed(evidence: Evidence) -> None:
    bundle = changed(await evidence.made(), lambda inside: None, size=6)
    assert wrong(evidence.checked(bundle)) == [
        f"the list of files names {evidence.sealed.known[0].vkey.partition('+')[0]} with 6 events, the log others"
    ]


async def test_a_bundle_of_an_earlier_moment_has_nothing_of_later(evidence: Evidence) -> None:
    """All that is read in it would be said of a day on which nothing of it was so."""
    before = "2020-01-01T00:00:00.000Z"
    bundle = changed(await evidence.made(), lambda inside: None, at=before)
    found = wrong(evidence.checked(bundle))
    assert len(found) == 3
    assert all(f"and the bundle goes up to {before}" in each for each in found)


async def test_the_keys_in_it_are_those_of_the_log_that_signed(evidence: Evidence) -> None:
    other = NoteKey(evidence.sealed.known[0].vkey.partition("+")[0], 1, b"\7" * 32)
    encoded = base64.b64encode(b"\1" + other.raw).decode()
    vkey = f"{other.name}+{other.id.hex()}+{encoded}\n".encode()
    bundle = changed(await evidence.made(), lambda inside: inside.update({"keys/log.txt": vkey}))
    assert wrong(evidence.checked(bundle)) == [
        "keys/log.txt names other keys than the one that signed: it was changed"
    ]

    def one_more(inside: dict[str, bytes]) -> None:
        inside["keys/log.txt"] += vkey

    check = evidence.checked(changed(await evidence.made(), one_more))
    assert wrong(check) == []
    assert "whether another key in keys/log.txt were the log's: nobody gave them" in [
        each.words for each in check.findings if each.outcome == "unchecked"
    ]


async def test_what_would_be_held_against_each_other_for_ever_is_refused(evidence: Evidence) -> None:
    """Each key is held against each signature: one of either many times over would take hours."""

    def twice(name: str) -> Callable[[dict[str, bytes]], None]:
        def change(inside: dict[str, bytes]) -> None:
            inside[name] += inside[name].rstrip(b"\n").rpartition(b"\n")[2] + b"\n"

        return change

    for name, said in {
        "keys/log.txt": "keys/log.txt has a key twice",
        "checkpoint.txt": "the checkpoint has 2 signatures: too many, or one of them twice",
    }.items():
        check = Check(Bundle(str(changed(await evidence.made(), twice(name)))), logs=[], witnesses=[])
        check.run()
        assert wrong(check) == [said]


@pytest.mark.parametrize(
    "name", ["checkpoint.txt", "keys/log.txt", "README.txt", "dossier.html", "events/000000000001.tlog-proof"]
)
async def test_a_file_that_every_bundle_has_is_named_where_it_was_taken_out(
    evidence: Evidence, name: str
) -> None:
    check = evidence.checked(changed(await evidence.made(), lambda inside: inside.pop(name)))
    assert f"{name} is not in the bundle: it was taken out" in wrong(check)


async def test_it_never_says_that_nothing_was_left_out(evidence: Evidence) -> None:
    """Whoever makes one may leave out what was revoked, and all that is left holds."""

    def less(inside: dict[str, bytes]) -> None:
        del inside["events/000000000001.json"], inside["events/000000000001.tlog-proof"]

    for bundle in (await evidence.made(), changed(await evidence.made(), less)):
        check = evidence.checked(bundle)
        assert wrong(check) == []
        [said] = [each for each in check.findings if "was left out" in each.words]
        assert (said.outcome, "placet audit verify" in said.words) == ("unchecked", True)


async def test_a_key_is_asked_for_what_it_is_for(
    evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, [log] = str(await evidence.made()), [each.vkey for each in evidence.sealed.known]
    key = NoteKey.from_vkey(log)._replace(kind=4)
    witness = f"{key.name}+{key.id.hex()}+{base64.b64encode(bytes([4]) + key.raw).decode()}"
    for typed, said in (
        (["--log-key", witness], "is a witness's, and no key for --log-key"),
        (["--log-key", log, "--witness", log], "is a log's, and no key for --witness"),
    ):
        assert program([bundle, *typed]) == 2
        assert said in capsys.readouterr().err
    assert program([bundle, "--log-key", log, "--witness", witness, "--witness", witness]) == 1
    assert capsys.readouterr().out.count("has not cosigned the checkpoint") == 1


async def test_a_proof_holds_the_checkpoint_of_the_bundle(evidence: Evidence) -> None:
    """Whoever keeps the proof alone has that one."""

    def another(inside: dict[str, bytes]) -> None:
        name = "events/000000000001.tlog-proof"
        inside[name] = inside[name].replace(b"\n5\n", b"\n6\n")

    bundle = changed(await evidence.made(), another)
    assert wrong(evidence.checked(bundle))[:1] == [
        "the proof of events/000000000001.json holds another checkpoint than the bundle"
    ]


async def test_of_a_moment_long_after_anybody_saw_the_checkpoint_nothing_is_said_to_hold(
    evidence: Evidence,
) -> None:
    """An old archive with a later moment would show nothing of what happened since."""
    bundle, at = await evidence.made(), evidence.sealed.log.alone.clock.now()
    key = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    witness = NoteKey("witness.example", 4, key.public_key().public_bytes_raw())
    checkpoint = files(bundle)["checkpoint.txt"]
    text = checkpoint.partition(b"\n\n")[0] + b"\n"
    seconds = int(at.timestamp())
    signature = key.sign(b"cosignature/v1\ntime %d\n%b" % (seconds, text))
    line = base64.b64encode(witness.id + seconds.to_bytes(8, "big") + signature).decode()
    cosigned = checkpoint + f"— {witness.name} {line}\n".encode()

    def cosign(inside: dict[str, bytes]) -> None:
        inside.update({name: data.replace(checkpoint, cosigned) for name, data in inside.items()})

    def later(days: int) -> list[str]:
        moment = (at + timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        changed(bundle, lambda inside: None, at=moment)
        known = [NoteKey.from_vkey(each.vkey) for each in evidence.sealed.known]
        check = Check(Bundle(str(bundle)), logs=known, witnesses=[witness])
        check.run()
        return [each.words for each in check.findings if "what happened behind" in each.words]

    changed(bundle, cosign)
    assert later(0) == []
    [found] = later(9)
    assert f"nobody saw it since {timestamp(at)}" in found


async def test_a_file_that_was_renamed_is_named(evidence: Evidence) -> None:
    """What it is called is what it is taken for."""

    def rename(inside: dict[str, bytes]) -> None:
        inside["facts/certify-1.json"] = inside.pop("facts/submit-1.json")

    def copy(inside: dict[str, bytes]) -> None:
        inside["facts/certify-1.json"] = inside["facts/submit-1.json"]

    for change in (rename, copy):
        bundle = changed(await evidence.made(), change)
        assert wrong(evidence.checked(bundle)) == [
            "facts/certify-1.json is called so by nothing that names it here: it was renamed, or that was taken out"
        ]


async def test_the_list_of_files_says_nothing_that_nobody_holds_against_the_log(evidence: Evidence) -> None:
    bundle = changed(await evidence.made(), lambda inside: None, certified="by a notified body")
    with pytest.raises(Wrong, match="says certified, which no bundle does"):
        Bundle(str(bundle))
    bundle = changed(await evidence.made(people=True), lambda inside: None, people=False)
    assert wrong(evidence.checked(bundle)) == [
        "people/submit-1.json is about people, and the list of files says that nothing here is"
    ]


async def test_events_of_one_project_are_no_evidence_of_another(evidence: Evidence) -> None:
    bundle = changed(await evidence.made(), lambda inside: None, project="other")
    assert wrong(evidence.checked(bundle)) == [
        f"position {position} is of churn, and the bundle of other" for position in (1, 3, 4)
    ]


async def test_windows_that_were_left_out_are_told_by_it_alone(evidence: Evidence) -> None:
    def say_so(inside: dict[str, bytes]) -> None:
        inside["README.txt"] += b"\nLeft out: 7 windows of measurements (model.observed).\n"

    check = evidence.checked(changed(await evidence.made(), say_so))
    assert wrong(check) == []
    assert any("that 7 windows were left out is their own word" in each.words for each in check.findings)


# files that want one place


async def test_both_judgements_of_one_release_have_their_facts(evidence: Evidence) -> None:
    """It is judged again where an exception came: both would be submit-1.json, and one was left out."""
    other = b'{"now":"2026-01-02T00:00:00Z"}'
    evidence.registry.blobs["facts", sha256_digest(other)] = other
    again: Any = cleared()
    await evidence.more(*(), msgspec.structs.replace(again, facts=RecordedFacts(facts=sha256_digest(other))))
    bundle = await evidence.made()
    facts = {name: data for name, data in files(bundle).items() if name.startswith("facts/")}
    assert facts == {
        "facts/submit-1.json": FACTS,
        f"facts/submit-1-{sha256_digest(other).removeprefix('sha256:')}.json": other,
    }
    assert wrong(evidence.checked(bundle)) == []


async def test_a_file_that_is_listed_twice_is_refused(evidence: Evidence) -> None:
    """Whoever reads the list from its beginning would look for other bytes than who reads it from its end."""
    bundle = await evidence.made()
    inside = files(bundle)
    index = json.loads(inside["manifest.json"])
    index["files"].insert(0, {"path": "facts/submit-1.json", "digest": sha256_digest(b"another"), "size": 7})
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as opened:
        for name, data in {**inside, "manifest.json": json.dumps(index).encode()}.items():
            opened.writestr(zipfile.ZipInfo(name), data)
    with pytest.raises(Wrong, match=r"facts/submit-1\.json is listed twice"):
        Bundle(str(bundle))


async def test_two_facts_files_that_one_would_be_unpacked_over_the_other_are_refused(
    evidence: Evidence,
) -> None:
    bundle = changed(
        await evidence.made(), lambda inside: inside.update({"facts/Submit-1.json": inside["README.txt"]})
    )
    with pytest.raises(Wrong, match=r"facts/Submit-1\.json is in the bundle twice"):
        Bundle(str(bundle))


# an image that another project built


def an_artifact(content: bytes) -> Kept:
    manifest = {"layers": [{"digest": sha256_digest(content)}]}
    return Kept(manifest=json.dumps(manifest).encode(), content=content)


async def test_of_an_image_that_another_project_built_there_is_how_it_was_built(evidence: Evidence) -> None:
    bom, provenance = an_artifact(b'{"bom":1}'), an_artifact(b'{"made":1}')
    named = {name: sha256_digest(kept.manifest) for name, kept in (("bom", bom), ("provenance", provenance))}
    for kept in (bom, provenance):
        evidence.registry.artifacts["models/forest", sha256_digest(kept.manifest)] = kept
    theirs: Any = built("forest")
    taken: Any = reused("taker")
    await evidence.more(
        msgspec.structs.replace(theirs, **named),
        built("forest", image=f"sha256:{'2' * 64}"),
        msgspec.structs.replace(taken, repository="models/forest"),
    )
    bundle = await evidence.made(project="taker")
    inside = files(bundle)
    assert inside[f"images/{IMAGE[7:19]}.cdx.json"] == bom.content
    assert inside[f"images/{IMAGE[7:19]}.provenance.json"] == provenance.content
    assert sorted(name for name in inside if name.startswith("events/") and name.endswith(".json")) == [
        "events/000000000006.json",
        "events/000000000008.json",
    ]
    assert "Built" in inside["dossier.html"].decode()
    assert wrong(evidence.checked(bundle)) == []


async def test_of_an_image_that_a_private_project_built_it_is_left_out_how_and_said_so(
    evidence: Evidence,
) -> None:
    bom = an_artifact(b'{"bom":1}')
    evidence.registry.artifacts["models/forest", sha256_digest(bom.manifest)] = bom
    theirs: Any = built("forest")
    taken: Any = reused("taker")
    await evidence.more(
        msgspec.structs.replace(theirs, bom=sha256_digest(bom.manifest)),
        msgspec.structs.replace(taken, repository="models/forest"),
    )
    bundle = await evidence.made(project="taker", hidden=frozenset({"forest", "other"}))
    inside = files(bundle)
    assert not any(b"image.built" in data or bom.content in data for data in inside.values())
    assert [name for name in inside if re.fullmatch("events/.*json", name)] == ["events/000000000007.json"]
    assert b"\nLeft out: 1 events that are private to others than who asked.\n" in inside["README.txt"]
    check = evidence.checked(bundle)
    assert wrong(check) == []
    assert any(
        "that 1 private events were left out is their own word" in each.words for each in check.findings
    )
    assert b"Left out" not in files(await evidence.made(project="taker"))["README.txt"]


async def test_who_asks_over_http_is_given_what_they_may_read(evidence: Evidence) -> None:
    log = evidence.sealed.log
    owner = RoleGranted(project="forest", to="person:1", role="owner", granted_by="person:1")
    await log.keep(log.heard(owner, 3))
    await log.keep(log.heard(ProjectRestricted(project="forest", restricted_by="person:1"), 4))
    await evidence.more(built("forest"), reused("taker"))

    async def left_out(role: str, person: str) -> bool:
        async with asking(evidence, evidence.bundling) as http:
            answer = await http.get(
                "/v1/audit/bundle?project=taker", headers={"x-person": person, "x-role": role}
            )
        assert answer.status_code == 200, answer.text
        (bundle := evidence.folder / "sent.zip").write_bytes(answer.content)
        return b"Left out: 1 events" in files(bundle)["README.txt"]

    assert await left_out("scientist", "person:2")
    assert not await left_out("scientist", "person:1")
    assert not await left_out("auditor", "person:2")


# bounds


async def test_one_that_would_fill_the_memory_is_refused(evidence: Evidence) -> None:
    wanted = Wanted(project="churn", at=evidence.sealed.log.alone.clock.now())
    with pytest.raises(TooLarge, match="no archive does") as refused:
        await evidence.bundling_with(most=5000).bundle(wanted, evidence.folder / "none.zip")
    assert "earlier moment" in str(refused.value.fix)


async def test_that_is_told_over_http_as_too_large(evidence: Evidence) -> None:
    async with asking(evidence, evidence.bundling_with(most=5000)) as http:
        answer = await http.get("/v1/audit/bundle?project=churn", headers={"x-person": "ada"})
    assert (answer.status_code, answer.json()["title"]) == (413, "Too large")


async def test_no_more_are_made_at_once_than_there_is_memory_for(evidence: Evidence) -> None:
    wanted = Wanted(project="churn", at=evidence.sealed.log.alone.clock.now())
    bundling, evidence.registry.is_slow = evidence.bundling_with(at_once=2), asyncio.Event()
    first = [
        asyncio.create_task(bundling.bundle(wanted, evidence.folder / f"{each}.zip")) for each in range(2)
    ]
    await eventually(lambda: len(evidence.registry.asked) == 2)
    with pytest.raises(Unavailable, match="2 archives of evidence are being made here") as refused:
        await bundling.bundle(wanted, evidence.folder / "third.zip")
    assert (refused.value.retry_after, refused.value.fix) == (5.0, "ask again in a few seconds")
    first[0].cancel()
    evidence.registry.is_slow.set()
    await asyncio.gather(*first, return_exceptions=True)
    assert (await bundling.bundle(wanted, evidence.folder / "third.zip")).events == 3


async def test_each_person_has_one_made_or_sent_at_a_time(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else one who asks for many would keep all others from theirs, and fill the disk with what nobody fetches."""
    (places := tmp_path / "places").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    evidence.registry.is_slow = asyncio.Event()
    async with asking(evidence, evidence.bundling) as http:

        def ask(person: str) -> Awaitable[httpx.Response]:
            return http.get("/v1/audit/bundle?project=churn", headers={"x-person": person})

        first = asyncio.ensure_future(ask("ada"))
        await eventually(lambda: len(evidence.registry.asked) == 1)
        again = await ask("ada")
        assert (again.status_code, again.headers["retry-after"]) == (503, "1")
        assert again.json()["detail"].startswith("1 archive of evidence is made for you, or sent to you")
        assert again.json()["fix"] == "wait for its end, and ask again"
        other = asyncio.ensure_future(ask("bob"))
        await eventually(lambda: len(evidence.registry.asked) == 2)
        evidence.registry.is_slow.set()
        assert [each.status_code for each in await asyncio.gather(first, other)] == [200, 200]
        assert (await ask("ada")).content == (await first).content
    assert list(places.iterdir()) == []
