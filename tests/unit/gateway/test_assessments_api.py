"""Questionnaires and answers to them over REST: every mistake at once, and no words in the log."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.assessments import load_shipped, shipped_files
from placet.events.contracts.certifier import AssessmentRejected, AssessmentScored
from placet.events.contracts.gateway import AssessmentAnswered, QuestionnaireImported
from placet.gateway.adapters.registry_artifacts import RegistryAssessments
from placet.oci import ImageLayout

from tests.unit.assessments.test_examining import SURVEY
from tests.unit.assessments.test_questionnaires import SMALL, changed
from tests.unit.gateway.harness import Gateway, asked, knows_source
from tests.unit.gateway.roads import SOURCE
from tests.unit.gateway.test_gateway_api import is_problem

ADA, EVE = (f"person:00000000-0000-7000-8000-00000000000{digit}" for digit in "12")
OPERATION = "00000000-0000-7000-8000-00000000000a"
ALL: dict[str, Any] = {"harm": "much", "who": ["a", "b"], "why": "Secretly so", "watched": "no"}
OF_CHURN = "/v1/models/churn/assessments"
SHIPPED = {each.id: each for each in load_shipped()}


async def imports(gateway: Gateway, file: bytes = changed(), **query: str) -> httpx.Response:
    async with gateway.http(gateway.token("compliance", person=EVE)) as http:
        return await http.post("/v1/questionnaires", content=file, params=query)


async def answer(
    gateway: Gateway, answers: dict[str, Any] = ALL, token: str | None = None, **more: Any
) -> httpx.Response:
    body = {"questionnaire": "small", "answers": answers, **more}
    async with gateway.http(token or gateway.token("scientist", person=ADA)) as http:
        return await http.post(OF_CHURN, json=body)


async def scored(gateway: Gateway, assessment: str, **changes: Any) -> None:
    said = {
        "assessment": assessment,
        "project": "churn",
        "source": SOURCE,
        "questionnaire": "small",
        "version": "1",
        "digest": SMALL.digest,
        "raw": 10,
        "raw_most": 10,
        "mitigation": 0,
        "mitigation_most": 2,
        "score": 10,
        "level": 2,
        "label": "high",
        "requires": ("watch",),
        "missing": ("watch",),
        "valid_days": 365,
        "envelope": f"sha256:{'e' * 64}",
    }
    await gateway.hear(AssessmentScored(**{**said, **changes}), OPERATION, twice=True)


async def said(gateway: Gateway, kind: type) -> list[Any]:
    return [each for each in await gateway.said() if isinstance(each, kind)]


# questionnaires


async def test_a_questionnaire_is_kept_by_digest_and_is_the_newest_of_its_id(gateway: Gateway) -> None:
    first = await imports(gateway)
    assert first.status_code == 201
    assert first.headers["location"] == f"/v1/questionnaires/{SMALL.digest}"
    assert (first.json()["questionnaire"], first.json()["state"], first.json()["shipped"]) == (
        "small",
        "newest",
        False,
    )
    assert gateway.assessments.questionnaires == {SMALL.digest: changed()}
    assert await said(gateway, QuestionnaireImported) == [
        QuestionnaireImported(
            questionnaire="small", version="1", digest=SMALL.digest, form="placet", imported_by=EVE
        )
    ]
    gateway.clock.pass_(timedelta(seconds=1))
    second = await imports(gateway, changed(version="2"))
    listed = (await gateway.read("/v1/questionnaires"))["questionnaires"]
    small = [(each["version"], each["state"]) for each in listed if each["questionnaire"] == "small"]
    assert small == [("2", "newest"), ("1", "superseded")]
    newest = await gateway.read("/v1/questionnaires/small")
    assert newest["digest"] == second.json()["digest"]
    assert newest["content"]["sections"][0]["questions"][0]["id"] == "harm"


async def test_the_same_bytes_again_say_nothing_again(gateway: Gateway) -> None:
    first, again = await asyncio.gather(imports(gateway), imports(gateway))
    assert first.json() == again.json()
    assert len(await said(gateway, QuestionnaireImported)) == 1


async def test_those_that_ship_are_there_and_need_no_import(gateway: Gateway) -> None:
    page = await gateway.read("/v1/questionnaires?limit=1")
    rest = await gateway.read(f"/v1/questionnaires?after={page['next']}")
    ids = [each["questionnaire"] for each in page["questionnaires"] + rest["questionnaires"]]
    assert ids == sorted(SHIPPED)
    file = shipped_files()["algorithmic-impact.yaml"]
    assert (await imports(gateway, file)).json()["shipped"] is True
    assert not await said(gateway, QuestionnaireImported)
    async with gateway.http() as http:
        kept = await http.get(f"/v1/questionnaires/{SHIPPED['algorithmic-impact'].digest}/file")
    assert kept.content == file


async def test_one_of_surveyjs_is_called_as_who_imports_it_says_and_only_so(gateway: Gateway) -> None:
    file = json.dumps(SURVEY).encode()
    assert is_problem(await imports(gateway, file, form="surveyjs", id="aia"), 400)
    named = {"form": "surveyjs", "id": "aia", "version": "1.0.1", "owner": "Treasury Board"}
    imported = await imports(gateway, file, **named)
    assert (imported.json()["questionnaire"], imported.json()["form"]) == ("aia", "surveyjs")
    other = await imports(gateway, file, **{**named, "version": "1.0.2"})
    assert is_problem(other, 409)
    assert "imported before, as aia 1.0.1" in other.json()["detail"]
    await knows_source(gateway)
    answered = await answer(gateway, {"harm": "item2-3"}, questionnaire="aia", source=SOURCE)
    assert answered.status_code == 202


@pytest.mark.parametrize("role", ["scientist", "approver", "auditor", "operator"])
async def test_only_compliance_and_admins_import(gateway: Gateway, role: Any) -> None:
    async with gateway.http(gateway.token(role)) as http:
        assert is_problem(await http.post("/v1/questionnaires", content=changed()), 403)


async def test_what_is_no_questionnaire_is_refused_with_every_mistake_and_not_kept(gateway: Gateway) -> None:
    refused = await imports(gateway, changed(levels=[], owner=7))
    assert is_problem(refused, 422)
    assert is_problem(await imports(gateway, b"#" * (1024**2 + 1)), 413)
    assert not gateway.assessments.questionnaires


# answers


async def test_answers_are_kept_apart_and_the_event_has_none_of_their_words(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    answered = await answer(gateway, mitigations=["watch"])
    assert answered.status_code == 202, answered.text
    told = answered.json()
    assert answered.headers["location"] == f"{OF_CHURN}/{told['assessment']}"
    assert (told["state"], told["score"], told["source"]) == ("answered", None, SOURCE)
    [event] = await said(gateway, AssessmentAnswered)
    assert (event.questionnaire, event.version, event.digest) == ("small", "1", SMALL.digest)
    assert (event.source, event.purpose, event.answered_by) == (SOURCE, f"sha256:{'a' * 64}", ADA)
    kept = json.loads(gateway.assessments.kept[event.answers])
    assert (kept["answers"], kept["mitigations"]) == (ALL, ["watch"])
    assert len(kept["salt"]) == 32
    again = await answer(gateway, mitigations=["watch"])
    [_, other] = await said(gateway, AssessmentAnswered)
    assert again.json()["assessment"] == other.assessment
    assert other.answers != event.answers, "the same answers have another digest: nobody can guess from it"


async def test_everything_that_is_unknown_wrong_or_missing_is_one_list(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    refused = await answer(gateway, {"harmm": "x", "harm": "much", "watched": "so"}, mitigations=["sleep"])
    assert is_problem(refused, 422)
    assert [each["why"].split(":")[0] for each in refused.json()["refusals"]] == [
        "the answers, harmm",
        "the answers, watched",
        "the answers, who",
        "the answers, mitigations",
    ]
    assert not gateway.assessments.kept
    assert not await said(gateway, AssessmentAnswered)


async def test_it_is_about_what_was_deployed_last_or_a_source_that_is_here(gateway: Gateway) -> None:
    await imports(gateway)
    nothing = await answer(gateway)
    assert is_problem(nothing, 404)
    assert "no source of 'churn' is here" in nothing.json()["detail"]
    assert is_problem(await answer(gateway, source=f"sha256:{'9' * 64}"), 404)
    assert is_problem(await answer(gateway, source=SOURCE, questionnaire="large"), 404)
    await knows_source(gateway)
    assert (await answer(gateway, source=SOURCE)).status_code == 202


@pytest.mark.parametrize("role", ["approver", "auditor", "operator"])
async def test_only_scientists_compliance_and_admins_answer(gateway: Gateway, role: Any) -> None:
    assert is_problem(await answer(gateway, token=gateway.token(role)), 403)


async def test_what_it_amounts_to_is_told_and_what_makes_it_stale(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    id = (await answer(gateway)).json()["assessment"]
    await scored(gateway, id, valid_days=30)
    told = await gateway.read(f"{OF_CHURN}/{id}")
    assert (told["state"], told["stale"], told["ageDays"]) == ("scored", [], 0)
    assert told["score"] == {
        "raw": 10,
        "rawMost": 10,
        "mitigation": 0,
        "mitigationMost": 2,
        "score": 10,
        "level": 2,
        "label": "high",
        "requires": ["watch"],
        "missing": ["watch"],
    }
    gateway.clock.pass_(timedelta(days=31))
    await imports(gateway, changed(version="2"))
    other = f"sha256:{'6' * 64}"
    await knows_source(gateway, other)
    await gateway.command({"command": "deploy", "project": "churn", "source": {"digest": other}})
    [told] = (await gateway.read(OF_CHURN))["assessments"]
    assert told["stale"] == ["age", "questionnaire", "source"]


async def test_what_the_certifier_could_not_score_says_why(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    id = (await answer(gateway)).json()["assessment"]
    await gateway.hear(
        AssessmentRejected(assessment=id, project="churn", why="they are gone", fix="answer again"), OPERATION
    )
    told = await gateway.read(f"{OF_CHURN}/{id}")
    assert (told["state"], told["why"], told["fix"]) == ("rejected", "they are gone", "answer again")


async def test_the_words_are_for_who_answered_and_for_those_who_judge(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    id = (await answer(gateway)).json()["assessment"]
    path = f"{OF_CHURN}/{id}/answers"
    statuses = {}
    for role in ("scientist", "operator", "approver", "compliance", "auditor"):
        async with gateway.http(gateway.token(role)) as http:
            statuses[role] = (await http.get(path)).status_code
    assert statuses == {
        "scientist": 403,
        "operator": 403,
        "approver": 200,
        "compliance": 200,
        "auditor": 200,
    }
    async with gateway.http(gateway.token("scientist", person=ADA)) as http:
        mine = await http.get(path)
        gateway.assessments.kept.clear()
        assert is_problem(await http.get(path), 404)
        assert is_problem(await http.get(f"{OF_CHURN}/assessment:other/answers"), 404)
    assert mine.json() == {"answers": ALL, "mitigations": []}


async def test_answers_may_be_longer_than_other_bodies_and_not_endless(gateway: Gateway) -> None:
    await imports(gateway)
    await asked(gateway)
    assert is_problem(await answer(gateway, {**ALL, "why": "x" * 20_001}), 400)
    long = {f"q{number}": "x" * 19_000 for number in range(10)}
    assert is_problem(await answer(gateway, long), 422)
    assert is_problem(
        await answer(gateway, {**long, **{f"r{number}": "x" * 19_999 for number in range(50)}}), 413
    )


async def test_the_registry_keeps_them_by_the_digests_of_their_bytes(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    kept = RegistryAssessments(registry)
    digest = await kept.keep_answers(b"{}")
    assert await kept.keep_answers(b"{}") == digest
    assert await kept.answers(digest) == b"{}"
    await kept.keep_questionnaire(SMALL.digest, changed())
    assert await registry.read_blob("questionnaires", SMALL.digest) == changed()
