"""Run one server, and leave nothing of it behind, whatever happens to the process that asked.

    python supervise.py DIRECTORY USER COMMAND…

Says `started PID` on stdout, and `ended` when the server and everything it started is gone. Obeys one letter
at a time on stdin: `k` kills the server as a crash would, `q` quits once it has ended and keeps DIRECTORY, so
that the server can be started again on what is there. End of file means that the tests are over or were
killed: the server is killed and DIRECTORY removed. USER is `-` for whoever asks.

Standard library only and nothing from the project: it runs isolated, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def start(directory: str, user: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    other = user != "-"
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        user=user if other else None,
        group=user if other else None,
        extra_groups=[] if other else None,
        cwd=directory,
        # If somebody kills even this process, the kernel kills the server.
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )


def children() -> list[int]:
    """The processes whose parent is this one: orphans of the server come here, to their subreaper."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = entry.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # it ended while we looked
        if int(parent) == os.getpid():
            found.append(int(entry.parent.name))
    return found


def bury(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    while pids := children():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def reap(server: subprocess.Popen[bytes]) -> None:
    """Orphans of the server that have ended: whoever looks at all processes of the machine would look at them, too."""
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == server.pid:
            return
        os.waitpid(ended.si_pid, 0)


def main(directory: str, user: str, *command: str) -> None:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Ctrl-C reaches the whole foreground group; what it means is for pytest to say, by closing our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child_ended, wake = os.pipe()
    os.set_blocking(child_ended, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    server = start(directory, user, command)
    say(f"started {server.pid}")
    order = b"-"
    while order == b"-" and server.poll() is None:
        ready, _, _ = select.select([0, child_ended], [], [])
        if child_ended in ready:
            os.read(child_ended, 4096)
            reap(server)
        if 0 in ready:
            order = os.read(0, 1)
    bury(server)
    if order:
        say("ended")
        while order not in (b"", b"q"):
            order = os.read(0, 1)
    if not order:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
