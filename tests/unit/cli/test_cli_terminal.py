"""Progress on a real terminal, as a pseudo-terminal shows it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.fake_platform import FakePlatform


def on_a_terminal(*argv: str, columns: int = 80, **said: str) -> str:
    """Everything the command writes to a terminal so wide, with what else the environment says."""
    ours, theirs = pty.openpty()
    environ = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        "LINES": "40",
        "PYTHONIOENCODING": "utf-8",
        **said,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "placet.cli", *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so when the last writer has gone
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    process.wait(timeout=60)
    return written.decode().replace("\r\n", "\n")


def test_steps_are_drawn_in_place_aligned_and_left_standing(platform: FakePlatform, project: Path) -> None:
    written = on_a_terminal("deploy", str(project))
    assert "\x1b[?25l" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is given back"
    last_picture = written[written.rindex("requested") :]
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last_picture).replace("\r", "")
    steps = [line for line in shown.splitlines() if line.startswith("  ✓ ")]
    assert [line.split()[1] for line in steps] == [
        "cleared",
        "reserved",
        "built",
        "indexed",
        "certified",
        "live",
    ]
    assert {line.index(" s") for line in steps} == {steps[0].index(" s")}
    assert f"\n{platform.url}/models/wine\n" in shown
    assert "100 % of " in written


def test_what_is_still_to_come_is_shown_as_such_and_a_refusal_ends_the_list(
    platform: FakePlatform, project: Path
) -> None:
    platform.outcome = "refused"
    written = on_a_terminal("deploy", str(project))
    assert "✗" in written
    last_picture = written[written.rindex("requested") :]
    assert "reserved" not in last_picture
    assert "nobody owns it" in last_picture


def test_no_color_means_none(platform: FakePlatform, project: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    assert coloured.search(on_a_terminal("deploy", str(project)))
    assert not coloured.search(on_a_terminal("deploy", str(project), NO_COLOR="1"))


def test_a_terminal_that_cannot_draw_gets_a_line_for_each_step(platform: FakePlatform, project: Path) -> None:
    written = on_a_terminal("deploy", str(project), TERM="dumb")
    assert "\x1b" not in written
    steps = [line.split()[1] for line in written.splitlines() if line.startswith("done ")]
    assert steps[0] == "packed"
    assert steps[-1] == "live"


@pytest.mark.parametrize("typed", ["--help", "deploy --help", "audit replay --help", "fly"])
def test_help_keeps_within_a_narrow_terminal(typed: str) -> None:
    assert max(map(len, on_a_terminal(*typed.split(), columns=46).splitlines())) <= 46


def test_a_table_that_is_wider_than_the_terminal_becomes_blocks_and_loses_nothing(
    platform: FakePlatform, project: Path
) -> None:
    on_a_terminal("deploy", str(project))
    assert on_a_terminal("list", columns=120).splitlines()[0].split() == [
        "PROJECT",
        "RELEASE",
        "STATE",
        "CANARY",
        "URL",
    ]
    assert on_a_terminal("list", columns=46).splitlines() == [
        "PROJECT  wine",
        "RELEASE  1",
        "STATE    live",
        "CANARY   -",
        f"URL      {platform.url}/models/wine",
    ]
