"""Every link between the pages of this repository leads to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import workspace
from tools.reference import anchor

LINK = re.compile(r"\]\(([^)\s]*)\)")
NAMED = re.compile(
    r"`((?:cli|deploy|docs|examples|libs|runtime|services|tests|tools|verifier|witness)/[\w./-]*)`"
)
TEST = re.compile(r"`(tests/[\w./-]*\.py)::(\w+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=workspace.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := workspace.ROOT / name).exists()]


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere, or out of the repository's own pages by mistake."""
    targets = (link for link in LINK.findall(FENCED.sub("", text)) if "://" not in link)
    return [target for target in targets if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, fragment = target.partition("#")
    file = page.parent / path if path else page
    if not file.exists():
        return False
    return not fragment or fragment in {anchor(heading) for heading in headings(file)}


def headings(file: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", FENCED.sub("", file.read_text()), re.MULTILINE)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(workspace.ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(workspace.ROOT)))
def test_every_path_that_is_named_is_there(page: Path) -> None:
    named = NAMED.findall(FENCED.sub("", page.read_text()))
    assert [path for path in named if not (workspace.ROOT / path).exists()] == []


def unwritten(text: str) -> list[str]:
    """The tests that a page names and nobody wrote."""
    return [
        f"{path}::{name}"
        for path, name in TEST.findall(FENCED.sub("", text))
        if not (workspace.ROOT / path).exists() or f"def {name}(" not in (workspace.ROOT / path).read_text()
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(workspace.ROOT)))
def test_every_test_that_is_named_is_there(page: Path) -> None:
    assert unwritten(page.read_text()) == []


def test_a_test_that_nobody_wrote_would_be_found() -> None:
    named = "tests/architecture/test_references.py::test_nobody_wrote_this"
    assert unwritten(f"| held by `{named}` |") == [named]


@pytest.mark.parametrize("target", ["nowhere.md", "README.md#no-such-heading", "#nor-this"])
def test_a_link_that_leads_nowhere_would_be_found(target: str) -> None:
    assert broken(workspace.ROOT / "README.md", f"see [this]({target})") == [target]


def test_what_only_looks_like_a_link_is_none() -> None:
    assert broken(workspace.ROOT / "README.md", "```\n[a](nowhere.md)\n```\n[b](https://example.org/)") == []
