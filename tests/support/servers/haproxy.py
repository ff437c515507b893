"""The edge as it ships: an HAProxy, private to what is tested, with its addresses from the environment."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.servers.local import LocalServer, private_directory

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "haproxy" / "haproxy.cfg"


def command(program: str, configuration: Path = CONFIGURATION) -> Sequence[str]:
    """As the page on the six services says: a master, which starts another worker on SIGUSR2."""
    return (program, "-W", "-f", str(configuration))


def run_locally(
    program: str, port: int, environment: Mapping[str, str], configuration: Path = CONFIGURATION
) -> LocalServer:
    """Started, at that port; `environment` has what is behind it, as `PLACET_…`."""
    server = LocalServer(
        "haproxy",
        command(program, configuration),
        directory=private_directory("haproxy"),
        is_ready=lambda: _listens(port),
        environment={"PLACET_EDGE": f"127.0.0.1:{port}", **environment},
    )
    server.start()
    return server


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
