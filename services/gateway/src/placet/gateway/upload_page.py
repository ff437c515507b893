"""The page at `/upload`: a folder or a zip from a browser to a URL, for who has no command line at hand. And the
platform's first page, which leads there.

Pages of plain HTML; the script of the one asks the same REST API as everybody, with the token that is typed
in and kept in its memory alone. Their policy lets them load nothing from elsewhere, run nothing that is written into
them, and be framed by nobody. It is not the console.
"""

from __future__ import annotations

import html
import json
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

from placet.projects.archive import ALWAYS_IGNORED
from placet.projects.ignoring import IGNORE_FILE

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
LEFT_OUT = sorted(pattern.rstrip("/") for pattern in ALWAYS_IGNORED if pattern.endswith("/"))
"""Folders that the page does not even send: packing would leave them out, and they can be larger than all the rest."""


def upload_page() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    home = _text("home.html")
    page = _text("upload.html").replace("{{left-out}}", html.escape(json.dumps(LEFT_OUT)))
    page = page.replace("{{ignore-file}}", html.escape(IGNORE_FILE))
    script, style = _text("upload.js"), _text("upload.css")

    @router.get("/")
    async def welcome() -> Response:
        return _answer(home, "text/html")

    @router.get("/upload")
    async def show() -> Response:
        return _answer(page, "text/html")

    @router.get("/upload/upload.js")
    async def read_script() -> Response:
        return _answer(script, "text/javascript")

    @router.get("/upload/upload.css")
    async def read_style() -> Response:
        return _answer(style, "text/css")

    return router


def _answer(text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type, headers=HEADERS)


def _text(name: str) -> str:
    return resources.files("placet.gateway").joinpath("pages", name).read_text(encoding="utf-8")
