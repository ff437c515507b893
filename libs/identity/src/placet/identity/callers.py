"""Who calls: what each service asks of the `Authorization` header, whoever signed the token in it.

Not here: who was revoked or erased, which services fold from events, and what somebody may do.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from placet.errors import Refused, Unauthenticated
from placet.events import Clock
from placet.identity.claims import Reading, claimed_issuer
from placet.identity.provider import Provider
from placet.identity.settings import ProviderSettings
from placet.trust import KeySet, tokens
from placet.trust.tokens import CLOCK_SKEW, EXPIRED, Token

SHORTEST_SECRET = 32


class Callers:
    """`keys` are those of our own tokens, asked for each time; `provider` is of others', where there is one."""

    def __init__(self, keys: Callable[[], KeySet], clock: Clock, provider: Provider | None = None) -> None:
        self._keys = keys
        self._clock = clock
        self._provider = provider

    async def verify_bearer(self, header: str | None) -> Token:
        """The token in an `Authorization` header, if it holds now. Raises Unauthenticated; of a provider's token also
        Forbidden, for who has no role here, and Unavailable, where its key is not known and the provider is away."""
        token = tokens.bearer(header)
        if self._provider is not None and claimed_issuer(token) == self._provider.issuer:
            return (await self._provider.verify(token)).token
        return tokens.verify(token, self._keys(), now=self._clock.now())

    def has_expired(self, token: Token) -> bool:
        """Whether one that held when it was looked at does so no more by its own end: for what goes on for long."""
        return self._clock.now() >= token.expires + CLOCK_SKEW

    def must_not_be_over(self, token: Token) -> None:
        """Raises Unauthenticated where it is."""
        if self.has_expired(token):
            raise Unauthenticated(
                "the token has expired", rule=EXPIRED, fix="sign in anew, or send a newer one"
            )

    async def close(self) -> None:
        if self._provider is not None:
            await self._provider.close()


def provider_of(settings: ProviderSettings, clock: Clock) -> Provider | None:
    """None where no issuer is set. Reads the file of the secret: raises Refused where that cannot be."""
    if not settings.oidc_issuer or settings.oidc_person_key is None:
        return None
    reading = Reading(
        settings, read_secret(settings.oidc_person_key, "PLACET_OIDC_PERSON_KEY", SHORTEST_SECRET)
    )
    return Provider(settings.oidc_issuer, reading, clock)


def read_secret(file: Path, name: str, shortest: int) -> bytes:
    """What the file holds, without white space around it. Raises Refused, which names the setting and never the
    secret."""
    try:
        secret = file.read_bytes().strip()
    except OSError as error:
        raise Refused(
            f"{name}: {file} cannot be read: {error.strerror}", fix="name a file that this service may read"
        ) from error
    if len(secret) < shortest:
        raise Refused(
            f"{name}: {file} has {len(secret)} characters, and at least {shortest} are needed",
            fix="write it whole; a new one is made by `openssl rand -hex 32`",
        )
    return secret


def own_person_key(file: Path) -> Path:
    """The file, with a new secret in it where there was none: for a platform whose services share a disk."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file
    with os.fdopen(descriptor, "w", encoding="ascii") as target:
        target.write(secrets.token_hex(32) + "\n")
    return file
