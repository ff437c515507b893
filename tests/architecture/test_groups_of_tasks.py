"""Programs use groups of tasks, and what fails in them, as every Python does that is supported.

`asyncio.TaskGroup` loses a cancellation that meets a failure, up to Python 3.12: there is one of our own
(docs/decisions/0098-who-is-told-to-stop-stops.md). What is raised in an `except*` comes out as a group up to 3.11.3,
which no `except` finds that names the error. Ruff's list of what is banned would hold for tests, too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import workspace

OURS = "libs/events/src/placet/events/tasks.py"
PROGRAMS = ["libs", "services", "runtime", "witness", "verifier", "cli"]


def groups(source: str) -> Iterator[int]:
    """The lines that name asyncio's group, however it was imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "TaskGroup":
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module in ("asyncio", "asyncio.taskgroups"):
            yield from (node.lineno for each in node.names if each.name == "TaskGroup")


def raised_in_groups(source: str) -> Iterator[int]:
    """The lines of an `except*` that raise something else than what came."""
    for node in ast.walk(ast.parse(source)):
        for handler in node.handlers if isinstance(node, ast.TryStar) else ():
            for each in ast.walk(handler):
                if isinstance(each, ast.Raise) and each.exc is not None:
                    yield each.lineno


def found(lines_of: Callable[[str], Iterator[int]]) -> set[str]:
    return {
        str(path.relative_to(workspace.ROOT))
        for folder in PROGRAMS
        for path in Path(workspace.ROOT / folder).rglob("src/**/*.py")
        if [*lines_of(path.read_text(encoding="utf-8"))]
    }


def test_no_program_uses_a_group_that_loses_a_cancellation() -> None:
    assert found(groups) == {OURS}


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.TaskGroup()",
        "from asyncio import TaskGroup",
        "from asyncio.taskgroups import TaskGroup as Group",
        "import asyncio as a\na.TaskGroup",
    ],
)
def test_it_is_found_however_it_was_imported(source: str) -> None:
    assert [*groups(source)]


def test_nothing_is_raised_where_it_would_come_as_a_group() -> None:
    assert found(raised_in_groups) == set()


@pytest.mark.parametrize(
    ("handler", "is_raised"), [("raise KeyError from error", True), ("raise", False), ("pass", False)]
)
def test_what_is_raised_there_is_found(handler: str, is_raised: bool) -> None:
    source = f"try:\n    pass\nexcept* ValueError as error:\n    if error:\n        {handler}\n"
    assert bool([*raised_in_groups(source)]) is is_raised
