"""`placet fetch`: a project back out of an image."""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
from argparse import Namespace
from pathlib import Path

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.submission import ImageDigest, find_image, meant
from placet.projects import unpack

_DIGITS = re.compile(r"[0-9a-f]{8,64}")


async def fetch(arguments: Namespace, screen: Screen) -> int:
    # Nothing else is fetched, so that a digest may be typed as other tools show it.
    image = f"sha256:{arguments.image}" if _DIGITS.fullmatch(arguments.image) else arguments.image
    typed = meant(image) if image.startswith("sha256:") else None
    if not isinstance(typed, ImageDigest):
        raise WrongUsageError(
            f"{arguments.image!r} is no image digest",
            fix="type sha256: and how it goes on, or 8 of its digits or more; `placet list --images` shows them",
        )
    async with connect() as platform:
        found = await find_image(platform, typed)
        directory: Path = arguments.directory or Path(
            found.project or found.image.removeprefix("sha256:")[:12]
        )
        if directory.exists():  # noqa: ASYNC240 (one look, before anything is under way)
            raise WrongUsageError(f"{str(directory)!r} is there already", fix="name a folder that is not")
        with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
            archive = Path(scratch) / "source.tar"
            await platform.download_source(found.image, archive)
            await asyncio.to_thread(unpack, archive, directory)
    deploy = f"placet deploy {shlex.quote(str(directory))}"
    screen.note(f"release {found.release} of {found.project}, unpacked; `{deploy}` serves it")
    screen.result(str(directory))
    screen.document({**found.to_json(), "directory": str(directory)})
    return exits.DONE
