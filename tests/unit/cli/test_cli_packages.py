"""`placet check`, asking a package index: real uv, and a folder of made-up wheels for an index."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from placet.builder.layers_runtime import serving_code

from tests.unit.builder.wheels import write_wheel
from tests.unit.cli.conftest import Placet


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
    ]


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
