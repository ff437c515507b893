"""From what a user calls a source to what the platform calls one.

A folder is packed and sent, unless the platform has it; an image is looked up by as much of its digest as was
typed. Nothing of the project is run or read beyond what packing needs.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from placet.cli.exits import WrongUsageError
from placet.cli.progress import Progress
from placet.client import Client, Image, Step
from placet.errors import Refused, Unknown

_DIGEST = re.compile(r"sha256:[0-9a-f]{1,64}")
_WHOLE = len("sha256:") + 64


@dataclass(frozen=True)
class Folder:
    path: Path


@dataclass(frozen=True)
class ImageDigest:
    digest: str
    """Possibly only its beginning."""


def meant(source: str) -> Folder | ImageDigest:
    """What was typed. `WrongUsageError` for what cannot be deployed."""
    if source.startswith("sha256:"):
        if not _DIGEST.fullmatch(source):
            raise WrongUsageError(
                f"{source!r} is no digest",
                fix="write sha256: and up to 64 hexadecimal digits, as `placet list --images` shows them",
            )
        return ImageDigest(source)
    if "://" in source or re.match(r"[\w.-]+@[\w.-]+:", source):
        raise WrongUsageError(
            f"{source!r} is a git address, which is not supported yet", fix="clone it and name the folder"
        )
    path = Path(source)
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise WrongUsageError(f"{source!r} {kind}", fix="name a folder, or an image digest (sha256:…)")
    return Folder(path)


async def send(platform: Client, folder: Folder, steps: Progress) -> str:
    """The digest under which the platform has the folder, sent if need be."""
    from placet.projects import MANIFEST_NAME, pack

    if not (folder.path / MANIFEST_NAME).is_file():
        raise Refused(f"{folder.path} has no {MANIFEST_NAME}", fix=f"`placet init {folder.path}` writes one")
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        archive = Path(scratch) / "source.tar"
        with _timed(steps, "packed") as told:
            packed = await asyncio.to_thread(pack, folder.path, archive)
            told.append(f"{len(packed.files)} files, {_size(packed.size)}")
        with _timed(steps, "sent") as told:
            if await platform.has_source(packed.digest):
                told.append("the platform has it already")
            else:
                await platform.upload(archive, packed.digest)
                told.append(f"{packed.digest[:19]}…")
        return packed.digest


async def find_image(platform: Client, typed: ImageDigest) -> Image:
    """The one image whose digest begins so."""
    if len(typed.digest) == _WHOLE:
        return await platform.image(typed.digest)
    found = {image.image: image for image in await platform.images() if image.image.startswith(typed.digest)}
    match list(found.values()):
        case [image]:
            return image
        case []:
            raise Unknown(
                f"no image's digest begins with {typed.digest}", fix="`placet list --images` shows all"
            )
        case several:
            raise WrongUsageError(
                f"{typed.digest} begins {len(several)} images' digests",
                fix="type more of it; `placet list --images` shows them whole",
            )


@contextmanager
def _timed(steps: Progress, name: str) -> Iterator[list[str]]:
    """A step of this machine; what is told in the list is its detail."""
    began = time.monotonic()
    steps.local(Step(name=name, state="running"))
    told: list[str] = []
    try:
        yield told
    except BaseException:
        steps.local(Step(name=name, state="failed", seconds=time.monotonic() - began))
        raise
    steps.local(Step(name=name, state="done", seconds=time.monotonic() - began, detail=" ".join(told)))


def _size(size: int) -> str:
    amount, units = float(size), ["B", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
