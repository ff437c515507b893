"""The six processes with models that are there at once, each as many times as is asked for, and what they take."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.support.platforms import SERVICES, DistributedPlatform, Process, distributed
from tests.support.servers import sources
from tests.support.servers.lifecycle import Lifecycle
from tests.support.servers.local import LocalServer, free_port, poll

MODULE = "benchmarks.platform.instant"
UNLIMITED = {
    "gateway": {"READS_PER_SECOND": "0", "WRITES_PER_SECOND": "0"},
    "deployer": {"CPU": "10000", "MEMORY": str(2**50)},
}
"""Nobody is told to come back later, and no model waits for room."""
LEASE_SECONDS = "10"
"""As it ships: where all cores are at work, two seconds pass without any fault."""


@dataclass(kw_only=True)
class ReplicatedPlatform(DistributedPlatform):
    """The first replica of each service is behind the edge; `gateways` has the addresses of all its replicas."""

    servers: Mapping[str, Lifecycle] = field(default_factory=dict)
    replicas: dict[str, list[Process]] = field(default_factory=lambda: defaultdict(list))
    gateways: list[str] = field(default_factory=list)

    def start(self) -> None:
        super().start()
        for service, process in self.processes.items():
            self.replicas[service].append(process)
        self.gateways.append(f"http://127.0.0.1:{self.ports['gateway']}")

    def stop(self) -> None:
        for processes in self.replicas.values():
            for process in processes[1:]:
                process.stop()
        super().stop()

    def environment(self, service: str) -> dict[str, str]:
        return {**super().environment(service), "PLACET_LEASE_SECONDS": LEASE_SECONDS}

    def add_replica(self) -> None:
        """One more of each service."""
        for service in SERVICES:
            port, number = free_port(), len(self.replicas[service]) + 1
            process = Process(
                [sys.executable, "-m", MODULE, service],
                {**self.environment(service), "PLACET_HTTP_PORT": str(port)},
                self.folder / f"{service}-{number}.log",
            )
            process.start()
            self.replicas[service].append(process)
            url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(process, url)
            if service == "gateway":
                self.gateways.append(url)

    def processor_seconds(self) -> dict[str, float]:
        """That all replicas of each service, and each server, have used so far, with what they started."""
        return {
            name: sum(sum(each.cpu_times()[:4]) for each in processes)
            for name, processes in self._everything().items()
        }

    def memory(self) -> dict[str, int]:
        """Bytes that are each service's own (USS), of all its replicas."""
        found = self._everything()
        return {service: sum(_own_memory(each) for each in found[service]) for service in SERVICES}

    def _everything(self) -> dict[str, list[psutil.Process]]:
        found = {
            service: [each for process in processes for each in _family(process.pid)]
            for service, processes in self.replicas.items()
        }
        for name, server in self.servers.items():
            assert isinstance(server, LocalServer)  # noqa: S101 - what is measured runs on this machine
            assert server.pid is not None  # noqa: S101 - and runs
            found[name] = _family(server.pid)
        return found


@contextmanager
def replicated(folder: Path, replicas: int) -> Iterator[ReplicatedPlatform]:
    with (
        sources.RABBITMQ.running() as rabbitmq,
        sources.POSTGRES.running() as postgres,
        sources.REGISTRY.running() as registry,
        sources.CADDY.running() as caddy,
        distributed(
            folder,
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
            settings=UNLIMITED,
            module=MODULE,
            kind=ReplicatedPlatform,
        ) as platform,
    ):
        assert isinstance(platform, ReplicatedPlatform)  # noqa: S101 - its kind was given
        platform.servers = {
            "PostgreSQL": postgres.lifecycle,
            "RabbitMQ": rabbitmq.lifecycle,
            "the registry": registry.lifecycle,
        }
        for _ in range(replicas - 1):
            platform.add_replica()
        yield platform


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _own_memory(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_full_info().uss)
    return 0


def _wait_until_it_answers(process: Process, url: str) -> None:
    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    poll(is_ready, or_give_up=lambda: None if process.is_running else process.last_words())
