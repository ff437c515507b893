"""What a hostile model tries on the process host, and what its deployer says then."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from placet.deployer.adapters.local_processes import LAST_BYTES, LocalProcesses
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.domain import Amount
from placet.deployer.ports import Instance, InstanceSpec
from placet.oci import ImageConfig, ImageLayout, Manifest, Platform, sha256_digest
from placet.oci.content import OCI_CONFIG, OCI_LAYER

from tests.contract.model_host_small_image import PYTHON_HERE, layer
from tests.support.eventually import eventually

CHILD = """
import os, subprocess, sys, time
child = "import time; held = bytearray(64 * 2**20); print('held', flush=True); time.sleep(600)"
started = subprocess.Popen([sys.executable, "-S", "-c", child], start_new_session=True)
print("child", started.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[LocalProcesses]:
    registry = ImageLayout(tmp_path / "registry")
    host = LocalProcesses(
        folder=tmp_path / "instances",
        images=UnpackedImages(registry, tmp_path / "unpacked"),
        token_keys=lambda: "[]",
        stop_seconds=2.0,
        log_bytes=2**23,
    )
    await host.adopt()
    yield host
    await host.stop_all()


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


async def start(host: LocalProcesses, registry: ImageLayout, code: str) -> Instance:
    """Run an image whose model server is `code`."""
    files = {
        "app/serving/placet/runtime/__main__.py": code,
        "app/project/nothing.txt": "",
        "app/placet.json": json.dumps({"project": "churn", "format": "onnx", "path": "model.onnx"}),
    }
    content = layer(files)
    kept = await registry.put_blob("models/churn", content, media_type=OCI_LAYER)
    config = ImageConfig(
        platform=Platform(os="linux", architecture="amd64"),
        diff_ids=(sha256_digest(content),),
        labels={"io.placet.python": PYTHON_HERE, "io.placet.base": "none"},
    )
    configured = await registry.put_blob("models/churn", config.encode(), media_type=OCI_CONFIG)
    manifest = Manifest.image(config=configured, layers=[kept])
    image = await registry.put_manifest("models/churn", manifest)
    return await host.start(
        InstanceSpec(
            project="churn",
            release=1,
            image=image,
            repository="models/churn",
            access="public",
            amount=Amount(cpu_millis=500, memory_bytes=2**29),
            endpoint=None,
        )
    )


async def ended(host: LocalProcesses) -> Instance | None:
    (instance,) = await host.list()
    return None if instance.is_running else instance


async def test_a_model_that_ends_itself_by_a_nameless_signal_ends_nobody_else(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    await start(host, registry, "import os; os.kill(os.getpid(), 40)")

    found: Any = await eventually(lambda: ended(host), within=10)
    assert found.why == "it was ended by signal 40"


async def test_what_a_model_starts_counts_and_ends_with_it(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, CHILD)

    async def words() -> list[str]:
        said = (await host.last_words(started.id)).split()
        return said if "held" in said else []

    said = await eventually(words, within=10)
    child = psutil.Process(int(said[said.index("child") + 1]))
    (instance,) = await host.list()
    assert instance.memory_bytes > 64 * 2**20

    await host.stop(started.id)

    await eventually(lambda: not _is_alive(child), within=10)


async def test_the_last_words_of_a_model_fit_into_an_event(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, "print('x' * 3_000_000)")

    await eventually(lambda: ended(host), within=10)
    assert len(await host.last_words(started.id)) <= LAST_BYTES


def _is_alive(process: psutil.Process) -> bool:
    try:
        os.kill(process.pid, 0)
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.Error):
        return False
