"""The `process` host: an image's layers, unpacked, run by this machine's Python as a process of its own.

For trying out and for tests: a process here is bounded and watched, not isolated, and runs as the deployer's
own user. What it promises: models outlive a killed deployer and are taken over by the next one, since all that
is known of an instance lies in its folder.

    <folder>/<id>/instance.json   what was started, and which process it is
    <folder>/<id>/log             stdout and stderr; what is too much of it is cut away by `list`
    <folder>/<id>/tmp/            its TMPDIR and HOME

Limits: CPU by the number of threads that numeric libraries use, memory by looking: an instance that takes more
than its release reserved is ended. One instance per release; images of another Python are refused.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from placet.deployer.adapters.instance_log import follow, tail
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.domain import Amount
from placet.deployer.ports import Instance, InstanceSpec
from placet.errors import Unavailable

MARK = "PLACET_INSTANCE"
"""In the environment of every process started here: by it one without a record is found, and a pid that has come
again is not taken for it. Times of creation would not do: they move with the machine's clock."""
LOOK_EVERY = 0.05
LAST_WORDS = 20
"""Lines."""
LAST_BYTES = 4000
"""They go into an event, and one line can be as long as a model likes."""
BACKLOG = 2048


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `instance.json` says. `why` is set when the instance was ended, or was found dead."""

    id: str
    project: str
    release: int
    image: str
    endpoint: str
    pid: int
    why: str | None = None


class LocalProcesses:
    """A `ModelHost`. Call `adopt` once before anything else; `token_keys` gives what models check tokens with."""

    def __init__(
        self,
        *,
        folder: Path,
        images: UnpackedImages,
        token_keys: Callable[[], str],
        stop_seconds: float,
        log_bytes: int,
    ) -> None:
        self._folder = folder
        self.images = images
        self._token_keys = token_keys
        self._stop_seconds = stop_seconds
        self._log_bytes = log_bytes
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._records = threading.Lock()
        """Held while a record is looked at and written, or what is read of the dead could replace a newborn's."""

    # The port.

    async def start(self, spec: InstanceSpec) -> Instance:
        record = await asyncio.to_thread(self._read, spec.id)
        if record is not None and self._process(record) is not None:
            if record.image == spec.image:
                return self._instance(record)
            await self.stop(spec.id, why="replaced by another image of the same release")
        root = await self.images.root(spec.repository, spec.image)
        return await asyncio.to_thread(self._spawn, spec, root)

    async def stop(self, id: str, *, why: str = "") -> None:
        record = await asyncio.to_thread(self._read, id)
        if record is None:
            return
        process = self._process(record)
        if process is not None:
            await self._end(process)
            for left in await asyncio.to_thread(self._marked, lambda mark: mark == self._mark(id)):
                _signal(left, signal.SIGKILL)  # what it started in a session of its own
            await asyncio.to_thread(self._write_end, record, why or "it was stopped")

    async def list(self) -> Sequence[Instance]:
        return await asyncio.to_thread(self._list)

    async def forget(self, id: str) -> None:
        await self.stop(id)
        await asyncio.to_thread(shutil.rmtree, self._folder / id, ignore_errors=True)

    async def last_words(self, id: str) -> str:
        lines = await asyncio.to_thread(tail, self._log(id), LAST_WORDS)
        return lines[-LAST_BYTES:].decode(errors="replace").strip()

    def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        return _log(self._log(id), tail, follow)

    # Beginning and end of the deployer.

    async def adopt(self) -> None:
        """End processes that a crash left without a record; those with one go on."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        for process in await asyncio.to_thread(self._strays):
            await self._end(process)

    async def stop_all(self) -> None:
        running = [each.id for each in await self.list() if each.is_running]
        await asyncio.gather(*(self.stop(id, why="the platform was stopped") for id in running))

    # Starting.

    def _spawn(self, spec: InstanceSpec, root: Path) -> Instance:
        home = self._folder / spec.id
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        with _listen(spec.endpoint) as listener, self._log(spec.id).open("ab") as output:
            host, port = listener.getsockname()[:2]
            endpoint = f"http://{host}:{port}"
            try:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter, and nothing a shell reads
                    _command(root, listener.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=root / "project",
                    env=self._environment(spec, root, home),
                    pass_fds=(listener.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"no process could be started for {spec.id}: {error}") from error
        self._children[child.pid] = child
        record = _Record(
            id=spec.id,
            project=spec.project,
            release=spec.release,
            image=spec.image,
            endpoint=endpoint,
            pid=child.pid,
        )
        with self._records:
            self._write(record)
        return self._instance(record)

    def _environment(self, spec: InstanceSpec, root: Path, home: Path) -> Mapping[str, str]:
        """All that the model's process gets to know. Nothing of ours is passed on."""
        threads = str(_threads(spec.amount))
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(home / "tmp"),
            "TMPDIR": str(home / "tmp"),
            "PYTHONPATH": f"{root / 'deps'}:{root / 'serving'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PLACET_PROJECT": spec.project,
            "PLACET_RELEASE": str(spec.release),
            "PLACET_ROOT_PATH": f"/models/{spec.project}",
            "PLACET_ACCESS": spec.access,
            "PLACET_TOKEN_KEYS": self._token_keys(),
            MARK: self._mark(spec.id),
        }

    def _mark(self, id: str) -> str:
        return f"{self._folder.resolve()}/{id}"

    # Looking.

    def _list(self) -> Sequence[Instance]:
        if not self._folder.is_dir():
            return []
        found = []
        for id in sorted(self._names()):
            with self._records:
                record = self._read(id)
                if record is None:
                    continue
                if record.why is None and self._process(record) is None:
                    record = _ended(record, self._exit_of(record))
                    self._write(record)
            self._trim(id)
            found.append(self._instance(record))
        return found

    def _process(self, record: _Record) -> psutil.Process | None:
        """The record's process, if it runs. Of a child of ours the kernel tells; of another, its mark."""
        child = self._children.get(record.pid)
        if child is not None and child.poll() is not None:
            return None
        try:
            process = psutil.Process(record.pid)
            is_ours = child is not None or process.environ().get(MARK) == self._mark(record.id)
        except psutil.Error:  # gone, a zombie, or somebody else's
            return None
        return process if is_ours else None

    def _instance(self, record: _Record) -> Instance:
        process = self._process(record) if record.why is None else None
        memory = 0
        if process is not None:
            memory = _memory(process)
        return Instance(
            id=record.id,
            project=record.project,
            release=record.release,
            image=record.image,
            endpoint=record.endpoint,
            is_running=process is not None,
            memory_bytes=memory,
            why=record.why or "",
        )

    def _exit_of(self, record: _Record) -> str:
        child = self._children.pop(record.pid, None)
        status = child.poll() if child is not None else None
        if status is None:
            return "it ended while nobody was looking"
        if status < 0:
            return f"it was ended by {_name_of(-status)}"
        return f"it ended with status {status}"

    def _strays(self) -> Sequence[psutil.Process]:
        recorded = {each.pid for each in map(self._read, self._names()) if each and self._process(each)}
        ours = self._marked(lambda mark: mark.startswith(self._mark("")))
        return [process for process in ours if process.pid not in recorded]

    @staticmethod
    def _marked(is_ours: Callable[[str], bool]) -> Sequence[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if is_ours(process.environ().get(MARK, "")):
                    found.append(process)
        return found

    def _names(self) -> Sequence[str]:
        return [each.name for each in self._folder.iterdir()]

    # Ending.

    async def _end(self, process: psutil.Process) -> None:
        """Ask, wait, kill; the whole session, since a model may have started processes of its own."""
        _signal(process, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + self._stop_seconds
        while _is_alive(process, self._children):
            if asyncio.get_running_loop().time() > deadline:
                _signal(process, signal.SIGKILL)
            await asyncio.sleep(LOOK_EVERY)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._children.pop(process.pid, None)

    # Files.

    def _read(self, id: str) -> _Record | None:
        try:
            return msgspec.json.decode((self._folder / id / "instance.json").read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def _write_end(self, record: _Record, why: str) -> None:
        with self._records:
            if self._read(record.id) is not None:
                self._write(_ended(record, why))

    def _write(self, record: _Record) -> None:
        path = self._folder / record.id / "instance.json"
        aside = path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(record))
        aside.replace(path)

    def _log(self, id: str) -> Path:
        return self._folder / id / "log"

    def _trim(self, id: str) -> None:
        """Keep the newer half of a log that is too large. The process appends, so it goes on at the new end."""
        path = self._log(id)
        with suppress(FileNotFoundError):
            if path.stat().st_size <= self._log_bytes:
                return
            with path.open("r+b") as file:
                file.seek(-self._log_bytes // 2, os.SEEK_END)
                file.readline()
                kept = file.read()
                file.truncate(0)
                file.seek(0)
                file.write(kept)


def _command(root: Path, listener: int) -> Sequence[str]:
    """-S and -s keep this machine's own packages out, -P the working directory."""
    runtime = ("-m", "placet.runtime", "--root", str(root), "--fd", str(listener))
    return (sys.executable, "-S", "-s", "-P", *runtime)


def _listen(endpoint: str | None) -> socket.socket:
    """A listening socket: at its former place if that is free, so that nobody has to be told."""
    port = urlsplit(endpoint).port if endpoint else None
    if port is not None:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    try:
        return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(f"no port could be opened on 127.0.0.1: {error}") from error


def _threads(amount: Amount) -> int:
    return max(1, math.ceil(amount.cpu_millis / 1000))


def _ended(record: _Record, why: str) -> _Record:
    return msgspec.structs.replace(record, why=why)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def _memory(process: psutil.Process) -> int:
    """Of the process, and what those that it started do not share with it."""
    memory = 0
    with suppress(psutil.Error):
        memory = process.memory_info().rss
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                memory += child.memory_full_info().uss
    return memory


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)


def _is_alive(process: psutil.Process, children: Mapping[int, subprocess.Popen[bytes]]) -> bool:
    child = children.get(process.pid)
    if child is not None:
        return child.poll() is None
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def _log(path: Path, lines: int | None, follows: bool) -> AsyncIterator[bytes]:
    if not follows:
        yield await asyncio.to_thread(tail, path, lines)
        return
    async for piece in follow(path, lines):
        yield piece
