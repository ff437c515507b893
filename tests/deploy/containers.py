"""Containers of models, as an operator would run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import httpx

from tests.support.eventually import eventually

PORT = 8080


@contextmanager
def container(client: docker.DockerClient, image: str, network: str) -> Iterator[Any]:
    """As an operator would run what is other people's code: nobody, with no rights, nothing to write to."""
    running = client.containers.run(
        image,
        detach=True,
        network=network,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit="512m",
        environment={"PLACET_PROJECT": "churn", "PLACET_ACCESS": "public"},
    )
    try:
        yield running
    finally:
        running.remove(force=True)


async def address_once_ready(model: Any, network: str) -> str:
    """Where a container's model server answers, once it says that it is ready; one that ended fails with its log."""
    model.reload()
    url = f"http://{model.attrs['NetworkSettings']['Networks'][network]['IPAddress']}:{PORT}"

    async def is_ready() -> bool:
        model.reload()
        assert model.status == "running", model.logs().decode()
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.get(f"{url}/v2/health/ready")
                return answer.status_code == 200 and bool(answer.json()["ready"])
        return False

    await eventually(is_ready)
    return url
