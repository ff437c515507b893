"""Who is told to end before all is imported does so by itself: as the first process of its machine, which it is in a
container, nobody else would end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = ("builder", "certifier", "deployer", "gateway", "indexer", "metadata")
IMPORTED = "import sys\nprint('importing', flush=True)\nsys.stdin.read()\n"


@pytest.mark.parametrize(
    ("program", "imports"), [*((each, "msgspec") for each in SERVICES), ("runtime", "uvicorn")]
)
def test_who_imports_ends_at_once(tmp_path: Path, program: str, imports: str) -> None:
    (tmp_path / f"{imports}.py").write_text(IMPORTED)
    with subprocess.Popen(
        [sys.executable, "-m", f"placet.{program}"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert not process.stderr.read()
