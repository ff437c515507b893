"""One model: what serves, what it may, what it was asked, and what can be done with it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from starlette.responses import JSONResponse, Response

from placet.client import Certificate, Command, ModelDetail, Release, Report
from placet.errors import Forbidden, PlacetError, Refused, Unavailable, Unknown, Unreadable
from placet.gateway.console.auditing import LAST, page_of_events
from placet.gateway.console.comparing import Side, compare, facts_of, packages_in, verdicts_of
from placet.gateway.console.deploying import is_outlived, setback, title
from placet.gateway.console.lineage import Origins, graph_of
from placet.gateway.console.model_logs import line_of
from placet.gateway.console.sources import changed_files
from placet.gateway.console.trying import SAMPLE, asking
from placet.gateway.console.visits import Visit

_SENT = 100
"""Sources that were sent last, among which the one that serves is looked for."""
_TAIL = 500
_RELEASES = 50
"""On a page."""
_FIELDS = 100
_PLAIN_VALUES = (str, int, float, bool)
_AT_REST = ("stopped", "quarantined", "failed", "refused", "deleted")
"""States in which nothing of a model serves."""
_PLAIN: dict[str, str] = {
    "start": "It serves again, on the release that served last.",
    "stop": "Its URL answers 404 and its processes end. Its releases and certificate stay, and a start brings it back.",
    "delete": "Its URL is gone, and so is what runs. Its images stay in the registry, its history in the audit log.",
    "rollback": "The release that was served before takes its place, after its rules were asked again.",
    "renew": "What serves is judged again, by the rules as they are now, for a new certificate.",
    "promote": "The canary gets all requests, and what serves now ends.",
    "abort": "The canary ends, and its requests go to what serves.",
    "scale": "So many replicas of it run from then on.",
}

_ANEW = (
    "A new release of the same image is judged by the rules as they are now, and serves if they let it. "
    "What needs approval waits for that, and can be approved then."
)


async def overview(visit: Visit) -> Response:
    model = await visit.ask.model(visit.place("project"))
    card = None
    certificate = None
    if model.image is not None:
        with suppress(Refused):  # it may have been removed from the registry since
            card = (await visit.ask.image(model.image)).card
    if model.certificate is not None:
        with suppress(Refused):
            certificate = await visit.ask.certificate(model.certificate)
    last = model.cause if is_outlived(model, model.operation) else model.operation
    return visit.page(
        "model.html",
        tab="overview",
        model=model,
        card=card,
        certificate=certificate,
        serves=serves(model),
        heading=_heading(model),
        commands=_commands(model, visit),
        is_off=_is_off(model),
        last=last,
        asked=None if last is None else title(last),
        setback=setback(model, model.operation),
        windows=model.windows,
        spans=[(each.since, each.until) for each in model.windows],
        failed=[each.errors / each.requests if each.requests else None for each in model.windows],
        limits=_limits(certificate),
    )


def serves(model: ModelDetail) -> bool:
    """Also while it is started again."""
    return model.state == "live" or (model.state not in _AT_REST and model.url is not None)


def _heading(model: ModelDetail) -> str:
    if serves(model):
        return "What serves"
    if model.state not in _AT_REST:
        return "What is to serve"
    is_first = model.cause is not None and model.cause.state == model.state
    if model.release is None or (is_first and model.state in ("failed", "refused")):
        return "Nothing serves"  # what was to be the first never did
    return "What served last"


def _limits(certificate: Certificate | None) -> dict[str, float]:
    """By metric, the strictest of the conditions that it serves under."""
    said = {} if certificate is None else certificate.statement.get("predicate", {})
    limits: dict[str, float] = {}
    for each in said.get("conditions", ()):
        limits[each["metric"]] = min(each["max"], limits.get(each["metric"], each["max"]))
    return limits


async def attempt(visit: Visit) -> Response:
    """A form to try it with, made from what its signature or its sample says."""
    model = await visit.ask.model(visit.place("project"))
    example, why = None, None
    try:
        example = await visit.ask.example(model.project)
    except PlacetError as error:
        why = error
    request = None if example is None else example.request
    form = _form(request)
    if form is not None and isinstance(request, dict):  # of one row: what is shown is what the form says
        request = {**request, "inputs": request["inputs"][:1]}
    return visit.page(
        "model_try.html",
        tab="try",
        model=model,
        example=example,
        request=None if request is None else json.dumps(request, indent=2),
        asking=asking(model.project, model.url, example, request),
        form=form,
        why=why,
        serves=serves(model),
        commands=[each["name"] for each in _commands(model, visit)],
    )


async def sample(visit: Visit) -> Response:
    """The request that the snippets read from a file where it is long."""
    project = visit.place("project")
    example = await visit.ask.example(project)
    if example.request is None:
        raise Unknown(f"{project} does not say what it takes", fix="give it a `model.sample` in placet.yaml")
    headers = {"Content-Disposition": f'attachment; filename="{SAMPLE.format(project)}"'}
    return JSONResponse(example.request, headers=headers)


async def releases(visit: Visit) -> Response:
    """Every one that was asked for, newest first; those are paged by their numbers."""
    model = await visit.ask.model(visit.place("project"))
    after = _release_of(visit.said("after"))
    page = await visit.ask.releases_page(model.project, after=after, limit=_RELEASES)
    return visit.page(
        "model_releases.html",
        tab="releases",
        model=model,
        releases=page.releases,
        next=page.next,
        is_first=after is None,
    )


async def comparison(visit: Visit) -> Response:
    """Of two of its releases, by their numbers: `before` and `after`."""
    model = await visit.ask.model(visit.place("project"))
    before, after = [await _side(visit, model.project, visit.said(name)) for name in ("before", "after")]
    files, why = None, None
    if before.release.source != after.release.source:
        try:
            images = [_image_of(each.release) for each in (before, after)]
            async with visit.platform.comparing(visit.me.person):
                files = await changed_files(visit.ask, *images)
        except (Refused, Unavailable, Unreadable) as error:  # too large for a page, say, or kept no more
            why = error
    return visit.page(
        "model_comparison.html",
        tab="releases",
        model=model,
        before=before,
        after=after,
        found=compare(before, after),
        files=files,
        why=why,
    )


async def _side(visit: Visit, project: str, wanted: str | None) -> Side:
    number = _release_of(wanted)
    if number is None:
        raise Unreadable("there are two releases to a comparison", fix="choose both, by their numbers")
    release = await visit.ask.release(project, number)
    labels: dict[str, str] = {}
    certificate, packages = None, None
    if release.image is not None:
        with suppress(Refused, Unavailable):  # it may have vanished, or the registry be away
            labels = (await visit.ask.image(release.image)).labels
    if release.certificate is not None:
        with suppress(Refused):
            certificate = await visit.ask.certificate(release.certificate)
    seen = facts_of(certificate)
    if seen is not None:
        with suppress(Forbidden):
            packages = packages_in((await visit.ask.facts([seen])).get(seen))
    return Side(release=release, labels=labels, verdicts=verdicts_of(certificate), packages=packages)


def _image_of(release: Release) -> str:
    if release.image is None:
        raise Refused(
            f"release {release.release} came to no image that its source could be read by",
            fix="`placet status OPERATION` says how far it came",
        )
    return release.image


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A release whose log can be looked at, and what it is now."""

    release: int
    what: str


async def logs(visit: Visit) -> Response:
    """Of the release that is asked for, or of the one that serves; of the one that was started last if none does."""
    model = await visit.ask.model(visit.place("project"))
    wanted = _release_of(visit.said("release"))
    lines, shown, kept, why = [], wanted, list[Kept](), None
    try:
        async with visit.ask.log(model.project, tail=_TAIL) as last:
            kept = _kept(model, live=last.live, started=last.release)
            shown = wanted or last.live or last.release
            if shown == last.release:
                lines = [line async for line in last.lines]
        if shown != last.release:
            async with visit.ask.log(model.project, release=shown, tail=_TAIL) as log:
                lines = [line async for line in log.lines]
    except PlacetError as error:
        why = error
    return visit.page(
        "model_logs.html",
        tab="logs",
        model=model,
        lines=[line_of(each) for each in lines[-_TAIL:]],
        written=lines[-_TAIL:],
        is_raw=visit.said("raw") == "1",
        release=shown,
        kept=kept,
        why=why,
    )


def _release_of(said: str | None) -> int | None:
    if said is None:
        return None
    if not (said.isascii() and said.isdigit()) or len(said) > 9 or int(said) < 1:
        raise Unreadable(f"{said!r} is no release", fix="give the number of one, such as 3")
    return int(said)


def _kept(model: ModelDetail, *, live: int | None, started: int | None) -> list[Kept]:
    """Those that are looked for: what serves, its canary, and what was started last, if that is another."""
    canary = None if model.canary is None else model.canary.release
    found = [(live, "which serves"), (canary, "the canary"), (started, "started last")]
    seen: dict[int, str] = {}
    for release, what in found:
        if release is not None:
            seen.setdefault(release, what)
    return [Kept(release=release, what=what) for release, what in seen.items()]


async def lineage(visit: Visit) -> Response:
    model = await visit.ask.model(visit.place("project"))
    card, certificate = None, None
    runs: tuple[Report, ...] = ()
    if model.image is not None:
        with suppress(Refused, Unavailable):
            card = (await visit.ask.image(model.image)).card
    if model.certificate is not None:
        with suppress(Refused):
            certificate = await visit.ask.certificate(model.certificate)
    with suppress(Forbidden):
        runs = await visit.ask.reports(model.project, kind="run")
    origins = Origins(
        model=model,
        origin=await _origin(visit, model),
        card=card,
        certificate=certificate,
        runs=[each for each in runs if each.release in (None, model.release)],
    )
    return visit.page(
        "model_lineage.html", tab="lineage", model=model, graph=graph_of(origins), origin=origins.origin
    )


async def _origin(visit: Visit, model: ModelDetail) -> str | None:
    """The git address that its source was fetched from, if it was."""
    sent = await visit.ask.events_before(
        LAST, project=model.project, type="placet.gateway.source.uploaded.*", limit=_SENT
    )
    return next(
        (each["data"]["origin"] for each in sent.events if each["data"]["source"] == model.source), None
    )


async def timeline(visit: Visit) -> Response:
    model = await visit.ask.model(visit.place("project"))
    page = await page_of_events(visit, project=model.project)
    return visit.page("model_timeline.html", tab="timeline", model=model, events=page.events, next=page.next)


async def command(visit: Visit) -> Response:
    """Asked for; what comes of it has a page of its own."""
    named = visit.wanted("command")
    if named not in get_args(Command) or named in ("deploy", "build"):
        raise Unknown(f"there is no command {named!r} here")
    begun = await visit.ask.command(
        named,  # type: ignore[arg-type] # it was just looked up
        project=visit.place("project"),
        release=visit.number("release"),
        replicas=visit.number("replicas"),
        weight=visit.number("weight"),
        key=visit.given("key") or None,
    )
    return visit.go(f"/console/operations/{begun.operation}")


def _commands(model: ModelDetail, visit: Visit) -> list[dict[str, Any]]:
    """What may be asked of it as it stands, each with what it does; the first that come are the usual ones."""
    may = frozenset(visit.me.commands or ())
    is_off = _is_off(model)
    is_live = model.state in ("live", "certified", "awaiting", "queued")
    fitting = {
        "promote": model.canary is not None,
        "abort": model.canary is not None,
        "start": model.release is not None
        and model.state in ("stopped", "quarantined", "failed")
        and not is_off,
        "stop": is_live and model.release is not None,
        "scale": model.state == "live",
        "renew": model.state == "live",
        "rollback": model.release is not None and (model.release > 1 or is_off),
        "delete": model.state != "deleted",
    }
    return [
        {
            "name": name,
            "does": _ANEW if name == "rollback" and is_off else _PLAIN[name],
            "is_grave": name in ("delete", "stop", "abort"),
        }
        for name, fits in fitting.items()
        if fits and name in may
    ]


def _is_off(model: ModelDetail) -> bool:
    """For its certificate, on which nothing starts: it is judged again as another release, which may be approved."""
    return model.state == "quarantined" and model.certificate_state in ("suspended", "revoked", "expired")


def _form(request: Any) -> dict[str, Any] | None:
    """Fields for a request's first row: of `named` columns, of a `list` of values, or of `one`; none where it is
    anything else, or longer than anybody would fill in."""
    rows = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    row = rows[0]
    if isinstance(row, dict):
        shape, named = "named", list(row.items())
    elif isinstance(row, list):
        shape, named = "list", [(f"Value {place}", each) for place, each in enumerate(row, 1)]
    else:
        shape, named = "one", [("Input", row)]
    if len(named) > _FIELDS or not all(isinstance(each, _PLAIN_VALUES) or each is None for _, each in named):
        return None
    return {"shape": shape, "fields": [_field(name, value) for name, value in named]}


def _field(name: str, value: Any) -> dict[str, Any]:
    kind = "text"
    if isinstance(value, bool):
        kind = "checkbox"
    elif isinstance(value, int | float):
        kind = "number"
    return {"name": name, "value": value, "kind": kind}
