"""`placet releases`: every release of a project, by its number."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Release


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = [each async for each in platform.releases(arguments.project)]
    screen.table(
        ("RELEASE", "STATE", "LIVE", "ENDED", "WHY", "IMAGE", "CERTIFICATE"),
        [
            (
                each.release,
                each.state,
                _minute(each.live_at or each.tried_at),
                _minute(each.ended_at),
                _why(each),
                each.image,
                each.certificate and f"{each.certificate_state}  {each.certificate}",
            )
            for each in found
        ],
    )
    screen.document({"releases": [each.to_json() for each in found]})
    return exits.DONE


def _minute(time: str | None) -> str | None:
    return time and f"{time[:16]}Z"


def _why(release: Release) -> str | None:
    """What it is a release for, where that is no new source, or why it serves no more."""
    by = release.replaced_by
    if by is None:
        return release.why
    if by.back_to is not None:
        return f"release {by.release} went back to {by.back_to}"
    return f"release {by.release} {'renewed it' if by.command == 'renew' else 'took its place'}"
