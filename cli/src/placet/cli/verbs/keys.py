"""Verbs for the keys that certificates are signed with. Their files are where the certifier runs, and so is who rotates
them: no token of the platform reaches a key."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import in_utc
from placet.trust import OwnKeys

JUST_NOW = timedelta(minutes=1)


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.keys()
    screen.table(
        ("KEY", "FROM", "UNTIL", "WHY", "COMPROMISED"),
        [(each.kid, each.from_, each.until, each.why, each.compromised) for each in found],
    )
    screen.document({"keys": [each.to_json() for each in found]})
    return exits.DONE


async def rotate(arguments: Namespace, screen: Screen) -> int:
    now = _now()
    if arguments.at is not None and arguments.at < now - JUST_NOW:
        # A year that is mistyped would have deployers elsewhere refuse what is signed from now on.
        raise exits.WrongUsageError(
            f"{in_utc(arguments.at)} has passed, and no key is dated back",
            fix="give a moment to come; without --at the next key signs from now on",
        )
    keys = OwnKeys(arguments.key, _now)
    made = keys.rotate(at=arguments.at or now, why=arguments.why)
    begins = "now" if made.from_ is None else in_utc(made.from_)
    until = "" if made.until is None else f", until {in_utc(made.until)}, when the next one does as it was to"
    screen.result(f"the key {made.kid} signs from {begins} on{until}")
    _hand_over(keys.published, screen)
    screen.document({"kid": made.kid, "from": begins, "history": str(keys.published)})
    return exits.DONE


async def distrust(arguments: Namespace, screen: Screen) -> int:
    keys = OwnKeys(arguments.key, _now)
    told = keys.compromise(arguments.kid, at=arguments.at or _now())
    since = "now" if told.compromised is None else in_utc(told.compromised)
    screen.result(f"nothing counts that the key {told.kid} signed, from {since} on")
    screen.note("the certifier revokes those certificates then, and their models leave their routes")
    _hand_over(keys.published, screen)
    screen.document({"kid": told.kid, "compromised": since, "history": str(keys.published)})
    return exits.DONE


def _hand_over(history: Path, screen: Screen) -> None:
    screen.note(
        f"hand {history} to those who verify: deployers elsewhere and whoever checks certificates; of the log's key,"
        " witnesses and auditors"
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
