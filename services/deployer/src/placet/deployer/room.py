"""What the platform has to give, and who holds how much of it. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from placet.events.contracts.shapes import Resources


def in_mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """CPU in thousandths of a core, memory in bytes."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    gpus: int = 0

    @classmethod
    def of(cls, resources: Resources) -> Amount:
        """What one replica asks for: a process host runs one, however many were wished for."""
        return cls(cpu_millis=resources.cpu_millis, memory_bytes=resources.memory_bytes, gpus=resources.gpus)

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            cpu_millis=self.cpu_millis + other.cpu_millis,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpus=self.gpus + other.gpus,
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


@dataclass(frozen=True, kw_only=True)
class Room:
    """The whole platform's room at one moment."""

    total: Amount
    held: tuple[Holding, ...] = ()

    @property
    def free(self) -> Amount:
        taken = sum((holding.amount for holding in self.held), Amount())
        return Amount(
            cpu_millis=max(0, self.total.cpu_millis - taken.cpu_millis),
            memory_bytes=max(0, self.total.memory_bytes - taken.memory_bytes),
            gpus=max(0, self.total.gpus - taken.gpus),
        )

    def without(self, project: str, release: int) -> Room:
        """The room as this release sees it: what it holds already is no obstacle to it."""
        others = (each for each in self.held if (each.project, each.release) != (project, release))
        return replace(self, held=tuple(others))

    def next_step(self, asked: Amount) -> str:
        if not asked.fits(self.total):
            return f"ask for less in placet.yaml: this platform has {self.total} to give"
        free = self.free
        enough = {each.project for each in self.held if asked.fits(free + each.amount)}
        candidates = sorted(enough) or sorted({each.project for each in self.held})
        return f"stop one of: {', '.join(candidates)}; or ask for less in placet.yaml"


@dataclass(frozen=True, kw_only=True)
class NoRoom:
    """Why there is none. What `is_lasting` stays so, whatever else is stopped."""

    why: str
    fix: str
    is_lasting: bool


def no_room(project: str, asked: Amount, room: Room) -> NoRoom | None:
    """None if there is room at the moment."""
    if asked.fits(room.free):
        return None
    if asked.gpus and not room.total.gpus:
        asked_for = "a GPU" if asked.gpus == 1 else f"{asked.gpus} GPUs"
        why = f"{project} asks for {asked_for}, and this platform has none"
    else:
        why = f"{project} asks for {asked}, and {room.free} is free"
    return NoRoom(why=why, fix=room.next_step(asked), is_lasting=not asked.fits(room.total))


def no_containers(project: str) -> NoRoom:
    return NoRoom(
        why=f"{project} has a Dockerfile, and its image needs a container platform to run: models are"
        " processes here, of placet's own model server",
        fix="set PLACET_MODEL_HOST=docker for the deployer, or run the image that `placet build` makes yourself;"
        " without `build` in placet.yaml it is made of the requirements, and runs here",
        is_lasting=True,
    )
