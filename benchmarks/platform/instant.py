"""A service as it ships, with models that are there at once: what is left is the platform's own work.

    python -m benchmarks.platform.instant SERVICE

What runs models and asks them is put out of the deployer: nothing is unpacked, no process is begun, and every instance
is ready and answers what its sample says. All else is done as ever, the certificate read from the registry and checked,
the sample read out of the image, the route moved in Caddy. Every other service is its own module.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from placet.deployer import bootstrap
from placet.deployer.observations import Counters
from placet.deployer.ports import Instance, InstanceSpec

NOWHERE = "http://127.0.0.1:9"
"""The port of `discard`: nobody asks these models."""


class InstantHost:
    """A `ModelHost` whose instances are files of a folder, which all replicas of the deployer share."""

    scales = False

    def __init__(self, *, folder: Path, **_: Any) -> None:
        self._folder = folder

    async def start(self, spec: InstanceSpec) -> Instance:
        instance = Instance(
            id=spec.id,
            project=spec.project,
            release=spec.release,
            replica=spec.replica,
            image=spec.image,
            endpoint=spec.endpoint or NOWHERE,
            is_running=True,
        )
        self._file(spec.id).write_bytes(msgspec.json.encode(instance))
        return instance

    async def stop(self, id: str, *, why: str = "") -> None:
        self._file(id).unlink(missing_ok=True)

    async def list(self) -> Sequence[Instance]:
        return [_read(each) for each in self._folder.iterdir()]

    async def find(self, id: str) -> Instance | None:
        file = self._file(id)
        return _read(file) if file.exists() else None

    async def check(self) -> None:
        return

    async def forget(self, id: str) -> None:
        await self.stop(id)

    async def last_words(self, id: str) -> str:
        return ""

    async def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        return
        yield b""

    async def adopt(self) -> None:
        return

    async def stop_all(self) -> None:
        for each in self._folder.iterdir():
            each.unlink()

    def _file(self, id: str) -> Path:
        return self._folder / id


def _read(file: Path) -> Instance:
    return msgspec.json.decode(file.read_bytes(), type=Instance)


class InstantProbe:
    """A `Probe` whose models say what they are expected to."""

    def __init__(self, **_: Any) -> None: ...

    async def is_alive(self, endpoint: str, seconds: float) -> bool:
        return True

    async def is_ready(self, endpoint: str) -> bool:
        return True

    async def predict(self, endpoint: str, request: Any) -> Any:
        return RESPONSE

    async def example(self, endpoint: str) -> Any:
        return None

    async def counters(self, endpoint: str) -> Counters | None:
        return None


RESPONSE = {"outputs": [[6.0]]}
"""What the sample of `tests.system.models.write_project` expects, with its weight of 2."""


def main(service: str) -> None:
    if service == "deployer":
        vars(bootstrap).update(LocalProcesses=InstantHost, HttpProbe=InstantProbe)
    sys.argv = [f"placet.{service}"]
    runpy.run_module(f"placet.{service}", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
