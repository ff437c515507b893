"""What do the rules of policies say of these facts?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from placet.verifier.expressions import compiled, decided
from placet.verifier.failures import Unsupported
from placet.verifier.values import UNTOLD, bounded, fact

PERSONAL = "personal"
_MAX_EACH = 1000


class Judged(NamedTuple):
    """What a rule says of the facts: pass, fail or indeterminate; or why that is not known here."""

    result: str | None
    unchecked: str | None = None


def judge(policies: Iterable[dict[str, Any]], stage: str, facts: dict[str, Any]) -> dict[str, Judged]:
    """What the rules of that stage say, by their ids, of the policies that were in force and apply."""
    found: dict[str, Judged] = {}
    for policy in policies:
        if not _is_in_force(policy, facts):
            continue
        params = policy.get("params") or {}
        applies, unknown = True, None
        try:
            asked = policy.get("appliesTo")
            # Only a clear no: a policy whose condition cannot be decided applies.
            applies = asked is None or bounded(_answer, asked, params, facts, {}) is not False
        except Unsupported as error:
            unknown = str(error)
        for rule in policy["rules"] if applies else ():
            if rule["stage"] == stage:
                try:
                    found[rule["id"]] = (
                        Judged(None, unknown) if unknown else Judged(bounded(_result, rule, params, facts))
                    )
                except Unsupported as error:
                    found[rule["id"]] = Judged(None, str(error))
    return found


def _is_in_force(policy: dict[str, Any], facts: dict[str, Any]) -> bool:
    span = policy.get("effective")
    if span is None:
        return True
    day = date.fromisoformat(str(facts["now"])[:10])
    until = span.get("until")
    return bool(
        date.fromisoformat(span["from"]) <= day and (until is None or day < date.fromisoformat(until))
    )


def _answer(text: str, params: Any, facts: dict[str, Any], bound: dict[str, Any]) -> bool | None:
    return decided(compiled(text), {PERSONAL: UNTOLD, **facts, **bound, "params": params})


def _result(rule: dict[str, Any], params: Any, facts: dict[str, Any]) -> str:
    conditions = (
        [rule["require"]] if rule.get("require") is not None else [each["require"] for each in rule["all"]]
    )
    things = _things(rule, facts)
    if things is None:
        return "indeterminate"
    groups = [[_answer(text, params, facts, bound) for text in conditions] for bound in things]
    if rule.get("atLeast") is not None:
        return _counted(_wanted(rule["atLeast"], params), groups)
    if any(answer is False for group in groups for answer in group):
        return "fail"
    return "indeterminate" if any(answer is None for group in groups for answer in group) else "pass"


def _things(rule: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What the conditions are about, one by one; none where that is no list."""
    if rule.get("each") is None:
        return [{}]
    value: Any = {PERSONAL: UNTOLD, **facts}
    for name in rule["each"].split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = fact(value[name])
    return (
        [{rule["as"]: each} for each in value]
        if isinstance(value, list) and len(value) <= _MAX_EACH
        else None
    )


def _wanted(least: Any, params: Any) -> int | None:
    if isinstance(least, str):
        value: Any = {"params": params}
        for name in least.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        least = value
    return least if isinstance(least, int) and not isinstance(least, bool) and least > 0 else None


def _counted(wanted: int | None, groups: list[list[bool | None]]) -> str:
    if wanted is None:
        return "indeterminate"
    met = sum(all(answer is True for answer in group) for group in groups)
    if met >= wanted:
        return "pass"
    open_ = sum(any(answer is None for answer in group) for group in groups)
    return "indeterminate" if met + open_ >= wanted else "fail"
