"""An assessment holds until what it is about changes, its questionnaire does, or it is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from placet.assessments import Assessment, Subject, age_in_days, declared, latest, stale
from placet.projects.manifest import DataSet, Governance

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
SUBJECT = Subject(source="s", purpose="p", data="d")
MADE = Assessment(
    assessment="assessment:1",
    questionnaire="algorithmic-impact",
    version="1",
    digest="q",
    subject=SUBJECT,
    answered_at=NOW,
    answered_by="person:ada",
    valid_days=365,
    level=2,
)
WDBC = DataSet(name="wdbc", origin="UCI", licence="CC-BY-4.0", personal_data=False)


def made(number: int, **changes: Any) -> Assessment:
    """The later the higher its number."""
    at = NOW + timedelta(minutes=number)
    return replace(MADE, assessment=f"assessment:{number}", answered_at=at, **changes)


@pytest.mark.parametrize(
    ("subject", "newest", "days", "reasons"),
    [
        (SUBJECT, "q", 0, ()),
        (SUBJECT, "q", 365, ()),
        (SUBJECT, "q", 366, ("age",)),
        (SUBJECT, "other", 0, ("questionnaire",)),
        (SUBJECT, None, 0, ("questionnaire",)),
        (replace(SUBJECT, purpose="other"), "q", 0, ("purpose",)),
        (replace(SUBJECT, data="other"), "q", 0, ("data",)),
        (replace(SUBJECT, source="other"), "q", 0, ("source",)),
        (
            Subject(source="o", purpose="o", data="o"),
            "o",
            400,
            ("age", "questionnaire", "purpose", "data", "source"),
        ),
    ],
)
def test_each_change_makes_it_stale_and_says_so(
    subject: Subject, newest: str | None, days: int, reasons: tuple[str, ...]
) -> None:
    assert stale(MADE, subject, newest=newest, now=NOW + timedelta(days=days)) == reasons


def test_days_are_whole_and_a_clock_that_was_set_back_takes_none_away() -> None:
    assert age_in_days(NOW, NOW + timedelta(hours=47)) == 1
    assert age_in_days(NOW, NOW - timedelta(hours=1)) == 0


def test_the_last_one_counts_of_those_about_just_this_whatever_it_says() -> None:
    """Else somebody could answer until the level is low."""
    low, high = made(1, level=1), made(2, level=4)
    assert latest([low, high], SUBJECT) == latest([high, low], SUBJECT) == (high,)


def test_one_about_this_counts_before_later_ones_about_something_else() -> None:
    this = made(1)
    same_words = made(2, subject=replace(SUBJECT, source="other"))
    other = made(3, subject=Subject(source="o", purpose="o", data="o"))
    assert latest([other, same_words, this], SUBJECT) == (this,)
    assert latest([other, same_words], SUBJECT) == (same_words,)
    assert latest([other], SUBJECT) == (other,)


def test_what_is_not_scored_counts_if_nothing_else_is_there_and_each_questionnaire_has_its_own() -> None:
    unscored, rights = made(5, level=0), made(1, questionnaire="fundamental-rights")
    assert latest([unscored, rights, MADE], SUBJECT) == (MADE, rights)
    assert latest([unscored], SUBJECT) == (unscored,)


def test_what_a_manifest_declares_has_the_same_digests_for_the_same_words_alone() -> None:
    other = DataSet(name="other")
    words = declared(Governance(purpose="Second reading of biopsies", data=(WDBC, other)))
    assert declared(Governance(purpose="Second  reading\nof biopsies", data=(other, WDBC))) == words
    assert declared(Governance(purpose="Second reading", data=(WDBC, other)))[0] != words[0]
    for change in ({"name": "x"}, {"origin": "x"}, {"licence": "MIT"}, {"personal_data": None}):
        changed: Any = replace(WDBC, **change)
        assert declared(Governance(data=(changed, other)))[1] != words[1]
