"""What a test has logged."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import pytest

Logged = Callable[[], list[logging.LogRecord]]

_OF_WATCHERS = ("Unknown child process", "that handles pid")


def logged_from_here_on(caplog: pytest.LogCaptureFixture) -> Logged:
    """Nothing of what earlier tests left, which asyncio tells of when it is collected, or when a thread of its own that
    waits for a child's end comes to it."""
    gc.collect()
    caplog.clear()

    def logged() -> list[logging.LogRecord]:
        return [
            each
            for each in caplog.records
            if each.name != "asyncio" or not any(words in each.getMessage() for words in _OF_WATCHERS)
        ]

    return logged
