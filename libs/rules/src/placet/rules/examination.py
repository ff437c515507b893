"""The process in which one source is looked through: `python -P -m placet.rules.examination … FOLDER NOW`.

FOLDER holds `source.tar`; the project is unpacked beside it. Nothing of it is run or loaded, and what bounds it is
`placet.projects.bounded`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from placet.errors import Refused
from placet.projects import parse_manifest, read_manifest, unpack
from placet.projects.bounded import MEMORY_BYTES, answer, asked
from placet.rules.facts import Facts, gather_readable_facts, gather_submit_facts

SECONDS = 300
"""Of processor time."""
ARCHIVE = "source.tar"


async def examined(
    workspace: Path,
    now: datetime,
    *,
    dockerfiles: bool,
    partial: bool = False,
    memory: int = MEMORY_BYTES,
    seconds: int = SECONDS,
) -> Facts:
    """The facts of stage submit about the archive in a folder, found in a process of its own; if they may be `partial`,
    also about one with mistakes in its placet.yaml.

    Raises `Refused` for what is no project, or takes more than so many bytes of memory or seconds of processor time.
    """
    facts: Facts = await asked(
        *(__name__, str(workspace), now.isoformat()),
        *(("dockerfiles",) if dockerfiles else ()),
        *(("partial",) if partial else ()),
        memory=memory,
        seconds=seconds,
    )
    return facts


def _examined(arguments: Sequence[str]) -> Facts:
    workspace, now, *allowed = arguments
    return _facts(
        Path(workspace),
        datetime.fromisoformat(now),
        dockerfiles="dockerfiles" in allowed,
        partial="partial" in allowed,
    )


def _facts(workspace: Path, now: datetime, *, dockerfiles: bool, partial: bool) -> Facts:
    folder = workspace / "project"
    contents = unpack(workspace / ARCHIVE, folder)
    if contents.manifest is None:
        raise Refused("the source holds no placet.yaml", fix="run `placet init` in the project's folder")
    if partial:
        reading = read_manifest(contents.manifest)
        return gather_readable_facts(folder, reading, now=now, dockerfiles=dockerfiles)
    manifest = parse_manifest(contents.manifest)
    return gather_submit_facts(folder, manifest, now=now, dockerfiles=dockerfiles)


if __name__ == "__main__":
    answer(sys.argv[1:], _examined)
