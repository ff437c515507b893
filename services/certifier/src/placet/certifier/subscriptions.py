"""The certifier's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.certifier import handlers, standing
from placet.certifier.ports import Ports
from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import certifier, gateway, indexer

Handler = Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.ExceptionGranted: standing.on_exception_granted,
    gateway.ExceptionWithdrawn: standing.on_exception_withdrawn,
    gateway.RevocationRequested: standing.on_revocation_requested,
    indexer.ImageIndexed: handlers.on_image_indexed,
    indexer.ImageVanished: handlers.on_image_vanished,
}

SAYS: tuple[type, ...] = (
    certifier.ReleaseCleared,
    certifier.ReleaseRefused,
    certifier.CertificateIssued,
    certifier.CertificateUpheld,
    certifier.CertificateSuspended,
    certifier.CertificateReinstated,
    certifier.CertificateRevoked,
    certifier.CertificateExpired,
)


def reaction(ports: Ports) -> ByType:
    return ByType.with_ports(HEARS, ports)
