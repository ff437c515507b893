"""The gateway's edge as data: what it hears, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from placet.events import ByType, Heard, UnitOfWork
from placet.events.contracts import builder, certifier, deployer, gateway, indexer
from placet.gateway import handlers, recalling
from placet.gateway.ports import Reads
from placet.gateway.recalling import Recall

Handler = Callable[[Heard[Any], UnitOfWork, Reads], Awaitable[None]]

HEARS: Mapping[type, Handler] = {
    certifier.ReleaseCleared: handlers.on_release_cleared,
    certifier.ReleaseRefused: handlers.on_release_refused,
    certifier.ApprovalAwaited: handlers.on_approval_awaited,
    certifier.CertificateIssued: handlers.on_certificate_issued,
    certifier.ReviewOwed: handlers.on_review_owed,
    certifier.CertificateSuspended: handlers.on_certificate_suspended,
    certifier.CertificateReinstated: handlers.on_certificate_reinstated,
    certifier.CertificateWarned: handlers.on_certificate_warned,
    certifier.CertificateRevoked: handlers.on_certificate_revoked,
    certifier.CertificateLapsing: handlers.on_certificate_lapsing,
    certifier.KeyRotated: handlers.on_key_rotated,
    certifier.KeyCompromised: handlers.on_key_compromised,
    certifier.PolicyPublished: handlers.on_policy_published,
    certifier.PolicyRejected: handlers.on_policy_rejected,
    certifier.AdvisoriesPublished: handlers.on_advisories_published,
    certifier.AdvisoriesRejected: handlers.on_advisories_rejected,
    certifier.AssessmentScored: handlers.on_assessment_scored,
    certifier.AssessmentRejected: handlers.on_assessment_rejected,
    builder.BuildAccepted: handlers.on_step,
    builder.ImageBuilt: handlers.on_step,
    builder.ImageReused: handlers.on_step,
    builder.BuildFailed: handlers.on_step,
    indexer.ImageIndexed: handlers.on_image_indexed,
    indexer.ImageVanished: handlers.on_image_vanished,
    indexer.ImageCollected: handlers.on_image_collected,
    indexer.SourceCollected: handlers.on_source_collected,
    deployer.ResourcesReserved: handlers.on_step,
    deployer.ResourcesQueued: handlers.on_step,
    deployer.ResourcesRefused: handlers.on_step,
    deployer.StartAccepted: handlers.on_step,
    deployer.ModelStarted: handlers.on_model_started,
    deployer.ModelFailed: handlers.on_model_failed,
    deployer.ModelStopped: handlers.on_model_stopped,
    deployer.ModelDeleted: handlers.on_model_deleted,
    deployer.ModelQuarantined: handlers.on_model_quarantined,
    deployer.ModelDiverged: handlers.on_model_diverged,
    deployer.CanaryStarted: handlers.on_canary_started,
    deployer.CanaryWeighted: handlers.on_canary_weighted,
    deployer.CanaryAborted: handlers.on_canary_aborted,
    deployer.ScaleAccepted: handlers.on_step,
    deployer.ModelScaled: handlers.on_model_scaled,
    deployer.ChangeRefused: handlers.on_step,
    deployer.ModelObserved: handlers.on_model_observed,
}

SAYS: tuple[type, ...] = (
    gateway.SourceUploaded,
    gateway.DeployRequested,
    gateway.StartRequested,
    gateway.StopRequested,
    gateway.DeleteRequested,
    gateway.ScaleRequested,
    gateway.PromoteRequested,
    gateway.AbortRequested,
    gateway.ExceptionRequested,
    gateway.ExceptionGranted,
    gateway.ExceptionWithdrawn,
    gateway.ApprovalGiven,
    gateway.ReviewGiven,
    gateway.RevocationRequested,
    gateway.PolicySubmitted,
    gateway.AdvisoriesSubmitted,
    gateway.QuestionnaireImported,
    gateway.AssessmentAnswered,
    gateway.MetadataReported,
    gateway.ErasureRequested,
    gateway.PersonErased,
    gateway.RetentionApplied,
    gateway.HoldPlaced,
    gateway.HoldLifted,
    gateway.QuotaSet,
    gateway.QuotaRemoved,
    gateway.ProjectAssigned,
    gateway.TeamChanged,
    gateway.TeamDisbanded,
    gateway.RoleGranted,
    gateway.RoleRevoked,
    gateway.ProjectRestricted,
    gateway.ProjectOpened,
    gateway.TokenIssued,
    gateway.TokenRevoked,
    gateway.AccessDenied,
)


RECALLS: Mapping[type, Callable[[Heard[Any], UnitOfWork, Recall], Awaitable[None]]] = {
    gateway.SourceUploaded: recalling.on_source_uploaded,
    gateway.DeployRequested: recalling.on_requested,
    gateway.StartRequested: recalling.on_requested,
    gateway.StopRequested: recalling.on_requested,
    gateway.DeleteRequested: recalling.on_requested,
    gateway.ScaleRequested: recalling.on_requested,
    gateway.PromoteRequested: recalling.on_requested,
    gateway.AbortRequested: recalling.on_requested,
    gateway.ExceptionRequested: recalling.on_exception_requested,
    gateway.ExceptionGranted: recalling.on_exception_granted,
    gateway.ExceptionWithdrawn: recalling.on_exception_withdrawn,
    gateway.ApprovalGiven: recalling.on_approval_given,
    gateway.ReviewGiven: recalling.on_review_given,
    gateway.RevocationRequested: recalling.on_revocation_requested,
    gateway.PolicySubmitted: recalling.on_policy_submitted,
    gateway.AdvisoriesSubmitted: recalling.on_advisories_submitted,
    gateway.QuestionnaireImported: recalling.on_questionnaire_imported,
    gateway.AssessmentAnswered: recalling.on_assessment_answered,
    gateway.MetadataReported: recalling.on_metadata_reported,
    gateway.TokenRevoked: recalling.on_token_revoked,
    gateway.ErasureRequested: recalling.on_erasure_requested,
    gateway.PersonErased: recalling.on_person_erased,
    gateway.HoldPlaced: recalling.on_hold_placed,
    gateway.HoldLifted: recalling.on_hold_lifted,
    gateway.QuotaSet: recalling.on_quota_set,
    gateway.QuotaRemoved: recalling.on_quota_removed,
    gateway.ProjectAssigned: recalling.on_project_assigned,
    gateway.TeamChanged: recalling.on_team,
    gateway.TeamDisbanded: recalling.on_team,
    gateway.RoleGranted: recalling.on_sharing,
    gateway.RoleRevoked: recalling.on_sharing,
    gateway.ProjectRestricted: recalling.on_sharing,
    gateway.ProjectOpened: recalling.on_sharing,
}


def recollection(recall: Recall) -> ByType:
    return ByType.with_ports(RECALLS, recall)


def reaction(reads: Reads) -> ByType:
    return ByType.with_ports(HEARS, reads)
