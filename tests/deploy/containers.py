"""Containers of models, as an operator would run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker


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
