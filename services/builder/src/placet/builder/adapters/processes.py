"""Run a program to its end, with nothing in its environment that was not meant for it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from placet.errors import TooLarge, Unavailable

_PASSED_ON = frozenset(
    {"HOME", "LANG", "NETRC", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR"}
    | {"XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    | {
        name
        for proxy in ("all", "http", "https", "no")
        for name in (f"{proxy}_proxy", f"{proxy}_PROXY".upper())
    }
)
_OUT_OF_MEMORY = re.compile(r"cannot allocate memory|memory allocation of|\bMemoryError\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended and what it said."""

    status: int
    output: str
    errors: str


def clean_environment(*, prefixes: Collection[str] = ()) -> dict[str, str]:
    """What a tool needs to find its cache, its certificates and the way out, and no secret of ours."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or any(name.startswith(prefix) for prefix in prefixes)
    }


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a program may take: memory of its own, and the size of any file it writes, in bytes."""

    memory: int
    file: int


async def run(
    command: Sequence[str],
    *,
    environment: dict[str, str],
    folder: Path,
    given: bytes = b"",
    seconds: float,
    bounds: Bounds | None = None,
) -> Ended:
    """Run a program in `folder`. `Unavailable` if it takes longer than `seconds`; it does not outlive us.

    `TooLarge` if it was ended because it went beyond its bounds, which are kept where there is `prlimit`.
    """
    process = await asyncio.create_subprocess_exec(
        *_bound(bounds),
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(given)
    except TimeoutError:
        raise Unavailable(f"{Path(command[0]).name} was not done after {seconds:.0f} seconds") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    name = Path(command[0]).name
    text = errors.decode(errors="replace")
    if bounds is not None and _went_beyond(process.returncode or 0, text):
        raise TooLarge(
            f"{name} needed more than {bounds.memory} bytes of memory, or a file of more than {bounds.file}",
            fix="ask for smaller packages, or have PLACET_BUILD_MEMORY_BYTES or PLACET_PACKAGES_BYTES raised",
        )
    if process.returncode is not None and process.returncode < 0:
        raise Unavailable(f"{name} was ended by {signal.Signals(-process.returncode).name}")
    return Ended(
        status=process.returncode or 0,
        output=output.decode(errors="replace"),
        errors=text,
    )


def _went_beyond(status: int, errors: str) -> bool:
    """Programs of all kinds say in words of their own that they got no more memory; some, as uv, only die of it."""
    if status in (-signal.SIGXFSZ, -signal.SIGABRT, -signal.SIGSEGV):
        return True
    return status != 0 and _OUT_OF_MEMORY.search(errors) is not None


def _bound(bounds: Bounds | None) -> tuple[str, ...]:
    """The program that binds itself and then becomes what it is to start, so that nothing runs unbound: what a bound
    from outside would miss, and what Python would run between fork and exec could hang in a process of threads."""
    program = shutil.which("prlimit")
    if bounds is None or program is None:
        return ()
    return (program, f"--data={bounds.memory}", f"--fsize={bounds.file}", "--core=0", "--")
