"""What a project is, after all that was said of it: what is reserved, what waits, is starting, serves, gets a share.

What becomes of it is decided in `domain.py`. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.errors import Unavailable
from placet.events.contracts.deployer import CanaryStarted, ModelFailed, ModelStarted, StartAccepted
from placet.events.contracts.shapes import Resources, Sample

LOOK_AGAIN = 60.0
"""Seconds after which a caller may ask again for a model that lost its certificate: it may be back by then."""


@dataclass(frozen=True, kw_only=True)
class Reservation:
    release: int
    until: str
    replicas: int = 1


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A request that waits for room, until then. `is_over`: a later one was given some."""

    release: int
    request: int
    turn: int
    position: int
    quota: str | None
    until: str
    replicas: int = 1
    is_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A start that a job works on. `request` is the one it carries out."""

    release: int
    request: int
    image: str
    repository: str
    certificate: str
    trial: bool = False
    replicas: int = 1
    canary: int = 0
    """How many of a hundred requests it is to get beside what serves; none of none: it takes its place."""
    delayed: str | None = None
    """What it needs and is away at the moment."""

    def told(self, project: str) -> StartAccepted:
        """That it is answered for, as it is."""
        return StartAccepted(
            project=project,
            release=self.release,
            image=self.image,
            repository=self.repository,
            certificate=self.certificate,
            request=self.request,
            trial=self.trial,
            replicas=self.replicas,
            canary=self.canary,
            delayed=self.delayed,
        )


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Nothing serves, and `why`."""

    why: str = "it was never started"


@dataclass(frozen=True, kw_only=True)
class Live:
    release: int
    request: int
    image: str
    certificate: str
    url: str
    endpoints: tuple[str, ...]
    replicas: int = 1
    sample: Sample = "none"
    trial: bool = False
    diverged: bool = False
    """It does not run as it should, and nobody has seen it mended yet."""

    @classmethod
    def of(cls, event: ModelStarted | CanaryStarted, *, trial: bool) -> Live:
        return cls(
            release=event.release,
            request=event.request,
            image=event.image,
            certificate=event.certificate,
            url=event.url,
            endpoints=event.endpoints,
            replicas=event.replicas,
            sample=event.sample,
            trial=trial,
        )

    def told(self, project: str) -> ModelStarted:
        """That it serves, as it is."""
        return ModelStarted(
            project=project,
            release=self.release,
            image=self.image,
            certificate=self.certificate,
            url=self.url,
            endpoints=self.endpoints,
            replicas=self.replicas,
            request=self.request,
            sample=self.sample,
        )


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A release that gets `weight` of a hundred requests, beside what serves."""

    live: Live
    weight: int


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """To another number of replicas, which a job works on. `number` counts the project's scalings; `delayed` is as with
    a start."""

    replicas: int
    number: int
    delayed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """Taken off its route; what it left stays as evidence."""

    release: int
    certificate: str
    why: str
    rule: str | None
    fix: str | None

    def told(self, project: str) -> Unavailable:
        """What callers of the model are told."""
        return Unavailable(
            f"{project} is not served: {self.certificate} does not stand, since {self.why}",
            rule=self.rule,
            fix=self.fix,
            retry_after=LOOK_AGAIN,
        )


Serving = Idle | Live | Quarantined


@dataclass(frozen=True, kw_only=True)
class Project:
    """`asked` is the last request that was carried out, `deleted` the last one that deleted the project; `failed` is
    the last start that failed, `served` the replicas of what was live last. There is a canary, or a scaling, only of
    what is live. What is over in `waiting` stays there until that was said of it.
    """

    asked: int = 0
    deleted: int = 0
    reserved: tuple[Reservation, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    starting: Starting | None = None
    serving: Serving = Idle()
    served: int = 0
    canary: Canary | None = None
    scaling: Scaling | None = None
    scalings: int = 0
    failed: ModelFailed | None = None

    @property
    def ready(self) -> Sequence[Live]:
        """What requests are sent to."""
        canary = None if self.canary is None else self.canary.live
        return [each for each in (self.live, canary) if each is not None]

    @property
    def running(self) -> Sequence[Starting | Live]:
        """What instances should exist of."""
        return self.ready if self.starting is None else [self.starting, *self.ready]

    @property
    def live(self) -> Live | None:
        return self.serving if isinstance(self.serving, Live) else None

    @property
    def holds(self) -> frozenset[int]:
        """The releases that room is held for. While one replaces another, both are."""
        return self.runs | {reservation.release for reservation in self.reserved}

    @property
    def runs(self) -> frozenset[int]:
        """The releases that an instance should exist of."""
        return frozenset(each.release for each in self.running)

    def is_overtaken(self, request: int) -> bool:
        """Whether a later request was carried out, or waits for that."""
        latest = max((each.request for each in self.waiting), default=0)
        return request <= self.asked or request < latest

    def waits(self, request: int) -> Waiting | None:
        return next((each for each in self.waiting if each.request == request), None)

    def waits_in_vain(self, waiting: Waiting) -> bool:
        """Whether nothing is to come of it any more. What was quarantined waits for the request that is carried out."""
        if isinstance(self.serving, Quarantined) and waiting.request == self.asked:
            return waiting.is_over or self.starting is not None
        return waiting.is_over or self.is_overtaken(waiting.request)

    def replicas_to_place(self, request: int, asked: Resources) -> int:
        """Who waits goes on waiting for as many as it did at first."""
        waiting = self.waits(request)
        return waiting.replicas if waiting else self.replicas_for(asked)

    def wants(self, release: int, replica: int) -> bool:
        """Whether an instance of it should exist."""
        return release in self.runs and replica <= self.replicas_of(release)

    def replicas_of(self, release: int) -> int:
        """That room is held for; none of what is not held."""
        held = [each.replicas for each in (*self.running, *self.reserved) if each.release == release]
        if self.scaling is not None and self.live is not None and self.live.release == release:
            held.append(self.scaling.replicas)
        return max(held, default=0)

    def replicas_for(self, asked: Resources) -> int:
        """A release begins with as many as serve, or did last, as far as it allows."""
        return min(max(self.served, asked.min_replicas), asked.max_replicas)

    def reservation(self, release: int) -> Reservation | None:
        return next((each for each in self.reserved if each.release == release), None)
