"""The whole story of one model of high risk, as the people tell it who are in it: one scenario, for any platform."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from placet.assessments import load_shipped
from placet.events.clocks import SystemClock

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.system.evidence import evidence_holds
from tests.system.models import write_project
from tests.system.scenarios import answers, deploy, mildest, placet, predict, printed, refusal_of

PEOPLE = (("bob", "approver"), ("grace", "compliance"), ("alan", "approver"))
FITS = [number / 10 for number in range(200)]
"""What the model is made for at first."""
WIDER = [number / 10 for number in range(2000)]
UNFIT = {"inputs": [[150.0 + number / 10] for number in range(150)]}


@dataclass(frozen=True, kw_only=True)
class Story:
    platform: Platform
    project: str
    folder: Path
    tokens: Mapping[str, str]
    """Of the people, by name."""

    def write(self, *, granted_to_women: int, reference: Sequence[float]) -> Path:
        """A model that grants something to 80 of a hundred men and to so many of a hundred women."""
        condition = {"metric": "psi", "max": 0.2, "minSamples": 100, "window": "1h", "action": "suspend"}
        stop = {
            "owner": "o@example.org",
            "stopOwner": "s@example.org",
            "stopTestedAt": f"{SystemClock().now():%Y-%m-%d}",
        }
        evaluation = {
            "predictions": "evaluation.csv",
            "target": "granted",
            "prediction": "answered",
            "favourable": "yes",
            "sensitive": ["sex"],
        }
        write_project(
            self.folder,
            self.project,
            reference=reference,
            monitoring=[condition],
            declaring={"riskClass": "high", "oversight": stop, "evaluation": evaluation},
        )
        rows = [f"{sex},{answer},{answer}" for sex, yes in (("m", 80), ("f", granted_to_women)) for answer in
                ["yes"] * yes + ["no"] * (100 - yes)]  # fmt: skip
        (self.folder / "evaluation.csv").write_text("\n".join(["sex,granted,answered", *rows]) + "\n")
        return self.folder

    async def assess(self) -> dict[str, Any]:
        [questionnaire] = [each for each in load_shipped() if each.id == "algorithmic-impact"]
        file = self.folder.parent / "answers.json"
        file.write_text(json.dumps(mildest(questionnaire)))
        return await placet(self.platform, "assess", self.project, "--answers", str(file))

    async def waits_for(self, operation: str, *rules: str) -> dict[str, Any]:
        """Once it waits for just these."""

        async def told() -> dict[str, Any]:
            said = await placet(self.platform, "status", operation)
            assert [each["rule"] for each in said["awaiting"]] == list(rules), said
            return said

        return await eventually(told)

    async def approve(self, operation: str, *names: str) -> None:
        """Each what everybody else approves, once that is waited for."""
        await self.waits_for(operation, f"{self.project}.approved")
        looked_at = await placet(
            self.platform, "approve", self.project, "--look", token=self.tokens[names[0]]
        )
        for name in names:
            of = ("--binding", looked_at["binding"], "--reason", f"{name} tried it")
            await placet(self.platform, "approve", self.project, *of, token=self.tokens[name])

    async def lives(self, operation: str) -> dict[str, Any]:
        async def told() -> dict[str, Any]:
            said = await placet(self.platform, "status", operation)
            assert said["state"] == "live", (said["state"], said["awaiting"], said["refusals"])
            return said

        live: dict[str, Any] = await eventually(told)
        assert await predict(self.platform, self.project, 5.0) == pytest.approx(10.0)
        return live

    async def certificate(self, live: Mapping[str, Any]) -> dict[str, Any]:
        return await placet(self.platform, "certificate", "show", live["certificate"])

    async def publish(self, version: int, people: int, *words: str) -> str:
        """A policy that so many people approve what serves; its digest."""
        file = self.folder.parent / "house.yaml"
        file.write_text(people_needed(self.project, version, people))
        published = await placet(self.platform, "policy", "publish", str(file), *words)
        assert published["state"] == "in-force"
        return str(published["digest"])

    async def log(self) -> list[dict[str, Any]]:
        said = await printed(self.platform, "events", "--project", self.project)
        return [json.loads(line) for line in said.splitlines()]

    async def outcomes(self) -> dict[int, list[str]]:
        """What became of each release, in the log's order."""
        became: dict[int, list[str]] = {}
        for event in await self.log():
            kind = ".".join(event["type"].split(".")[2:4])
            if kind in OUTCOMES:
                became.setdefault(event["data"]["release"], []).append(kind)
        return became

    async def refused_to_callers(self, rule: str) -> dict[str, Any]:
        async def told() -> dict[str, Any]:
            said = await refusal_of(self.platform, self.project) or {}
            assert said.get("rule") == rule, said
            return said

        return await eventually(told)


class WholeStory:
    """Mixed into what has the fixtures `platform` and `project`."""

    @pytest.fixture
    async def story(self, platform: Platform, tmp_path: Path) -> Story:
        project = f"lending-{token_hex(5)}"
        tokens = {
            name: (await placet(platform, "token", "create", "--as", f"{name}-{project}", "--role", role))[
                "token"
            ]
            for name, role in PEOPLE
        }
        return Story(platform=platform, project=project, folder=tmp_path / "lending", tokens=tokens)

    async def test_a_model_of_high_risk_from_its_first_refusal_to_its_end(self, story: Story) -> None:
        platform, project, approved = story.platform, story.project, f"{story.project}.approved"
        first = await story.publish(1, 2)

        # Refused for what it does to one group, and corrected.
        folder = story.write(granted_to_women=40, reference=FITS)
        refused = await deploy(platform, folder)
        [refusal] = refused.refusals
        assert (refused.state, refusal.rule) == ("refused", "evaluation.parity")
        assert "sex" in refusal.why
        assert "0.5" in refusal.why
        folder = story.write(granted_to_women=76, reference=FITS)
        asked = await placet(platform, "deploy", str(folder), status=4)
        assert [each["rule"] for each in asked["awaiting"]] == ["assessment.made", approved]

        # Assessed, and approved by two others; certified, and live.
        assert (await story.assess())["state"] == "scored"
        await story.approve(asked["operation"], "bob", "grace")
        live = await story.lives(asked["operation"])
        said = (await story.certificate(live))["statement"]["predicate"]
        assert first in [each["digest"] for each in said["policies"]]
        assert len({each["givenBy"] for each in said["approvals"]}) == 2

        # Asked for what it was not made for, it is taken off its URL, and callers are told.
        async with platform.http() as http:
            assert (await http.post(f"/models/{project}/predict", json=UNFIT)).status_code == 200
        told = await story.refused_to_callers("operation.conditions-kept")
        assert live["certificate"] in told["detail"]
        assert "psi of x is " in told["detail"]
        log = {each["id"]: each for each in await story.log()}
        [suspended] = [each for each in log.values() if ".certificate.suspended." in each["type"]]
        assert ".model.observed." in log[suspended["causationid"]]["type"]

        # What fits what it is asked is another model: assessed, approved and certified anew.
        folder = story.write(granted_to_women=76, reference=WIDER)
        asked = await placet(platform, "deploy", str(folder), status=4)
        assert [each["rule"] for each in asked["awaiting"]] == ["assessment.current", approved]
        await story.assess()
        await story.approve(asked["operation"], "bob", "grace")
        again = await story.lives(asked["operation"])
        assert (again["release"], again["certificate"] != live["certificate"]) == (3, True)

        # The policy is superseded; what serves is told of, and renewed under it without being built.
        second = await story.publish(2, 3, "--warn-first", "7d")

        async def is_warned() -> bool:
            shown = await story.certificate(again)
            return [each["rule"] for each in shown["warnings"]] == [approved] and shown["state"] == "valid"

        await eventually(is_warned)
        asked = await placet(platform, "certificate", "renew", project, status=4)
        assert await predict(platform, project, 5.0) == pytest.approx(10.0), "it serves on meanwhile"
        await story.approve(asked["operation"], "bob", "grace", "alan")
        renewed = await story.lives(asked["operation"])
        shown = await story.certificate(renewed)
        said = shown["statement"]["predicate"]
        assert (renewed["image"], renewed["source"]) == (again["image"], again["source"])
        assert renewed["built"] is False
        assert said["renews"] == again["certificate"]
        digests = [each["digest"] for each in said["policies"]]
        assert (first in digests, second in digests) == (False, True)
        assert (shown["state"], shown["warnings"]) == ("valid", [])

        # It is revoked, for good.
        why = ("--reason", "the bank lends no more")
        await placet(platform, "certificate", "revoke", renewed["certificate"], *why)
        told = await story.refused_to_callers("certificate.revoked")
        assert renewed["certificate"] in told["detail"]
        started = await placet(platform, "start", project, status=1)
        assert "it was revoked" in str(started)

        # All of it can be shown to somebody who has nothing but a Python.
        checked = await evidence_holds(platform, project, story.folder.with_name("evidence"))
        assert sum("run again" in each for each in checked) == 10
        assert sum(each.startswith("the assessment ") for each in checked) == 2
        assert sum("0 exceptions and 2 approvals" in each for each in checked) == 2
        assert sum("0 exceptions and 3 approvals" in each for each in checked) == 1

        assert (
            await story.outcomes()
            == {
                1: ["release.refused"],
                2: [
                    *("certificate.issued", "model.started", "certificate.suspended", "model.quarantined"),
                    "certificate.warned",  # it stands for nothing any more, and is judged like any that is not over
                ],
                3: ["certificate.issued", "model.started", "certificate.warned"],
                4: ["certificate.issued", "model.started", "certificate.revoked", "model.quarantined"],
            }
        )

    async def test_what_a_pipeline_and_people_report_of_a_model_counts(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        file = tmp_path / "lineage.yaml"
        file.write_text(verified_data(project))
        await placet(platform, "policy", "publish", str(file))
        folder = write_project(tmp_path / "p", project)
        asked = await placet(platform, "deploy", str(folder), status=4)
        assert [each["rule"] for each in asked["awaiting"]] == [f"{project}.verified"]

        journey = tmp_path / "journey.ndjson"
        journey.write_text("\n".join(json.dumps(each) for each in runs(passed=True)))
        (journey.with_suffix(".failed")).write_text(
            "\n".join(json.dumps(each) for each in runs(passed=False))
        )
        of = ("--project", project, "--source", asked["source"])
        await placet(platform, "report", str(journey.with_suffix(".failed")), *of)
        again = await placet(platform, "report", str(journey.with_suffix(".failed")), *of)
        assert len({each["report"] for each in again["reports"]}) == 2
        assert (await placet(platform, "status", asked["operation"]))["state"] == "awaiting"
        await placet(platform, "report", str(journey), *of)

        async def is_live() -> bool:
            return bool((await placet(platform, "status", asked["operation"]))["state"] == "live")

        await eventually(is_live)
        seen = await placet(platform, "policy", "facts", project)
        (training,) = seen["certify"]["reports"]["training"]
        assert [each["verifiedBy"] for each in training["inputs"]] == [["verified-passed"]]

        incident = ("report", "--incident", "INC-7", "--project", project, "--severity", "critical")
        await placet(platform, *incident, "--summary", "it declines minors")

        async def told() -> bool:
            said = await refusal_of(platform, project) or {}
            assert said.get("rule") == "operation.no-critical-incident", said
            return "incident INC-7" in said["detail"]

        assert await eventually(told)
        await placet(platform, *incident, "--resolved")
        await eventually(lambda: answers(platform, project))
        assert "it declines minors" not in await printed(platform, "events", "--project", project)
        listed = await placet(platform, "report", "--list", project, "--kind", "incident")
        assert [each["summary"] for each in listed["reports"]] == [None, "it declines minors"]


OUTCOMES = frozenset(
    {
        "release.refused",
        "certificate.issued",
        "certificate.suspended",
        "certificate.reinstated",
        "certificate.warned",
        "certificate.revoked",
        "model.started",
        "model.quarantined",
    }
)


def runs(*, passed: bool) -> list[dict[str, Any]]:
    """OpenLineage's run events of a verification, and of a training that read what was verified."""
    version = f"sha256:{int(passed)}"
    data = {
        "namespace": "s3://lake",
        "name": "features",
        "facets": {"version": {"datasetVersion": version}},
    }
    checks = {"dataQualityAssertions": {"assertions": [{"assertion": "not_null", "success": passed}]}}
    now = f"{SystemClock().now():%Y-%m-%dT%H:%M:%SZ}"
    return [
        {
            "eventType": "COMPLETE",
            "eventTime": now,
            "run": {"runId": f"{run}-{'passed' if passed else 'failed'}"},
            "job": {"namespace": "pipelines", "name": step, "facets": {"jobType": {"jobType": step}}},
            "inputs": [{**data, **more}],
        }
        for run, step, more in (
            ("verified", "VERIFICATION", {"inputFacets": checks}),
            ("trained", "TRAINING", {}),
        )
    ]


def verified_data(project: str) -> str:
    return f"""\
apiVersion: placet/v1
kind: Policy
id: lineage.{project}
version: 1
title: Where it comes from
owner: compliance
appliesTo: project.name == "{project}"
given:
  project: {{name: {project}}}
  reports: {{runs: [{{step: training, state: complete, inputs: [{{verifiedBy: [r1]}}]}}]}}
rules:
  - id: {project}.verified
    title: The training run read data that passed verification
    citations: [{{source: House rules, section: "12"}}]
    stage: certify
    onFail: deny
    awaits: {{within: 7d}}
    require: >-
      reports.runs.exists(run, run.step == "training" && run.state == "complete"
      && size(run.inputs) > 0 && run.inputs.all(data, size(data.verifiedBy) > 0))
    say: no training run of {{{{ project.name }}}} is reported that read only what passed verification
    fix: "report its runs: `placet report FILE --project {{{{ project.name }}}}`"
    tests:
      - {{expect: pass}}
      - {{expect: awaited, patch: {{reports: {{runs: []}}}}}}
"""


def people_needed(project: str, version: int, people: int) -> str:
    return f"""\
apiVersion: placet/v1
kind: Policy
id: people.{project}
version: {version}
title: So many people approved it
owner: compliance
appliesTo: project.name == "{project}"
params: {{people: {people}}}
given:
  project: {{name: {project}}}
  approvals: {{people: {people}}}
rules:
  - id: {project}.approved
    title: So many people approved it
    citations: [{{source: House rules, section: "8"}}]
    stage: certify
    onFail: deny
    awaits: {{within: 14d, remind: 3d}}
    require: approvals.people >= params.people
    say: "{{{{ approvals.people }}}} people approved it, and {{{{ params.people }}}} are needed"
    fix: "`placet approve {{{{ project.name }}}}`"
    tests:
      - {{expect: pass}}
      - {{expect: awaited, patch: {{approvals: {{people: 1}}}}}}
"""
