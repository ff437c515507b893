"""The two Caddys as they ship, as an administrator runs them: the edge, and the one behind it that has the routes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.platforms import ROOT
from tests.support.servers import sources
from tests.support.servers.local import free_port, poll

NOT_ASKED = "127.0.0.1:9"


@dataclass(kw_only=True)
class Edges:
    """In a folder, where they find their sockets. All calls block."""

    folder: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    _processes: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def run_edge(self) -> subprocess.Popen[bytes]:
        """One more on the same port."""
        return self._run("caddy", self.folder / "models.sock", "serving initial configuration")

    def run_routes(self, socket: str) -> subprocess.Popen[bytes]:
        """One more, with the routes that the last one had, on a socket of its own."""
        return self._run("models", self.folder / socket, "serving initial configuration", "--resume")

    def lead_to(self, socket: str) -> None:
        """What the edge connects to is another socket from now on, at once."""
        (self.folder / "models.new").symlink_to(socket)
        (self.folder / "models.new").replace(self.folder / "models.sock")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(60)

    def close(self) -> None:
        self._processes.close()

    def _run(self, name: str, socket: Path, until: str, *options: str) -> subprocess.Popen[bytes]:
        services = ("GATEWAY", "METADATA", "BUILDER", "DEPLOYER", "INDEXER")
        log = self.folder / f"{name}-{free_port()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["caddy", "run", "--config", str(ROOT / "deploy" / "caddy" / f"{name}.json"), *options],
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
        poll(
            lambda: until in log.read_text(),
            or_give_up=lambda: None if process.poll() is None else log.read_text(),
        )
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)


@contextmanager
def edges(folder: Path) -> Iterator[Edges]:
    if shutil.which("caddy") is None:
        sources.cannot_be_had("caddy", "no program for it on this machine (`make servers`)")
    running = Edges(folder=folder)
    try:
        yield running
    finally:
        running.close()
