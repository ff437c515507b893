"""The indexer's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import builder, certifier, deployer, gateway, indexer
from placet.indexer import handlers, recalling
from placet.indexer.ports import Ports, Reads

Handler = Callable[[Heard[Any], UnitOfWork, Ports, Reads], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    builder.ImageBuilt: handlers.on_image_built,
    builder.ImageReused: handlers.on_image_reused,
    certifier.CertificateIssued: handlers.on_certificate_issued,
    deployer.StartAccepted: handlers.on_start_accepted,
    gateway.SourceUploaded: handlers.on_source_uploaded,
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
}

SAYS: tuple[type, ...] = (
    indexer.ImageIndexed,
    indexer.ImageVanished,
    indexer.ImageUnknown,
    indexer.TagMoved,
    indexer.ImageCollected,
    indexer.SourceCollected,
    indexer.AccessDenied,
)


RECALLS: Mapping[type, Handler] = {
    indexer.TagMoved: recalling.on_tag_moved,
    indexer.ImageUnknown: recalling.on_image_unknown,
    indexer.SourceCollected: recalling.on_source_collected,
}


SHOWS: Mapping[type, Handler] = {
    certifier.CertificateIssued: handlers.on_certificate_issued,
    deployer.StartAccepted: handlers.on_start_accepted,
    gateway.SourceUploaded: handlers.on_source_uploaded,
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
    indexer.SourceCollected: recalling.on_source_collected,
}


def reaction(ports: Ports, reads: Reads, events: Mapping[type, Handler] = HEARS) -> ByType:
    def bound(handler: Handler) -> Callable[[Heard[Any], UnitOfWork], Awaitable[None]]:
        return lambda heard, work: handler(heard, work, ports, reads)

    return ByType({event: bound(handler) for event, handler in events.items()})
