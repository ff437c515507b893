"""Webhooks: where events are sent to, how far each is, and what can be done with it."""

from __future__ import annotations

from starlette.responses import Response

from placet.client import Webhook, WebhookTried
from placet.errors import PlacetError, Unauthenticated, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console.visits import Visit

PATH = "/console/platform/webhooks"
_FIELDS = ("url", "type", "project")


async def listed(visit: Visit) -> Response:
    return await _page(visit)


async def _page(
    visit: Visit,
    *,
    tried: WebhookTried | None = None,
    made: Webhook | None = None,
    error: PlacetError | None = None,
) -> Response:
    """With what a test message came to, or with a secret, which is told this once, or with what was filled in and why
    it was refused."""
    webhooks, failed = None, None
    try:
        webhooks = await visit.ask.webhooks()
    except PlacetError as unseen:
        failed = unseen
    return visit.page(
        "platform_webhooks.html",
        200 if error is None else problem_of(error)[0],
        tab="webhooks",
        webhooks=webhooks,
        failed=failed,
        tried=tried,
        made=made,
        error=error,
        filled={} if error is None or webhooks is None else {each: visit.given(each) for each in _FIELDS},
    )


async def add(visit: Visit) -> Response:
    """What was filled in stays where it is refused."""
    try:
        made = await visit.ask.add_webhook(
            visit.wanted("url"), type=visit.given("type") or None, project=visit.given("project") or None
        )
    except Unauthenticated:
        raise
    except PlacetError as error:
        return await _page(visit, error=error)
    return await _page(visit, made=made)


async def change(visit: Visit) -> Response:
    """Test one, go on with it, give it another secret, or send to it no more."""
    webhook, act = visit.place("webhook"), visit.wanted("act")
    if act == "test":
        return await _page(visit, tried=await visit.ask.test_webhook(webhook))
    if act == "rotate":
        return await _page(visit, made=await visit.ask.rotate_webhook(webhook))
    if act == "enable":
        enabled = await visit.ask.enable_webhook(webhook, after=visit.number("after"))
        return visit.go_saying(PATH, f"It goes on behind position {enabled.position}.")
    if act == "remove":
        await visit.ask.remove_webhook(webhook)
        return visit.go_saying(PATH, "It is removed, and its address and secrets are gone.")
    raise Unreadable(
        f"nothing here is called {act!r}", fix="test it, enable it, give it another secret, or remove it"
    )
