"""The process in which one source is looked through: `python -P -m placet.rules.examination FOLDER NOW MEMORY SECONDS`.

A small archive can describe more than any machine holds, or more than can be followed in a day, and all that reads
it is Python, which lets others of its process wait. So the kernel bounds this process, and it ends with its source.
FOLDER holds `source.tar`; the project is unpacked beside it. Nothing of it is run or loaded. On standard output
lies one JSON object: `{"facts": …}`, or `{"refused": …, "fix": …}`.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from placet.errors import Refused
from placet.projects import parse_manifest, unpack
from placet.rules.facts import Facts, gather_submit_facts

MEMORY_BYTES = 2 * 1024**3
SECONDS = 300
"""Of processor time."""
ARCHIVE = "source.tar"


async def examined(
    workspace: Path,
    now: datetime,
    *,
    dockerfiles: bool,
    memory: int = MEMORY_BYTES,
    seconds: int = SECONDS,
) -> Facts:
    """The facts of stage submit about the archive in a folder, found in a process of its own.

    Raises `Refused` for what is no project, or takes more than so many bytes of memory or seconds of processor time.
    """
    answer = await _answer(workspace, now, memory, seconds, dockerfiles)
    if "refused" in answer:
        raise Refused(answer["refused"], fix=answer["fix"])
    facts: Facts = answer["facts"]
    return facts


async def _answer(
    workspace: Path, now: datetime, memory: int, seconds: int, dockerfiles: bool
) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        *(str(workspace), now.isoformat(), str(memory), str(seconds)),
        *(("dockerfiles",) if dockerfiles else ()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == -signal.SIGXCPU:
        return _too_much(f"{seconds} s of processor time")
    if process.returncode != 0:
        raise RuntimeError(
            f"the examination ended with {process.returncode}: {errors.decode(errors='replace')}"
        )
    answer: dict[str, Any] = msgspec.json.decode(output)
    return answer


def _facts(workspace: Path, now: datetime, *, dockerfiles: bool) -> Facts:
    folder = workspace / "project"
    contents = unpack(workspace / ARCHIVE, folder)
    if contents.manifest is None:
        raise Refused("the source holds no placet.yaml", fix="run `placet init` in the project's folder")
    manifest = parse_manifest(contents.manifest)
    return gather_submit_facts(folder, manifest, now=now, dockerfiles=dockerfiles)


def _too_much(what: str) -> dict[str, Any]:
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
        answer = {"facts": _facts(Path(workspace), moment, dockerfiles="dockerfiles" in allowed)}
    except Refused as refusal:
        answer = {"refused": refusal.detail, "fix": refusal.fix}
    except MemoryError:
        answer = _too_much(f"{int(memory) // 1024**2} MiB of memory")
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
