"""The process in which a policy that was sent is read and its tests are run: `… -m placet.rules.loading … FILE NAME`.

What a policy asks is evaluated in bounded workers already; reading 256 KB of YAML and running a thousand tests takes
its time as well, and nobody else is to wait for that.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from placet.errors import Refused
from placet.projects.bounded import answer, asked
from placet.projects.documents import MAX_PROBLEMS, DocumentRefused, Problem
from placet.rules.policy import Policy, read_policy
from placet.rules.testing import load_policy

MEMORY_BYTES = 512 * 1024**2
SECONDS = 30
"""Of processor time for what surrounds the conditions, which have theirs."""
WAIT_SECONDS = 120.0
"""For all of it."""


async def loaded(data: bytes, *, name: str = "the policy", wait: float = WAIT_SECONDS) -> Policy:
    """The policy in the file's bytes, which passed its own tests.

    Raises `DocumentRefused` with every problem, and `Refused` where finding them takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="placet-policy-") as folder:
        file = Path(folder) / "policy.yaml"
        await asyncio.to_thread(file.write_bytes, data)
        try:
            async with asyncio.timeout(wait):
                found = await asked(__name__, str(file), name, memory=MEMORY_BYTES, seconds=SECONDS)
        except TimeoutError:
            raise Refused(
                f"the tests of {name} take more than {wait:g} s",
                fix="ask less of each, or make two policies of it",
            ) from None
    if found:
        raise DocumentRefused(name, msgspec.convert(found, tuple[Problem, ...]))
    return await asyncio.to_thread(read_policy, data, name=name)


def _problems(arguments: Sequence[str]) -> Any:
    file, name = arguments
    try:
        load_policy(Path(file).read_bytes(), name=name)
    except DocumentRefused as refused:
        return refused.problems[:MAX_PROBLEMS]
    return ()


if __name__ == "__main__":
    answer(sys.argv[1:], _problems)
