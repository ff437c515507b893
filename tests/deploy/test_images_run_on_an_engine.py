"""What the builder makes is an image like any other: a real Docker Engine pulls it from a real registry and runs it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import docker
import httpx
from placet.builder.adapters.image_workshop import ImageWorkshop
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import host_python
from placet.builder.settings import DEFAULT_LIMITS
from placet.events.clocks import SystemClock
from placet.events.contracts.builder import ImageBuilt
from placet.oci import open_registry
from placet.projects import pack

from tests.deploy.containers import address_once_ready, container
from tests.support.servers import Registry, sources
from tests.system.models import write_project

SAY_TAG = "import sys; print('cp{}{}'.format(*sys.version_info))"


async def built(registry: Registry, base: str, folder: Path, scratch: Path) -> ImageBuilt:
    packed = pack(folder, scratch / "source.tar")
    images = open_registry(registry.url)
    try:
        await images.put_blob("sources", scratch / "source.tar")
        workshop = ImageWorkshop(
            registry=images,
            base=base,
            data=scratch / "builder",
            packages=UvPackages(),
            compiler=PythonCompiler(),
            limits=DEFAULT_LIMITS,
            clock=SystemClock(),
            keep_logs=timedelta(days=1),
        )
        return await workshop.build("churn", 1, packed.digest)
    finally:
        await images.close()


async def test_an_image_is_pulled_from_a_registry_and_answers_as_it_is(
    registry: Registry, base: str, client: docker.DockerClient, network: str, tmp_path: Path
) -> None:
    of_base = client.containers.run(
        f"{registry.address}/{base}", ["python", "-c", SAY_TAG], remove=True, network="none"
    )
    if of_base.decode().strip() != host_python():
        sources.cannot_be_had(
            "docker",
            f"there is no image to run: Debian's Python is {of_base.decode().strip()} here, and ours {host_python()}",
        )
    image = await built(registry, base, write_project(tmp_path / "churn", "churn"), tmp_path)

    client.images.pull(f"{registry.address}/{image.repository}@{image.image}")
    with container(client, f"{registry.address}/{image.repository}@{image.image}", network) as model:
        url = await address_once_ready(model, network)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            answer = await http.post(f"{url}/predict", json={"inputs": [[5.0]]})
        assert answer.json()["outputs"] == [[10.0]]
        who = model.exec_run(["python", "-c", "import os; print(os.getuid())"]).output.decode().strip()
        assert who == "65532"
        assert model.stop(timeout=20) is None
        model.reload()
        assert model.attrs["State"]["ExitCode"] == 0, json.dumps(model.attrs["State"])
