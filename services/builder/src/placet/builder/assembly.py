"""What image is this project? Its wheels, placet's model server, the model and the code, layer by layer.

No container engine and no line of the project's code takes part: packages are unpacked wheels, and an image
is archives and two JSON documents. The same project, lock, base and builder give the same digest on any
machine. What it does not do: decide whether an image is needed at all. That is the domain's question, which
it asks with `reuse_key` before anything is locked.
"""

from __future__ import annotations

import asyncio
import platform as host
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from placet.builder.assembly_image import Base, BaseLayers, image_config, push_image, read_base
from placet.builder.layers import Files, Layer, files_below, write_layer
from placet.builder.layers_cache import LayerCache, works_on_disk
from placet.builder.layers_packages import Log, PackageLayers
from placet.builder.layers_runtime import ServingCode, serving_code
from placet.builder.locking import Lock, lock, read_requirements, with_needed
from placet.builder.ports import Compiler, Packages, Target
from placet.errors import Refused
from placet.oci import Platform, Registry, sha256_digest
from placet.oci.content import encode_json
from placet.oci.together import together

NO_BASE = "none"

# ONNX Runtime reads a model's external data from anywhere before 1.24.1, and skops builds what nobody trusts
# before 0.13 (CVE-2025-54412, -54413, -54886): what a model must not do, its project must not bring along.
_NEEDED = {"sklearn": ("scikit-learn",), "onnx": ("onnxruntime>=1.24.1",)}
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """What the image of one source is made from. Paths are POSIX, relative to the project's folder."""

    project: str
    source: str
    format: str
    model: str
    sample: str | None
    reference: str | None = None
    requirements: str | None
    trusted: tuple[str, ...]
    builder_version: str


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image in the registry. `sent` is how many bytes of layers had to go over."""

    digest: str
    repository: str
    size: int
    layers: tuple[str, ...]
    lock_digest: str
    python: str
    platform: str
    base: str
    sent: int


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
    builder_version: str,
    python: str,
    platform: str,
    lock: str | None = None,
) -> str:
    """Two builds with the same key are the same build.

    Without `lock` it answers "was this source built already?" before anything is resolved: requirements
    that are not pinned may lock to something else next week, and an unchanged source must build nothing.
    """
    parts = {
        "source": source,
        "base": base,
        "builder": builder_version,
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
) -> BuiltImage:
    """Build and push the image of a project.

    `Refused` says what is wrong with the project (requirements, links, a missing model), `Unavailable` that
    the index, the registry or the disk is.
    """
    target = Target(python=python, platform=platform)
    runs_on = _platform(platform)
    cache = LayerCache(cache_dir)
    with works_on_disk(cache_dir), cache.workspace() as workspace:
        base_layers = BaseLayers() if base is None else await read_base(base, runs_on)
        model, code = await asyncio.to_thread(lambda: _project_files(project_folder, plan))
        serving = await asyncio.to_thread(serving_code)
        locked = await _locked(project_folder, plan, serving, target, packages, workspace, log)
        package_layers = PackageLayers(
            packages=packages, compiler=compiler, cache=cache, target=target, log=log
        )
        code |= {
            "app/placet.json": encode_json(_runtime_settings(plan)),
            "app/requirements.lock": locked.text.encode(),
        }
        made = await together(
            package_layers.layers(locked.project, "app/deps/", workspace, title="deps"),
            package_layers.layers(
                locked.serving, "app/serving/", workspace, title="serving", extra=serving.files
            ),
            _written(model, workspace / "model.layer", f"model {plan.model}"),
            _written(code, workspace / "code.layer", "code"),
        )
        layers = [layer for part in made for layer in part]
        labels = _labels(plan, locked, target, base, base_layers)
        config = image_config(base_layers, layers, platform=runs_on, labels=labels)
        manifest, sent = await push_image(
            registry, repository, config, layers, base=base, base_layers=base_layers, cache=cache
        )
    size = sum(layer.size for layer in manifest.layers)
    log(f"image {manifest.digest}: {len(layers)} layers, {size / 1e6:.1f} MB, {sent / 1e6:.1f} MB sent")
    return BuiltImage(
        digest=manifest.digest,
        repository=repository,
        size=size,
        layers=tuple(layer.title for layer in layers),
        lock_digest=locked.digest,
        python=python,
        platform=platform,
        base=NO_BASE if base is None else str(base),
        sent=sent,
    )


async def _locked(
    folder: Path,
    plan: ImagePlan,
    serving: ServingCode,
    target: Target,
    packages: Packages,
    workspace: Path,
    log: Log,
) -> Lock:
    asked = () if plan.requirements is None else read_requirements(_inside(folder, plan.requirements))
    asked, added = with_needed(asked, _needed(plan))
    for name in added:
        log(f"added {name}, which the format {plan.format} needs and the requirements do not name")
    locked = await lock(asked, serving.requirements, target, packages=packages, workspace=workspace)
    log(f"locked {len(locked.packages)} packages for {target}: {locked.digest}")
    return locked


def _needed(plan: ImagePlan) -> tuple[str, ...]:
    needed = _NEEDED.get(plan.format, ())
    return (*needed, "skops>=0.13") if plan.model.endswith(".skops") else needed


def _project_files(folder: Path, plan: ImagePlan) -> tuple[dict[str, Path | bytes], dict[str, Path | bytes]]:
    """The model's files and all others, by their path in the image."""
    _inside(folder, plan.model)
    if plan.reference is not None:
        _inside(folder, plan.reference)
    found = files_below(folder)
    of_model = {path for path in found if path == plan.model or path.startswith(f"{plan.model.rstrip('/')}/")}
    model: dict[str, Path | bytes] = {}
    code: dict[str, Path | bytes] = {}
    for path, source in found.items():
        (model if path in of_model else code)[f"app/project/{path}"] = source
    return model, code


def _inside(folder: Path, path: str) -> Path:
    """A file or folder that the manifest names, which has to be there and inside the project."""
    pure = PurePosixPath(path)
    found = folder / pure
    if pure.is_absolute() or ".." in pure.parts or not found.exists():
        raise Refused(f"the project has no {path}", fix="name an existing file in placet.yaml")
    return found


async def _written(files: Files, into: Path, title: str) -> list[Layer]:
    return [await asyncio.to_thread(lambda: write_layer(files, into, title=title))]


def _runtime_settings(plan: ImagePlan) -> dict[str, object]:
    return {
        "project": plan.project,
        "format": plan.format,
        "path": plan.model,
        "sample": plan.sample,
        **({} if plan.reference is None else {"reference": plan.reference}),
        "trusted": sorted(plan.trusted),
    }


def _labels(
    plan: ImagePlan, locked: Lock, target: Target, base: Base | None, base_layers: BaseLayers
) -> dict[str, str]:
    labels = {
        "org.opencontainers.image.title": plan.project,
        "io.placet.project": plan.project,
        "io.placet.source": plan.source,
        "io.placet.format": plan.format,
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
