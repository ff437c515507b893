"""Processes of this machine, as far as instances are concerned: whose they are, what they take, how they end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from placet.deployer.adapters.reach import Python

log = logging.getLogger(__name__)

MARK = "PLACET_INSTANCE"
"""In the environment of every process started here: by it one without a record is found, and a pid that has come
again is not taken for it. Times of creation would not do: they move with the machine's clock."""
GONE_WITHIN = 5.0
LOOK_EVERY = 0.05
LOOKED_INTO = 16
"""Processes of one instance."""
STATUS = 4096
"""Bytes: more than the kernel says of a process before and of its users."""
_UID = b"\nUid:\t"
"""No process has that in its name: the kernel writes a line's end there as two characters."""

_END_ALL = """
import os, signal, sys
if os.getuid() == int(sys.argv[1]) != 0:
    os.kill(-1, signal.SIGKILL)
"""
"""Ends everybody whom its user may signal, but itself: at once, so that none has the time to start another."""


def mark(instances: Path, id: str) -> str:
    return f"{instances.resolve()}/{id}"


def marked(instances: Path) -> Mapping[str, Sequence[psutil.Process]]:
    """By instance, the processes that carry the mark of one below that folder, and what they started."""
    prefix = mark(instances, "")
    parents: dict[int, int] = {}
    ids: dict[int, str] = {}
    processes = list(psutil.process_iter())
    for process in processes:
        with suppress(psutil.Error):
            parents[process.pid] = process.ppid()
            carried = process.environ().get(MARK, "")
            if carried.startswith(prefix):
                ids[process.pid] = carried.removeprefix(prefix)
    found = defaultdict(list)
    for process in processes:
        carrier = next((pid for pid in _line(process.pid, parents) if pid in ids), None)
        if carrier is not None:
            found[ids[carrier]].append(process)
    return found


def users() -> Iterator[tuple[int, int]]:
    """The number of every process, and its user."""
    # psutil would read all of `status`, and look into `stat` besides: twice the time, every few seconds.
    for pid in psutil.pids():
        with suppress(OSError), open(f"/proc/{pid}/status", "rb", buffering=0) as status:
            told = status.read(STATUS)
            begin = told.index(_UID) + len(_UID)
            yield pid, int(told[begin : told.index(b"\t", begin)])


def processes_of(asked: Container[int]) -> Iterator[tuple[psutil.Process, int]]:
    """Those of some users, each with whose it is."""
    for pid, user in users():
        if user in asked:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.uids().real == user:  # the number may have come to somebody else's since
                    yield process, user


def memory(process: psutil.Process, others: Sequence[psutil.Process]) -> int:
    """Bytes: the process's own, and what the others of its instance do not share with it.

    What is not shared waits for locks of the process that is looked at, for long where many of them keep starting
    others. So of more than a few all that is no file's counts.
    """
    taken = 0
    with suppress(psutil.Error):
        taken = process.memory_info().rss
    for number, other in enumerate(each for each in others if each.pid != process.pid):
        with suppress(psutil.Error):
            if number < LOOKED_INTO:
                taken += other.memory_full_info().uss
            else:
                all_of_it = other.memory_info()
                taken += all_of_it.rss - all_of_it.shared
    return taken


def processor_seconds(process: psutil.Process) -> float:
    """How long it has computed, all its threads together."""
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def is_over(process: psutil.Process) -> bool:
    """Whether it ended. A zombie has, whether or not somebody buries it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)


def kill_session(leader: int) -> None:
    """Only as its leader ends: later the number may be anybody's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def kill(processes: Sequence[psutil.Process]) -> None:
    """And wait until they are gone."""
    for process in processes:
        send(process, signal.SIGKILL)
    waits = 0
    while processes and waits < GONE_WITHIN / LOOK_EVERY:
        _, alive = psutil.wait_procs(processes, timeout=LOOK_EVERY)
        processes = [each for each in alive if not is_over(each)]
        waits += 1
    if processes:
        log.warning("killed, and still there: %s", ", ".join(str(each.pid) for each in processes))


def kill_all_of(user: int, python: Python) -> None:
    """Every process of a user whom we made up, wherever it went."""
    subprocess.run(  # noqa: S603 - our own interpreter, and nothing a shell reads
        [python.executable, "-I", "-S", "-c", _END_ALL, str(user)],
        env=dict(python.environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # where it says that nobody was there
        user=user,
        group=user,
        extra_groups=[],
        check=False,
    )
    kill([process for process, _ in processes_of({user})])


def _line(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """A process, its parent, and so on. It ends, even where a number came again while we looked."""
    for _ in parents:
        yield pid
        pid = parents.get(pid, 0)
