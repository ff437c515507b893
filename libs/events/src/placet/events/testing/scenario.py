"""Given these events, when this is asked, then this happened: a decider's test in one line.

    given(release, Cleared(...)).when(Reserve(...)).then(ResourcesReserved(...))

Every scenario also checks that `evolve` accepts what `decide` emits, and that asking the folded history and
asking the live state give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from placet.errors import Refused
from placet.events.decider import Decider

Command = TypeVar("Command")
State = TypeVar("State")
Happened = TypeVar("Happened")


def given(decider: Decider[Command, State, Happened], *events: Happened) -> Given[Command, State, Happened]:
    return Given(decider, events)


class Given(Generic[Command, State, Happened]):
    def __init__(self, decider: Decider[Command, State, Happened], events: Sequence[Happened]) -> None:
        self._decider = decider
        self._events = tuple(events)

    def when(self, command: Command) -> When[State, Happened]:
        state = self._decider.fold(self._events)
        try:
            happened = tuple(self._decider.decide(command, state))
        except Refused as refusal:
            return When((), state, refusal)
        live = self._decider.fold_on(state, happened)
        replayed = self._decider.fold((*self._events, *happened))
        if live != replayed:
            raise AssertionError(f"replayed {replayed!r} is not live {live!r}")
        return When(happened, live, None)


class When(Generic[State, Happened]):
    def __init__(self, happened: tuple[Happened, ...], state: State, refusal: Refused | None) -> None:
        self.happened = happened
        self.state = state
        self._refusal = refusal

    def then(self, *expected: Happened) -> State:
        """Exactly these events happened; returns the state after them."""
        if self._refusal is not None:
            raise AssertionError(f"refused: {self._refusal}") from self._refusal
        if self.happened != expected:
            raise AssertionError(f"happened {self.happened!r}, expected {expected!r}")
        return self.state

    def then_nothing(self) -> State:
        return self.then()

    def then_refused(self, *, saying: str, kind: type[Refused] = Refused) -> Any:
        """It was refused with an error of `kind` whose text contains `saying`; returns the error."""
        refused = isinstance(self._refusal, kind)
        if not refused:
            raise AssertionError(f"expected {kind.__name__}, got {self._refusal!r} and {self.happened!r}")
        if saying not in str(self._refusal):
            raise AssertionError(f"{str(self._refusal)!r} does not say {saying!r}")
        return self._refusal
