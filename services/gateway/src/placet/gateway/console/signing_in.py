"""Signing in at an OpenID Connect provider: authorization code flow with PKCE, for the console.

What comes back has to be the answer to what this very browser began: `state`, `nonce` and the code's verifier are in a
cookie of it, which is of no use to anybody else, for one answer, and for some minutes. The ID token is what the console
asks REST with from then on; nothing is kept here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import aiohttp
import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from placet.errors import Forbidden, PlacetError, Refused, Unauthenticated, Unavailable, Unreadable
from placet.events import Clock
from placet.gateway.console import session
from placet.gateway.settings import GatewaySettings
from placet.identity import Provider, read_secret
from placet.identity.claims import MAX_TOKEN_BYTES, claimed_issuer
from placet.identity.provider import Described, asking, bounded

BEGIN = f"{session.PATH}/sign-in/provider"
CALLBACK = f"{session.PATH}/sign-in/callback"
LEAVE = f"{session.PATH}/sign-out/provider"
MINUTES = 10
"""How long somebody may take at the provider."""
_COOKIE = "placet-sign-in-"
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_AT_ONCE = 16
"""Codes that the provider is asked about: whoever sends many waits, and does not have us wear it out."""
_MOST_BEGUN = 4
"""Sign-ins that a browser keeps at once. With more of them a request's head would grow beyond what an edge takes."""
_LONGEST_CODE = 4096
_AGAIN = "sign in again"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that was begun, as the browser keeps it."""

    state: str
    nonce: str
    verifier: str
    back: str
    redirect: str
    begun: int

    @property
    def cookie(self) -> str:
        return _COOKIE + self.state[:16]


@dataclass(frozen=True, kw_only=True)
class Client:
    """What placet is called at the provider, and how it shows that it is."""

    id: str
    secret: str | None
    scopes: str


class _Granted(msgspec.Struct, frozen=True):
    id_token: str


class _Denied(msgspec.Struct, frozen=True):
    error: str = ""
    error_description: str = ""


def client_of(settings: GatewaySettings) -> Client | None:
    """None where nobody signs in by the provider: it knows no client of ours. Raises Refused."""
    if not settings.oidc_issuer or not settings.oidc_client_id:
        return None
    file, secret = settings.oidc_client_secret_file, None
    if file is not None:
        try:
            secret = read_secret(file, "PLACET_OIDC_CLIENT_SECRET_FILE", 1).decode()
        except UnicodeDecodeError as error:
            raise Refused(
                f"PLACET_OIDC_CLIENT_SECRET_FILE: {file} is no text",
                fix="write the secret as the provider shows it",
            ) from error
    return Client(id=settings.oidc_client_id, secret=secret, scopes=settings.oidc_scopes)


class SigningIn:
    """`url` is where the platform says it is."""

    def __init__(self, provider: Provider, client: Client, url: str, clock: Clock) -> None:
        self.host = provider.host
        self._provider = provider
        self._client = client
        self._url = url
        self._clock = clock
        self._under_way = 0

    async def begin(self, request: Request, back: str) -> Response:
        """To the provider. Raises Forbidden where another site's page asks, Unavailable and Unreadable."""
        session.must_come_from_here(request)
        described = await self._provider.described()
        if described.authorization is None or described.token is None:
            raise Unreadable(
                f"{self.host} says no address where people sign in",
                fix="see whether PLACET_OIDC_ISSUER is the provider's issuer",
            )
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            back=back,
            redirect=self._origin(request) + CALLBACK,
            begun=int(self._clock.now().timestamp()),
        )
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": attempt.redirect,
            "scope": self._client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _encoded(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        answer = RedirectResponse(_asking(described.authorization, asked), 303)
        begun = [name for name in session.cookies_of(request) if name.startswith(_COOKIE)]
        for name in begun if len(begun) >= _MOST_BEGUN else ():
            session.drop_cookie(request, answer, name)
        kept = _encoded(msgspec.json.encode(attempt))
        session.set_cookie(request, answer, attempt.cookie, kept, MINUTES * 60)
        return answer

    def attempt(self, request: Request) -> Attempt:
        """What this answer is to. Raises Forbidden where this browser waits for none like it."""
        states = request.query_params.getlist("state")
        state = states[0] if len(states) == 1 else ""
        kept = session.cookies_of(request).get(_COOKIE + state[:16]) if _STATE.fullmatch(state) else None
        attempt = _kept(kept) if kept else None
        if attempt is None or not hmac.compare_digest(attempt.state.encode(), state.encode()):
            raise Forbidden(
                "this browser waits for no such answer: it was used already, or the sign-in was begun elsewhere or"
                " long ago",
                fix=_AGAIN,
            )
        if not -1 <= self._clock.now().timestamp() - attempt.begun <= MINUTES * 60:
            raise Forbidden(f"signing in took longer than {MINUTES} minutes", fix=_AGAIN)
        return attempt

    async def token(self, request: Request, attempt: Attempt) -> str:
        """The ID token that the answer is good for. Raises Forbidden, Unauthenticated, Unavailable, Unreadable."""
        given = request.query_params
        if given.get("iss", self._provider.issuer) != self._provider.issuer:  # RFC 9207
            raise Forbidden("the answer is of another provider", fix=_AGAIN)
        if "error" in given:
            raise self._declined(given["error"], given.get("error_description", ""))
        codes = given.getlist("code")
        if len(codes) != 1 or not 0 < len(codes[0]) <= _LONGEST_CODE:
            raise Unreadable(f"{self.host} answered with no code", fix=_AGAIN)
        described = await self._provider.described()
        if self._under_way >= _MOST_AT_ONCE:
            raise Unavailable("many people sign in at this moment", fix="try again shortly", retry_after=1.0)
        self._under_way += 1
        try:
            token = await self._exchanged(described, codes[0], attempt)
        finally:
            self._under_way -= 1
        said = await self._provider.verify(token, patient=True)
        if self._client.id not in said.audiences or said.party not in (None, self._client.id):
            raise Unauthenticated("the provider made the token for somebody else than placet", fix=_AGAIN)
        if said.nonce is None or not hmac.compare_digest(said.nonce.encode(), attempt.nonce.encode()):
            raise Forbidden("the token is of another sign-in than the one that was begun here", fix=_AGAIN)
        return token

    def is_theirs(self, token: str | None) -> bool:
        """Whether who holds it signed in at the provider."""
        return token is not None and claimed_issuer(token) == self._provider.issuer

    async def way_out(self) -> str | None:
        """Where somebody ends what the provider itself remembers of them, if it has such a place."""
        try:
            described = await self._provider.described()
        except PlacetError:
            return None
        if described.end_session is None:
            return None
        return _asking(described.end_session, {"client_id": self._client.id})

    def forget(self, request: Request, answer: Response, attempt: Attempt) -> None:
        session.drop_cookie(request, answer, attempt.cookie)

    def _origin(self, request: Request) -> str:
        """As the browser calls the platform, and with the platform's own word of whether that is by HTTPS."""
        host = request.headers.get("host", "")
        known = urlsplit(self._url)
        scheme = known.scheme if known.netloc == host else request.url.scheme
        return f"{scheme}://{host}"

    def _declined(self, error: str, description: str) -> PlacetError:
        shown = _shown(error) + (f": {_shown(description)}" if description else "")
        if error == "access_denied":
            return Forbidden(f"{self.host} let nobody in: you, or it, declined ({shown})", fix=_AGAIN)
        if error in ("server_error", "temporarily_unavailable"):
            return Unavailable(f"{self.host} cannot sign anybody in now ({shown})", fix="try again shortly")
        return Forbidden(
            f"{self.host} signed nobody in ({shown})",
            fix=f"{_AGAIN}; if it says so again, have an operator look at what it knows of placet",
        )

    async def _exchanged(self, described: Described, code: str, attempt: Attempt) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect,
            "code_verifier": attempt.verifier,
        }
        headers = {}
        secret = self._client.secret
        if secret is None:
            form["client_id"] = self._client.id
        elif "client_secret_basic" in described.client_auth:
            pair = f"{quote_plus(self._client.id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client.id, "client_secret": secret}
        url = described.token or ""
        try:
            async with (
                asking() as client,
                client.post(url, data=form, headers=headers, allow_redirects=False) as answer,
            ):
                status, body = answer.status, await bounded(answer, url)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(
                f"{self.host} does not answer at the moment: {type(error).__name__}", fix="try again shortly"
            ) from error
        if status != 200:
            raise self._not_exchanged(status, body)
        try:
            token = msgspec.json.decode(body, type=_Granted).id_token
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreadable(
                f"{self.host} gave no ID token",
                fix="have an operator see whether PLACET_OIDC_SCOPES has openid, and what the provider logs",
            ) from error
        if len(token) > MAX_TOKEN_BYTES:
            raise Unreadable(
                f"the token that {self.host} gave has {len(token)} characters, and at most {MAX_TOKEN_BYTES} are taken",
                fix="have the provider send fewer groups in it: those alone that give roles here",
            )
        return token

    def _not_exchanged(self, status: int, body: bytes) -> PlacetError:
        try:
            said = msgspec.json.decode(body, type=_Denied)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            said = _Denied()
        shown = ": ".join(filter(None, (_shown(said.error), _shown(said.error_description)))) or str(status)
        if status >= 500 or status == 429:
            return Unavailable(f"{self.host} cannot sign anybody in now ({shown})", fix="try again shortly")
        if said.error == "invalid_grant":
            return Forbidden(f"{self.host} does not take this answer, or not any more ({shown})", fix=_AGAIN)
        return Forbidden(
            f"{self.host} does not take placet for who it says it is ({shown})",
            fix="have an operator compare PLACET_OIDC_CLIENT_ID, and what PLACET_OIDC_CLIENT_SECRET_FILE holds, with"
            " what the provider has",
        )


def _asking(address: str, asked: dict[str, str]) -> str:
    """The address with what is asked, beside what the provider has in its query already."""
    parts = urlsplit(address)
    kept = [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] not in asked]
    return urlunsplit(parts._replace(query=urlencode([*kept, *asked.items()])))


def _kept(text: str) -> Attempt | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=Attempt)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _shown(text: str) -> str:
    """What somebody outside says, short and in one line."""
    return " ".join("".join(each if each.isprintable() else " " for each in text[:300]).split())
