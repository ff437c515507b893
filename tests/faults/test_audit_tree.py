"""The audit log and its tree under kill -9, power cuts and failing syncs: what was acknowledged is there, and what was
signed stays true.

`PLACET_KILLS` says how often; a thousand take about half an hour with each fault on each database.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.brittle_disk import BrittleDisk, built
from tests.support.servers import postgresql, sources

KILLS = {"kill": 60, "power": 20, "sync": 20}
SEED = 20261127

pytestmark = pytest.mark.slow


def kill(folder: Path, fault: str, *database_url: str, disk: dict[str, str] | None = None) -> dict[str, Any]:
    kills = int(os.environ.get("PLACET_KILLS", KILLS[fault]))
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.audit_killer",
            *(str(folder), str(kills), str(SEED), fault),
            *database_url,
        ],
        env={**os.environ, **(disk or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["kills"] == kills
    assert told["events"] > kills
    assert told["checkpoints"] > 0, "or nothing was verified but that events are there"
    assert fault == "kill" or told["cuts"] > 0
    if fault == "sync":
        assert told["failed syncs"] > 0
        assert told["troubles"], "somebody was told"
    return told


def brittle(folder: Path) -> dict[str, str]:
    return BrittleDisk(folder / "lasting", folder).environment(built(folder))


def test_a_log_in_a_file_verifies_after_every_kill(tmp_path: Path) -> None:
    kill(tmp_path, "kill")


def test_a_log_in_a_file_verifies_after_every_power_cut(tmp_path: Path) -> None:
    told = kill(tmp_path, "power", disk=brittle(tmp_path))
    assert told["lost sectors"] > 0


def test_a_log_in_a_file_verifies_after_syncs_that_failed_and_says_which_disk_it_was(tmp_path: Path) -> None:
    told = kill(tmp_path, "sync", disk=brittle(tmp_path))
    assert all(str(tmp_path / "lasting") in each or "witness" in each for each in told["troubles"])


def test_a_log_in_postgresql_verifies_after_every_kill(tmp_path: Path, database_url: str) -> None:
    kill(tmp_path, "kill", database_url)


@pytest.mark.parametrize("fault", ["power", "sync"])
def test_a_log_in_a_postgresql_that_dies_with_it_verifies(tmp_path: Path, fault: str) -> None:
    """The power is cut for both, and the server's own syncs fail."""
    if postgresql.can_run_locally() is None:
        sources.cannot_be_had("postgres", "its programs are not on this machine (`make servers`)")
    told = kill(tmp_path, fault, "own")
    assert told["lost sectors"] > 0
