"""`placet garbage`: what of the registry nothing needs, and its removal."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import in_bytes
from placet.client import GarbageItem

HEAD = ("", "KIND", "DIGEST", "PROJECT", "RELEASE", "SIZE", "WHY")


async def garbage(arguments: Namespace, screen: Screen) -> int:
    if arguments.collect:
        return await _collect(arguments.older_than, screen)
    async with connect() as platform:
        found = await platform.garbage(older_than=arguments.older_than)
    screen.table(HEAD, [*_rows("remove", found.remove), *_rows("keep", found.keep)])
    if found.remove:
        screen.note(
            f"nothing was removed; `placet garbage --collect` removes {len(found.remove)} of "
            f"{len(found.remove) + len(found.keep)}, {in_bytes(found.bytes)}"
        )
    else:
        screen.note("there is no garbage")
    screen.document(found.to_json())
    return exits.DONE


async def _collect(older_than: int | None, screen: Screen) -> int:
    async with connect() as platform:
        collected = await platform.collect_garbage(older_than=older_than)
    screen.table(HEAD, _rows("removed", collected.removed))
    screen.note(f"{len(collected.removed)} removed, {in_bytes(collected.bytes)}")
    screen.document(collected.to_json())
    if collected.stopped is None:
        return exits.DONE
    screen.error(f"the rest was not removed: {collected.stopped.why}", fix=collected.stopped.fix)
    return exits.REFUSED


def _rows(what: str, items: Iterable[GarbageItem]) -> list[tuple[object | None, ...]]:
    return [
        (what, item.kind, item.digest, item.project, item.release, in_bytes(item.bytes), item.why)
        for item in items
    ]
