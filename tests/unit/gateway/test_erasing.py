"""Forgetting people: nothing of them can be read from then on, and the log is as it was."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from placet.errors import Unauthenticated
from placet.events import PLATFORM, Actor, Context, Job, transact
from placet.events.contracts.gateway import AssessmentAnswered, ErasureRequested, PersonErased, TokenRevoked
from placet.events.store import Put, Run, Unit
from placet.events.tables import jobs
from placet.gateway import projections as p
from placet.gateway.people import OWNER_OF_SOURCE, pseudonym
from placet.gateway.reasons import GIVEN

from tests.support.eventually import eventually
from tests.unit.gateway.harness import Gateway, a_gateway
from tests.unit.gateway.roads import SOURCE
from tests.unit.gateway.test_exceptions_api import PATH, ask, post
from tests.unit.gateway.test_gateway_api import is_problem

NAME = "ada@lovelace.example"
WORDS = "Ada's forest, known for years"
NOBODY = "person:00000000-0000-7000-8000-0000000000ff"


async def token_for(gateway: Gateway, name: str = NAME, *roles: str) -> dict[str, Any]:
    async with gateway.http() as http:
        answer = await http.post("/v1/tokens", json={"as": name, "roles": list(roles or ("scientist",))})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def erase(gateway: Gateway, person: str, token: str | None = None) -> httpx.Response:
    async with gateway.http(token) as http:
        return await http.delete(f"/v1/people/{person}")


async def erased(gateway: Gateway, person: str) -> dict[str, Any]:
    """What is held about them when all is done."""
    assert (await erase(gateway, person)).status_code in (200, 202)

    async def is_done() -> bool:
        return bool((await gateway.read(f"/v1/people/{person}"))["state"] == "erased")

    async with gateway.working():
        await eventually(is_done)
    return await gateway.read(f"/v1/people/{person}")


def files_of(gateway: Gateway) -> bytes:
    """Every byte of the gateway's database, also what is not in its tables."""
    files = sorted(gateway.folder.glob("gateway.db*"))
    assert files
    return b"".join(each.read_bytes() for each in files)


async def key_of(gateway: Gateway, person: str) -> bytes:
    rows = await gateway.wiring.store.rows(
        sa.select(p.person_keys.c.key).where(p.person_keys.c.person == person)
    )
    return bytes(rows[0].key)


async def a_person_with_a_past(gateway: Gateway) -> dict[str, Any]:
    """They asked for an exception, sent a source that names them, and answered a questionnaire; the last two as the
    rows and artifacts that come of it."""
    ada = await token_for(gateway)
    assert (await ask(gateway, ada["token"])).status_code == 201
    owner, looks = await gateway.people.owner(ada["person"]), await gateway.people.looks(NAME)
    sent = {"source": SOURCE, "size": 1, "project": "churn", "files": 1, "owner_alike": looks}
    answered = AssessmentAnswered(
        assessment="assessment:1",
        project="churn",
        source=SOURCE,
        purpose=SOURCE,
        data=SOURCE,
        questionnaire="small",
        version="1",
        digest=SOURCE,
        answers=await gateway.assessments.keep_answers(b"what they wrote"),
        answered_by=ada["person"],
    )
    said = {
        "answered": msgspec.json.encode(answered),
        "answered_by": ada["person"],
        "answered_at": "2027-01-01T00:00:00Z",
        "answers": answered.answers,
    }
    await gateway.wiring.store.commit(
        Unit(
            writes=(
                Put(table=p.sources, row=sent | {"owner": owner.seal(NAME, place=OWNER_OF_SOURCE)}),
                Put(table=p.senders, row={"source": SOURCE, "person": ada["person"]}),
                Put(table=p.builders, row={"source": SOURCE, "alike": looks}),
                Put(table=p.assessments, row={"assessment": "assessment:1", "project": "churn", **said}),
            )
        )
    )
    gateway.facts.people["sha256:theirs"] = json.dumps({"salt": "1", "owner": NAME.upper()}).encode()
    gateway.facts.people["sha256:others"] = json.dumps({"salt": "2", "owner": "bob@example.org"}).encode()
    return ada


async def test_before_that_name_and_words_are_read_and_lie_in_no_file_as_they_are(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    [exception] = (await gateway.read(PATH))["exceptions"]
    assert exception["reason"] == WORDS
    assert exception["requestedBy"] == {"person": ada["person"], "name": NAME}
    held = await gateway.read(f"/v1/people/{ada['person']}")
    assert held["name"] == NAME
    assert held["words"] == 1
    assert [each["id"] for each in held["tokens"]] == [ada["id"]]
    assert [each["as"] for each in held["namedBy"]] == ["builder", "owner"]
    assert held["acts"]["exceptionsRequested"] == held["acts"]["sources"] == 1
    [given] = (await gateway.read(f"/v1/people/{ada['person']}/words"))["words"]
    assert (given["of"], given["words"]) == (exception["exception"], WORDS)
    for text in (NAME, WORDS):
        assert text.encode() not in files_of(gateway)


async def test_nothing_of_somebody_who_was_erased_is_in_any_answer_or_file(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    person, key = ada["person"], await key_of(gateway, ada["person"])
    assert key in files_of(gateway)
    held = await erased(gateway, person)
    assert (held["name"], held["words"], held["wordsErased"]) == (pseudonym(person), 1, 1)
    assert (held["artifactsKept"], held["scrubbed"], held["namedBy"]) == (0, True, [])
    [exception] = (await gateway.read(PATH))["exceptions"]
    assert exception["reason"] == "erased"
    assert exception["requestedBy"] == {"person": person, "name": pseudonym(person)}
    images = await gateway.read("/v1/images")
    assert NAME not in json.dumps([images, held, exception])
    everything = files_of(gateway)
    for left in (NAME.encode(), WORDS.encode(), key):
        assert left not in everything
    assert all(NAME.encode() not in each.event.raw for each in await gateway.wiring.store.read_all(0, 1000))


async def test_what_they_left_in_the_registry_goes_and_what_others_left_stays(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    answered = len(gateway.assessments.kept)
    held = await erased(gateway, ada["person"])
    assert (answered, gateway.assessments.kept) == (1, {})
    assert list(gateway.facts.people) == ["sha256:others"]
    assert held["artifactsRemoved"] == 2


async def test_what_somebody_else_laid_there_does_not_hold_it_up(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    gateway.facts.people = {
        "sha256:0": b"no JSON",
        "sha256:1": b'"\xff"',
        "sha256:2": b'[1, null, {"a": ["Ada"]}]',
        **gateway.facts.people,
    }
    held = await erased(gateway, ada["person"])
    assert held["artifactsRemoved"] == 2
    assert list(gateway.facts.people) == ["sha256:0", "sha256:1", "sha256:2", "sha256:others"]


async def test_a_registry_that_removes_nothing_keeps_nobodys_key(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    gateway.facts.refuses = True
    held = await erased(gateway, ada["person"])
    assert (held["artifactsRemoved"], held["artifactsKept"]) == (1, 1)


async def test_the_log_says_so_by_the_opaque_id_and_is_otherwise_as_it_was(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    before = [each.event.raw for each in await gateway.wiring.store.read_all(0, 1000)]
    await erased(gateway, ada["person"])
    after = await gateway.wiring.store.read_all(0, 1000)
    assert [each.event.raw for each in after][: len(before)] == before
    revoked, asked, done = [each.data for each in after[len(before) :]]
    assert revoked == TokenRevoked(token=ada["id"])
    assert asked == ErasureRequested(person=ada["person"], requested_by=asked.requested_by, tokens=1, words=1)
    assert done == PersonErased(person=ada["person"], artifacts=2, kept=0, scrubbed=True)


async def test_it_is_done_once_however_often_it_is_asked(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    first = await asyncio.gather(*(erase(gateway, ada["person"]) for _ in range(4)))
    assert [each.status_code for each in first] == [202] * 4
    told = await erased(gateway, ada["person"])
    again = await erase(gateway, ada["person"])
    assert (again.status_code, again.json()) == (200, told)
    said = [type(each) for each in await gateway.said()]
    assert (said.count(ErasureRequested), said.count(PersonErased)) == (1, 1)


async def test_their_token_holds_no_more_and_who_comes_back_is_somebody_new(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    await erase(gateway, ada["person"])
    async with gateway.http(ada["token"]) as http:
        is_problem(await http.get("/v1/me"), 401)
    unknown_here = gateway.token("scientist", person=ada["person"])
    async with gateway.http(unknown_here) as http:
        is_problem(await http.get("/v1/me"), 401)
    again = await token_for(gateway)
    assert again["person"] != ada["person"]
    async with gateway.http(again["token"]) as http:
        me = (await http.get("/v1/me")).json()
    assert (me["person"], me["name"]) == (again["person"], NAME)
    assert (await gateway.read(f"/v1/people/{ada['person']}"))["name"] == pseudonym(ada["person"])


async def test_what_is_under_way_in_their_name_leaves_nothing_that_can_be_read(gateway: Gateway) -> None:
    """A request that passed the door before they were erased, and is kept after."""
    ada = await token_for(gateway)
    owner = await gateway.people.owner(ada["person"])
    await erased(gateway, ada["person"])
    with pytest.raises(Unauthenticated, match="erased"):
        await gateway.people.owner(ada["person"])
    late = owner.seal('["what they thought", "00"]', place="words of exception:late")
    row = {
        "of": "exception:late",
        "given_by": ada["person"],
        "given_at": "2027-01-01T00:00:00Z",
        "sealed": late,
    }
    row["project"] = "churn"
    await gateway.wiring.store.commit(_put(p.reasons, row))
    [given] = (await gateway.read(f"/v1/people/{ada['person']}/words"))["words"]
    assert given["words"] == "erased"
    assert b"what they thought" not in files_of(gateway)


async def test_a_token_that_is_given_at_the_very_moment_is_of_nobody_who_was_erased(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    given = await asyncio.gather(
        *(token_for(gateway) for _ in range(3)), erase(gateway, ada["person"]), return_exceptions=True
    )
    await erased(gateway, ada["person"])
    for each in given:
        if not isinstance(each, dict):
            continue
        async with gateway.http(each["token"]) as http:
            status = (await http.get("/v1/me")).status_code
        assert status == (401 if each["person"] == ada["person"] else 200)


async def test_one_that_is_cut_off_half_way_goes_on(tmp_path: Path) -> None:
    async with a_gateway(tmp_path) as gateway:
        ada = await a_person_with_a_past(gateway)
        assert (await erase(gateway, ada["person"])).status_code == 202
        assert (await gateway.read(f"/v1/people/{ada['person']}"))["state"] == "erasing"
        facts, assessments = gateway.facts, gateway.assessments
        key_is_gone = p.person_keys.c.key.is_(None)
        assert len(await gateway.wiring.store.rows(sa.select(p.person_keys).where(key_is_gone))) == 1
    async with a_gateway(tmp_path) as after:  # as a process that begins again
        after.facts.people.update(facts.people)
        after.assessments.kept.update(assessments.kept)
        held = await erased(after, ada["person"])
        assert held["artifactsRemoved"] == 2
        assert list(after.facts.people) == ["sha256:others"]


async def test_what_was_given_up_is_taken_up_again(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    await erase(gateway, ada["person"])
    await gateway.wiring.store.commit(_run(sa.delete(jobs)))
    take_up = next(each for each in gateway.service.periodic if each.name == "erase")
    for _ in range(2):
        await take_up.run()
    assert len(await gateway.wiring.store.rows(sa.select(jobs))) == 1
    assert (await erased(gateway, ada["person"]))["state"] == "erased"
    await take_up.run()
    assert await gateway.wiring.store.rows(sa.select(jobs)) == []


async def test_a_job_that_runs_twice_says_so_once(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    await erased(gateway, ada["person"])
    [worker] = gateway.service.workers
    context = Context(project=PLATFORM, correlation="1", actor=Actor.service("gateway"))
    payload = worker.payload(person=ada["person"])
    job = Job(kind=worker.kind, key="", payload=payload, context=context, attempts=0, asker="")
    await transact(gateway.wiring, "gateway", context, await worker.run(job))
    assert [type(each) for each in await gateway.said()].count(PersonErased) == 1


async def test_who_is_unknown_is_not_found(gateway: Gateway) -> None:
    for path in (f"/v1/people/{NOBODY}", f"/v1/people/{NOBODY}/words"):
        async with gateway.http() as http:
            assert "placet privacy list" in is_problem(await http.get(path), 404)["fix"]
    is_problem(await erase(gateway, NOBODY), 404)
    is_problem(await erase(gateway, "ada"), 400)


async def test_nobody_erases_themselves_or_without_the_role(gateway: Gateway) -> None:
    ada, boss = await token_for(gateway), await token_for(gateway, "boss", "compliance")
    assert is_problem(await erase(gateway, boss["person"], boss["token"]), 403)["rule"] == "privacy.own"
    is_problem(await erase(gateway, boss["person"], ada["token"]), 403)
    assert (await erase(gateway, ada["person"], boss["token"])).status_code == 202


async def test_everybody_sees_what_is_held_about_themselves_and_nobody_elses(gateway: Gateway) -> None:
    ada, bob = await token_for(gateway), await token_for(gateway, "bob")
    for path in ("", "/words"):
        async with gateway.http(ada["token"]) as http:
            assert (await http.get(f"/v1/people/{ada['person']}{path}")).status_code == 200
            is_problem(await http.get(f"/v1/people/{bob['person']}{path}"), 403)
    async with gateway.http(ada["token"]) as http:
        is_problem(await http.get("/v1/people"), 403)


async def test_people_are_listed_page_by_page(gateway: Gateway) -> None:
    people = [await token_for(gateway, f"person {number}") for number in range(3)]
    await erase(gateway, people[1]["person"])
    found, after = [], ""
    while True:
        page = await gateway.read(f"/v1/people?limit=2{after}")
        found += page["people"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    told = {each["person"]: (each["name"], each["state"]) for each in found}
    assert told[people[0]["person"]] == ("person 0", "known")
    assert told[people[1]["person"]] == (pseudonym(people[1]["person"]), "erasing")
    assert len(found) == len(told) == 4, "and the admin"


async def test_who_granted_it_is_told_of_by_the_same_pseudonym_everywhere(gateway: Gateway) -> None:
    bob = await token_for(gateway, "bob", "approver", "compliance")
    id = (await ask(gateway)).json()["exception"]
    await post(gateway, id, "grant", bob["token"])
    await erase(gateway, bob["person"])
    [exception] = (await gateway.read(PATH))["exceptions"]
    assert exception["grantedBy"] == {"person": bob["person"], "name": pseudonym(bob["person"])}
    assert pseudonym(bob["person"]).startswith("erased person ")


async def test_a_row_of_words_that_was_moved_to_another_place_is_not_read(gateway: Gateway) -> None:
    await ask(gateway)
    await gateway.wiring.store.commit(_run(sa.update(p.reasons).values(of="exception:another")))
    [row] = await gateway.wiring.store.rows(GIVEN)
    async with gateway.http() as http:
        answer = await http.get(f"/v1/people/{row.words_by}/words")
    assert answer.status_code == 400
    assert "does not open" in answer.text


def _put(table: sa.Table, row: dict[str, Any]) -> Unit:
    return Unit(writes=(Put(table=table, row=row),))


def _run(statement: sa.Executable) -> Unit:
    return Unit(writes=(Run(statement=statement),))
