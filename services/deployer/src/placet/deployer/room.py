"""What the platform has to give, who holds how much of it, and who waits for it.

Who finds no room at the moment is told why, and at which place it waits. First come, first served: what somebody waits
for is promised to them, and who came later has what is left after that. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, kw_only=True)
class Room:
    """The whole platform's room at one moment, and those who wait for it, in order."""

    total: Amount
    held: tuple[Holding, ...] = ()
    queue: tuple[Waiter, ...] = ()

    @property
    def free(self) -> Amount:
        return self.total.less(_sum(each.amount for each in self.held))

    @property
    def left(self) -> Amount:
        """What is free, and nobody waits for it."""
        return self.free.less(_sum(each.amount for each in self.queue))

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

    def next_step(self, project: str, asked: Amount) -> str:
        if not asked.fits(self.total):
            return f"ask for less in placet.yaml: this platform has {self.total} to give"
        if not asked.fits(self.within(project)):
            return f"stop {project} first, since both would run for a moment; or ask for less in placet.yaml"
        free = self.free
        enough = {each.project for each in self.held if asked.fits(free + each.amount)}
        candidates = sorted(enough) or sorted({each.project for each in self.held})
        if not candidates:
            return "ask for less in placet.yaml"
        return f"stop one of: {', '.join(candidates)}; or ask for less in placet.yaml"


@dataclass(frozen=True, kw_only=True)
class NoRoom:
    """Why there is none. What `is_lasting` stays so, whatever else is stopped. `position` is the place in the queue
    of those that wait for the same: `quota`, or the platform's room where that is none."""

    why: str
    fix: str
    is_lasting: bool
    position: int = 1
    quota: str | None = None


def no_room(project: str, asked: Amount, room: Room) -> NoRoom | None:
    """None if there is room at the moment for who comes after all that wait in it."""
    return _never(project, asked, room) or _for_now(project, asked, room)


def _never(project: str, asked: Amount, room: Room) -> NoRoom | None:
    if asked.gpus and not room.total.gpus:
        asked_for = "a GPU" if asked.gpus == 1 else f"{asked.gpus} GPUs"
        why = f"{project} asks for {asked_for}, and this platform has none"
    elif not asked.fits(room.within(project)):
        why = f"{project} asks for {asked}, and {room.free} is free"
    else:
        return None
    return NoRoom(why=why, fix=room.next_step(project, asked), is_lasting=True)


def _for_now(project: str, asked: Amount, room: Room) -> NoRoom | None:
    if asked.fits(room.left):
        return None
    why = f"{project} asks for {asked}, and {room.free} is free"
    if asked.fits(room.free):
        why += f", which {listed(each.project for each in room.queue)} waited for before"
    position = len(room.queue) + 1
    return NoRoom(why=why, fix=room.next_step(project, asked), is_lasting=False, position=position)


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
