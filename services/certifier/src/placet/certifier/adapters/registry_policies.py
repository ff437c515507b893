"""Policies that were submitted, in the registry by the digests of their files."""

from __future__ import annotations

from collections.abc import Sequence

from placet.certifier.ports import LoadedPolicy
from placet.oci import Registry
from placet.rules import Policy
from placet.rules.loading import loaded
from placet.rules.policy import MAX_POLICY_BYTES

REPOSITORY = "policies"


class RegistryPolicies:
    """The `SubmittedPolicies` port. Each is read, and its tests are run, in a process of its own."""

    def __init__(self, registry: Registry, shipped: Sequence[Policy]) -> None:
        self._registry = registry
        self._shipped = tuple(shipped)

    @property
    def shipped(self) -> tuple[Policy, ...]:
        return self._shipped

    async def load(self, digest: str) -> LoadedPolicy:
        file = await self._registry.read_blob(REPOSITORY, digest, limit=MAX_POLICY_BYTES)
        return LoadedPolicy(policy=await loaded(file), file=file)
