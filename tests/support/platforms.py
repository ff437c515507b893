"""The platform as users meet it: a URL and a token. One process with nothing else, or six behind an edge.

Both are real processes, started with nothing but what the README says. `Platform` is all that a scenario
sees; faults know more and use `DistributedPlatform`.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from placet.trust import own_key

from tests.support.authorities import Authority, Signed
from tests.support.git_server import GitServer, git_server
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry, haproxy, sources
from tests.support.servers.http import ask
from tests.support.servers.local import LocalServer, free_port, poll, private_directory

ROOT = Path(__file__).parents[2]
ROUTES = ROOT / "deploy" / "caddy" / "models.json"
"""The configuration of the Caddy that has them, to begin with."""
SERVICES = ("metadata", "gateway", "certifier", "builder", "indexer", "deployer")
LEASE_SECONDS = "2"
ENDS_WITHIN = 120.0
"""Seconds in which a process has to have ended: a bound for hangs. Services have their own, of less than a minute."""
OBSERVE_SECONDS = "1"
"""How long a window of `model.observed` is: nobody waits for a minute to pass."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """`git` is a server that it may fetch from, `state` where commands keep what they know of it: another platform may
    have had the same address."""

    url: str
    token: str
    git: GitServer
    state: Path
    authority: Path | None = None
    """Who signs for it, where it is reached by HTTPS."""

    def http(self) -> httpx.AsyncClient:
        """A client that is nobody's: send `authorized()` along to be the administrator."""
        verify = True if self.authority is None else ssl.create_default_context(cafile=self.authority)
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60, verify=verify)

    def environment(self, token: str | None = None) -> dict[str, str]:
        """Of commands that speak to it; `token` is whose they are, if not the administrator's."""
        return {
            "PLACET_URL": self.url,
            "PLACET_TOKEN": token or self.token,
            "XDG_STATE_HOME": str(self.state),
            **({} if self.authority is None else {"SSL_CERT_FILE": str(self.authority)}),
        }

    def authorized(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Process:
    """One of our processes; its output goes to `log`. Ended with the tests, whatever happens to them."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._environment = {**_inherited(), **environment}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        return list(self._command)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                preexec_fn=_die_with_parent,
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self) -> int:
        """Once it has, with what."""
        assert self._process is not None
        return self._process.wait(ENDS_WITHIN)

    def start_again(self) -> None:
        """As who puts in a newer version: the same process goes on as another one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR2)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _end(self, signal_number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(signal_number)
        return self._process.wait(ENDS_WITHIN)


@contextmanager
def embedded(
    folder: Path, settings: Mapping[str, str] | None = None, module: str = "placet.cli"
) -> Iterator[Platform]:
    """`placet up` in a home of its own, with further settings; `module` is run instead of the command."""
    with embedded_process(folder, settings, module) as (platform, _):
        yield platform


@contextmanager
def embedded_process(
    folder: Path, settings: Mapping[str, str] | None = None, module: str = "placet.cli"
) -> Iterator[tuple[Platform, Process]]:
    """The same, and its process."""
    state = folder / "state"
    with git_server(folder / "repositories") as git:
        process = Process(
            [sys.executable, "-m", module, "up", "--data", str(folder / "data"), "--port", "0"],
            {
                "HOME": str(folder),
                "XDG_STATE_HOME": str(state),
                "PLACET_GIT_HOSTS": git.address,
                "PLACET_OBSERVE_SECONDS": OBSERVE_SECONDS,
                **(settings or {}),
            },
            folder / "platform.log",
        )
        found = state / "placet" / "platform.json"
        process.start()
        try:
            poll(found.exists, or_give_up=lambda: None if process.is_running else process.last_words())
            where = json.loads(found.read_text())
            yield Platform(url=where["url"], token=where["token"], git=git, state=state), process
        finally:
            process.stop()


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """Of all HTTP: `shown` is each one's own certificate, for the address of this machine; `edge` is one of them."""

    authority: Authority
    shown: Mapping[str, Signed]


@dataclass(kw_only=True)
class DistributedPlatform:
    """Six processes over a broker, a database server, a registry and an edge. All calls block."""

    folder: Path
    broker: RabbitMQ
    database_url: str
    log_role_url: str
    """As whom metadata logs in: a role that owns nothing."""
    registry_url: str
    models: CaddyServer
    """Behind the edge, with the models' routes."""
    git: GitServer
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further ones of a service, by its name."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of every service's environment, beside its settings."""
    module: str | None = None
    """What runs a service instead of its own module; it gets the service's name."""
    encryption: Encryption | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    edge_port: int = field(default_factory=free_port)
    edge: LocalServer | None = None

    @property
    def platform(self) -> Platform:
        token = (self.folder / "keys" / "admin.token").read_text()
        state = self.folder / "state of commands"
        authority = None if self.encryption is None else self.encryption.authority.file
        return Platform(url=self.url, token=token, git=self.git, state=state, authority=authority)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.edge_port}"

    @property
    def scheme(self) -> str:
        return "http" if self.encryption is None else "https"

    def start(self) -> None:
        self._make_keys()
        self._prepare_log()
        self.ports = {service: free_port() for service in SERVICES}
        for service in SERVICES:
            self.processes[service] = Process(
                [sys.executable, "-m", *([self.module, service] if self.module else [f"placet.{service}"])],
                self.environment(service),
                self.folder / f"{service}.log",
            )
            self.processes[service].start()
        self._start_edge()
        for service in SERVICES:
            self.wait_until_ready(service)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()
        if self.edge is not None:
            self.edge.remove()

    def wait_until_ready(self, service: str) -> None:
        """Until it answers and leads, so that what it hears is acted on."""
        process = self.processes[service]
        url = f"{self.scheme}://127.0.0.1:{self.ports[service]}/readyz"
        verify = (
            True
            if self.encryption is None
            else ssl.create_default_context(cafile=self.encryption.authority.file)
        )

        def is_ready() -> bool:
            try:
                answer: dict[str, Any] = httpx.get(url, timeout=2, trust_env=False, verify=verify).json()
            except (httpx.HTTPError, ValueError):
                return False
            return bool(answer.get("ready")) and bool(answer["services"].get(service, {}).get("leads"))

        poll(is_ready, or_give_up=lambda: None if process.is_running else process.last_words())

    def _start_edge(self) -> None:
        """With the configurations as they ship, and this platform's addresses."""
        admin, socket = (
            self.models.admin_url.removeprefix("http://"),
            self.models.listen.removeprefix("unix/"),
        )
        text = (
            ROUTES.read_text()
            .replace("{env.PLACET_CADDY_ADMIN}", admin)
            .replace("{env.PLACET_MODELS}", socket)
        )
        # The tests' own is to be forgotten.
        configuration = {**json.loads(text), "admin": {"listen": admin, "config": {"persist": False}}}
        ask("POST", f"{self.models.admin_url}/load", configuration)
        self.edge = haproxy.run_locally(
            sources.program("haproxy"), self.edge_port, {**self.edge_environment, "PLACET_MODELS": socket}
        )

    @property
    def edge_environment(self) -> dict[str, str]:
        services = {f"PLACET_{service.upper()}": f"127.0.0.1:{port}" for service, port in self.ports.items()}
        if self.encryption is None:
            return services
        shown = str(self.encryption.shown["edge"].both)
        return {
            **services,
            "PLACET_EDGE_CA": str(self.encryption.authority.file),
            "PLACET_EDGE_CERTIFICATE": shown,
            "PLACET_EDGE_CLIENT_CERTIFICATE": shown,
        }

    def _make_keys(self) -> None:
        for name in ("certificates", "tokens"):
            own_key(self.folder / "keys" / f"{name}.pem")

    def _prepare_log(self) -> None:
        """As the page on the six services says: the audit log's tables are somebody else's than the service's."""
        keys = self.folder / "keys"
        role = str(urlsplit(self.log_role_url).username)
        subprocess.run(
            [sys.executable, "-m", "placet.metadata", "--prepare-database", role],
            env={
                **os.environ,
                "PLACET_AMQP_URL": "amqp://none",
                "PLACET_DATABASE_URL": self.database_url,
                "PLACET_TOKEN_KEYS": str(keys / "tokens.json"),
                "PLACET_SIGNING_KEY": str(keys / "checkpoints.pem"),
            },
            check=True,
        )

    def environment(self, service: str) -> dict[str, str]:
        """Where it is plugged in."""
        keys = self.folder / "keys"
        every: dict[str, dict[str, object]] = {
            "gateway": {
                "TOKEN_KEY": keys / "tokens.pem",
                "ADMIN_TOKEN_FILE": keys / "admin.token",
                "GIT_HOSTS": self.git.address,
                "API_URL": self.url,
            },
            "certifier": {"TOKEN_KEYS": keys / "tokens.json", "SIGNING_KEY": keys / "certificates.pem"},
            "builder": {"TOKEN_KEYS": keys / "tokens.json", "DATA_DIR": self.folder / "builder"},
            "deployer": {
                "TOKEN_KEYS": keys / "tokens.json",
                "CERTIFIER_KEYS": keys / "certificates.json",
                "DATA": self.folder / "deployer",
                "PUBLIC_URL": self.url,
                "ROUTER": "caddy",
                "CADDY_ADMIN_URL": self.models.admin_url,
                "STOP_MODELS_ON_EXIT": "true",
                "OBSERVE_SECONDS": OBSERVE_SECONDS,
            },
            "metadata": {"TOKEN_KEYS": keys / "tokens.json", "SIGNING_KEY": keys / "checkpoints.pem"},
            "indexer": {"TOKEN_KEYS": keys / "tokens.json"},
        }
        common = {
            "AMQP_URL": self.broker.add_service_user(service),
            "DATABASE_URL": self.log_role_url if service == "metadata" else self.database_url,
            "REGISTRY": self.registry_url,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": self.ports[service],
            "LEASE_SECONDS": LEASE_SECONDS,
        }
        if self.encryption is not None:
            common |= {
                "HTTP_TLS_CERTIFICATE": self.encryption.shown[service].certificate,
                "HTTP_TLS_KEY": self.encryption.shown[service].key,
                "HTTP_TLS_CLIENT_CA": self.encryption.authority.file,
                "API_CA": self.encryption.authority.file,
            }
        more = self.settings.get(service, {})
        own = {f"PLACET_{name}": str(value) for name, value in {**common, **every[service], **more}.items()}
        return {**own, **self.variables, "HOME": str(self.folder)}


@contextmanager
def distributed(
    folder: Path,
    *,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    variables: Mapping[str, str] | None = None,
    module: str | None = None,
    encryption: Encryption | None = None,
    kind: type[DistributedPlatform] = DistributedPlatform,
) -> Iterator[DistributedPlatform]:
    for server in (rabbitmq, postgres, registry, caddy):
        server.start()
    broker = rabbitmq.in_new_virtual_host()
    database_url = postgres.create_database()
    log_role_url = postgres.create_role(database_url)
    models = caddy.run_behind(private_directory("models"))
    try:
        with git_server(folder / "repositories") as git:
            platform = kind(
                folder=folder,
                broker=broker,
                database_url=database_url,
                log_role_url=log_role_url,
                registry_url=registry.url,
                models=models,
                git=git,
                settings=settings or {},
                variables=variables or {},
                module=module,
                encryption=encryption,
            )
            try:
                platform.start()
                yield platform
            finally:
                platform.stop()
    finally:
        models.lifecycle.remove()
        caddy.empty()
        postgres.start()
        postgres.drop_database(database_url)
        postgres.drop_role(log_role_url)
        rabbitmq.start()
        broker.remove_virtual_host()


def model_processes(deployer: Path, project: str) -> list[int]:
    """Those that serve the project, of the deployer whose data is in that folder."""
    mark = f"PLACET_INSTANCE={(deployer / 'instances').resolve()}/{project}-".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(each.startswith(mark) for each in environment):
            found.append(int(entry.name))
    return found


def _inherited() -> dict[str, str]:
    """What a process needs from the machine, and nothing that would tell it where a platform is."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept
        or name.startswith(("UV_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http", "no_proxy"))
    }


def _die_with_parent() -> None:
    from tests.support.servers.supervise import prctl

    prctl(1, signal.SIGKILL)
