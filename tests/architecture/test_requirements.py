"""What is declared, locked, explained and imported agrees."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import requirements, workspace

DECISIONS = workspace.ROOT / "docs" / "decisions" / "dependencies.md"
DECLARED = {
    canonicalize_name(requirement.name)
    for requirement in workspace.needed_by_development() + workspace.needed_by_large_tests()
}


@pytest.mark.parametrize("lock", requirements.needs())
def test_a_lock_satisfies_what_is_declared(lock: str) -> None:
    assert requirements.missing(lock, requirements.needs()[lock]) == []


def test_a_lock_without_a_declared_package_is_told() -> None:
    absent = [Requirement("no-such-package>=1"), Requirement("uv<0.1")]
    complaints = requirements.missing("uv.txt", absent)
    assert [complaint.split(" does not satisfy ")[1].split(";")[0] for complaint in complaints] == [
        "no-such-package>=1",
        "uv<0.1",
    ]


PEERS_LOCKS = workspace.ROOT / "benchmarks" / "runtime" / "locks"


@pytest.mark.parametrize(
    "lock",
    [*(requirements.LOCKS / name for name in requirements.needs()), *sorted(PEERS_LOCKS.glob("*.txt"))],
    ids=lambda lock: lock.stem,
)
def test_every_locked_package_has_a_hash_and_none_an_address(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert "--index" not in text


def test_the_common_lock_is_what_all_services_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And who forgot to make it again is told."""
    shared = requirements.locked("services/common.txt")
    each = [requirements.locked(f"services/{name}.txt") for name in workspace.SERVICES]
    assert len(shared) > 50
    assert all(locked[name] == versions for locked in each for name, versions in shared.items())
    (tmp_path / "common.txt").write_text(requirements.common().partition("\n")[2])
    monkeypatch.setattr(requirements, "COMMON", tmp_path / "common.txt")
    assert requirements.main() == 1


def test_who_looks_at_no_project_carries_nothing_that_computes_evaluations() -> None:
    carries = {name for name in workspace.SERVICES if "pandas" in requirements.locked(f"services/{name}.txt")}
    assert carries == {"gateway", "certifier"}


def test_every_dependency_is_explained_once() -> None:
    explained = re.findall(r"^\| `([\w.-]+)` \|", DECISIONS.read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(set(explained))
    assert set(map(canonicalize_name, explained)) == DECLARED


PEERS = {"bentoml", "eventsourcing", "kserve"}
"""What benchmarks import in virtual environments of their own, which they make."""


@pytest.mark.parametrize("folder", ["tests", "tools", "benchmarks"])
def test_what_is_imported_outside_the_packages_is_declared(folder: str) -> None:
    distributions = packages_distributions()
    undeclared = {
        f"{file.relative_to(workspace.ROOT)}: {name}"
        for file in (workspace.ROOT / folder).rglob("*.py")
        for name in imported(file)
        if not DECLARED & set(map(canonicalize_name, distributions.get(name, [name])))
    }
    assert undeclared == set()


def imported(file: Path) -> set[str]:
    """The packages that a file imports from elsewhere than Python and this repository."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    ours = {"placet", "tests", "tools", "benchmarks", "examples"}
    return {name.split(".")[0] for name in names} - ours - PEERS - set(sys.stdlib_module_names)
