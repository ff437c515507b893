"""The process in which a policy is read, and its tests are run: `… -m placet.rules.loading … HOW FILE NAME`.

What a policy asks is evaluated in bounded workers already; reading 256 KB of YAML takes seconds as well, and so does
running a thousand tests, and nobody else is to wait for that, not even for Python's lock, which a thread would hold.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

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


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`policy` is MessagePack, which keeps every number, in base64."""

    policy: str | None = None
    problems: tuple[Problem, ...] = ()


async def loaded(data: bytes, *, name: str = "the policy", wait: float = WAIT_SECONDS) -> Policy:
    """The policy in the file's bytes, which passed its own tests.

    Raises `DocumentRefused` with every problem, and `Refused` where finding them takes too long.
    """
    return await _asked("load", data, name, wait, "the tests of")


async def read(data: bytes, *, name: str = "the policy", wait: float = WAIT_SECONDS) -> Policy:
    """The policy in the file's bytes, as `read_policy` has it: its own tests are not run. Raises as `loaded` does."""
    return await _asked("read", data, name, wait, "reading")


async def _asked(how: Literal["load", "read"], data: bytes, name: str, wait: float, doing: str) -> Policy:
    with tempfile.TemporaryDirectory(prefix="placet-policy-") as folder:
        file = Path(folder) / "policy.yaml"
        await asyncio.to_thread(file.write_bytes, data)
        try:
            async with asyncio.timeout(wait):
                said = await asked(__name__, how, str(file), name, memory=MEMORY_BYTES, seconds=SECONDS)
        except TimeoutError:
            take = "take" if how == "load" else "takes"
            raise Refused(
                f"{doing} {name} {take} more than {wait:g} s",
                fix="ask less of each, or make two policies of it",
            ) from None
    found = msgspec.convert(said, Found)
    if found.policy is None:
        raise DocumentRefused(name, found.problems)
    return msgspec.msgpack.decode(base64.b64decode(found.policy), type=Policy)


def _found(arguments: Sequence[str]) -> Any:
    how, file, name = arguments
    find = load_policy if how == "load" else read_policy
    try:
        policy = find(Path(file).read_bytes(), name=name)
    except DocumentRefused as refused:
        return Found(problems=refused.problems[:MAX_PROBLEMS])
    return Found(policy=base64.b64encode(msgspec.msgpack.encode(policy)).decode())


if __name__ == "__main__":
    answer(sys.argv[1:], _found)
