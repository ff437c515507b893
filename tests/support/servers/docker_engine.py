"""A real Docker Engine: the one that answers on this machine, or a private daemon with its own socket and storage.

It runs images that a registry on this machine holds, and its containers are reached at their own addresses, on a
network that the test makes. A private daemon leaves the machine's network alone: it has no rules, and a bridge of its
own that nobody uses. Told that it is to have none, it would take `docker0` from the engine whose that is.

Where containers have to reach what is outside, and ports are published, a daemon needs both. Such a one is in a network
of its own: two with rules in one network flush each other's when they start.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    published_at: str = "127.0.0.1"
    """Where this machine reaches the ports that containers publish to all addresses."""
    outside: str | None = None
    """An address of this machine that is in none of its networks."""

    @property
    def is_private(self) -> bool:
        """It goes with all that is in it."""
        return self.address is not None

    def client(self) -> docker.DockerClient:
        """Of whoever asks, to be closed."""
        return (
            docker.DockerClient(self.address, timeout=300) if self.address else docker.from_env(timeout=300)
        )

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
    return shutil.which("dockerd") if shutil.which("ip") and os.geteuid() == 0 else None


def _an_interface() -> str:
    return f"placet{secrets.token_hex(3)}"


def _a_block() -> str:
    """Of addresses that are for carriers' own networks, and of no machine's; and of no other process of this run."""
    others = re.findall(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    return f"100.{64 + 8 * (int(others[0]) % 8) + secrets.randbelow(8)}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class _Daemon(LocalServer):
    """`undo` takes back what this machine was told before it started."""

    undo: Sequence[Sequence[str]] = ()

    def remove(self) -> None:
        self.stop()  # it has mounts, which only it takes back
        super().remove()
        for command in self.undo:
            _run(*command)


def _started(server: _Daemon) -> None:
    try:
        server.start()
    except DidNotStart:
        server.remove()
        raise


def run_locally() -> DockerEngine:
    program = can_run_locally()
    if program is None:
        raise DidNotStart("a Docker Engine is root's to start, and needs iproute2")
    directory = private_directory("docker")
    address = f"unix://{directory}/docker.sock"
    bridge = _an_interface()
    server = _Daemon(
        "dockerd",
        [
            *(program, "--host", address, "--bridge", bridge, "--ip-forward=false"),
            *("--iptables=false", "--ip6tables=false"),
            *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
            *("--pidfile", str(directory / "docker.pid")),
        ],
        directory=directory,
        is_ready=lambda: engine.is_ready(),
    )
    engine = DockerEngine(lifecycle=server, address=address)
    _run("ip", "link", "add", bridge, "type", "bridge")
    server.undo = [("ip", "link", "delete", bridge)]
    _run("ip", "address", "add", f"{_a_block()}.1.1/24", "dev", bridge)
    _started(server)
    return engine


IN_OWN_NETWORK = Path(__file__).with_name("in_own_network.sh")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
NEEDED_APART = ("dockerd", "unshare", "nsenter", "ip", "iptables")


def can_run_apart() -> str | None:
    there = all(shutil.which(program) for program in NEEDED_APART)
    return shutil.which("dockerd") if there and os.geteuid() == 0 else None


def run_apart() -> DockerEngine:
    """With bridge and rules."""
    program = can_run_apart()
    if program is None:
        raise DidNotStart(f"root starts it, and there have to be {', '.join(NEEDED_APART)}")
    directory = private_directory("docker")
    address = f"unix://{directory}/docker.sock"
    block, interface = _a_block(), _an_interface()
    outer, inner = f"{block}.0.1", f"{block}.0.2"
    server = _Daemon(
        "dockerd",
        [
            *("unshare", "--net", "sh", str(IN_OWN_NETWORK), interface, outer, inner, program),
            *("--host", address, "--bip", f"{block}.1.1/24"),
            *("--default-address-pool", f"base={block}.128.0/17,size=26"),
            *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
            *("--pidfile", str(directory / "docker.pid")),
        ],
        directory=directory,
        is_ready=lambda: engine.is_ready(),
    )
    engine = DockerEngine(lifecycle=server, address=address, published_at=inner, outside=outer)
    # So that its containers reach what this machine does.
    FORWARDING.write_text("1")  # as an engine does that is in the machine's own network
    for table, chain, *rule in (
        ("nat", "POSTROUTING", "-s", f"{block}.0.0/16", "!", "-o", interface, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-i", interface, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", interface, "-j", "ACCEPT"),
    ):
        _run("iptables", "--wait", "-t", table, "-I", chain, *rule)
        server.undo = [*server.undo, ("iptables", "--wait", "-t", table, "-D", chain, *rule)]
    _started(server)
    return engine
