"""What teams and projects may hold, said on the command line."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform


def test_a_quota_is_set_listed_and_removed(placet: Placet, platform: FakePlatform) -> None:
    said = placet("quota", "set", "--team", "fraud", "--cpu", "2.5", "--memory", "4Gi", "--gpu", "1")
    assert said.out == "team fraud may hold 2.5 CPU, 4096 MiB, 1 GPU\n"
    assert "which is more" not in said.err
    assert platform.quotas["team/fraud"]["limits"] == {"cpuMillis": 2500, "memoryBytes": 2**32, "gpus": 1}
    placet("quota", "set", "--project", "churn", "--models", "1")
    listed = placet("quota", "list")
    assert [line.split() for line in listed.out.splitlines()[1:]] == [
        ["project", "churn", "1", "model", "2", "models", "churn,", "credit", "exceeded"],
        [
            *("team", "fraud", "2.5", "CPU,", "4096", "MiB,", "1", "GPU"),
            *("1.5", "CPU,", "1024", "MiB,", "0", "GPU", "churn,", "credit"),
        ],
    ]
    assert placet("quota", "remove", "--team", "fraud", "--json").document == {
        "scope": "team",
        "of": "fraud",
        "removed": True,
    }
    assert list(platform.quotas) == ["project/churn"]
    gone = placet("quota", "remove", "--team", "fraud")
    assert gone.status == 1
    assert "team fraud has no quota" in gone.err


def test_a_quota_below_what_runs_says_that_it_goes_on(placet: Placet, platform: FakePlatform) -> None:
    said = placet("quota", "set", "--team", "fraud", "--cpu", "500m")
    assert said.status == 0
    assert (
        "churn, credit hold 1.5 CPU, 1024 MiB, 0 GPU, 2 models by now, which is more: that goes on"
        in said.err
    )
    assert placet("quota", "set", "--team", "fraud", "--cpu", "500m", "--json").document["exceeded"] == [
        "cpuMillis"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--team", "fraud"), "a quota bounds something"),
        (("--cpu", "2"), "one of the arguments --team --project is required"),
        (("--team", "fraud", "--project", "churn", "--cpu", "2"), "not allowed with argument"),
        (("--team", "fraud", "--cpu", "two"), "is not cores such as 500m"),
        (("--team", "fraud", "--memory", "4 GB"), "is not an amount of memory such as 512Mi"),
        (("--team", "fraud", "--gpu", "-1"), "is no number"),
    ],
)
def test_what_is_no_quota_is_wrong_usage(
    placet: Placet, platform: FakePlatform, arguments: tuple[str, ...], said: str
) -> None:
    ended = placet("quota", "set", *arguments)
    assert ended.status == 2
    assert said in ended.err
    assert platform.requests == []


@pytest.mark.parametrize(
    ("typed", "size"), [("512", 512), ("4k", 4000), ("2Ki", 2048), ("3Mi", 3 * 2**20), ("1T", 10**12)]
)
def test_memory_is_meant_as_in_placet_yaml(
    placet: Placet, platform: FakePlatform, typed: str, size: int
) -> None:
    placet("quota", "set", "--project", "churn", "--memory", typed)
    assert platform.quotas["project/churn"]["limits"] == {"memoryBytes": size}


def test_a_project_is_assigned_to_a_team_and_leaves_it(placet: Placet, platform: FakePlatform) -> None:
    assert placet("team", "assign", "churn", "fraud").out == "churn is of team fraud\n"
    assert placet("team", "list").out.splitlines()[1].split() == ["fraud", "churn", "-"]
    assert placet("team", "leave", "churn", "--json").document == {"project": "churn", "team": None}
    assert platform.teams == {}
