"""What differs between two sources' files, told by path, and by line where both are text."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest
from placet.errors import TooLarge, Unreadable
from placet.gateway.console import sources
from placet.gateway.console.sources import ChangedFile, differences, files_in


def archive(file: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(file, mode) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def between(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> list[ChangedFile]:
    read = [files_in(archive(folder / name, files)) for name, files in (("a", before), ("b", after))]
    return list(differences(*read))


def test_files_that_changed_came_or_went_are_told_by_path(tmp_path: Path) -> None:
    found = between(
        tmp_path,
        {"same": b"1", "./dotted": b"1", "model.bin": b"\0\1", "gone": b"1", "README.md": b"a\nb\nc\n"},
        {"same": b"1", "dotted": b"1", "model.bin": b"\0\1\2", "new": b"12", "README.md": b"a\nB\nc\n"},
    )
    assert found == [
        ChangedFile(path="README.md", before=6, after=6, lines=("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")),
        ChangedFile(path="gone", before=1, after=None),
        ChangedFile(path="model.bin", before=2, after=3),
        ChangedFile(path="new", before=None, after=2),
    ]


def test_what_is_long_is_cut_and_counted(tmp_path: Path) -> None:
    many = "\n".join(map(str, range(1000))).encode()
    (found,) = between(tmp_path, {"f": b"x"}, {"f": many})
    assert len(found.lines) == sources._LINES
    assert found.more == 1002 - sources._LINES
    (found,) = between(tmp_path, {"f": b"x"}, {"f": b"y" * (sources._TEXT + 1)})
    assert found.lines == ()


def test_an_archive_that_is_packed_is_read_too(tmp_path: Path) -> None:
    assert files_in(archive(tmp_path / "a", {"f": b"1"}, "w:gz")).keys() == {"f"}


def test_links_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert files_in(tmp_path / "a") == {}


def test_what_is_no_archive_or_holds_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(Unreadable):
        files_in(tmp_path / "none")
    monkeypatch.setattr(sources, "_MOST_MEMBERS", 1)
    with pytest.raises(TooLarge):
        files_in(archive(tmp_path / "many", {"a": b"", "b": b""}))
    monkeypatch.setattr(sources, "_MOST_MEMBERS", 10)
    monkeypatch.setattr(sources, "MOST_BYTES", 1)
    with pytest.raises(TooLarge):
        files_in(archive(tmp_path / "large", {"a": b"12345"}))
