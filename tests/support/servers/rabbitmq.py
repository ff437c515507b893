"""A real RabbitMQ: as a private node on this machine, in a container, or at an address.

Users, permissions and virtual hosts are made over its management API, with the permissions that
`deploy/rabbitmq/definitions.json` gives each service, so that the tests run under the rules of production.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from tests.support.authorities import Signed
from tests.support.servers.container import ContainerServer
from tests.support.servers.http import ask
from tests.support.servers.lifecycle import Elsewhere, Lifecycle
from tests.support.servers.local import LocalServer, free_port, private_directory

DEFINITIONS = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json"
ADMINISTRATOR = "placet"
DEBIAN_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's `/usr/sbin/rabbitmq-server` insists on the system's user and directories; this one does not."""


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """One virtual host of a broker, as an administrator sees it. All calls block."""

    lifecycle: Lifecycle
    management_url: str
    """`http://user:password@host:port`"""
    amqp_url: str
    """The administrator's, with the virtual host as its path."""

    def start(self) -> None:
        self.lifecycle.start()

    def stop(self) -> None:
        self.lifecycle.stop()

    def restart(self) -> None:
        self.lifecycle.stop()
        self.lifecycle.start()

    def kill(self) -> None:
        """As a crash would.

        What was declared in the last two seconds or so before may be gone afterwards. Of a quorum queue RabbitMQ
        3.10 and older keep the half: it is listed for ever after and has no leader, so whatever is asked of it
        gets no answer until it is deleted. Newer versions sync what they need to elect one.
        """
        self.lifecycle.kill()

    def in_new_virtual_host(self) -> RabbitMQ:
        """The same broker, nothing in it: what one test declares, no other meets."""
        name = f"test-{secrets.token_hex(6)}"
        parts = urlsplit(self.amqp_url)
        new = replace(self, amqp_url=urlunsplit(parts._replace(path=f"/{name}")))
        new._make_virtual_host()
        return new

    def remove_virtual_host(self) -> None:
        self._ask("DELETE", f"vhosts/{self._quoted_host}")

    def empty(self) -> None:
        """As after a lost disk: every queue, exchange, binding and message is gone, and every connection cut.

        Users and what they may do here stay: those come from the definitions, not from the services.
        """
        permissions = self._ask("GET", f"vhosts/{self._quoted_host}/permissions")
        topics = self._ask("GET", f"vhosts/{self._quoted_host}/topic-permissions")
        self._ask("DELETE", f"vhosts/{self._quoted_host}")
        self._make_virtual_host()
        for permission in permissions:
            self._permit("permissions", permission["user"], permission, "configure", "write", "read")
        for topic in topics:
            self._permit("topic-permissions", topic["user"], topic, "exchange", "write", "read")

    def add_service_user(self, name: str) -> str:
        """The AMQP URL of a service's own user, who may say only what is the service's to say."""
        self._ask("PUT", f"users/{quote(name)}", {"password": name, "tags": ""})
        permission, topic = permissions_of(name)
        self._permit("permissions", name, permission, "configure", "write", "read")
        self._permit("topic-permissions", name, topic, "exchange", "write", "read")
        parts = urlsplit(self.amqp_url)
        return urlunsplit(parts._replace(netloc=f"{quote(name)}:{quote(name)}@{parts.hostname}:{parts.port}"))

    def add_user(self, name: str, configure: str, write: str, read: str) -> str:
        """The AMQP URL of a user who is no service, with these permissions."""
        self._ask("PUT", f"users/{quote(name)}", {"password": name, "tags": ""})
        permission = {"configure": configure, "write": write, "read": read}
        self._permit("permissions", name, permission, "configure", "write", "read")
        parts = urlsplit(self.amqp_url)
        return urlunsplit(parts._replace(netloc=f"{quote(name)}:{quote(name)}@{parts.hostname}:{parts.port}"))

    def queues(self) -> list[dict[str, Any]]:
        """As the management API tells: `name`, `type`, `messages`, … A count may be seconds old."""
        found: list[dict[str, Any]] = self._ask("GET", f"queues/{self._quoted_host}")
        return found

    def exchanges(self) -> list[str]:
        """Those that somebody declared, not the broker's own."""
        found = self._ask("GET", f"exchanges/{self._quoted_host}")
        return [
            exchange["name"]
            for exchange in found
            if exchange["name"] and not exchange["name"].startswith("amq.")
        ]

    def is_ready(self) -> bool:
        try:
            self._ask("GET", "health/checks/virtual-hosts")
            return self._speaks_amqp()  # after a crash, well after the management API
        except (OSError, HTTPException):
            return False

    def _speaks_amqp(self) -> bool:
        parts = urlsplit(self.amqp_url)
        with ExitStack() as stack:
            where = (parts.hostname or "", parts.port or 5672)
            connection = stack.enter_context(socket.create_connection(where, timeout=30))
            if parts.scheme == "amqps":
                context = ssl.create_default_context()
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname=where[0]))
            connection.sendall(b"AMQP\0\0\x09\x01")
            return connection.recv(1) == b"\x01"

    @property
    def _quoted_host(self) -> str:
        return quote(urlsplit(self.amqp_url).path.removeprefix("/") or "/", safe="")

    def _make_virtual_host(self) -> None:
        self._ask("PUT", f"vhosts/{self._quoted_host}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        administrator = urlsplit(self.amqp_url).username or ADMINISTRATOR
        self._permit("permissions", administrator, everything, "configure", "write", "read")

    def _permit(self, kind: str, user: str, rules: dict[str, str], *keys: str) -> None:
        self._ask("PUT", f"{kind}/{self._quoted_host}/{quote(user)}", {key: rules[key] for key in keys})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        parts = urlsplit(self.management_url)
        url = f"{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}"
        return ask(method, url, body, user=f"{parts.username}:{parts.password}")


def permissions_of(service: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the shipped definitions allow a service; an unknown one gets the builder's, in its own name."""
    definitions = json.loads(DEFINITIONS.read_text())
    known = {user["name"] for user in definitions["users"]}
    model = service if service in known else "builder"
    rules = []
    for kind in ("permissions", "topic_permissions"):
        (found,) = (rule for rule in definitions[kind] if rule["user"] == model)
        rules.append({key: value.replace(model, service) for key, value in found.items()})
    return rules[0], rules[1]


def can_run_locally() -> str | None:
    """The script that starts a broker on this machine, if there is one."""
    if DEBIAN_SCRIPT.exists():
        return str(DEBIAN_SCRIPT)
    return shutil.which("rabbitmq-server")


def run_locally(shows: Signed | None = None) -> RabbitMQ:
    """With a certificate to show it is reached by TLS alone, but for its management."""
    script = can_run_locally()
    assert script is not None
    directory = private_directory("rabbitmq")
    amqp, management, distribution, epmd = (free_port() for _ in range(4))
    (directory / "rabbitmq.conf").write_text(
        f"{_listener(amqp, shows)}"
        f"management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {management}\n"
        f"default_user = {ADMINISTRATOR}\n"
        f"default_pass = {ADMINISTRATOR}\n"
        "log.file = rabbitmq.log\n"
        # The tests' disk may be small, and a broker that blocks publishers looks like a bug of ours.
        "disk_free_limit.absolute = 10MB\n"
    )
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
    # A node finds the others of its machine through epmd. Ours has its own, or the system's would be started
    # by us, be found by others, and outlive the tests.
    with_own_epmd = 'epmd -port "$ERL_EPMD_PORT" & exec "$0"'
    server = LocalServer(
        "rabbitmq",
        ["sh", "-c", with_own_epmd, script],
        directory=directory,
        is_ready=lambda: broker.is_ready(),
        environment={
            "HOME": str(directory),  # the Erlang cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_NODENAME": "placet@localhost",
            # Makes the script replace itself by the Erlang machine, which then gets our signals itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        },
    )
    broker = administered(server, amqp, management, "amqp" if shows is None else "amqps")
    server.start()
    return broker


def _listener(port: int, shows: Signed | None) -> str:
    if shows is None:
        return f"listeners.tcp.1 = 127.0.0.1:{port}\n"
    return (
        "listeners.tcp = none\n"
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.certfile = {shows.certificate}\n"
        f"ssl_options.keyfile = {shows.key}\n"
    )


def run_in_container() -> RabbitMQ:
    amqp, management = free_port(), free_port()
    server = ContainerServer(
        "rabbitmq:3.13-management",
        ports={5672: amqp, 15672: management},
        environment={"RABBITMQ_DEFAULT_USER": ADMINISTRATOR, "RABBITMQ_DEFAULT_PASS": ADMINISTRATOR},
        is_ready=lambda: broker.is_ready(),
    )
    broker = administered(server, amqp, management)
    server.start()
    return broker


def at_address() -> RabbitMQ | None:
    """What `PLACET_TEST_AMQP_URL` and `PLACET_TEST_RABBITMQ_MANAGEMENT_URL` name, as administrator."""
    amqp_url = os.environ.get("PLACET_TEST_AMQP_URL")
    if amqp_url is None:
        return None
    return RabbitMQ(
        lifecycle=Elsewhere("PLACET_TEST_AMQP_URL"),
        management_url=os.environ["PLACET_TEST_RABBITMQ_MANAGEMENT_URL"],
        amqp_url=amqp_url,
    )


def administered(server: Lifecycle, amqp: int, management: int, scheme: str = "amqp") -> RabbitMQ:
    """One of ours, on these ports of this machine."""
    who = f"{ADMINISTRATOR}:{ADMINISTRATOR}@127.0.0.1"
    return RabbitMQ(
        lifecycle=server, management_url=f"http://{who}:{management}", amqp_url=f"{scheme}://{who}:{amqp}/"
    )
