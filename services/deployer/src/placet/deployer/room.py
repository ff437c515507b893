"""What the platform has to give, who holds how much of it, who waits for it, and what teams and projects may hold.

Who finds no room at the moment is told why, and at which place it waits. First come, first served: what somebody waits
for is promised to them, and who came later has what is left after that. Who waits for a quota waits with those who
share it, and holds nobody else up. A quota counts a project once, as its largest release: while a new one replaces an
old one, too, or no team could replace anything in a quota that it uses up. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from placet.events.contracts.shapes import Resources


def in_mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def listed(names: Iterable[str]) -> str:
    """`churn, fraud and wine`, each once."""
    *first, last = sorted(set(names))
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True, kw_only=True)
class Amount:
    """CPU in thousandths of a core, memory in bytes."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    @classmethod
    def of(cls, resources: Resources) -> Amount:
        """What one replica asks for."""
        return cls(cpu_millis=resources.cpu_millis, memory_bytes=resources.memory_bytes, gpus=resources.gpus)

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            cpu_millis=self.cpu_millis + other.cpu_millis,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpus=self.gpus + other.gpus,
        )

    def __mul__(self, replicas: int) -> Amount:
        return Amount(
            cpu_millis=self.cpu_millis * replicas,
            memory_bytes=self.memory_bytes * replicas,
            gpus=self.gpus * replicas,
        )

    def less(self, other: Amount) -> Amount:
        """What is left of it; never less than nothing."""
        return Amount(
            cpu_millis=max(0, self.cpu_millis - other.cpu_millis),
            memory_bytes=max(0, self.memory_bytes - other.memory_bytes),
            gpus=max(0, self.gpus - other.gpus),
        )

    def or_more(self, other: Amount) -> Amount:
        """The larger of both, of each kind."""
        return Amount(
            cpu_millis=max(self.cpu_millis, other.cpu_millis),
            memory_bytes=max(self.memory_bytes, other.memory_bytes),
            gpus=max(self.gpus, other.gpus),
        )

    def fits(self, room: Amount) -> bool:
        return (
            self.cpu_millis <= room.cpu_millis
            and self.memory_bytes <= room.memory_bytes
            and self.gpus <= room.gpus
        )

    def __str__(self) -> str:
        parts = [f"{self.cpu_millis / 1000:g} CPU", f"{in_mebibytes(self.memory_bytes)} of memory"]
        return " and ".join([*parts, f"{self.gpus} GPU"] if self.gpus else parts)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one release holds, whether it is reserved, starting or live."""

    project: str
    release: int
    amount: Amount
    is_live: bool = False


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A release that waits. Who came first has the lower `turn`."""

    project: str
    release: int
    amount: Amount
    turn: int


KINDS: Mapping[str, Callable[[int], str]] = {
    "cpu_millis": lambda number: f"{number / 1000:g} CPU",
    "memory_bytes": lambda number: f"{in_mebibytes(number)} of memory",
    "gpus": lambda number: f"{number} GPU",
    "models": lambda number: "1 model" if number == 1 else f"{number} models",
}
"""What a quota bounds, and how people say so much of it."""


def _in_units(size: int) -> str:
    """As a command takes it: never less, and in whole GiB where it is such."""
    mebibytes = -(-size // 2**20)
    return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"


OPTIONS: Mapping[str, Callable[[int], str]] = {
    "cpu_millis": lambda number: f"--cpu {number}m" if number % 1000 else f"--cpu {number // 1000}",
    "memory_bytes": lambda number: f"--memory {_in_units(number)}",
    "gpus": lambda number: f"--gpu {number}",
    "models": lambda number: f"--models {number}",
}
"""How `placet quota set` is told so much of it."""

Usage = Mapping[str, int]
"""How much of each kind."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a project, or all those of a team, may hold altogether. A kind that is not in `limits` is not bounded."""

    scope: Literal["team", "project"]
    of: str
    limits: Usage

    @property
    def name(self) -> str:
        return f"{self.scope} {self.of}"

    def exceeded(self, used: Usage) -> tuple[str, ...]:
        """The kinds of which that is more than it allows."""
        return tuple(kind for kind, limit in self.limits.items() if used.get(kind, 0) > limit)

    def step(self, needed: Usage) -> str:
        """With all that it bounds: what is set takes the place of what was before."""
        bounds = (OPTIONS[kind](max(limit, needed.get(kind, 0))) for kind, limit in self.limits.items())
        of = f"placet quota set --{self.scope} {self.of}"
        return f"have an operator raise its quota: {of} {' '.join(bounds)}"


LESS = "ask for less in placet.yaml"


@dataclass(frozen=True, kw_only=True)
class Room:
    """The whole platform's room at one moment, and those who wait, in order. `teams` says of which one a project is."""

    total: Amount
    held: tuple[Holding, ...] = ()
    queue: tuple[Waiter, ...] = ()
    quotas: tuple[Quota, ...] = ()
    teams: Mapping[str, str] = field(default_factory=dict)

    @property
    def free(self) -> Amount:
        return self.total.less(_sum(each.amount for each in self.held))

    @property
    def next_turn(self) -> int:
        return max((each.turn for each in self.queue), default=0) + 1

    def without(self, project: str, release: int) -> Room:
        """The room as this release sees it: what it holds already is no obstacle to it."""
        others = (each for each in self.held if (each.project, each.release) != (project, release))
        return replace(self, held=tuple(others))

    def before(self, project: str, turn: int) -> Room:
        """The room as who has this turn sees it: only those wait who came before. A project does not wait for itself:
        its last request counts."""
        ahead = (each for each in self.queue if each.project != project and each.turn < turn)
        return replace(self, queue=tuple(ahead))

    def within(self, project: str) -> Amount:
        """What could become free for a release of this project: all but what its own live one holds."""
        mine = (each.amount for each in self.held if each.project == project and each.is_live)
        return self.total.less(_sum(mine))

    def quotas_of(self, project: str) -> Iterator[Quota]:
        """Its own before its team's."""
        for quota in sorted(self.quotas, key=lambda each: each.scope):
            if self.counts(quota, project):
                yield quota

    def counts(self, quota: Quota, project: str) -> bool:
        """Whether what the project holds is held of this quota."""
        return quota.of == (project if quota.scope == "project" else self.teams.get(project))

    def holders(self, quota: Quota, *, but: str = "") -> Mapping[str, Amount]:
        """How much of a quota is held by whom."""
        held: dict[str, Amount] = {}
        for each in self.held:
            if each.project != but and self.counts(quota, each.project):
                held[each.project] = held.get(each.project, Amount()).or_more(each.amount)
        return held

    def exceeds(self, quota: Quota, project: str, asked: Amount) -> tuple[str, ...]:
        """The kinds of which there were more than the quota allows, if the project held so much."""
        return quota.exceeded(self.held_with(quota, project, asked))

    def held_with(self, quota: Quota, project: str, asked: Amount) -> Usage:
        """What were held of a quota, if the project held so much."""
        others = self.holders(quota, but=project)
        return usage(_sum([*others.values(), asked]), models=len(others) + 1)

    def next_step(self, project: str, asked: Amount, *, canary: bool = False, less: str = LESS) -> str:
        """A `canary` is of no use without what the project serves, so that is not to be stopped for it; `less` is how
        less is asked for."""
        if not asked.fits(self.total):
            none = ", and no GPU," if asked.gpus and not self.total.gpus else ""
            return f"{less}: this platform has {self.total}{none} to give"
        if not asked.fits(self.within(project)):
            if canary:
                return f"{less}: what {project} serves runs on beside it"
            return f"stop {project} first, since both would run for a moment; or {less}"
        free = self.free
        others = [each for each in self.held if not (canary and each.project == project)]
        enough = {each.project for each in others if asked.fits(free + each.amount)}
        candidates = sorted(enough) or sorted({each.project for each in others})
        if not candidates:
            return less
        return f"stop one of: {', '.join(candidates)}; or {less}"


@dataclass(frozen=True, kw_only=True)
class NoRoom:
    """Why there is none. What `is_lasting` stays so, whatever else is stopped. `position` is the place in the queue
    of those that wait for the same: `quota`, or the platform's room where that is none."""

    why: str
    fix: str
    is_lasting: bool
    position: int = 1
    quota: str | None = None


def no_room(
    project: str, asked: Amount, room: Room, *, canary: bool = False, less: str = LESS
) -> NoRoom | None:
    """None if there is room at the moment for who comes after all that wait in it. A `canary` is to run on beside what
    the project serves; `less` is how who asks may ask for less."""
    return _never(project, asked, room, canary, less) or _for_now(project, asked, room, canary, less)


def usage(amount: Amount, *, models: int) -> Usage:
    return {
        "cpu_millis": amount.cpu_millis,
        "memory_bytes": amount.memory_bytes,
        "gpus": amount.gpus,
        "models": models,
    }


def _never(project: str, asked: Amount, room: Room, canary: bool, less: str) -> NoRoom | None:
    """All that there is not: who mends the one is not to be told of the other only then."""
    has_no_gpu = asked.gpus > 0 and not room.total.gpus
    rest = replace(asked, gpus=0) if has_no_gpu else asked
    missing = []
    if has_no_gpu:
        asked_for = "a GPU" if asked.gpus == 1 else f"{asked.gpus} GPUs"
        missing.append(f"{project} asks for {asked_for}, and this platform has none")
    if not rest.fits(room.within(project)):
        there_is = (
            f"beside what {project} serves there is {room.within(project)}"
            if rest.fits(room.total)
            else f"this platform has {room.total}"
        )
        missing.append(f"{'it' if has_no_gpu else project} asks for {rest}, and {there_is}")
    if not missing:
        return _never_in_quota(project, asked, room, less)
    fix = room.next_step(project, asked, canary=canary, less=less)
    return NoRoom(why="; ".join(missing), fix=fix, is_lasting=True)


def _never_in_quota(project: str, asked: Amount, room: Room, less: str) -> NoRoom | None:
    alone = usage(asked, models=1)
    for quota in room.quotas_of(project):
        kinds = quota.exceeded(alone)
        if kinds:
            why = (
                f"{quota.name} has {_said(kinds, quota.limits)}, and {project} asks for {_said(kinds, alone)}"
            )
            return NoRoom(
                why=why,
                fix=f"{less}; or {quota.step(room.held_with(quota, project, asked))}",
                is_lasting=True,
                quota=quota.name,
            )
    return None


def _for_now(project: str, asked: Amount, room: Room, canary: bool, less: str) -> NoRoom | None:
    for_room: list[str] = []
    for_quota: defaultdict[str, list[str]] = defaultdict(list)
    promised, then = Amount(), room
    for each in room.queue:
        quota = _exceeded(each.project, each.amount, then)
        # Who shares a quota with them finds it used up by so much.
        then = replace(then, held=(*then.held, Holding(project=each.project, release=0, amount=each.amount)))
        if quota is None:
            for_room.append(each.project)
            promised += each.amount
        else:
            for_quota[quota.name].append(each.project)
    quota = _exceeded(project, asked, then)
    if quota is not None:
        before = [*for_quota[quota.name], *_sharing(quota, for_room, room)]
        return _no_quota(project, asked, room, then, quota, before)
    if asked.fits(room.free.less(promised)):
        return None
    why = f"{project} asks for {asked}, and {room.free} is free"
    if asked.fits(room.free):
        why += f", which {listed(for_room)} waited for before"
    position = len(for_room) + 1
    fix = room.next_step(project, asked, canary=canary, less=less)
    return NoRoom(why=why, fix=fix, is_lasting=False, position=position)


def _sharing(quota: Quota, projects: Sequence[str], room: Room) -> Iterator[str]:
    """Those who have their part of a quota as soon as the platform has room for them."""
    return (each for each in projects if room.counts(quota, each))


def _exceeded(project: str, asked: Amount, room: Room) -> Quota | None:
    return next((each for each in room.quotas_of(project) if room.exceeds(each, project, asked)), None)


def _no_quota(
    project: str, asked: Amount, room: Room, then: Room, quota: Quota, before: Sequence[str]
) -> NoRoom:
    """`then` is the room once those have theirs who came before."""
    held = room.holders(quota, but=project)
    kinds = room.exceeds(quota, project, asked)
    alone = usage(asked, models=1)
    if kinds:
        used = usage(_sum(held.values()), models=len(held))
        holds = "holds" if len(held) == 1 else "hold"
        why = (
            f"{quota.name} has {_said(kinds, quota.limits)} and {listed(held)} {holds} {_said(kinds, used)};"
            f" {project} asks for {_said(kinds, alone)}"
        )
    else:
        why = f"what {quota.name} has left is waited for by {listed(before)}, who came before {project}"
    stop = f"stop one of: {', '.join(sorted(held))}; " if held else ""
    return NoRoom(
        why=why,
        fix=f"{stop}{'or ' if stop else ''}{quota.step(then.held_with(quota, project, asked))}",
        is_lasting=False,
        position=len(before) + 1,
        quota=quota.name,
    )


def _said(kinds: Sequence[str], of: Usage) -> str:
    return " and ".join(KINDS[kind](of[kind]) for kind in kinds)


def no_containers(project: str) -> NoRoom:
    return NoRoom(
        why=f"{project} has a Dockerfile, and its image needs a container platform to run: models are"
        " processes here, of placet's own model server",
        fix="set PLACET_MODEL_HOST=docker for the deployer, or run the image that `placet build` makes yourself;"
        " without `build` in placet.yaml it is made of the requirements, and runs here",
        is_lasting=True,
    )


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())
