"""What every real server can be told to do, wherever it runs."""

from __future__ import annotations

from typing import NoReturn, Protocol

import pytest


class Lifecycle(Protocol):
    def start(self) -> None:
        """Returns when it answers. Nothing happens if it runs already."""

    def stop(self) -> None:
        """As an administrator would; what it stored stays."""

    def kill(self) -> None:
        """As a crash would; what it had synced to disk stays."""

    def remove(self) -> None:
        """It and all it stored are gone."""


class Elsewhere:
    """A server that an address in the environment names: ours to use, not to stop."""

    def __init__(self, variable: str) -> None:
        self._variable = variable

    def start(self) -> None:
        """It runs already, or the tests that need it say so."""

    def stop(self) -> NoReturn:
        pytest.skip(f"the server that {self._variable} names is not the tests' to stop")

    def kill(self) -> NoReturn:
        self.stop()

    def remove(self) -> None:
        """It stays."""
