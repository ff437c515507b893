"""A Docker Engine that builds Dockerfiles: each build is a process of its own, which ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from placet.builder.adapters import docker_build
from placet.builder.adapters.processes import clean_environment
from placet.builder.ports import EngineImage, Log
from placet.builder.settings import Limits
from placet.errors import Refused, TooLarge, Unavailable

LONGEST_LINE = 2**20
LEAVES_WITHIN = 10.0
"""Seconds to hang up on the engine and to remove there what a build left."""


class DockerEngine:
    """An `Engine`. `network` is what the steps of a build can reach; none of it by default.

    With `certificates` it is asked by TLS: a folder with `ca.pem`, and with `cert.pem` and `key.pem` where it asks who
    we are. Raises Refused where they do not do.
    """

    def __init__(
        self, host: str, *, network: str = "none", limits: Limits, certificates: Path | None = None
    ) -> None:
        if certificates is not None:
            docker_build.encryption(host, str(certificates))
        self._host = host
        self._certificates = certificates
        self._network = network
        self._limits = limits

    async def build(self, folder: Path, dockerfile: str, archive: Path, log: Log) -> EngineImage:
        work = docker_build.Work(
            host=self._host,
            certificates=None if self._certificates is None else str(self._certificates.absolute()),
            folder=str(folder),
            dockerfile=dockerfile,
            archive=str(archive),
            network=self._network,
            memory=self._limits.memory_bytes,
            size=self._limits.packages_bytes,
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", docker_build.__name__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=clean_environment(prefixes=("DOCKER_",)),
            limit=LONGEST_LINE,
        )
        try:
            return await self._followed(process, msgspec.json.encode(work), log)
        finally:
            await asyncio.shield(_ended(process))

    async def _followed(self, process: asyncio.subprocess.Process, work: bytes, log: Log) -> EngineImage:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        process.stdin.write(work + b"\n")  # and it stays open: it ends with us
        while line := await process.stdout.readline():
            match msgspec.json.decode(line):
                case {"log": str(said)}:
                    log(said)
                case {"too_large": str(why), "fix": fix}:
                    raise TooLarge(why, fix=fix)
                case {"refused": str(why), "fix": fix}:
                    raise Refused(why, fix=fix)
                case {"unavailable": str(why)}:
                    raise Unavailable(why)
                case {"id": str(id), "version": str(version), "size": int(size)}:
                    return EngineImage(id=id, size=size, engine=f"docker {version}", network=self._network)
        raise Unavailable("the build in the Docker Engine ended without a word")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kindly first: it has something to put away. Its output is read to the end, or it would wait to write it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(LEAVES_WITHIN):
                await process.communicate()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
