"""What somebody gives as a reason: in a row of its own, with the salt of the digest that the event has.

Whoever deletes the row leaves a log that still holds, and tells nobody the words.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from placet.events import UnitOfWork
from placet.gateway import projections as p

SALT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Reason:
    words: str
    salt: str
    digest: str


def salted(words: str) -> Reason:
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hmac.digest(salt, words.encode(), "sha256")
    return Reason(words=words, salt=salt.hex(), digest=f"hmac-sha256:{digest.hex()}")


def give_reason(work: UnitOfWork, of: str, reason: Reason) -> None:
    """`of` is the id of what it is given for."""
    work.put(p.reasons, of=of, reason=reason.words, salt=reason.salt)
