"""`placet deploy --dry-run`: what a deploy would come to, and nothing is sent or changed anywhere.

What the rules say is found out here, as `placet check` does: of a folder, of an image's source, or of what the
platform fetches from a git address and does not keep. What would be allocated, the deployer says, who alone knows who
holds what.
"""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from placet.cli import exits
from placet.cli.report import refusals_of, tell_reasons
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.cli.submission import Folder, ImageDigest, find_image, meant, must_be_allowed
from placet.cli.verbs.check import Found, find_out, left_to_the_platform
from placet.cli.verbs.quotas import said
from placet.client import Amount, Amounts, Client, HeldQuota, Operation, Placement, Refusal
from placet.errors import Refused, Unknown
from placet.projects import unpack
from placet.rules.sentences import MAX_LISTED


async def rehearse(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await must_be_allowed(platform, "deploy")
        async with _folder(platform, arguments) as (folder, name):
            found, complaints = await _examined(folder, screen)
        project = name or (found.examined.project if found else None)
        is_canary = arguments.canary is not None
        placement = (
            await _placement(platform, project, found, is_canary=is_canary) if project and found else None
        )
        if is_canary and project and not await _serves(platform, project):
            why = f"{project} serves nothing that a canary could run beside"
            complaints = (*complaints, Refusal(why=why, fix="deploy it without a canary"))
    rehearsed = _operation(project, found, complaints, placement)
    if found is not None:
        screen.result(f"{'rules':<12} {found.examined.tally}")
    if placement is not None:
        for topic, words in _told(placement, is_canary=is_canary, is_refused=rehearsed.state == "refused"):
            screen.result(f"{topic:<12} {words}")
    if rehearsed.state == "refused":
        screen.gap()
        screen.error(f"deploy of {project or arguments.source} would be refused")
    tell_reasons(screen.note, rehearsed.refusals)
    left = tuple(left_to_the_platform(found)) if found is not None else ()
    if left:
        screen.note("what only the platform can say:")
        for each in left:
            screen.note(f"  {each}")
    warnings = found.examined.warnings if found is not None else ()
    if warnings:
        screen.note("warnings, which refuse nothing:")
        tell_reasons(screen.note, warnings)
    named = "" if arguments.project is None else f" --project {arguments.project}"
    canary = f" --canary {arguments.canary}" if is_canary else ""
    again = f"; `placet deploy {shlex.quote(arguments.source)}{named}{canary}` does it"
    screen.note(f"nothing was sent or changed{'' if rehearsed.state == 'refused' else again}")
    screen.document(
        {
            **rehearsed.to_json(),
            "placement": None if placement is None else placement.to_json(),
            "warnings": [each.to_json() for each in warnings],
            "leftToThePlatform": left,
        }
    )
    return exits.of_state(rehearsed.state)


@asynccontextmanager
async def _folder(platform: Client, arguments: Namespace) -> AsyncIterator[tuple[Path, str | None]]:
    """The project as a folder, and under which name it would be deployed, if that is not its own."""
    source, name = meant(arguments.source), arguments.project
    if isinstance(source, Folder):
        yield source.path, name
        return
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        archive, folder = Path(scratch) / "source.tar", Path(scratch) / "source"
        if isinstance(source, ImageDigest):
            image = await find_image(platform, source)
            await platform.download_source(image.image, archive)
            name = name or image.project
        else:
            await platform.download_fetched(source.address, archive)
        await asyncio.to_thread(unpack, archive, folder)
        yield folder, name


async def _examined(folder: Path, screen: Screen) -> tuple[Found | None, tuple[Refusal, ...]]:
    try:
        return await asyncio.to_thread(find_out, folder, screen, is_offline=False, most=MAX_LISTED)
    except Refused as no:
        return None, refusals_of(no)


async def _placement(platform: Client, project: str, found: Found, *, is_canary: bool) -> Placement:
    asked = found.examined.manifest.resources
    return await platform.placement(
        project,
        cpu_millis=asked.millicores,
        memory_bytes=asked.memory_bytes,
        gpus=asked.gpu,
        min_replicas=asked.replicas.min,
        max_replicas=asked.replicas.max,
        dockerfile=found.examined.manifest.build.dockerfile is not None,
        canary=is_canary,
    )


async def _serves(platform: Client, project: str) -> bool:
    try:
        return (await platform.model(project)).state == "live"
    except Unknown:
        return False


def _operation(
    project: str | None, found: Found | None, complaints: tuple[Refusal, ...], placement: Placement | None
) -> Operation:
    """As the deploy would be told of, as far as it is known beforehand."""
    no_room: tuple[Refusal, ...] = ()
    if placement is not None and placement.state == "refused":
        no_room = (Refusal(rule="capacity", why=placement.why or "", fix=placement.fix),)
    if found is None:
        return Operation(command="deploy", project=project, state="refused", refusals=complaints)
    missing = tuple(each for no in found.looked.refused for each in refusals_of(no))
    return found.examined.operation(
        "deploy", project=project, complaints=complaints, besides=(*missing, *no_room)
    )


def _told(placement: Placement, *, is_canary: bool, is_refused: bool) -> Iterator[tuple[str, str]]:
    replicas = counted(placement.replicas, "replica")
    together = "" if placement.replicas == 1 else f", {_amount(placement.all)} in all"
    yield "allocates", f"{replicas} of {_amount(placement.each)}{together}"
    yield "where", placement.where
    yield "free", f"{_amount(placement.free)} of {_amount(placement.total)}"
    until = " and goes on" if is_canary else " until it is replaced"
    for each in placement.beside:
        held = Amount(cpu_millis=each.cpu_millis, memory_bytes=each.memory_bytes, gpus=each.gpus)
        yield "beside", f"release {each.release}, which holds {_amount(held)}{until}"
    for quota in placement.quotas:
        yield "quota", _of_quota(quota)
    if is_refused:
        yield "outcome", "it is refused"
        return
    match placement.state:
        case "reserved":
            yield "outcome", "it has room at once"
        case "queued":
            first = "first" if placement.position == 1 else f"number {placement.position}"
            yield "outcome", f"it waits, as {first} in the queue: {placement.why}"
            if placement.fix:
                yield "", placement.fix
        case _:
            yield "outcome", "it is refused"


def _of_quota(quota: HeldQuota) -> str:
    limits = f"{quota.scope} {quota.of} may hold {said(quota.limits)}"
    if not quota.projects:
        return f"{limits}; nobody else holds any of it"
    holds = "holds" if len(quota.projects) == 1 else "hold"
    return f"{limits}; {', '.join(quota.projects)} {holds} {said(quota.held, like=quota.limits)}"


def _amount(amount: Amount) -> str:
    gpus = amount.gpus or None
    return said(Amounts(cpu_millis=amount.cpu_millis, memory_bytes=amount.memory_bytes, gpus=gpus))
