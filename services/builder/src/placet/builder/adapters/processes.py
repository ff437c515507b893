"""Run a program to its end, with nothing in its environment that was not meant for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from placet.errors import Unavailable

_PASSED_ON = frozenset(
    {"HOME", "LANG", "NETRC", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR"}
    | {"XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    | {
        name
        for proxy in ("all", "http", "https", "no")
        for name in (f"{proxy}_proxy", f"{proxy}_PROXY".upper())
    }
)


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


async def run(
    command: Sequence[str], *, environment: dict[str, str], folder: Path, given: bytes = b"", seconds: float
) -> Ended:
    """Run a program in `folder`. `Unavailable` if it takes longer than `seconds`; it does not outlive us."""
    process = await asyncio.create_subprocess_exec(
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
    return Ended(
        status=process.returncode or 0,
        output=output.decode(errors="replace"),
        errors=errors.decode(errors="replace"),
    )
