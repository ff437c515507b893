"""Appends a second: our store, the library `eventsourcing`, and single-row inserts without any lock or order.

All three on one PostgreSQL with fsync on, each in a process of its own, one event a request: the event library's
store with group commit; an aggregate saved by `eventsourcing` (from a virtual environment of its own, made once
under build/bench/venvs); and one INSERT with a bigserial in a transaction of its own. They take turns, in rounds,
so that whatever else the machine does disturbs all of them; the numbers are medians.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, row
from tests.support.servers import PostgreSQL, sources

CHECKOUT = Path(__file__).parents[2]
VENV = CHECKOUT / "build" / "bench" / "venvs" / "eventsourcing"
PEER = "eventsourcing[postgres]==9.5.6"
HERE = Path(__file__).parent
ROUNDS = 5
SECONDS = 1.0
REQUESTS = (1, 8, 32, 200)
GOAL_BESIDE_PEER = 10.0
GOAL_BESIDE_INSERTS = 1.5
OURS, PEERS, INSERTS = "placet", "eventsourcing 9.5.6", "single-row inserts"


def run() -> list[Row]:
    with sources.POSTGRES.running() as server, contextlib.ExitStack() as makers_run:
        makers = {name: makers_run.enter_context(maker) for name, maker in _makers(server).items()}
        rates: dict[tuple[str, int], list[float]] = {}
        for maker in makers.values():
            maker.rate(8, SECONDS)  # connections, caches, first pages
        for _ in range(ROUNDS):
            for requests in REQUESTS:
                for name, maker in makers.items():
                    rates.setdefault((name, requests), []).append(maker.rate(requests, SECONDS))
    medians = {key: statistics.median(each) for key, each in rates.items()}
    rows = [
        row(f"appends: {name}, {requests} concurrent", round(medians[name, requests]), "events/s")
        for requests in REQUESTS
        for name in makers
    ]
    for other, goal in ((PEERS, GOAL_BESIDE_PEER), (INSERTS, GOAL_BESIDE_INSERTS)):
        ratio = round(medians[OURS, 32] / medians[other, 32], 2)
        rows.append(row(f"appends: {OURS} beside {other}, 32 concurrent", ratio, "x", goal=goal))
    return rows


class Maker:
    """A process that is told things over a pipe, a line each, such as `REQUESTS SECONDS`; it answers with a number."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def rate(self, requests: int, seconds: float) -> float:
        """Events a second, of so many at once for so long."""
        return self.ask(f"{requests} {seconds}")

    def ask(self, words: str) -> float:
        said, heard = self._process.stdin, self._process.stdout
        if said is None or heard is None:
            raise RuntimeError("a maker of load is told over pipes")
        said.write(f"{words}\n")
        said.flush()
        answer = heard.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return float(answer)


def _makers(server: PostgreSQL) -> dict[str, contextlib.AbstractContextManager[Maker]]:
    ours = [sys.executable, "-m", "benchmarks.events.append_load"]
    peer = [str(_peer_python()), str(HERE / "eventsourcing_load.py")]
    return {
        OURS: running([*ours, "store", server.create_database()]),
        PEERS: running([*peer, server.create_database()]),
        INSERTS: running([*ours, "inserts", server.create_database()]),
    }


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[Maker]:
    process = subprocess.Popen(  # noqa: S603 - a command of ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    try:
        yield Maker(process)
    finally:
        process.communicate()  # closes its stdin, on which it ends


def _peer_python() -> Path:
    python = VENV / "bin" / "python"
    made = VENV / "made"
    if not made.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)],
            [uv, "pip", "install", "--quiet", "--python", str(python), PEER],
        ):
            subprocess.run(command, check=True)  # noqa: S603 - a command of ours
        made.touch()
    return python
