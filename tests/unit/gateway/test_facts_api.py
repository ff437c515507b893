"""What rules saw, over REST: by digest, for those who write policies and those who look into decisions."""

from __future__ import annotations

import pytest
from placet.gateway import facts_api

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.test_gateway_api import is_problem

SEEN, PEOPLE, GONE = (f"sha256:{digit * 64}" for digit in "123")


@pytest.fixture(autouse=True)
def _recorded(gateway: Gateway) -> None:
    gateway.facts.facts[SEEN] = b'{"model":{"size":1.0}}'
    gateway.facts.people[PEOPLE] = b'{"personal":{"owner":"ada"},"salt":"s"}'


@pytest.mark.parametrize("role", ["compliance", "auditor", "admin"])
async def test_facts_are_told_by_digest_and_null_where_they_are_not(gateway: Gateway, role: str) -> None:
    async with gateway.http(gateway.token(role)) as http:  # type: ignore[arg-type]
        answer = await http.get(
            "/v1/facts", params=[("digest", SEEN), ("digest", GONE), ("personal", PEOPLE)]
        )
    assert answer.json()["facts"] == {
        SEEN: {"model": {"size": 1.0}},
        GONE: None,
        PEOPLE: {"personal": {"owner": "ada"}, "salt": "s"},
    }
    assert '{"model":{"size":1.0}}' in answer.text, "to the byte, so that its digest can be checked"


async def test_what_is_about_people_is_told_only_where_it_is_asked_for(gateway: Gateway) -> None:
    assert (await gateway.read(f"/v1/facts?digest={PEOPLE}"))["facts"] == {PEOPLE: None}


@pytest.mark.parametrize("role", ["scientist", "approver", "operator"])
async def test_whoever_neither_writes_nor_audits_policies_reads_no_facts(gateway: Gateway, role: str) -> None:
    async with gateway.http(gateway.token(role)) as http:  # type: ignore[arg-type]
        answer = await http.get("/v1/facts", params={"digest": SEEN})
    assert is_problem(answer, 403)
    assert "admin, auditor, compliance" in answer.json()["detail"]


async def test_no_answer_grows_without_bound(gateway: Gateway) -> None:
    large = b'{"x":"' + b"x" * facts_api.MAX_ANSWER_BYTES + b'"}'
    gateway.facts.facts[GONE] = large
    told = (await gateway.read(f"/v1/facts?digest={GONE}&digest={SEEN}"))["facts"]
    assert set(told) == {GONE}
    assert set((await gateway.read(f"/v1/facts?digest={SEEN}"))["facts"]) == {SEEN}


@pytest.mark.parametrize("asked", ["digest=sha256:12", "digest=" + "&digest=".join([SEEN] * 101)])
async def test_what_is_no_digest_and_more_than_a_page_are_refused(gateway: Gateway, asked: str) -> None:
    async with gateway.http() as http:
        assert is_problem(await http.get(f"/v1/facts?{asked}"), 400)
