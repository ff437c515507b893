"""A Prometheus with our configuration as it ships, private to what is tested, that finds services where those are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from tests.support import watching
from tests.support.servers.local import LocalServer, free_port, private_directory

EVERY = "1s"
"""Nobody waits for a quarter of a minute to pass."""


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    url: str

    async def asked(self, path: str, **parameters: str) -> Any:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as http:
            answer = await http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.asked("query", query=expression))["result"]
        return found


@contextmanager
def watching_prometheus(program: str, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """`targets` are addresses by the service that each is said to be."""
    folder, port = private_directory("prometheus"), free_port()
    for path in watching.PROMETHEUS.glob("*.yml"):
        shutil.copy(path, folder)
    document = yaml.safe_load((folder / "prometheus.yml").read_text())
    document["global"] |= {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    [job] = document["scrape_configs"]
    job["static_configs"] = [
        {"targets": [address], "labels": {"service": service}} for service, address in targets.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    prometheus = Prometheus(url=f"http://127.0.0.1:{port}")
    server = LocalServer(
        "prometheus",
        (
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=expand-external-labels",
        ),
        directory=folder,
        is_ready=lambda: _is_ready(prometheus.url),
        environment={"PLACET_RUNBOOKS": "docs/runbooks"},
    )
    try:
        server.start()
        yield prometheus
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
