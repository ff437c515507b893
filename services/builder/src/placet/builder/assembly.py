"""What image is this project? Its wheels, placet's model server, the model and the code, layer by layer.

No container engine and no line of the project's code takes part: packages are unpacked wheels, and an image
is archives and two JSON documents. The same project, lock, base and builder give the same digest on any
machine; what it is made of, and how, is laid beside it afterwards. What it does not do: decide whether an
image is needed at all. That is the domain's question, which it asks with `reuse_key` before anything is locked.
"""

from __future__ import annotations

import platform as host
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from placet.builder.assembly_bom import Contents, ModelFacts, bill_of_materials
from placet.builder.assembly_image import Base, BaseLayers, Push, attach, image_config, read_base
from placet.builder.assembly_provenance import provenance
from placet.builder.layers import Content, Files, Layer, files_below, sizes_of, write_layer
from placet.builder.layers_cache import LayerCache, works_on_disk
from placet.builder.layers_packages import PackageLayers, at_most
from placet.builder.layers_runtime import ServingCode, serving_code
from placet.builder.locking import AskedFor, Lock, asked_once, lock, read_requirements, with_needed
from placet.builder.ports import Compiler, Log, Packages, Target
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.errors import Refused, TooLarge
from placet.oci import Platform, Registry, sha256_digest
from placet.oci.content import encode_json
from placet.oci.files import digest_of_file, in_thread
from placet.oci.together import together
from placet.projects import Card, Column, needs
from placet.projects.manifest import DataSet

NO_BASE = "none"
PROJECT_ROOT = "app/project/"
_DEPS, _SERVING = "app/deps/", "app/serving/"

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """What the image of one source is made from. Paths are POSIX, relative to the project's folder.

    `format` and `model` are what is loaded. Of an MLflow folder that is a file inside: `declared_format` is what
    placet.yaml says then, `columns` those of the frame that the model wants, `method` the one of the model whose answer
    is given, and `left_out` the requirements that only MLflow itself has; or the whole folder, where MLflow loads it.
    `in_frames`: its file says that it takes no mere arrays. `is_pickle`: loading it unpickles; what nobody excepts is
    not cleared, so that a build of one is asked for only where that was allowed. `evaluation` is a file of people's
    cases, which nothing that serves may have. `card`, `purpose` and `data` are told beside the image and are not in
    it.
    """

    project: str
    source: str
    format: str
    model: str
    sample: str | None
    reference: str | None = None
    module: str | None = None
    requirements: str | None
    trusted: tuple[str, ...]
    builder_version: str
    declared_format: str | None = None
    columns: tuple[Column, ...] = ()
    method: str | None = None
    example: Mapping[str, object] | None = None
    in_frames: bool = False
    is_pickle: bool = False
    left_out: frozenset[str] = frozenset()
    evaluation: str | None = None
    card: Card | None = None
    purpose: str | None = None
    data: tuple[DataSet, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image in the registry. `sent` is how many bytes of layers had to go over.

    `bom` and `provenance` are the digests of the artifacts that say what is in it and how it was made.
    """

    digest: str
    repository: str
    size: int
    layers: tuple[str, ...]
    lock_digest: str
    python: str
    platform: str
    base: str
    sent: int
    bom: str
    provenance: str


def host_python() -> str:
    """The tag of the Python that runs here, such as `cp311`."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def host_platform() -> str:
    """The platform of this machine, such as `linux/amd64`."""
    machine = host.machine().lower()
    return f"{host.system().lower()}/{_ARCHITECTURES.get(machine, machine)}"


def reuse_key(
    *,
    source: str,
    base: str,
    recipe: str,
    python: str,
    platform: str,
    lock: str | None = None,
) -> str:
    """Two builds with the same key are the same build. `recipe` says with what they are made.

    Without `lock` it answers "was this source built already?" before anything is resolved: requirements
    that are not pinned may lock to something else next week, and an unchanged source must build nothing.
    """
    parts = {
        "source": source,
        "base": base,
        "recipe": recipe,
        "python": python,
        "platform": platform,
    }
    return sha256_digest(encode_json(parts if lock is None else parts | {"lock": lock}))


async def assemble(
    project_folder: Path,
    plan: ImagePlan,
    *,
    registry: Registry,
    repository: str,
    base: Base | None,
    cache_dir: Path,
    python: str,
    platform: str,
    packages: Packages,
    compiler: Compiler,
    log: Log,
    limits: Limits = DEFAULT_LIMITS,
) -> BuiltImage:
    """Build and push the image of a project.

    `Refused` says what is wrong with the project (requirements, links, a missing model, its size), `Unavailable` that
    the index, the registry or the disk is.
    """
    target = Target(python=python, platform=platform)
    runs_on = _platform(platform)
    cache = LayerCache(cache_dir)
    with works_on_disk(cache_dir), cache.workspace() as workspace:
        base_layers = BaseLayers() if base is None else await read_base(base, runs_on)
        model, code = await in_thread(lambda: _project_files(project_folder, plan))
        serving = await in_thread(serving_code)
        asked = read_requirements(_inside(project_folder, plan.requirements)) if plan.requirements else ()
        locked = await lock_project(asked, plan, serving, target, packages, workspace, log)
        package_layers = PackageLayers(
            packages=packages, compiler=compiler, cache=cache, target=target, workspace=workspace, log=log
        )
        facts = await package_layers.facts(locked.packages)
        check_size("packages", sum(each.weight for each in facts.values()), limits.packages_bytes)
        for part in (locked.project, locked.serving):
            await package_layers.check_overlays(part)
        code |= {
            "app/placet.json": encode_json(_runtime_settings(plan)),
            "app/requirements.lock": locked.text.encode(),
        }
        most = sum(each.most for each in facts.values())
        most += await in_thread(
            lambda: sum(at_most(sizes_of(files), target) for files in (serving.files, model, code))
        )
        push = Push(registry, repository, cache=cache, base=base, base_layers=base_layers)
        # Before it is known that the image will be within its limit nothing of it is sent.
        made = push.send if most <= limits.image_bytes else _waits
        parts = await together(
            package_layers.layers(locked.project, _DEPS, facts, title="deps", made=made),
            package_layers.layers(
                locked.serving, _SERVING, facts, title="serving", made=made, extra=serving.files
            ),
            _written(model, workspace / "model.layer", f"model {plan.model}", made),
            _written(code, workspace / "code.layer", "code", made),
        )
        layers = [layer for part in parts for layer in part]
        check_size("layers", sum(layer.descriptor.size for layer in layers), limits.image_bytes)
        labels = _labels(plan, locked, target, base, base_layers)
        config = image_config(base_layers, layers, platform=runs_on, labels=labels)
        manifest = await push.finish(config.encode(), layers)
        contents = Contents(
            project=plan.project,
            source=plan.source,
            image=manifest.digest,
            builder_version=plan.builder_version,
            base=None if base is None else (base.repository, base.digest),
            model=await in_thread(lambda: _model_facts(plan, model)),
            lock=locked,
            packages=facts,
            own=serving.versions,
        )
        bom = bill_of_materials(contents)
        made_by = provenance(contents, repository=repository, python=python, platform=platform, bom=bom)
        attached = await attach(registry, repository, contents.image, bom=bom, provenance=made_by)
    size = sum(layer.size for layer in manifest.layers)
    log(f"image {manifest.digest}: {len(layers)} layers, {size / 1e6:.1f} MB, {push.sent / 1e6:.1f} MB sent")
    return BuiltImage(
        digest=manifest.digest,
        repository=repository,
        size=size,
        layers=tuple(layer.title for layer in layers),
        lock_digest=locked.digest,
        python=python,
        platform=platform,
        base=NO_BASE if base is None else str(base),
        sent=push.sent,
        bom=attached[0],
        provenance=attached[1],
    )


async def lock_project(
    asked: Sequence[AskedFor],
    plan: ImagePlan,
    serving: ServingCode,
    target: Target,
    packages: Packages,
    workspace: Path,
    log: Log,
) -> Lock:
    """What an image has of these requirements, with what its format needs. `Refused` if nothing fits."""
    for one in asked:
        if one.name in plan.left_out:
            log(f"left {one.requirement} out, which serving {plan.model} does not need")
    asked = tuple(one for one in asked if one.name not in plan.left_out)
    once = asked_once(asked)
    for one in asked:
        if one not in once:
            log(f"left {one.requirement} out, which is asked for by another of its names, too")
    asked, added = with_needed(once, _needed(plan, {one.name for one in once}))
    for name in added:
        log(f"added {name}, which the format {plan.format} needs and the requirements do not name")
    locked = await lock(asked, serving.requirements, target, packages=packages, workspace=workspace)
    log(f"locked {len(locked.packages)} packages for {target}: {locked.digest}")
    return locked


def _needed(plan: ImagePlan, asked: Set[str]) -> tuple[str, ...]:
    needed = tuple(map(str, needs(plan.format, plan.model, asked)))
    takes_frame = plan.format == "sklearn" and (plan.columns or plan.in_frames)
    return (*needed, "pandas") if takes_frame else needed


def _project_files(folder: Path, plan: ImagePlan) -> tuple[dict[str, Path], dict[str, Content]]:
    """The model's files and all others, by their path in the image."""
    _inside(folder, plan.model)
    for named in (plan.reference, plan.module):
        if named is not None:
            _inside(folder, named)
    found = files_below(folder)
    if plan.evaluation is not None and not PurePosixPath(plan.evaluation).is_relative_to(plan.model):
        found.pop(plan.evaluation, None)
    of_model = {path for path in found if PurePosixPath(path).is_relative_to(plan.model)}
    model = {f"{PROJECT_ROOT}{path}": source for path, source in found.items() if path in of_model}
    code = {f"{PROJECT_ROOT}{path}": source for path, source in found.items() if path not in of_model}
    return model, {**code}


def _inside(folder: Path, path: str) -> Path:
    """A file or folder that the manifest names, which has to be there and inside the project."""
    pure = PurePosixPath(path)
    found = folder / pure
    if pure.is_absolute() or ".." in pure.parts or not found.exists():
        raise Refused(f"the project has no {path}", fix="name an existing file in placet.yaml")
    return found


def _model_facts(plan: ImagePlan, model: Mapping[str, Path]) -> ModelFacts:
    return ModelFacts(
        format=plan.format,
        path=plan.model,
        files={path.removeprefix(PROJECT_ROOT): digest_of_file(content) for path, content in model.items()},
        card=plan.card,
        purpose=plan.purpose,
        data=plan.data,
    )


def check_size(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(
            f"the image's {what} have {size} bytes; the limit is {limit}",
            fix="leave out what the model does not need, or have the builder's limit raised",
        )


async def _written(
    files: Files, into: Path, title: str, made: Callable[[Layer], Awaitable[None]]
) -> list[Layer]:
    layer = await in_thread(lambda: write_layer(files, into, title=title))
    await made(layer)
    return [layer]


async def _waits(layer: Layer) -> None:
    """It is sent when all are there."""


def _runtime_settings(plan: ImagePlan) -> dict[str, object]:
    settings: dict[str, object] = {
        "project": plan.project,
        "format": plan.format,
        "path": plan.model,
        "sample": plan.sample,
        **({} if plan.reference is None else {"reference": plan.reference}),
        **({} if plan.module is None else {"module": plan.module}),
        **({} if plan.method is None else {"method": plan.method}),
        **({} if plan.example is None else {"example": dict(plan.example)}),
        "trusted": sorted(plan.trusted),
        **({"pickle": True} if plan.is_pickle else {}),
    }
    return settings | {"columns": msgspec.to_builtins(plan.columns)} if plan.columns else settings


def _labels(
    plan: ImagePlan, locked: Lock, target: Target, base: Base | None, base_layers: BaseLayers
) -> dict[str, str]:
    labels = {
        "org.opencontainers.image.title": plan.project,
        "io.placet.project": plan.project,
        "io.placet.source": plan.source,
        "io.placet.format": plan.declared_format or plan.format,
        "io.placet.lock": locked.digest,
        "io.placet.python": target.python,
        "io.placet.builder": plan.builder_version,
        "io.placet.base": NO_BASE if base is None else str(base),
        "io.placet.base.layers": str(len(base_layers.layers)),
    }
    if base is not None:
        labels["org.opencontainers.image.base.name"] = base.repository
        labels["org.opencontainers.image.base.digest"] = base.digest
    return labels


def _platform(platform: str) -> Platform:
    system, _, architecture = platform.partition("/")
    if not system or not architecture:
        raise Refused(f"{platform!r} is no platform", fix="write it as linux/amd64")
    return Platform(os=system, architecture=architecture)
