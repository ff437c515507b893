"""A server in a container, through testcontainers, where a Docker Engine answers.

Its ports are fixed when it is made, so that it comes back at the same address; testcontainers' own reaper
removes it when the tests are killed. Nothing here knows which server it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from tests.support.servers.local import DidNotStart, poll


def engine() -> str | None:
    """The version of the Docker Engine that answers, if one does."""
    try:
        client = docker.from_env(timeout=10)
        try:
            return str(client.version()["Version"])
        finally:
            client.close()
    except DockerException:
        return None


class ContainerServer:
    def __init__(
        self,
        image: str,
        *,
        ports: Mapping[int, int] | None = None,
        shares_network: bool = False,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        folder: Path | None = None,
        is_ready: Callable[[], bool],
    ) -> None:
        """`ports` are the container's, and where this machine has them, unless it shares its network; `folder` is one
        of this machine that it sees under the same name."""
        container = DockerContainer(image)
        for inside, outside in (ports or {}).items():
            # For this machine only; testcontainers would open it to the network, and types no address.
            container.ports[str(inside)] = ("127.0.0.1", outside)  # type: ignore[assignment]
        if shares_network:
            container = container.with_kwargs(network_mode="host")
        for name, value in (environment or {}).items():
            container = container.with_env(name, value)
        if folder is not None:
            container = container.with_volume_mapping(str(folder), str(folder), "rw")
        if command:
            container = container.with_command(list(command))
        self._container = container
        self._is_ready = is_ready
        self._is_made = False
        self._image = image

    def start(self) -> None:
        if self._is_made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._is_made = True
        try:
            poll(self._is_ready, or_give_up=self._reason_it_ended)
        except DidNotStart as error:
            self.remove()
            raise DidNotStart(f"{self._image}: {error}") from None

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def remove(self) -> None:
        if self._is_made:
            self._container.stop()

    def run(self, *command: str) -> None:
        """A command in it."""
        self._container.exec(list(command))

    def _reason_it_ended(self) -> str | None:
        container = self._container.get_wrapped_container()
        container.reload()
        return "ended while starting" if container.status == "exited" else None
