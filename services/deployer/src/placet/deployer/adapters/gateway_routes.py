"""The router where a gateway of another process sends requests on: none is needed.

It folds `model.started` with its endpoints and `model.stopped`, so routes move with what is said, and there is
nothing to tell anybody. An old instance is ended only after `drain_seconds`, by which time the gateway has heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from placet.deployer.ports import Target
from placet.errors import Unavailable


class GatewayRoutes:
    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        """Saying `model.started` does it."""

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        """Saying `model.stopped` or its like does it."""

    async def routes(self) -> Mapping[str, frozenset[Target]] | None:
        return None
