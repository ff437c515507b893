"""Who is signed in: a cookie that holds the token, in parts where it is long, and nothing that is kept here.

No script reads it, and no model is sent it: proxies take cookies off. By HTTPS its name begins with `__Host-`, which a
browser takes from this very host alone, so that a site beside it in the same domain signs nobody in. Whoever has the
token can make what a form has to bring along, and nobody else can, so a page elsewhere asks for nothing in somebody's
name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from placet.errors import Forbidden, TooLarge

COOKIE = "placet-console"
HOST = "__Host-"
"""Of a cookie's name by HTTPS (RFC 6265bis): only the host itself can have set it, and for all of its paths."""
PATH = "/console"
PROOF = "proof"
"""The field of a form, and `X-Placet-Proof` of a script's request."""
HOME = "/console/models"
MOST_PARTS = 3
_LONGEST_PART = 3500
"""Characters; browsers keep 4096 bytes of a cookie with its name and what is said about it."""
_PARTED = "~"
"""After the number of parts, where there are several; no token has it."""
_NUMBERS = frozenset(str(number) for number in range(2, MOST_PARTS + 1))
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_WAY_BACK = re.compile(r"/console/[A-Za-z0-9._~!$'()*,;:@%/?&=+-]*")
_LONGEST_WAY = 2000


def token_of(request: Request) -> str | None:
    """What can be none is none: no header takes more than ASCII."""
    token = _joined(request)
    return token if token is not None and token.isascii() else None


def _joined(request: Request) -> str | None:
    kept = cookies_of(request)
    first = kept.get(COOKIE) or None
    number, separator, begin = (first or "").partition(_PARTED)
    if not separator:
        return first
    if number not in _NUMBERS:
        return None
    return begin + "".join(kept.get(_part(each), "") for each in range(1, int(number))) or None


def cookies_of(request: Request) -> dict[str, str]:
    """Those that are named as ours are here, by their names without the prefix.

    One that came twice is not among them: who else can set cookies for this host, as a page at another of its ports
    can, is not to say which of the two counts. A name with anything around it is another name, since browsers keep
    sites beside this one from the exact names only.
    """
    found: dict[str, list[str]] = {}
    prefix = HOST if _is_by_https(request) else ""
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            name, _, value = part.strip(" \t").partition("=")
            if _NAME.fullmatch(name) and name.startswith(prefix):
                found.setdefault(name.removeprefix(prefix), []).append(value)
    return {
        name: cookie_parser(f"it={values[0]}")["it"] for name, values in found.items() if len(values) == 1
    }


def remember(request: Request, answer: Response, token: str) -> None:
    """Until the browser closes, or somebody signs out. How long the token holds is its own matter: each request finds
    whether it still does. Raises TooLarge for one that no browser keeps."""
    parts = [token[at : at + _LONGEST_PART] for at in range(0, len(token), _LONGEST_PART)]
    if len(parts) > MOST_PARTS:
        raise TooLarge(
            f"no browser keeps a token of {len(token)} characters", fix="sign in with a shorter one"
        )
    set_cookie(request, answer, COOKIE, token if len(parts) == 1 else f"{len(parts)}{_PARTED}{parts[0]}")
    for number, part in enumerate(parts[1:], start=1):
        set_cookie(request, answer, _part(number), part)
    _forget_parts(request, answer, len(parts))


def forget(request: Request, answer: Response) -> None:
    drop_cookie(request, answer, COOKIE)
    _forget_parts(request, answer, 1)


def set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    """For no script. It comes along when somebody is sent here from elsewhere, by GET only."""
    is_safe = _is_by_https(request)
    answer.set_cookie(
        f"{HOST}{name}" if is_safe else name,
        value,
        max_age=seconds,
        path="/" if is_safe else PATH,
        secure=is_safe,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, answer: Response, name: str) -> None:
    is_safe = _is_by_https(request)
    answer.delete_cookie(
        f"{HOST}{name}" if is_safe else name,
        path="/" if is_safe else PATH,
        secure=is_safe,
        httponly=True,
        samesite="lax",
    )


def _forget_parts(request: Request, answer: Response, first: int) -> None:
    """Those behind the first ones, and by HTTPS what was set without it: it is read no more, and may hold a token."""
    kept = cookies_of(request)
    for name in (_part(number) for number in range(first, MOST_PARTS)):
        if name in kept:
            drop_cookie(request, answer, name)
    if _is_by_https(request):
        for name in (COOKIE, *(_part(number) for number in range(1, MOST_PARTS))):
            if name in request.cookies:
                answer.delete_cookie(name, path=PATH, secure=True, httponly=True, samesite="lax")


def _is_by_https(request: Request) -> bool:
    return request.url.scheme == "https"


def _part(number: int) -> str:
    return f"{COOKIE}-{number}"


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
        is_ours = origin is None or (origin != "null" and _host_of(origin) == request.headers.get("host"))
    if not is_ours:
        raise Forbidden("another site's page asked for this", fix="do it from the console itself")


def _host_of(origin: str) -> str | None:
    """With its port; None of what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def page_of(address: str) -> str:
    """The path of an address, with what is asked; nothing of what is none."""
    try:
        came = urlsplit(address)
    except ValueError:
        return ""
    return came.path + (f"?{came.query}" if came.query else "")


def page_before(came: str) -> str:
    """The page of the console with the form that somebody sent, by what a browser says of where it `came` from; without
    what it said was done then. Nothing for any other."""
    path = page_of(came).partition("?")[0]
    asked = (
        [(name, value) for name, value in parse_qsl(urlsplit(came).query) if name not in ("said", "seal")]
        if path
        else []
    )
    page = f"{path}?{urlencode(asked)}" if asked else path
    return page if way_back(page) == page else ""


def way_back(wanted: str | None) -> str:
    """Where to go after signing in: a page of the console, whatever a link says."""
    is_page = wanted is not None and len(wanted) <= _LONGEST_WAY and _WAY_BACK.fullmatch(wanted) is not None
    return wanted if is_page and wanted is not None and "/sign-" not in wanted else HOME
