"""Kill the process that keeps the audit log and grows the tree over it, again and again, and look at what is left.

    python -m tests.faults.audit_killer FOLDER KILLS SEED FAULT [DATABASE_URL]

A child keeps the log (`audit_at_work.py`) until it is killed in the middle of something. FAULT is what happens besides:
with `kill` nothing, with `power` the disk loses what was not synced or tears it, with `sync` syncs fail before that.
Then the log has to verify (`audit_observer.py`): nothing that was acknowledged is missing, every checkpoint that was
ever signed is of this log, and tiles are those of its tree. At the end all that was said is in it. The children are
forked from a process that has imported everything, so that a thousand kills take minutes.

In SQLite below FOLDER, or in the PostgreSQL at DATABASE_URL; with `own` instead of that in one of its own below FOLDER,
which loses its power together with the child. Says what was done as one JSON document.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, cast

from tests.faults.audit_at_work import AtWork, Target
from tests.faults.audit_observer import Observer
from tests.support.brittle_disk import BrittleDisk, Lost, built
from tests.support.servers.postgresql import PostgreSQL, run_locally

Fault = Literal["kill", "power", "sync"]
UNTIL_A_LINE = 400
UNTIL_A_SYNC = 60
SYNCS_THAT_FAIL = (1, 1, 2, 5, 1_000_000)
RESTLESS = {
    "shared_buffers": "1MB",
    "bgwriter_delay": "10ms",
    "checkpoint_timeout": "30s",
    "max_wal_size": "64MB",
}
"""Settings of a PostgreSQL that writes to its tables as often as it can, and not when it is asked to."""
HOW = (errno.EIO, errno.EIO, errno.ENOSPC, errno.EDQUOT)


class Machine(Protocol):
    """What a child dies on, and what becomes of its disk."""

    @property
    def disk(self) -> BrittleDisk | None: ...

    def start(self) -> None: ...

    def stop(self) -> None:
        """At once, in the middle of something."""

    def lose_power(self, chance: random.Random) -> Lost: ...

    def remove(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Here:
    """This machine: SQLite writes its files itself. Without a disk that is brittle, they are as they were written."""

    disk: BrittleDisk | None

    def start(self) -> None:
        """A file needs nobody to serve it."""

    def stop(self) -> None:
        """The child is all there is."""

    def lose_power(self, chance: random.Random) -> Lost:
        assert self.disk is not None
        lost = self.disk.cut_power(chance)
        self.disk.watch()
        return lost

    def remove(self) -> None:
        """The folder is the caller's."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A PostgreSQL that dies with all its processes."""

    disk: BrittleDisk | None
    server: PostgreSQL

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.kill()

    def lose_power(self, chance: random.Random) -> Lost:
        assert self.disk is not None
        lost = self.disk.cut_power(chance)
        self.disk.watch()
        return lost

    def remove(self) -> None:
        self.server.lifecycle.remove()


@dataclass(kw_only=True)
class Done:
    kills: int = 0
    cuts: int = 0
    sectors: int = 0
    names: int = 0


def kill_once(
    target: Target, observer: Observer, chance: random.Random, stop: Callable[[], None] | None
) -> None:
    """And, right before, what it runs on."""
    reading, writing = os.pipe()
    seed = chance.randrange(2**32)
    child: int = os.fork()
    if child == 0:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as told:
                work = AtWork(target, partial(print, file=told, flush=True), random.Random(seed))  # noqa: S311
                asyncio.run(work.run())
        except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as if it were the parent
            traceback.print_exc()
        finally:
            os._exit(1)  # it has no end of its own
    os.close(writing)
    with os.fdopen(reading) as lines:
        for _ in range(chance.randrange(1, UNTIL_A_LINE)):
            observer.hear(lines.readline())
        for _ in range(chance.randrange(100_000)):  # into the middle of whatever comes next
            pass
        if stop is not None:
            stop()
        os.kill(child, signal.SIGKILL)
        for line in lines:
            if line.endswith("\n"):
                observer.hear(line)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"


async def settle(target: Target, observer: Observer) -> int:
    """Let what was said come into the audit log, and look once more. Returns how many gaps were noted on the way."""
    work = AtWork(target, lambda *words: observer.hear(" ".join(map(str, words))), random.Random(0))  # noqa: S311
    async with work.resting() as (wiring, producer):
        while not await observer.is_level(wiring, producer):
            await wiring.store.committed.wait(0.1)
    await observer.look()
    for stream, store in observer.stores.items():
        assert observer.streams.get(stream, []) == store, f"not all of {stream} is in the audit log"
    wiring = await target.wiring()
    noted = (await wiring.store.head()).position
    await wiring.store.close()
    return noted


@contextmanager
def machine_for(folder: Path, fault: Fault, database_url: str | None) -> Iterator[tuple[Machine, str | None]]:
    """And the URL of the database, unless that is a file."""
    if database_url != "own":
        disk = None
        if fault != "kill":
            disk = BrittleDisk(folder / "lasting", folder)
            disk.watch()
        yield Here(disk=disk), database_url
        return
    cluster = a_cluster()
    try:
        yield cluster, cluster.server.create_database()
    finally:
        cluster.remove()


def a_cluster() -> Cluster:
    found: list[BrittleDisk] = []

    def environment(directory: Path) -> dict[str, str]:
        beside = directory / "disk"
        beside.mkdir()
        beside.chmod(0o755)
        # It leaves the names of its tables to the file system, and after a failed sync it trusts what it reads back
        # until its next checkpoint: both are its own to answer for.
        disk = BrittleDisk(directory / "data", beside, names=False, forgets=False)
        found.append(disk)
        return disk.environment(built(beside))

    server = run_locally(environment, RESTLESS)
    found[0].watch()
    return Cluster(disk=found[0], server=server)


def main(folder: Path, kills: int, seed: int, fault: Fault, database_url: str | None) -> None:
    logging.getLogger().addHandler(logging.NullHandler())  # what is said of trouble is told
    chance, done = random.Random(seed), Done()  # noqa: S311
    with machine_for(folder, fault, database_url) as (machine, url):
        target = Target(folder=folder / "lasting", keys_folder=folder / "keys", database_url=url)
        target.begin()
        observer = Observer(target=target)
        disk = machine.disk
        while done.kills < kills:
            if fault == "sync" and disk is not None:
                disk.fail_later(
                    chance.randrange(UNTIL_A_SYNC), chance.choice(SYNCS_THAT_FAIL), chance.choice(HOW)
                )
            done.kills += 1
            # Else it starts again on what the system remembers, and the power fails later.
            is_cut = disk is not None and (chance.random() < 0.7 or done.kills == kills)
            kill_once(target, observer, chance, machine.stop if is_cut else None)
            if disk is not None:
                disk.mend()
                if not is_cut:
                    continue
                lost = machine.lose_power(chance)
                done.cuts, done.sectors, done.names = (
                    done.cuts + 1,
                    done.sectors + lost.sectors,
                    done.names + lost.names,
                )
                machine.start()
            asyncio.run(observer.look())
        gaps = asyncio.run(settle(target, observer))
    told = {
        "kills": done.kills,
        "cuts": done.cuts,
        "lost sectors": done.sectors,
        "lost names": done.names,
        "failed syncs": disk.failed if disk else 0,
        "synced": disk.synced if disk else 0,
        "events": observer.edge.size,
        "checkpoints": observer.checkpoints,
        "gaps": gaps,
        "swaps": observer.swaps,
        "troubles": sorted(observer.troubles),
    }
    print(json.dumps(told))  # noqa: T201 - for who started this


if __name__ == "__main__":
    where, kills, seed, fault, *url = sys.argv[1:]
    main(Path(where), int(kills), int(seed), cast(Fault, fault), url[0] if url else None)
