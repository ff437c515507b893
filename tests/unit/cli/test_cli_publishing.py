"""Policies of a platform, as compliance people see them."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Placet
from tests.unit.cli.test_cli_policies import written
from tests.unit.client.fake_platform import FakePlatform


def test_a_policy_is_published_and_its_digest_told(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "publish", written(tmp_path, policy))
    [kept] = platform.policies
    assert (ended.status, ended.out) == (0, f"{kept['digest']}\n")
    assert "house.data 1 is published, and in force" in ended.err
    assert platform.policy_files[kept["digest"]] == policy


def test_one_that_is_to_begin_says_when(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    platform.verdict = {"state": "scheduled", "effectiveFrom": "2027-01-01"}
    ended = placet("policy", "publish", written(tmp_path, policy), "--json")
    assert "in force from 2027-01-01" in ended.err
    assert ended.document["state"] == "scheduled"


def test_why_one_is_not_published_is_told_and_fails(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    problem = {"why": "house.data has a version 1 already", "fix": "make it version 2"}
    platform.verdict = {"state": "rejected", "problems": [problem]}
    ended = placet("policy", "publish", written(tmp_path, policy))
    assert (ended.status, ended.out) == (1, "")
    assert "house.data 1 is not published" in ended.err
    assert "house.data has a version 1 already\n    fix: make it version 2" in ended.err


def test_who_does_not_wait_has_the_digest(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "publish", written(tmp_path, policy), "--no-wait")
    assert (ended.status, ended.out) == (0, f"{platform.policies[0]['digest']}\n")
    assert platform.policies[0]["state"] == "submitted"


def test_what_fails_its_own_tests_is_not_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "publish", written(tmp_path, policy.replace("enough: 2", "enough: 3")))
    assert ended.status == 1
    assert "expected pass, the rule said fail" in ended.err
    assert platform.policies == []
    missing = placet("policy", "publish", "missing.yaml")
    assert missing.status == 1
    assert "one of those that are published by their name: " in missing.err
    assert "four-eyes" in missing.err


def test_what_was_published_as_usual_does_not_warn_first_when_it_is_published_again(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    file = written(tmp_path, policy)
    assert "to warn first" not in placet("policy", "publish", file).err
    again = placet("policy", "publish", file, "--warn-first", "7d")
    assert again.status == 0
    assert "it was published before, and not to warn first: that stays as it is" in again.err
    next_one = written(tmp_path, policy.replace("version: 1", "version: 2"))
    assert "to warn first" not in placet("policy", "publish", next_one, "--warn-first", "7d").err


def test_all_versions_are_listed_and_one_is_shown_as_it_was_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path, policy: str
) -> None:
    second = policy.replace("version: 1", "version: 2")
    placet("policy", "publish", written(tmp_path, policy))
    platform.verdict = {"state": "rejected"}
    placet("policy", "publish", written(tmp_path, second))
    placet("policy", "publish", written(tmp_path, second.replace("Data of the house", "Data")))
    listed = placet("policy", "list").out.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        ["house.data", "1", "in-force"],
        ["house.data", "2", "rejected"],
        ["house.data", "2", "rejected"],
    ]
    assert listed[1].split()[-5:] == ["Ada", "Data", "of", "the", "house"]
    assert len(placet("policy", "list", "--json").document["policies"]) == 3
    assert placet("policy", "show", "house.data").out == policy
    assert placet("policy", "show", "house.data", "--version", "2").out == second
    shown = placet("policy", "show", "house.data", "--json").document
    assert (shown["version"], shown["file"]) == (1, policy)
    assert placet("policy", "show", "house.data", "--version", "two").status == 2
    ended = placet("policy", "show", "house.data", "--version", "7")
    assert ended.status == 1
    assert "house.data has no version 7" in ended.err
    assert placet("policy", "show", "house.data@2").out == second
    assert placet("policy", "show", "house.data@two").status == 2
    assert placet("policy", "show", "house.data@2", "--version", "1").status == 2


def test_a_shipped_policy_that_another_version_took_the_place_of_refuses_nothing_before_it_is_sent(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    manifest = project / "placet.yaml"
    lines = [line for line in manifest.read_text().splitlines() if "purpose" not in line]
    manifest.write_text("\n".join(lines))
    digest = f"sha256:{'5' * 64}"
    shipped = {"policy": "accountability", "version": 1, "digest": digest, "title": "", "owner": ""}
    platform.policies.append({**shipped, "shipped": True, "state": "in-force"})
    assert placet("deploy", str(project)).status == 1
    assert platform.commands == []
    platform.policies[0]["state"] = "superseded"
    assert placet("deploy", str(project)).status == 0
    assert len(platform.commands) == 1
