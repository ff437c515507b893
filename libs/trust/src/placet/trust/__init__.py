"""Signed certificates, assessments, checkpoints and tokens, and the keys they are signed with."""

from placet.trust import (
    assessments,
    certificates,
    checkpoints,
    dsse,
    merkle,
    notes,
    proofs,
    statements,
    tiles,
    tokens,
)
from placet.trust.assessments import ScoredAssessment
from placet.trust.history import ActiveKey, KeyHistory, OwnKeys
from placet.trust.keys import KeySet, SigningKey, VerifyingKey, key_id, own_key
from placet.trust.statements import (
    ApprovalCounted,
    Certificate,
    ConditionSet,
    ExceptionApplied,
    FactsSeen,
    PolicyApplied,
    VerdictGiven,
)
from placet.trust.trust_policy import TrustPolicy

__all__ = [
    "ActiveKey",
    "ApprovalCounted",
    "Certificate",
    "ConditionSet",
    "ExceptionApplied",
    "FactsSeen",
    "KeyHistory",
    "KeySet",
    "OwnKeys",
    "PolicyApplied",
    "ScoredAssessment",
    "SigningKey",
    "TrustPolicy",
    "VerdictGiven",
    "VerifyingKey",
    "assessments",
    "certificates",
    "checkpoints",
    "dsse",
    "key_id",
    "merkle",
    "notes",
    "own_key",
    "proofs",
    "statements",
    "tiles",
    "tokens",
]
