"""Each kind of what people gave has its clock; what a certificate stands on, and what is held, waits."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ErasureRequested, HoldLifted, HoldPlaced, RetentionApplied
from placet.events.contracts.shapes import RecordedFacts
from placet.events.store import Put, Run, Unit
from placet.events.testing import changed
from placet.gateway import projections as p
from placet.gateway.people import OWNER_OF_SOURCE

from tests.unit.gateway.harness import Gateway, a_gateway, asked, live
from tests.unit.gateway.roads import DEPLOY, SOURCE
from tests.unit.gateway.test_erasing import NAME, a_person_with_a_past, erase, erased, token_for
from tests.unit.gateway.test_exceptions_api import PATH, ask, body
from tests.unit.gateway.test_gateway_api import is_problem

HOLD = "/v1/models/churn/hold"
LONG = timedelta(days=3653)


async def a_day_passes(gateway: Gateway, span: timedelta = LONG) -> None:
    gateway.clock.pass_(span)
    retain = next(each for each in gateway.service.periodic if each.name == "retain")
    await retain.run()


async def applied(gateway: Gateway) -> list[tuple[str, int, int]]:
    return [
        (each.kind, each.removed, each.kept)
        for each in await gateway.said()
        if isinstance(each, RetentionApplied)
    ]


async def classes(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """An admin's token is good for less than ten years, so each look takes a new one."""
    async with gateway.http(gateway.token("auditor")) as http:
        told = (await http.get("/v1/retention")).json()
    return {each["kind"]: each for each in told["classes"]}


async def reason(gateway: Gateway) -> str:
    async with gateway.http(gateway.token("auditor")) as http:
        return str((await http.get(PATH)).json()["exceptions"][0]["reason"])


async def with_facts(gateway: Gateway) -> None:
    row = {"digest": "sha256:theirs", "project": "churn", "named_at": timestamp(gateway.clock.now())}
    await gateway.wiring.store.commit(Unit(writes=(Put(table=p.personal_facts, row=row),)))
    at = timestamp(gateway.clock.now())
    answered = sa.update(p.assessments).values(answered_at=at)
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=answered),)))


async def test_what_is_over_its_time_goes_once_and_the_log_says_how_much(gateway: Gateway) -> None:
    await a_person_with_a_past(gateway)
    await with_facts(gateway)
    await a_day_passes(gateway, timedelta(days=3651))
    assert await applied(gateway) == []
    told = await classes(gateway)
    assert {kind: (each["number"], each["due"]) for kind, each in told.items()} == {
        "words": (1, 0),
        "answers": (1, 0),
        "facts": (1, 0),
    }
    assert told["words"]["nextAt"] > timestamp(gateway.clock.now())
    gateway.clock.pass_(timedelta(days=2))
    assert (await classes(gateway))["words"]["due"] == 1, "a look removes nothing"
    assert await reason(gateway) != "erased"
    await a_day_passes(gateway, timedelta())
    assert await applied(gateway) == [("words", 1, 0), ("answers", 1, 0), ("facts", 1, 0)]
    assert await reason(gateway) == "erased"
    assert gateway.assessments.kept == {}
    assert list(gateway.facts.people) == ["sha256:others"]
    assert gateway.facts.swept == gateway.assessments.swept
    await a_day_passes(gateway)
    assert len(await applied(gateway)) == 3, "what is gone is not removed again"


async def test_each_kind_has_a_clock_of_its_own(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, keep_words_days=30, keep_answers_days=90) as gateway:
        await a_person_with_a_past(gateway)
        await with_facts(gateway)
        for span, said in ((31, ["words"]), (60, ["words", "answers"])):
            await a_day_passes(gateway, timedelta(days=span))
            assert [kind for kind, _, _ in await applied(gateway)] == said


async def test_what_a_certificate_stands_on_waits_for_its_end(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, keep_words_days=1) as gateway:
        await live(gateway)
        await ask(gateway)
        until = timestamp(gateway.clock.now() + timedelta(days=10))
        stands = sa.update(p.certificates).values(not_after=until)
        await gateway.wiring.store.commit(Unit(writes=(Run(statement=stands),)))
        await a_day_passes(gateway, timedelta(days=2))
        assert await applied(gateway) == []
        words = (await classes(gateway))["words"]
        assert (words["due"], words["kept"]) == (0, 1)
        await a_day_passes(gateway, timedelta(days=9))
        assert await applied(gateway) == [("words", 1, 0)]


async def test_what_is_revoked_keeps_nothing(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, keep_words_days=1) as gateway:
        await live(gateway)
        await ask(gateway)
        ended = sa.update(p.certificates).values(not_after="2999", standing="revoked")
        await gateway.wiring.store.commit(Unit(writes=(Run(statement=ended),)))
        await a_day_passes(gateway, timedelta(days=2))
        assert await applied(gateway) == [("words", 1, 0)]


async def test_what_is_held_waits_and_nobody_of_it_is_erased(gateway: Gateway) -> None:
    ada = await a_person_with_a_past(gateway)
    await with_facts(gateway)
    boss = gateway.token("compliance")
    async with gateway.http(boss) as http:
        first = await http.put(HOLD, json={"reason": "case 12/27"})
        again = await http.put(HOLD, json={"reason": "another"})
    assert (first.status_code, again.json()) == (200, first.json())
    assert first.json()["reason"] == "case 12/27"
    problem = is_problem(await erase(gateway, ada["person"]), 409)
    assert (problem["rule"], "churn" in problem["detail"]) == ("privacy.held", True)
    await a_day_passes(gateway)
    assert await applied(gateway) == []
    assert (await classes(gateway))["facts"]["kept"] == 1
    async with gateway.http(gateway.token("compliance")) as http:
        assert [(await http.delete(HOLD)).status_code for _ in range(2)] == [204, 204]
        assert (await http.get("/v1/retention")).json()["holds"] == []
    await a_day_passes(gateway, timedelta(days=1))
    # The reason of the hold has a clock of its own.
    assert await applied(gateway) == [("words", 2, 0), ("answers", 1, 0), ("facts", 1, 0)]
    said = [each for each in await gateway.said() if isinstance(each, HoldPlaced | HoldLifted)]
    assert [type(each) for each in said] == [HoldPlaced, HoldLifted]
    assert "case" not in str(said)


@pytest.mark.parametrize("names", ["the source's owner", "who built it", "what rules saw", "who sent it"])
async def test_who_is_only_named_in_what_is_held_is_not_erased_from_it(gateway: Gateway, names: str) -> None:
    """They gave no words and no answers for it; evidence would go all the same."""
    ada, bob = await token_for(gateway), await token_for(gateway, "bob@example.org")
    looks = await gateway.people.looks(NAME)
    owner = (await gateway.people.owner(bob["person"])).seal(NAME, place=OWNER_OF_SOURCE)
    source = {"source": SOURCE, "size": 1, "project": "churn", "files": 1}
    theirs: dict[str, list[Put]] = {
        "the source's owner": [Put(table=p.sources, row=source | {"owner": owner, "owner_alike": looks})],
        "who built it": [
            Put(table=p.sources, row=source),
            Put(table=p.builders, row={"source": SOURCE, "alike": looks}),
        ],
        "what rules saw": [
            Put(table=p.personal_facts, row={"digest": "sha256:1", "project": "churn", "named_at": "2027"})
        ],
        "who sent it": [
            Put(table=p.sources, row=source | {"owner": owner}),
            Put(table=p.senders, row={"source": SOURCE, "person": ada["person"]}),
        ],
    }
    gateway.facts.people["sha256:1"] = json.dumps({"salt": "1", "personal": {"owner": NAME}}).encode()
    await gateway.wiring.store.commit(Unit(writes=tuple(theirs[names])))
    async with gateway.http(gateway.token("compliance")) as http:
        assert (await http.put(HOLD, json={"reason": "case 12/27"})).status_code == 200
        problem = is_problem(await erase(gateway, ada["person"]), 409)
        assert (problem["rule"], "churn" in problem["detail"]) == ("privacy.held", True)
        assert (await http.delete(HOLD)).status_code == 204
    await erased(gateway, ada["person"])
    assert "sha256:1" not in gateway.facts.people
    async with gateway.http(gateway.token("compliance")) as http:  # held again: what is done is done
        assert (await http.put(HOLD, json={"reason": "case 13/27"})).status_code == 200
    assert (await erase(gateway, ada["person"])).status_code == 200


async def test_a_clock_that_was_set_back_removes_nothing_early_and_nothing_twice(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, keep_words_days=30) as gateway:
        month = timedelta(days=31)
        assert (await ask(gateway)).status_code == 201
        await a_day_passes(gateway, month)
        assert await applied(gateway) == [("words", 1, 0)]
        gateway.clock.pass_(-10 * month)
        async with gateway.http(gateway.token("scientist")) as http:
            given = await http.post("/v1/models/fraud/exceptions", json=body(gateway))
        assert given.status_code == 201, given.text
        await a_day_passes(gateway, timedelta())
        told = await classes(gateway)
        assert (told["words"]["number"], told["words"]["due"]) == (1, 0)
        assert await applied(gateway) == [("words", 1, 0)]
        await a_day_passes(gateway, month)
        await a_day_passes(gateway, 10 * month)
        assert await applied(gateway) == [("words", 1, 0)] * 2


@pytest.mark.parametrize("new", ["hold", "facts"])
async def test_who_is_erased_while_a_project_is_being_held_is_not(gateway: Gateway, new: str) -> None:
    """It is judged in the unit that erases: what rules saw takes long to read, and a hold may come meanwhile."""
    ada = await a_person_with_a_past(gateway)
    await with_facts(gateway)
    other = {"digest": "sha256:others", "project": "other", "named_at": timestamp(gateway.clock.now())}
    await gateway.wiring.store.commit(Unit(writes=(Put(table=p.personal_facts, row=other),)))
    async with gateway.http(gateway.token("compliance")) as http:
        assert (await http.put("/v1/models/other/hold", json={"reason": "case 11/27"})).status_code == 200

        async def meanwhile() -> None:
            if new == "hold":
                assert (await http.put(HOLD, json={"reason": "case 12/27"})).status_code == 200
            else:
                gateway.facts.people["sha256:new"] = gateway.facts.people["sha256:theirs"]
                row = {"digest": "sha256:new", "project": "other", "named_at": "2027"}
                await gateway.wiring.store.commit(Unit(writes=(Put(table=p.personal_facts, row=row),)))

        gateway.facts.meanwhile = meanwhile
        problem = is_problem(await erase(gateway, ada["person"]), 409)
        held = "churn" if new == "hold" else "other"
        assert (problem["rule"], held in problem["detail"]) == ("privacy.held", True)
        assert not [each for each in await gateway.said() if isinstance(each, ErasureRequested)]
        for project in ("churn", "other"):
            assert (await http.delete(f"/v1/models/{project}/hold")).status_code == 204
    assert (await erase(gateway, ada["person"])).status_code == 202


async def test_what_is_held_while_others_are_removed_stays(gateway: Gateway) -> None:
    await a_person_with_a_past(gateway)
    await with_facts(gateway)
    other = {"digest": "sha256:others", "project": "other", "named_at": timestamp(gateway.clock.now())}
    await gateway.wiring.store.commit(Unit(writes=(Put(table=p.personal_facts, row=other),)))

    async def hold_churn() -> None:
        async with gateway.http(gateway.token("compliance")) as http:
            assert (await http.put(HOLD, json={"reason": "case 12/27"})).status_code == 200

    gateway.facts.meanwhile = hold_churn  # while those of the other, which come first, are removed
    await a_day_passes(gateway)
    assert list(gateway.facts.people) == ["sha256:theirs"]
    assert ("facts", 1, 1) in await applied(gateway)


async def test_a_project_that_is_not_there_is_not_held(gateway: Gateway) -> None:
    await a_person_with_a_past(gateway)
    async with gateway.http(gateway.token("compliance")) as http:
        problem = is_problem(await http.put("/v1/models/chrun/hold", json={"reason": "case 12/27"}), 404)
        assert "chrun" in problem["detail"]
        assert "placet list" in problem["fix"]
        problem = is_problem(await http.delete("/v1/models/chrun/hold"), 404)
        assert "nothing of it was held" in problem["detail"]
        assert "placet privacy retention" in problem["fix"]
        assert (await http.delete(HOLD)).status_code == 204  # this one is there, and nobody held it
    assert not [each for each in await gateway.said() if isinstance(each, HoldPlaced)]


async def test_holding_takes_the_role(gateway: Gateway) -> None:
    ada = await token_for(gateway)
    async with gateway.http(ada["token"]) as http:
        is_problem(await http.put(HOLD, json={"reason": "mine"}), 403)
        is_problem(await http.delete(HOLD), 403)
        is_problem(await http.get("/v1/retention"), 403)


async def test_what_the_registry_does_not_remove_is_counted_as_there(gateway: Gateway) -> None:
    await a_person_with_a_past(gateway)
    await with_facts(gateway)
    gateway.facts.refuses = True
    await a_day_passes(gateway)
    assert [kind for kind, _, _ in await applied(gateway)] == ["words", "answers"]
    assert (await classes(gateway))["facts"]["due"] == 1
    gateway.facts.refuses = False
    await a_day_passes(gateway, timedelta(days=1))
    assert (await applied(gateway))[-1] == ("facts", 1, 0)


@pytest.mark.parametrize("twice", [False, True])
async def test_the_clock_of_what_rules_saw_begins_with_the_event_that_named_it_last(
    gateway: Gateway, twice: bool
) -> None:
    operation = await asked(gateway)
    facts = RecordedFacts(facts="sha256:f", personal="sha256:p")
    await gateway.hear(changed(DEPLOY[1], facts=facts), operation, twice=twice)
    [row] = await gateway.wiring.store.rows(sa.select(p.personal_facts))
    assert (row.digest, row.project, row.named_at) == ("sha256:p", "churn", timestamp(gateway.clock.now()))
