"""Repositories of others, by the program git, which is told to trust nobody.

Everything that git would do beyond getting files is turned off or has nothing to work with: no configuration of this
machine or of the repository, no hooks, no filters, no submodules, no credentials, no redirection to another host, no
protocol but the allowed one. A repository can still be made to hurt: by its size, by files that unpack to a thousand
times theirs, by trees of trees without end. So the program's files and memory are bounded, what a commit holds is
counted before it is written, and all of it has an end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio import to_thread

from placet.errors import PlacetError, Refused, TooLarge, Unavailable
from placet.events.tasks import TaskGroup
from placet.gateway.git_address import GitAddress

MEMORY_BYTES = 2 * 1024**3
MAX_FILES = 10_000
MAX_SAID = 8 * 1024**2
"""Bytes of what the program may say; a list of so many files takes less."""
_SILENT = 30
"""Seconds with less than a thousand bytes each, after which a connection counts as broken."""
_PASSED_ON = frozenset({"PATH", "TMPDIR", "SSL_CERT_DIR"}) | {
    name for proxy in ("all", "http", "https", "no") for name in (f"{proxy}_proxy", f"{proxy}_PROXY".upper())
}
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024
_SUBMODULE = "160000"
_CHUNK = 64 * 1024


class GitRepositories:
    """The `Repositories` port. `hosts` are allowed, each as `GitAddress.host` gives it."""

    def __init__(self, *, hosts: Collection[str], max_bytes: int, seconds: float) -> None:
        self._hosts = frozenset(hosts)
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def check_out(self, address: GitAddress, into: Path) -> str:
        self._must_be_allowed(address)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._checked_out(address, into)
        except TimeoutError:
            raise Unavailable(
                f"{address.url} was not fetched within {self._seconds:g} s",
                fix="try again; of what takes longer, clone it and deploy the folder",
            ) from None

    def _must_be_allowed(self, address: GitAddress) -> None:
        if address.host not in self._hosts:
            allowed = f"; allowed are {', '.join(sorted(self._hosts))}" if self._hosts else ""
            raise Refused(
                f"this platform fetches nothing from {address.host}{allowed}",
                fix="clone it and deploy the folder, or ask an operator to add the host to PLACET_GIT_HOSTS",
            )

    async def _checked_out(self, address: GitAddress, into: Path) -> str:
        git = _Git(address, into, self._max_bytes)
        await git.run("init", "--quiet", "--template=")
        fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options")
        await git.run(*fetch, address.url, address.ref or "HEAD", failing=_not_fetched)
        commit = (await git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}")).strip()
        wanted = ("--", address.subdirectory) if address.subdirectory else ()
        self._must_fit(address, await git.run("ls-tree", "-r", "-l", "-z", commit, *wanted))
        await git.run("checkout", "--quiet", "--force", commit, *(wanted or ("--", ".")))
        await to_thread.run_sync(_must_be_the_files_themselves, into / address.subdirectory)
        return commit

    def _must_fit(self, address: GitAddress, listed: str) -> None:
        """Before anything is written: how much a commit holds, nobody can tell from how much was sent."""
        entries = listed.split("\0")[:-1]
        if not entries:
            where = f"no folder {address.subdirectory}" if address.subdirectory else "no files"
            raise Refused(
                f"{address.url} has {where} at {address.ref or 'its default branch'}",
                fix="name a folder that is there, …@ref#subdirectory=FOLDER, or another branch, tag or commit",
            )
        size = 0
        for entry in entries:
            about, _, path = entry.partition("\t")
            mode, _, _, bytes_ = about.split()
            if mode == _SUBMODULE:
                raise Refused(
                    f"{path} is a submodule, which is not fetched",
                    fix="put its files into the repository itself",
                )
            if path == address.subdirectory:
                raise Refused(
                    f"{path} is no folder of {address.url}",
                    fix="name the folder that the project is in, with #subdirectory=FOLDER",
                )
            size += int(bytes_)
        if len(entries) > MAX_FILES or size > self._max_bytes:
            raise _too_large(address, f"{len(entries)} files of {size} bytes")


class _Git:
    """The program, in one folder for one address."""

    def __init__(self, address: GitAddress, folder: Path, max_bytes: int) -> None:
        program, limits = shutil.which("git"), shutil.which("prlimit")
        if program is None or limits is None:
            raise Unavailable(
                "the gateway has no git to fetch with",
                fix="install git and util-linux where it runs, or clone the repository and deploy the folder",
            )
        self._address = address
        self._folder = folder
        self._command = (
            *(limits, f"--fsize={max_bytes}", f"--as={MEMORY_BYTES}", "--core=0", program),
            *_options(address.url.partition(":")[0]),
        )

    async def run(
        self, *arguments: str, failing: Callable[[GitAddress, str], PlacetError] | None = None
    ) -> str:
        """What it said. Raises TooLarge for more than that may be, and of a failure what `failing` makes of it."""
        is_too_much = False
        try:
            async with self._started(arguments) as process, TaskGroup() as reading:
                said = reading.create_task(_read(process.stdout))
                wrong = reading.create_task(_read(process.stderr))
        except* _TooMuch:
            is_too_much = True
        if is_too_much:  # not in there: up to Python 3.11.3 it would come as a group again
            raise _too_large(self._address, f"more than {MAX_FILES} files")
        status = process.returncode
        complaint = wrong.result().decode(errors="replace").strip()
        if status and failing is not None:
            raise failing(self._address, complaint)
        if status:
            raise Unavailable(f"git {arguments[0]} of {self._address.url} failed: {complaint[-500:]}")
        return said.result().decode(errors="surrogateescape")

    @asynccontextmanager
    async def _started(self, arguments: tuple[str, ...]) -> AsyncIterator[Process]:
        """It and all that it starts have ended at the end."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(self._folder),
            cwd=self._folder,
            start_new_session=True,
        )
        try:
            yield process
            await process.wait()
        finally:
            await asyncio.shield(_ended(process))


class _TooMuch(Exception):
    """It says more than anybody wants to hear."""


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        while await _pipe(stream).read(_CHUNK):
            """A process counts as ended when its pipes have, and they do not while something is left in them."""
    await process.wait()


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    read = bytearray()
    while chunk := await _pipe(stream).read(_CHUNK):
        read += chunk
        if len(read) > MAX_SAID:
            raise _TooMuch
    return bytes(read)


def _pipe(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert stream is not None  # noqa: S101 - both were asked for as pipes
    return stream


def _options(scheme: str) -> tuple[str, ...]:
    settings = {
        "protocol.allow": "never",
        f"protocol.{scheme}.allow": "always",
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": str(_SILENT),
        "credential.helper": "",
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        # A file beyond this goes to the disk as it comes, instead of through memory.
        "core.bigFileThreshold": "16m",
        "pack.threads": "1",
        "fetch.fsckObjects": "true",
        "submodule.recurse": "false",
        "advice.detachedHead": "false",
    }
    return tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but the way out, and a home where there is nothing."""
    passed_on = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    if authorities := os.environ.get("SSL_CERT_FILE"):
        passed_on["GIT_SSL_CAINFO"] = authorities
    return passed_on | {
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LITERAL_PATHSPECS": "1",
    }


def _must_be_the_files_themselves(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for path in (Path(directory) / name for name in names):
            if path.is_symlink() or path.stat().st_size > _POINTER_BYTES:
                continue
            if path.read_bytes().startswith(_POINTER):
                raise Refused(
                    f"{path.relative_to(folder)} is a pointer to a file in Git LFS, which is not fetched",
                    fix="clone the repository with git lfs installed, and deploy the folder",
                )


def _not_fetched(address: GitAddress, said: str) -> PlacetError:
    # What is looked for has a blank in it, as no address has: its port and its name are in the complaint too.
    if "remote ref" in said:
        return Refused(
            f"{address.url} has no {address.ref or 'default branch'}",
            fix="name a branch, a tag or a whole commit id after @",
        )
    if "fsck error" in said:
        return Refused(
            f"{address.url} holds what git itself calls broken or hostile: {_first_line(said)}",
            fix="mend it there, or clone it and deploy the folder",
        )
    if "signal 25" in said or "File too large" in said:
        return _too_large(address, "more than is kept")
    if any(words in said for words in ("not found", "could not read Username", "error: 403", "error: 401")):
        return Refused(
            f"{address.url} is not there, or not for everybody",
            fix="of a private repository, clone it and deploy the folder",
        )
    return Unavailable(
        f"{address.url} cannot be fetched: {said[-500:] or 'git does not say why'}", fix="try again"
    )


def _first_line(said: str) -> str:
    return said.partition("\n")[0].removeprefix("error: ")[:300]


def _too_large(address: GitAddress, holds: str) -> TooLarge:
    return TooLarge(
        f"{address.url} holds {holds}, which is too much to be fetched",
        fix="name the project's folder in it, with #subdirectory=FOLDER, or deploy a folder",
    )
