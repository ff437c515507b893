"""A real container registry: as a private process on this machine, in a container, or at an address."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.authorities import Signed
from tests.support.servers.container import ContainerServer
from tests.support.servers.http import answers
from tests.support.servers.lifecycle import Elsewhere, Lifecycle
from tests.support.servers.local import LocalServer, free_port, private_directory


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One registry, without users. All calls block."""

    lifecycle: Lifecycle
    url: str
    """`http://host:port`"""
    wipe: Callable[[], None]
    """Forget every repository."""

    @property
    def address(self) -> str:
        """`host:port`, as image references begin."""
        return urlsplit(self.url).netloc

    def start(self) -> None:
        self.lifecycle.start()

    def stop(self) -> None:
        self.lifecycle.stop()

    def restart(self) -> None:
        self.lifecycle.stop()
        self.lifecycle.start()

    def kill(self) -> None:
        self.lifecycle.kill()

    def empty(self) -> None:
        """As after a lost disk: it answers, and knows nothing."""
        self.wipe()
        self.restart()  # it remembers in memory what it has seen on disk

    def is_ready(self) -> bool:
        return answers(f"{self.url}/v2/")


def can_run_locally() -> str | None:
    return shutil.which("docker-registry")


def run_locally(
    *,
    deletes: bool = True,
    notifies: str | None = None,
    token: str = "",
    shows: Signed | None = None,
    users: str | None = None,
) -> Registry:
    """`notifies` is a URL that it tells of what changes, with `token`; with what it `shows` it is reached by HTTPS.
    `users` are who may use it, as lines of an htpasswd, where not everybody may."""
    program = can_run_locally()
    assert program is not None
    directory = private_directory("registry")
    port = free_port()
    blobs = directory / "blobs"
    configuration: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(blobs)}, "delete": {"enabled": deletes}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if shows is not None:
        tls = {"certificate": str(shows.certificate), "key": str(shows.key)}
        configuration["http"] = {"addr": f"127.0.0.1:{port}", "tls": tls}
    if users is not None:
        (directory / "htpasswd").write_text(users)
        asked = {"realm": "placet", "path": str(directory / "htpasswd")}
        configuration["auth"] = {"htpasswd": asked}
    if notifies is not None:
        endpoint = {
            "name": "placet",
            "url": notifies,
            "headers": {"Authorization": [f"Bearer {token}"]},
            "timeout": "5s",
            "threshold": 3,
            "backoff": "1s",
            "ignore": {"actions": ["pull"]},
        }
        configuration["notifications"] = {"endpoints": [endpoint]}
    (directory / "configuration.json").write_text(json.dumps(configuration))  # which is YAML, too
    server = LocalServer(
        "registry",
        [program, "serve", str(directory / "configuration.json")],
        directory=directory,
        # At its root everybody is answered.
        is_ready=lambda: registry.is_ready() if users is None else answers(f"{registry.url}/"),
    )
    registry = Registry(
        lifecycle=server,
        url=f"{'http' if shows is None else 'https'}://127.0.0.1:{port}",
        wipe=lambda: shutil.rmtree(blobs, ignore_errors=True),
    )
    server.start()
    return registry


def run_in_container() -> Registry:
    port = free_port()
    server = ContainerServer(
        "registry:2",
        ports={5000: port},
        environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
        is_ready=lambda: registry.is_ready(),
    )
    registry = Registry(
        lifecycle=server,
        url=f"http://127.0.0.1:{port}",
        wipe=lambda: server.run("rm", "-rf", "/var/lib/registry/docker"),
    )
    server.start()
    return registry


def at_address() -> Registry | None:
    """The one that `PLACET_TEST_REGISTRY` names."""
    url = os.environ.get("PLACET_TEST_REGISTRY")
    if url is None:
        return None
    elsewhere = Elsewhere("PLACET_TEST_REGISTRY")
    return Registry(lifecycle=elsewhere, url=url, wipe=elsewhere.stop)
