"""Advisories of a platform, as who is in charge of security sees them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform


def written(folder: Path, content: bytes = b"PK") -> tuple[Path, str]:
    file = folder / "all.zip"
    file.write_bytes(content)
    return file, f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_snapshot_is_published_and_told_with_what_is_in_it(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    file, digest = written(tmp_path)
    ended = placet("advisories", "publish", str(file))
    assert (ended.status, ended.out) == (0, f"{digest}\n")
    assert "3 advisories up to 2026-11-20, about 2 packages: in-use" in ended.err
    assert [each["state"] for each in platform.advisories] == ["in-use"]


def test_why_one_is_not_used_is_told_and_fails(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.read_as = {"state": "rejected", "problem": {"why": "it is no zip", "fix": "send a zip"}}
    ended = placet("advisories", "publish", str(written(tmp_path)[0]))
    assert (ended.status, ended.out) == (1, "")
    assert "the advisories are not used" in ended.err
    assert "it is no zip\n    fix: send a zip" in ended.err


def test_who_does_not_wait_has_the_digest(placet: Placet, platform: FakePlatform, tmp_path: Path) -> None:
    file, digest = written(tmp_path)
    ended = placet("advisories", "publish", str(file), "--no-wait", "--json")
    assert (ended.status, ended.document["digest"]) == (0, digest)
    assert [each["state"] for each in platform.advisories] == ["submitted"]


def test_what_is_not_there_is_not_sent(placet: Placet, platform: FakePlatform, tmp_path: Path) -> None:
    ended = placet("advisories", "publish", str(tmp_path / "none.zip"))
    assert ended.status == 1
    assert "none.zip cannot be read: No such file or directory" in ended.err
    assert platform.requests == []


def test_all_are_listed_over_pages(placet: Placet, platform: FakePlatform, tmp_path: Path) -> None:
    digests = []
    for content in (b"a", b"b", b"c"):
        file, digest = written(tmp_path, content)
        placet("advisories", "publish", str(file))
        digests.append(digest)
    lines = placet("advisories", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == digests[::-1]
    assert lines[1].split()[1:6] == ["in-use", "2026-11-20", "3", "2", "Ada"]
    assert len(placet("advisories", "list", "--json").document["advisories"]) == 3
