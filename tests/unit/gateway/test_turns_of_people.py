"""What many people ask the gateway to fetch and to look at is done in turns by person."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from placet.errors import Refused
from placet.gateway.git_address import GitAddress
from placet.gateway.intake import FETCHED_AT_ONCE, PACKED_AT_ONCE, Intake
from placet.gateway.ports import Ports
from placet.gateway.queries import Queries
from placet.gateway.uploads import Uploaded
from placet.projects import Limits
from placet.projects.packing import Packed
from placet.rules import Verdict

from tests.support.eventually import eventually
from tests.unit.gateway.harness import (
    Gateway,
    MemoryAssessments,
    MemoryEnvelopes,
    MemoryFacts,
    MemoryImages,
    MemoryPolicies,
    MemorySnapshots,
    MemorySources,
)


@dataclass(frozen=True)
class Asking:
    person: str
    roles: frozenset[str] = frozenset({"scientist"})
    teams: frozenset[str] = frozenset()


ADA, GRACE = Asking("person:ada"), Asking("person:grace")


@dataclass
class SlowAtEverything:
    """The ports `Repositories`, `Packing` and `Rules`: each refuses, when it is told to end."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)

    async def check_out(self, address: GitAddress, into: Path) -> str:
        raise await self._in_the_end(address.name)

    async def pack(self, folder: Path, archive: Path, limits: Limits, *, sent: Path | None = None) -> Packed:
        raise await self._in_the_end(folder.name)

    async def admit_exceptions(self, now: datetime) -> Mapping[str, bool]:
        raise NotImplementedError("nobody asks")

    async def judge(self, workspace: Path, now: datetime, *, partial: bool = False) -> Sequence[Verdict]:
        raise NotImplementedError("nothing comes so far")

    async def _in_the_end(self, what: str) -> Refused:
        self.begun.append(what)
        await self.gate.wait()
        return Refused("enough")


@pytest.mark.parametrize(("at_once", "road"), [(FETCHED_AT_ONCE, "fetch"), (PACKED_AT_ONCE, "take")])
async def test_one_persons_many_are_one_place_in_the_queue(
    gateway: Gateway, tmp_path: Path, at_once: int, road: str
) -> None:
    slow = SlowAtEverything()
    ports = Ports(
        sources=MemorySources(),
        repositories=slow,
        packing=slow,
        rules=slow,
        policies=MemoryPolicies(),
        facts=MemoryFacts(),
        snapshots=MemorySnapshots(),
        assessments=MemoryAssessments(),
        envelopes=MemoryEnvelopes(),
        images=MemoryImages(),
    )
    intake = Intake(gateway.wiring, Queries(gateway.wiring.store), ports, max_bytes=1000)

    async def ask(what: str, who: Asking) -> None:
        uploaded = Uploaded(folder=Path(what))
        with pytest.raises(Refused, match="enough"):
            await (
                intake.fetch(f"https://github.com/team/{what}", who)
                if road == "fetch"
                else intake.take(uploaded, tmp_path, who)
            )

    asked = [asyncio.create_task(ask(f"ada-{number}", ADA)) for number in range(20)]
    await eventually(lambda: len(slow.begun) == at_once)
    asked.append(asyncio.create_task(ask("grace", GRACE)))
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(*asked)
    assert (
        slow.begun.index("grace") <= at_once + 1
    )  # at most one of Ada's comes before it, and not all that wait
    assert len(slow.begun) == 21
