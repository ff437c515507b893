"""The platform a verb speaks to, as the environment says."""

from __future__ import annotations

import os

from placet.cli.exits import WrongSettingError
from placet.client import Client, find
from placet.errors import Unreadable


def connect() -> Client:
    try:
        return Client(find(os.environ))
    except Unreadable as mistyped:
        raise WrongSettingError(mistyped.detail, fix=mistyped.fix) from mistyped
