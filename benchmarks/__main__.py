"""Measure everything, print a table, and write `build/bench.json`.

    python -m benchmarks [--events N] [NAME…]

`NAME` picks benchmarks by a part of their module's name, such as `events` or `latency`; none picks all. `--events` is
the size of the audit log that is checked, in its benchmark the larger of two; five million take a quarter of an hour.
The JSON is a list of `{name, value, unit, goal, met}`, first the machine's description. Ends with 1 when a benchmark
could not be run; a goal that was missed is told and fails nothing, since a busy machine misses goals.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import sys
import traceback
from pathlib import Path
from typing import Any

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
    "benchmarks.deploy.starts",
    "benchmarks.deploy.routes",
    "benchmarks.deploy.many",
    "benchmarks.governance.decisions",
    "benchmarks.governance.standing",
    "benchmarks.audit.appends",
    "benchmarks.audit.intake",
    "benchmarks.audit.reading",
    "benchmarks.audit.states",
    "benchmarks.audit.fan_out",
    "benchmarks.console.pages",
    "benchmarks.platform.commands",
    "benchmarks.platform.reads",
)
"""Each has `run()`, plain or async, that returns its rows; it is given the options that it names."""
RESULT = Path("build/bench.json")


def measure(module: str, options: dict[str, Any]) -> list[Row]:
    run = importlib.import_module(module).run
    known = inspect.signature(run).parameters
    answer = run(**{name: value for name, value in options.items() if name in known})
    rows: list[Row] = asyncio.run(answer) if inspect.iscoroutine(answer) else answer
    return rows


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--events", type=int, default=argparse.SUPPRESS)
    options = vars(parser.parse_args(argv))
    names: list[str] = options.pop("names")
    picked = [module for module in BENCHMARKS if not names or any(name in module for name in names)]
    rows = [machine()]
    failed = []
    for module in picked:
        sys.stderr.write(f"{module} …\n")
        try:
            rows.extend(measure(module, options))
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
