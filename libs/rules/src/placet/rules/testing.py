"""A policy's own tests, and the loading of policies that passed them.

Each test takes the policy's `given` facts, or its own, applies a merge patch (RFC 7396: a null removes) and says
what the rule must answer. A policy whose own tests fail says something else than its authors think, so it is
not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import msgspec

from placet.projects.documents import DocumentRefused, Problem
from placet.rules.conditions import Saying
from placet.rules.engine import Engine, Verdict
from placet.rules.expressions import reference_problems
from placet.rules.policy import Policy, Result, Rule, RuleTest, expressions, read_policy
from placet.rules.sentences import gaps

Expected = Result | Literal["inapplicable", "awaited"]


class PolicyTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One embedded test: `problem` is None if the rule answered as expected."""

    rule: str
    number: int
    expected: Expected
    result: Expected
    problem: str | None


def run_policy_tests(policy: Policy, engine: Engine) -> tuple[PolicyTestResult, ...]:
    """Run the embedded tests of every rule, numbered from 1."""
    return tuple(
        _run(policy, rule, number, test, engine)
        for rule in policy.rules
        for number, test in enumerate(rule.tests, start=1)
    )


def load_policy(data: bytes, *, engine: Engine | None = None, name: str = "the policy") -> Policy:
    """Read a policy, compile it and run its own tests; `DocumentRefused` names every problem."""
    policy = read_policy(data, name=name)
    with Engine(workers=1) if engine is None else nullcontext(engine) as evaluator:
        problems = compile_problems(policy, evaluator) or _failed_tests(policy, evaluator)
    if problems:
        raise DocumentRefused(name, tuple(problems))
    return policy


def compile_problems(policy: Policy, engine: Engine) -> list[Problem]:
    """What the compiler, and the list of known facts, say against the policy's expressions."""
    found = list(expressions(policy))
    problems: list[Problem] = []
    for (path, text, bound), answer in zip(
        found, engine.references([each.text for each in found]), strict=True
    ):
        if "error" in answer:
            problems.append(
                Problem(path, f"this is not CEL: {answer.get('detail', 'it cannot be compiled')}")
            )
            continue
        said = reference_problems(text, answer["variables"], answer["functions"], bound=bound)
        problems += [Problem(path, problem) for problem in said]
    return problems


def _failed_tests(policy: Policy, engine: Engine) -> list[Problem]:
    return [
        Problem(f"{result.rule} test {result.number}", result.problem)
        for result in run_policy_tests(policy, engine)
        if result.problem is not None
    ]


def _run(policy: Policy, rule: Rule, number: int, test: RuleTest, engine: Engine) -> PolicyTestResult:
    facts = merge_patched(policy.given if test.given is None else test.given, test.patch)
    alone = msgspec.structs.replace(policy, rules=(rule,), effective=None)
    verdict = next(iter(engine.evaluate_sync((alone,), rule.stage, facts)), None)
    problem = _difference(test, verdict)
    if problem is None and verdict is not None:
        problem = _unsaid(policy, rule, facts, verdict, engine)
    return PolicyTestResult(
        rule=rule.id,
        number=number,
        expected=test.expect,
        result=_answer(verdict),
        problem=problem,
    )


def _unsaid(
    policy: Policy, rule: Rule, facts: Mapping[str, Any], verdict: Verdict, engine: Engine
) -> str | None:
    """Why people could not read what the rule says of a case that its own test shows."""
    if verdict.result != "fail":
        return None
    said = engine.sayings(policy, rule, facts)
    if not said:
        return "no case of `say` is true of these facts, so nothing says what is wrong"
    shown = {**facts, "params": policy.params}
    missing = [path for each in (*said, Saying(rule.fix, shown)) for path in gaps(*each)]
    if missing:
        return f"the sentence shows {missing[0]!r}, which is empty here; say it in a case of its own"
    return None


def _answer(verdict: Verdict | None) -> Expected:
    if verdict is None:
        return "inapplicable"
    return verdict.result if verdict.awaits is None else "awaited"


def _difference(test: RuleTest, verdict: Verdict | None) -> str | None:
    if verdict is None:
        return None if test.expect == "inapplicable" else f"expected {test.expect}, the policy does not apply"
    answer = _answer(verdict)
    if answer != test.expect:
        return f"expected {test.expect}, the rule said {answer}" + (f": {verdict.why}" if verdict.why else "")
    if test.says is not None and test.says not in (verdict.why or ""):
        return f"expected it to say {test.says!r}, it said {verdict.why!r}"
    return None


def merge_patched(target: Any, patch: Any) -> Any:
    """RFC 7396: mappings are merged, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), value)
    return merged
