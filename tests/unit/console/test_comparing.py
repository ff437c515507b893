"""What differs between two releases, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from placet.client import Certificate, Release
from placet.gateway.console.charts import chart, sparkline
from placet.gateway.console.comparing import (
    Difference,
    Side,
    compare,
    facts_of,
    packages_in,
    verdicts_of,
)

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def release(**said: Any) -> Release:
    of = {
        "project": "wine",
        "release": 1,
        "state": "live",
        "served": "now",
        "operation": "1",
        "command": "deploy",
    }
    return Release(**{**of, "image": A, "source": A, "format": "onnx", **said})


def certified(*verdicts: tuple[str, str, str], facts: str | None = None, **more: Any) -> Certificate:
    said: dict[str, Any] = {
        "verdicts": [{"rule": rule, "stage": stage, "result": result} for rule, stage, result in verdicts],
        **more,
    }
    if facts is not None:
        said["facts"] = [{"stage": "submit", "facts": "other"}, {"stage": "certify", "facts": facts}]
    return Certificate(
        certificate="c",
        project="wine",
        release=1,
        image=A,
        state="valid",
        not_after="",
        envelope={},
        statement={"predicate": said},
    )


def test_the_same_release_differs_in_nothing() -> None:
    side = Side(
        release=release(), labels={"io.placet.lock": A}, verdicts={"r": "pass"}, packages={"numpy": "2"}
    )
    found = compare(side, side)
    assert found.is_same
    assert (found.digests, found.metrics, found.verdicts, found.packages) == ((), (), (), ())


def test_what_changed_came_and_went_is_told_with_both_sides() -> None:
    before = Side(
        release=release(metrics=()),
        verdicts={"kept": "pass", "gone": "pass"},
        packages={"numpy": "1", "gone": "1"},
    )
    after = Side(release=release(source=B), verdicts={"kept": "fail"}, packages={"numpy": "2", "new": "1"})
    found = compare(before, after)
    assert found.digests == (Difference(of="source", before=A, after=B),)
    assert found.verdicts == (
        Difference(of="kept", before="pass", after="fail"),
        Difference(of="gone", before="pass", after=None),
    )
    assert found.packages == (
        Difference(of="numpy", before="1", after="2"),
        Difference(of="gone", before="1", after=None),
        Difference(of="new", before=None, after="1"),
    )
    assert not found.is_same


def test_packages_that_one_may_not_see_are_not_said_to_be_the_same() -> None:
    assert compare(Side(release=release()), Side(release=release(), packages={"numpy": "2"})).packages is None


def test_a_rule_judged_twice_has_the_result_that_is_no_pass() -> None:
    certificate = certified(
        ("r", "submit", "pass"),
        ("r", "certify", "fail"),
        ("s", "submit", "indeterminate"),
        ("s", "certify", "pass"),
    )
    assert verdicts_of(certificate) == {"r": "warn", "s": "indeterminate"}
    assert verdicts_of(None) == {}


def test_what_failed_and_was_certified_warns_unless_something_let_it_pass() -> None:
    """As the page of the certificate has it."""
    failed = (("r", "certify", "fail"), ("s", "certify", "fail"), ("t", "certify", "pass"))
    assert verdicts_of(certified(*failed)) == {"r": "warn", "s": "warn", "t": "pass"}
    excepted = certified(*failed, exceptions=[{"rule": "r", "exception": "exception:1"}])
    assert verdicts_of(excepted) == {"r": "fail", "s": "warn", "t": "pass"}
    assert verdicts_of(certified(*failed, breakGlass=True)) == {"r": "fail", "s": "fail", "t": "pass"}


def test_packages_are_those_that_the_rules_saw_in_the_image() -> None:
    assert facts_of(certified(facts=A)) == A
    assert facts_of(certified()) is None
    assert packages_in(None) is None
    assert packages_in({"contents": {"packages": [{"name": "numpy", "version": "2.4"}]}}) == {"numpy": "2.4"}
    assert packages_in({}) == {}


# Pictures.


@pytest.mark.parametrize(
    ("most", "end"), [(6, "10"), (2, "2"), (0.31, "0.5"), (0, "1"), (1e9, "1e+09"), (24, "25")]
)
def test_a_scale_ends_at_a_number_that_people_can_read(most: float, end: str) -> None:
    assert f"<span>{end}</span>" in str(chart([0.0, most], what="x"))


def test_a_chart_says_in_words_what_it_shows_and_has_a_gap_where_nothing_was_measured() -> None:
    drawn = str(chart([1.0, None, 2.0, 4.0], what='Drift <of "it">', unit=" ms", limit=3.0))
    assert 'aria-label="Drift &lt;of &#34;it&#34;&gt;: last 4 ms, most 4 ms, limit 3 ms"' in drawn
    assert drawn.count("<polyline") == 2
    assert drawn.count('class="limit"') == 1


def span(begins: float, lasts: float = 1.0) -> tuple[str, str]:
    """In minutes of a morning."""
    start = datetime(2026, 1, 2, 4, tzinfo=UTC)
    return tuple((start + timedelta(minutes=at)).isoformat() for at in (begins, begins + lasts))  # type: ignore[return-value]


def lines_in(drawn: object) -> list[list[float]]:
    """Of each line, where its points stand from left to right."""
    found = re.findall(r'<polyline class="[a-z ]+" points="([^"]*)"', str(drawn))
    return [[float(point.split(",")[0]) for point in each.split()] for each in found]


def test_a_line_ends_where_nobody_asked_and_each_point_stands_at_its_time() -> None:
    spans = [span(0), span(1), span(8), span(9)]
    for drawn in (chart([1.0] * 4, what="x", spans=spans), sparkline([1.0] * 4, what="x", spans=spans)):
        assert lines_in(drawn) == [[5.0, 15.0], [85.0, 95.0]]
    alone = [span(0), span(1), span(5), span(9)]
    assert lines_in(chart([1.0] * 4, what="x", spans=alone)) == [[5.0, 15.0], [55.0, 55.0], [95.0, 95.0]]


def test_windows_that_hang_together_are_one_line_whatever_they_take() -> None:
    spans = [span(0), span(1.1, 2), span(3), span(3.5, 1.5)]
    assert len(lines_in(chart([1.0] * 4, what="x", spans=spans))) == 1
    assert len(lines_in(chart([1.0, None, 1.0, 1.0], what="x", spans=spans))) == 2


@pytest.mark.parametrize(
    "spans",
    [None, [], [span(1), span(0)], [("noon", "night"), span(1)], [span(0, 0), span(0, 0)], [span(0)]],
)
def test_what_has_no_times_stands_in_a_row(spans: Any) -> None:
    assert lines_in(chart([1.0, 2.0], what="x", spans=spans)) == [[0.0, 100.0]]


def test_nothing_measured_is_said() -> None:
    assert "Nothing was measured" in str(chart([None], what="x"))
    assert 'class="line point"' in str(chart([1.0], what="x"))
    assert "nothing yet" in str(sparkline([], what="x"))
    assert "limit" not in str(sparkline([1.0], what="x"))
