"""A state is folded from what happened, from the beginning or from where one is."""

from __future__ import annotations

from placet.events.decider import Decider

SWITCH: Decider[None, bool | None, bool] = Decider(
    initial=True, decide=lambda _, state: [not state], evolve=lambda _, turned: None if not turned else True
)
"""Off is None."""


def test_none_is_a_state_like_any_other() -> None:
    off = SWITCH.fold([False])
    assert off is None
    assert SWITCH.fold_on(off, []) is None
    assert SWITCH.fold([]) is True
