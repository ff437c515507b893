"""`placet check`, asking a package index: real uv, and a folder of made-up wheels for an index."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from placet.builder.layers_runtime import serving_code
from placet.rules import load_shipped

from tests.unit.builder.wheels import write_wheel
from tests.unit.cli.conftest import Placet
from tests.unit.cli.test_cli_check import ADVISED, BUILT, version
from tests.unit.cli.test_cli_exceptions import excepted
from tests.unit.client.fake_platform import FakePlatform
from tests.unit.rules.test_rules_advisories import advisory, zipped


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the model server needs, and scikit-learn and skops as the example pins them."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for needed in serving_code().requirements:
        write_wheel(folder, Requirement(needed).name, "99")
    write_wheel(folder, "scikit-learn", "1.9.1")
    write_wheel(folder, "skops", "0.16.0")
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))
    monkeypatch.setenv("PLACET_PACKAGE_INDEX", str(folder))
    return folder


def pin(project: Path, *lines: str) -> None:
    (project / "requirements.txt").write_text("\n".join(lines))


def test_packages_that_are_on_the_index_are_told_to_be_no_problem(
    placet: Placet, project: Path, index: Path
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.16.0")
    ended = placet("check", str(project), "--json")
    assert ended.status == 0, ended.err
    assert ended.document["leftToThePlatform"] == [
        "whether other policies than those that ship are in force (no platform is known here)",
        "whether it has room for 500m CPU, 512Mi of memory (no platform is known here)",
        "whether packages are known to be vulnerable (no platform is known here)",
        f"what {BUILT}, {ADVISED} say of the image that is built",
    ]


def test_a_package_under_a_licence_that_is_not_taken_is_told_before_anything_is_built(
    placet: Placet, project: Path, index: Path
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.16.0", "greedy==1.0", "vague==1.0")
    write_wheel(index, "greedy", "1.0", metadata="License-Expression: AGPL-3.0-only\n")
    write_wheel(index, "vague", "1.0")
    ended = placet("check", str(project), "--json")
    assert ended.status == 1
    [refusal] = ended.document["refusals"]
    assert refusal["rule"] == "licences.allowed"
    assert "the package greedy 1.0 is under AGPL-3.0-only" in refusal["why"]
    warned = next(each for each in ended.document["warnings"] if each["rule"] == "licences.stated")
    assert "vague 1.0" in warned["why"]
    assert "greedy" not in warned["why"]


def test_a_package_that_the_platforms_advisories_name_is_told_and_they_are_fetched_once(
    placet: Placet, project: Path, index: Path, platform: FakePlatform, tmp_path: Path
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.16.0")
    without = placet("check", str(project), "--json")
    vulnerable = {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}
    severe = advisory("GHSA-1", "skops", affected=vulnerable, database_specific={"severity": "HIGH"})
    file = zipped(tmp_path, severe, advisory("MAL-1", "another"))
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    other = {"digest": "sha256:0", "size": 3, "state": "replaced"}
    platform.advisories = [other, {"digest": digest, "size": file.stat().st_size, "state": "in-use"}]
    platform.snapshots = {digest: file.read_bytes()}
    first = placet("check", str(project), "--json")
    second = placet("check", str(project), "--json")

    assert "no advisories were published here" in without.err
    assert without.status == 0
    assert [ended.status for ended in (first, second)] == [1, 1]
    [refusal] = first.document["refusals"]
    assert refusal["rule"] == "advisories.none-severe"
    assert "skops 0.16.0 has a high vulnerability, GHSA-1" in refusal["why"]
    assert second.document["refusals"] == first.document["refusals"]
    assert "fetching the platform's advisories" in first.err
    assert platform.snapshots_fetched == 1


def test_advisories_that_came_as_others_are_not_used(
    placet: Placet, project: Path, index: Path, platform: FakePlatform
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.16.0")
    digest = f"sha256:{'0' * 64}"
    platform.advisories = [{"digest": digest, "size": 3, "state": "in-use"}]
    platform.snapshots = {digest: b"PK, and what else"}
    ended = placet("check", str(project))
    assert ended.status == 0
    assert (
        f"whether packages are known to be vulnerable (the advisories {digest} came as sha256:" in ended.err
    )


def test_an_exception_that_was_granted_counts_here_too(
    placet: Placet, project: Path, index: Path, platform: FakePlatform
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.16.0", "greedy==1.0")
    write_wheel(index, "greedy", "1.0", metadata="License-Expression: AGPL-3.0-only\n")
    platform.policies = [version(policy) for policy in load_shipped()]
    refused = placet("check", str(project), "--json")
    excepted(platform, rule="licences.allowed")
    let_pass = placet("check", str(project), "--json")
    assert [ended.status for ended in (refused, let_pass)] == [1, 0]
    [verdict] = [each for each in let_pass.document["verdicts"] if each["rule"] == "licences.allowed"]
    assert (verdict["result"], verdict["exception"]) == ("fail", "exception:1")


def test_every_package_and_version_that_the_index_lacks_is_told_as_a_build_would(
    placet: Placet, project: Path, index: Path
) -> None:
    pin(project, "scikit-learn==1.9.1", "skops==0.99", "nowhere-to-be-found==1.0", "scikit_learn==1.8")
    ended = placet("check", str(project), "--json")
    told = [(each["why"], each["fix"]) for each in ended.document["refusals"] if each["rule"] is None]
    assert ended.status == 1
    assert len(told) == 2
    assert all(why.startswith("the requirements do not fit together for Python ") for why, _ in told)
    words = " ".join(why for why, _ in told)
    assert "nowhere-to-be-found was not found" in words
    assert "no version of skops==0.99" in words
    assert (
        "correct the package's name in the requirements, or ask for it to be put on the index"
        in dict(told).values()
    )
    # In two versions at once: the rules tell it, and it is not asked for.
    assert "scikit-learn" not in words


@pytest.mark.parametrize(
    ("arguments", "place", "said"),
    [
        (("--offline",), None, "--offline was given"),
        ((), "http://127.0.0.1:9/simple", "the package index cannot be reached from here"),
    ],
)
def test_an_index_that_is_not_asked_says_nothing_against_a_project(
    placet: Placet,
    project: Path,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    place: str | None,
    said: str,
) -> None:
    pin(project, "scikit-learn==1.9.1", "nowhere-to-be-found==1.0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    if place is not None:
        monkeypatch.setenv("PLACET_PACKAGE_INDEX", place)
    ended = placet("check", str(project), *arguments)
    assert ended.status == 0
    assert f"whether its package index has what the requirements ask for ({said})\n" in ended.err
