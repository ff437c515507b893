"""Are a project's packages on the index? Resolved as the builder does it, by its own code, where that is installed.

Nothing is installed and nothing of the project is run. The index is the one the builder would ask in this environment.
An index that cannot be asked says nothing against a project.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placet.errors import PlacetError, Refused, Unavailable
from placet.projects import Manifest
from placet.rules.contents import package

if TYPE_CHECKING:
    from placet.builder.locking import Lock

SECONDS = 20.0
MOST = 20
_SWITCHED_OFF = ("1", "true", "yes", "on", "t", "y")


@dataclass(frozen=True, kw_only=True)
class LookedUp:
    """What the build would refuse, and why that is not all, if so.

    `packages` are those that the image would have above its base, as the facts `contents` have them, or None where
    they are not known; of those in `undeclared` the index does not tell under which licences they are.
    """

    refused: tuple[PlacetError, ...] = ()
    left_open: str | None = None
    packages: tuple[Mapping[str, Any], ...] | None = None
    undeclared: tuple[str, ...] = ()

    @property
    def declared(self) -> tuple[Mapping[str, Any], ...] | None:
        if self.packages is None:
            return None
        return tuple(each for each in self.packages if each["name"] not in self.undeclared)


def look_up(folder: Path, manifest: Manifest, told: Sequence[str]) -> LookedUp:
    """`told` are the requirements that the rules refuse already: they are not asked for again."""
    if manifest.build.dockerfile is not None or manifest.requirements is None:
        return LookedUp()
    if os.environ.get("UV_OFFLINE", "").lower() in _SWITCHED_OFF:
        return LookedUp(left_open="UV_OFFLINE is set")
    try:
        text = (folder / manifest.requirements).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):  # the rules tell it
        return LookedUp()
    return asyncio.run(_look_up(folder, manifest, text, " ".join(told)))


async def _look_up(folder: Path, manifest: Manifest, text: str, told: str) -> LookedUp:
    try:
        from placet.builder.adapters.image_workshop import host_target, look_up
        from placet.builder.adapters.uv_packages import UvPackages
        from placet.builder.layers_packages import licence_of
        from placet.builder.locking import readable_requirements
    except ImportError:
        return LookedUp(left_open="the builder is not installed here: placet-cli[platform] brings it")
    packages = UvPackages(os.environ.get("PLACET_PACKAGE_INDEX"))
    asked = [one for one in readable_requirements(text, "") if not _names(told, one.name)]
    refused: list[PlacetError] = []
    found = LookedUp()
    try:
        async with asyncio.timeout(SECONDS):
            while len(refused) < MOST:
                with tempfile.TemporaryDirectory(prefix="placet-lock-") as workspace:
                    try:
                        lock = await look_up(
                            folder, manifest, asked, packages=packages, workspace=Path(workspace)
                        )
                        found = _found(lock, {})
                        declared = await packages.metadata(lock, host_target(), Path(workspace))
                        found = _found(lock, {name: licence_of(said) for name, said in declared.items()})
                        break
                    except Refused as no:
                        refused.append(no)
                # uv ends with what it finds first: what it names is left out, to hear of the others.
                left = [one for one in asked if not _names(refused[-1].detail, one.name)]
                if len(left) == len(asked):
                    break
                asked = left
    except Unavailable:
        found = replace(found, left_open="the package index cannot be reached from here")
    except TimeoutError:
        found = replace(found, left_open=f"it took longer than {SECONDS:g} s")
    return replace(found, refused=tuple(refused))


def _found(lock: Lock, licences: Mapping[str, tuple[str, bool]]) -> LookedUp:
    told = []
    for each in lock.packages:
        licence, is_spdx = licences.get(each.name, ("", False))
        told.append(package(each.name, each.version, kind="pypi", licence=licence, is_spdx=is_spdx))
    undeclared = tuple(each.name for each in lock.packages if each.name not in licences)
    return LookedUp(packages=tuple(told), undeclared=undeclared)


def _names(text: str, package: str) -> bool:
    spelt = re.escape(package).replace(r"\-", "[-_.]")
    return re.search(rf"(?<![\w.-]){spelt}(?![\w-])", text, re.IGNORECASE) is not None
