"""The deployer's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.deployer import handlers, recalling, showing
from placet.deployer.placements import Placements
from placet.deployer.ports import Ports
from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import builder, certifier, deployer, gateway
from placet.identity.sharing import SAID

Handler = Callable[[Heard[Any], UnitOfWork, Placements, Ports], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.StartRequested: handlers.on_start_requested,
    gateway.StopRequested: handlers.on_stop_requested,
    gateway.DeleteRequested: handlers.on_delete_requested,
    gateway.ScaleRequested: handlers.on_scale_requested,
    gateway.PromoteRequested: handlers.on_promote_requested,
    gateway.AbortRequested: handlers.on_abort_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
    **dict.fromkeys(SAID, handlers.on_sharing),
    gateway.QuotaSet: handlers.on_quota_set,
    gateway.QuotaRemoved: handlers.on_quota_removed,
    gateway.ProjectAssigned: handlers.on_project_assigned,
    certifier.ReleaseCleared: handlers.on_release_cleared,
    certifier.ReleaseRefused: handlers.on_release_refused,
    certifier.ApprovalAwaited: handlers.on_approval_awaited,
    certifier.CertificateIssued: handlers.on_certificate_issued,
    certifier.CertificateSuspended: handlers.on_certificate_suspended,
    certifier.CertificateReinstated: handlers.on_certificate_reinstated,
    certifier.CertificateRevoked: handlers.on_certificate_revoked,
    builder.BuildFailed: handlers.on_build_failed,
}

SAYS: tuple[type, ...] = (
    deployer.ResourcesReserved,
    deployer.ResourcesQueued,
    deployer.ResourcesRefused,
    deployer.ResourcesReleased,
    deployer.StartAccepted,
    deployer.ModelStarted,
    deployer.ModelFailed,
    deployer.ModelStopped,
    deployer.ModelDeleted,
    deployer.ModelQuarantined,
    deployer.ModelDiverged,
    deployer.CanaryStarted,
    deployer.CanaryWeighted,
    deployer.CanaryAborted,
    deployer.ScaleAccepted,
    deployer.ModelScaled,
    deployer.ChangeRefused,
    deployer.ModelObserved,
    deployer.AccessDenied,
)


PLACED: tuple[type, ...] = (
    deployer.ResourcesReserved,
    deployer.ResourcesRefused,
    deployer.ResourcesReleased,
    deployer.ModelStarted,
    deployer.ModelFailed,
    deployer.ModelStopped,
    deployer.ModelDeleted,
    deployer.ModelQuarantined,
    deployer.ModelDiverged,
    deployer.CanaryStarted,
    deployer.CanaryWeighted,
    deployer.CanaryAborted,
    deployer.ModelScaled,
    deployer.ChangeRefused,
)


RECALLS: Mapping[type, Handler] = {
    **dict.fromkeys(PLACED, recalling.on_placed),
    deployer.ResourcesQueued: recalling.on_queued,
    deployer.StartAccepted: recalling.on_start_accepted,
    deployer.ScaleAccepted: recalling.on_scale_accepted,
}


SHOWS: Mapping[type, Handler] = {
    gateway.DeployRequested: showing.on_deploy_requested,
    gateway.StartRequested: showing.on_requested,
    gateway.StopRequested: showing.on_requested,
    gateway.DeleteRequested: showing.on_requested,
    gateway.TokenRevoked: handlers.on_token_revoked,
    gateway.ErasureRequested: handlers.on_erasure_requested,
    **dict.fromkeys(SAID, handlers.on_sharing),
    gateway.QuotaSet: showing.on_quota_set,
    gateway.QuotaRemoved: showing.on_quota_removed,
    gateway.ProjectAssigned: showing.on_project_assigned,
    certifier.ReleaseCleared: showing.on_release_cleared,
    certifier.CertificateIssued: showing.on_certificate_issued,
    certifier.CertificateSuspended: showing.on_certificate_suspended,
    certifier.CertificateReinstated: showing.on_certificate_reinstated,
    certifier.CertificateRevoked: showing.on_certificate_revoked,
    **dict.fromkeys((*PLACED, deployer.StartAccepted, deployer.ScaleAccepted), showing.on_placed),
    deployer.ResourcesQueued: recalling.on_queued,
}


def reaction(placements: Placements, ports: Ports, events: Mapping[type, Handler] = HEARS) -> ByType:
    def bound(handler: Handler) -> Callable[[Heard[Any], UnitOfWork], Awaitable[None]]:
        return lambda heard, work: handler(heard, work, placements, ports)

    return ByType({event: bound(handler) for event, handler in events.items()})
