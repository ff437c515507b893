"""The `process` host: an image's layers, unpacked, run by this machine's Python as a process of its own.

A process here is bounded and watched, and where the deployer runs as root each has a user of its own
(`lodgings.py`); it is no container: it sees the machine's network, its programs and what everybody may read. What
is promised: models outlive a killed deployer and are taken over by the next one, since all that is known of an
instance lies in its folder.

    <folder>/<id>/instance.json   what was started, and which process it is
    <folder>/<id>/log             stdout and stderr; what is too much of it is cut away by `list`

Limits: the kernel's for descriptors, the size of files and, for users of their own, processes; CPU by the number of
threads that numeric libraries use; memory and disk by looking: an instance that takes more memory than its release
reserved, or more disk than it may, or that hangs (`pulse.py`), is ended. Whatever it started ends with it. One
instance per release; images of another Python are refused.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import psutil

from placet.deployer.adapters import confinement
from placet.deployer.adapters.instance_log import cut, follow, tail
from placet.deployer.adapters.lodgings import Lodging, Lodgings, holds_more_than
from placet.deployer.adapters.processes import (
    LOOK_EVERY,
    MARK,
    is_over,
    kill,
    kill_session,
    mark,
    marked,
    memory,
    processor_seconds,
    send,
)
from placet.deployer.adapters.pulse import Allowance, Pulse
from placet.deployer.adapters.telling import (
    LAST_BYTES,
    LAST_WORDS,
    ended_by,
    ended_with,
    last_words,
    told_to,
)
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.ports import Instance, InstanceSpec
from placet.deployer.room import in_mebibytes
from placet.errors import Unavailable

Answer = TypeVar("Answer")

BACKLOG = 2048
DESCRIPTORS = 4096
PROCESSES = 256
"""And threads, of one instance. Only for users of their own: of one that is shared, all processes would count."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `instance.json` says. `why` is set when the instance was ended, or was found dead."""

    id: str
    project: str
    release: int
    image: str
    endpoint: str
    pid: int
    replica: int = 1
    why: str | None = None


class LocalProcesses:
    """A `ModelHost`. Call `adopt` once before anything else; `token_keys` gives what the model at an endpoint checks
    tokens with.

    `is_alive` asks an endpoint for any answer within some seconds.
    """

    def __init__(
        self,
        *,
        folder: Path,
        images: UnpackedImages,
        lodgings: Lodgings,
        token_keys: Callable[[str], str],
        is_alive: Callable[[str, float], Awaitable[bool]],
        allowance: Allowance,
        stop_seconds: float,
        log_bytes: int,
        scratch_bytes: int,
    ) -> None:
        self._folder = folder
        self.images = images
        self._lodgings = lodgings
        self._token_keys = token_keys
        self._is_alive = is_alive
        self._allowance = allowance
        self._pulses: dict[str, Pulse] = {}
        self._stop_seconds = stop_seconds
        self._log_bytes = log_bytes
        self._scratch_bytes = scratch_bytes
        self._confine = Path(confinement.__file__).read_text()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._listeners: dict[str, socket.socket] = {}
        """Kept open for as long as an instance is wanted: when it dies nobody else gets its port, and with it its
        callers and their tokens, before it is started again."""
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        """Held while one instance's record is looked at and written, or what is read of the dead could replace, and
        end, a newborn."""

    # The port.

    scales = False

    async def start(self, spec: InstanceSpec) -> Instance:
        record = await _in_thread(self._read, spec.id)
        if record is not None and self._process(record) is not None:
            if record.image == spec.image:
                return self._instance(record)
            await self.stop(spec.id, why="replaced by another image of the same release")
        app = await self.images.root(spec.repository, spec.image)
        return await _in_thread(self._spawn, spec, app)

    async def stop(self, id: str, *, why: str = "") -> None:
        record = await _in_thread(self._read, id)
        if record is None:
            return
        self._stop_listening(id)
        process = self._process(record)
        if process is not None:
            await self._end(process)
            await _in_thread(self._write_end, record, why or "it was stopped")

    async def list(self) -> Sequence[Instance]:
        return await _in_thread(self._list)

    async def find(self, id: str) -> Instance | None:
        return await _in_thread(lambda: self._look(id, self._lodgings.inhabitants().get(id, ())))

    async def check(self) -> None:
        running = await _in_thread(self._running)
        self._pulses = {
            id: pulse for id, pulse in self._pulses.items() if id in {each.id for each in running}
        }
        asked = (self._is_alive(each.endpoint, self._allowance.answer) for each in running)
        for record, is_answered in zip(running, await asyncio.gather(*asked), strict=True):
            await _in_thread(self._judge, record, is_answered)

    async def forget(self, id: str) -> None:
        await self.stop(id)
        await _in_thread(self._forget, id)

    async def last_words(self, id: str) -> str:
        lines = await _in_thread(tail, self._log(id), LAST_WORDS, at_most=LAST_BYTES)
        return last_words(lines)

    def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        return _log(self._log(id), tail, follow, at_most=self._log_bytes)

    # Beginning and end of the deployer.

    async def adopt(self) -> None:
        """End what a crash left without a living instance; those that live go on."""
        await _in_thread(self._adopt)

    async def stop_all(self) -> None:
        running = [each.id for each in await self.list() if each.is_running]
        await asyncio.gather(*(self.stop(id, why="the platform was stopped") for id in running))
        for id in list(self._listeners):  # of those that had ended by themselves
            self._stop_listening(id)
        await _in_thread(self._lodgings.close)

    def _adopt(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        living = {id for id in self._names() if (record := self._read(id)) and self._process(record)}
        for id, processes in marked(self._folder).items():
            if id not in living:
                kill(processes)
        for id in set(self._lodgings.ids()) - living:
            self._lodgings.move_out(id)

    # Starting.

    def _spawn(self, spec: InstanceSpec, app: Path) -> Instance:
        with self._turns[spec.id]:
            (self._folder / spec.id).mkdir(parents=True, exist_ok=True)
            lodging = self._lodgings.move_in(spec.id, app)
            listener = self._listen(spec)
            child = self._run(spec, lodging, listener)
            self._children[child.pid] = child
            record = _Record(
                id=spec.id,
                project=spec.project,
                release=spec.release,
                replica=spec.replica,
                image=spec.image,
                endpoint=_endpoint(listener),
                pid=child.pid,
            )
            self._write(record)
        return self._instance(record)

    def _listen(self, spec: InstanceSpec) -> socket.socket:
        kept = self._listeners.get(spec.id)
        if kept is not None and spec.endpoint in (None, _endpoint(kept)):
            return kept
        self._stop_listening(spec.id)
        self._listeners[spec.id] = _open(spec.endpoint)
        return self._listeners[spec.id]

    def _stop_listening(self, id: str) -> None:
        listener = self._listeners.pop(id, None)
        if listener is not None:
            listener.close()

    def _run(self, spec: InstanceSpec, lodging: Lodging, listener: socket.socket) -> subprocess.Popen[bytes]:
        python = self._lodgings.python
        with self._log(spec.id).open("ab") as output:
            try:
                return subprocess.Popen(  # noqa: S603 - our own interpreter, and nothing a shell reads
                    [
                        *(str(python.executable), "-I", "-S", "-c", self._confine),
                        *(f"{name}={number}" for name, number in self._limits(lodging).items()),
                        "--",
                        *_command(str(python.executable), lodging.app, listener.fileno()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=lodging.app / "project",
                    env={**self._environment(spec, lodging, _endpoint(listener)), **python.environment},
                    pass_fds=(listener.fileno(),),
                    start_new_session=True,
                    umask=0o077,
                    user=lodging.user,
                    group=lodging.user,
                    extra_groups=None if lodging.user is None else lodging.groups,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise Unavailable(f"no process could be started for {spec.id}: {error}") from error

    def _limits(self, lodging: Lodging) -> Mapping[str, int]:
        """The kernel's, which nothing gets beyond."""
        limits = {"CORE": 0, "NOFILE": DESCRIPTORS, "FSIZE": self._scratch_bytes}
        return limits if lodging.user is None else {**limits, "NPROC": PROCESSES}

    def _environment(self, spec: InstanceSpec, lodging: Lodging, endpoint: str) -> Mapping[str, str]:
        """All that the model's process gets to know. Nothing of ours is passed on."""
        return {
            **told_to(spec, self._token_keys(endpoint)),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(lodging.scratch),
            "TMPDIR": str(lodging.scratch),
            "USER": "model",  # its user has no name, and libraries ask for one
            "LOGNAME": "model",
            # The model server first: no package of a project's stands in the place of what serves it.
            "PYTHONPATH": f"{lodging.app / 'serving'}:{lodging.app / 'deps'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            MARK: mark(self._folder, spec.id),
        }

    # Looking.

    def _list(self) -> Sequence[Instance]:
        if not self._folder.is_dir():
            return []
        inhabitants = self._lodgings.inhabitants()
        seen = (self._look(id, inhabitants.get(id, ())) for id in sorted(self._names()))
        return [instance for instance in seen if instance is not None]

    def _look(self, id: str, inhabitants: Sequence[psutil.Process]) -> Instance | None:
        with self._turns[id]:
            record = self._read(id)
            if record is None:
                return None
            if record.why is None:
                process = self._process(record)
                if process is None:
                    record = self._close(record, self._exit_of(record))
                elif holds_more_than(self._lodgings.scratch(id), self._scratch_bytes):
                    self._kill(process)
                    most = in_mebibytes(self._scratch_bytes)
                    record = self._close(
                        record, f"it wrote more than {most}, or than can be counted, to its scratch folder"
                    )
            cut(self._log(id), self._log_bytes)
            return self._instance(record, inhabitants)

    def _running(self) -> Sequence[_Record]:
        """Those that run, with a pulse for each."""
        found = []
        for id in self._names() if self._folder.is_dir() else ():
            record = self._read(id)
            process = self._process(record) if record is not None and record.why is None else None
            if record is not None and process is not None:
                self._pulse(record, process)
                found.append(record)
        return found

    def _pulse(self, record: _Record, process: psutil.Process) -> Pulse:
        pulse = self._pulses.get(record.id)
        if pulse is None or pulse.pid != record.pid:
            now = time.monotonic()
            pulse = Pulse(pid=record.pid, began=now, looked=now, cpu=processor_seconds(process))
            self._pulses[record.id] = pulse
        return pulse

    def _judge(self, record: _Record, is_answered: bool) -> None:
        """End it if it hangs, unless it was ended or replaced while it was asked."""
        with self._turns[record.id]:
            process = self._process(record)
            if self._read(record.id) != record or process is None:
                return
            pulse = self._pulse(record, process)
            pulse.note(is_answered=is_answered, now=time.monotonic(), cpu=processor_seconds(process))
            why = pulse.objection(self._allowance)
            if why is not None:
                self._kill(process)
                self._close(record, why)

    def _process(self, record: _Record) -> psutil.Process | None:
        """The record's process, if it runs. Of a child of ours the kernel tells; of another, its lodging."""
        child = self._children.get(record.pid)
        if child is not None and child.poll() is not None:
            return None
        try:
            process = psutil.Process(record.pid)
            is_ours = child is not None or self._lodgings.is_home(record.id, process)
        except psutil.Error:  # gone, a zombie, or somebody else's
            return None
        return process if is_ours else None

    def _instance(self, record: _Record, inhabitants: Sequence[psutil.Process] = ()) -> Instance:
        """As its record says: who is over since the record was looked at is over at the next look, which says why."""
        process = self._process(record) if record.why is None else None
        return Instance(
            id=record.id,
            project=record.project,
            release=record.release,
            replica=record.replica,
            image=record.image,
            endpoint=record.endpoint,
            is_running=record.why is None,
            memory_bytes=memory(process, inhabitants) if process is not None else 0,
            why=record.why or "",
        )

    def _exit_of(self, record: _Record) -> str:
        child = self._children.pop(record.pid, None)
        status = child.poll() if child is not None else _reaped(record.pid)
        if status is None:
            return "it ended while nobody was looking"
        if status < 0:
            return ended_by(-status)
        return ended_with(status)

    def _names(self) -> Sequence[str]:
        return [each.name for each in self._folder.iterdir()]

    # Ending.

    async def _end(self, process: psutil.Process) -> None:
        """Ask, wait, kill; its whole session. Whoever left that is ended when the instance moves out."""
        send(process, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + self._stop_seconds
        while not self._is_over(process):
            if asyncio.get_running_loop().time() > deadline:
                send(process, signal.SIGKILL)
            await asyncio.sleep(LOOK_EVERY)
        kill_session(process.pid)
        if self._children.pop(process.pid, None) is None:
            _reaped(process.pid)

    def _is_over(self, process: psutil.Process) -> bool:
        child = self._children.get(process.pid)
        return is_over(process) if child is None else child.poll() is not None

    def _kill(self, process: psutil.Process) -> None:
        send(process, signal.SIGKILL)
        kill_session(process.pid)
        child = self._children.pop(process.pid, None)
        if child is not None:
            child.wait()

    def _close(self, record: _Record, why: str) -> _Record:
        """Say that it ended; what it started ends with it."""
        self._lodgings.move_out(record.id)
        closed = msgspec.structs.replace(record, why=why)
        self._write(closed)
        return closed

    def _write_end(self, record: _Record, why: str) -> None:
        with self._turns[record.id]:
            if self._read(record.id) is not None:
                self._close(record, why)

    def _forget(self, id: str) -> None:
        with self._turns[id]:
            self._lodgings.move_out(id)
            shutil.rmtree(self._folder / id, ignore_errors=True)

    # Files.

    def _read(self, id: str) -> _Record | None:
        try:
            return msgspec.json.decode((self._folder / id / "instance.json").read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def _write(self, record: _Record) -> None:
        path = self._folder / record.id / "instance.json"
        aside = path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(record))
        aside.replace(path)

    def _log(self, id: str) -> Path:
        return self._folder / id / "log"


def _command(python: str, app: Path, listener: int) -> Sequence[str]:
    """-S and -s keep this machine's own packages out, -P the working directory."""
    return (python, "-S", "-s", "-P", "-m", "placet.runtime", "--root", str(app), "--fd", str(listener))


def _reaped(pid: int) -> int | None:
    """How it ended, of a child that the deployer had before it became what it is (`placet up`, started again)."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if ended else None


def _endpoint(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _open(endpoint: str | None) -> socket.socket:
    """A listening socket: at its former place if that is free, so that nobody has to be told."""
    port = urlsplit(endpoint).port if endpoint else None
    if port is not None:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    try:
        return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(f"no port could be opened on 127.0.0.1: {error}") from error


async def _in_thread(work: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
    try:
        return await asyncio.to_thread(work, *arguments, **options)
    except (
        OSError
    ) as error:  # no descriptors, no room, no processes: it may pass, and must not end the deployer
        raise Unavailable(f"models cannot be run or looked after here: {error}") from error


async def _log(path: Path, lines: int | None, follows: bool, *, at_most: int) -> AsyncIterator[bytes]:
    if not follows:
        yield await asyncio.to_thread(tail, path, lines, at_most=at_most)
        return
    async for piece in follow(path, lines, at_most=at_most):
        yield piece
