"""A disk that loses power or fails to sync, as the other fault tests have it; and what a file of ours does on one."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brittle_disk import SECTOR, BrittleDisk, Lost, built

SEEDS = range(8)


class Machine:
    """Programs, and a folder on a disk of this kind."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder = folder / "disk"
        self.folder.mkdir(parents=True)
        self.disk = BrittleDisk(self.folder, folder)
        self._environment = {**os.environ, **self.disk.environment(library)}
        self.disk.watch()

    def run(self, program: str, *arguments: str) -> str:
        """It ends as if it was killed, wherever its last line is."""
        ended = subprocess.run(
            [sys.executable, "-c", f"{program}\nsys.stdout.flush()\nos._exit(0)", self.folder, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def cut_power(self, seed: int, *, is_worst: bool = False) -> Lost:
        lost = self.disk.cut_power(random.Random(seed), is_worst=is_worst)  # noqa: S311
        self.disk.watch()
        return lost


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("disk"))


WRITES = f"""
import os, sys
synced, unsynced = os.path.join(sys.argv[1], "synced"), os.path.join(sys.argv[1], "unsynced")
for path, byte in ((synced, b"s"), (unsynced, b"u")):
    with open(path, "wb") as file:
        file.write(byte * {8 * SECTOR})
        file.flush()
        os.fsync(file.fileno())
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(folder)
for path, byte in ((synced, b"S"), (unsynced, b"U")):
    file = os.open(path, os.O_WRONLY)
    os.pwrite(file, byte * {10 * SECTOR}, 0)
    if path == synced:
        os.fsync(file)
"""


def test_what_was_synced_stays_and_the_rest_is_lost_or_torn(library: Path, tmp_path: Path) -> None:
    seen = set()
    for seed in SEEDS:
        machine = Machine(library, tmp_path / str(seed))
        machine.run(WRITES)
        lost = machine.cut_power(seed)
        assert (machine.folder / "synced").read_bytes() == b"S" * 10 * SECTOR
        found = (machine.folder / "unsynced").read_bytes()
        sectors = [found[at : at + SECTOR] for at in range(0, 8 * SECTOR, SECTOR)]
        assert set(sectors) <= {b"u" * SECTOR, b"U" * SECTOR}, "a sector is written or is not"
        seen.add((len(set(sectors)), len(found) // SECTOR, lost.sectors == 0))
    assert {each[0] for each in seen} == {1, 2}
    assert {each[1] for each in seen} >= {8, 10}
    assert {each[2] for each in seen} == {True, False}


NAMES = """
import os, sys
old, new, other = (os.path.join(sys.argv[1], each) for each in ("old", "new", "other"))
folder = os.open(sys.argv[1], os.O_RDONLY)
for path in (old, new):
    with open(path, "w") as file:
        file.write(os.path.basename(path))
        file.flush()
        os.fsync(file.fileno())
os.fsync(folder)
os.rename(new, old)
if sys.argv[2] == "synced":
    os.fsync(folder)
with open(other, "w") as file:
    file.write("other")
    file.flush()
    os.fsync(file.fileno())
"""


def test_a_name_lasts_once_its_folder_was_synced(library: Path, tmp_path: Path) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {"synced": set(), "unsynced": set()}
    for how, found in seen.items():
        for seed in SEEDS:
            machine = Machine(library, tmp_path / how / str(seed))
            machine.run(NAMES, how)
            machine.cut_power(seed)
            found.add(tuple(f"{each.name}={each.read_text()}" for each in sorted(machine.folder.iterdir())))
    renamed, made = ("old=new",), ("old=new", "other=other")
    assert seen["synced"] == {renamed, made}
    assert seen["unsynced"] == {("new=new", "old=old"), renamed, made}


FAILS = """
import os, sys
file = os.open(os.path.join(sys.argv[1], "file"), os.O_CREAT | os.O_RDWR)
os.fsync(os.open(sys.argv[1], os.O_RDONLY))
os.pwrite(file, b"x", 0)
try:
    os.fsync(file)
except OSError as error:
    print(error.errno)
os.fsync(file)
"""


def test_what_a_failed_sync_did_not_write_no_later_one_does(library: Path, tmp_path: Path) -> None:
    found = set()
    for seed in SEEDS:
        machine = Machine(library, tmp_path / str(seed))
        machine.disk.fail_later(1, 1, errno.ENOSPC)
        assert machine.run(FAILS) == f"{errno.ENOSPC}\n"
        assert (machine.disk.failed, machine.disk.synced) == (1, 2)
        machine.cut_power(seed)
        found.add((machine.folder / "file").read_bytes())
    assert b"x" in found
    assert found & {b"", b"\0"}


COMMITS = """
import asyncio, os, sys
from pathlib import Path
from placet.errors import Unavailable
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.clocks import TimeOrderedIds
from tests.contract.store_contract import CODEC, LOGS, TABLES, appending, ids_of, whole_log

async def main():
    file = Path(sys.argv[1]) / "a.db"
    try:
        store = await open_sqlite_store(file, codec=CODEC, ids=TimeOrderedIds(), tables=TABLES, logs=LOGS)
    except Unavailable as error:
        return print(error)
    for id in sys.argv[2:]:
        try:
            await store.commit(appending("a", id))
        except Unavailable as error:
            print(error)
    print(*ids_of(await whole_log(store)))

asyncio.run(main())
"""
"""Never closes its store."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_file_that_a_failed_sync_left_behind_takes_nothing_away_from_who_opens_it_next(
    library: Path, tmp_path: Path, seed: int
) -> None:
    """The system holds a commit that the disk does not have: what is committed behind it must last all the same."""
    machine = Machine(library, tmp_path)
    assert machine.run(COMMITS, "first") == "first\n"
    machine.disk.fail_later(before_the_commit(machine), 1, errno.EIO)
    said, seen = machine.run(COMMITS, "second").splitlines()
    assert f"{machine.folder / 'a.db'} cannot be read or written: disk I/O error; see to the disk" in said
    assert seen == "first", "what is not on the disk nobody reads"
    *_, acknowledged = machine.run(COMMITS, "third").splitlines()
    machine.cut_power(seed)
    assert machine.run(COMMITS) == f"{acknowledged}\n"
    assert acknowledged.split()[-1] == "third"


def before_the_commit(machine: Machine) -> int:
    """Syncs of a process that opens the file and commits nothing, once what the last one left there is settled."""
    machine.run(COMMITS)
    before = machine.disk.synced
    machine.run(COMMITS)
    return machine.disk.synced - before


@pytest.mark.slow
def test_whichever_sync_of_a_new_file_fails_what_is_acknowledged_is_there(
    library: Path, tmp_path: Path
) -> None:
    """That of the folder, too: a commit without a name is none."""
    for number in range(12):
        machine = Machine(library, tmp_path / str(number))
        machine.disk.fail_later(number, 1, errno.EIO)
        *said, seen = machine.run(COMMITS, "first").splitlines()
        if not machine.disk.failed:
            break  # there are no more
        machine.cut_power(number, is_worst=True)
        if not said and seen == "first":
            assert machine.run(COMMITS) == "first\n", f"sync {number}"
        else:
            assert "see to the disk" in f"{said} {seen}", f"sync {number}"
    assert number > 3
