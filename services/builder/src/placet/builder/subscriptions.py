"""The builder's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.builder import handlers, recalling
from placet.builder.ports import Ports
from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import builder, certifier, deployer, gateway
from placet.identity.sharing import SAID

Handler = Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    certifier.ReleaseCleared: handlers.on_release_cleared,
    deployer.ResourcesReserved: handlers.on_resources_reserved,
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.StopRequested: handlers.on_stop_requested,
    gateway.DeleteRequested: handlers.on_delete_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
    **dict.fromkeys(SAID, handlers.on_sharing),
}

SAYS: tuple[type, ...] = (
    builder.BuildAccepted,
    builder.ImageBuilt,
    builder.ImageReused,
    builder.BuildFailed,
    builder.AccessDenied,
)


RECALLS: Mapping[type, Handler] = {
    builder.BuildAccepted: recalling.on_build_accepted,
    builder.ImageBuilt: recalling.on_image_built,
}


SHOWS: Mapping[type, Handler] = {
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.StopRequested: handlers.on_stop_requested,
    gateway.DeleteRequested: handlers.on_delete_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
    **dict.fromkeys(SAID, handlers.on_sharing),
}


def reaction(ports: Ports, events: Mapping[type, Handler] = HEARS) -> ByType:
    return ByType.with_ports(events, ports)
