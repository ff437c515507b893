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

    def fold(self, events: Iterable[Happened]) -> State:
        return self.fold_on(self.initial, events)

    def fold_on(self, state: State, events: Iterable[Happened]) -> State:
        """What becomes of `state`, which may be None where that is a state, after `events`."""
        for happened in events:
            state = self.evolve(state, happened)
        return state
