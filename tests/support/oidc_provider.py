"""An OpenID Connect provider of the tests' own: a real server, whose keys change and whose people sign in by a form."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from placet.events.clocks import SystemClock

CLIENT = "placet"
SECRET = "a secret: of the client's/own"
LIFETIME = 3600


@dataclass
class Key:
    kid: str
    alg: str
    private: Any
    names_alg: bool = True

    @property
    def public(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {"R": RSAAlgorithm, "P": RSAAlgorithm, "E": ECAlgorithm}
        algorithm = OKPAlgorithm if self.alg == "EdDSA" else kinds[self.alg[0]]
        said = json.loads(algorithm.to_jwk(self.private.public_key()))
        return {**said, "kid": self.kid, "use": "sig", **({"alg": self.alg} if self.names_alg else {})}


_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
"""Made once: each takes long."""


def rsa_key(kid: str, which: int = 0, alg: str = "RS256") -> Key:
    return Key(kid=kid, alg=alg, private=_RSA[which])


def ec_key(kid: str) -> Key:
    return Key(kid=kid, alg="ES256", private=ec.generate_private_key(ec.SECP256R1()))


def ed_key(kid: str) -> Key:
    return Key(kid=kid, alg="EdDSA", private=Ed25519PrivateKey.generate())


@dataclass
class OidcProvider:
    """`people` are those who can sign in, with what tokens say of them; `over` is said in place of that, or besides."""

    issuer: str = ""
    keys: list[Key] = field(default_factory=lambda: [rsa_key("first")])
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    client: str = CLIENT
    secret: str | None = SECRET
    over: dict[str, Any] = field(default_factory=dict)
    discovered: dict[str, Any] = field(default_factory=dict)
    lifetime: float = LIFETIME
    now: Callable[[], float] = lambda: SystemClock().now().timestamp()
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """What is answered at a path instead."""
    asked: Counter[str] = field(default_factory=Counter)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: list[str] = field(default_factory=list)
    """Where a client may be sent back to; anything, where none is named."""
    waits: threading.Event | None = None
    """While it is set nobody is answered anything."""

    def token(
        self,
        subject: str | None = "ada",
        *,
        key: Key | None = None,
        headers: dict[str, Any] | None = None,
        **said: Any,
    ) -> str:
        """Signed by the newest key. A claim that is None is left out."""
        key, now = key or self.keys[-1], self.now()
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.client,
            "iat": int(now),
            "exp": int(now + self.lifetime),
            "email": f"{subject}@example.org",
            "groups": ["placet-scientist"],
            **self.people.get(subject or "", {}),
            **self.over,
            **said,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, key.private, algorithm=key.alg, headers={"kid": key.kid, **(headers or {})})

    def document(self) -> dict[str, Any]:
        said = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=tests",
            "token_endpoint": f"{self.issuer}/token",
            "end_session_endpoint": f"{self.issuer}/logout",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            **self.discovered,
        }
        return {name: value for name, value in said.items() if value is not None}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [each.public for each in self.keys]}

    def let_in(self, asked: dict[str, str], subject: str) -> str:
        """Where who signs in as `subject` is sent back to."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "subject": subject}
        return _with(asked["redirect_uri"], code=code, state=asked.get("state", ""), iss=self.issuer)

    def redeem(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """The token endpoint: checks the client, the code, where it was sent, and the verifier."""
        if not self._is_the_client(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("grant_type") != "authorization_code":
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        if form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "another redirect_uri"}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked.get("code_challenge_method") != "S256"
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "another code_verifier"}
        token = self.token(asked["subject"], **{"nonce": asked["nonce"], **self.over})
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": token}

    def _is_the_client(self, form: dict[str, str], authorization: str | None) -> bool:
        if self.secret is None:
            return form.get("client_id") == self.client and authorization is None
        if authorization is None:
            return (form.get("client_id"), form.get("client_secret")) == (self.client, self.secret)
        scheme, _, pair = authorization.partition(" ")
        id, _, secret = base64.b64decode(pair).decode().partition(":")
        return (scheme, unquote_plus(id), unquote_plus(secret)) == ("Basic", self.client, self.secret)

    def page(self, asked: dict[str, str]) -> str:
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        return (
            "<!doctype html><html lang=en><title>The provider</title><main><h1>Who are you?</h1>"
            f'<form method="post" action="/authorize">{hidden}'
            '<label>Name <input name="subject"></label>'
            '<button name="act" value="in">Go on</button><button name="act" value="out">Decline</button></form></main>'
        )


def _with(address: str, **query: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def _handler(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            path, asked = self._asked()
            if self._is_answered_otherwise(path):
                return
            match path:
                case "/.well-known/openid-configuration":
                    self._say(200, provider.document())
                case "/jwks":
                    self._say(200, provider.jwks())
                case "/authorize":
                    self._say_page(provider.page(asked))
                case "/logout":
                    self._say_page(
                        "<!doctype html><html lang=en><title>Out</title><main><h1>Signed out</h1></main>"
                    )
                case _:
                    self._say(404, {})

        def do_POST(self) -> None:
            path, _ = self._asked()
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            form = {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}
            if self._is_answered_otherwise(path):
                return
            match path:
                case "/authorize":
                    self._go(self._back(form))
                case "/token":
                    self._say(*provider.redeem(form, self.headers.get("authorization")))
                case _:
                    self._say(404, {})

        def _back(self, form: dict[str, str]) -> str:
            if form.pop("act") == "out":
                return _with(form["redirect_uri"], error="access_denied", state=form["state"])
            subject = form.pop("subject")
            return provider.let_in(form, subject)

        def _asked(self) -> tuple[str, dict[str, str]]:
            parts = urlsplit(self.path)
            provider.asked[parts.path] += 1
            if provider.waits is not None:
                provider.waits.wait(60)
            return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}

        def _is_answered_otherwise(self, path: str) -> bool:
            if path not in provider.answers:
                return False
            status, body = provider.answers[path]
            self._answer(status, body, "application/json")
            return True

        def _say(self, status: int, document: dict[str, Any]) -> None:
            self._answer(status, json.dumps(document).encode(), "application/json")

        def _say_page(self, page: str) -> None:
            self._answer(200, page.encode(), "text/html; charset=utf-8")

        def _go(self, address: str) -> None:
            self.send_response(303)
            self.send_header("location", address)
            self.send_header("content-length", "0")
            self.end_headers()

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def running(provider: OidcProvider) -> Iterator[OidcProvider]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    provider.issuer = provider.issuer or f"http://127.0.0.1:{server.server_port}"
    try:
        yield provider
    finally:
        if provider.waits is not None:
            provider.waits.set()
        server.shutdown()
        server.server_close()
        thread.join()
