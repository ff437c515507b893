"""What was logged in a test."""

from __future__ import annotations

import logging

import pytest

BELATED = (
    "never retrieved",
    "Task was destroyed",
    "Unclosed",
    "Unknown child process",
    "that handles pid",
)
"""What asyncio says of what earlier tests left, whenever that is collected or its thread comes to it."""


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """All but what nobody can tell the test of."""
    return [
        each
        for each in caplog.records
        if each.name != "asyncio" or not any(words in each.getMessage() for words in BELATED)
    ]
