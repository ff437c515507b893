"""The process in which one Dockerfile is built: `python -P -m placet.builder.adapters.docker_build`.

Docker's own client waits in calls that nothing can end but the end of their process, so each build is one. On standard
input comes a line with what to do, on standard output one JSON object a line: `{"log": …}` for people, and last
`{"id": …, "version": …, "size": …}`, `{"refused": …, "fix": …}`, `{"too_large": …, "fix": …}` or `{"unavailable": …}`.
When it is asked to end, or standard input ends, as it does with a builder that was killed, it hangs up on the engine,
which ends a build that nobody waits for, and removes what the build has left there.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any

import docker
import msgspec
import requests.exceptions
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from placet.errors import PlacetError, Refused, TooLarge, Unavailable

SILENCE = 3600
"""Seconds that an engine may say nothing; how long a build may take is its caller's matter."""
_STEP = re.compile(r"Step \d+/\d+ : (\S+)")
_LAYER = re.compile(r" ---> ([0-9a-f]{12})")
_RUNNING = re.compile(r" ---> Running in ([0-9a-f]{12})")
_TRIES, _BETWEEN = 20, 0.25
"""How often, and after how many seconds again, an image is asked to go that the engine still uses."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` is all that a build sees; `archive` is where its image goes, as `docker save` writes it.

    `memory` bounds each step, `size` the image's files, in bytes; `network` is where steps run (`none`: nowhere).
    """

    host: str
    folder: str
    dockerfile: str
    archive: str
    network: str
    memory: int
    size: int
    certificates: str | None = None
    """The folder of those that the engine is asked with by TLS."""


class _Ended(BaseException):
    """Somebody asks for the end."""


def built(client: docker.APIClient, work: Work) -> dict[str, Any]:
    """Build, save, and leave nothing in the engine."""
    left = _Left()
    try:
        image = _image(client, work, left)
        size = int(client.inspect_image(image)["Size"])
        if size > work.size:
            raise TooLarge(
                f"the image's files have {size} bytes; the limit is {work.size}",
                fix="leave out what the model does not need, or have the builder's PLACET_PACKAGES_BYTES raised",
            )
        with Path(work.archive).open("wb") as archive:
            for piece in client.get_image(image):
                archive.write(piece)
        return {"id": image, "size": size, "version": str(client.version()["Version"])}
    finally:
        left.remove(client)


class _Left:
    """The newest image of a build, with which those below it go that have no name, and the container of its step."""

    def __init__(self) -> None:
        self.newest: str | None = None
        self._running: str | None = None
        self._is_from = True

    def note(self, line: str) -> None:
        if step := _STEP.match(line):
            self._is_from = step[1].upper() == "FROM"  # what comes of it is the base, which stays
        elif running := _RUNNING.match(line):
            self._running = running[1]
        elif (layer := _LAYER.match(line)) and not self._is_from:
            self.newest, self._running = layer[1], None

    def remove(self, client: docker.APIClient) -> None:
        """A step that still runs goes first: no image goes that a container is made of. The engine ends it, too, once
        we have hung up, but not at once."""
        with suppress(DockerException, requests.exceptions.RequestException):
            if self._running is not None:
                with suppress(APIError):
                    client.remove_container(self._running, force=True)
            for _ in range(_TRIES if self.newest is not None else 0):
                try:
                    client.remove_image(self.newest, force=True)
                except APIError as error:
                    if error.status_code != HTTPStatus.CONFLICT:
                        raise
                    time.sleep(_BETWEEN)  # noqa: TID251 - a process of its own, in which nobody else waits
                else:
                    return


def _image(client: docker.APIClient, work: Work, left: _Left) -> str:
    """The id of the image. Every step is run: what another project's build left behind is nobody else's."""
    image = None
    said = client.build(
        path=work.folder,
        dockerfile=work.dockerfile,
        network_mode=work.network,
        container_limits={"memory": work.memory, "memswap": work.memory},
        nocache=True,
        rm=True,
        forcerm=True,
        decode=True,
    )
    for message in said:
        if "error" in message:
            raise Refused(f"{work.dockerfile} could not be built: {message['error'].strip()}", fix=_fix(work))
        for line in str(message.get("stream", "")).splitlines() if "stream" in message else _status(message):
            left.note(line)
            if line.strip():
                say({"log": line})
        image = message.get("aux", {}).get("ID", image)
    if image is None:
        raise Unavailable("the Docker Engine ended the build without a word")
    left.newest = image
    return str(image)


def _status(message: dict[str, Any]) -> Iterator[str]:
    """Of a base that is fetched, only what is worth a line: not each piece of its progress."""
    if "status" in message and "progressDetail" not in message:
        yield f"{message.get('id', '')} {message['status']}".strip()


def _fix(work: Work) -> str:
    network = "its steps have no network (PLACET_DOCKER_NETWORK)" if work.network == "none" else ""
    return "; ".join(filter(None, ("its log has each step: placet logs PROJECT --build", network)))


class _Client(docker.APIClient):  # type: ignore[misc]  # docker has no types
    """Believes whom it is told to believe. Else `REQUESTS_CA_BUNDLE`, which is for something else, would count more."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        told = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, told, cert)


def encryption(address: str, certificates: str) -> TLSConfig:
    folder = Path(certificates)
    if not address.startswith(("tcp://", "https://")):
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


def main() -> None:
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        tls = False if work.certificates is None else encryption(work.host, work.certificates)
        client = _Client(base_url=work.host, version="auto", timeout=SILENCE, tls=tls)
        try:
            say(built(client, work))
        finally:
            client.close()
    except Unavailable as error:
        say({"unavailable": error.detail})
    except TooLarge as error:
        say({"too_large": error.detail, "fix": error.fix})
    except PlacetError as error:
        say({"refused": error.detail, "fix": error.fix})
    except APIError as error:
        if error.is_client_error():
            say(
                {
                    "refused": f"the Docker Engine does not build {work.dockerfile}: {error.explanation}",
                    "fix": None,
                }
            )
        else:
            say({"unavailable": f"the Docker Engine at {work.host} failed: {error.explanation}"})
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        say({"unavailable": f"the Docker Engine at {work.host} cannot be asked: {error}"})
    except _Ended:
        sys.exit(1)


def say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_the_caller() -> None:
    """Who was killed asks nobody to end, and lets go of the pipe all the same."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended


if __name__ == "__main__":
    main()
