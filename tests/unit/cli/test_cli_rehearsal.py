"""`placet deploy --dry-run`: what it would come to, and nothing is sent or changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from placet.projects import pack

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import AUDITOR, IMAGE, FakePlatform

HELD = {"cpuMillis": 1500, "memoryBytes": 2**30, "gpus": 0, "models": 2}
QUOTA: dict[str, Any] = {
    "scope": "team",
    "of": "fraud",
    "limits": {"cpuMillis": 2000},
    "held": HELD,
    "projects": ["churn", "credit"],
}
WAITS: dict[str, Any] = {
    "state": "queued",
    "position": 2,
    "quota": "team fraud",
    "why": "team fraud has 2 CPU and churn and credit hold 1.5 CPU; wine asks for 1 CPU",
    "fix": "stop one of: churn, credit",
    "waiting": 3,
    "quotas": [QUOTA],
}
NO_ROOM: dict[str, Any] = {
    "state": "refused",
    "why": "wine asks for a GPU, and this platform has none",
    "fix": "none",
}


def nothing_was_changed(platform: FakePlatform) -> bool:
    return {method for method, _ in platform.requests} <= {"GET", "HEAD"}


def test_it_says_what_the_rules_say_and_what_would_be_allocated_where(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    ended = placet("deploy", str(project), "--dry-run")
    assert ended.status == 0
    assert [line.split(maxsplit=1) for line in ended.out.splitlines()][1:] == [
        ["allocates", "1 replica of 0.5 CPU, 512 MiB"],
        ["where", "processes of this machine"],
        ["free", "8 CPU, 16384 MiB of 8 CPU, 16384 MiB"],
        ["outcome", "it has room at once"],
    ]
    assert ended.out.startswith("rules")
    assert "nothing was sent or changed" in ended.err
    assert nothing_was_changed(platform)


def test_it_says_at_which_place_it_would_wait_and_why(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.placement = WAITS
    ended = placet("deploy", str(project), "--dry-run")
    assert ended.status == 0
    assert "quota        team fraud may hold 2 CPU; churn, credit hold 1.5 CPU\n" in ended.out
    assert f"outcome      it waits, as number 2 in the queue: {WAITS['why']}\n" in ended.out
    document = placet("deploy", str(project), "--dry-run", "--json").document
    assert (document["state"], document["refusals"]) == ("cleared", [])
    assert document["placement"]["position"] == 2


def test_what_would_be_refused_ends_with_status_1_and_says_why(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.placement = NO_ROOM
    ended = placet("deploy", str(project), "--dry-run")
    assert ended.status == 1
    assert f"placet: deploy of wine would be refused\n  capacity: {NO_ROOM['why']}" in ended.err
    manifest = project / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("path: model.skops", "path: nowhere.skops"))
    document = placet("deploy", str(project), "--dry-run", "--json").document
    assert document["state"] == "refused"
    assert {each["rule"] for each in document["refusals"]} > {"capacity"}
    assert nothing_was_changed(platform)


def test_a_canary_of_what_serves_nothing_would_be_refused(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    ended = placet("deploy", str(project), "--canary", "10", "--dry-run")
    assert ended.status == 1
    assert (
        "wine serves nothing that a canary could run beside\n    fix: deploy it without a canary" in ended.err
    )
    assert "outcome      it is refused\n" in ended.out
    assert ended.err.endswith("nothing was sent or changed\n")
    assert nothing_was_changed(platform)

    placet("deploy", str(project))
    ended = placet("deploy", str(project), "--canary", "10", "--dry-run")
    assert (ended.status, f"placet deploy {project} --canary 10` does it" in ended.err) == (0, True)
    platform.models["wine"]["state"] = "stopped"
    assert placet("deploy", str(project), "--canary", "10", "--dry-run").status == 1


def test_another_name_is_what_is_asked_for(placet: Placet, platform: FakePlatform, project: Path) -> None:
    said = placet("deploy", str(project), "--project", "merlot", "--dry-run", "--json").document
    assert (said["project"], said["placement"]["project"]) == ("merlot", "merlot")


def test_an_image_is_asked_about_by_its_source(placet: Placet, platform: FakePlatform, project: Path) -> None:
    deployed = placet("deploy", str(project), "--json").document
    platform.images = [{"image": IMAGE, "project": "wine", "release": 1, "source": deployed["source"]}]
    platform.requests.clear()
    document = placet("deploy", IMAGE[:20], "--dry-run", "--json").document
    assert document["placement"]["project"] == "wine"
    assert nothing_was_changed(platform)


def test_who_may_not_deploy_is_told_so(
    placet: Placet, platform: FakePlatform, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_TOKEN", AUDITOR)
    ended = placet("deploy", str(project), "--dry-run")
    assert ended.status == 1
    assert "may not deploy anything" in ended.err


def test_what_lies_in_git_is_fetched_by_the_platform_and_not_kept(
    placet: Placet, platform: FakePlatform, project: Path, tmp_path: Path
) -> None:
    address = "https://git.example.org/team/wine.git@v1"
    packed = pack(project, tmp_path / "packed.tar")
    platform.fetched[address] = (tmp_path / "packed.tar").read_bytes()
    ended = placet("deploy", address, "--dry-run")
    assert ended.status == 0
    assert "outcome      it has room at once\n" in ended.out
    assert f"`placet deploy {address}` does it" in ended.err
    document = placet("deploy", address, "--dry-run", "--json").document
    assert (document["project"], document["source"]) == ("wine", packed.digest)
    assert nothing_was_changed(platform)


def test_a_canary_asks_for_room_as_one(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    placet("deploy", str(project), "--canary", "10", "--dry-run")
    assert ("canary", "1") in platform.searches[-1]
    placet("deploy", str(project), "--dry-run")
    assert ("canary", "0") in platform.searches[-1]
