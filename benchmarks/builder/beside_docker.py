"""One MLflow model, from its folder to an image: placet's builder, and `docker build` of MLflow's own Dockerfile.

A small scikit-learn classifier with one file of code, as `mlflow.sklearn.save_model` lays it out. Theirs is what
`mlflow models generate-dockerfile` writes, untouched, built by a real Docker Engine by its own builder (BuildKit is not
in Debian's) and not pushed; ours is packed, sent, built and pushed. Cold means that nothing was downloaded before but
the base images; a changed line is one in the model's code. Each round asks both in turn.

The image that MLflow's Dockerfile starts from cannot be had everywhere. `python:…-slim` is Debian with its Python and
pip here, made once by `debootstrap` (under build/bench), so sizes are given without the bases, too. How packages are
reached is this machine's matter: its certificates and pip settings go into that base at run time.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile, which

import docker
import mlflow.sklearn
from placet.builder.adapters.image_workshop import ImageWorkshop
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.remembered_locks import RememberedLocks
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.settings import DEFAULT_LIMITS, LOCK_SECONDS
from placet.events.clocks import SystemClock
from placet.events.contracts.builder import ImageBuilt
from placet.oci import Registry, open_registry
from placet.projects import pack
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from benchmarks.builder.images import empty_cache
from benchmarks.rows import Row, row
from tests.support.servers import sources

CHECKOUT = Path(__file__).parents[2]
BASE_SCRIPT = CHECKOUT / "deploy" / "offline" / "base_image.py"
SLIM_TAG = f"{platform.python_version()}-slim"
SLIM = CHECKOUT / "build" / "bench" / "python-slim.tar"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
COLD_ROUNDS, LINE_ROUNDS = 2, 3
COLD_GOAL, LINE_GOAL, SIZE_GOAL = 3.0, 10.0, 0.6
MANIFEST = """\
apiVersion: placet/v1
project: {project}
model: {{format: mlflow, path: model}}
requirements: model/requirements.txt
governance: {{purpose: Being measured}}
"""


async def run() -> list[Row]:
    slim = _slim()
    with (
        sources.REGISTRY.running() as registry,
        sources.DOCKER.running() as engine,
        tempfile.TemporaryDirectory(prefix="placet-bench-") as made,
    ):
        client = engine.client()
        try:
            async with open_registry(registry.url) as images:
                folder = Path(made)
                ours = Ours(images, folder / "ours", our_base(registry.url))
                write_model(ours.model)
                theirs = Theirs(client, folder / "theirs", slim, registry.address)
                theirs.generate(ours.model)
                return await _measure(ours, theirs, images)
        finally:
            client.close()


async def _measure(ours: Ours, theirs: Theirs, images: Registry) -> list[Row]:
    cold, lines = [], []
    for number in range(COLD_ROUNDS):
        ours.forget_all(f"cold-{number}")
        cold.append((await ours.build(), theirs.build(cached=False)))
    for number in range(LINE_ROUNDS):
        for model in (ours.model, theirs.model):
            _change_line(model, number)
        lines.append((await ours.build(), theirs.build(cached=True)))
    of_theirs = [await theirs.size(images, theirs.image), await theirs.size(images, theirs.base)]
    of_ours = [ours.built.size, await ours.base_size()]
    return [
        *_times("nothing cached but the bases", cold, COLD_GOAL),
        *_times("one changed line", lines, LINE_GOAL),
        *_sizes("with its base", of_ours[0], of_theirs[0]),
        *_sizes("without its base", of_ours[0] - of_ours[1], of_theirs[0] - of_theirs[1]),
    ]


class Ours:
    """placet's builder, wired as the service wires it."""

    built: ImageBuilt

    def __init__(self, images: Registry, folder: Path, base: str) -> None:
        self._images = images
        self._folder = folder
        self._base = base
        self.model = folder / "project" / "model"

    def forget_all(self, project: str) -> None:
        """From now on it is a builder that has seen nothing, and a project that nobody has."""
        self._seen = self._folder / project
        self._project = project
        self._releases = 0
        (self._folder / "project" / "placet.yaml").write_text(MANIFEST.format(project=project))
        self._workshop = ImageWorkshop(
            registry=self._images,
            base=self._base,
            data=self._seen / "builder",
            packages=RememberedLocks(UvPackages(), seconds=LOCK_SECONDS),
            compiler=PythonCompiler(),
            limits=DEFAULT_LIMITS,
            clock=SystemClock(),
            keep_logs=timedelta(days=1),
        )

    async def build(self) -> float:
        began = time.perf_counter()
        archive = self._folder / "source.tar"
        source = pack(self._folder / "project", archive).digest
        await self._images.put_blob("sources", archive, digest=source)
        self._releases += 1
        with empty_cache(self._seen / "uv"):
            self.built = await self._workshop.build(self._project, self._releases, source)
        return time.perf_counter() - began

    async def base_size(self) -> int:
        repository, _, digest = self._base.partition("@")
        return sum(layer.size for layer in (await self._images.manifest(repository, digest)).layers)


class Theirs:
    """`docker build` of what MLflow writes."""

    def __init__(self, client: docker.DockerClient, folder: Path, slim: Path, registry: str) -> None:
        self._client = client
        self._registry = registry
        self._context = folder / "context"
        self.model = self._context / "model_dir" / "model"
        self.base = f"python:{SLIM_TAG}"
        self.image = "peer-mlflow:latest"
        settings = {name: os.environ[name] for name in PIP_SETTINGS if name in os.environ}
        settings |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), f"/{CERTIFICATES}")
        client.api.import_image(
            src=str(slim),
            repository="python",
            tag=SLIM_TAG,
            changes=[f"ENV {name}={value}" for name, value in settings.items()],
        )

    def generate(self, model: Path) -> None:
        _run(
            *(sys.executable, "-m", "mlflow", "models", "generate-dockerfile"),
            *("--model-uri", str(model), "--output-directory", str(self._context)),
        )

    def build(self, *, cached: bool) -> float:
        began = time.perf_counter()
        said = self._client.api.build(
            path=str(self._context),
            tag=self.image,
            nocache=not cached,
            network_mode="host",
            rm=True,
            decode=True,
        )
        _checked(said)
        return time.perf_counter() - began

    async def size(self, images: Registry, image: str) -> int:
        """Compressed, as a registry keeps it."""
        name, _, tag = image.partition(":")
        self._client.api.tag(image, f"{self._registry}/peers/{name}", tag)
        _checked(self._client.api.push(f"{self._registry}/peers/{name}", tag, stream=True, decode=True))
        return sum(layer.size for layer in (await images.manifest(f"peers/{name}", tag)).layers)


def write_model(folder: Path) -> None:
    """As MLflow lays it out, with one file of code."""
    folder.parent.mkdir(parents=True)
    code = folder.parent.parent / "features.py"
    code.write_text("x = 'as it was saved'\n")
    mlflow.sklearn.save_model(
        LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)),
        folder,
        code_paths=[str(code)],
        pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "skops")],
    )


def _change_line(model: Path, number: int) -> None:
    (model / "code" / "features.py").write_text(f"x = {number}\n")


def our_base(registry: str) -> str:
    return _run(sys.executable, str(BASE_SCRIPT), registry).strip()


def _slim() -> Path:
    """Debian with its Python and pip, as an archive: what stands in for the image of the same name."""
    if SLIM.exists():
        return SLIM
    if which("debootstrap") is None or os.geteuid() != 0:
        sources.cannot_be_had("docker", "no base for MLflow's Dockerfile: it takes debootstrap, and root")
    SLIM.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="placet-slim-") as made:
        root = Path(made) / "root"
        _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", _codename(), str(root), *_mirror())
        copyfile(os.environ.get("SSL_CERT_FILE", f"/{CERTIFICATES}"), root / CERTIFICATES)
        (root / "usr" / "bin" / "python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()  # the image of that name has none: its pip installs for everybody
        left_out = ("./var/cache/apt/*", "./var/lib/apt/lists/*", "./dev/*", "./proc/*", "./sys/*")
        partial = SLIM.with_suffix(".partial")
        _run("tar", "-C", str(root), *(f"--exclude={one}" for one in left_out), "-cf", str(partial), ".")
        partial.rename(SLIM)
    return SLIM


def _codename() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _mirror() -> tuple[str, ...]:
    """Where this machine has its packages from."""
    said = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: " + _codename())
    return tuple(said.splitlines()[:1])


def _checked(said: Iterable[dict[str, object]]) -> None:
    for line in said:
        if "error" in line:
            raise RuntimeError(str(line["error"]))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-2000:]}")
    return done.stdout


def _times(what: str, rounds: list[tuple[float, float]], goal: float) -> list[Row]:
    ours, theirs = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in rounds)
    return [
        row(f"image of an MLflow model, {what}: to a pushed image", round(ours, 2), "s"),
        row(f"image of an MLflow model, {what}: docker build of MLflow's Dockerfile", round(theirs, 2), "s"),
        row(f"image of an MLflow model, {what}: times as fast", round(ratio, 1), "x", goal=goal),
    ]


def _sizes(what: str, ours: int, theirs: int) -> list[Row]:
    share = ours / theirs
    return [
        row(f"image of an MLflow model, compressed, {what}", round(ours / 1e6, 1), "MB"),
        row(f"image of MLflow's Dockerfile, compressed, {what}", round(theirs / 1e6, 1), "MB"),
        {
            "name": f"image of an MLflow model beside MLflow's, {what}",
            "value": round(share, 2),
            "unit": "x",
            "goal": f"≤ {SIZE_GOAL}",
            "met": share <= SIZE_GOAL,
        },
    ]
