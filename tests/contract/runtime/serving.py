"""The runtime as deployers start it: a process of its own that inherits a listening socket.

The socket listens before the process runs, so a client's first request simply waits until the model is loaded.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True, kw_only=True)
class Served:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: httpx.Client

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def image(folder: Path, *, project: str, format: str, path: str, **more: object) -> Path:
    """The layout of an image around `folder/project`, which the caller fills."""
    (folder / "project").mkdir(parents=True, exist_ok=True)
    document = {"project": project, "format": format, "path": path, **more}
    (folder / "placet.json").write_text(json.dumps(document))
    return folder


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "placet.runtime", "--root", str(root), *arguments]


@contextmanager
def serving(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    log = root / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as stderr:
        number = listener.fileno()
        process = subprocess.Popen(
            command(root, "--fd", str(number)),
            pass_fds=(number,),
            cwd=root / "project",
            env={**os.environ, **(environment or {})},
            stderr=stderr,
        )
        port: int = listener.getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=180) as client:
            yield Served(process=process, port=port, log=log, client=client)
    finally:
        process.kill()
        process.wait()
