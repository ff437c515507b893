"""Small images for a container engine, whose server is the standard library's, and hosts that run them."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from secrets import token_hex

import docker
from placet.builder.assembly_image import Base, read_base
from placet.deployer.adapters.docker_containers import DockerContainers
from placet.deployer.adapters.docker_engine import DockerEngine
from placet.deployer.adapters.docker_images import DockerImages
from placet.deployer.adapters.pulse import Allowance
from placet.oci import ImageConfig, Manifest, Platform, Registry, sha256_digest
from placet.oci.content import OCI_CONFIG, OCI_LAYER

from tests.contract.model_host_small_image import layer
from tests.contract.process_hosts import PATIENT, PROBE

SERVER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

print("here is", os.environ["PLACET_PROJECT"], os.environ["PLACET_RELEASE"], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        about = {"environment": dict(os.environ), "user": os.getuid(), "status": open("/proc/self/status").read()}
        body = json.dumps(about).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
HERE = Platform(os="linux", architecture="amd64")
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
SUBNETS = list(IPv4Network("198.18.0.0/15").subnets(prefixlen_diff=3))[_PROCESS]
"""Of these tests' process: engines of others are in this machine's network, too."""


@contextmanager
def a_name(client: docker.DockerClient) -> Iterator[str]:
    """For the containers of a platform of its own, of which nothing is left."""
    name = f"placet-{token_hex(4)}"
    yield name
    ours = {"label": f"io.placet.platform={name}"}
    for container in client.containers.list(ignore_removed=True, all=True, filters=ours):
        container.remove(force=True)
    for network in client.networks.list(filters=ours):
        network.remove()


async def push_container_image(
    registry: Registry,
    base: str,
    program: str = SERVER,
    *,
    entrypoint: str = "python",
    user: str = "65532",
) -> str:
    """Push an image that runs the program on the base, and return its digest."""
    repository = "models/churn"
    source, _, digest = base.partition("@")
    below = await read_base(Base(registry=registry, repository=source, digest=digest), HERE)
    for each in below.layers:
        if not await registry.mount_blob(repository, each.digest, source=source):
            await registry.put_blob(repository, await registry.read_blob(source, each.digest, limit=2**30))
    ours = layer({"app/serve.py": program})
    kept = await registry.put_blob(repository, ours, media_type=OCI_LAYER)
    config = ImageConfig(
        platform=HERE,
        diff_ids=(*below.diff_ids, sha256_digest(ours)),
        env=below.env,
        entrypoint=(entrypoint, "/app/serve.py"),
        user=user,
        labels={"io.placet.base": base},
    )
    configured = await registry.put_blob(repository, config.encode(), media_type=OCI_CONFIG)
    layers = [*below.layers, kept]
    return await registry.put_manifest(repository, Manifest.image(config=configured, layers=layers))


async def copy_base(base: str, source: Registry, target: Registry) -> None:
    """`repository@digest` from one registry to another."""
    repository, _, digest = base.partition("@")
    manifest = await source.manifest(repository, digest)
    for each in (manifest.config, *manifest.layers):
        assert each is not None
        await target.put_blob(repository, await source.read_blob(repository, each.digest, limit=2**30))
    await target.put_manifest(repository, manifest)


async def push_baseless_image(registry: Registry) -> str:
    """As `placet up` builds them: for processes alone."""
    ours = layer({"app/serve.py": SERVER})
    config = ImageConfig(platform=HERE, diff_ids=(sha256_digest(ours),), labels={"io.placet.base": "none"})
    kept = await registry.put_blob("models/churn", ours, media_type=OCI_LAYER)
    configured = await registry.put_blob("models/churn", config.encode(), media_type=OCI_CONFIG)
    return await registry.put_manifest("models/churn", Manifest.image(config=configured, layers=[kept]))


def container_host(
    engine: DockerEngine,
    registry: Registry,
    folder: Path,
    name: str,
    *,
    is_alive: Callable[[str, float], Awaitable[bool]] = PROBE.is_alive,
    allowance: Allowance = PATIENT,
    seen_as: str | None = None,
) -> DockerContainers:
    return DockerContainers(
        engine=engine,
        images=DockerImages(engine, registry, registry.address, seen_as=seen_as),
        folder=folder / "containers",
        name=name,
        subnets=SUBNETS,
        token_keys=lambda endpoint: json.dumps([{"for": endpoint}]),
        is_alive=is_alive,
        allowance=allowance,
        stop_seconds=2.0,
        log_bytes=2**16,
        scratch_bytes=2**20,
    )
