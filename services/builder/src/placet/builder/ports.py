"""What the builder needs from outside to make an image."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from placet.events.contracts.builder import ImageBuilt
from placet.events.contracts.shapes import Command


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an image's wheels have to fit: a Python tag such as `cp311`, a platform such as `linux/amd64`."""

    python: str
    platform: str

    @property
    def version(self) -> str:
        """`3.11` for `cp311`."""
        return f"{self.python[2]}.{self.python[3:]}"

    def __str__(self) -> str:
        return f"Python {self.version} on {self.platform}"


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A Python file to compile, and the path it will have in the image."""

    source: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a file: a file of its own for each of thousands costs more than what is in it."""

    file: Path
    start: int
    size: int


class Packages(Protocol):
    """A package index, as far as wheels go. Nothing of a package is run."""

    async def resolve(
        self, project: Sequence[str], runtime: Sequence[str], target: Target, workspace: Path
    ) -> str:
        """Versions that fit both lists of requirements, with the hashes of the files that fit the target and who asks
        for each.

        The text is a requirements file: `name==version`, `--hash` options and `# via` with the names of
        packages, `-r project.txt` and `-r runtime.txt`. `Refused` if nothing fits.
        """

    async def fetch(self, requirements: Sequence[str], target: Target, workspace: Path) -> None:
        """Bring near what these locked requirements name, all at once. A help and no more: what cannot be had,
        `install` tells."""

    async def install(self, requirement: str, target: Target, into: Path, workspace: Path) -> None:
        """The files of one locked requirement in the empty folder `into`, checked against its hashes."""


def bytecode_at_most(size: int) -> int:
    """How many bytes of bytecode a source of `size` bytes may come to. The most found in wheels is five times as many,
    but a constant expression of ten characters can make thousands; what has a bound can be judged beforehand."""
    return 16 * size + 4096


class Compiler(Protocol):
    """Python's compiler, apart from this process: source files are other people's."""

    def fits(self, target: Target) -> bool:
        """Whether its bytecode is what the target's Python reads."""

    async def compile(self, files: Sequence[SourceFile], folder: Path) -> Mapping[str, Span]:
        """The bytecode of each by its name, in files in `folder`, and the same bytes every time.

        None of a file that cannot be compiled, or whose bytecode would have more than `bytecode_at_most`.
        """


Log = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True, kw_only=True)
class EngineImage:
    """An image that an engine built, by the id it has there. `size` is that of its files, in bytes.

    `engine` says which engine it was, `network` what the steps of its build could reach.
    """

    id: str
    size: int
    engine: str
    network: str


class Engine(Protocol):
    """A container engine, as far as building goes. Steps of a Dockerfile run there, and are other people's code."""

    async def build(self, folder: Path, dockerfile: str, archive: Path, log: Log) -> EngineImage:
        """Build the Dockerfile of this folder, which is all it sees, and write the image to the file `archive`, as
        `docker save` does. Nothing stays in the engine. Cancelled, it ends what runs there.

        Raises `Refused` when a step fails, `TooLarge`, `Unavailable` when the engine is away.
        """


class Known(Protocol):
    """Images made before, by what they were made from."""

    async def image_of(self, key: str) -> KnownImage | None: ...

    async def by_digest(self, image: str) -> KnownImage | None: ...


@dataclass(frozen=True, kw_only=True)
class KnownImage:
    image: str
    repository: str


class Images(Protocol):
    async def exists(self, known: KnownImage) -> bool:
        """Whether the registry still has it. Raises Unavailable."""


class Workshop(Protocol):
    """Where images are made."""

    def reuse_key(self, source: str) -> str:
        """What an image of this source made here and now is known by."""

    async def build(self, project: str, release: int, source: str) -> ImageBuilt:
        """Fetch the source, make its image and push it. Repeatable: the same source gives the same image.

        Raises Refused when the project cannot be built, Unavailable when the index or the registry is away.
        """


BUILD = "build"
"""The kind of the builder's jobs."""


class BuildJob(msgspec.Struct, frozen=True, kw_only=True):
    """A build to be done. `command` is what it was asked for with: a deploy, or a mere build."""

    project: str
    release: int
    source: str
    command: Command = "deploy"


class Requests(Protocol):
    """What people asked for, as far as it was heard."""

    async def is_overtaken(self, asked: BuildJob) -> bool:
        """Whether its project was deleted since, or stopped, if it was to be deployed."""

    async def is_wanted(self, source: str) -> bool:
        """Whether any build of this source waits or is under way that was not overtaken."""

    def looks(self) -> AsyncGenerator[None, None]:
        """When to look again: now, and whenever something may have been heard."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    known: Known
    images: Images
    workshop: Workshop
    requests: Requests
