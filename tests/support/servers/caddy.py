"""A real Caddy as the edge: as a private process on this machine, in a container, or at an address.

It starts with one HTTP server without routes and without certificates; what it routes is told to it over its
admin API, by whatever is tested.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.servers.container import ContainerServer
from tests.support.servers.http import answers, ask
from tests.support.servers.lifecycle import Elsewhere, Lifecycle
from tests.support.servers.local import DidNotStart, LocalServer, free_port, private_directory

SERVER = "placet"
"""The name of the HTTP server in Caddy's configuration: `/config/apps/http/servers/placet/routes`."""


@dataclass(frozen=True, kw_only=True)
class CaddyServer:
    """One edge. All calls block."""

    lifecycle: Lifecycle
    admin_url: str
    url: str
    listen: str
    """What the HTTP server binds to, as Caddy writes it."""
    run_behind: Callable[[Path], CaddyServer]
    """Another one, started, whose HTTP server is a socket `models.sock` in a folder: models behind an edge."""

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
        """Every route is forgotten."""
        admin = urlsplit(self.admin_url).netloc
        ask("POST", f"{self.admin_url}/load", configuration(admin, self.listen))

    def is_ready(self) -> bool:
        return answers(f"{self.admin_url}/config/")


def configuration(admin: str, listen: str) -> dict[str, Any]:
    server = {"listen": [listen], "automatic_https": {"disable": True}, "routes": []}
    return {
        "admin": {"listen": admin, "config": {"persist": False}},
        "apps": {"http": {"servers": {SERVER: server}}},
    }


def can_run_locally() -> str | None:
    return shutil.which("caddy")


def socket_in(folder: Path) -> Path:
    return folder / "models.sock"


def run_locally(folder: Path | None = None) -> CaddyServer:
    program = can_run_locally()
    if program is None:
        raise DidNotStart("there is no caddy on this machine")
    directory = private_directory("caddy")
    admin, listen = f"127.0.0.1:{free_port()}", _listen(folder)
    (directory / "caddy.json").write_text(json.dumps(configuration(admin, listen)))
    server = LocalServer(
        "caddy",
        [program, "run", "--config", str(directory / "caddy.json")],
        directory=directory,
        is_ready=lambda: caddy.is_ready(),
        environment={
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory),
            "XDG_DATA_HOME": str(directory),
        },
    )
    caddy = CaddyServer(
        lifecycle=server,
        admin_url=f"http://{admin}",
        url=f"http://{listen}",
        listen=listen,
        run_behind=run_locally,
    )
    server.start()
    return caddy


def run_in_container(folder: Path | None = None) -> CaddyServer:
    """In the machine's own network, or it could not reach the processes that it stands before."""
    admin, listen = f"127.0.0.1:{free_port()}", _listen(folder)
    server = ContainerServer(
        "caddy:2",
        shares_network=True,
        folder=folder,
        environment={"CONFIGURATION": json.dumps(configuration(admin, listen))},
        command=[
            "sh",
            "-c",
            'echo "$CONFIGURATION" > /tmp/caddy.json && exec caddy run --config /tmp/caddy.json',
        ],
        is_ready=lambda: caddy.is_ready(),
    )
    caddy = CaddyServer(
        lifecycle=server,
        admin_url=f"http://{admin}",
        url=f"http://{listen}",
        listen=listen,
        run_behind=run_in_container,
    )
    server.start()
    return caddy


def at_address() -> CaddyServer | None:
    """The one that `PLACET_TEST_CADDY_ADMIN` and `PLACET_TEST_CADDY` name; it is emptied."""
    admin_url = os.environ.get("PLACET_TEST_CADDY_ADMIN")
    if admin_url is None:
        return None
    url = os.environ["PLACET_TEST_CADDY"]
    return CaddyServer(
        lifecycle=Elsewhere("PLACET_TEST_CADDY_ADMIN"),
        admin_url=admin_url,
        url=url,
        listen=f":{urlsplit(url).port}",
        run_behind=run_locally,
    )


def _listen(folder: Path | None) -> str:
    return f"127.0.0.1:{free_port()}" if folder is None else f"unix/{socket_in(folder)}"
