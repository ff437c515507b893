"""What the deployer needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from placet.deployer.observations import Counters
from placet.deployer.room import Amount
from placet.errors import Unavailable


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """How many of a release are wanted, and how many there may be: a host that scales does so between the two."""

    min: int = 1
    max: int = 1


@dataclass(frozen=True, kw_only=True)
class InstanceSpec:
    """What is to run: one replica of one release. `endpoint` is where it listened before, if it did.

    A host that scales is asked for the first one alone, and takes `replicas` for it.
    """

    project: str
    release: int
    image: str
    repository: str
    access: str
    amount: Amount
    replica: int = 1
    replicas: Replicas = Replicas()
    endpoint: str | None = None

    @property
    def id(self) -> str:
        """The same for every attempt, so that a start that is repeated finds what it began."""
        return instance_id(self.project, self.release, self.replica)


def instance_id(project: str, release: int, replica: int = 1) -> str:
    """The first replica goes by its release alone."""
    return f"{project}-{release}" if replica == 1 else f"{project}-{release}.{replica}"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Something that was started. `why` says how it ended, once it is not running any more; `drift` what somebody else
    changed about it while it runs, which starting it again mends."""

    id: str
    project: str
    release: int
    image: str
    endpoint: str
    is_running: bool
    replica: int = 1
    memory_bytes: int = 0
    why: str = ""
    drift: str = ""


class ModelHost(Protocol):
    """Runs instances of images. Every method may be repeated: the id says which instance is meant.

    Raises `Refused` for an image that this host cannot run, `Unavailable` when the host or the registry is away.
    """

    @property
    def scales(self) -> bool:
        """Whether an instance of it stands for all replicas of its release, and has as many as are needed."""

    async def start(self, spec: InstanceSpec) -> Instance:
        """The running instance: the one that runs already if it is of the same spec, else a new one."""

    async def stop(self, id: str, *, why: str = "") -> None:
        """End it: kindly first, and surely. Nothing happens if it does not run. Its log stays."""

    async def list(self) -> Sequence[Instance]:
        """All that were started and not forgotten, running or not."""

    async def find(self, id: str) -> Instance | None:
        """The same of one, which costs the same however many there are."""

    async def check(self) -> None:
        """Ask each running instance whether it lives; one that hangs is ended, and is then listed as a crashed one is.

        To be called again and again: it takes several silences in a row, and none of a model that works.
        """

    async def forget(self, id: str) -> None:
        """Stop it and remove all it left, its log too."""

    async def last_words(self, id: str) -> str:
        """The end of its log, at most a screen; empty if there is none."""

    def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        """Its log from the last `tail` lines on (None: all of it), and while it `follow`s what is added."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where requests go. Of each hundred or so it gets as many as its `weight` is of all its project's targets'."""

    endpoint: str
    weight: int = 1


class Router(Protocol):
    """Sends `/models/<project>/…` to endpoints. Every method may be repeated. Raises `Unavailable`."""

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        """In place of all that it was sent to before; requests under way go on to their end."""

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        """Who asks is told `why`, where there is a reason that concerns callers."""

    async def routes(self) -> Mapping[str, frozenset[Target]] | None:
        """By project; None where routes are not this router's to keep."""


class Certificates(Protocol):
    async def verify(
        self, *, repository: str, envelope: str, certificate: str, image: str, source: str, now: datetime
    ) -> None:
        """Raises `Refused` unless a certificate we trust lets this image of this source run now."""

    async def compromised(self, now: datetime) -> Mapping[str, datetime]:
        """Keys that count for nothing by now, each with since when: whatever serves on what they signed may not."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The project's own example: what to ask, what to expect, and how far numbers may be off."""

    request: Any
    response: Any
    tolerance: float


class Images(Protocol):
    async def sample(self, repository: str, image: str) -> Sample | None:
        """The sample in the image, or None if it has none. Raises `Refused` if it is not one."""


class Probe(Protocol):
    """Asks an instance as a client would."""

    async def is_ready(self, endpoint: str) -> bool: ...

    async def predict(self, endpoint: str, request: Any) -> Any:
        """The answer to a request for a prediction. Raises `Refused` if it is an error, or none."""

    async def example(self, endpoint: str) -> Any:
        """A request that it says it takes; None if it does not say, at the moment or at all."""

    async def counters(self, endpoint: str) -> Counters | None:
        """What it has counted since its start; None if it does not say, at the moment or at all."""


class Reads(Protocol):
    """The service's own tables, read outside any unit."""

    async def rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    host: ModelHost
    router: Router
    certificates: Certificates
    images: Images
    probe: Probe
