"""What models check tokens with, and the token that the deployer itself shows them.

A model whose access is `token` also asks the probe for one. The deployer has a key of its own for that, and makes one
of it for each place that a model listens at, which is all that the model there knows: who is shown a token and
keeps it opens neither another model with it nor anything else on the platform.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from placet.deployer.adapters.registry_certificates import read_keys
from placet.events import Clock, Ids
from placet.trust import KeySet, SigningKey, tokens

LIFETIME = timedelta(minutes=5)


class ModelTokens:
    def __init__(self, *, platform_keys: Path, own_key: Path, clock: Clock, ids: Ids) -> None:
        self._platform_keys = platform_keys
        self._key = SigningKey.load_or_create(own_key)
        self._clock = clock
        self._ids = ids

    def keys(self, endpoint: str) -> str:
        """The keys the model there is given, as JSON: the platform's as they are now, and ours for it alone."""
        return KeySet([*read_keys(self._platform_keys), self._key.derived(endpoint).public]).to_json()

    def probe(self, endpoint: str) -> str:
        """A fresh token for a request to the model there."""
        return tokens.issue(
            id=self._ids.new(),
            person=f"person:{self._ids.new()}",
            roles=frozenset({"operator"}),
            now=self._clock.now(),
            lifetime=LIFETIME,
            key=self._key.derived(endpoint),
        )
