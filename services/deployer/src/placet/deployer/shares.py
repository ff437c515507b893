"""How a project's requests are shared: among the replicas of what serves, and with its canary's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from placet.deployer.domain import ALL, Canary
from placet.deployer.ports import Target


def shares(serving: Sequence[str], canary: Canary | None) -> tuple[Target, ...]:
    """Of what serves at these endpoints, and its canary: together the canary's replicas get its weight of a hundred
    requests, however many they are.
    """
    if canary is None:
        return tuple(Target(endpoint=each) for each in serving)
    its = canary.live.endpoints
    to_serving, to_canary = (ALL - canary.weight) * len(its), canary.weight * len(serving)
    common = gcd(to_serving, to_canary)
    return (
        *(Target(endpoint=each, weight=to_serving // common) for each in serving),
        *(Target(endpoint=each, weight=to_canary // common) for each in its),
    )
