"""The platform a verb speaks to, as the environment says."""

from __future__ import annotations

import math
import os

from placet.cli.exits import WrongSettingError
from placet.cli.screen import Screen
from placet.client import Client, find
from placet.errors import TooMany, Unreadable


def connect() -> Client:
    try:
        return Client(find(os.environ), on_wait=_tell_of_waiting)
    except Unreadable as mistyped:
        raise WrongSettingError(mistyped.detail, fix=mistyped.fix) from mistyped


def _tell_of_waiting(why: TooMany, seconds: float) -> None:
    """On stderr, whatever the verb prints: without a word it would look as if nothing happened."""
    Screen(is_json=False).note(f"{why.detail}; asking again in {math.ceil(seconds)} s")
