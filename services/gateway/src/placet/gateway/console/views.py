"""How pages are made and sent: templates, the words in them, and the headers that bound what a page may do."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response, StreamingResponse

from placet.events import Clock
from placet.events.problems import AT_DOCS
from placet.gateway.console import charts, markdown
from placet.gateway.console.rounding import NOTHING, number

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_COMMAND = re.compile(r"`placet (?P<verb>approve|assess|rollback|renew) (?P<rest>[^`]*)`")
_PROJECT = re.compile(r"[a-z0-9-]{1,63}")
_IN_A_CALL = re.compile(r"(?:^|(?<=; ))(?:body|path|query)\.(?=\w+: )")
_FILES = resources.files("placet.gateway.console")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        # Of this page alone: what else is at this origin, a model's own files among it, runs in no page of ours.
        "script-src 'nonce-{nonce}'",
        "style-src 'nonce-{nonce}'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types console",
    )
)
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Views:
    """Renders templates; every value is escaped, unless it was made here as HTML."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._static = {each.name: each.read_bytes() for each in _FILES.joinpath("static").iterdir()}
        self._stamps = {name: hashlib.sha256(held).hexdigest()[:16] for name, held in self._static.items()}
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("placet.gateway.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "ago": ago,
            "day": day,
            "between": between,
            "moment": moment,
            "ahead": ahead,
            "since": since,
            "lasting": lasting,
            "short": short,
            "amount": amount,
            "number": number,
            "bytes": in_bytes,
            "plural": plural,
            "markdown": markdown.rendered,
            "pretty": pretty,
            "told": told,
            "pages_for": pages_for,
            "part": part,
            "event_name": event_name,
            "denial": denial,
            "compact": compact,
            "literal": repr,
            "in_a_line": in_a_line,
            "web": web,
        }
        self._environment.globals |= {"static": self._address, "query": query, "charts": charts}

    def page(self, template: str, status: int = 200, **known: Any) -> Response:
        text, headers = self._rendered(template, known)
        return HTMLResponse(text, status, headers=headers)

    def working(self, template: str, parts: AsyncIterator[Markup], **known: Any) -> Response:
        """A page that is sent as it comes about, with or without scripts: what `parts` say stands one behind the other
        where its template has `{{ work }}`."""
        place = secrets.token_hex(16)
        text, headers = self._rendered(template, {**known, "work": place})
        before, after = text.split(place)

        async def sent() -> AsyncIterator[str]:
            yield before
            async for part in parts:
                yield part
            yield after

        # A proxy that gathers answers would show nothing until all is done.
        return StreamingResponse(
            sent(), media_type="text/html; charset=utf-8", headers={**headers, "X-Accel-Buffering": "no"}
        )

    def fragment(self, template: str, **known: Any) -> Markup:
        """A part of a page."""
        return Markup(self._environment.get_template(template).render(now=self._clock.now(), **known))  # noqa: S704

    def _rendered(self, template: str, known: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """And the headers that go with it."""
        nonce = secrets.token_urlsafe(16)
        text = self._environment.get_template(template).render(nonce=nonce, now=self._clock.now(), **known)
        policy = POLICY.format(nonce=nonce)
        return text, {**_HEADERS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}

    def static(self, name: str, stamp: str | None) -> Response | None:
        """A file of the console's own; kept by browsers for as long as its name with its stamp is asked for."""
        held = self._static.get(name)
        if held is None:
            return None
        is_current = stamp == self._stamps[name]
        caching = "public, max-age=31536000, immutable" if is_current else "no-cache"
        kind = _TYPES[name.rsplit(".", 1)[-1]]
        return Response(held, media_type=kind, headers={**_HEADERS, "Cache-Control": caching})

    def _address(self, name: str) -> str:
        return f"/console/static/{name}?{self._stamps[name]}"


def ago(time: str | None, now: datetime) -> Markup:
    """How long ago, with the time itself for who looks closer."""
    return _relative(time, now, "{} ago")


def ahead(time: str | None, now: datetime) -> Markup:
    """How long until then, to the nearest: what began to last 90 days a moment ago lasts 90 days."""
    return _relative(time, now, "{}", half=0.5)


def since(time: str, now: datetime) -> str:
    """For how long."""
    at = _read(time)
    return NOTHING if at is None else lasting(max(0.0, (now - at).total_seconds()))


def _relative(time: str | None, now: datetime, form: str, *, half: float = 0.0) -> Markup:
    at = _read(time)
    if at is None:
        return Markup('<span class="soft">{}</span>').format(NOTHING)
    said = form.format(lasting(abs((now - at).total_seconds()), half=half))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(time, moment(time), said)


def lasting(seconds: float, *, half: float = 0.0) -> str:
    """As people say it: `4 min`, `3 h`, `12 days`. What is begun of one counts from `half` of it on, or not at all."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{int(seconds / _MINUTE + half)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds / _HOUR + half)} h"
    return f"{int(seconds / _DAY + half)} days"


def moment(time: str | None) -> str:
    at = _read(time)
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


def day(time: str | None) -> str:
    at = _read(time)
    return "" if at is None else at.strftime("%Y-%m-%d")


def between(since: str, until: str, now: datetime) -> tuple[str, str]:
    """The ends of a span, as closely as it takes to tell them apart: with seconds within an hour, else with days."""
    first, last = _read(since), _read(until)
    if first is None or last is None:
        return "", ""
    form = "%H:%M:%S" if (last - first).total_seconds() < _HOUR else "%H:%M"
    if not first.date() == last.date() == now.date():
        form = f"%b %d, {form}"
    return first.strftime(form), last.strftime(form)


def _read(time: str | None) -> datetime | None:
    if not time:
        return None
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def short(digest: str | None) -> str:
    """Enough of a digest or an id to tell it from others on a page."""
    if not digest:
        return NOTHING
    kind, _, rest = digest.rpartition(":")
    if kind == "sha256":
        return f"{kind}:{rest[:12]}"
    if _ID.fullmatch(rest) is None:  # a name
        return digest
    return rest[-8:] if kind in ("", "certificate") else f"{kind}:{rest[-8:]}"


def amount(thousandths: int | None) -> str:
    """Cores, of thousandths of one."""
    return NOTHING if thousandths is None else f"{thousandths / 1000:g}"


def in_bytes(size: float | None) -> str:
    if size is None:
        return NOTHING
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def told(words: str | None) -> Markup:
    """What the platform says, with what is to be typed (in backticks) as code, and its times as people read them."""
    words = _for_people(words or "")
    parts = words.split("`")
    if len(parts) % 2 == 0:  # one that does not end is a character
        return escape(words)
    return Markup("").join(
        Markup("<code>{}</code>").format(each)
        if place % 2
        else escape(_TIME.sub(lambda found: moment(found[0]) or found[0], each))
        for place, each in enumerate(parts)
    )


def pages_for(words: str | None) -> list[tuple[str, str]]:
    """The pages, each with its name, that do what the commands in these words would do from a terminal."""
    found: dict[str, str] = {}
    for command in _COMMAND.finditer(words or ""):
        project = next((each for each in command["rest"].split() if not each.startswith("-")), "")
        if not _PROJECT.fullmatch(project):
            continue
        if command["verb"] == "approve":
            found[f"/console/models/{project}/approvals"] = f"Approvals of {project}"
        elif command["verb"] != "assess":
            found[f"/console/models/{project}#commands"] = f"What can be done with {project}"
        else:
            found["/console/governance/assessments" + query(project=project)] = f"Assessments of {project}"
    return list(found.items())


def _for_people(words: str) -> str:
    """Of who fills in forms: a value is called by its name, without where in a call it stood."""
    return "change that, and send it again" if words == AT_DOCS else _IN_A_CALL.sub("", words)


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def in_a_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def compact(value: Any) -> str:
    """JSON in one line, as a shell's single quotes take it."""
    return json.dumps(value).replace("'", "\\u0027")


def event_name(type: str) -> str:
    """`model.started` of `placet.deployer.model.started.v1`."""
    parts = type.split(".")
    return ".".join(parts[2:-1]) if len(parts) > 4 else type


def denial(type: str, data: Mapping[str, Any] | None) -> str:
    """What an `access.denied` tells, in words; nothing of any other event."""
    if event_name(type) != "access.denied" or not data:
        return ""
    count, person, origin = data.get("count"), data.get("person"), data.get("origin")
    times = "a request" if count == 1 else f"{count} requests"
    who = person or (f"nobody known, from {origin}" if origin else "many callers")
    asked = " ".join((data.get("method") or "", data.get("route") or "several things")).strip()
    project = f" of {data['project']}" if data.get("project") else ""
    return f"{times} of {who} denied with {data.get('status')} ({data.get('reason')}): {asked}{project}"


def web(address: str | None) -> str:
    """An address that a link may have: of HTTP, or none."""
    return address if address and address.startswith(("http://", "https://")) else ""


def part(value: object) -> str:
    """Of a path: whatever it holds, it stays one part."""
    return quote(str(value), safe="")


def query(**values: Any) -> str:
    """`?a=b` of what is given, or nothing."""
    given = {name: value for name, value in values.items() if value not in (None, "", False)}
    return "?" + urlencode(given, doseq=True) if given else ""
