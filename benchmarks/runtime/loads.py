"""Run `load.py` beside what it loads, on a core that servers can be kept off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LONGEST = 120.0


def cores() -> tuple[int, int]:
    """The servers' and the load's; the same where there is one only."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


def make_load(
    port: int, path: str, bodies: Sequence[bytes], connections: int, seconds: float
) -> dict[str, float]:
    """What `load.py` says: requests, the seconds that they took, p50 and p99 in milliseconds."""
    maker = Path(__file__).with_name("load.py")
    done = subprocess.run(  # noqa: S603 -- a command of ours
        [sys.executable, "-S", str(maker), "127.0.0.1", str(port), path, str(connections), str(seconds)],
        input=b"\n".join(bodies),
        capture_output=True,
        check=False,
        timeout=LONGEST,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores()[1]}),
    )
    if done.returncode:
        raise RuntimeError(f"{path} on port {port}: {done.stderr.decode()[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result
