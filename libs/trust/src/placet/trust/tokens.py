"""Bearer tokens of our own: short EdDSA JWTs that each service checks by itself.

A token names a person by id, never by name, and its roles. The time is an argument, so a token's end is
judged by the service's own clock port. Not here: revocation, which is an event that services fold, and
tokens of an OIDC provider (`placet.identity`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal

import jwt
import msgspec
from jwt.api_jws import PyJWS

from placet.errors import Refused, Unauthenticated
from placet.trust.keys import KeySet, SigningKey

ISSUER = "placet"
AUDIENCE = "placet"
MAX_TOKEN_BYTES = 4096
CLOCK_SKEW = timedelta(seconds=30)
EXPIRED = "token.expired"
"""The rule of a token that held once. None of what never did."""
MOST_KNOWN = 1000
"""Tokens that held, in memory: a few KiB each at most."""
_ANOTHER = (
    "send the very line that `placet token create` printed (PLACET_TOKEN for the CLI); an admin makes one"
)

Role = Literal["scientist", "approver", "compliance", "auditor", "operator", "admin"]
PersonId = Annotated[str, msgspec.Meta(pattern=r"^person:[0-9a-f-]{36}\Z")]


class _Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    iss: Literal["placet"]
    sub: PersonId
    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    iat: int
    exp: int
    aud: str
    roles: tuple[Role, ...]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token that holds: `id` is what a revocation names, `kid` the key that signed it.

    `name` is what a provider's token calls the person, `teams` are those that it says they are of; ours say neither.
    """

    id: str
    person: str
    roles: frozenset[Role]
    issued: datetime
    expires: datetime
    kid: str
    name: str | None = None
    teams: frozenset[str] = frozenset()


def issue(
    *, id: str, person: str, roles: frozenset[Role], now: datetime, lifetime: timedelta, key: SigningKey
) -> str:
    """Sign a token for the person (`person:<uuid>`), valid for `lifetime` from `now` (aware) on."""
    if lifetime <= timedelta(0):
        raise Refused("a token's lifetime is longer than nothing")
    issued = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "sub": person,
        "jti": id,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "aud": AUDIENCE,
        "roles": sorted(roles),
    }
    try:
        msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise Refused(f"no token can say this: {error}") from error
    return jwt.encode(claims, key.cryptography_key, algorithm="EdDSA", headers={"kid": key.kid})


def verify(
    token: str, keys: KeySet, *, now: datetime, audience: str = AUDIENCE, skew: timedelta = CLOCK_SKEW
) -> Token:
    """What the token says, if it holds at `now`; otherwise `Unauthenticated` with the reason."""
    claims, kid = _signed_claims(token, keys)
    if claims.aud != audience:
        raise Unauthenticated(f"the token is for {claims.aud!r}, not for {audience!r}", fix=_ANOTHER)
    seconds = now.timestamp()
    if seconds >= claims.exp + skew.total_seconds():
        raise Unauthenticated("the token has expired", rule=EXPIRED, fix=_ANOTHER)
    if seconds < claims.iat - skew.total_seconds():
        raise Unauthenticated(
            "the token is from the future: a clock is wrong",
            fix="set the clock of this machine, or of the one where it was made",
        )
    return Token(
        id=claims.jti,
        person=claims.sub,
        roles=frozenset(claims.roles),
        issued=_moment(claims.iat, now),
        expires=_moment(claims.exp, now),
        kid=kid,
    )


def bearer(header: str | None) -> str:
    """The token in an `Authorization` header, whatever it is; without one `Unauthenticated`."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "this call needs a token",
            rule="token.missing",
            fix="send `Authorization: Bearer …`, or set PLACET_TOKEN for the CLI",
        )
    return token.strip()


@lru_cache(maxsize=MOST_KNOWN)
def _signed_claims(token: str, keys: KeySet) -> tuple[_Claims, str]:
    """Kept, since neither a token nor a set of keys changes: to look at a signature takes as long as to ask the
    database, and everybody sends the same token with each request. What time makes of it, and who was refused, is not.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(
            f"a token of {len(token)} characters is over the limit of {MAX_TOKEN_BYTES}", fix=_ANOTHER
        )
    jws = PyJWS()
    try:
        kid = jws.get_unverified_header(token).get("kid")
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated(
                "the token is signed by no key we know",
                fix=f"is it another platform's, or was this one made anew? {_ANOTHER}",
            )
        # The algorithm is ours to say: taking it from the token is how "none" and key confusion came about.
        decoded = jws.decode_complete(token, key.cryptography_key, algorithms=["EdDSA"])
        return msgspec.json.decode(decoded["payload"], type=_Claims), key.kid
    except (jwt.PyJWTError, msgspec.DecodeError, ValueError) as error:
        raise Unauthenticated("this is not one of our tokens", fix=_ANOTHER) from error


def _moment(seconds: int, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, tz=now.tzinfo)
    except (OverflowError, ValueError, OSError) as error:
        raise Unauthenticated("the token's times are out of range", fix=_ANOTHER) from error
