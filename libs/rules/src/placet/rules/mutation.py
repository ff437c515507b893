"""Do a policy's own tests hold every threshold and every operator? Each is changed once, and a test must notice.

A rule whose `>=` may become `>` unnoticed does not say, in its tests, what is so at the limit. What only chooses words
(the `when` of a case) is left alone: it decides nothing. For how long something is awaited no verdict tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from placet.rules.engine import Engine
from placet.rules.policy import Policy, Rule
from placet.rules.testing import run_policy_tests

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<number>(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<operator>&&|\|\||==|!=|<=|>=|<|>|!|\bin\b|[+*/%-])"""
    r"""|(?P<macro>\.(?:all|exists|exists_one)(?=\s*\())"""
    r"""|(?P<truth>\b(?:true|false)\b)"""
)
_OTHERS = {
    "&&": ("||",),
    "||": ("&&",),
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">"),
    "<=": ("<", ">"),
    ">": (">=", "<"),
    ">=": (">", "<"),
    "!": ("",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    ".all": (".exists",),
    ".exists": (".all",),
    ".exists_one": (".all",),
    "true": ("false",),
    "false": ("true",),
}


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with one thing changed, which `change` says. `is_shared`: it is of what all rules of the policy have."""

    rule: str
    change: str
    policy: Policy
    is_shared: bool = False


def mutants(policy: Policy) -> Iterator[Mutant]:
    """Every rule alone, with each operator, number, text, `atLeast` and `awaits` of its conditions changed once, and so
    what all rules share: the numbers in params, and `appliesTo`."""
    for rule in policy.rules:
        for change, changed in _changed(rule):
            yield _mutant(policy, changed, change)
    for change, params in _numbers(policy.params):
        for rule in policy.rules:
            yield _mutant(
                msgspec.structs.replace(policy, params=params), rule, f"params: {change}", is_shared=True
            )
    for change, text in _texts(policy.applies_to or ""):
        for rule in policy.rules:
            yield _mutant(
                msgspec.structs.replace(policy, applies_to=text), rule, f"appliesTo: {change}", is_shared=True
            )


def unnoticed(policy: Policy, engine: Engine) -> list[Mutant]:
    """The changes that no test of the policy's notices, of what all rules share those that no rule's notice."""
    survivors: dict[str, list[Mutant]] = {}
    noticed: set[str] = set()
    for mutant in mutants(policy):
        key = mutant.change if mutant.is_shared else f"{mutant.rule}: {mutant.change}"
        if key in noticed:
            continue
        if any(result.problem is not None for result in run_policy_tests(mutant.policy, engine)):
            noticed.add(key)
        else:
            survivors.setdefault(key, []).append(mutant)
    return [those[0] for key, those in survivors.items() if key not in noticed]


def _mutant(policy: Policy, rule: Rule, change: str, *, is_shared: bool = False) -> Mutant:
    return Mutant(
        rule=rule.id,
        change=change,
        policy=msgspec.structs.replace(policy, rules=(rule,)),
        is_shared=is_shared,
    )


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    for change, text in _texts(rule.require or ""):
        yield change, msgspec.structs.replace(rule, require=text)
    for index, clause in enumerate(rule.all):
        for change, text in _texts(clause.require):
            other = msgspec.structs.replace(clause, require=text)
            clauses = (*rule.all[:index], other, *rule.all[index + 1 :])
            yield f"clause {index + 1}, {change}", msgspec.structs.replace(rule, all=clauses)
    if rule.awaits is not None:
        yield "nothing is awaited", msgspec.structs.replace(rule, awaits=None)
    if isinstance(rule.at_least, int):
        for number in (rule.at_least - 1, rule.at_least + 1):
            if number:
                yield f"atLeast {number}", msgspec.structs.replace(rule, at_least=number)


def _texts(expression: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(expression):
        for other in _others(found):
            place = " ".join(f"{expression[: found.start()]}«{other}»{expression[found.end() :]}".split())
            yield (
                f"{found[0]} → {other or 'nothing'} in {place}",
                expression[: found.start()] + other + expression[found.end() :],
            )


def _others(found: re.Match[str]) -> tuple[str, ...]:
    match found.lastgroup:
        case "number":
            return tuple(str(each) for each in _near(float(found[0]) if "." in found[0] else int(found[0])))
        case "text":
            return (f"{found[0][:-1]}~{found[0][-1]}",)
        case _:
            return _OTHERS.get(found[0], ())


def _near(number: float) -> tuple[float, float]:
    """A little less and a little more: what a test of the limit itself can tell from it."""
    step = 1 if isinstance(number, int) else max(abs(number), 1.0) * 1e-6
    return number - step, number + step


def _numbers(params: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in params.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            for other in _near(value):
                yield f"{name} = {other}", {**params, name: other}
        elif isinstance(value, dict):
            for change, inner in _numbers(value):
                yield f"{name}.{change}", {**params, name: inner}
