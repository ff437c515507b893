"""Images from sources in the registry: fetch, unpack, assemble, push; and a log of each build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from placet.builder.assembly import (
    NO_BASE,
    BuiltImage,
    ImagePlan,
    assemble,
    host_platform,
    host_python,
    lock_project,
    reuse_key,
)
from placet.builder.assembly_dockerfile import DockerfilePlan, assemble_from_engine
from placet.builder.assembly_image import Base
from placet.builder.layers_cache import LayerCache, works_on_disk
from placet.builder.layers_runtime import recipe, serving_code
from placet.builder.locking import AskedFor, Lock
from placet.builder.ports import Compiler, Engine, KnownImage, Log, Packages, Target
from placet.builder.settings import Limits
from placet.errors import PlacetError, Refused
from placet.events import Clock
from placet.events.contracts.builder import ImageBuilt
from placet.oci import Registry, open_registry
from placet.oci.files import in_thread
from placet.projects import (
    MANIFEST_NAME,
    MLFLOW,
    PYFUNC,
    PYTORCH,
    Card,
    DocumentRefused,
    Manifest,
    Served,
    needs_pandas,
    parse_card,
    parse_manifest,
    served,
    torch_operators,
    trusted_types,
    unpack,
)
from placet.projects.card import MAX_CARD_BYTES

SOURCES = "sources"
PICKLES = frozenset({"pickle", "joblib", PYFUNC})
MLFLOW_ITSELF = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"})


class RegistryImages:
    """The `Images` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def exists(self, known: KnownImage) -> bool:
        return await self._registry.resolve(known.repository, known.image) is not None


class ImageWorkshop:
    """The `Workshop` port: images for this host's Python and platform, on one base."""

    def __init__(
        self,
        *,
        registry: Registry,
        base: str,
        data: Path,
        packages: Packages,
        compiler: Compiler,
        limits: Limits,
        clock: Clock,
        keep_logs: timedelta,
        engine: Engine | None = None,
    ) -> None:
        self._registry = registry
        self._base = base
        self._data = data
        self._packages = packages
        self._compiler = compiler
        self._limits = limits
        self._clock = clock
        self._keep_logs = keep_logs
        self._engine = engine
        self._version = version("placet-builder")
        self._recipe = recipe()

    def reuse_key(self, source: str) -> str:
        return reuse_key(
            source=source,
            base=self._base,
            recipe=self._recipe,
            python=host_python(),
            platform=host_platform(),
        )

    @property
    def _layers(self) -> Path:
        return self._data / "layers"

    def log_of(self, project: str, release: int) -> Path:
        return self._data / "logs" / project / f"{release}.log"

    async def build(self, project: str, release: int, source: str) -> ImageBuilt:
        with works_on_disk(self._data):
            await in_thread(self._forget_old_logs)
            file = self.log_of(project, release)
            with await in_thread(_opened, file) as log:
                image = await self._logged(project, source, lambda line: _write(log, line))
        return ImageBuilt(
            project=project,
            release=release,
            source=source,
            image=image.digest,
            repository=image.repository,
            size=image.size,
            lock=image.lock_digest,
            base=image.base,
            python=image.python,
            bom=image.bom,
            provenance=image.provenance,
        )

    async def _logged(self, project: str, source: str, say: Callable[[str], None]) -> BuiltImage:
        """A build whose log says how it ended."""
        try:
            async with asyncio.timeout(self._limits.seconds) as limit:
                return await self._build(project, source, say)
        except TimeoutError:
            if not limit.expired():
                raise
            late = Refused(
                f"the build was not done after {self._limits.seconds:g} seconds",
                fix="ask for fewer packages, or have PLACET_BUILD_SECONDS raised",
            )
            say(f"failed: {late}")
            raise late from None
        except PlacetError as error:
            say(f"failed: {error}")
            raise
        except asyncio.CancelledError:
            say("ended before it was done")
            raise

    async def _build(self, project: str, source: str, say: Callable[[str], None]) -> BuiltImage:
        with LayerCache(self._layers).workspace() as workspace:
            folder = await self._fetch(source, workspace)
            manifest = parse_manifest(await in_thread((folder / MANIFEST_NAME).read_bytes))
            card = await in_thread(_card, folder, manifest)
            if manifest.build.dockerfile is not None:
                return await self._tailored(project, source, folder, workspace, manifest, card, say)
            loaded = await in_thread(served, folder, manifest.model)
            async with _base(self._base, self._registry) as base:
                return await assemble(
                    folder,
                    await in_thread(_plan, loaded, project, source, folder, manifest, card, self._version),
                    registry=self._registry,
                    repository=f"models/{project}",
                    base=base,
                    cache_dir=self._layers,
                    python=host_python(),
                    platform=host_platform(),
                    packages=self._packages,
                    compiler=self._compiler,
                    log=say,
                    limits=self._limits,
                )

    async def _tailored(
        self,
        project: str,
        source: str,
        folder: Path,
        workspace: Path,
        manifest: Manifest,
        card: Card | None,
        say: Log,
    ) -> BuiltImage:
        """By the project's own Dockerfile. That it may, the certifier has said."""
        dockerfile = manifest.build.dockerfile
        if self._engine is None or dockerfile is None:
            raise Refused(
                f"{project} is built from its {dockerfile}, and this builder has no Docker Engine",
                fix="have its PLACET_DOCKER_HOST set, or take `build` out of placet.yaml",
            )
        plan = DockerfilePlan(
            project=project,
            source=source,
            dockerfile=dockerfile,
            format=manifest.model.format,
            model=manifest.model.path,
            builder_version=self._version,
            card=card,
            purpose=manifest.governance.purpose,
            data=manifest.governance.data,
        )
        return await assemble_from_engine(
            folder,
            plan,
            engine=self._engine,
            registry=self._registry,
            repository=f"models/{project}",
            cache=LayerCache(self._layers),
            workspace=workspace,
            log=say,
            limits=self._limits,
        )

    def _forget_old_logs(self) -> None:
        oldest = (self._clock.now() - self._keep_logs).timestamp()
        for file in (self._data / "logs").glob("*/*.log"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < oldest:
                    file.unlink()

    async def _fetch(self, source: str, workspace: Path) -> Path:
        archive, folder = workspace / "source.tar", workspace / "project"
        await self._registry.save_blob(SOURCES, source, archive)
        await in_thread(unpack, archive, folder)
        return folder


def host_target() -> Target:
    return Target(python=host_python(), platform=host_platform())


async def look_up(
    folder: Path,
    manifest: Manifest,
    asked: Sequence[AskedFor],
    *,
    packages: Packages,
    workspace: Path,
) -> Lock:
    """What a build here would make of these requirements, without building anything. Raises as the build does.

    A model that cannot be served, which is for the rules to say, adds nothing to them.
    """
    try:
        loaded = await in_thread(served, folder, manifest.model)
    except Refused:
        loaded = Served(format="", serialization="", path=manifest.model.path)
    plan = await in_thread(_plan, loaded, "", "", folder, manifest, None, version("placet-builder"))
    serving = await in_thread(serving_code)
    return await lock_project(asked, plan, serving, host_target(), packages, workspace, lambda line: None)


def _plan(
    loaded: Served,
    project: str,
    source: str,
    folder: Path,
    manifest: Manifest,
    card: Card | None,
    builder_version: str,
) -> ImagePlan:
    by_mlflow = loaded.serialization == PYFUNC
    evaluation = manifest.governance.evaluation
    return ImagePlan(
        project=project,
        source=source,
        format=loaded.format,
        model=loaded.path,
        declared_format=manifest.model.format,
        columns=() if by_mlflow else loaded.columns,
        method=loaded.method,
        example=loaded.example,
        is_pickle=loaded.serialization in PICKLES,
        in_frames=loaded.serialization == "skops" and needs_pandas(folder / loaded.path),
        left_out=MLFLOW_ITSELF if manifest.model.format == MLFLOW and not by_mlflow else frozenset(),
        sample=manifest.model.sample,
        reference=manifest.model.reference,
        module=manifest.model.module,
        requirements=manifest.requirements,
        trusted=tuple(torch_operators()) if loaded.format == PYTORCH else trusted_types(),
        builder_version=builder_version,
        evaluation=evaluation.predictions if evaluation is not None else None,
        card=card,
        purpose=manifest.governance.purpose,
        data=manifest.governance.data,
    )


def _card(folder: Path, manifest: Manifest) -> Card | None:
    """The project's card, if it has one that can be read. Whether it has to is for a rule to say."""
    file = folder / manifest.card if manifest.card else None
    if file is None or not file.is_file() or file.stat().st_size > MAX_CARD_BYTES:
        return None
    try:
        return parse_card(file.read_bytes())
    except DocumentRefused:
        return None


def _opened(file: Path) -> TextIO:
    """A log to add to: of a build that is tried again, the tries before are worth reading too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    log = file.open("a", encoding="utf-8", buffering=1)
    if log.tell():
        _write(log, "tried again")
    return log


def _write(log: TextIO, line: str) -> None:
    log.write(f"{line}\n")


@asynccontextmanager
async def _base(name: str, registry: Registry) -> AsyncIterator[Base | None]:
    """With a connection of its own where it is in another registry."""
    if name == NO_BASE:
        yield None
        return
    address, _, digest = name.rpartition("@")
    host, slash, repository = address.partition("/")
    if slash and ("." in host or ":" in host):
        async with open_registry(f"https://{host}") as elsewhere:
            yield Base(registry=elsewhere, repository=repository, digest=digest)
    else:
        yield Base(registry=registry, repository=address, digest=digest)
