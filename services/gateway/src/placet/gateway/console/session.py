"""Who is signed in: a cookie that holds the token, and nothing that is kept here.

The cookie goes to `/console` alone, never to a model's URL, and no script reads it. Whoever has the token can make
what a form has to bring along, and nobody else can, so a page elsewhere asks for nothing in somebody's name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from placet.errors import Forbidden

COOKIE = "placet-console"
PATH = "/console"
PROOF = "proof"
"""The field of a form, and `X-Placet-Proof` of a script's request."""
HOME = "/console/models"
_WAY_BACK = re.compile(r"/console/[A-Za-z0-9._~!$'()*,;:@%/?&=+-]*")
_LONGEST_WAY = 2000


def token_of(request: Request) -> str | None:
    return request.cookies.get(COOKIE) or None


def remember(request: Request, answer: Response, token: str) -> None:
    """Until the browser closes, or somebody signs out; how long the token itself holds is its own matter."""
    answer.set_cookie(
        COOKIE, token, path=PATH, secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )


def forget(request: Request, answer: Response) -> None:
    answer.delete_cookie(
        COOKIE, path=PATH, secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )


def proof_of(token: str) -> str:
    """What shows that a form came from a page that was made for this token."""
    return hmac.new(token.encode(), b"placet console", hashlib.sha256).hexdigest()


def seal_of(token: str, words: str) -> str:
    """What shows that words in an address were put there for whoever has this token: a link cannot speak for us."""
    return hmac.new(token.encode(), b"placet console says " + words.encode(), hashlib.sha256).hexdigest()[:32]


def must_be_proven(token: str, said: str | None) -> None:
    """Raises Forbidden."""
    if said is None or not hmac.compare_digest(proof_of(token).encode(), said.encode()):
        raise Forbidden("this form is of another session", fix="load the page again, and send it from there")


def must_come_from_here(request: Request) -> None:
    """A browser says where a request comes from. Raises Forbidden for one that another site's page made.

    Who says nothing of it is no browser, and has no cookie of somebody else.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        origin = request.headers.get("origin")
        is_ours = origin is None or (
            urlsplit(origin).netloc == request.headers.get("host") and origin != "null"
        )
    if not is_ours:
        raise Forbidden("another site's page asked for this", fix="do it from the console itself")


def way_back(wanted: str | None) -> str:
    """Where to go after signing in: a page of the console, whatever a link says."""
    is_page = wanted is not None and len(wanted) <= _LONGEST_WAY and _WAY_BACK.fullmatch(wanted) is not None
    return wanted if is_page and wanted is not None and "/sign-" not in wanted else HOME
