"""Policies as people read them: one page of Markdown, with what each rule demands, whence, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from placet.rules.policy import Citation, Policy, Rule

_STAGES = {
    "submit": "before anything is built",
    "certify": "of the image, before it is certified",
    "operate": "as long as it runs",
}
_FAILURES = {"deny": "refuses", "suspend": "suspends the certificate", "warn": "warns"}


def handbook(policies: Sequence[Policy]) -> str:
    return "\n".join(line for policy in policies for line in _policy(policy))


def _policy(policy: Policy) -> Iterator[str]:
    yield f"## {policy.title}"
    yield ""
    yield f"`{policy.id}`, version {policy.version}, answered for by {policy.owner}{_span(policy)}."
    if policy.supersedes is not None:
        yield f"It takes the place of `{policy.supersedes}`."
    if policy.applies_to is not None:
        yield ""
        yield f"It applies where `{policy.applies_to}`."
    if policy.params:
        yield ""
        yield from (f"- `params.{name}`: {_value(value)}" for name, value in policy.params.items())
    yield ""
    for rule in policy.rules:
        yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"### {rule.title}"
    yield ""
    admits = "; admits exceptions" if rule.exceptable else ""
    yield f"`{rule.id}`, judged {_STAGES[rule.stage]}; what breaks it {_FAILURES[rule.on_fail]}{admits}."
    if rule.awaits is not None:
        reminded = (
            f", and is reminded of every `{rule.awaits.remind}`" if rule.awaits.remind is not None else ""
        )
        yield f"Before it refuses, it is awaited for `{rule.awaits.within}`{reminded}."
    yield ""
    if rule.each is not None:
        how_many = "Each" if rule.at_least is None else f"At least `{rule.at_least}`"
        yield f"{how_many} `{rule.as_}` of `{rule.each}`:"
        yield ""
    conditions = [rule.require] if rule.require is not None else [clause.require for clause in rule.all]
    yield "```text"
    yield from (" ".join(condition.split()) for condition in conditions)
    yield "```"
    yield ""
    yield from (f"> {' '.join(said.split())}" + "  " for said in _sayings(rule))
    yield ">"
    yield f"> fix: {' '.join(rule.fix.split())}"
    yield ""
    if rule.citations:
        yield "From " + "; ".join(_citation(citation) for citation in rule.citations) + "."
        yield ""


def _sayings(rule: Rule) -> tuple[str, ...]:
    match rule.say:
        case None:
            return tuple(clause.say for clause in rule.all)
        case str(say):
            return (say,)
        case cases:
            return tuple(case.words for case in cases)


def _citation(citation: Citation) -> str:
    source = f"[{citation.source}]({citation.url})" if citation.url is not None else citation.source
    section = f", {citation.section}" if citation.section is not None else ""
    applies = f" (applies from {citation.applies})" if citation.applies is not None else ""
    return f"{source}{section}{applies}"


def _span(policy: Policy) -> str:
    if policy.effective is None:
        return ""
    until = f" until {policy.effective.until}" if policy.effective.until is not None else ""
    return f", in force from {policy.effective.from_}{until}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(f"`{each}`" for each in value) or "none"
    return f"`{value}`"
