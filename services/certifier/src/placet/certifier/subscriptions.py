"""The certifier's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.certifier import (
    advising,
    assessing,
    awaiting,
    handlers,
    operation,
    publishing,
    recalling,
    reporting,
    showing,
    standing,
)
from placet.certifier.ports import Ports
from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import certifier, deployer, gateway, indexer

Handler = Callable[[Heard[Any], UnitOfWork, Ports], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    gateway.DeployRequested: handlers.on_deploy_requested,
    gateway.DeleteRequested: awaiting.on_delete_requested,
    gateway.ApprovalGiven: awaiting.on_approval_given,
    gateway.ExceptionGranted: standing.on_exception_granted,
    gateway.ExceptionWithdrawn: standing.on_exception_withdrawn,
    gateway.RevocationRequested: standing.on_revocation_requested,
    gateway.PolicySubmitted: publishing.on_policy_submitted,
    gateway.AdvisoriesSubmitted: advising.on_advisories_submitted,
    gateway.QuestionnaireImported: assessing.on_questionnaire_imported,
    gateway.AssessmentAnswered: assessing.on_assessment_answered,
    gateway.MetadataReported: reporting.on_metadata_reported,
    gateway.TokenRevoked: showing.on_token_revoked,
    gateway.ErasureRequested: showing.on_erasure_requested,
    indexer.ImageIndexed: handlers.on_image_indexed,
    indexer.ImageVanished: handlers.on_image_vanished,
    deployer.ModelStarted: operation.on_model_started,
    deployer.ModelStopped: operation.on_model_stopped,
    deployer.ModelDeleted: operation.on_model_deleted,
    deployer.ModelQuarantined: operation.on_model_quarantined,
    deployer.CanaryStarted: operation.on_canary_started,
    deployer.CanaryAborted: operation.on_canary_aborted,
    deployer.ModelObserved: operation.on_model_observed,
}

SAYS: tuple[type, ...] = (
    certifier.ReleaseCleared,
    certifier.ReleaseRefused,
    certifier.ApprovalAwaited,
    certifier.ApprovalReminded,
    certifier.CertificateIssued,
    certifier.ReviewOwed,
    certifier.CertificateUpheld,
    certifier.CertificateSuspended,
    certifier.CertificateReinstated,
    certifier.CertificateWarned,
    certifier.CertificateRevoked,
    certifier.CertificateLapsing,
    certifier.CertificateExpired,
    certifier.KeyRotated,
    certifier.KeyCompromised,
    certifier.PolicyPublished,
    certifier.PolicyRejected,
    certifier.AdvisoriesPublished,
    certifier.AdvisoriesRejected,
    certifier.AssessmentScored,
    certifier.AssessmentRejected,
    certifier.AccessDenied,
)


RECALLS: Mapping[type, Handler] = {
    certifier.ReleaseCleared: recalling.on_release_cleared,
    certifier.CertificateIssued: recalling.on_certificate_issued,
    certifier.CertificateUpheld: recalling.on_certificate_upheld,
    certifier.CertificateLapsing: recalling.on_certificate_lapsing,
    certifier.CertificateRevoked: recalling.on_certificate_revoked,
    certifier.CertificateExpired: recalling.on_certificate_expired,
    certifier.PolicyPublished: recalling.on_policy_published,
    certifier.AdvisoriesPublished: recalling.on_advisories_published,
    certifier.AssessmentScored: recalling.on_assessment_scored,
    indexer.ImageIndexed: recalling.on_image_indexed_before,
}


SHOWS: Mapping[type, Handler] = {
    gateway.ExceptionGranted: showing.on_exception_granted,
    gateway.ExceptionWithdrawn: showing.on_exception_withdrawn,
    gateway.QuestionnaireImported: showing.on_questionnaire_imported,
    gateway.AssessmentAnswered: showing.on_assessment_answered,
    gateway.MetadataReported: showing.on_metadata_reported,
    gateway.TokenRevoked: showing.on_token_revoked,
    gateway.ErasureRequested: showing.on_erasure_requested,
    certifier.ReleaseCleared: recalling.on_release_cleared,
    certifier.CertificateIssued: showing.on_certificate_issued,
    certifier.CertificateRevoked: showing.on_certificate_revoked,
    certifier.CertificateExpired: showing.on_certificate_expired,
    certifier.PolicyPublished: recalling.on_policy_published,
    certifier.AssessmentScored: recalling.on_assessment_scored,
}


def reaction(ports: Ports, events: Mapping[type, Handler] = HEARS) -> ByType:
    return ByType.with_ports(events, ports)
