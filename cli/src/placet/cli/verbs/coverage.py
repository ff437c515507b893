"""The verb that tells what policies cite, and which evidence there is for it.

The texts come from who publishes them, the evidence from the audit log; what belongs together is found by rule.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Client, Why
from placet.rules.handbook import in_order
from placet.rules.policy import Citation, Policy, Rule, read_policy

Json = dict[str, Any]


async def coverage(arguments: Namespace, screen: Screen) -> int:
    project: str | None = arguments.project
    async with connect() as platform:
        policies = await _in_force(platform)
        found = None if project is None else await platform.why(project)
    rows = list(_covered(policies, found))
    if project is not None and found is not None:
        screen.note(_of_what(project, found))
    head = ("CITED", "RULE", "POLICY", "FOUND", "POSITION")[: 3 if found is None else 5]
    screen.table(head, [_row(each)[: len(head)] for each in rows])
    unjudged = [each for each in rows if found is not None and each["evidence"] is None]
    if unjudged:
        cited = len({(each["source"], each["section"]) for each in unjudged})
        screen.note(
            f"{cited} citations have a rule that has judged nothing of {project} yet, or does not apply to it"
        )
    if not rows:
        screen.note("no policy in force cites anything")
    screen.note("a rule is evidence for a part of an obligation, and seldom for all of it")
    screen.document({"project": project, "citations": rows})
    return exits.DONE


async def _in_force(platform: Client) -> list[Policy]:
    versions = [each for each in await platform.policies() if each.state == "in-force"]
    return [
        read_policy((await platform.policy_file(each.digest)).encode(), name=f"{each.policy}@{each.version}")
        for each in versions
    ]


def _covered(policies: Sequence[Policy], found: Why | None) -> Iterator[Json]:
    """By source and section, each with every rule that cites it."""
    cited = [
        (citation, rule, policy)
        for policy in policies
        for rule in policy.rules
        for citation in rule.citations
    ]
    for citation, rule, policy in sorted(cited, key=_place):
        yield {
            "source": citation.source,
            "section": citation.section,
            "url": citation.url,
            "rule": rule.id,
            "stage": rule.stage,
            "onFail": rule.on_fail,
            "policy": policy.id,
            "version": policy.version,
            "digest": policy.digest,
            "evidence": None if found is None else _evidence(rule, found),
        }


def _place(cited: tuple[Citation, Rule, Policy]) -> tuple[Any, ...]:
    citation, rule, _ = cited
    return in_order(citation.source), in_order(citation.section or ""), rule.id


def _evidence(rule: Rule, found: Why) -> Json | None:
    """What the rule said of the release that runs, or ran last. One of operation speaks only where it is not kept."""
    certificate = found.certificate
    verdict = next((each for each in found.verdicts if each.rule == rule.id), None)
    against = next((each for each in found.against if each.rule == rule.id), None)
    inputs = next((each for each in found.inputs if each.stage == rule.stage), None)
    if against is not None:
        result, position = "fail", against.position
    elif verdict is not None:
        result, position = verdict.result, verdict.position
    elif rule.stage == "operate" and certificate is not None and certificate.state == "valid":
        result, position = "watched", certificate.position
    else:
        return None
    judged = next(
        (
            each
            for each in found.policies
            if verdict and (each.policy, each.stage) == (verdict.policy, rule.stage)
        ),
        None,
    )
    return {
        "result": result,
        "version": judged.version if judged is not None else None,
        "digest": judged.digest if judged is not None else None,
        "exception": verdict.exception if verdict is not None else None,
        "release": found.release.release if found.release is not None else None,
        "certificate": certificate.certificate if certificate is not None else None,
        "facts": inputs.facts if inputs is not None else None,
        "position": position,
    }


def _row(each: Json) -> tuple[object | None, ...]:
    cited = each["source"] + (f", {each['section']}" if each["section"] else "")
    evidence = each["evidence"]
    if evidence is None:
        return cited, each["rule"], f"{each['policy']} {each['version']}", None, None
    excepted = f", excepted by {evidence['exception']}" if evidence["exception"] else ""
    older = "" if evidence["version"] in (None, each["version"]) else f", by version {evidence['version']}"
    return (
        cited,
        each["rule"],
        f"{each['policy']} {each['version']}",
        f"{evidence['result']}{excepted}{older}",
        evidence["position"],
    )


def _of_what(project: str, found: Why) -> str:
    release, certificate = found.release, found.certificate
    if release is None:
        return f"nothing of {project} was judged yet"
    by = certificate.certificate if certificate is not None else "no certificate"
    return f"release {release.release} of {project}, on {by}"
