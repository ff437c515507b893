"""The edge, which is an HAProxy, and the Caddy behind it that has the routes: as they ship, and as one runs them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.support.platforms import ROUTES
from tests.support.servers import haproxy, sources
from tests.support.servers.local import free_port, poll

NEW_WORKER = "New worker"
NOT_ASKED = "127.0.0.1:9"


@dataclass(kw_only=True)
class Edges:
    """In a folder, where they find their sockets. All calls block."""

    folder: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    _processes: ExitStack = field(default_factory=ExitStack)
    _logs: dict[int, Path] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def run_edge(self) -> subprocess.Popen[bytes]:
        return self._run(self.folder / "models.sock", haproxy.command("haproxy"), NEW_WORKER)

    def reload_edge(self, edge: subprocess.Popen[bytes]) -> None:
        """Another program takes the place of the one that runs, with what its file says by now."""
        log = self._logs[edge.pid]
        before = log.read_text().count(NEW_WORKER)
        edge.send_signal(signal.SIGUSR2)
        poll(
            lambda: log.read_text().count(NEW_WORKER) > before,
            or_give_up=partial(_said_by_the_dead, edge, log),
        )

    def run_routes(self, socket: str) -> subprocess.Popen[bytes]:
        """One more, with the routes that the last one had, on a socket of its own."""
        command = ["caddy", "run", "--resume", "--config", str(ROUTES)]
        return self._run(self.folder / socket, command, "serving initial configuration")

    def lead_to(self, socket: str) -> None:
        """What the edge connects to is another socket from now on, at once."""
        (self.folder / "models.new").symlink_to(socket)
        (self.folder / "models.new").replace(self.folder / "models.sock")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(60)

    def close(self) -> None:
        self._processes.close()

    def _run(self, socket: Path, command: Sequence[str], until: str) -> subprocess.Popen[bytes]:
        services = ("GATEWAY", "METADATA", "CERTIFIER", "BUILDER", "DEPLOYER", "INDEXER")
        log = self.folder / f"{command[0]}-{free_port()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "PLACET_EDGE": f"127.0.0.1:{self.port}",
                    "PLACET_CADDY_ADMIN": f"127.0.0.1:{self.admin_port}",
                    "PLACET_MODELS": str(socket),
                    **{f"PLACET_{each}": NOT_ASKED for each in services},
                },
            )
        self._processes.callback(_end, process)
        self._logs[process.pid] = log
        poll(lambda: until in log.read_text(), or_give_up=partial(_said_by_the_dead, process, log))
        return process


def _said_by_the_dead(process: subprocess.Popen[bytes], log: Path) -> str | None:
    return None if process.poll() is None else log.read_text()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


@contextmanager
def edges(folder: Path) -> Iterator[Edges]:
    for program in ("caddy", "haproxy"):
        sources.program(program)
    running = Edges(folder=folder)
    try:
        yield running
    finally:
        running.close()
