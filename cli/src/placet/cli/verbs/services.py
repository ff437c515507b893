"""Verbs for how the services stand, and for what they put aside."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import Client, ParkedMessage, ServiceState


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.services()
    show_services(screen, found)
    parked = sum(each.parked or 0 for each in found)
    if parked:
        screen.note(f"{counted(parked, 'message')} parked: `placet services parked` says why")
    screen.document({"services": [each.to_json() for each in found]})
    return exits.DONE


def show_services(screen: Screen, services: Sequence[ServiceState]) -> None:
    screen.table(
        ("SERVICE", "STATE", "TO HEAR", "TO SEND", "JOBS", "PARKED", "IN THE WAY"),
        [
            (
                each.service,
                _state(each),
                each.lag if each.answers else None,
                each.outbox.waiting if each.outbox else None,
                sum(kind.running + kind.waiting for kind in each.jobs) if each.answers else None,
                each.parked,
                _in_the_way(each),
            )
            for each in services
        ],
    )


async def parked(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        listed, silent = await _parked(platform, arguments.service)
    screen.table(
        ("SERVICE", "MESSAGE", "TYPE", "PROJECT", "PARKED", "ATTEMPTS", "WHY"),
        [
            (
                service,
                each.id,
                each.type or each.routing_key,
                each.project,
                each.parked_at,
                each.attempts,
                each.reason,
            )
            for service, each in listed
        ],
    )
    for each in silent:
        screen.error(
            f"{each.service} does not answer: {each.why}", fix="what it has parked is not known here"
        )
    if not listed and not silent:
        screen.note("nothing is parked")
    elif any(not each.stray for _, each in listed):
        screen.note("mend what is told there, then: `placet services retry SERVICE MESSAGE`, or --all")
    screen.document({"parked": [{"service": service, **each.to_json()} for service, each in listed]})
    return exits.UNAVAILABLE if silent else exits.DONE


async def _parked(
    platform: Client, service: str | None
) -> tuple[list[tuple[str, ParkedMessage]], list[ServiceState]]:
    """What is parked, each with its service, and the services that do not answer."""
    if service is not None:
        return [(service, each) for each in await platform.parked(service)], []
    states = await platform.services()
    listed = [
        (state.service, each)
        for state in states
        if state.answers and state.parked
        for each in await platform.parked(state.service)
    ]
    return listed, [state for state in states if not state.answers]


async def retry(arguments: Namespace, screen: Screen) -> int:
    if (arguments.message is None) != arguments.all:
        raise WrongUsageError(
            "one message is handed back, or all of them",
            fix="give an id from `placet services parked`, or --all",
        )
    async with connect() as platform:
        retried = await platform.retry_parked(arguments.service, arguments.message)
    if retried:
        screen.result(f"{counted(retried, 'message')} handed back to {arguments.service}")
        screen.note("what fails again is parked again: `placet services parked` shows it")
    else:
        screen.result("nothing was handed back: it waits already, or was handled")
    screen.document({"service": arguments.service, "message": arguments.message, "retried": retried})
    return exits.DONE


def _state(each: ServiceState) -> str:
    if not each.answers:
        return "silent" if each.slow else "away"
    return "ready" if each.ready else "not ready"


def _in_the_way(each: ServiceState) -> str | None:
    told = [*([each.why] if each.why else []), *(f"{it.what}: {it.why}" for it in each.hampered)]
    return "; ".join(told) or None
