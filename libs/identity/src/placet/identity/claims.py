"""What a provider's token says, and whether it holds: all but where the keys come from.

The algorithm is never taken from the token alone: it has to be asymmetric, and fit the key that the provider announced,
so that neither `none` nor an HMAC with a public key is ever tried. Pure: the time is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.api_jws import PyJWS

from placet.errors import Forbidden, Unauthenticated, Unreadable
from placet.identity.settings import ProviderSettings, roles_by_value
from placet.identity.sharing import IDS, TEAM_PATTERN
from placet.trust.tokens import CLOCK_SKEW, EXPIRED, Role, Token

MAX_TOKEN_BYTES = 8192
"""So long that it still fits into a header together with a page's own, at every proxy that we know."""
MAX_SUBJECT = 255
MAX_NAME = 200
MOST_KEYS = 100
_FEWEST_BITS = 2048
_ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Each with the kind of key, and the curve, that it is made with. None of them takes a secret that both sides know."""
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""Of ID tokens and access tokens (RFC 9068); others of the same provider, such as for logging out, open nothing."""
_AGAIN = "sign in anew, and send the new token"


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a token says of its signature, which nobody has looked at yet."""

    alg: str
    kid: str | None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a signed token says, with the person's opaque id. `nonce` is of the sign-in, and `party` the client, that it
    was made for, where it says so."""

    token: Token
    audiences: frozenset[str]
    nonce: str | None
    party: str | None


class Keys:
    """The provider's public keys that can be used, as it announces them (RFC 7517)."""

    def __init__(self, announced: Iterable[Mapping[str, Any]] = ()) -> None:
        self._keys = [dict(each) for each in announced if _is_usable(each)]
        self._made: dict[tuple[int, str], PyJWK] = {}

    @classmethod
    def from_json(cls, document: bytes) -> Keys:
        """Raises Unreadable for what is no set of keys. Those that cannot be used here are left out."""
        try:
            keys = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreadable("these are no keys: not a JSON object") from error
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise Unreadable(f"these are no keys: `keys` must be a list of at most {MOST_KEYS}")
        return cls(each for each in keys if isinstance(each, dict))

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, head: Head) -> PyJWK | None:
        """The key that the token names; without a name the only one that it could be."""
        fitting = [
            place
            for place, each in enumerate(self._keys)
            if _fits(each, head.alg) and (head.kid is None or each.get("kid") == head.kid)
        ]
        if not fitting or (head.kid is None and len(fitting) > 1):
            return None
        return self._key(fitting[0], head.alg)

    def _key(self, place: int, alg: str) -> PyJWK | None:
        if (place, alg) not in self._made:
            made = _made(self._keys[place], alg)
            if made is None:
                return None
            self._made[place, alg] = made
        return self._made[place, alg]


def _is_usable(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops")
    is_for_tokens = (
        key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use") in (None, "sig")
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and "d" not in key  # a private key that somebody published is nobody's any more
    )
    return is_for_tokens and _made(key, None) is not None


def _made(key: Mapping[str, Any], alg: str | None) -> PyJWK | None:
    try:
        made = PyJWK(dict(key), alg)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    is_short = isinstance(made.key, RSAPublicKey) and made.key.key_size < _FEWEST_BITS
    return None if is_short else made


def _fits(key: Mapping[str, Any], alg: str) -> bool:
    kind, curve = _ALGORITHMS[alg]
    return (
        key.get("kty") == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("alg") in (None, alg)
    )


def claimed_issuer(token: str) -> str | None:
    """Whose token it says it is: to choose by, and nothing else. None of what is no token."""
    if len(token) > MAX_TOKEN_BYTES:
        return None
    try:
        payload = PyJWS().decode_complete(token, options={"verify_signature": False})["payload"]
        issuer = msgspec.json.decode(payload, type=dict[str, Any]).get("iss")
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) else None


def head_of(token: str) -> Head:
    """Raises Unauthenticated for a token that no key could make good."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(
            f"a token of {len(token)} characters is over the limit of {MAX_TOKEN_BYTES}",
            fix="have the provider send fewer groups in it: those alone that give roles here",
        )
    try:
        header = PyJWS().get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise Unauthenticated("this is no token of the provider", fix=_AGAIN) from error
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in _ALGORITHMS:
        raise Unauthenticated(
            f"the token is signed by {str(alg)[:20]!r}, and only {', '.join(_ALGORITHMS)} are taken",
            fix="have the provider sign tokens for placet with one of them",
        )
    if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated(
            "the token is of a kind that opens nothing here", fix="send an ID token or an access token"
        )
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 255):
        raise Unauthenticated("the token names no key that there could be", fix=_AGAIN)
    return Head(alg=alg, kid=kid)


class Reading:
    """How the tokens of one provider are understood here. `secret` makes the opaque ids of its people."""

    def __init__(self, settings: ProviderSettings, secret: bytes) -> None:
        self._issuer = settings.oidc_issuer
        self._audiences = settings.oidc_audiences
        self._roles_claim = settings.oidc_roles_claim
        self._roles = roles_by_value(settings.oidc_roles)
        self._name_claim = settings.oidc_name_claim
        self._teams_claim = settings.oidc_teams_claim
        self._secret = secret

    def read(self, token: str, head: Head, key: PyJWK, *, now: datetime) -> Said:
        """What the token says, if it holds at `now`. Raises Unauthenticated, and Forbidden for somebody who has no role
        here, or no name."""
        try:
            payload = PyJWS().decode_complete(token, key, algorithms=[head.alg])["payload"]
            claims = msgspec.json.decode(payload, type=dict[str, Any])
        except jwt.PyJWTError as error:
            raise Unauthenticated("the token's signature is not the provider's", fix=_AGAIN) from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unauthenticated("the token says nothing that can be read", fix=_AGAIN) from error
        audiences = self._must_be_ours(claims)
        issued, expires = _must_hold(claims, now.timestamp())
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
            raise Unauthenticated("the token names nobody: it has no `sub`", fix=_AGAIN)
        nonce, party = claims.get("nonce"), claims.get("azp")
        return Said(
            token=Token(
                id=f"oidc:{hashlib.sha256(token.encode()).hexdigest()[:32]}",
                person=person_of(self._issuer, subject, self._secret),
                roles=self._roles_in(claims),
                issued=issued,
                expires=expires,
                kid=head.kid or "",
                name=self._name_in(claims),
                teams=self._teams_in(claims),
            ),
            audiences=audiences,
            nonce=nonce if isinstance(nonce, str) else None,
            party=party if isinstance(party, str) else None,
        )

    def _must_be_ours(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Whom it is for."""
        if claims.get("iss") != self._issuer:
            raise Unauthenticated(f"the token is not of {self._issuer}", fix=_AGAIN)
        audience = claims.get("aud")
        named = {audience} if isinstance(audience, str) else set(_texts(audience))
        if not named & self._audiences:
            raise Unauthenticated(
                f"the token is for {_shown(named)}, not for {_shown(self._audiences)}",
                fix="sign in at the provider for placet, and send the token that it made for that",
            )
        if "events" in claims:
            raise Unauthenticated(
                "the token tells of something that happened, and opens nothing", fix="send an ID token"
            )
        return frozenset(named)

    def _roles_in(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        said = _found(claims, self._roles_claim)
        values = {said} if isinstance(said, str) else set(_texts(said))
        roles = frozenset[Role]().union(*(self._roles.get(each, frozenset()) for each in values))
        if not roles:
            what = "which is not in your token" if said is None else "and nothing in yours gives one"
            raise Forbidden(
                f"you have no role here: roles come from the claim `{self._roles_claim}`, {what}",
                rule="oidc.roles",
                fix=f"have who looks after the provider give you one of {', '.join(sorted(self._roles))}, and have"
                " it send that claim to placet; PLACET_OIDC_ROLES_CLAIM names the claim, PLACET_OIDC_ROLES its values",
            )
        return roles

    def _teams_in(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """What is no name of a team is of something else that the provider knows groups for."""
        said = _found(claims, self._teams_claim) if self._teams_claim else None
        named = [said] if isinstance(said, str) else _texts(said)
        return frozenset(each for each in named if re.fullmatch(TEAM_PATTERN, each))

    def _name_in(self, claims: Mapping[str, Any]) -> str:
        said = _found(claims, self._name_claim)
        if self._name_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
            raise Forbidden(
                "the provider has not verified that your mail is yours, and people are known by it here",
                rule="oidc.name",
                fix="have it verified there, then sign in again",
            )
        name = " ".join(unicodedata.normalize("NFKC", said).split()) if isinstance(said, str) else ""
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name.startswith(IDS):
            raise Forbidden(
                f"the claim `{self._name_claim}` of your token, by which people are known here, is no name: that is up"
                f" to {MAX_NAME} characters that are seen, and begins with neither {' nor '.join(IDS)}",
                rule="oidc.name",
                fix="have the provider send it to placet (for mails that is the scope `email`), or name another claim"
                " in PLACET_OIDC_NAME_CLAIM",
            )
        return name


def person_of(issuer: str, subject: str, secret: bytes) -> str:
    """The opaque id of the provider's person: the same in every service, and for who lacks `secret` it says nothing."""
    # Lengths first, so that no two pairs are the same text.
    text = f"placet person {len(issuer)} {issuer} {len(subject)} {subject}"
    digest = bytearray(hmac.digest(secret, text.encode(errors="surrogatepass"), "sha256")[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # a UUID of version 8, whose bits are its maker's own (RFC 9562)
    digest[8] = digest[8] & 0x3F | 0x80
    return f"person:{uuid.UUID(bytes=bytes(digest))}"


def _must_hold(claims: Mapping[str, Any], now: float) -> tuple[datetime, datetime]:
    """When it was issued, and when it ends; clocks may differ by `CLOCK_SKEW`."""
    skew = CLOCK_SKEW.total_seconds()
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    begins = _seconds(claims, "nbf") if "nbf" in claims else issued
    if now >= expires + skew:
        raise Unauthenticated("the token has expired", rule=EXPIRED, fix=_AGAIN)
    if now < max(issued, begins) - skew:
        raise Unauthenticated(
            "the token is from the future: a clock is wrong",
            fix="set the clock of the machine that runs this service, or the provider's",
        )
    try:
        return datetime.fromtimestamp(issued, UTC), datetime.fromtimestamp(expires, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise Unauthenticated("the token's times are out of range", fix=_AGAIN) from error


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    said = claims.get(name)
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise Unauthenticated(f"the token says no time as `{name}`", fix=_AGAIN)
    return float(said) if abs(said) < 1e12 else math.copysign(1e12, said)


def _found(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its whole name, which may have dots as addresses do, or else by its place inside others."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(said: Any) -> list[str]:
    return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []


def _shown(names: Iterable[str]) -> str:
    """A few of them, for people: what comes from outside is cut off."""
    return ", ".join(repr(each[:80]) for each in sorted(names)[:3]) or "nobody"
