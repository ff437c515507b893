"""What rules saw of releases, and what another version of a policy would have said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from placet.rules.policy import shipped_files

from tests.unit.cli.conftest import Placet
from tests.unit.cli.test_cli_policies import written
from tests.unit.client.fake_platform import FakePlatform, event
from tests.unit.rules.test_rules_difference import OLD

NEW = OLD.replace("version: 1", "version: 2").replace("most: 100", "most: 50")
PEOPLE = f"sha256:{'9' * 64}"


def verdict(rule: str, policy: str = "house.sizes", result: str = "pass") -> dict[str, Any]:
    return {"rule": rule, "policy": policy, "stage": "submit", "result": result, "on_fail": "deny"}


def judged(
    platform: FakePlatform,
    project: str,
    release: int,
    size: int | None,
    *verdicts: dict[str, Any],
    kind: str = "cleared",
) -> None:
    """As the log tells it; of no size it is not known what the rules saw."""
    number = len(platform.events) + 1
    digest = f"sha256:{number:064x}"
    data = {"project": project, "release": release, "verdicts": verdicts or (verdict("small"),)}
    if size is not None:
        platform.facts[digest] = {"model": {"size": size, "name": "m"}}
    if kind != "unreadable":
        data["facts"] = {"facts": digest, "personal": PEOPLE}
    stage = {"stage": "submit"} if kind != "cleared" else {}
    told = event(
        number, project, f"placet.certifier.release.{'cleared' if kind == 'cleared' else 'refused'}.v1"
    )
    platform.events.append({**told, "time": "2026-01-01T00:00:00.000Z", "data": data | stage})


@pytest.fixture
def history(platform: FakePlatform) -> FakePlatform:
    judged(platform, "churn", 1, 10)
    judged(platform, "fraud", 1, 70)
    judged(platform, "fraud", 2, 80)
    judged(platform, "wine", 1, 70, verdict("owner.named", "accountability", "fail"), kind="refused")
    judged(platform, "wine", 2, None)
    judged(
        platform, "wine", 3, None, verdict("source.readable", "placet", "indeterminate"), kind="unreadable"
    )
    platform.events.append(event(7, "wine"))
    platform.models["fraud"] = {"project": "fraud", "release": 2, "state": "live"}
    platform.facts[PEOPLE] = {"personal": {"owner": "ada"}, "salt": "s"}
    return platform


def files(folder: Path, new: str = NEW) -> tuple[str, str]:
    return written(folder, OLD, "old.yaml"), written(folder, new, "new.yaml")


def test_what_is_asked_otherwise_is_told_without_a_platform(placet: Placet, tmp_path: Path) -> None:
    ended = placet("policy", "diff", *files(tmp_path))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "house.sizes 1 → house.sizes 2\n  the policy changed: params.most 100 → 50\n"
    document = placet("policy", "diff", *files(tmp_path), "--json").document
    assert document["changes"] == [{"kind": "changed", "rule": None, "what": "params.most 100 → 50"}]
    assert document["history"] is None


def test_decisions_that_would_be_others_are_named_and_what_would_stop(
    placet: Placet, history: FakePlatform, tmp_path: Path
) -> None:
    ended = placet("policy", "diff", *files(tmp_path), "--history")
    assert ended.status == 0
    assert "of 4 past decisions 2 would be others\n" in ended.out
    assert (
        "fraud 1 (submit, 2026-01-01T00:00:00.000Z) would be refused\n    small: it has 70 bytes" in ended.out
    )
    assert ended.out.splitlines()[-1] == "fraud 2, which runs, would stop"
    assert "of 1 it is not known any more what the rules saw" in ended.err
    told = placet("policy", "diff", *files(tmp_path), "--history", "--json").document["history"]
    assert [(each["project"], each["release"], each["after"]) for each in told["flips"]] == [
        ("fraud", 1, "refused"),
        ("fraud", 2, "refused"),
    ]
    assert told["stopping"] == [{"project": "fraud", "release": 2}]
    assert told["unknown"] == [{"project": "wine", "release": 2, "stage": "submit"}]
    assert told["flips"][0]["rules"][0]["fix"] == "train a smaller one"
    assert history.people_asked == set(), "nobody is told of people whom no rule asks about"


def test_people_are_asked_for_where_a_rule_asks_about_them(
    placet: Placet, history: FakePlatform, tmp_path: Path
) -> None:
    new = NEW.replace("model.size <= params.most", 'personal.owner != "ada"')
    ended = placet("policy", "diff", *files(tmp_path, new), "--history")
    assert history.people_asked == {PEOPLE}
    assert "of 4 past decisions 3 would be others" in ended.out, "but for what another policy refused"


def test_that_what_runs_is_judged_by_the_advisories_of_today_is_told(
    placet: Placet, history: FakePlatform, tmp_path: Path
) -> None:
    said = "what runs is judged by those of today"
    assert said not in placet("policy", "diff", *files(tmp_path), "--history").err
    first = tmp_path / "vulnerabilities@night.yaml"
    first.write_bytes(shipped_files()["vulnerabilities.yaml"])
    ended = placet("policy", "diff", str(first), str(first), "--history")
    assert (ended.status, said in ended.err) == (0, True), "a file may have that sign in its name"


def test_versions_that_the_platform_has_are_named_by_id_and_number(
    placet: Placet, history: FakePlatform, tmp_path: Path
) -> None:
    old, new = files(tmp_path)
    placet("policy", "publish", old)
    ended = placet("policy", "diff", "house.sizes@1", new)
    assert "params.most 100 → 50" in ended.out
    unknown = placet("policy", "diff", "house.sizes@7", new)
    assert (unknown.status, "house.sizes has no version 7" in unknown.err) == (1, True)
    assert placet("policy", "diff", "house.sizes@x", new).status == 2


def test_what_rules_saw_of_a_release_is_shown_and_people_only_where_asked(
    placet: Placet, history: FakePlatform
) -> None:
    ended = placet("policy", "facts", "fraud", "--json")
    assert ended.document == {
        "project": "fraud",
        "release": 2,
        "submit": {"model": {"size": 80, "name": "m"}},
    }
    first = placet("policy", "facts", "fraud", "--release", "1", "--people", "--json").document
    assert first["submit"]["personal"] == {"owner": "ada"}
    assert placet("policy", "facts", "fraud", "--release", "9").status == 1
    gone = placet("policy", "facts", "wine", "--release", "2")
    assert "saw of release 2 is gone from the registry" in gone.err
    assert "the rules saw nothing" in placet("policy", "facts", "wine").err


def test_a_policy_that_is_to_warn_first_says_until_when(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "publish", written(tmp_path, policy), "--warn-first", "7d")
    assert "until 7d later it only warns of what was certified before" in ended.err
    assert placet("policy", "publish", "house.yaml", "--warn-first", "week").status == 2
