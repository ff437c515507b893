"""Source archives: the same everywhere when we pack them, refused whole when a stranger was clever."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Refused, TooLarge
from placet.projects import Limits, inspect_archive, pack, read_one, unpack
from placet.projects.archive import ReadFile, read_files

from tests.support.ordinary_user import an_ordinary_user

Member = tuple[str | tarfile.TarInfo, bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "placet.yaml").write_text("project: digits\n")
    (project / "src" / "train.py").write_text("print()\n")
    (project / "model.skops").write_bytes(bytes(range(256)) * 40)
    return project


def tar(*members: Member, form: int = tarfile.PAX_FORMAT, headers: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=headers) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def special(kind: bytes, name: str = "thing", target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def with_pax(**headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("file")
    info.pax_headers = headers
    return info


def refusal(data: bytes, tmp_path: Path, limits: Limits | None = None) -> str:
    """What is said to all ways of reading it; nothing may be left behind."""
    archive = tmp_path / "hostile.tar"
    archive.write_bytes(data)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(Refused) as unpacked:
        unpack(archive, place / "into", limits or Limits())
    assert list(place.iterdir()) == []
    with pytest.raises(Refused) as inspected:
        inspect_archive(archive, limits or Limits())
    with pytest.raises(Refused) as read:
        list(read_files(archive, limits or Limits()))
    assert str(read.value) == str(inspected.value) == str(unpacked.value)
    return str(unpacked.value)


def test_a_packed_folder_is_unpacked_as_it_was(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder, tmp_path / "source.tar")
    contents = unpack(tmp_path / "source.tar", tmp_path / "out" / "project")
    assert contents.digest == packed.digest
    assert contents.digest == f"sha256:{hashlib.sha256((tmp_path / 'source.tar').read_bytes()).hexdigest()}"
    assert contents.files == packed.files
    assert contents.manifest == b"project: digits\n"
    for file in packed.files:
        assert (tmp_path / "out/project" / file.path).read_bytes() == (folder / file.path).read_bytes()
    assert os.listdir(tmp_path / "out") == ["project"]


def test_the_digest_of_a_folder_is_the_same_for_ever(tmp_path: Path) -> None:
    project = tmp_path / "any name"
    project.mkdir()
    (project / "placet.yaml").write_text("project: digits\n")
    (project / "é.txt").write_text("é")
    expected = "sha256:2109aa098f0b82bbf6c631d37479be553e80b7c14fc2641be5fa20d462ec3f40"
    assert pack(project, tmp_path / "source.tar").digest == expected


def test_times_order_owners_and_places_change_nothing(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path / "first.tar").digest
    unpack(tmp_path / "first.tar", tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").rglob("*"):
        os.utime(file, (0, 12345))
    (tmp_path / "elsewhere" / "placet.yaml").chmod(0o600)
    assert pack(tmp_path / "elsewhere", tmp_path / "second.tar").digest == first


def test_an_executable_file_stays_executable(folder: Path, tmp_path: Path) -> None:
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    pack(folder, tmp_path / "source.tar")
    unpack(tmp_path / "source.tar", tmp_path / "out")
    assert (tmp_path / "out/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/placet.yaml").stat().st_mode & 0o777 == 0o644


def test_what_is_no_part_of_the_project_is_not_packed(folder: Path, tmp_path: Path) -> None:
    for name in (
        ".git/config",
        "__pycache__/x.pyc",
        ".venv/bin/python",
        "src/__pycache__/y.pyc",
        "data/raw.csv",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / ".placetignore").write_text("# large\ndata/\n*.log\n!keep.log\n")
    (folder / "a.log").write_text("x")
    (folder / "keep.log").write_text("x")
    packed = pack(folder, tmp_path / "source.tar")
    assert [file.path for file in packed.files] == [
        ".placetignore",
        "keep.log",
        "model.skops",
        "placet.yaml",
        "src/train.py",
    ]


def test_an_archive_packed_into_its_own_folder_does_not_hold_itself(folder: Path) -> None:
    first = pack(folder, folder / "source.tar")
    assert "source.tar" not in [file.path for file in first.files]
    assert pack(folder, folder / "source.tar") == first


@pytest.mark.parametrize("target", ["/etc/passwd", "model.skops", "nowhere", "src"])
def test_a_symbolic_link_is_refused_by_its_name(folder: Path, tmp_path: Path, target: str) -> None:
    (folder / "src" / "link").symlink_to(target)
    with pytest.raises(Refused, match=r"src/link is a symbolic link.*\.placetignore"):
        pack(folder, tmp_path / "source.tar")
    assert not (tmp_path / "source.tar").exists()


def test_an_ignored_link_is_no_trouble(folder: Path, tmp_path: Path) -> None:
    (folder / "data").symlink_to("/var")
    (folder / ".placetignore").write_text("data\n")
    assert len(pack(folder, tmp_path / "source.tar").files) == 4


@pytest.mark.parametrize("name", ["model.skops", "src", ".placetignore", "."])
def test_what_may_not_be_read_is_refused_by_its_name(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / ".placetignore").write_text("data\n")
    (folder / name).chmod(0)
    try:
        with an_ordinary_user(), pytest.raises(Refused, match="cannot be read: Permission denied") as refused:
            pack(folder, tmp_path / "source.tar")
    finally:
        (folder / name).chmod(0o700)
    assert name in refused.value.detail
    assert ".placetignore" in str(refused.value.fix)
    assert not (tmp_path / "source.tar").exists()


def test_a_full_disk_is_no_file_that_changed(folder: Path, tmp_path: Path) -> None:
    (folder / "model.skops").write_bytes(bytes(1 << 20))
    (tmp_path / "source.tar").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        pack(folder, tmp_path / "source.tar")


def test_a_pipe_is_refused_by_its_name(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(Refused, match="pipe is neither a file nor a folder"):
        pack(folder, tmp_path / "source.tar")


def test_a_folder_over_a_limit_is_refused_before_it_is_sent(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        pack(folder, tmp_path / "source.tar", Limits(max_unpacked=1000))
    with pytest.raises(TooLarge):
        pack(folder, tmp_path / "source.tar", Limits(max_entries=2))
    assert not (tmp_path / "source.tar").exists()


def test_what_is_too_large_is_named_before_any_of_it_is_packed(folder: Path, tmp_path: Path) -> None:
    """Also where the archive could not be written: that is not even tried."""
    (tmp_path / "source.tar").symlink_to("/dev/full")
    with (folder / "weights.bin").open("wb") as sparse:
        sparse.truncate(1300 * 1024**2)
    with pytest.raises(TooLarge, match=r"^weights.bin has 1.27 GiB; the limit is 1 GiB; leave large files"):
        pack(folder, tmp_path / "source.tar")
    with (folder / "weights.bin").open("wb") as sparse, (folder / "more.bin").open("wb") as more:
        sparse.truncate(600 * 1024**2)
        more.truncate(500 * 1024**2)
    with pytest.raises(
        TooLarge, match=r"have 1.08 GiB together, weights.bin alone 600 MiB; the limit is 1 GiB"
    ):
        pack(folder, tmp_path / "source.tar")


def test_two_files_that_differ_only_in_case_are_refused_when_packing(folder: Path, tmp_path: Path) -> None:
    (folder / "Model.skops").write_text("x")
    with pytest.raises(Refused, match="only in upper and lower case"):
        pack(folder, tmp_path / "source.tar")


@pytest.mark.parametrize(
    "options", [["-cf"], ["--format=gnu", "-cf"], ["--format=ustar", "-cf"], ["--format=posix", "-czf"]]
)
def test_what_tar_writes_is_read(folder: Path, tmp_path: Path, options: list[str]) -> None:
    long = "d" * 60 + "/" + "f" * 90
    (folder / long).parent.mkdir()
    (folder / long).write_text("long")
    subprocess.run(["tar", *options, tmp_path / "source.tar", "-C", folder, "."], check=True)
    contents = unpack(tmp_path / "source.tar", tmp_path / "out")
    assert long in [file.path for file in contents.files]
    assert (tmp_path / "out" / long).read_text() == "long"


def test_what_git_archive_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar(("placet.yaml", b"a"), headers={"comment": "a" * 40}))
    assert inspect_archive(tmp_path / "x.tar").manifest == b"a"


def test_a_place_that_is_taken_is_left_alone(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "source.tar")
    with pytest.raises(Refused, match="exists already"):
        unpack(tmp_path / "source.tar", folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x", "'../x' leads out"),
        ("a/../../x", "leads out"),
        ("a/./x", "leads out"),
        ("a//x", "leads out"),
        ("..", "leads out"),
        ("/etc/passwd", "'/etc/passwd' is an absolute name"),
        ("C:/x", "begins like a drive"),
        ("a\\..\\x", "a backslash"),
        ("a\nb", "control character"),
        ("a\x1b[2Jb", "control character"),
        ("a\u202eb", "control character"),
        ("n" * 256, "name of more than 255 bytes"),
        ("é" * 128, "name of more than 255 bytes"),
        ("d/" * 16 + "x", "more than 16 folders deep"),
        ("x/", "leads out"),
    ],
)
def test_a_name_that_could_mean_another_place_is_refused(name: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(tar(("fine", b"1"), (name, b"2")), tmp_path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.CONTTYPE, "a contiguous file"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"M", "a part of a file"),
        (b"Z", "of an unknown kind"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(kind: bytes, said: str, tmp_path: Path) -> None:
    assert f"member 'thing' is {said}" in refusal(
        tar(("a", b"1"), (special(kind, target="a"), b"")), tmp_path
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a", b"1"), ("a", b"2")], "'a' is in the archive twice"),
        ([("a", b"1"), ("./a", b"2")], "'a' is in the archive twice"),
        ([("a", b"1"), ("A", b"2")], "'A' differs from a only"),
        ([("dir/a", b"1"), ("DIR/b", b"2")], "differs from dir only"),
        ([("straße", b"1"), ("strasse", b"2")], "differs from"),
        ([("\u00e9", b"1"), ("e\u0301", b"2")], "differs from"),
        ([("\ufb01x", b"1"), ("fix", b"2")], "differs from"),
        ([("a", b"1"), ("a/b", b"2")], "lies below a, which is a file"),
        ([("a/b", b"1"), ("a", b"2")], "a folder and a file at once"),
        ([("a", b"1"), (special(tarfile.DIRTYPE, "a"), b"")], "a file and a folder at once"),
    ],
)
def test_two_members_for_one_place_are_refused(members: list[Member], said: str, tmp_path: Path) -> None:
    assert said in refusal(tar(*members), tmp_path)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (with_pax(path="../../x"), "leads out"),
        (with_pax(size="0"), "extension size"),
        (with_pax(linkpath="/etc/passwd"), "extension linkpath"),
        (with_pax(**{"GNU.sparse.realsize": "99999999999"}), "extension GNU.sparse.realsize"),
        (with_pax(**{"GNU.sparse.name": "/etc/passwd"}), "extension GNU.sparse.name"),
        (with_pax(hdrcharset="BINARY"), "extension hdrcharset"),
        (with_pax(comment="x" * 20_000), "header extension of"),
    ],
)
def test_extended_headers_cannot_change_what_a_member_is(
    info: tarfile.TarInfo, said: str, tmp_path: Path
) -> None:
    assert said in refusal(tar((info, b"1")), tmp_path)


@pytest.mark.parametrize("headers", [{"path": "x"}, {"size": "1"}, {"GNU.sparse.major": "1"}], ids=str)
def test_global_headers_cannot_change_what_follows(headers: dict[str, str], tmp_path: Path) -> None:
    assert "a global header sets" in refusal(tar(("a", b"1"), headers=headers), tmp_path)


def raw_header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108] = b"0000644\0"
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            raw_header(b"a", b"\x80" + b"\0" * 10 + b"\x01") + b"x" * 512 + b"\0" * 1024,
            "size is no octal number",
        ),
        (raw_header(b"a", b"\xff" * 12) + b"\0" * 1024, "size is no octal number"),
        (raw_header(b"a", b"-0000000001\0") + b"\0" * 1024, "size is no octal number"),
        (raw_header(b"a", b"77777777777\0") + b"\0" * 1024, "the limit is"),
        (raw_header(b"a", b"00000001000\0") + b"\0" * 100, "'a' is cut off"),
        (raw_header(b"x", b"77777777777\0", b"L"), "header extension of"),
        (raw_header(b"x", b"77777777777\0", b"x"), "header extension of"),
        (raw_header(b"x", b"00000000005\0", b"x") + b"5 a=b" + b"\0" * 507, "malformed"),
        (raw_header(b"x", b"00000000005\0", b"x") + b"99 a\n" + b"\0" * 507, "malformed"),
        (raw_header(b"\xff\xfe", b"00000000000\0") + b"\0" * 1024, "not UTF-8"),
        (raw_header(b"", b"00000000000\0") + b"\0" * 1024, "is an absolute name"),
        (raw_header(b"d", b"00000001000\0", b"5") + b"x" * 512 + b"\0" * 1024, "a folder with content"),
        (raw_header(b"a", b"00000000000\0")[:-1] + b"\1" + b"\0" * 1024, "checksum is wrong"),
        (b"\0" * 1024, "holds no files"),
        (b"", "its end is missing"),
        (b"\0" * 512, "holds no files"),
        (b"PK\x03\x04" + b"\0" * 2000, "checksum is wrong"),
    ],
)
def test_headers_made_by_hand_are_refused(data: bytes, said: str, tmp_path: Path) -> None:
    assert said in refusal(data, tmp_path)


def test_an_archive_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = tar(("placet.yaml", b"a" * 600), ("b", b"b"))
    end = whole.rindex(b"b" + b"\0" * 511) + 512
    for length in range(0, end + 512, 256):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(Refused):
            inspect_archive(tmp_path / "cut.tar")


@pytest.mark.parametrize(
    "data",
    [
        tar(("a", b"1")) + b"more",
        tar(("a", b"1")) + tar(("b", b"1")),
        gzip.compress(tar(("a", b"1"))) + b"more",
        gzip.compress(tar(("a", b"1"))) + gzip.compress(tar(("b", b"1"))),
        gzip.compress(tar(("a", b"1")) + b"more"),
    ],
    ids=["bytes", "an archive", "bytes behind gzip", "a second gzip", "bytes inside gzip"],
)
def test_something_behind_the_end_is_refused(data: bytes, tmp_path: Path) -> None:
    assert "something behind" in refusal(data, tmp_path)


@pytest.mark.parametrize("cut", [1, 4, 9, 20])
def test_a_gzip_stream_that_is_cut_off_is_refused(cut: int, tmp_path: Path) -> None:
    assert "cut off" in refusal(gzip.compress(tar(("a", os.urandom(2000))))[:-cut], tmp_path)


def test_a_gzip_stream_that_is_broken_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar(("a", os.urandom(2000)))))
    data[-6] ^= 1  # its checksum
    assert "broken" in refusal(bytes(data), tmp_path)


def zeros(count: int) -> bytes:
    """A gzip stream of a tar header that promises `count` zeros, and the zeros, made without holding them."""
    compressor = zlib.compressobj(9, wbits=31)
    pieces = [compressor.compress(raw_header(b"a", b"%011o\0" % count))]
    pieces += [compressor.compress(bytes(1024**2)) for _ in range(count // 1024**2)]
    return b"".join([*pieces, compressor.flush()])


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(zeros(256 * 1024**2))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="more than 200 times its size"):
            inspect_archive(archive)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024**2
    finally:
        tracemalloc.stop()


def test_a_slow_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    limits = Limits(max_unpacked=1024**2, max_ratio=10**6)
    assert "the limit is 1 MiB" in refusal(zeros(8 * 1024**2), tmp_path, limits)


def test_every_limit_is_kept(tmp_path: Path) -> None:
    many = tar(*((f"f{number}", b"") for number in range(20)))
    assert "more than 10 members" in refusal(many, tmp_path, Limits(max_entries=10))
    (tmp_path / "place").rmdir()
    assert "has 1.96 KiB; the limit is 1000 bytes" in refusal(
        tar(("a", b"x" * 2000)), tmp_path, Limits(max_file=1000)
    )
    (tmp_path / "place").rmdir()
    assert "the limit is 4 KiB" in refusal(tar(("a", b"x" * 9000)), tmp_path, Limits(max_archive=4096))


def test_headers_without_members_end_somewhere(tmp_path: Path) -> None:
    comments = raw_header(b"g", b"00000000000\0", b"g") * 100
    assert "more than 10 members" in refusal(comments, tmp_path, Limits(max_entries=10))


names = st.text("ab.é", min_size=1, max_size=4).filter(lambda name: name.strip("."))
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=1500), min_size=1, max_size=8
)


def is_possible(paths: Iterable[str]) -> bool:
    known = set(paths)
    return not any(f"{path}/" in f"{other}/" and path != other for path in known for other in known)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(tree=trees.filter(is_possible), data=st.data())
def test_any_folder_comes_back_as_it_was(tree: dict[str, bytes], data: st.DataObject, tmp_path: Path) -> None:
    place = tmp_path / str(len(os.listdir(tmp_path)))
    for name, content in tree.items():
        (place / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "in" / name).write_bytes(content)
    packed = pack(place / "in", place / "source.tar")
    if data.draw(st.booleans(), label="gzip"):
        (place / "source.tar").write_bytes(gzip.compress((place / "source.tar").read_bytes()))
    contents = unpack(place / "source.tar", place / "out")
    assert contents.files == packed.files
    assert {file.path: (place / "out" / file.path).read_bytes() for file in contents.files} == tree


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_damage_is_refused_or_harmless(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    data = bytearray(tar(("a/b", b"1" * 100), ("é" * 60, b"2"), ("c", b"3" * 700)))
    for position, value in changes:
        data[position] = value
    archive, into = tmp_path / "damaged.tar", tmp_path / "place" / "into"
    archive.write_bytes(bytes(data))
    try:
        contents = unpack(archive, into)
    except Refused:
        assert not (tmp_path / "place").exists() or list((tmp_path / "place").iterdir()) == []
        return
    written = {file.relative_to(into).as_posix() for file in into.rglob("*") if file.is_file()}
    assert written == {file.path for file in contents.files}
    into.rename(tmp_path / f"kept-{len(os.listdir(tmp_path))}")


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_one_file_is_read_out_of_an_archive_and_no_more_of_it_than_wanted(
    packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    archive = tmp_path / "source.tar"
    archive.write_bytes(
        packed(tar(("./a", b"first"), ("docs/README.md", b"a card" * 50_000), ("z", b"last")))
    )
    assert read_one(archive, "a", limit=5) == b"first"
    assert read_one(archive, "docs/README.md", limit=300_000) == b"a card" * 50_000
    assert read_one(archive, "z", limit=100) == b"last"
    assert read_one(archive, "docs/README.md", limit=299_999) is None
    assert read_one(archive, "README.md", limit=100) is None


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_files_are_read_with_their_digests_and_with_what_is_in_those_that_are_wanted(
    packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    archive = tmp_path / "source.tar"
    archive.write_bytes(packed(tar(("./a", b"first"), ("docs/b", b"12"), ("c", b"1234"), ("d", b""))))

    def digest(of: bytes) -> str:
        return f"sha256:{hashlib.sha256(of).hexdigest()}"

    found = list(read_files(archive, keeping={"docs/b", "c", "d"}, keep=3))
    assert found == [
        ReadFile(path="a", size=5, digest=digest(b"first")),
        ReadFile(path="docs/b", size=2, digest=digest(b"12"), content=b"12"),
        ReadFile(path="c", size=4, digest=digest(b"1234")),
        ReadFile(path="d", size=0, digest=digest(b""), content=b""),
    ]
