"""What image did the project's own Dockerfile make? The engine's, with placet's labels, in the registry by its digest.

The engine is asked to build and to hand over what it built; it pushes nothing, so it needs no credentials and knows no
registry but those that bases come from. The layers are its own, as they are; times are taken out of the
configuration, though steps that run seldom give the same bytes twice. Beside the image lies what can truthfully be
said of it, which is less than of one that was put together here: its steps installed what they liked.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from placet.builder.assembly import NO_BASE, BuiltImage, check_size
from placet.builder.assembly_bom import FoundContents, FoundPackage, ModelFacts, bill_of_what_was_found
from placet.builder.assembly_image import Push, attach
from placet.builder.assembly_provenance import provenance_of_dockerfile
from placet.builder.layers import Layer, files_below, take_layer
from placet.builder.layers_cache import LayerCache, works_on_disk
from placet.builder.layers_packages import licence_of, package_named
from placet.builder.ports import Engine, EngineImage, Log
from placet.builder.settings import Limits
from placet.errors import Refused, TooLarge, Unavailable
from placet.oci import ImageConfig, Registry
from placet.oci.content import encode_json
from placet.oci.files import digest_of_file, in_thread
from placet.projects import Card, Dockerfile, read_dockerfile
from placet.projects.manifest import DataSet

NO_LOCK = "none"
PORT = 8080
OWN_LABELS = "io.placet."
LONGEST_DOCUMENT = 4 * 1024**2
MOST_FILES = 500_000
"""Of an image, that are looked through for packages."""

_EPOCH = "1970-01-01T00:00:00Z"
_KEPT = frozenset(
    {"Env", "Cmd", "Entrypoint", "User", "WorkingDir", "ExposedPorts", "Labels", "StopSignal", "Healthcheck"}
)
_METADATA = re.compile(r"(?:^|/)[^/]+\.(?:dist|egg)-info/(?:METADATA|PKG-INFO)$")
_DPKG = re.compile(r"^var/lib/dpkg/(?:status|status\.d/[^/]+)$")
_WHITEOUT = ".wh."
_NOBODY = re.compile(r"[1-9][0-9]{0,8}(?::[0-9]{1,9})?")


@dataclass(frozen=True, kw_only=True)
class DockerfilePlan:
    """A project with a Dockerfile. Paths are POSIX, relative to its folder; the last three are told beside it."""

    project: str
    source: str
    dockerfile: str
    format: str
    model: str
    builder_version: str
    card: Card | None = None
    purpose: str | None = None
    data: tuple[DataSet, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """An image as the engine handed it over: its configuration, and its layers, compressed by us."""

    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    packages: tuple[FoundPackage, ...] | None


async def assemble_from_engine(
    folder: Path,
    plan: DockerfilePlan,
    *,
    engine: Engine,
    registry: Registry,
    repository: str,
    cache: LayerCache,
    workspace: Path,
    log: Log,
    limits: Limits,
) -> BuiltImage:
    """Build and push the image of a project that has a Dockerfile. Errors as of `assemble`."""
    dockerfile = await in_thread(_read, folder, plan.dockerfile)
    archive = workspace / "image.tar"
    made = await engine.build(folder, plan.dockerfile, archive, log)
    log(f"{made.engine} built {made.id}: {made.size / 1e6:.1f} MB")
    with works_on_disk(workspace):
        saved = await in_thread(_taken_over, archive, workspace, made)
        await in_thread(archive.unlink)
    check_size("layers", sum(layer.descriptor.size for layer in saved.layers), limits.image_bytes)
    config, platform = _configuration(saved.config, _labels(plan, dockerfile))
    push = Push(registry, repository, cache=cache)
    manifest = await push.finish(config, saved.layers)
    contents = FoundContents(
        project=plan.project,
        source=plan.source,
        image=manifest.digest,
        builder_version=plan.builder_version,
        base=_base(dockerfile),
        model=await in_thread(_model, folder, plan),
        packages=saved.packages,
    )
    bom = bill_of_what_was_found(contents)
    made_by = provenance_of_dockerfile(
        contents,
        repository=repository,
        dockerfile=plan.dockerfile,
        images=dockerfile.images,
        engine=made.engine,
        network=made.network,
        platform=platform,
        bom=bom,
    )
    attached = await attach(registry, repository, manifest.digest, bom=bom, provenance=made_by)
    size = sum(layer.size for layer in manifest.layers)
    log(
        f"image {manifest.digest}: {len(saved.layers)} layers, {size / 1e6:.1f} MB, {push.sent / 1e6:.1f} MB sent"
    )
    return BuiltImage(
        digest=manifest.digest,
        repository=repository,
        size=size,
        layers=tuple(layer.title for layer in saved.layers),
        lock_digest=NO_LOCK,
        python="",
        platform=platform,
        base=_base(dockerfile) or NO_BASE,
        sent=push.sent,
        bom=attached[0],
        provenance=attached[1],
    )


def _read(folder: Path, name: str) -> Dockerfile:
    """Read again what the certifier cleared: what it says of its bases is told of the image."""
    path = folder / PurePosixPath(name)
    if not path.is_file():
        raise Refused(f"the project has no {name}", fix="name an existing file in build.dockerfile")
    read = read_dockerfile(path.read_bytes())
    if read.loose:
        raise Refused(
            f"{name} takes what no digest pins: {', '.join(read.loose)}",
            fix="name each image as name@sha256:…, without variables",
        )
    return read


def _base(dockerfile: Dockerfile) -> str | None:
    return dockerfile.base if "@" in dockerfile.base else None


def _model(folder: Path, plan: DockerfilePlan) -> ModelFacts:
    found = files_below(folder)
    below = "" if plan.model == "." else f"{plan.model}/"
    files = {path: file for path, file in found.items() if path == plan.model or path.startswith(below)}
    if not files:
        raise Refused(f"the project has no {plan.model}", fix="name an existing file in placet.yaml")
    return ModelFacts(
        format=plan.format,
        path=plan.model,
        files={path: digest_of_file(file) for path, file in files.items()},
        card=plan.card,
        purpose=plan.purpose,
        data=plan.data,
    )


# What the engine handed over.


def _taken_over(archive: Path, workspace: Path, made: EngineImage) -> _Saved:
    try:
        with tarfile.open(archive) as saved:
            [image] = json.loads(_document(saved, "manifest.json"))
            config = json.loads(_document(saved, image["Config"]))
            layers = []
            packages = _Packages()
            for number, name in enumerate(image["Layers"]):
                with _opened(saved, name) as content:
                    layer = take_layer(content, workspace / f"taken-{number}", title=f"layer {number + 1}")
                with _opened(saved, name) as content:
                    packages.look_through(content)
                layers.append(layer)
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise Unavailable(f"{made.engine} handed over an image that cannot be read: {error}") from error
    if [layer.diff_id for layer in layers] != config.get("rootfs", {}).get("diff_ids"):
        raise Unavailable(f"{made.engine} handed over other layers than the image {made.id} names")
    return _Saved(config=config, layers=tuple(layers), packages=packages.found())


def _document(saved: tarfile.TarFile, name: str) -> bytes:
    content = saved.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content.read(LONGEST_DOCUMENT)


def _opened(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    """A layer's archive. Engines that keep their images in containerd hand it over compressed."""
    content = saved.extractfile(name)
    if content is None:
        raise KeyError(name)
    is_packed = content.read(2) == b"\x1f\x8b"
    content.seek(0)
    return gzip.open(content) if is_packed else content  # type: ignore[return-value]


class _Packages:
    """The packages that say of themselves, in the layers of an image, that they are there."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._left = MOST_FILES

    def look_through(self, layer: IO[bytes]) -> None:
        if self._left <= 0:
            return
        removed: list[str] = []
        added: dict[str, bytes] = {}
        with ExitStack() as stack:
            archive = stack.enter_context(tarfile.open(fileobj=layer, mode="r|"))
            for member in _members(archive):
                self._left -= 1
                if self._left <= 0:
                    return
                path = PurePosixPath(member.name)
                if path.name.startswith(_WHITEOUT):
                    name = path.name.removeprefix(_WHITEOUT)
                    removed.append(str(path.parent if name == f"{_WHITEOUT}.opq" else path.parent / name))
                elif member.isfile() and (_METADATA.search(str(path)) or _DPKG.match(str(path))):
                    content = archive.extractfile(member)
                    added[str(path)] = content.read(LONGEST_DOCUMENT) if content else b""
        self._documents = {
            path: content
            for path, content in self._documents.items()
            if not any(path == gone or path.startswith(f"{gone}/") for gone in removed)
        } | added

    def found(self) -> tuple[FoundPackage, ...] | None:
        """Sorted, each once; none if there were too many files to look through."""
        if self._left <= 0:
            return None
        found: dict[tuple[str, str, str], FoundPackage] = {}
        for path, content in sorted(self._documents.items()):
            for package in _installed(content) if _DPKG.match(path) else _distribution(content):
                found[(package.kind, package.name, package.version)] = package
        return tuple(package for _, package in sorted(found.items()))


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all


def _distribution(metadata: bytes) -> Iterator[FoundPackage]:
    name, version = package_named(metadata)
    if name and version:
        licence, is_spdx = licence_of(metadata)
        yield FoundPackage(kind="pypi", name=name, version=version, licence=licence, is_spdx=is_spdx)


def _installed(status: bytes) -> Iterator[FoundPackage]:
    """What Debian's package manager says is installed."""
    for paragraph in status.decode(errors="replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.+)$", paragraph, re.MULTILINE))
        if {"Package", "Version"} <= fields.keys() and "deinstall" not in fields.get("Status", ""):
            yield FoundPackage(kind="deb", name=fields["Package"], version=fields["Version"])


# What the image says of itself.


def _labels(plan: DockerfilePlan, dockerfile: Dockerfile) -> dict[str, str]:
    base = _base(dockerfile)
    labels = {
        "org.opencontainers.image.title": plan.project,
        "io.placet.project": plan.project,
        "io.placet.source": plan.source,
        "io.placet.format": plan.format,
        "io.placet.road": "dockerfile",
        "io.placet.lock": NO_LOCK,
        "io.placet.builder": plan.builder_version,
        "io.placet.base": base or NO_BASE,
    }
    if base is not None:
        name, _, digest = base.rpartition("@")
        labels |= {"org.opencontainers.image.base.name": name, "org.opencontainers.image.base.digest": digest}
    return labels


def _configuration(document: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[bytes, str]:
    """The image's configuration with our labels and without times, and its platform.

    Labels of ours that came with its base go: they speak of another image.
    """
    run = {name: value for name, value in (document.get("config") or {}).items() if name in _KEPT and value}
    theirs = {name: value for name, value in run.get("Labels", {}).items() if not name.startswith(OWN_LABELS)}
    _check_runnable(run)
    history = [
        {**{name: step[name] for name in ("created_by", "empty_layer") if name in step}, "created": _EPOCH}
        for step in document.get("history") or []
    ]
    config = {
        "created": _EPOCH,
        **{name: document[name] for name in ("architecture", "os", "variant") if document.get(name)},
        "config": run | {"Labels": theirs | dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": document["rootfs"]["diff_ids"]},
        "history": history,
    }
    encoded = encode_json(config)
    if len(encoded) > LONGEST_DOCUMENT:
        raise TooLarge(f"the image's configuration has {len(encoded)} bytes; the limit is {LONGEST_DOCUMENT}")
    return encoded, str(ImageConfig.parse(encoded).platform)


def _check_runnable(run: Mapping[str, Any]) -> None:
    """What every image here is: started by itself, and never as root."""
    if not run.get("Cmd") and not run.get("Entrypoint"):
        raise Refused(
            "the image starts nothing",
            fix=f"end the Dockerfile with the CMD that serves the model on port {PORT}",
        )
    user = str(run.get("User", ""))
    if not _NOBODY.fullmatch(user):
        raise Refused(
            f"the image would run as {user or 'root'}, and models run as a user whose number is not 0",
            fix="write USER 65532 before the CMD of the Dockerfile",
        )
