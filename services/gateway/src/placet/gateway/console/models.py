"""The models, as cards: what runs, how it does, and for how long it may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from placet.client import WatchedModel
from placet.gateway.console.deploying import setback
from placet.gateway.console.visits import Visit

_PAGE = 48
_WINDOWS = 24
STATES = ("live", "awaiting", "queued", "failed", "refused", "quarantined", "stopped", "deleted")
_SEARCHED = re.compile(r"[a-z0-9-]{1,100}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """`rate` is requests a minute, `failed` the share of them that the model failed; None where nothing was asked.
    `spans` are when each of its `drift` was measured.
    `setback` says that what was asked for last did not come about, beside what serves."""

    model: WatchedModel
    rate: float | None
    failed: float | None
    requests: list[float | None]
    drift: list[float | None]
    spans: list[tuple[str, str]]
    setback: str | None = None


async def overview(visit: Visit) -> Response:
    search = (visit.said("search") or "").strip().lower()
    state = visit.said("state")
    is_searchable = not search or _SEARCHED.fullmatch(search) is not None
    found = None
    if is_searchable:
        found = await visit.ask.watched_models(
            search=search or None,
            state=state if state in STATES else None,
            deleted=state == "deleted",
            windows=_WINDOWS,
            after=visit.said("after"),
            limit=_PAGE,
        )
    return visit.page(
        "models.html",
        cards=[_card(each) for each in found.models] if found else [],
        next=found.next if found else None,
        searched=search,
        state=state,
        states=STATES,
        is_filtered=bool(search or state or visit.said("after")),
    )


def _card(model: WatchedModel) -> Card:
    of_release = [each for each in model.windows if each.release == model.release]
    last = of_release[-1] if of_release else None
    minutes = None if last is None else _minutes(last.since, last.until)
    return Card(
        model=model,
        rate=None if last is None or not minutes else last.requests / minutes,
        failed=None if last is None or not last.requests else last.errors / last.requests,
        requests=[float(each.requests) for each in model.windows],
        drift=[each.psi for each in of_release],
        spans=[(each.since, each.until) for each in of_release],
        setback=setback(model, model.operation) if model.state == "live" else None,
    )


def _minutes(since: str, until: str) -> float | None:
    try:
        took = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    except ValueError:
        return None
    return took.total_seconds() / 60 or None
