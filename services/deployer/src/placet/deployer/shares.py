"""How a project's requests are shared: among the replicas of what serves, and with its canary's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from placet.deployer.canaries import ALL
from placet.deployer.ports import Target
from placet.deployer.project import Canary


def shares(serving: Sequence[str], canary: Sequence[str] = (), *, weight: int = 0) -> tuple[Target, ...]:
    """Of what serves at these endpoints, and of a canary at those: together the canary's replicas get `weight` of a
    hundred requests, however many they are.
    """
    if not canary:
        return tuple(Target(endpoint=each) for each in serving)
    to_serving, to_canary = (ALL - weight) * len(canary), weight * len(serving)
    common = gcd(to_serving, to_canary)
    return (
        *(Target(endpoint=each, weight=to_serving // common) for each in serving),
        *(Target(endpoint=each, weight=to_canary // common) for each in canary),
    )


def shares_with(serving: Sequence[str], canary: Canary | None) -> tuple[Target, ...]:
    """Of what serves at these endpoints, and of the project's canary, if it has one."""
    if canary is None:
        return shares(serving)
    return shares(serving, canary.live.endpoints, weight=canary.weight)
