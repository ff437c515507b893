"""Who may call the model: everybody, or who holds a token that the platform signed.

Tokens are EdDSA (Ed25519) JWTs. Only the signature, issuer, audience, expiry and roles are checked here;
whether a token was revoked since is the platform's knowledge and checked at its edge.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus

import msgspec

from placet.runtime.problems import Problem
from placet.runtime.settings import TokenKey

_REMEMBERED = 1024  # verified tokens; a check costs about 0.1 ms
_LONGEST = 4096  # bytes of a token worth reading


class Header(msgspec.Struct):
    alg: str
    kid: str


class Claims(msgspec.Struct):
    iss: str
    aud: str
    sub: str
    exp: float
    iat: float
    roles: tuple[str, ...] = ()


class Tokens:
    def __init__(self, keys: Iterable[TokenKey], *, now: Callable[[], float]) -> None:
        """`now` gives seconds since 1970."""
        # Seven megabytes that a model without tokens does not need.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self._wrong: type[Exception] = InvalidSignature
        self._keys = {key.kid: Ed25519PublicKey.from_public_bytes(key.raw()) for key in keys}
        self._now = now
        self._verified: OrderedDict[bytes, float] = OrderedDict()

    def check(self, authorization: bytes | None) -> None:
        """Raises `Problem` 401 or 403."""
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise _unauthorized("this model asks for a token", fix="send Authorization: Bearer TOKEN")
        token = token.strip()
        expires = self._verified.get(token)
        if expires is None:
            expires = self._verify(token)
            self._verified[token] = expires
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(token)
        if expires <= self._now():
            del self._verified[token]
            raise _unauthorized("the token has expired", fix="get a new one with `placet token create`")

    def _verify(self, token: bytes) -> float:
        if len(token) > _LONGEST:
            raise _unauthorized(f"the token is longer than {_LONGEST} bytes")
        try:
            signed, _, signature = token.rpartition(b".")
            first, second = signed.split(b".")
            header = msgspec.json.decode(_decoded(first), type=Header)
            if header.alg != "EdDSA" or header.kid not in self._keys:
                raise _unauthorized("the token is signed with a key that this model does not know")
            self._keys[header.kid].verify(_decoded(signature), signed)
            claims = msgspec.json.decode(_decoded(second), type=Claims)
        except self._wrong:
            raise _unauthorized("the token's signature is wrong") from None
        except (ValueError, msgspec.MsgspecError, binascii.Error, RecursionError):
            raise _unauthorized("the token is not a signed token of this platform") from None
        if claims.iss != "placet" or claims.aud != "placet":
            raise _unauthorized("the token was made for another audience")
        if not claims.roles:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"{claims.sub} has no role here",
                fix="ask an admin for a token with a role",
            )
        return claims.exp


def _decoded(part: bytes) -> bytes:
    return base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _unauthorized(detail: str, *, fix: str = "send a token of the platform that runs this model") -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED, detail, fix=fix, headers={"WWW-Authenticate": 'Bearer realm="placet"'}
    )
