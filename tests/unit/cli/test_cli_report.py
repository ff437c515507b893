"""Reporting what happened to a model: from files, by hand, and what was reported."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform

SOURCE = f"sha256:{'5' * 64}"


def event(id: str, kind: str = "run", **changes: Any) -> dict[str, Any]:
    data: dict[str, dict[str, Any]] = {
        "run": {"run": "r1", "job": "train", "step": "training", "state": "complete"},
        "evaluation": {
            "of": {"dataset": "holdout"},
            "metrics": [{"metric": f"m{number}", "value": 0.5} for number in range(5)],
        },
        "incident": {"incident": "INC-7", "severity": "low", "status": "open", "summary": "a\nb"},
    }
    whole = {"specversion": "1.0", "id": id, "source": "pipeline", "type": f"placet.report.{kind}.v1"}
    return whole | {"time": "2026-11-01T00:00:00Z", "data": data[kind]} | changes


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "events.json"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([event("1"), event("2")]),
        json.dumps(event("1")) + "\n\n" + json.dumps(event("2")) + "\n",
        "\ufeff" + json.dumps([event("1"), event("2")], indent=2),
    ],
    ids=["a list", "one a line", "indented, by a tool that marks UTF-8"],
)
def test_a_file_of_events_is_reported_however_it_is_written(
    placet: Placet, platform: FakePlatform, tmp_path: Path, text: str
) -> None:
    ended = placet("report", written(tmp_path, text), "--project", "wine", "--release", "3")
    assert (ended.status, ended.out.splitlines()) == (
        0,
        ["report:1  run  training complete: train", "report:2  run  training complete: train"],
    )
    assert platform.reported == [
        {**event(id), "project": "wine", "of": {"release": "3"}} for id in ("1", "2")
    ]


def test_one_event_comes_from_standard_input(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.TextIOWrapper(io.BytesIO(json.dumps(event("1", "evaluation")).encode()))
    monkeypatch.setattr(sys, "stdin", typed)
    ended = placet("report", "-", "--project", "wine", "--source", SOURCE, "--json")
    assert ended.document["project"] == "wine"
    [told] = ended.document["reports"]
    assert (told["kind"], told["source"]) == ("evaluation", SOURCE)


def test_many_are_sent_in_parts_and_what_was_taken_is_told(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    events = [event(f"{number}") for number in range(250)]
    assert placet("report", written(tmp_path, json.dumps(events)), "--project", "wine").status == 0
    assert [each["id"] for each in platform.reported] == [each["id"] for each in events]
    events[120] = event("x", type="com.example.pushed")
    ended = placet("report", written(tmp_path, json.dumps(events)), "--project", "wine")
    assert (ended.status, ended.out) == (1, "")
    assert "[20].type: 'com.example.pushed'" in ended.err
    assert "of 250 events 100 were taken, and places count from number 101 on" in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no event"),
        ("[]", "holds no event"),
        (json.dumps(event("1")) + "\n{", "line 2: this is no JSON"),
        ('{"value": NaN}', "line 1: this is no JSON"),
        ("[" * 100_000, "line 1: this is no JSON"),
    ],
    ids=["empty", "no event", "cut off", "no number", "too deep"],
)
def test_what_is_no_event_is_said_before_anything_is_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path, text: str, said: str
) -> None:
    ended = placet("report", written(tmp_path, text), "--project", "wine")
    assert ended.status == 1
    assert said in ended.err
    assert platform.reported == []
    assert "cannot be read" in placet("report", str(tmp_path / "none"), "--project", "wine").err


def test_an_incident_is_told_by_hand(placet: Placet, platform: FakePlatform) -> None:
    before = datetime.now(UTC)  # noqa: TID251 - the command has a person's clock
    told = ("report", "--incident", "INC-7", "--project", "wine", "--severity", "high")
    assert placet(*told, "--summary", "wrong for minors").status == 0
    ended = placet(*told, "--resolved")
    assert ended.out.endswith("  incident  INC-7: high, resolved\n")
    opened, resolved = platform.reported
    assert opened["data"] == {
        "incident": "INC-7",
        "severity": "high",
        "status": "open",
        "summary": "wrong for minors",
    }
    assert resolved["data"] == {"incident": "INC-7", "severity": "high", "status": "resolved"}
    assert opened["id"] != resolved["id"]
    assert abs((datetime.fromisoformat(opened["time"]) - before).total_seconds()) < 600


def test_the_list_tells_what_was_reported(placet: Placet, platform: FakePlatform) -> None:
    for number, kind in enumerate(("run", "evaluation", "incident")):
        platform.reported.append({**event(f"{number}", kind), "project": "wine", "of": {}})
    platform.reported.append({**event("3"), "project": "wine", "of": {"release": "2"}})
    platform.reported.append({**event("4"), "project": "churn", "of": {}})
    _, *lines = placet("report", "--list", "wine").out.splitlines()
    assert [line.split()[1] for line in lines] == ["run", "incident", "evaluation", "run"]
    assert "release 2" in lines[0]
    assert lines[1].split("INC-7: ")[1].split() == ["low,", "open", "ada", "a", "b"]
    assert "m0 0.5, m1 0.5, m2 0.5 and 2 more" in lines[2]
    document = placet("report", "--list", "wine", "--kind", "run", "--release", "2", "--json").document
    assert [each["report"] for each in document["reports"]] == ["report:3"]
    assert "nobody has reported" in placet("report", "--list", "digits").err


def test_the_schema_of_a_kind_is_shown(placet: Placet, platform: FakePlatform) -> None:
    assert json.loads(placet("report", "--schema", "run").out) == {"title": "placet.report.run.v1"}
    assert placet("report", "--schema", "run", "--json").document == {"title": "placet.report.run.v1"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((), "a FILE is missing"),
        (("events.json",), "a --project is missing"),
        (("events.json", "--list", "wine"), "a FILE and --list are two things"),
        (("events.json", "--project", "wine", "--severity", "low"), "are of an --incident"),
        (("events.json", "--project", "wine", "--kind", "run"), "--kind is for --list"),
        (("events.json", "--project", "wine", "--release", "1", "--source", SOURCE), "not allowed with"),
        (("--incident", "INC-7", "--project", "wine"), "an incident has a --severity"),
        (("--incident", "INC-7", "--severity", "low"), "a --project is missing"),
        (("--incident", "INC-7", "--project", "wine", "--severity", "awful"), "there is no level 'awful'"),
        (("--list", "wine", "--project", "churn"), "--project is of what is sent"),
        (("--schema", "rumour"), "there is no kind 'rumour'"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_meant_is_wrong_usage(
    placet: Placet, platform: FakePlatform, typed: tuple[str, ...], said: str
) -> None:
    ended = placet("report", *typed)
    assert ended.status == 2
    assert said in ended.err
    assert platform.reported == []
