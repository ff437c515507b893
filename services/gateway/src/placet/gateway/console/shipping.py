"""The policies that ship with the platform, read once: those that are in force anyway, and those that are offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from placet.client import PolicyVersion
from placet.rules import Policy, load_shipped, offered_files, read_policy


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Not in force before somebody publishes it. `before` is the version of it that is in force here, if one is."""

    policy: Policy
    file: str
    before: int | None = None


@cache
def shipped() -> Mapping[str, Policy]:
    """By digest."""
    return {each.digest: each for each in load_shipped()}


@cache
def offered() -> Mapping[str, Offer]:
    """By the id of the policy."""
    found = [Offer(policy=read_policy(file), file=file.decode()) for file in offered_files().values()]
    return {each.policy.id: each for each in found}


def all_shipped() -> dict[str, Policy]:
    """By digest, whether it is in force anyway or only offered."""
    return {**shipped(), **{each.policy.digest: each.policy for each in offered().values()}}


def open_offers(versions: Iterable[PolicyVersion]) -> list[Offer]:
    """What could be published here: of what was, or is on its way, nothing is offered again."""
    known = [each for each in versions if each.state != "rejected"]
    found = []
    for offer in offered().values():
        there = [each for each in known if each.policy == offer.policy.id]
        if all(each.version < offer.policy.version for each in there):
            before = next((each.version for each in there if each.state == "in-force"), None)
            found.append(Offer(policy=offer.policy, file=offer.file, before=before))
    return found
