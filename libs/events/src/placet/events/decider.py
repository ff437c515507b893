"""The shape of every decision: pure functions from what was asked and what is known to what happened.

A decider does no I/O, reads no clock and awaits nothing; time and ids are part of the command. Loading,
folding, appending and trying again after a conflict are `UnitOfWork`'s, once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Command = TypeVar("Command")
State = TypeVar("State")
Happened = TypeVar("Happened")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decider(Generic[Command, State, Happened]):
    """`decide` answers with events (none: nothing to do) or raises `Refused`; `evolve` accepts all it emits."""

    initial: State
    decide: Callable[[Command, State], Sequence[Happened]]
    evolve: Callable[[State, Happened], State]

    def fold(self, events: Iterable[Happened], state: State | None = None) -> State:
        current = self.initial if state is None else state
        for happened in events:
            current = self.evolve(current, happened)
        return current
