"""From requirements to a lock: strict in, complete out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.builder.adapters.uv_packages import failure
from placet.builder.locking import Lock, asked_once, lock, parse_requirements, read_requirements, with_needed
from placet.builder.ports import Target
from placet.errors import PlacetError, Refused, Unavailable, Unreadable

from tests.unit.builder.fake_index import FakePackages, Wheel

TARGET = Target(python="cp311", platform="linux/amd64")
HASH = "sha256:" + "0" * 64


async def locked(text: str, packages: FakePackages, workspace: Path) -> Lock:
    asked = parse_requirements(text, "requirements.txt")
    return await lock(asked, packages.serving, TARGET, packages=packages, workspace=workspace)


def test_packages_of_the_index_are_taken_as_written() -> None:
    asked = parse_requirements(
        "# what we need\n\nScikit_Learn == 1.9.1  # pinned\nnumpy>=2 ; python_version >= '3.11'\nuvicorn[standard]\n",
        "requirements.txt",
    )

    assert [one.name for one in asked] == ["scikit-learn", "numpy", "uvicorn"]
    assert [one.requirement for one in asked] == [
        "Scikit_Learn==1.9.1",
        'numpy>=2; python_version >= "3.11"',
        "uvicorn[standard]",
    ]


def test_hashes_over_several_lines_belong_to_their_requirement() -> None:
    [asked] = parse_requirements(f"numpy==2.4.6 \\\n  --hash={HASH} \\\n  --hash={HASH[:-1]}1\n", "r.txt")

    assert asked.requirement == "numpy==2.4.6"
    assert asked.hashes == {HASH, f"{HASH[:-1]}1"}


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-e git+https://example.org/project.git",
        "-r more.txt",
        "-c constraints.txt",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "--find-links ./wheels",
        "--no-binary :all:",
        "numpy --no-binary :all:",
        "numpy --config-settings x=y",
        "numpy \\\n --index-url https://example.org/simple",
        "numpy --hash=md5:abc",
        "./local",
        "../up/package.whl",
        "/absolute/package-1.0-py3-none-any.whl",
        "package-1.0-py3-none-any.whl",
        "https://example.org/package.tar.gz",
        "package @ https://example.org/package.tar.gz",
        "package @ file:///package",
        "git+ssh://git@example.org/package",
        "${PACKAGE}",
        "numpy; python_version",
        "numpy==",
        "numpy scipy",
        pytest.param("numpy; " + "(" * 20_000 + "python_version<'4'" + ")" * 20_000, id="parentheses"),
        "\x00",
    ],
)
def test_anything_but_a_package_of_the_index_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(Refused, match=r"requirements.txt, line 2"):
        parse_requirements(f"scipy\n{line}\n", "requirements.txt")


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_no_text_leads_to_anything_but_packages_or_an_error_for_people(text: str) -> None:
    try:
        asked = parse_requirements(text, "requirements.txt")
    except PlacetError:
        return
    for one in asked:
        assert "://" not in one.requirement
        assert not one.requirement.startswith(("-", ".", "/"))
        assert "\n" not in one.requirement


def test_a_file_that_is_no_text_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"numpy\xff")

    with pytest.raises(Unreadable):
        read_requirements(tmp_path / "requirements.txt")


def test_what_the_format_needs_is_added_unless_the_project_names_it() -> None:
    asked, added = with_needed(
        parse_requirements("scikit_learn==1.9.1\n", "r.txt"), ("scikit-learn", "skops")
    )

    assert added == ("skops",)
    assert [one.requirement for one in asked] == ["scikit_learn==1.9.1", "skops"]


def test_a_bound_of_what_is_needed_holds_beside_the_projects_own() -> None:
    asked, added = with_needed(parse_requirements("onnxruntime==1.23.2\n", "r.txt"), ("onnxruntime>=1.24.1",))

    assert added == ()
    assert [one.requirement for one in asked] == ["onnxruntime==1.23.2", "onnxruntime>=1.24.1"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("xgboost==3.2.0\nxgboost-cpu==3.2.0\n", ["xgboost-cpu"]),
        ("XGBoost-CU12==3.2.0\nxgboost==3.2.0\n", ["xgboost"]),
        ("xgboost==3.1.0\nxgboost-cpu==3.2.0\n", ["xgboost", "xgboost-cpu"]),
        ("xgboost==3; sys_platform == 'darwin'\nxgboost-cpu==3\n", ["xgboost", "xgboost-cpu"]),
        ("mlflow==3.17.2\nmlflow-skinny==3.17.2\n", ["mlflow", "mlflow-skinny"]),
        ("numpy==2; python_version < '3.12'\nnumpy==3\n", ["numpy", "numpy"]),
    ],
)
def test_of_one_library_under_several_names_one_is_kept_where_their_version_is_the_same(
    text: str, names: list[str]
) -> None:
    assert [one.name for one in asked_once(parse_requirements(text, "r.txt"))] == names


async def test_what_only_the_runtime_needs_is_told_apart(tmp_path: Path) -> None:
    packages = FakePackages(
        {
            "model": Wheel("1", {}, needs=("numbers",)),
            "numbers": Wheel("2", {}),
            "server": Wheel("3", {}, needs=("numbers", "loop")),
            "loop": Wheel("4", {}),
        },
        serving=("server",),
    )

    found = await locked("model\n", packages, tmp_path)

    assert [package.name for package in found.project] == ["model", "numbers"]
    assert [package.name for package in found.serving] == ["loop", "server"]


async def test_the_lock_names_versions_and_hashes_and_no_place(tmp_path: Path) -> None:
    found = await locked("model\n", FakePackages({"model": Wheel("1", {})}), tmp_path)

    [package] = found.packages
    assert found.text == f"# the project\nmodel==1 --hash={package.hashes[0]}\n# serving\n"
    assert "://" not in found.text


async def test_a_hash_the_project_insists_on_must_be_among_the_locked_ones(tmp_path: Path) -> None:
    packages = FakePackages({"model": Wheel("1", {})})

    with pytest.raises(Refused, match="model"):
        await locked(f"model==1 --hash={HASH}\n", packages, tmp_path)


def test_a_package_nobody_has_is_named() -> None:
    error = failure(
        "error: No solution found when resolving dependencies:\n"
        "  cause: Because nosuch was not found in the package registry and you require nosuch==1, we can\n"
        "  conclude that your requirements are unsatisfiable.\n",
        TARGET,
    )

    assert isinstance(error, Refused)
    assert "nosuch==1" in error.detail
    assert "name" in str(error.fix)


def test_a_package_without_wheels_says_for_what() -> None:
    error = failure(
        "error: No solution found when resolving dependencies\n  cause: Because all versions of docopt have no "
        "usable wheels and you require docopt, we can conclude that your requirements are unsatisfiable.\n",
        TARGET,
    )

    assert isinstance(error, Refused)
    assert "wheel for Python 3.11 on linux/amd64" in str(error.fix)


def test_a_requirement_that_uv_cannot_read_is_no_index_that_is_away() -> None:
    error = failure(
        "error: Couldn't parse requirement in `project.txt` at position 13\n"
        "  cause: expected version to start with a number, but no leading ASCII digits were found\n"
        "         requests===a-b-c\n                 ^^^^^^^^\n",
        TARGET,
    )

    assert isinstance(error, Refused)
    assert error.detail.startswith("a requirement cannot be read: expected version to start with a number")
    assert "requests===a-b-c" in error.detail
    assert error.fix


@pytest.mark.parametrize(
    "reason", ["No space left on device (os error 28)", "Disk quota exceeded (os error 122)"]
)
def test_a_disk_without_room_is_no_broken_wheel(reason: str) -> None:
    error = failure(
        "error: Failed to download `light==1.0`\n  cause: Failed to extract archive: light-1.0-py3-none-any.whl\n"
        f"  cause: failed to write to file `light/data`: {reason}\n",
        TARGET,
    )

    assert isinstance(error, Unavailable)
    assert error.detail == "the disk where packages are unpacked has no room for them"


def test_an_index_that_is_away_is_no_fault_of_the_project_and_its_address_stays_here() -> None:
    error = failure(
        "error: Failed to fetch: `https://user:secret@example.org/simple/numpy/`\n  cause: dns error", TARGET
    )

    assert isinstance(error, Unavailable)
    assert "secret" not in str(error)
    assert "example.org" not in str(error)


def test_a_wheel_that_was_cut_off_on_its_way_is_no_broken_wheel() -> None:
    error = failure(
        "error: Failed to download `good==1.0`\n  cause: Failed to extract archive: good-1.0-py3-none-any.whl\n"
        "  cause: error decoding response body\n  cause: end of file before message length reached",
        TARGET,
    )

    assert isinstance(error, Unavailable)
