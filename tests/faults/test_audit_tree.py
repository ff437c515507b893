"""The audit log and its tree under kill -9: what was acknowledged is there, and what was signed stays true.

`PLACET_KILLS` says how often; a thousand take some minutes on each database.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("PLACET_KILLS", "60"))
SEED = 20261127

pytestmark = pytest.mark.slow


def kill(folder: Path, *database_url: str) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.audit_killer",
            str(folder),
            str(KILLS),
            str(SEED),
            *database_url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rounds, events, checkpoints = map(int, ended.stdout.split())
    assert rounds == KILLS
    assert events > rounds
    assert checkpoints > 0, "or nothing was verified but that events are there"


def test_a_log_in_a_file_verifies_after_every_kill(tmp_path: Path) -> None:
    kill(tmp_path)


def test_a_log_in_postgresql_verifies_after_every_kill(tmp_path: Path, database_url: str) -> None:
    kill(tmp_path, database_url)
