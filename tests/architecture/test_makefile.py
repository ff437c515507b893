"""`make help` lists what people script against, and every line of it is a target that exists."""

from __future__ import annotations

import re
import subprocess

from tools import workspace

PROMISED = {"demo", "up", "check", "test", "test-unit", "test-system", "bench", "flow", "docs", "help"}


def test_help_lists_every_target() -> None:
    told = subprocess.run(["make", "help"], cwd=workspace.ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make (\S+)", told.stdout, re.MULTILINE))
    targets = re.findall(r"^\.PHONY: (.*)$", (workspace.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed >= PROMISED
    assert listed == set(" ".join(targets).split())
