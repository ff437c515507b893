"""No file that git tracks says where one machine keeps things: neither a package index nor an absolute path."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import workspace

# Split, so that this file does not hold them either.
HOSTS = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "index." + "docker.io",
    "registry." + "npmjs.org",
    "debian" + ".org",
]
INDEX = re.compile("|".join(map(re.escape, HOSTS)))
HOME = re.compile(r"""(?<![\w.:/-])/(?:home|root|Users|work|workspace|mnt|opt)/[\w.-]+""")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=workspace.ROOT, capture_output=True, text=True, check=True
    )
    paths = [workspace.ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


@pytest.mark.parametrize("pattern", [INDEX, HOME], ids=["package index", "machine path"])
def test_no_tracked_file_holds_one(pattern: re.Pattern[str]) -> None:
    found = {
        f"{path.relative_to(workspace.ROOT)}: {match[0]}"
        for path in tracked()
        for match in pattern.finditer(path.read_text(errors="replace"))
    }
    assert found == set()


@pytest.mark.parametrize("text", [f"see https://{host}/simple" for host in HOSTS])
def test_an_index_would_be_found(text: str) -> None:
    assert INDEX.search(text)


@pytest.mark.parametrize(
    "text", ["cd /home" + "/me/placet", "--find-links=/opt" + "/wheels", '"/root' + '/.cache"']
)
def test_a_path_would_be_found(text: str) -> None:
    assert HOME.search(text)


def test_a_url_is_no_path() -> None:
    assert not HOME.search("https://example.org/home" + "/me")
