"""How the whole platform stands, in one screen: what is wrong with it, and what to do about that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.cli.verbs.services import show_services
from placet.client import Client, Model, ServiceState, Webhook
from placet.errors import Forbidden, PlacetError

WRONG = ("quarantined", "failed")
"""States of a model that was to serve, and does not."""
SILENT = 60.0
"""Seconds; each read model says every few that it lives."""
SHOWN = 5
"""Models of a kind that are named; of more it is told how to list them."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """`about` is a service, a project, a webhook or a part of the platform."""

    about: str
    what: str
    fix: str


async def tell(screen: Screen) -> int:
    async with connect() as platform:
        services = await platform.services()
        troubles = [each for service in services for each in of_service(service)]
        if any(each.service == "gateway" and each.answers for each in services):
            found = await asyncio.gather(_of_models(platform), _of_room(platform), _of_webhooks(platform))
            troubles += [each for some in found for each in some]
    show_services(screen, services)
    screen.gap()
    for each in troubles:
        screen.error(f"{each.about}: {each.what}", fix=each.fix)
    if not troubles:
        screen.result(f"all is well: {counted(len(services), 'service')} at work, and what is to serve does")
    screen.document(
        {
            "well": not troubles,
            "services": [each.to_json() for each in services],
            "troubles": [asdict(each) for each in troubles],
        }
    )
    if not any(each.answers for each in services):
        return exits.UNAVAILABLE
    return exits.REFUSED if troubles else exits.DONE


def of_service(each: ServiceState) -> Iterator[Trouble]:
    log = f"see the log of the service {each.service}"
    if each.slow:
        fix = f"see how busy its machine and the database are; {log}"
        yield Trouble(about=each.service, what=each.why or "it did not answer in time", fix=fix)
    elif not each.answers:
        fix = f"see whether it runs, and start it again: nothing is lost by that; {log}"
        yield Trouble(about=each.service, what=f"nothing is known of it: {each.why}", fix=fix)
    elif not each.ready:
        fix = f"it goes on by itself as soon as that is mended; {log}"
        yield Trouble(about=each.service, what=f"it does not do its work: {each.why}", fix=fix)
    for hampered in each.hampered:
        fix = "it goes on by itself as soon as that is there again"
        yield Trouble(about=each.service, what=f"{hampered.what}: {hampered.why}", fix=fix)
    if each.parked:
        fix = f"`placet services parked {each.service}` says why; mend that, then `placet services retry`"
        yield Trouble(about=each.service, what=f"{counted(each.parked, 'message')} parked", fix=fix)
    for one in each.projections:
        if one.beat_age is not None and one.beat_age > SILENT:
            what = f"its read model {one.name} has said nothing for {one.beat_age:.0f} s and is {one.lag} events behind"
            yield Trouble(about=each.service, what=what, fix=f"start the {each.service} again; {log}")


async def _of_models(platform: Client) -> list[Trouble]:
    found = []
    for state in WRONG:
        page = await platform.watched_models(state=state, windows=0, limit=SHOWN + 1)
        found += [_of_model(each) for each in page.models[:SHOWN]]
        if len(page.models) > SHOWN:
            found.append(_more(state))
    lapsing = await platform.watched_models(state="live", lapsing=True, windows=0, limit=SHOWN + 1)
    for each in lapsing.models[:SHOWN]:
        what = f"its certificate ends {each.certified_until}, and it leaves its URL then"
        found.append(
            Trouble(
                about=each.project,
                what=what,
                fix=f"`placet certificate renew {each.project}` has it judged anew",
            )
        )
    if len(lapsing.models) > SHOWN:
        found.append(_more("lapsing"))
    return found


def _of_model(model: Model) -> Trouble:
    why = f": {model.detail}" if model.detail else ""
    fix = f"`placet status {model.project}` says what to do"
    return Trouble(about=model.project, what=f"{model.state}{why}", fix=fix)


def _more(state: str) -> Trouble:
    return Trouble(about="models", what=f"more are {state}", fix="`placet list` shows all of them")


async def _of_room(platform: Client) -> list[Trouble]:
    try:
        room = await platform.capacity()
    except PlacetError as error:
        return [Trouble(about="room", what=str(error), fix=error.fix or "see the log of the deployer")]
    used_up = [
        name
        for name, total, free in (
            ("CPU", room.total.cpu_millis, room.free.cpu_millis),
            ("memory", room.total.memory_bytes, room.free.memory_bytes),
        )
        if total and free <= 0
    ]
    if not used_up:
        return []
    fix = "stop what need not serve, or give models more: PLACET_CPU, PLACET_MEMORY of the deployer"
    return [
        Trouble(
            about="room",
            what=f"there is no {' and no '.join(used_up)} left for models, so deploys wait",
            fix=fix,
        )
    ]


async def _of_webhooks(platform: Client) -> list[Trouble]:
    try:
        hooks: Sequence[Webhook] = await platform.webhooks()
    except Forbidden:  # they are for others to see to
        return []
    except PlacetError as error:
        return [Trouble(about="webhooks", what=str(error), fix=error.fix or "see the log of metadata")]
    return [
        Trouble(
            about=f"webhook {each.webhook}",
            what=f"{each.url} is {each.state}{f', {each.why}' if each.why else ''}",
            fix="see that the address takes it"
            if each.state == "failing"
            else f"`placet webhook enable {each.webhook}` goes on once the address takes it",
        )
        for each in hooks
        if each.state != "enabled"
    ]
