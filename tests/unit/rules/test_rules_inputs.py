"""What a judgement rests on, as one digest."""

from __future__ import annotations

from typing import Any

import pytest
from placet.rules import digest_of, inputs_digest

FACTS: dict[str, Any] = {
    "now": "2026-11-27T00:00:00.000Z",
    "image": {"digest": "sha256:1", "base": "none"},
    "assessments": [{"assessment": "assessment:1", "level": 2, "ageDays": 3, "stale": []}],
    "approvals": {"people": 0},
    "personal": {"owner": "ada@example.org"},
}


def test_the_order_in_which_facts_are_gathered_is_no_input() -> None:
    assert digest_of(FACTS) == digest_of(dict(reversed(FACTS.items())))
    assert digest_of({"a": 1}) == "sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize(
    "other",
    [
        {"now": "2026-11-28T00:00:00.000Z"},
        {"approvals": {"people": 2}},
        {"personal": {"owner": "bob@example.org"}},
        {"assessments": [{"assessment": "assessment:1", "level": 2, "ageDays": 4, "stale": []}]},
    ],
)
def test_what_time_and_approvals_make_another_is_no_input(other: dict[str, Any]) -> None:
    assert inputs_digest(FACTS | other) == inputs_digest(FACTS)


@pytest.mark.parametrize(
    "other",
    [
        {"image": {"digest": "sha256:2", "base": "none"}},
        {"assessments": [{"assessment": "assessment:1", "level": 2, "ageDays": 3, "stale": ["age"]}]},
        {"contents": {}},
    ],
)
def test_whatever_else_rules_see_is_one(other: dict[str, Any]) -> None:
    assert inputs_digest(FACTS | other) != inputs_digest(FACTS)
