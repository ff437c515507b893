"""A real PostgreSQL that syncs to disk: a private cluster on this machine, a container, or at an address.

A test gets an empty database of its own; how many that are does not matter.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from tests.support.authorities import Authority
from tests.support.servers.container import ContainerServer
from tests.support.servers.lifecycle import Elsewhere, Lifecycle
from tests.support.servers.local import LocalServer, free_port, private_directory

OWNER = "placet"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_min_messages": "warning",
}
"""Nothing that makes it faster than in production: `fsync` and `synchronous_commit` stay on."""


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    """One cluster, as its administrator sees it. All calls block."""

    lifecycle: Lifecycle
    admin_url: str

    def start(self) -> None:
        self.lifecycle.start()

    def stop(self) -> None:
        self.lifecycle.stop()

    def restart(self) -> None:
        self.lifecycle.stop()
        self.lifecycle.start()

    def kill(self) -> None:
        self.lifecycle.kill()

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}"')
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Whoever is connected to it is cut off."""
        name = urlsplit(url).path.removeprefix("/")
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def create_role(self, url: str) -> str:
        """The URL of the same database for a new role, which may log in and do nothing else."""
        name = f"role_{secrets.token_hex(6)}"
        self._execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{name}:{name}@{parts.netloc.rpartition('@')[2]}"))

    def drop_role(self, url: str) -> None:
        """Once its database is dropped."""
        self._execute(f'DROP ROLE IF EXISTS "{urlsplit(url).username}"')

    def is_ready(self) -> bool:
        try:
            self._execute("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.admin_url, timeout=30)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        # In a thread, because the caller may be a coroutine's test, whose loop is running.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, execute()).result()


def can_run_locally() -> Path | None:
    """The directory of the newest server programs on this machine, if there are any."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def run_locally(
    environment: Callable[[Path], Mapping[str, str]] | None = None,
    more: Mapping[str, str] | None = None,
    encrypted_by: Authority | None = None,
) -> PostgreSQL:
    """With more settings, and with more in its environment, which may depend on its directory: `data` is below that."""
    programs = can_run_locally()
    assert programs is not None
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    directory = private_directory("postgresql", owner=user)
    password = directory / "password"
    password.write_text(OWNER)
    password.chmod(0o644)
    initdb = [str(programs / "initdb"), "-D", "data", "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(
        [*initdb, "--auth=password", f"--pwfile={password}"],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd=directory,
        check=True,
        capture_output=True,
    )
    port = free_port()
    tls = {} if encrypted_by is None else _encrypted(directory, encrypted_by, user)
    settings = [f"--{key}={value}" for key, value in {**SETTINGS, **(more or {}), **tls}.items()]
    server = LocalServer(
        "postgresql",
        [str(programs / "postgres"), "-D", str(directory / "data"), f"--port={port}", *settings],
        directory=directory,
        is_ready=lambda: cluster.is_ready(),
        environment=environment(directory) if environment else None,
        user=user,
        stop_signal=signal.SIGINT,  # "fast": rolls open transactions back instead of waiting for them
    )
    cluster = PostgreSQL(
        lifecycle=server, admin_url=f"postgresql://{OWNER}:{OWNER}@127.0.0.1:{port}/postgres"
    )
    server.start()
    return cluster


def run_encrypted(authority: Authority) -> PostgreSQL:
    """Reached by TLS alone; its URLs say that its certificate is checked."""
    cluster = run_locally(encrypted_by=authority)
    checked = f"{cluster.admin_url}?sslmode=verify-full&sslrootcert={quote(str(authority.file))}"
    return replace(cluster, admin_url=checked)


def _encrypted(directory: Path, authority: Authority, user: str | None) -> dict[str, str]:
    shows = authority.sign("database", "127.0.0.1", into=directory)
    shows.key.chmod(0o600)
    if user is not None:
        shutil.chown(shows.key, user)
    rules = directory / "hba.conf"
    rules.write_text("hostssl all all 127.0.0.1/32 password\n")
    return {
        "ssl": "on",
        "ssl_cert_file": str(shows.certificate),
        "ssl_key_file": str(shows.key),
        "hba_file": str(rules),
    }


def run_in_container() -> PostgreSQL:
    port = free_port()
    server = ContainerServer(
        "postgres:16",
        ports={5432: port},
        environment={"POSTGRES_USER": OWNER, "POSTGRES_PASSWORD": OWNER},
        is_ready=lambda: cluster.is_ready(),
    )
    cluster = PostgreSQL(
        lifecycle=server, admin_url=f"postgresql://{OWNER}:{OWNER}@127.0.0.1:{port}/postgres"
    )
    server.start()
    return cluster


def at_address() -> PostgreSQL | None:
    """The one that `PLACET_TEST_DATABASE_URL` names, as a user who may create databases."""
    url = os.environ.get("PLACET_TEST_DATABASE_URL")
    if url is None:
        return None
    return PostgreSQL(lifecycle=Elsewhere("PLACET_TEST_DATABASE_URL"), admin_url=url)
