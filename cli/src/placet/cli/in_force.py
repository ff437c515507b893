"""Which policies judge a project? Those that are in force at the platform, where one is known; else those that ship.

They are asked for by their digests, and those that ship in the same form are not fetched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from placet.cli.session import connect
from placet.client import Client
from placet.errors import PlacetError, Unreadable
from placet.rules import Policy, load_shipped, read_policy

SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class InForce:
    """`left_open` is why nobody knows which are in force at the platform, if so."""

    policies: tuple[Policy, ...]
    left_open: str | None = None


def shipped(*, left_open: str) -> InForce:
    return InForce(policies=tuple(load_shipped()), left_open=left_open)


def policies_in_force() -> InForce:
    try:
        policies = asyncio.run(_ask())
    except PlacetError as error:
        return shipped(left_open=error.detail)
    except TimeoutError:
        return shipped(left_open=f"the platform took longer than {SECONDS:g} s")
    return InForce(policies=policies) if policies else shipped(left_open="it names none")


async def _ask() -> tuple[Policy, ...]:
    known = {policy.digest: policy for policy in load_shipped()}
    async with asyncio.timeout(SECONDS), connect() as platform:
        in_force = [each for each in await platform.policies() if each.state == "in-force"]
        return tuple([known.get(each.digest) or await _fetched(platform, each.digest) for each in in_force])


async def _fetched(platform: Client, digest: str) -> Policy:
    policy = read_policy((await platform.policy_file(digest)).encode(), name=digest)
    if policy.digest != digest:
        raise Unreadable(f"the policy {digest} came as {policy.digest}", fix="ask whoever runs the platform")
    return policy
