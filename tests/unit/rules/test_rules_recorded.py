"""Facts as they are recorded: the same bytes for the same facts, and people apart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import TooLarge, Unreadable
from placet.rules import facts_digest
from placet.rules.recorded import (
    MAX_FACTS_BYTES,
    canonical_facts,
    facts_again,
    only_personal,
    without_personal,
)

FACTS = {"now": "2026-01-01T00:00:00.000Z", "personal": {"owner": "ada@example.org"}, "model": {"size": 1.0}}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def salt(personal: bytes) -> str:
    return hashlib.sha256(b"secret" + personal).hexdigest()


@given(facts=st.dictionaries(st.text(), JSON, max_size=4))
def test_what_was_recorded_is_what_the_rules_saw_to_the_kind_of_each_number(facts: dict[str, Any]) -> None:
    again = facts_again(without_personal(facts), only_personal(facts, salt))
    assert json.dumps(again, sort_keys=True) == json.dumps(facts, sort_keys=True)


@given(facts=st.dictionaries(st.text(), JSON, max_size=4))
def test_the_order_of_facts_is_not_part_of_them(facts: dict[str, Any]) -> None:
    assert facts_digest(dict(reversed(facts.items()))) == facts_digest(facts)


def test_a_fraction_stays_one_though_it_is_whole() -> None:
    assert canonical_facts({"a": 1.0}) == b'{"a":1.0}'


def test_what_is_about_people_is_recorded_apart_and_tells_nobody_by_its_digest() -> None:
    facts, personal = without_personal(FACTS), only_personal(FACTS, salt)
    assert b"ada" not in facts
    assert personal is not None
    assert b"ada@example.org" in personal
    assert personal != only_personal(FACTS, lambda _: "another")


def test_where_it_was_erased_the_rest_is_what_it_was() -> None:
    again = facts_again(without_personal(FACTS), None)
    assert again == {"now": FACTS["now"], "model": FACTS["model"]}


def test_facts_about_nobody_have_nothing_apart() -> None:
    assert only_personal({"now": "then"}, salt) is None


def test_more_than_is_recorded_is_refused_with_a_way_out() -> None:
    with pytest.raises(TooLarge, match="what rules see of it has") as refused:
        canonical_facts({"scan": {"files": ["x" * MAX_FACTS_BYTES]}})
    assert ".placetignore" in str(refused.value.fix)


def test_what_is_no_json_is_not_recorded() -> None:
    with pytest.raises(Unreadable, match="no JSON"):
        canonical_facts({"model": object()})
    with pytest.raises(Unreadable, match="no recorded facts"):
        facts_again(b"[1]", None)
