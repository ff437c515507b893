"""The runtime beside other model servers, on a linear model, a random forest and gradient-boosted trees.

    python -m benchmarks.runtime.model_servers [MODEL…]

One model after the other, all servers of it run side by side and are asked in turn, in short rounds, by a process
that only makes load: whatever else the machine does disturbs all of them. The servers have one core, the load has the
other. What counts is the middle of the ratios within each round. Before anything is timed, every server has answered
every row as the model does that was trained, one after the other and sixteen at once.

Ready is the first good answer after the process's start, alone on its core; the memory is the resident set of
the server's largest process, after the load.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.rows import Row, row, table
from benchmarks.runtime.loads import cores, make_load
from benchmarks.runtime.models import Trained, trained
from benchmarks.runtime.servers import BARE, PLACET, Server, servers

ROUNDS = 5
SECONDS = 0.5
WARM_SECONDS = 0.5
CONNECTIONS = (1, 16, 64)
BESIDE_PEERS = {1: 1.3, 16: 5.0}
BESIDE_BARE = {1: 0.95}
START_WITHIN = 120.0


@dataclass(kw_only=True)
class Measured:
    ready: float
    memory: float = 0.0
    rates: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in CONNECTIONS})
    p99: dict[int, list[float]] = field(default_factory=lambda: {each: [] for each in CONNECTIONS})

    def rate(self, connections: int) -> float:
        return statistics.median(self.rates[connections])


def run(*names: str) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as made:
        for model in trained(Path(made) / "models"):
            if not names or any(name in model.name for name in names):
                rows += _rows(model, _measured(model, Path(made) / model.name.replace(" ", "-")))
    return rows


def _measured(model: Trained, folder: Path) -> dict[str, Measured]:
    with contextlib.ExitStack() as running:
        ports = iter(free_ports(16))
        started = {
            server.name: (server, running.enter_context(Running(server)))
            for server in servers(model, folder, ports)
        }
        measured = {name: Measured(ready=process.ready) for name, (_, process) in started.items()}
        for server, _ in started.values():
            check(server, model)
            _load(server, CONNECTIONS[-1], WARM_SECONDS)
        for turn in range(ROUNDS):
            for connections in CONNECTIONS:
                for server in _turned([server for server, _ in started.values()], turn):
                    took = _load(server, connections, SECONDS)
                    measured[server.name].rates[connections].append(took["requests"] / took["seconds"])
                    measured[server.name].p99[connections].append(took["p99"])
        for name, (_, process) in started.items():
            measured[name].memory = process.memory()
        return measured


def _turned(all_of_them: list[Server], by: int) -> list[Server]:
    by = by % len(all_of_them)
    return all_of_them[by:] + all_of_them[:by]


def _rows(model: Trained, measured: dict[str, Measured]) -> list[Row]:
    rows = [each for connections in CONNECTIONS for each in _rates(model, measured, connections)]
    for what, unit, digits, of in (
        ("ready after", "s", 2, {name: each.ready for name, each in measured.items()}),
        ("memory", "MB", 0, {name: each.memory for name, each in measured.items()}),
    ):
        rows += [
            row(f"{model.name}: {name}, {what}", round(value, digits), unit) for name, value in of.items()
        ]
        least = min((value, name) for name, value in of.items() if name not in (PLACET, BARE))
        for other, value, goal in ((f"the least peer ({least[1]})", least[0], 1.0), (BARE, of[BARE], None)):
            name = f"{model.name}: {what}, {other} / placet"
            rows.append(row(name, round(value / of[PLACET], 2), "x", goal=goal))
    return rows


def _rates(model: Trained, measured: dict[str, Measured], connections: int) -> Iterator[Row]:
    where = f"{connections} connection{'s' if connections > 1 else ''}"
    for name, each in measured.items():
        yield row(f"{model.name}, {where}: {name}", round(each.rate(connections)), "requests/s")
        p99 = statistics.median(each.p99[connections])
        yield row(f"{model.name}, {where}: {name}, p99", round(p99, 2), "ms")
    ratios = {
        name: statistics.median(
            ours / theirs
            for ours, theirs in zip(measured[PLACET].rates[connections], each.rates[connections], strict=True)
        )
        for name, each in measured.items()
        if name != PLACET
    }
    bare = ratios.pop(BARE)
    best = min(ratios, key=lambda name: ratios[name])
    yield row(
        f"{model.name}, {where}: placet / the best peer ({best})",
        round(ratios[best], 2),
        "x",
        goal=BESIDE_PEERS.get(connections),
    )
    yield row(
        f"{model.name}, {where}: placet / {BARE}", round(bare, 2), "x", goal=BESIDE_BARE.get(connections)
    )


class Running:
    """A server's process, pinned to the servers' core. `ready` is how long it took."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._log = server.folder / "log"
        self.ready = 0.0

    def __enter__(self) -> Running:
        started = time.perf_counter()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 -- a command of ours
                self._server.command,
                cwd=self._server.folder,
                stdout=output,
                stderr=output,
                env=self._server.environment(),
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {cores()[0]}),
            )
        try:
            self._wait(started + START_WITHIN)
        except BaseException:
            self.__exit__()
            raise
        self.ready = time.perf_counter() - started
        return self

    def _wait(self, until: float) -> None:
        while not _is_ready(self._server):
            if self._process.poll() is not None or time.perf_counter() > until:
                raise RuntimeError(f"{self._server.name} does not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.01)  # noqa: TID251 -- a script that waits for another program

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 15)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def memory(self) -> float:
        """Megabytes of its largest process. The servers share libraries, so that a share of pages says little."""
        first = psutil.Process(self._process.pid)
        return max(each.memory_info().rss for each in (first, *first.children(recursive=True))) / 1e6


def _is_ready(server: Server) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", server.ready)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def check(server: Server, model: Trained) -> None:
    """Raises AssertionError unless it answers every row as the model does."""
    for at_once in (1, 16):
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda body: _asked(server, body), server.bodies))
        if answers != model.answers:
            raise AssertionError(
                f"{server.name} answers {model.name} with {answers}, {at_once} at once; right is {model.answers}"
            )


def _asked(server: Server, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", server.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{server.name} answers {answer.status}: {content[:2000].decode()}")
        return server.answer(content)


def _load(server: Server, connections: int, seconds: float) -> dict[str, float]:
    return make_load(server.port, server.path, server.bodies, connections, seconds)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    print(table(run(*sys.argv[1:])))  # noqa: T201 -- the result of a script
