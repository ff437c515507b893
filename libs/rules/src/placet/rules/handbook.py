"""Policies as people read them: one page of Markdown, with what each rule demands, whence, and what it says.

A set is a policy that is in force only where somebody publishes it, and adds to frameworks such as the EU's AI Act: of
each it is told what the rules in force ask from the same sources already.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from placet.rules.policy import Citation, Policy, Rule, load_shipped, offered_files, read_policy

_STAGES = {
    "submit": "before anything is built",
    "certify": "of the image, before it is certified",
    "operate": "as long as it runs",
}
_FAILURES = {"deny": "refuses", "suspend": "suspends the certificate", "warn": "warns"}

_PROMISE = (
    "**What this promises is evidence, not legal conformity.** Rules look at what a project declares, at its files",
    "and at what people answered and approved. That they passed is recorded and can be proved. Whether an",
    "obligation is met, whom it binds and from when, is for those to judge who answer for the model, and for",
    "their counsel.",
)


def handbook(policies: Sequence[Policy], *, in_force: Sequence[Policy] = (), are_sets: bool = False) -> str:
    """`in_force` are others, whose rules may belong to what these are about."""
    return "\n".join(line for policy in policies for line in _policy(policy, in_force, is_set=are_sets))


def shipped_handbook() -> str:
    """All that ships: the sets, what is in force anyway, and which rules there are for each obligation."""
    in_force = load_shipped()
    sets = [read_policy(file, name=name) for name, file in offered_files().items()]
    return "\n".join(
        [
            *_PROMISE,
            "",
            "# The sets",
            "",
            "Each is in force where somebody of compliance publishes it, and adds to the rules in force anyway.",
            "",
            "| set | its own rules | rules in force that belong to it | to bring it into force |",
            "|---|---|---|---|",
            *(_set_row(each, in_force) for each in sets),
            "",
            "What runs is judged by it, too; with `--warn-first 30d` that only warns for 30 days. Once published, its",
            "thresholds can be the house's own: `placet policy show model-risk > model-risk.yaml`, change `params`,",
            "set `version: 2`, and publish that file.",
            "",
            handbook(sets, in_force=in_force, are_sets=True),
            "# What is in force anyway",
            "",
            handbook(in_force),
            "# Obligations and the rules for them",
            "",
            "By source and section, as the rules cite them. A rule is evidence for a part of an obligation, and seldom",
            "for all of it. At what is not listed here no rule looks.",
            "",
            *_coverage(in_force, sets),
        ]
    )


def _set_row(of: Policy, in_force: Sequence[Policy]) -> str:
    known = len(_belonging(of, in_force)) or "-"
    return (
        f"| [{of.title}](#{anchor(of.title)}) | {len(of.rules)} | {known} | `placet policy publish {of.id}` |"
    )


def _belonging(to: Policy, policies: Iterable[Policy]) -> list[Rule]:
    return [
        rule
        for policy in policies
        for rule in policy.rules
        if any(_cites(rule, source) for source in to.frameworks)
    ]


def _coverage(in_force: Sequence[Policy], sets: Sequence[Policy]) -> Iterator[str]:
    rules: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for policy in (*in_force, *sets):
        of_set = f" ({policy.id})" if policy in sets else ""
        for rule in policy.rules:
            for citation in rule.citations:
                rules[citation.source][citation.section or ""].append(f"{_link(rule)}{of_set}")
    for source in sorted(rules, key=in_order):
        yield f"## {source}"
        yield ""
        yield "| section | rules |"
        yield "|---|---|"
        for section in sorted(rules[source], key=in_order):
            yield f"| {section or '-'} | {', '.join(rules[source][section])} |"
        yield ""


def in_order(text: str) -> list[tuple[int, str]]:
    """What a citation is sorted by: Article 9 is before Article 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _link(rule: Rule) -> str:
    return f"[`{rule.id}`](#{anchor(rule.title)})"


def anchor(heading: str) -> str:
    """The fragment that a heading is found by."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _policy(policy: Policy, in_force: Sequence[Policy], *, is_set: bool) -> Iterator[str]:
    yield f"## {policy.title}"
    yield ""
    yield f"`{policy.id}`, version {policy.version}, answered for by {policy.owner}{_span(policy)}."
    if policy.supersedes is not None:
        yield f"It takes the place of `{policy.supersedes}`."
    if policy.about is not None:
        yield ""
        yield " ".join(policy.about.split())
    if is_set:
        yield ""
        yield f"It is in force once it is published: `placet policy publish {policy.id}`."
    if policy.applies_to is not None:
        yield ""
        yield f"It applies where `{policy.applies_to}`."
    if policy.params:
        yield ""
        yield from (f"- `params.{name}`: {_value(value)}" for name, value in policy.params.items())
    yield ""
    if policy.frameworks:
        yield from _overview("What it asks:", policy.rules, policy.frameworks)
        known = _belonging(policy, in_force)
        if known:
            yield from _overview("What is asked from the same sources already:", known, policy.frameworks)
    for rule in policy.rules:
        yield from _rule(rule)


def _overview(title: str, rules: Iterable[Rule], frameworks: Sequence[str]) -> Iterator[str]:
    yield title
    yield ""
    yield "| rule | what breaks it | why |"
    yield "|---|---|---|"
    for rule in rules:
        broken = "waits for people" if rule.awaits is not None else _FAILURES[rule.on_fail]
        why = "; ".join(_sections(rule, source) for source in frameworks if _cites(rule, source))
        yield f"| [{rule.title}](#{anchor(rule.title)}) | {broken} | {why} |"
    yield ""


def _cites(rule: Rule, source: str) -> bool:
    return any(each.source == source for each in rule.citations)


def _sections(rule: Rule, source: str) -> str:
    found = [each.section for each in rule.citations if each.source == source and each.section is not None]
    return ", ".join([source, *found])


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
