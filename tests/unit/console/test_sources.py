"""What differs between two sources' files, told by path, and by line where both are text; whatever is in them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path
from random import Random
from typing import Literal

import httpx
import pytest
from markupsafe import escape
from placet.client import Client, Connection
from placet.errors import Refused, TooLarge
from placet.gateway.console import sources
from placet.gateway.console.sources import ChangedFile, ChangedFiles, between

from tests.unit.client.fake_platform import ADMIN, FakePlatform, release
from tests.unit.console.test_console_security import a_model, sign_in

SCRIPT = "<script>alert(1)<\N{DIVISION SLASH}script>"


def archive(file: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(file, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def compared(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> ChangedFiles:
    return between(archive(folder / "a", before), archive(folder / "b", after, "w:gz"))


def test_files_that_changed_came_or_went_are_told_by_path(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        {"same": b"1", "./dotted": b"1", "model.bin": b"\0\1", "gone": b"1\n", "README.md": b"a\nb\nc\n"},
        {"same": b"1", "dotted": b"1", "model.bin": b"\0\1\2", "new": b"", "README.md": b"a\nB\nc\n"},
    )
    changed = ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")
    assert found.files == (
        ChangedFile(path="README.md", before=6, after=6, lines=changed),
        ChangedFile(path="gone", before=2, after=None, lines=("@@ -1 +0,0 @@", "-1")),
        ChangedFile(path="model.bin", before=2, after=3),
        ChangedFile(path="new", before=None, after=0, lines=()),
    )
    assert found.more == 0


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (b"a\r\n", b"a\n", ("@@ -1 +1 @@", "-a␍", "+a")),
        (b"a", b"b", ("@@ -1 +1 @@", "-a", "+b")),
        (b"", b"b", ("@@ -0,0 +1 @@", "+b")),
        (b"a", b"a\n", ("@@ -1 +1 @@", "-a (without a new line at its end)", "+a")),
        ("a\u2028b\n".encode(), b"a b\n", ("@@ -1 +1 @@", "-a\u2028b", "+a b")),
        (b"\xff\n", b"a\n", None),
    ],
)
def test_how_lines_end_is_seen_and_what_is_no_text_is_not_shown(
    before: bytes, after: bytes, lines: tuple[str, ...] | None, tmp_path: Path
) -> None:
    (found,) = compared(tmp_path, {"f": before}, {"f": after}).files
    assert found.lines == lines


def test_what_is_long_is_cut_and_counted(tmp_path: Path) -> None:
    many = "".join(f"{number}\n" for number in range(1000)).encode()
    (found,) = compared(tmp_path, {"f": b"x\n"}, {"f": many}).files
    assert found.lines is not None
    assert len(found.lines) == sources._LINES
    assert found.more == 1002 - sources._LINES
    (found,) = compared(tmp_path, {"f": b"x\n"}, {"f": b"y" * (sources._TEXT + 1)}).files
    assert found.lines is None


def test_of_thousands_of_files_the_first_are_shown_and_fewer_are_read(tmp_path: Path) -> None:
    names = [f"{number:04}" for number in range(3000)]
    found = compared(tmp_path, dict.fromkeys(names, b"a\n"), dict.fromkeys(names, b"b\n"))
    assert [each.path for each in found.files] == names[: sources._FILES]
    assert found.more == 3000 - sources._FILES
    assert len([each for each in found.files if each.lines]) == sources._READ


def test_no_more_text_is_held_than_there_is_room_for(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(40)]
    found = compared(
        tmp_path, dict.fromkeys(names, b"a" * sources._TEXT), dict.fromkeys(names, b"b" * sources._TEXT)
    )
    assert len([each for each in found.files if each.lines]) == sources._WHOLE // sources._TEXT


def test_files_made_to_be_compared_for_ever_are_not(tmp_path: Path) -> None:
    random = Random(7)  # noqa: S311 - the same each time

    def made() -> bytes:
        # Each line a hundred times, so that difflib takes none of them for too common to look at.
        lines = [f"{number}\n" for number in range(101)] * 100
        random.shuffle(lines)
        return "".join(lines).encode()[: sources._TEXT]

    (found,) = compared(tmp_path, {"f": made()}, {"f": made()}).files
    assert found.lines is None


def test_a_file_such_as_people_write_is_compared_by_lines(tmp_path: Path) -> None:
    written = Path(sources.__file__).read_bytes()
    (found,) = compared(tmp_path, {"f": written}, {"f": written.replace(b"before", b"then")}).files
    assert found.lines is not None


def test_a_link_is_refused_and_followed_nowhere(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(Refused, match="symbolic link"):
        between(tmp_path / "a", archive(tmp_path / "b", {"f": b""}))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(Refused):
        between(tmp_path / "a", archive(tmp_path / "b", {"f": b""}))


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a", {"f": bytes(64 << 20)}, "w:gz")
    other = archive(tmp_path / "b", {"f": b""})
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            between(bomb, other)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture
def releases(platform: FakePlatform, tmp_path: Path) -> FakePlatform:
    """Two of one model, whose sources differ by a file with a script in its name and its text."""
    a_model(platform)
    for number, text in ((1, b"a\n"), (2, SCRIPT.encode() + b"\n")):
        packed = archive(tmp_path / str(number), {SCRIPT: text}).read_bytes()
        source = f"sha256:{hashlib.sha256(packed).hexdigest()}"
        platform.archives[source] = packed
        platform.images.append({"image": f"sha256:{number}", "source": source})
        platform.releases.insert(0, release(number, image=f"sha256:{number}", source=source))
    return platform


COMPARISON = "/console/models/wine/comparison?before=1&after=2"


async def test_names_and_lines_of_files_are_words_on_the_page(
    browser: httpx.AsyncClient, releases: FakePlatform
) -> None:
    await sign_in(browser, ADMIN)
    page = (await browser.get(COMPARISON)).text
    assert f"<code>{escape(SCRIPT)}</code>" in page
    assert f">+{escape(SCRIPT)}<" in page
    assert "<script>alert" not in page


async def test_a_source_that_is_no_more_what_it_was_is_told_of_and_the_rest_compared(
    browser: httpx.AsyncClient, releases: FakePlatform
) -> None:
    await sign_in(browser, ADMIN)
    for source in releases.archives:
        releases.archives[source] = b"another"
    answer = await browser.get(COMPARISON)
    assert answer.status_code == 200
    assert "They cannot be compared here: the source of sha256:1 came as" in answer.text
    assert "What the rules said" in answer.text


async def test_an_archive_too_large_for_a_page_is_not_fetched_whole(
    releases: FakePlatform, tmp_path: Path
) -> None:
    async with Client(Connection(url=releases.url, token=ADMIN)) as client:
        size = len(next(iter(releases.archives.values())))
        await client.download_source("sha256:1", tmp_path / "kept", most=size)
        with pytest.raises(TooLarge, match=f"is longer than {size - 1} bytes"):
            await client.download_source("sha256:1", tmp_path / "cut", most=size - 1)
        assert (tmp_path / "cut").stat().st_size < size
