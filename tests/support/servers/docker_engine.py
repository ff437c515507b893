"""A real Docker Engine: the one that answers on this machine, or a private daemon with its own socket and storage.

It runs images that a registry on this machine holds, and its containers are reached at their own addresses, on a
network that the test makes. A private daemon leaves the machine's network alone: it has neither bridge nor rules of its
own.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import docker
from docker.errors import DockerException

from tests.support.servers.lifecycle import Elsewhere, Lifecycle
from tests.support.servers.local import DidNotStart, LocalServer, private_directory


@dataclass(frozen=True, kw_only=True)
class DockerEngine:
    """One engine. All calls block."""

    lifecycle: Lifecycle
    address: str | None
    """`unix:///…`; none means what the environment says."""

    def client(self) -> docker.DockerClient:
        """Of whoever asks, to be closed."""
        return docker.DockerClient(self.address) if self.address else docker.from_env()

    def is_ready(self) -> bool:
        try:
            client = self.client()
            try:
                return bool(client.ping())
            finally:
                client.close()
        except DockerException:
            return False


def at_address() -> DockerEngine | None:
    """The one that `DOCKER_HOST` names."""
    if "DOCKER_HOST" not in os.environ:
        return None
    return DockerEngine(lifecycle=Elsewhere("DOCKER_HOST"), address=None)


def run_in_container() -> DockerEngine:
    """No container: what runs containers here is the engine itself."""
    return DockerEngine(lifecycle=Elsewhere("/var/run/docker.sock"), address=None)


def can_run_locally() -> str | None:
    return shutil.which("dockerd") if os.geteuid() == 0 else None


class _Daemon(LocalServer):
    def remove(self) -> None:
        self.stop()  # it has mounts, which only it takes back
        super().remove()


def run_locally() -> DockerEngine:
    program = can_run_locally()
    if program is None:
        raise DidNotStart("a Docker Engine is root's to start")
    directory = private_directory("docker")
    address = f"unix://{directory}/docker.sock"
    server = _Daemon(
        "dockerd",
        [
            *(program, "--host", address, "--bridge=none", "--iptables=false", "--ip6tables=false"),
            *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
            *("--pidfile", str(directory / "docker.pid")),
        ],
        directory=directory,
        is_ready=lambda: engine.is_ready(),
    )
    engine = DockerEngine(lifecycle=server, address=address)
    server.start()
    return engine
