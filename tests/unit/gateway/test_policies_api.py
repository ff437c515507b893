"""Policies over REST: submitted once, tried at once, and told with what became of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from placet.events.codec import timestamp
from placet.events.contracts.certifier import PolicyPublished, PolicyRejected
from placet.events.contracts.gateway import PolicySubmitted
from placet.events.contracts.shapes import PolicyProblem, RuleRef
from placet.gateway.adapters.registry_artifacts import RegistryPolicies
from placet.oci import ImageLayout
from placet.rules import load_shipped, read_policy, shipped_files
from placet.rules.policy import MAX_POLICY_BYTES

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.test_exceptions_api import days
from tests.unit.gateway.test_gateway_api import MANIFEST, is_problem
from tests.unit.gateway.test_uploads import form
from tests.unit.rules.test_rules_loading import POLICY

ADA = "person:00000000-0000-7000-8000-000000000001"
DIGEST = read_policy(POLICY.encode()).digest
OPERATION = "00000000-0000-7000-8000-00000000000a"


async def submit(gateway: Gateway, text: str = POLICY, token: str | None = None) -> httpx.Response:
    async with gateway.http(token or gateway.token("compliance", person=ADA)) as http:
        return await http.post("/v1/policies", content=text.encode())


async def publish(gateway: Gateway, text: str = POLICY, *, number: int = 1) -> str:
    """Submit it, and hear that it is published."""
    assert (await submit(gateway, text)).status_code == 202
    policy = read_policy(text.encode())
    today = gateway.clock.now().date().isoformat()
    await gateway.hear(
        PolicyPublished(
            policy=policy.id,
            version=policy.version,
            digest=policy.digest,
            number=number,
            title=policy.title,
            effective_from=policy.effective.from_.isoformat() if policy.effective else today,
            effective_until=None,
            supersedes=policy.supersedes,
            rules=tuple(RuleRef(id=rule.id, stage=rule.stage) for rule in policy.rules),
        ),
        OPERATION,
        twice=True,
    )
    return policy.digest


async def submissions(gateway: Gateway) -> list[PolicySubmitted]:
    return [each for each in await gateway.said() if isinstance(each, PolicySubmitted)]


async def states(gateway: Gateway, id: str) -> dict[int, str]:
    return {each["version"]: each["state"] for each in (await gateway.read(f"/v1/policies/{id}"))["versions"]}


async def test_a_policy_is_kept_by_digest_and_said_without_a_word_of_it(gateway: Gateway) -> None:
    answer = await submit(gateway)
    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/policies/house.small"
    assert answer.json() == {
        "policy": "house.small",
        "version": 1,
        "digest": DIGEST,
        "title": "Small",
        "owner": "compliance",
        "state": "submitted",
        "shipped": False,
        "supersedes": None,
        "effectiveFrom": None,
        "effectiveUntil": None,
        "warnUntil": None,
        "submittedBy": {"person": ADA, "name": None},
        "submittedAt": timestamp(gateway.clock.now()),
        "decidedAt": None,
        "problems": [],
    }
    assert gateway.policies.files == {DIGEST: POLICY.encode()}
    said = PolicySubmitted(policy="house.small", version=1, digest=DIGEST, submitted_by=ADA)
    assert await submissions(gateway) == [said]


async def test_one_that_is_to_warn_first_says_so_for_how_long(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for span in ("7", "0d", "7w", "1000d"):
            answer = await http.post(f"/v1/policies?warnFirst={span}", content=POLICY.encode())
            assert is_problem(answer, 400)
        answer = await http.post("/v1/policies?warnFirst=7d", content=POLICY.encode())
    assert answer.status_code == 202
    [said] = await submissions(gateway)
    assert said.warn_first == 7 * 86400


async def test_the_same_bytes_again_are_the_same_answer_and_no_second_event(gateway: Gateway) -> None:
    first, again = await asyncio.gather(submit(gateway), submit(gateway))
    third = await submit(gateway, token=gateway.token("admin"))
    assert first.json() == again.json() == third.json()
    assert len(await submissions(gateway)) == 1


@pytest.mark.parametrize("role", ["scientist", "approver", "auditor", "operator"])
async def test_only_compliance_and_admins_publish(gateway: Gateway, role: str) -> None:
    answer = await submit(gateway, token=gateway.token(role))  # type: ignore[arg-type]
    assert is_problem(answer, 403)
    assert "admin, compliance" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (POLICY.replace("expect: pass", "expect: fail"), "expected fail, the rule said pass"),
        (POLICY.replace("owner:", "ownner:").replace("fix:", "fixx:"), "fixx"),
        ("just words", "the policy"),
    ],
    ids=["own test", "two keys", "no policy"],
)
async def test_what_does_not_pass_is_refused_with_every_problem_and_not_kept(
    gateway: Gateway, text: str, said: str
) -> None:
    answer = await submit(gateway, text)
    assert is_problem(answer, 422)
    assert said in answer.json()["detail"]
    assert not gateway.policies.files
    assert not await submissions(gateway)


async def test_what_is_too_large_is_not_even_read(gateway: Gateway) -> None:
    assert is_problem(await submit(gateway, "#" * (MAX_POLICY_BYTES + 1)), 413)


async def test_a_later_version_takes_its_place_and_one_to_come_waits(gateway: Gateway) -> None:
    await publish(gateway)
    assert await states(gateway, "house.small") == {1: "in-force"}
    later = (gateway.clock.now() + timedelta(days=3)).date()
    second = POLICY.replace("version: 1\n", f"version: 2\neffective: {{from: {later}}}\n")
    await publish(gateway, second, number=2)
    assert await states(gateway, "house.small") == {2: "scheduled", 1: "in-force"}
    gateway.clock.pass_(timedelta(days=3))
    assert await states(gateway, "house.small") == {2: "in-force", 1: "superseded"}


async def test_a_version_of_a_shipped_policy_takes_its_place(gateway: Gateway) -> None:
    text = shipped_files()["trials.yaml"].decode().replace("version: 1\n", "version: 2\n")
    digest = await publish(gateway, text)
    versions = (await gateway.read("/v1/policies/trials"))["versions"]
    assert [(each["version"], each["state"], each["shipped"]) for each in versions] == [
        (2, "in-force", False),
        (1, "superseded", True),
    ]
    async with gateway.http() as http:
        new = await http.get(f"/v1/policies/{digest}/file")
        old = await http.get(f"/v1/policies/{versions[1]['digest']}/file")
    assert new.text == text
    assert old.content == shipped_files()["trials.yaml"]
    assert new.headers["content-type"].startswith("application/yaml")


async def test_why_one_was_rejected_is_told(gateway: Gateway) -> None:
    await submit(gateway)
    problem = PolicyProblem(why="it is dated back", fix="name a later day")
    await gateway.hear(
        PolicyRejected(policy="house.small", version=1, digest=DIGEST, problems=(problem,)), OPERATION
    )
    [rejected] = (await gateway.read("/v1/policies/house.small"))["versions"]
    assert (rejected["state"], rejected["problems"]) == (
        "rejected",
        [{"why": "it is dated back", "fix": "name a later day"}],
    )
    assert (await submit(gateway)).json() == rejected


async def test_all_there_are_come_in_pages(gateway: Gateway) -> None:
    await publish(gateway)
    whole = (await gateway.read("/v1/policies"))["policies"]
    assert {each["policy"] for each in whole} == {"house.small", *(each.id for each in load_shipped())}
    found, after = [], ""
    while True:
        page = await gateway.read(f"/v1/policies?limit=2{after}")
        found += page["policies"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == whole
    async with gateway.http() as http:
        assert is_problem(await http.get("/v1/policies?after=never"), 400)
        assert is_problem(await http.get("/v1/policies/never"), 404)
        assert is_problem(await http.get("/v1/policies/never/file"), 404)


NO_SKLEARN = """\
apiVersion: placet/v1
kind: Policy
id: house.formats
version: 1
title: Formats
owner: compliance
rules:
  - {id: house.no-sklearn, title: No scikit-learn, citations: [], stage: submit, onFail: deny, exceptable: true,
     require: model.format != "sklearn", say: it is of scikit-learn, fix: export it to ONNX}
"""


async def test_what_is_published_is_asked_of_an_upload_and_for_exceptions(gateway: Gateway) -> None:
    files = {"placet.yaml": MANIFEST, "model.skops": b"a model"}
    wanted = {"rule": "house.no-sklearn", "until": days(gateway, 9), "reason": "it is for a fair"}

    async def asked() -> tuple[bool, int]:
        async with gateway.http() as http:
            taken = (await http.post("/v1/sources", files=form(files))).json()
            excepted = await http.post("/v1/models/churn/exceptions", json=wanted)
        return "house.no-sklearn" in {each["rule"] for each in taken["refusals"]}, excepted.status_code

    assert await asked() == (False, 422)
    await publish(gateway, NO_SKLEARN)
    assert await asked() == (True, 201)


async def test_a_file_lies_in_the_registry_by_its_digest(tmp_path: Path) -> None:
    registry = ImageLayout(tmp_path)
    await RegistryPolicies(registry).keep(DIGEST, POLICY.encode())
    assert await registry.read_blob("policies", DIGEST) == POLICY.encode()
