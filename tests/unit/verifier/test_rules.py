"""Rules that are run again without any library give the verdicts that the platform's engine gives."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.rules import Engine, Policy
from placet.rules.policy import Stage, offered_files, read_policy, shipped_files
from placet.rules.testing import merge_patched
from placet.verifier.policy_files import Yaml
from placet.verifier.rules import judge

FILES = shipped_files() | offered_files()
POLICIES = {name: read_policy(data) for name, data in FILES.items()}
STAGES: tuple[Stage, ...] = ("submit", "certify", "operate")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as one:
        yield one


def told(engine: Engine, policy: Policy, stage: Stage, facts: dict[str, Any]) -> dict[str, str]:
    return {each.rule: each.result for each in engine.evaluate_sync([policy], stage, facts)}


READ = {name: Yaml(data).value() for name, data in FILES.items()}


def run_again(name: str, stage: Stage, facts: dict[str, Any]) -> dict[str, str | None]:
    found = judge([READ[name]], stage, json.loads(json.dumps(facts)))
    return {rule: each.result for rule, each in found.items()}


def facts_of(policy: Policy) -> Iterator[dict[str, Any]]:
    """All that its own tests give its rules to see."""
    for rule in policy.rules:
        for test in rule.tests:
            base = policy.given if test.given is None else test.given
            yield {"now": "2026-06-01T12:00:00Z", **merge_patched(base, test.patch)}


@pytest.mark.parametrize("name", POLICIES)
def test_every_shipped_rule_gives_its_verdicts_again(engine: Engine, name: str) -> None:
    policy = POLICIES[name]
    for facts in facts_of(policy):
        for stage in STAGES:
            assert run_again(name, stage, facts) == told(engine, policy, stage, facts)


STRANGE = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**63 - 1, 1.0, 0.5, "", "x", "2026-01-01", [], [1], ["a"], {}, {"a": 1}]
)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_so_it_does_of_facts_that_nobody_thought_of(engine: Engine, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(POLICIES)))
    policy = POLICIES[name]
    facts = copy.deepcopy(data.draw(st.sampled_from(list(facts_of(policy)))))
    for _ in range(data.draw(st.integers(1, 3))):
        changed(facts, data)
    for stage in STAGES:
        assert run_again(name, stage, facts) == told(engine, policy, stage, facts)


def changed(facts: dict[str, Any], data: st.DataObject) -> None:
    """One of the facts, at any depth, is gone or another."""
    holder: Any = facts
    while True:
        keys = [key for key in (holder if isinstance(holder, dict) else range(len(holder))) if key != "now"]
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.integers(0, 3)):
            holder = holder[key]
            continue
        if isinstance(holder, dict) and data.draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(data.draw(STRANGE))
        return


def test_a_rule_about_people_is_not_guessed_without_what_is_known_of_them() -> None:
    policy = {
        "rules": [
            {"id": "a.b", "stage": "submit", "require": "personal.owner != ''"},
            {
                "id": "a.c",
                "stage": "submit",
                "each": "personal.builders",
                "as": "one",
                "require": "one != ''",
            },
            {"id": "a.d", "stage": "submit", "require": "project.name != ''"},
        ]
    }
    found = judge([policy], "submit", {"project": {"name": "churn"}})
    assert [each.result for each in found.values()] == [None, None, "pass"]
    known = judge(
        [policy], "submit", {"project": {"name": "churn"}, "personal": {"owner": "x", "builders": []}}
    )
    assert {each.result for each in known.values()} == {"pass"}


def test_a_policy_of_another_time_says_nothing() -> None:
    rule = {"id": "a.b", "stage": "submit", "require": "true"}
    policy = {"effective": {"from": "2026-02-01", "until": "2026-03-01"}, "rules": [rule]}
    in_force = {
        day
        for day in ("2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01")
        if judge([policy], "submit", {"now": f"{day}T12:00:00Z"})
    }
    assert in_force == {"2026-02-01", "2026-02-28"}


@pytest.mark.parametrize(
    "condition",
    [
        # Each goes on for years, and the second fills any memory.
        "things.all(a, things.all(b, things.all(c, c >= 0)))",
        "['aaaaaaaa']" + ".map(v, v + v)" * 60 + ".size() > 0",
        "[[1]]" + ".map(v, v + v)" * 60 + ".size() > 0",
        "[[1]]" + ".map(v, [v, v])" * 60 + " == [[1]]" + ".map(v, [v, v])" * 60,
        "things.all(a, !text.contains('b'))",
        "things.all(a, !text.matches('(a|b|c|d){300}e'))",
    ],
)
def test_a_rule_that_goes_on_for_ever_is_said_to_be_unchecked(condition: str) -> None:
    facts = {"things": list(range(1000)), "text": "a" * 1_000_000}
    rules = [{"id": "a.b", "stage": "submit", "require": condition}]
    rules.append({"id": "a.c", "stage": "submit", "require": "things.size() == 1000"})
    found = judge([{"rules": rules}], "submit", facts)
    assert found["a.b"].result is None
    assert "more work than is done here" in str(found["a.b"].unchecked)
    assert found["a.c"].result == "pass"


def test_whom_a_policy_is_for_is_not_asked_for_ever_either() -> None:
    rule = {"id": "a.b", "stage": "submit", "require": "true"}
    asked = "['a']" + ".map(v, v + v)" * 60 + " == []"
    assert judge([{"appliesTo": asked, "rules": [rule]}], "submit", {})["a.b"].result is None
