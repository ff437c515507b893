"""An archive that is not one of ours, to the byte, is none: it will be unpacked by who believes what was checked."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from placet.verifier.bundles import FORMAT, Bundle
from placet.verifier.failures import Wrong
from placet.verifier.program import main

FILES = {"README.txt": b"read me\n", "policies/house-1.yaml": b"id: house\n"}


def listed(files: dict[str, bytes]) -> bytes:
    named = [
        {"path": name, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"} for name, data in files.items()
    ]
    about = {"format": FORMAT, "project": "churn", "at": "2026-03-01T12:00:00Z", "files": named}
    return json.dumps(about).encode()


def written(into: Path, files: dict[str, bytes], *, listing: bytes | None = None) -> Path:
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, "manifest.json": listing or listed(files)}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return into


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


def test_a_bundle_is_read(archive: Path) -> None:
    assert Bundle(str(written(archive, FILES))).files == FILES


@pytest.mark.parametrize(
    "name",
    [
        "../../.bashrc",
        "/etc/passwd",
        "C:/x",
        "policies/../../x",
        "policies\\..\\x",
        "policies/",
        "policies/.hidden",
        "policies/a/b",
        "policies/\u202egnp.exe",
        "READ-ME-FIRST.html",
        "Dossier.html",
        "verifier.py",
        "events/1.json",
        "events/000000000001.html",
    ],
)
def test_a_file_that_no_bundle_has_is_refused(archive: Path, name: str) -> None:
    with pytest.raises(Wrong, match="is no file that a bundle has"):
        Bundle(str(written(archive, {**FILES, name: b"x"})))


def test_a_name_that_ends_early_for_some_programs_is_refused(archive: Path) -> None:
    written(archive, {**FILES, "dossier.html\x01.png": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"html\x01", b"html\0"))
    with pytest.raises(Wrong, match="is no file that a bundle has"):
        Bundle(str(archive))


def test_a_link_is_refused(archive: Path) -> None:
    link = zipfile.ZipInfo("dossier.html")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    files = {**FILES, "dossier.html": b"/etc/passwd"}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for name, data in {**FILES, "manifest.json": listed(files)}.items():
            opened.writestr(zipfile.ZipInfo(name), data)
        opened.writestr(link, files["dossier.html"])
    with pytest.raises(Wrong, match=r"dossier\.html is no plain file"):
        Bundle(str(archive))


def test_a_name_that_is_there_twice_is_refused(archive: Path) -> None:
    written(archive, FILES)
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr(zipfile.ZipInfo("README.txt"), FILES["README.txt"])
    with pytest.raises(Wrong, match=r"README\.txt is in the bundle twice"):
        Bundle(str(archive))


def test_what_is_compressed_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("README.txt", b"0" * 1_000_000)
    with pytest.raises(Wrong, match="is compressed"):
        Bundle(str(archive))


def test_what_another_program_would_take_for_a_file_is_refused(archive: Path) -> None:
    """One that reads an archive from its beginning sees files that the list at its end has not."""
    data, name = b"<h1>all is well</h1>", b"dossier.html"
    hidden = struct.pack(
        "<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0
    )
    whole = written(archive, FILES).read_bytes()
    archive.write_bytes(hidden + name + data + whole)
    with pytest.raises(Wrong, match=r"right behind|something besides"):
        Bundle(str(archive))


def test_a_comment_is_refused(archive: Path) -> None:
    written(archive, FILES)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.comment = b"it holds"
    with pytest.raises(Wrong, match="something besides its files"):
        Bundle(str(archive))


ENCRYPTED, DESCRIBED_BEHIND = b"\x01\x00", b"\x08\x00"


@pytest.mark.parametrize(
    ("place", "at", "value"),
    [
        (b"PK\3\4", 6, ENCRYPTED),
        (b"PK\3\4", 6, DESCRIBED_BEHIND),
        (b"PK\3\4", 8, b"\x08\x00"),
        (b"PK\3\4", 14, b"\x00" * 4),
        (b"PK\3\4", 18, b"\x01\x00\x00\x00"),
        (b"PK\3\4", 22, b"\x01\x00\x00\x00"),
        (b"PK\1\2", 8, ENCRYPTED),
        (b"PK\1\2", 8, DESCRIBED_BEHIND),
        (b"PK\1\2", 20, b"\xff\x00\x00\x00"),
        (b"PK\1\2", 34, b"\x01\x00"),
        (b"PK\5\6", 8, b"\x01\x00"),
        (b"PK\5\6", 10, b"\x01\x00"),
    ],
)
def test_what_two_programs_would_read_in_two_ways_is_refused(
    archive: Path, place: bytes, at: int, value: bytes
) -> None:
    """Before a file and in the list at the end the same is said, and no less than all of it."""
    whole = bytearray(written(archive, FILES).read_bytes())
    begins = whole.index(place) + at
    whole[begins : begins + len(value)] = value
    archive.write_bytes(whole)
    with pytest.raises(Wrong):
        Bundle(str(archive))


def test_a_file_that_goes_on_into_the_list_at_the_end_is_refused(archive: Path) -> None:
    """What it takes there would be room for something else."""
    whole = written(archive, FILES).read_bytes()
    at = whole.index(b"PK\1\2")
    last = whole.rindex(b"PK\1\2")
    grown = bytearray(whole + b"room")
    grown[last + 20 : last + 28] = struct.pack(
        "<2L", *2 * [len(whole[whole.rindex(b"PK\3\4") + 43 : at + 4])]
    )
    archive.write_bytes(grown)
    with pytest.raises(Wrong):
        Bundle(str(archive))


def test_files_that_share_their_bytes_do_not_fill_the_memory(archive: Path) -> None:
    """Each begins in the one before: a small archive would be a large one."""
    whole = written(archive, FILES).read_bytes()
    at = whole.index(b"PK\1\2")
    entries = whole[at : whole.index(b"PK\5\6")]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 6, 6, 2 * len(entries), at, 0)
    archive.write_bytes(whole[:at] + entries + entries + end)
    with pytest.raises(Wrong):
        Bundle(str(archive))


@pytest.mark.parametrize("torn", [0, 1, 30, 100, 200])
def test_a_torn_archive_is_no_traceback(archive: Path, torn: int, capsys: pytest.CaptureFixture[str]) -> None:
    whole = written(archive, FILES).read_bytes()
    archive.write_bytes(whole[:torn])
    assert main([str(archive)]) == 2
    assert "cannot be checked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "written_as",
    [
        b'{"a": 1e999}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"[]",
        b"\xff",
    ],
)
def test_a_list_of_files_that_has_two_readings_has_none(archive: Path, written_as: bytes) -> None:
    with pytest.raises(Wrong, match=r"manifest\.json"):
        Bundle(str(written(archive, FILES, listing=written_as)))


@pytest.mark.parametrize(
    "about",
    [
        {"project": 5},
        {"project": ["churn"]},
        {"at": None},
        {"size": 1.0},
        {"size": True},
        {"people": "no"},
        {"dossier": True},
        {"origin": {}},
    ],
)
def test_a_list_of_files_of_another_form_is_no_bundles(archive: Path, about: dict[str, object]) -> None:
    index = json.loads(listed(FILES)) | about
    [name] = about
    with pytest.raises(Wrong, match=f"has a {name} that no bundle has"):
        Bundle(str(written(archive, FILES, listing=json.dumps(index).encode())))


def test_names_tell_a_terminal_nothing(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = "churn\x1b[2J\x1b[1;1H\nit holds\u202e\u2028"
    about = json.loads(listed(FILES)) | {"project": project}
    written(archive, FILES, listing=json.dumps(about).encode())
    assert main([str(archive)]) == 1
    capsys.readouterr()
    about["format"] = FORMAT
    about["files"].append({"path": project, "digest": "none"})
    written(archive, FILES, listing=json.dumps(about).encode())
    assert main([str(archive)]) == 2
    told = capsys.readouterr().err
    said, *fix = told.splitlines()
    assert [each[:7] for each in fix] == ["  fix: "]
    assert said.isprintable()
    assert "\\x1b[2J" in told


def test_what_came_after_the_bundle_is_not_told_by_it(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(archive, FILES)
    assert main([str(archive), "--at", "2026-03-01T12:00:01Z"]) == 2
    assert "tells nothing of later\n  fix: ask for a later one" in capsys.readouterr().err
    assert main([str(archive), "--at", "0001-01-01T00:00:00+23:00"]) == 2
    assert "is no moment\n  fix: write 2027-01-31T12:00:00Z, or a day" in capsys.readouterr().err


def test_a_day_is_asked_for_up_to_its_end(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(archive, FILES)
    assert main([str(archive), "--at", "2026-02-28", "--json"]) == 1, "nothing of it is signed"
    assert json.loads(capsys.readouterr().out)["at"] == "2026-02-28T23:59:59.999Z"
    assert main([str(archive), "--at", "2026-03-01"]) == 2
    assert "tells nothing of later" in capsys.readouterr().err


def test_more_than_one_or_none_is_told(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell makes two of `churn-*.zip` where two were exported."""
    for typed, told in {
        (str(archive), "other.zip"): f"one bundle at a time: choose one of {archive}, other.zip",
        (str(archive), "--nope"): "there is no option --nope",
    }.items():
        with pytest.raises(SystemExit):
            main(typed)
        assert told in capsys.readouterr().err
    assert main(["missing.zip"]) == 2
    assert "missing.zip is no bundle: No such file or directory\n  fix: name the" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--log-key", "--witness"])
def test_a_key_that_is_none_is_told_with_where_to_get_one(
    archive: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    written(archive, FILES)
    assert main([str(archive), option, "placet.example.org/audit+5a71"]) == 2
    assert "is no verifier key of an Ed25519 key\n  fix: give a verifier key whole" in capsys.readouterr().err


def test_a_file_that_is_none_is_told_with_what_to_do(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write_bytes(b"PK")
    assert main([str(archive)]) == 2
    said = capsys.readouterr().err
    assert "fix: name the archive that `placet audit export` wrote" in said
    written(archive, {**FILES, "policies/a": b"x"}, listing=listed(FILES))
    assert main([str(archive)]) == 2
    assert "have it sent again" in capsys.readouterr().err


def test_it_is_told_on_a_terminal_that_knows_few_letters(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    written(archive, FILES, listing=listed(FILES).replace(b"churn", "ünï…".encode()))
    with open(sys.stderr.fileno(), "w", encoding="ascii", closefd=False) as ascii_only:
        monkeypatch.setattr(sys, "stderr", ascii_only)
        written(archive, {**FILES, "policies/ü": b"x"})
        assert main([str(archive)]) == 2
    assert b"cannot be checked" in capfdbinary.readouterr().err
