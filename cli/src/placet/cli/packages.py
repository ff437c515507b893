"""Are a project's packages on the index? Resolved as the builder does it, by its own code, where that is installed.

Nothing is installed and nothing of the project is run. The index is the one the builder would ask in this environment.
An index that cannot be asked says nothing against a project.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from placet.errors import PlacetError, Refused, Unavailable
from placet.projects import Manifest

SECONDS = 20.0
MOST = 20
_SWITCHED_OFF = ("1", "true", "yes", "on", "t", "y")


@dataclass(frozen=True, kw_only=True)
class LookedUp:
    """What the build would refuse, and why that is not all, if so."""

    refused: tuple[PlacetError, ...] = ()
    left_open: str | None = None


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
        from placet.builder.adapters.image_workshop import look_up
        from placet.builder.adapters.uv_packages import UvPackages
        from placet.builder.locking import readable_requirements
    except ImportError:
        return LookedUp(left_open="the builder is not installed here: placet-cli[platform] brings it")
    packages = UvPackages(os.environ.get("PLACET_PACKAGE_INDEX"))
    asked = [one for one in readable_requirements(text, "") if not _names(told, one.name)]
    refused: list[PlacetError] = []
    try:
        async with asyncio.timeout(SECONDS):
            while len(refused) < MOST:
                with tempfile.TemporaryDirectory(prefix="placet-lock-") as workspace:
                    try:
                        await look_up(folder, manifest, asked, packages=packages, workspace=Path(workspace))
                        break
                    except Refused as no:
                        refused.append(no)
                # uv ends with what it finds first: what it names is left out, to hear of the others.
                left = [one for one in asked if not _names(refused[-1].detail, one.name)]
                if len(left) == len(asked):
                    break
                asked = left
    except Unavailable:
        return LookedUp(refused=tuple(refused), left_open="the package index cannot be reached from here")
    except TimeoutError:
        return LookedUp(refused=tuple(refused), left_open=f"it took longer than {SECONDS:g} s")
    return LookedUp(refused=tuple(refused))


def _names(text: str, package: str) -> bool:
    spelt = re.escape(package).replace(r"\-", "[-_.]")
    return re.search(rf"(?<![\w.-]){spelt}(?![\w-])", text, re.IGNORECASE) is not None
