"""Advisories: what is affected, how severe it is, and snapshots that are no good."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from placet.errors import PlacetError, Refused, TooLarge, Unreadable
from placet.rules import advisories
from placet.rules.advisories import Snapshot, compiled, read_snapshot

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def advisory(id: str = "GHSA-1", package: str = "numpy", **changes: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": package, "purl": f"pkg:pypi/{package}"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.22"}]}],
    }
    return {
        "schema_version": "1.7.0",
        "id": id,
        "modified": "2026-11-20T10:00:00Z",
        "published": "2026-11-01T10:00:00Z",
        "summary": "It reads what it should not",
        "details": "long",
        "affected": [affected | changes.pop("affected", {})],
    } | changes


def zipped(folder: Path, *documents: dict[str, Any] | bytes) -> Path:
    file = folder / "all.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("README.md", "not an advisory")
        for number, each in enumerate(documents):
            archive.writestr(f"{number}.json", each if isinstance(each, bytes) else json.dumps(each))
    return file


def found(snapshot: Snapshot, version: str, name: str = "numpy", kind: str = "pypi") -> list[dict[str, Any]]:
    packages = [{"name": name, "version": version, "kind": kind}]
    told: list[dict[str, Any]] = snapshot.facts("sha256:1", packages, NOW)["found"]
    return told


def is_found(folder: Path, version: str, **affected: Any) -> bool:
    return bool(found(read_snapshot(zipped(folder, advisory(affected=affected))), version))


@pytest.mark.parametrize(
    ("events", "affected", "others"),
    [
        ([{"introduced": "0"}, {"fixed": "1.22"}], ["0.1", "1.21.9", "1.22rc1"], ["1.22", "1.22.0", "2"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], ["1.0", "1.5", "1.5.0"], ["0.9", "1.5.1"]),
        (
            [{"introduced": "3"}, {"fixed": "1.5"}, {"introduced": "1"}, {"fixed": "3.2"}],
            ["1", "1.4", "3.1"],
            ["0.9", "1.5", "2.9", "3.2"],
        ),
        (
            [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "2"}, {"fixed": "3"}],
            ["1", "2", "2.9"],
            ["3"],
        ),
        ([{"introduced": "0"}], ["0.0.1", "99"], []),
        ([{"introduced": "0"}, {"limit": "2"}], ["1"], ["2", "3"]),
        ([{"introduced": "0"}, {"limit": "*"}], ["1"], []),
        ([{"fixed": "2"}], [], ["1", "2"]),
        ([{"introduced": "not a version"}], ["1"], []),
    ],
)
def test_a_version_is_affected_where_it_lies_in_a_range(
    tmp_path: Path, events: list[dict[str, str]], affected: list[str], others: list[str]
) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    said = {version: is_found(tmp_path, version, ranges=ranges) for version in (*affected, *others)}
    assert said == {**dict.fromkeys(affected, True), **dict.fromkeys(others, False)}


def test_a_version_is_affected_where_it_is_listed_however_it_is_written(tmp_path: Path) -> None:
    listed = {"ranges": [], "versions": ["1.5", "2.0.0"]}
    assert [is_found(tmp_path, each, **listed) for each in ("1.5", "1.5.0", "2", "1.6")] == [
        *(True, True, True),
        False,
    ]


def test_commits_of_a_repository_are_no_versions(tmp_path: Path) -> None:
    ranges = [{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}, {"fixed": "4e5f"}]}]
    assert not is_found(tmp_path, "1.0", ranges=ranges)


def test_a_version_that_nobody_can_compare_is_affected(tmp_path: Path) -> None:
    assert is_found(tmp_path, "unknown")


def test_what_is_found_is_told_with_what_to_do(tmp_path: Path) -> None:
    snapshot = read_snapshot(zipped(tmp_path, advisory("MAL-1", "Evil_Pack", aliases=["CVE-2", "CVE-1"])))
    assert snapshot.facts("sha256:1", [{"name": "evil.pack", "version": "1", "kind": "pypi"}], NOW) == {
        "snapshot": "sha256:1",
        "taken": "2026-11-20",
        "ageDays": 7,
        "found": [
            {
                "package": "evil.pack",
                "version": "1",
                "id": "MAL-1",
                "aliases": ["CVE-1", "CVE-2"],
                "severity": "unknown",
                "summary": "It reads what it should not",
                "fixedIn": ["1.22"],
                "isHostile": True,
            }
        ],
    }
    assert found(snapshot, "1", "evil-pack", kind="deb") == found(snapshot, "1", "numpy") == []


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        (
            {"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]},
            "critical",
        ),
        (
            {
                "severity": [
                    {
                        "type": "CVSS_V4",
                        "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N",
                    }
                ]
            },
            "medium",
        ),
        (
            {"affected": {"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}]}},
            "critical",
        ),
        ({"database_specific": {"severity": "HIGH"}}, "high"),
        ({"database_specific": {"severity": "MODERATE", "cwe_ids": []}}, "medium"),
        ({"database_specific": {"severity": 7}}, "unknown"),
        ({"severity": [{"type": "CVSS_V3", "score": "nonsense"}]}, "unknown"),
        ({"severity": [{"type": "Ubuntu", "score": "high"}]}, "unknown"),
    ],
)
def test_how_severe_it_is_follows_from_the_worst_vector_or_the_databases_word(
    tmp_path: Path, said: dict[str, Any], severity: str
) -> None:
    [told] = found(read_snapshot(zipped(tmp_path, advisory(**said))), "1.0")
    assert told["severity"] == severity


def test_withdrawn_ones_and_other_ecosystems_are_about_nothing_here(tmp_path: Path) -> None:
    snapshot = read_snapshot(
        zipped(
            tmp_path,
            advisory("GHSA-1", withdrawn="2026-11-19T00:00:00Z"),
            advisory("GHSA-2", affected={"package": {"ecosystem": "npm", "name": "numpy"}}),
            advisory("GHSA-3", "other", modified="2026-11-21T00:00:00+01:00"),
        )
    )
    assert (snapshot.advisories, set(snapshot.by_package)) == (3, {"other"})
    assert snapshot.taken == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert found(snapshot, "1.0") == []


@pytest.mark.parametrize(
    ("documents", "error", "words"),
    [
        ((), Refused, "says nothing of packages of PyPI"),
        ((b"{", advisory()), Unreadable, "'0.json' of the snapshot is no advisory in OSV's form"),
        ((b"[" * 100_000,), Unreadable, "is no advisory in OSV's form"),
        ((advisory(modified="2026-11-20T10:00:00"),), Unreadable, "does not say in which time zone"),
        ((b" " * (advisories.MAX_ADVISORY_BYTES + 1),), TooLarge, "'0.json' of the snapshot is too large"),
    ],
)
def test_a_snapshot_that_is_no_good_is_said_to_be(
    tmp_path: Path, documents: tuple[Any, ...], error: type[PlacetError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_snapshot(zipped(tmp_path, *documents))


@pytest.mark.parametrize("written", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_zip_is_said_to_be_none(tmp_path: Path, written: bytes) -> None:
    file = tmp_path / "all.zip"
    file.write_bytes(written)
    with pytest.raises(Unreadable, match="no zip that can be read"):
        read_snapshot(file)


def test_a_zip_that_is_torn_in_the_middle_is_unreadable(tmp_path: Path) -> None:
    file = zipped(tmp_path, advisory())
    written = bytearray(file.read_bytes())
    written[200] ^= 0xFF
    file.write_bytes(bytes(written))
    with pytest.raises(Unreadable):
        read_snapshot(file)


async def test_it_is_read_in_a_process_of_its_own_and_its_index_is_the_same_snapshot(tmp_path: Path) -> None:
    file, into = zipped(tmp_path, advisory(), advisory("GHSA-2", "scipy")), tmp_path / "index"
    await compiled(file, into)
    assert Snapshot.parse(into.read_bytes()) == read_snapshot(file)


async def test_what_is_wrong_with_it_comes_out_of_that_process(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no advisory in OSV's form"):
        await compiled(zipped(tmp_path, b"{"), tmp_path / "index")
    assert not (tmp_path / "index").exists()
