"""The tests' own cluster beside whoever uses it: in a thread of its own, for platforms that are processes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.kubernetes.api_server import ApiServer
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.images import RealImages

GATEWAY = "edge/public"
"""That takes every route."""


@contextmanager
def standing_cluster(folder: Path, mirrors: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Its kubeconfig. Its pods run what their images say, which are pulled from the registry that they name, or from a
    mirror of it."""
    began: list[Path] = []
    is_begun, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def stand() -> None:
        images = RealImages(folder / "images", mirrors)
        async with ApiServer() as server, Cluster(server, folder, pull=images, ends_pace=1) as cluster:
            cluster.gateways[GATEWAY] = ""
            kubeconfig = folder / "kubeconfig"
            kubeconfig.write_text(json.dumps(server.kubeconfig()))
            began.append(kubeconfig)
            is_begun.set()
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(stand())
        finally:
            is_begun.set()
            loop.close()

    thread = threading.Thread(target=run, name="cluster")
    thread.start()
    is_begun.wait()
    assert began, "the cluster did not begin: see what its thread said"
    try:
        yield began[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
