"""Signed certificates and tokens, and the keys they are signed with."""

from placet.trust import certificates, dsse, statements, tokens
from placet.trust.keys import KeySet, SigningKey, VerifyingKey, key_id, own_key
from placet.trust.statements import (
    Certificate,
    ConditionSet,
    ExceptionApplied,
    FactsSeen,
    PolicyApplied,
    VerdictGiven,
)

__all__ = [
    "Certificate",
    "ConditionSet",
    "ExceptionApplied",
    "FactsSeen",
    "KeySet",
    "PolicyApplied",
    "SigningKey",
    "VerdictGiven",
    "VerifyingKey",
    "certificates",
    "dsse",
    "key_id",
    "own_key",
    "statements",
    "tokens",
]
