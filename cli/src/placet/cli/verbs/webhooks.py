"""Verbs for webhooks: who has events told where, and how far each is."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import Webhook


async def add(arguments: Namespace, screen: Screen) -> int:
    after = None if arguments.first is None else arguments.first - 1
    async with connect() as platform:
        added = await platform.add_webhook(
            arguments.url, type=arguments.type, project=arguments.project, after=after
        )
    screen.note(f"webhook {added.webhook} sends what comes after position {added.position} to {added.url}")
    _hand_over(added, screen)
    screen.note(f"`placet webhook test {added.webhook}` sends it a message to try it out")
    return exits.DONE


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.webhooks()
    screen.table(
        ("WEBHOOK", "STATE", "POSITION", "OF", "TYPE", "PROJECT", "URL"),
        [
            (each.webhook, each.state, each.position, each.head, each.type, each.project, each.url)
            for each in found
        ],
    )
    if not found:
        screen.note("there is no webhook yet: `placet webhook add URL` has events sent to an address")
    screen.document({"webhooks": [_told(each) for each in found]})
    return exits.DONE


async def show(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.webhook(arguments.webhook)
    _tell(found, screen)
    screen.document(_told(found))
    return exits.DONE


async def rotate(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        rotated = await platform.rotate_webhook(arguments.webhook)
    screen.note(
        f"webhook {rotated.webhook} has another secret; until {rotated.old_secret_until} the one before signs, too"
    )
    _hand_over(rotated, screen)
    return exits.DONE


async def enable(arguments: Namespace, screen: Screen) -> int:
    after = None if arguments.first is None else arguments.first - 1
    async with connect() as platform:
        enabled = await platform.enable_webhook(arguments.webhook, after=after)
    screen.result(f"webhook {enabled.webhook} goes on with what comes after position {enabled.position}")
    screen.document(_told(enabled))
    return exits.DONE


async def test(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        tried = await platform.test_webhook(arguments.webhook)
    if tried.taken:
        screen.result(f"it took the message {tried.id}: {tried.status}")
    else:
        screen.error(
            f"it did not take the message {tried.id}: {tried.trouble}",
            fix="whoever receives answers 2xx within 20 seconds, once the signature holds:"
            " docs/how-to/subscribe-with-webhooks.md",
        )
    screen.document(tried.to_json())
    return exits.DONE if tried.taken else exits.REFUSED


async def remove(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.remove_webhook(arguments.webhook)
    screen.result(f"webhook {arguments.webhook} is removed, and its address and secrets are gone")
    screen.document({"webhook": arguments.webhook, "removed": True})
    return exits.DONE


def _hand_over(made: Webhook, screen: Screen) -> None:
    screen.note("its secret is shown this once, for whoever receives:")
    if not screen.is_json:
        screen.result(made.secret or "")
    screen.document(made.to_json())


def _tell(found: Webhook, screen: Screen) -> None:
    screen.result(f"{found.url}: {found.state}, at position {found.position} of {found.head}")
    if (last := found.last_answer) is not None:
        came = last.trouble or f"taken ({last.status})"
        screen.result(f"  position {last.position} at {last.at}: {came}")
    if found.failing_since is not None:
        screen.result(f"  failing since {found.failing_since}: {counted(found.failures, 'time')}")
    if found.next_attempt is not None:
        screen.result(f"  next attempt at {found.next_attempt}")
    if found.state == "disabled":
        said = "it answered 410: whoever receives is gone" if found.why == "gone" else "it failed for days"
        screen.result(f"  {said}")
        screen.note(
            f"  fix: placet webhook enable {found.webhook}, once it is there again; nothing is left out"
        )


def _told(found: Webhook) -> dict[str, object]:
    """Without a secret, which was told once."""
    document = found.to_json()
    del document["secret"]
    return document
