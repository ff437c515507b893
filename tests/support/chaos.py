"""A platform of six processes to which everything happens that may: what can be done to it, and how it is undone.

Each service has ways of its own to the broker and the database, which can be cut, a clock of its own, which can be put
forward and back, and builder and deployer have disks of their own, which can be full.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.links import Link, Links, State, by
from tests.support.platforms import ROOT, SERVICES, DistributedPlatform

DISK_BYTES = 2 * 2**30
SECONDS = float(os.environ.get("PLACET_SOAK_SECONDS", "600"))
WITH_DISKS = ("builder", "deployer")
CLOCK_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
LARGEST_STEP, OTHER_WAY = 45, 12
"""Seconds that a clock is put forward or back, so far in the way that the seed says and so far in the other: together,
which is what two may stand apart, less than what certificates allow for (a minute). Tokens allow for 30 s: those of the
people here were made long before."""


@cache
def seed() -> int:
    """Of all that is drawn by lot: as told, or the commit's own, so that each has another that can be repeated."""
    if told := os.environ.get("PLACET_SOAK_SEED"):
        return int(told)
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return int(found[:6] or "1", 16)


def dice(of: str) -> random.Random:
    """One for each who draws, so that nobody's turn depends on others'."""
    return random.Random(f"{seed()} {of}")  # noqa: S311 - to be repeated, not to be secret


@dataclass(kw_only=True)
class ChaoticPlatform(DistributedPlatform):
    """What a fault needs to take hold of. Its clocks are right and its disks empty when it begins."""

    links: Links = field(default_factory=Links)
    ways: dict[tuple[str, str], Link] = field(default_factory=dict)
    """By service and server."""

    def start(self) -> None:
        for service in WITH_DISKS:
            disk = self.folder / service
            disk.mkdir()
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(disk)], check=True
            )
        for service in SERVICES:
            self.set_clock(service, 0)
            for server, url in (("broker", self.broker.amqp_url), ("database", self.database_url)):
                port = urlsplit(url).port
                assert port is not None
                self.ways[service, server] = self.links.to(port)
        super().start()

    def stop(self) -> None:
        super().stop()
        self.links.close()
        for service in WITH_DISKS:
            subprocess.run(["umount", "--lazy", str(self.folder / service)], check=False)

    def environment(self, service: str) -> dict[str, str]:
        own = super().environment(service)
        return {
            **own,
            "PLACET_AMQP_URL": by(self.ways[service, "broker"], own["PLACET_AMQP_URL"]),
            "PLACET_DATABASE_URL": by(self.ways[service, "database"], own["PLACET_DATABASE_URL"]),
            "PLACET_LEASE_SECONDS": "10",  # as it ships: a machine this busy cannot keep one of two seconds
            "LD_PRELOAD": CLOCK_LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._clock(service)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, service: str, offset: int) -> None:
        file = self._clock(service)
        beside = file.with_suffix(".new")
        beside.write_text(f"{offset:+d}")
        beside.replace(file)

    def fill_disk(self, service: str) -> None:
        with (self.folder / service / "filler").open("wb") as filler:
            free = os.statvfs(self.folder / service)
            for size in (free.f_bavail * free.f_frsize, 2**20, 2**12):
                try:
                    while True:
                        at = filler.seek(0, os.SEEK_END)
                        os.posix_fallocate(filler.fileno(), at, size)
                except OSError:
                    continue

    def empty_disk(self, service: str) -> None:
        (self.folder / service / "filler").unlink(missing_ok=True)

    def _clock(self, service: str) -> Path:
        return self.folder / f"{service}.clock"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`begin` does it, and `end` undoes it after `seconds`. Both block."""

    name: str
    seconds: float
    begin: Callable[[], None]
    end: Callable[[], None]
    ends: frozenset[str] = frozenset()
    """Services that do not run meanwhile, and are not to be started by anybody else."""


def faults(
    platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server], kinds: Mapping[str, Kind]
) -> Iterator[Fault]:
    """What happens next, for ever: the same for the same dice."""
    names, weights = list(kinds), [weight for _, weight in kinds.values()]
    while True:
        (name,) = dice.choices(names, weights=weights)
        make, _ = kinds[name]
        yield make(platform, dice, servers)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One that services need: the broker, the database server, the registry."""

    stop: Callable[[], None]
    start: Callable[[], None]
    kill: Callable[[], None] | None = None
    """None of one that is never killed."""


def _kill(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    service = dice.choice(SERVICES)
    process = platform.processes[service]
    return Fault(
        name=f"{service} is killed",
        seconds=dice.uniform(0, 5),
        begin=process.kill,
        end=process.start,
        ends=frozenset({service}),
    )


def _terminate(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    service = dice.choice(SERVICES)
    process = platform.processes[service]

    def stop() -> None:
        process.stop()

    return Fault(
        name=f"{service} is stopped",
        seconds=dice.uniform(0, 5),
        begin=stop,
        end=process.start,
        ends=frozenset({service}),
    )


def _pause(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    service = dice.choice(SERVICES)
    process = platform.processes[service]
    return Fault(
        name=f"{service} is paused",
        seconds=dice.uniform(1, 15),
        begin=lambda: process.send(signal.SIGSTOP),
        end=lambda: process.send(signal.SIGCONT),
    )


def _cut(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    (service, server), link = dice.choice(sorted(platform.ways.items(), key=lambda each: each[0]))
    states: Sequence[State] = ("silent", "refused")
    state = dice.choice(states)
    return Fault(
        name=f"{service} and the {server} are cut ({state})",
        seconds=dice.uniform(1, 20),
        begin=lambda: platform.links.set(link, state),
        end=lambda: platform.links.set(link, "open"),
    )


def _fill(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    service = dice.choice(WITH_DISKS)
    return Fault(
        name=f"the {service}'s disk is full",
        seconds=dice.uniform(1, 10),
        begin=lambda: platform.fill_disk(service),
        end=lambda: platform.empty_disk(service),
    )


def _step(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    service, way = dice.choice(SERVICES), (-1, 1)[seed() % 2]
    step = dice.choice((way * dice.randint(2, LARGEST_STEP), -way * dice.randint(2, OTHER_WAY)))
    return Fault(
        name=f"the {service}'s clock is {step:+d} s",
        seconds=dice.uniform(5, 20),
        begin=lambda: platform.set_clock(service, step),
        end=lambda: platform.set_clock(service, 0),
    )


def _away(platform: ChaoticPlatform, dice: random.Random, servers: Mapping[str, Server]) -> Fault:
    name = dice.choice(sorted(servers))
    server, is_to_be_killed = servers[name], dice.random() < 0.5
    killed = server.kill if is_to_be_killed else None
    return Fault(
        name=f"the {name} is {'stopped' if killed is None else 'killed'}",
        seconds=dice.uniform(0, 8),
        begin=server.stop if killed is None else killed,
        end=server.start,
    )


Kind = tuple[Callable[[ChaoticPlatform, random.Random, Mapping[str, Server]], Fault], int]
"""What makes a fault of this kind, and how often it does beside the others."""

OF_PROCESSES: Mapping[str, Kind] = {
    "kill": (_kill, 6),
    "terminate": (_terminate, 2),
    "pause": (_pause, 4),
    "away": (_away, 3),
}
OF_SURROUNDINGS: Mapping[str, Kind] = {"cut": (_cut, 5), "fill": (_fill, 2), "step": (_step, 3)}
"""These go on beside the others."""
