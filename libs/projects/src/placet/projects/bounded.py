"""A process of its own for what strangers sent: `python -P -m MODULE MEMORY SECONDS …`.

A small archive can describe more than any machine holds, or more than can be followed in a day, and all that reads
it is Python, which lets others of its process wait. So the kernel bounds this process, and it ends with who waits
for its answer. `asked` starts it; its module calls `answer`. On standard output lies one JSON object: `{"found": …}`,
or what was refused, in words.
"""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from placet.errors import PlacetError, Refused, TooLarge, Unavailable, Unreadable
from placet.projects.full_disk import told_when_full

MEMORY_BYTES = 2 * 1024**3
RESERVE_BYTES = 32 * 1024**2
"""To say in that it was too much."""

_NO_FRAME = re.compile(r"without (setting an )?exception")
"""What CPython says, instead of a MemoryError, where there is no memory left for the frame of a call."""

_KINDS: dict[str, type[PlacetError]] = {
    each.__name__: each for each in (TooLarge, Refused, Unavailable, Unreadable)
}


async def asked(module: str, *arguments: str, memory: int, seconds: int) -> Any:
    """What a module found, in so many bytes of memory and seconds of processor time.

    Raises Refused, TooLarge and Unreadable as they were raised there, Refused for what takes more than that, and
    Unavailable where the disk has no room for what it writes.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, str(memory), str(seconds), *arguments),
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
        raise _too_much(f"{seconds} s of processor time")
    if process.returncode != 0:
        raise RuntimeError(f"{module} ended with {process.returncode}: {errors.decode(errors='replace')}")
    said: dict[str, Any] = msgspec.json.decode(output)
    if "found" in said:
        return said["found"]
    if said["kind"] == Unavailable.__name__:
        raise Unavailable(said["detail"], fix=said["fix"], retry_after=said["after"])
    raise _KINDS[said["kind"]](said["detail"], fix=said["fix"], rule=said["rule"])


def answer(arguments: Sequence[str], find: Callable[[Sequence[str]], Any]) -> None:
    """Bound this process as it is told, and say what `find` makes of the other arguments."""
    memory, seconds, *others = arguments
    most = int(memory) + RESERVE_BYTES
    with_reserve = (most, most)
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), most))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))  # SIGXCPU comes with the first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said: dict[str, Any]
    try:
        with told_when_full():
            said = {"found": find(others)}
    except (MemoryError, SystemError) as error:
        # First of all: what was too much may still be there, and even to look at the error takes some.
        resource.setrlimit(resource.RLIMIT_AS, with_reserve)
        if isinstance(error, SystemError) and not _NO_FRAME.search(str(error)):
            raise
        said = _in_words(_too_much(f"{int(memory) // 1024**2} MiB of memory"))
    except tuple(_KINDS.values()) as error:
        said = _in_words(error)
    sys.stdout.buffer.write(msgspec.json.encode(said))


def _in_words(error: PlacetError) -> dict[str, Any]:
    kind = next(name for name, each in _KINDS.items() if isinstance(error, each))
    # A file's name may hold bytes that are no text.
    detail = error.detail.encode(errors="replace").decode()
    after = error.retry_after if isinstance(error, Unavailable) else None
    return {"kind": kind, "detail": detail, "fix": error.fix, "rule": error.rule, "after": after}


def _too_much(what: str) -> Refused:
    return Refused(
        f"looking through the source takes more than {what}",
        fix="leave out what is not needed to serve the model, or save the model in a smaller form",
    )
