"""Programs in Go, which say what other implementations of a format say. Built here, and without a network: what they
import comes from Debian's packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.servers import sources

GOPATH = Path("/usr/share/gocode")
"""Where Debian has the sources of Go's packages."""


class Program:
    """Is asked a list of questions and gives as many answers, both as JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        done = subprocess.run([self._path], input=json.dumps(questions).encode(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        assert len(answers) == len(questions)
        return answers


def built(source: Path, into: Path, *, needs: str) -> Program:
    """The program whose folder is `source`; skips the test where Go or the package `needs` is not there."""
    go = shutil.which("go")
    if go is None:
        sources.cannot_be_had("go", "it is not installed (`make servers`)")
    if not (GOPATH / "src" / needs).is_dir():
        sources.cannot_be_had("go", f"the source of {needs} is not at {GOPATH} (`make servers`)")
    program = into / source.name
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOFLAGS": "",
        "GOCACHE": str(into / "cache"),
        "CGO_ENABLED": "0",
    }
    done = subprocess.run([go, "build", "-o", program, "."], cwd=source, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return Program(program)
