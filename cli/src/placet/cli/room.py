"""Has the platform room for a project? Asked where one is known, in the deployer's words; nothing of it is sent but how
much it asks for.

A platform that cannot be asked says nothing against a project.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from placet.cli.session import connect
from placet.client import Capacity, Client, Refusal
from placet.errors import PlacetError
from placet.projects import Manifest

SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class AskedFor:
    """What a deploy would be refused, whatever else is stopped; what it would be now; and why nobody knows, if so."""

    refused: tuple[Refusal, ...] = ()
    for_now: tuple[Refusal, ...] = ()
    left_open: str | None = None


def ask_for_room(project: str, manifest: Manifest) -> AskedFor:
    try:
        return asyncio.run(_ask(project, manifest))
    except PlacetError as error:
        return AskedFor(left_open=error.detail)
    except TimeoutError:
        return AskedFor(left_open=f"the platform took longer than {SECONDS:g} s")


async def _ask(project: str, manifest: Manifest) -> AskedFor:
    async with asyncio.timeout(SECONDS), connect() as platform:
        said = await _capacity(platform, project, manifest)
    refusals = [(each.is_lasting, Refusal(why=each.why, fix=each.fix)) for each in said.refusals]
    return AskedFor(
        refused=tuple(each for is_lasting, each in refusals if is_lasting),
        for_now=tuple(each for is_lasting, each in refusals if not is_lasting),
    )


async def _capacity(platform: Client, project: str, manifest: Manifest) -> Capacity:
    asked = manifest.resources
    return await platform.capacity(
        project=project or None,
        cpu_millis=asked.millicores,
        memory_bytes=asked.memory_bytes,
        gpus=asked.gpu,
        dockerfile=manifest.build.dockerfile is not None,
    )
