"""Verbs for policies as files: their own tests, their form, and what they say, without a platform."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from placet.cli import exits
from placet.cli.report import refusals_of, tell_reasons
from placet.cli.screen import Screen
from placet.cli.sizes import counted
from placet.errors import PlacetError, Refused
from placet.rules import (
    Engine,
    Policy,
    compile_problems,
    load_shipped,
    offered_files,
    policy_schema,
    read_policy,
    run_policy_tests,
)
from placet.rules.handbook import handbook as written
from placet.rules.handbook import shipped_handbook
from placet.rules.mutation import unnoticed
from placet.rules.policy import MAX_POLICY_BYTES


def test(arguments: Namespace, screen: Screen) -> int:
    """Every file is tried, whatever is wrong with those before it."""
    with Engine(workers=1) as engine:
        tried = [_tried(file, engine, screen) for file in arguments.files]
    _tell_twice(tried, screen)
    screen.document({"policies": tried})
    is_good = not any(each["problems"] or (arguments.strict and each["unnoticed"]) for each in tried)
    return exits.DONE if is_good else exits.REFUSED


def _tell_twice(tried: Sequence[dict[str, Any]], screen: Screen) -> None:
    """Rules are known by their ids, across files."""
    first: dict[str, str] = {}
    for each in tried:
        for rule in each.get("rules", ()):
            other = first.setdefault(rule, each["file"])
            if other != each["file"]:
                why = f"the rule {rule} is in {other} as well"
                each["problems"].append({"rule": rule, "why": why, "fix": "give one of them another id"})
                screen.error(f"{each['file']}: {why}", fix="give one of them another id")


def schema(arguments: Namespace, screen: Screen) -> int:
    """One JSON document with and without --json: an editor reads it."""
    screen.is_json = True
    screen.document(policy_schema())
    return exits.DONE


def handbook(arguments: Namespace, screen: Screen) -> int:
    policies = [_read(file) for file in arguments.files]
    text = written(policies, in_force=load_shipped()) if policies else shipped_handbook()
    policies = policies or [*load_shipped(), *(read_policy(file) for file in offered_files().values())]
    screen.result(text)
    screen.document({"policies": [policy.id for policy in policies], "markdown": text})
    return exits.DONE


def _tried(file: Path, engine: Engine, screen: Screen) -> dict[str, Any]:
    said: dict[str, Any] = {"file": str(file), "problems": [], "unnoticed": []}
    try:
        policy = _read(file)
        problems = compile_problems(policy, engine)
        if problems:
            raise Refused("; ".join(map(str, problems)))
    except PlacetError as error:
        reasons = refusals_of(error)
        screen.error(f"{file} is no policy that could be published")
        tell_reasons(screen.note, reasons)
        said["problems"] = [reason.to_json() for reason in reasons]
        return said
    results = run_policy_tests(policy, engine)
    failed = [result for result in results if result.problem is not None]
    said |= {"policy": policy.id, "version": policy.version, "digest": policy.digest}
    said |= {"rules": [rule.id for rule in policy.rules], "tests": len(results)}
    said["problems"] = [
        {"rule": each.rule, "why": f"test {each.number}: {each.problem}", "fix": None} for each in failed
    ]
    screen.result(
        f"{policy.id} {policy.version} ({file}): {len(results) - len(failed)} of {counted(len(results), 'test')} pass"
    )
    for each in failed:
        screen.error(f"{each.rule}, test {each.number}: {each.problem}")
    untested = [rule.id for rule in policy.rules if not rule.tests]
    for rule in untested:
        screen.note(f"  {rule} has no tests")
    if not failed:
        found = unnoticed(policy, engine)
        said["unnoticed"] = [{"rule": each.rule, "change": each.change} for each in found]
        for mutant in found:
            screen.note(f"  {mutant.rule}: no test notices {mutant.change}")
    return said


def _read(file: Path) -> Policy:
    return read_policy(file_of(file), name=str(file))


def file_of(file: Path) -> bytes:
    """No more of it than shows that it is too large for a policy. A name that is no file may be one that is offered."""
    offered = offered_files().get(f"{file}.yaml")
    if offered is not None and not file.exists():
        return offered
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise Refused(
            f"{file} cannot be read: {error.strerror}",
            fix="name a policy's file, or one of those that are published by their name:"
            f" {', '.join(sorted(Path(each).stem for each in offered_files()))}",
        ) from error
