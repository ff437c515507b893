"""No program waits for tasks in a way that loses what it was told (docs/decisions/0098-who-is-told-to-stop-stops.md).

Ruff's list of what is banned holds for tests, too, whose groups may be asyncio's.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools import workspace

OURS = "libs/events/src/placet/events/tasks.py"
PROGRAMS = ["libs", "services", "runtime", "witness", "verifier", "cli"]


def groups(source: str) -> list[int]:
    """The lines that name asyncio's group, however it was imported."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr == "TaskGroup")
        or (isinstance(node, ast.ImportFrom) and node.module == "asyncio" and "TaskGroup" in names(node))
    ]


def names(imported: ast.ImportFrom) -> list[str]:
    return [each.name for each in imported.names]


def found() -> set[str]:
    return {
        f"{path.relative_to(workspace.ROOT)}:{line}"
        for folder in PROGRAMS
        for path in Path(workspace.ROOT / folder).rglob("src/**/*.py")
        for line in groups(path.read_text(encoding="utf-8"))
    }


def test_no_program_uses_a_group_that_loses_a_cancellation() -> None:
    assert {each.partition(":")[0] for each in found()} == {OURS}


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.TaskGroup()",
        "from asyncio import TaskGroup",
        "import asyncio as a\na.TaskGroup",
    ],
)
def test_it_is_found_however_it_was_imported(source: str) -> None:
    assert groups(source)
