"""A project's own Dockerfile, built by a real Docker Engine, pushed to a real registry, and run from there."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import docker
import httpx
import pytest
from placet.builder.adapters.docker_engine import DockerEngine
from placet.builder.adapters.image_workshop import ImageWorkshop
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import PlacetError, Refused, TooLarge
from placet.events.clocks import SystemClock
from placet.events.contracts.builder import ImageBuilt
from placet.oci import fetch_artifact, open_registry
from placet.projects import pack

from tests.deploy.containers import address_once_ready, container
from tests.support.eventually import eventually
from tests.support.servers import DockerEngine as DockerEngineServer
from tests.support.servers import Registry

SERVER = """\
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

WEIGHT = json.loads((Path(__file__).parent / "weight.json").read_text())


class Model(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"ready": self.path == "/v2/health/ready"})

    def do_POST(self):
        [tensor] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        data = [WEIGHT * each for each in tensor["data"]]
        self.answer({"model_name": "own", "outputs": [{**tensor, "name": "y", "data": data}]})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("0.0.0.0", 8080), Model).serve_forever()
"""
MANIFEST = """\
apiVersion: placet/v1
project: own
model: {format: weight, path: weight.json}
build: {dockerfile: Dockerfile}
"""
CHECKED = """\
COPY . /app/
RUN ["python", "-c", "import json; print('a step says', json.load(open('/app/weight.json')))"]
CMD ["python", "/app/server.py"]
"""


class Shop:
    """A builder with an engine, on a real registry."""

    def __init__(
        self, folder: Path, registry: Registry, base: str, engine: str, client: docker.DockerClient
    ) -> None:
        self._folder = folder
        self._engine = engine
        self.client = client
        self.base = f"{registry.address}/{base}"
        self.registry = open_registry(registry.url)

    async def build(
        self, steps: str, limits: Limits = DEFAULT_LIMITS, *, base: str | None = None
    ) -> ImageBuilt:
        project = self._folder / "project"
        files = {
            "placet.yaml": MANIFEST,
            "weight.json": "3",
            "server.py": SERVER,
            "notes.txt": "nobody's business",
            ".dockerignore": "notes.txt\n",
            "Dockerfile": f"FROM {base or self.base}\n{steps}",
        }
        await asyncio.to_thread(_write, project, files)
        packed = await asyncio.to_thread(pack, project, self._folder / "source.tar")
        await self.registry.put_blob("sources", self._folder / "source.tar")
        engine = DockerEngine(self._engine, limits=limits)
        return await self.workshop(engine, limits).build("own", 1, packed.digest)

    def workshop(self, engine: DockerEngine, limits: Limits) -> ImageWorkshop:
        return ImageWorkshop(
            registry=self.registry,
            base="none",
            data=self._folder / "builder",
            packages=UvPackages(),
            compiler=PythonCompiler(),
            limits=limits,
            clock=SystemClock(),
            keep_logs=timedelta(days=1),
            engine=engine,
        )

    def log(self) -> str:
        file = self._folder / "builder" / "logs" / "own" / "1.log"
        return file.read_text() if file.exists() else ""

    def left(self) -> tuple[set[str], list[str]]:
        """The images and the containers that the engine has."""
        # As the lists have them: to ask after each of them would meet those that go meanwhile.
        images = {str(each["Id"]) for each in self.client.api.images(all=True)}
        return images, [str(each["Id"]) for each in self.client.api.containers(all=True)]


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)


@pytest.fixture
async def shop(
    tmp_path: Path,
    registry: Registry,
    base: str,
    docker_engine: DockerEngineServer,
    client: docker.DockerClient,
) -> AsyncIterator[Shop]:
    address = docker_engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    shop = Shop(tmp_path, registry, base, address, client)
    await asyncio.to_thread(client.images.pull, shop.base)
    yield shop
    await shop.registry.close()


async def test_an_image_of_its_own_is_built_pushed_found_and_answers(
    shop: Shop, registry: Registry, client: docker.DockerClient, network: str
) -> None:
    before = shop.left()
    built = await shop.build(CHECKED)

    assert shop.left() == before, "the engine keeps nothing of a build"
    assert "a step says 3" in shop.log()
    kinds = {each.artifact_type for each in await shop.registry.referrers("models/own", built.image)}
    assert kinds == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    assert built.provenance is not None
    said = await fetch_artifact(shop.registry, "models/own", built.provenance, limit=10**6)
    definition = json.loads(said.contents[0])["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["engine"].startswith("docker ")
    assert definition["internalParameters"]["base"] == shop.base

    name = f"{registry.address}/{built.repository}@{built.image}"
    pulled = client.images.pull(name)
    assert pulled.labels["io.placet.source"] == built.source
    with container(client, name, network) as model:
        url = await address_once_ready(model, network)
        tensor = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.5, 2.0]}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            answer = await http.post(f"{url}/v2/models/own/infer", json={"inputs": [tensor]})
        assert answer.json()["outputs"][0]["data"] == [4.5, 6.0]
        files = model.exec_run(
            ["python", "-c", "import os; print(sorted(os.listdir('/app')))"]
        ).output.decode()
        assert "server.py" in files
        assert "notes.txt" not in files, ".dockerignore names it"


@pytest.mark.parametrize(
    ("steps", "limits", "of", "error", "why"),
    [
        ("CMD []\n", {}, f"127.0.0.1:1/gone@sha256:{'0' * 64}", Refused, "Dockerfile could not be built"),
        ('COPY . /app\nRUN ["python", "-c", "raise SystemExit(3)"]\n', {}, None, Refused, "non-zero code: 3"),
        (
            'RUN ["python", "-c", "import socket; socket.create_connection((\'127.0.0.1\', 80))"]\n',
            {},
            None,
            Refused,
            "its steps have no network",
        ),
        (CHECKED, {"packages_bytes": 1000}, None, TooLarge, "the limit is 1000"),
        (CHECKED + "USER root\n", {}, None, Refused, "would run as root"),
    ],
    ids=["no such base", "a step fails", "no network", "too large", "as root"],
)
async def test_a_build_that_comes_to_nothing_says_why_and_leaves_nothing_in_the_engine(
    shop: Shop, steps: str, limits: dict[str, int], of: str | None, error: type[PlacetError], why: str
) -> None:
    before = shop.left()
    with pytest.raises(error) as ended:
        await shop.build(steps, replace(DEFAULT_LIMITS, **limits), base=of)

    assert why in str(ended.value)
    assert f"failed: {ended.value}" in shop.log()
    assert shop.left() == before


async def test_a_step_that_never_ends_ends_with_its_build(shop: Shop) -> None:
    before = shop.left()
    endless = 'COPY . /app/\nRUN ["python", "-uc", "import signal; print(\'for ever\'); signal.pause()"]\n'
    building = asyncio.ensure_future(shop.build(endless))
    await eventually(lambda: "for ever" in shop.log() or building.done())
    assert not building.done()

    building.cancel()
    with suppress(asyncio.CancelledError):
        await building

    assert "ended before it was done" in shop.log()
    await eventually(lambda: shop.left() == before)
