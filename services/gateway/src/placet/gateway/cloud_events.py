"""Reads what is sent as metadata: a CloudEvent, one of OpenLineage, or many of them, as reports or as mistakes. Pure.

All or nothing: of many events one that is wrong refuses all, and every one that is wrong is told with its place.
CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from placet.errors import Unreadable
from placet.gateway import lineage
from placet.gateway.reports import (
    DATA,
    MAX_REPORT_BYTES,
    About,
    Digest,
    Kind,
    Mistake,
    Report,
    Text,
    Time,
    converted,
    moment_of,
    read_data,
)
from placet.projects.documents import MAX_PROBLEMS, DocumentRefused, Problem

SINGLE, BATCH, PLAIN = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json",
)
FORMS = (SINGLE, BATCH, PLAIN)
MAX_EVENTS = 100
CLOCKS_DIFFER = timedelta(seconds=60)
"""What is dated later than this from now has not happened."""
TYPES: Mapping[str, Kind] = {f"placet.report.{kind}.v1": kind for kind in DATA}
_LINEAGE = re.compile(r"io\.openlineage\.run(?:[._-]?event)?(?:\.v\d{1,3})?", re.IGNORECASE)
_KNOWN = f"those read here are {', '.join(TYPES)}, and io.openlineage.run with a run event of OpenLineage"

_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?:;.*)?", re.IGNORECASE)
_SHAPE = {
    SINGLE: "one event, which is a JSON object",
    BATCH: "a list of events",
    PLAIN: "one event, which is a JSON object, or a list of them",
}
SENT = "what was sent"
ONE_OF_BOTH = "a report is of one release, of one source, or of the whole project"
MOST_RELEASES = 2**31 - 1

Release = Annotated[int, Meta(ge=1, le=MOST_RELEASES)]


class _CloudEvent(Struct, frozen=True, kw_only=True):
    """Attributes that nobody here reads are let be, as the specification asks. In a header every value is text."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    time: Time | None = None
    datacontenttype: Text | None = None
    data: Any | UnsetType = UNSET
    data_base64: Any | UnsetType = UNSET
    placetrelease: Release | Annotated[str, Meta(max_length=10, pattern=r"^[1-9][0-9]*(?![\s\S])")] | None = (
        None
    )
    placetsource: Digest | None = None


Sent = Mapping[str, Any] | tuple[Any, ...]
"""One event, or many."""


def read_events(body: bytes, form: str, attributes: Mapping[str, str]) -> Sent:
    """The events in a request, not looked at yet. `form` is its media type; `attributes` are those of a CloudEvent that
    stand in headers.

    Raises Unreadable for what is no JSON, or in no form that is read here.
    """
    if form not in FORMS:
        raise Unreadable(
            f"nothing is read here as {form[:100]!r}", fix=f"send it as one of {', '.join(FORMS)}"
        )
    sent = _json(body)
    if attributes and form == PLAIN:
        return {"datacontenttype": form, **attributes, "data": sent}
    if isinstance(sent, list) and form != SINGLE:
        if not 0 < len(sent) <= MAX_EVENTS:
            raise Unreadable(
                f"{len(sent)} events were sent at once, and 1 to {MAX_EVENTS} are read",
                fix="send them in parts; what is sent twice is the same report",
            )
        return tuple(sent)
    if isinstance(sent, dict) and form != BATCH:
        return sent
    raise Unreadable(
        f"this is not what {form} says: {_SHAPE[form]}", fix=f"or send it as another of {', '.join(FORMS)}"
    )


def reports_of(sent: Sent, about: About, now: datetime) -> list[Report]:
    """Each event as a report, in their order. `about` is what the request says of all of them.

    Raises DocumentRefused with what is wrong, by the place of each event that is.
    """
    events = sent if isinstance(sent, tuple) else (sent,)
    found: list[Report] = []
    problems: list[Problem] = []
    for index, event in enumerate(events):
        try:
            found.append(_bounded(_report(event, about), now))
        except Mistake as wrong:
            problems += (
                Problem(place_of(sent, index, each.path), each.detail, each.fix) for each in wrong.problems
            )
    if problems:
        raise DocumentRefused(SENT, tuple(problems[:MAX_PROBLEMS]))
    return found


def place_of(sent: Sent, index: int, path: str) -> str:
    """Where something is in what was sent, as JSONPath says it: `[2].data.severity`."""
    return f"[{index}].{path}".rstrip(".") if isinstance(sent, tuple) else path


def _report(event: Any, about: About) -> Report:
    if not isinstance(event, dict):
        raise Mistake("", "it is no JSON object, as every event is")
    if lineage.is_run_event(event):
        return lineage.report_of(event, "", about)
    if "specversion" not in event:
        raise Mistake(
            "",
            "it is neither a CloudEvent, with `specversion`, nor OpenLineage's run event, with `run` and `job`",
            "OpenLineage's events of jobs and of datasets alone tell of no run, and are not read",
        )
    return _from_cloud_event(converted(event, _CloudEvent, ""), about)


def _from_cloud_event(event: _CloudEvent, about: About) -> Report:
    about = _about(event, about)
    if event.data is UNSET:
        said = "is missing" if event.data_base64 is UNSET else "is missing, and `data_base64` is not read"
        raise Mistake("data", said, "give what happened as JSON in `data`")
    if event.datacontenttype is not None and not _JSON.fullmatch(event.datacontenttype):
        raise Mistake("datacontenttype", f"{event.datacontenttype!r} is not read", "give `data` as JSON")
    sent_as = ("cloudevent", event.source, event.id)
    if _LINEAGE.fullmatch(event.type):
        return replace(lineage.report_of(event.data, "data", about), sent_as=sent_as)
    kind = TYPES.get(event.type)
    if kind is None:
        raise Mistake("type", f"{event.type!r} is no type that is read here", _KNOWN)
    if event.time is None:
        raise Mistake("time", "is missing", "say when it happened, as 2027-01-31T12:00:00Z")
    at = moment_of(event.time, "time")
    content, summary = read_data(kind, event.data, "data", at)
    return Report(sent_as=sent_as, at=at, about=about, content=content, summary=summary)


def _about(event: _CloudEvent, request: About) -> About:
    """What the event says that it is of, or else the request; never two things."""
    release = None if event.placetrelease is None else int(event.placetrelease)
    own = About(release=release, source=event.placetsource)
    if own != About() and request not in (About(), own):
        raise Mistake(
            "placetsource" if release is None else "placetrelease",
            "says that it is of something else than the request does",
            "leave one of them out",
        )
    if release is not None and own.source is not None:
        raise Mistake("placetrelease", "is given together with `placetsource`", ONE_OF_BOTH)
    if release is not None and release > MOST_RELEASES:
        raise Mistake("placetrelease", f"{release} is no release's number")
    return request if own == About() else own


def _bounded(report: Report, now: datetime) -> Report:
    if report.at > now + CLOCKS_DIFFER:
        raise Mistake(
            "eventTime" if report.sent_as[0] == "openlineage" else "time",
            f"{report.at.isoformat()} has not come yet: here it is {now.isoformat(timespec='seconds')}",
            "report what happened once it has; is the clock right where this comes from?",
        )
    size = len(msgspec.json.encode(report.content))
    if size > MAX_REPORT_BYTES:
        raise Mistake(
            "",
            f"what it says is {size} bytes, and at most {MAX_REPORT_BYTES} are read of one event",
            "tell it in several events; those of one run add up",
        )
    return report


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(
            f"the body is no JSON: {error}", fix="send JSON in UTF-8; it has no NaN and no Infinity"
        ) from error
    except RecursionError as error:
        raise Unreadable(
            "the body is nested too deep to be read",
            fix="`placet report --schema KIND` shows what it may hold",
        ) from error
