"""A Docker Engine, spoken to through its own SDK, which blocks: in threads, with its errors told in ours.

An engine that is away, answers slowly or with an error of its own is `Unavailable`; what it refuses for what was asked
is `Refused`. Threads are the engine's own: while it hangs, nothing else in the deployer waits for one.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.tls import TLSConfig
from requests.exceptions import RequestException, Timeout
from urllib3.exceptions import HTTPError

from placet.deployer.adapters.silence import TOO_LATE, causes_of, errno_of, why_silent
from placet.deployer.room import Amount
from placet.errors import PlacetError, Refused, Unavailable

Answer = TypeVar("Answer")

AT_ONCE = 16
ANSWERS_WITHIN = 60.0
"""Seconds: an engine that starts a container on a busy machine may be silent for as long."""
LOOKS_AWAY = "start the Docker Engine, or correct PLACET_DOCKER_HOST"
LOOKS_CLOSED = (
    "let the deployer's user use its socket, as members of the group `docker` may, or run it as one who may"
)


class DockerEngine:
    """The engine at an address, `unix:///…` or `tcp://host:port`. Nothing is connected to before the first call.

    With `certificates` it is asked by TLS: a folder with `ca.pem`, and with `cert.pem` and `key.pem` where it asks who
    we are. Raises Refused where they do not do.
    """

    def __init__(self, address: str, certificates: Path | None = None) -> None:
        self._address = address
        self._tls = False if certificates is None else _encryption(address, certificates)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="docker")
        self._api: docker.APIClient | None = None

    async def run(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """`work` in a thread, with the SDK's client before the arguments."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._run, work, arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # What the engine is at cannot be called back, and nobody else may begin on the same meanwhile.
            with suppress(PlacetError):
                await running
            raise

    async def pieces(self, ask: Callable[[docker.APIClient], Any]) -> AsyncIterator[bytes]:
        """What a stream of the engine's gives, in a thread of its own, since it may be silent for days."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="docker-log")
        stream: Any = None
        try:
            stream = await loop.run_in_executor(thread, self._run, ask, ())
            while (piece := await loop.run_in_executor(thread, self._run, _next, (stream,))) is not None:
                yield piece
        finally:
            if stream is not None:
                with suppress(OSError, DockerException, RequestException, HTTPError):
                    stream.close()  # whoever reads from it stops
            thread.shutdown(wait=False)

    async def room(self) -> Amount:
        """All that its machine has."""
        said = await self.run(docker.APIClient.info)
        return Amount(cpu_millis=int(said["NCPU"]) * 1000, memory_bytes=int(said["MemTotal"]))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        if self._api is not None:
            self._api.close()

    def _run(self, work: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        try:
            if self._api is None:
                self._api = _Client(
                    self._address,
                    version="auto",
                    timeout=ANSWERS_WITHIN,
                    max_pool_size=AT_ONCE,
                    tls=self._tls,
                )
            return work(self._api, *arguments)
        except APIError as error:
            raise _told(error) from error
        except (DockerException, RequestException, HTTPError, OSError) as error:
            raise _silent(self._address, error) from error


class _Client(docker.APIClient):  # type: ignore[misc]  # docker has no types
    """Believes whom it is told to believe. Else `REQUESTS_CA_BUNDLE`, which is for something else, would count more."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        told = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, told, cert)


def _encryption(address: str, folder: Path) -> TLSConfig:
    if not address.startswith("tcp://"):
        raise Refused(
            f"PLACET_DOCKER_CERT_PATH is set, and the engine is at {address}",
            fix="take it out, or name a tcp://",
        )
    ca, certificate, key = (folder / each for each in ("ca.pem", "cert.pem", "key.pem"))
    for each in (ca, *((certificate, key) if certificate.exists() or key.exists() else ())):
        if not each.is_file():
            raise Refused(f"PLACET_DOCKER_CERT_PATH: there is no {each}", fix="put it there, in PEM")
    shows = (str(certificate), str(key)) if certificate.exists() else None
    return TLSConfig(ca_cert=str(ca), client_cert=shows, verify=True)


def if_there(work: Callable[[], Answer]) -> Answer | None:
    """What it gives; None where the engine has nothing of that name, or is removing it."""
    try:
        return work()
    except NotFound:
        return None
    except APIError as error:
        if error.status_code == 409 and "already in progress" in _said(error):
            return None
        raise


def _next(_: docker.APIClient, stream: Any) -> bytes | None:
    return next(stream, None)


def _silent(address: str, error: Exception) -> Unavailable:
    is_late = any(isinstance(each, Timeout) for each in causes_of(error))
    why = TOO_LATE if is_late else why_silent(error)
    said = " as one" if why is None else f": {why}"  # something else is at that address
    fix = LOOKS_CLOSED if errno_of(error) in (errno.EACCES, errno.EPERM) else LOOKS_AWAY
    return Unavailable(f"the Docker Engine at {address} does not answer{said}", fix=fix)


def _told(error: APIError) -> PlacetError:
    said = _said(error)
    if error.status_code is not None and error.status_code < 500 and error.status_code != 409:
        return Refused(f"the Docker Engine refused it: {said}")
    return Unavailable(f"the Docker Engine failed: {said}")


def _said(error: APIError) -> str:
    return str(error.explanation or error).strip()
