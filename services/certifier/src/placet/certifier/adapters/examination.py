"""The process in which one source is looked through: `python -P -m placet.certifier.adapters.examination FOLDER NOW …`.

A small archive can describe more than any machine holds, or more than can be followed in a day, and all that reads
it is Python, which lets others of its process wait. So the kernel bounds this process, and it ends with its source.
FOLDER holds `source.tar`; the project is unpacked beside it. Nothing of it is run or loaded. On standard output
lies one JSON object: `{"facts": …}`, or `{"refused": …, "fix": …}`.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from placet.errors import Refused
from placet.projects import parse_manifest, unpack
from placet.rules import gather_submit_facts

MEMORY_BYTES = 2 * 1024**3
SECONDS = 300
"""Of processor time."""
ARCHIVE = "source.tar"


def examine(workspace: Path, now: datetime, *, dockerfiles: bool) -> dict[str, Any]:
    """The facts of stage submit. Raises `Refused`."""
    folder = workspace / "project"
    contents = unpack(workspace / ARCHIVE, folder)
    if contents.manifest is None:
        raise Refused("the source holds no placet.yaml", fix="run `placet init` in the project's folder")
    manifest = parse_manifest(contents.manifest)
    return gather_submit_facts(folder, manifest, now=now, dockerfiles=dockerfiles)


def too_much(what: str) -> dict[str, Any]:
    return {
        "refused": f"looking through the source takes more than {what}",
        "fix": "leave out what is not needed to serve the model, or save the model in a smaller form",
    }


def main(arguments: Sequence[str]) -> None:
    workspace, now, memory, seconds, *allowed = arguments
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))  # SIGXCPU comes with the first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        moment = datetime.fromisoformat(now)
        answer = {"facts": examine(Path(workspace), moment, dockerfiles="dockerfiles" in allowed)}
    except Refused as refusal:
        answer = {"refused": refusal.detail, "fix": refusal.fix}
    except MemoryError:
        answer = too_much(f"{int(memory) // 1024**2} MiB of memory")
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
