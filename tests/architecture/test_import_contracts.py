"""Each import contract of `pyproject.toml` is kept, and is broken by the import that it forbids.

A contract that names the wrong module passes for ever; so each is shown one violation, planted in a copy of
the sources, and must be the one that complains.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import workspace

CONTRACTS = [contract["name"] for contract in workspace.root()["tool"]["importlinter"]["contracts"]]

VIOLATIONS: dict[str, list[tuple[str, str | None]]] = {
    "Services never import one another": [
        ("placet.builder.handlers", "placet.indexer"),
        ("placet.metadata.adapters.planted", "placet.certifier.planted"),
    ],
    "Libraries know no service, and the errors lie below them all": [
        ("placet.events.planted", "placet.gateway"),
        ("placet.events.planted", "placet.trust"),
        ("placet.oci.planted", "placet.events"),
        ("placet.projects.planted", "placet.rules"),
        ("placet.errors", "placet.events"),
        ("placet.verifier.planted", "placet.trust"),
        ("placet.verifier.planted", "placet.errors"),
        ("placet.planted.planted", None),
    ],
    "Inside a service imports go from the start down to the domain": [
        ("placet.gateway.bootstrap", "placet.gateway.__main__"),
        ("placet.indexer.adapters.planted", "placet.indexer.bootstrap"),
        ("placet.deployer.handlers", "placet.deployer.adapters"),
        ("placet.certifier.ports", "placet.certifier.queries"),
        ("placet.builder.domain", "placet.builder.ports"),
        ("placet.metadata.planted", None),
    ],
    "A domain does no input and no output": [
        ("placet.builder.domain", "asyncio"),
        ("placet.metadata.domain", "placet.events.adapters.planted"),
    ],
    "Only adapters speak to containers, brokers and databases": [
        ("placet.metadata.queries", "asyncpg"),
        ("placet.events.planted", "aio_pika"),
        ("placet.deployer.handlers", "docker"),
        ("placet.cli.planted", "sqlite3"),
    ],
    "The command line speaks HTTP, except where it is the platform itself": [
        ("placet.cli.planted", "placet.gateway"),
        ("placet.cli.planted", "placet.events"),
        ("placet.cli.planted", "placet.witness"),
    ],
    "The runtime needs nothing of the platform": [
        ("placet.runtime.planted", "placet.errors"),
    ],
    "A witness and the platform know nothing of each other": [
        ("placet.metadata.adapters.planted", "placet.witness"),
        ("placet.witness.planted", "placet.metadata.planted"),
    ],
    "A witness needs notes and keys, and nothing else of ours": [
        ("placet.witness.planted", "placet.events"),
    ],
}
"""For each contract, who must not import whom, or who must not be there at all."""


def test_every_contract_is_shown_a_violation() -> None:
    assert set(VIOLATIONS) == set(CONTRACTS)


def test_the_sources_keep_every_contract(tmp_path: Path) -> None:
    assert broken_contracts(copied_sources(tmp_path)) == []


@pytest.mark.parametrize(
    ("contract", "importer", "imported"),
    [(contract, *violation) for contract, violations in VIOLATIONS.items() for violation in violations],
)
def test_a_forbidden_import_breaks_its_contract(
    tmp_path: Path, contract: str, importer: str, imported: str | None
) -> None:
    sources = copied_sources(tmp_path)
    file = ensure(sources, importer)
    if imported is not None:
        if imported.startswith("placet."):
            ensure(sources, imported)
        with file.open("a") as code:
            code.write(f"\nimport {imported}\n")
    assert contract in broken_contracts(sources)


def copied_sources(to: Path) -> list[Path]:
    """The `src` folder of every package, elsewhere."""
    copies = []
    for package in workspace.packages():
        copy = to / package.sources.relative_to(workspace.ROOT)
        shutil.copytree(package.sources, copy, ignore=shutil.ignore_patterns("__pycache__"))
        copies.append(copy)
    return copies


def ensure(sources: list[Path], module: str) -> Path:
    """The module's file, made where there is none."""
    path = Path(*module.split("."))
    package = Path(*path.parts[:2])
    home = next((source for source in sources if list(source.glob(f"{package}*"))), sources[0])
    for folder in reversed(path.parents[:-2]):
        (home / folder).mkdir(exist_ok=True)
        (home / folder / "__init__.py").touch()
    file = home / path / "__init__.py" if (home / path).is_dir() else home / path.with_suffix(".py")
    file.touch()
    return file


def broken_contracts(sources: list[Path]) -> list[str]:
    """What import-linter complains of, when it sees these sources and not the ones that are installed."""
    lint = (
        "import sys, importlinter.cli\n"
        "ours = tuple(sys.argv[1].split(','))\n"
        "sys.path[:] = [*sys.argv[2:], *(path for path in sys.path if not path.startswith(ours))]\n"
        "sys.exit(importlinter.cli.lint_imports(config_filename='pyproject.toml', no_cache=True))\n"
    )
    installed = ",".join(str(package.sources) for package in workspace.packages())
    run = subprocess.run(
        [sys.executable, "-c", lint, installed, *map(str, sources)],
        cwd=workspace.ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = dict(re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.*\))?$", run.stdout, re.MULTILINE))
    assert list(told) == CONTRACTS, run.stdout + run.stderr
    broken = [name for name, verdict in told.items() if verdict == "BROKEN"]
    assert bool(broken) == bool(run.returncode)
    return broken
