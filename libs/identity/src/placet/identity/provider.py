"""The provider: what it says of itself, and its keys, fetched when they are needed and kept.

Keys are asked for again when a token names one that is not known, once in `PAUSE` at most, whatever is sent: garbage
costs the provider nothing. Known keys are asked for again after `FRESH`, beside the request that noticed; while the
provider is away they go on for `KEPT`. Not here: what a token says (`claims.py`).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import msgspec
from jwt import PyJWK
from yarl import URL

from placet.errors import PlacetError, Unauthenticated, Unavailable, Unreadable
from placet.events import Clock
from placet.identity.claims import Head, Keys, Reading, Said, head_of
from placet.identity.settings import is_safe

PAUSE = timedelta(seconds=5)
FRESH = timedelta(minutes=10)
KEPT = timedelta(hours=24)
WITHIN = aiohttp.ClientTimeout(total=10)
MAX_DOCUMENT = 512 * 1024
_DISCOVERY = "/.well-known/openid-configuration"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the provider says of itself (OpenID Connect Discovery 1.0), as far as it is used here."""

    issuer: str
    jwks: str
    authorization: str | None
    token: str | None
    end_session: str | None
    client_auth: frozenset[str]


class Provider:
    """One provider. `host` is what people know it by."""

    def __init__(self, issuer: str, reading: Reading, clock: Clock) -> None:
        self.issuer = issuer
        self.host = URL(issuer).host or issuer
        self._reading = reading
        self._clock = clock
        self._described: Described | None = None
        self._keys = Keys()
        self._fetched: datetime | None = None
        self._asked: datetime | None = None
        self._failed: PlacetError | None = None
        self._asking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))

    async def verify(self, token: str, *, patient: bool = False) -> Said:
        """What the token says, if it holds now. Raises Unauthenticated, Forbidden, and Unavailable where its key is not
        known and the provider does not tell. `patient` waits until the provider may be asked again: for a token that
        came from the provider itself."""
        head = head_of(token)
        return self._reading.read(token, head, await self._key(head, patient), now=self._clock.now())

    async def described(self) -> Described:
        """What the provider said last of itself. Raises Unavailable where it never did."""
        if self._described is None:
            await self._ask_again(patient=False)
        if self._described is None:
            raise self._away()
        return self._described

    async def _key(self, head: Head, patient: bool) -> PyJWK:
        found, age = self._keys.get(head), self._age()
        if found is not None and age < FRESH:
            return found
        if found is not None and age < KEPT:
            if self._may_ask():
                self._begin()  # nobody waits for it: the key is good
            return found
        await self._ask_again(patient)
        found = self._keys.get(head)
        if found is not None and self._age() < KEPT:
            return found
        if self._failed is not None or self._fetched is None:
            raise self._away()
        raise Unauthenticated(
            f"the token is signed by no key that {self.host} announces",
            fix="sign in anew; where the provider changed its keys just now, send it again in some seconds",
        )

    def _age(self) -> timedelta:
        """Of the keys. A clock that was set back makes them old."""
        age = timedelta.max if self._fetched is None else self._clock.now() - self._fetched
        return timedelta.max if age < timedelta() else age

    def _pause(self) -> timedelta:
        """How long until the provider may be asked again; nothing where a clock was set back."""
        past = PAUSE if self._asked is None else self._clock.now() - self._asked
        return max(PAUSE - past, timedelta()) if past >= timedelta() else timedelta()

    def _may_ask(self) -> bool:
        return self._asking is None and not self._pause()

    async def _ask_again(self, patient: bool) -> None:
        if self._asking is None and self._pause():
            if not patient:
                return
            await asyncio.sleep(self._pause().total_seconds())
        # Who leaves does not take the answer from others who wait for the same.
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    async def _ask(self) -> None:
        self._asked = self._clock.now()
        try:
            async with asking() as session:
                described = _described(
                    self.issuer, await _fetched(session, self.issuer.rstrip("/") + _DISCOVERY)
                )
                keys = Keys.from_json(await _fetched(session, described.jwks))
            if not keys:
                raise Unreadable(f"{described.jwks} announces no key that could be used here")
        except PlacetError as error:
            self._failed = error
            _log.warning("the provider %s is asked in vain: %s", self.issuer, error)
        else:
            self._described, self._keys, self._failed = described, keys, None
            self._fetched = self._clock.now()
        finally:
            self._asking = None

    def _away(self) -> Unavailable:
        why = "was not asked yet" if self._failed is None else self._failed.detail
        return Unavailable(
            f"whose token this is cannot be told: {why}",
            fix=f"try again shortly; {self.issuer} must be reachable from this service (PLACET_OIDC_ISSUER)",
            retry_after=PAUSE.total_seconds(),
        )


def asking() -> aiohttp.ClientSession:
    """For one question to the provider."""
    return aiohttp.ClientSession(
        timeout=WITHIN, cookie_jar=aiohttp.DummyCookieJar(), headers={"accept": "application/json"}
    )


async def _fetched(session: aiohttp.ClientSession, url: str) -> bytes:
    """The whole document. Raises Unavailable, and Unreadable for one that is too long."""
    try:
        # A redirection would have somebody say the keys whom nobody named.
        async with session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            if answer.status != 200:
                raise Unavailable(f"{url} answers {answer.status}")
            return await bounded(answer, url)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{url} does not answer: {type(error).__name__}") from error


async def bounded(answer: aiohttp.ClientResponse, url: str) -> bytes:
    """Raises Unreadable for an answer that is longer than any of these is."""
    whole = bytearray()
    async for piece in answer.content.iter_chunked(2**16):
        whole += piece
        if len(whole) > MAX_DOCUMENT:
            raise Unreadable(f"{url} answers with more than {MAX_DOCUMENT} bytes")
    return bytes(whole)


def _described(issuer: str, document: bytes) -> Described:
    try:
        said = msgspec.json.decode(document, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(f"{issuer}{_DISCOVERY} is no JSON object") from error
    if said.get("issuer") != issuer:
        raise Unreadable(
            f"{issuer}{_DISCOVERY} is of the issuer {str(said.get('issuer'))[:200]!r}",
            fix="set PLACET_OIDC_ISSUER to the very text that the provider calls its issuer",
        )
    jwks = _address(said, "jwks_uri")
    if jwks is None:
        raise Unreadable(f"{issuer} says no address of its keys that can be believed (jwks_uri)")
    methods = said.get("token_endpoint_auth_methods_supported")
    return Described(
        issuer=issuer,
        jwks=jwks,
        authorization=_address(said, "authorization_endpoint"),
        token=_address(said, "token_endpoint"),
        end_session=_address(said, "end_session_endpoint"),
        client_auth=frozenset(each for each in methods if isinstance(each, str))
        if isinstance(methods, list)
        else frozenset({"client_secret_basic"}),
    )


def _address(said: dict[str, Any], name: str) -> str | None:
    address = said.get(name)
    return address if isinstance(address, str) and len(address) <= 2000 and is_safe(address) else None
