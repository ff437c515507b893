"""A server as a private process on this machine: own directory, own ports, nothing shared with the system's.

It is stopped by its own process id, never by name, and does not outlive the tests (see `supervise.py`).
Nothing here knows which server it is.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from pwd import getpwnam

SUPERVISOR = Path(__file__).with_name("supervise.py")
START_WITHIN = 120.0
"""Seconds: a bound for hangs, not a measure."""


class DidNotStart(Exception):
    """A server ended or stayed silent; says what it logged last."""


class _Ports:
    """Ports that no other process of tests gives away: one that is given is nobody's until its server has started."""

    BLOCKS = range(10_000, 30_000, 200)

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What a fork took along is its parent's."""
        self._holder: socket.socket | None = None
        self._next: Iterator[int] = iter(())

    def take(self) -> int:
        while self._holder is None:
            first = secrets.choice(self.BLOCKS)
            self._holder = _bound(first)  # for as long as this process lives
            self._next = cycle(range(first + 1, first + self.BLOCKS.step))
        while True:
            port = next(self._next)
            if (probe := _bound(port)) is not None:
                probe.close()
                return port


def _bound(port: int) -> socket.socket | None:
    """None where somebody has it."""
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return None
    return probe


_ports = _Ports()
os.register_at_fork(after_in_child=_ports.forget)


def free_port() -> int:
    """A port below the range the kernel takes for outgoing connections.

    Within it, a client that reconnects while its server is down can be given the server's own port, and
    then talks to itself and keeps the server from coming back.
    """
    return _ports.take()


def private_directory(name: str, *, owner: str | None = None) -> Path:
    """A new directory for one server, away from pytest's own, which another user could not enter."""
    path = Path(tempfile.mkdtemp(prefix=f"placet-{name}-"))
    if owner is not None:
        account = getpwnam(owner)
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def poll(is_ready: Callable[[], bool], *, or_give_up: Callable[[], str | None]) -> None:
    """Ask until the answer is yes. `or_give_up` says why waiting is in vain, or nothing."""
    deadline = time.monotonic() + START_WITHIN
    while not is_ready():
        reason = or_give_up()
        if reason is None and time.monotonic() > deadline:
            reason = f"no answer within {START_WITHIN:.0f} s"
        if reason is not None:
            raise DidNotStart(reason)
        time.sleep(0.02)  # noqa: TID251 - a server's readiness can only be asked for


class LocalServer:
    """Start, stop, kill and start again: the directory keeps what the server wrote."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.directory = directory
        self._command = tuple(command)
        self._is_ready = is_ready
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._stop_signal = stop_signal
        self._supervisor: subprocess.Popen[str] | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """Of the server itself; nothing while it does not run."""
        return self._pid

    @property
    def log(self) -> Path:
        return self.directory / "output.log"

    def start(self) -> None:
        if self._pid is not None:
            return
        self._dismiss_supervisor()
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", SUPERVISOR, self.directory, self._user or "-", *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
            )
        words = self._hear().split()
        if words[:1] != ["started"]:
            raise DidNotStart(f"{self.name}: {self._last_words()}")
        self._pid = int(words[1])
        try:
            poll(self._is_ready, or_give_up=self._reason_it_ended)
        except DidNotStart as error:
            self.kill()
            raise DidNotStart(f"{self.name}: {error}\n{self._last_words()}") from None

    def stop(self) -> None:
        """As an administrator would."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, self._stop_signal)
            self._hear()
            self._pid = None

    def kill(self) -> None:
        """As a crash would: SIGKILL for it and all its children, no goodbye."""
        if self._pid is not None:
            self._say("k")
            self._hear()
            self._pid = None

    def remove(self) -> None:
        """Kill it and forget everything it wrote."""
        if self._supervisor is not None:
            supervisor, self._supervisor, self._pid = self._supervisor, None, None
            supervisor.communicate()  # closes its stdin, and waits

    def _dismiss_supervisor(self) -> None:
        if self._supervisor is not None:
            self._say("q")
            self._supervisor.communicate()
            self._supervisor = None

    def _say(self, letter: str) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(letter)
        self._supervisor.stdin.flush()

    def _hear(self) -> str:
        assert self._supervisor is not None
        assert self._supervisor.stdout is not None
        return self._supervisor.stdout.readline()

    def _reason_it_ended(self) -> str | None:
        try:
            os.kill(self._pid or 0, 0)
        except ProcessLookupError:
            return "ended while starting"
        return None

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]
