"""Measure everything, print a table, and write `build/bench.json`.

    python -m benchmarks [NAME…]

`NAME` picks benchmarks by a part of their module's name, such as `events` or `latency`; none picks all. The JSON is
a list of `{name, value, unit, goal, met}`, first the machine's description. Ends with 1 when a benchmark could not
be run; a goal that was missed is told and fails nothing, since a busy machine misses goals.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from pathlib import Path

import pytest

from benchmarks.machine import machine
from benchmarks.rows import Row, table

BENCHMARKS = (
    "benchmarks.events.appends",
    "benchmarks.events.replay",
    "benchmarks.events.latency",
    "benchmarks.runtime.model_servers",
    "benchmarks.builder.images",
    "benchmarks.builder.beside_docker",
    "benchmarks.deploy.road",
    "benchmarks.governance.decisions",
    "benchmarks.governance.standing",
)
"""Each has `run()`, plain or async, that returns its rows."""
RESULT = Path("build/bench.json")


def measure(module: str) -> list[Row]:
    answer = importlib.import_module(module).run()
    rows: list[Row] = asyncio.run(answer) if inspect.iscoroutine(answer) else answer
    return rows


def main(names: list[str]) -> int:
    picked = [module for module in BENCHMARKS if not names or any(name in module for name in names)]
    rows = [machine()]
    failed = []
    for module in picked:
        sys.stderr.write(f"{module} …\n")
        try:
            rows.extend(measure(module))
        except (Exception, pytest.skip.Exception):  # noqa: BLE001 - the others are still worth measuring
            failed.append(module)
            traceback.print_exc()
    sys.stdout.write(f"{table(rows)}\n")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    for module in failed:
        sys.stderr.write(f"{module} could not be run\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
