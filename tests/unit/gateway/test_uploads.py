"""Sources as browsers have them: the same digest as the command line's, and nothing kept of what is hostile."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.errors import Refused
from placet.events.contracts import gateway as said
from placet.projects import Limits, pack, unpack_sent
from placet.projects.incoming import ZIP_MAGIC

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.test_gateway_api import MANIFEST, archive, is_problem

FILES = {
    "placet.yaml": MANIFEST,
    "model.skops": b"no model",
    "données/très.csv": b"a,b\n",
    ".placetignore": b"*.csv\n!keep.csv\n",
    "keep.csv": b"1\n",
    "__pycache__/x.pyc": b"code",
}
IGNORED = ["__pycache__/x.pyc", "données/très.csv"]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads are written down while they are looked at."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


def zipped(files: dict[str, bytes], top: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(f"{top}{name}", content)
    return packed.getvalue()


def a_member(name: str, content: bytes = b"x", mode: int = 0, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with the project and one member more, as it is named here and no other way."""
    packed = io.BytesIO(zipped({"placet.yaml": MANIFEST}))
    with zipfile.ZipFile(packed, "a") as out:
        member = zipfile.ZipInfo("x")
        member.filename, member.external_attr, member.compress_type = name, mode << 16, method
        out.writestr(member, content)
    return packed.getvalue()


def form(files: dict[str, bytes], top: str = "churn/") -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (f"{top}{name}", content)) for name, content in files.items()]


def digest_by_the_command_line(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return pack(folder, folder.with_suffix(".tar")).digest


async def sent(gateway: Gateway, body: Any, **query: str) -> httpx.Response:
    """A list is a form's parts, and bytes are an archive."""
    async with gateway.http() as http:
        if isinstance(body, list):
            return await http.post("/v1/sources", files=body, params=query)
        return await http.post("/v1/sources", content=body, params=query)


async def test_a_folder_has_one_digest_on_every_road(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    packed = archive({f"churn/{name}": content for name, content in FILES.items()})
    wanted = digest_by_the_command_line(folder, FILES)

    first = await sent(gateway, form(FILES))
    others = [
        await sent(gateway, body)
        for body in (
            zipped(FILES),
            zipped(FILES, top="churn/"),
            packed,
            gzip.compress(packed),
            [("archive", ("churn.zip", zipped(FILES)))],
        )
    ]

    assert first.status_code == 201, first.text
    assert (first.json()["source"], first.json()["project"], first.json()["files"]) == (wanted, "churn", 4)
    assert (first.json()["ignored"], first.json()["ignoredFiles"]) == (IGNORED, 2)
    assert [other.status_code for other in others] == [200] * 5
    assert [other.json() for other in others] == [first.json()] * 5
    assert len([each for each in await gateway.said() if isinstance(each, said.SourceUploaded)]) == 1
    assert gateway.sources.archives[wanted] == folder.with_suffix(".tar").read_bytes()
    operation = await gateway.command({"command": "deploy", "source": {"digest": wanted}})
    assert operation["project"] == "churn"


async def test_what_the_rules_would_say_is_told_at_once(gateway: Gateway, scratch: Path) -> None:
    answer = (await sent(gateway, form(FILES))).json()

    refused = {each["rule"]: each for each in answer["refusals"]}
    assert answer["state"] == "refused"
    assert "model.skops looks like no model that is known here" in refused["model.file-matches"]["why"]
    assert {"governance.data-declared", "model.sample-present"} <= refused.keys()
    assert refused["governance.data-declared"]["fix"].startswith("list every data set")
    assert {each["rule"] for each in answer["verdicts"] if each["result"] != "pass"} >= refused.keys()
    assert is_empty(scratch)


async def test_a_folder_of_mlflow_is_a_trial_that_is_called_as_its_folder(gateway: Gateway) -> None:
    iris = Path(__file__).parents[2] / "mlflow_folders" / "iris"
    files = {each.name: each.read_bytes() for each in iris.iterdir()}

    named = (await sent(gateway, form(files, top="My Irises/"))).json()
    flat = (await sent(gateway, zipped(files), name="My Irises")).json()

    assert (named["project"], named["trial"], named["state"]) == ("my-irises", True, "cleared"), named
    assert flat == named


async def test_what_macos_adds_to_a_zip_is_no_part_of_it(gateway: Gateway) -> None:
    plain = await sent(gateway, zipped({"placet.yaml": MANIFEST}))
    added = zipped({"churn/placet.yaml": MANIFEST, "__MACOSX/churn/._placet.yaml": b"x"})
    same = await sent(gateway, added)

    assert same.json()["source"] == plain.json()["source"]
    assert same.json()["ignored"] == ["__MACOSX/churn/._placet.yaml"]


def overlapping() -> bytes:
    """Its directory says of each member that it lies where the first one does."""
    packed = bytearray(zipped({f"{number}.bin": bytes(1000) for number in range(10)}))
    entry = packed.find(b"PK\x01\x02")
    while entry >= 0:
        packed[entry + 42 : entry + 46] = bytes(4)
        entry = packed.find(b"PK\x01\x02", entry + 1)
    return bytes(packed)


def with_a_link() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as out:
        link = tarfile.TarInfo("passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    return packed.getvalue()


def encrypted() -> bytes:
    plain = bytearray(a_member("secret"))
    plain[plain.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(plain)


HOSTILE: list[tuple[str, Any, int, str]] = [
    ("bomb", zipped({"zeros": bytes(32 * 1024**2)}), 413, "200 times its size, like a bomb"),
    ("tar bomb", gzip.compress(archive({"zeros": bytes(32 * 1024**2)})), 413, "like a bomb"),
    ("shared bytes", overlapping(), 422, "share their bytes"),
    ("link", a_member("passwd", b"/etc/passwd", stat.S_IFLNK | 0o777), 422, "'passwd' is a link"),
    ("device", a_member("tty", b"", stat.S_IFCHR | 0o666), 422, "neither a file nor a folder"),
    ("encrypted", encrypted(), 422, "'secret' is encrypted"),
    ("lzma", a_member("odd", method=zipfile.ZIP_LZMA), 422, "in another way"),
    ("absolute", a_member("/etc/cron.d/x"), 422, "absolute name"),
    ("out", a_member("a/../../x"), 422, "leads out of its folder"),
    ("drive", a_member("C:x"), 422, "begins like a drive"),
    ("backslash", a_member("..\\x"), 422, "backslash"),
    ("deep", a_member("/".join("d" * 20)), 422, "16 folders deep"),
    ("one name on some disks", zipped({"Model.skops": b"", "model.skops": b""}), 422, "upper and lower case"),
    ("folder and file", zipped({"a/b": b"", "a": b""}), 422, "file"),
    ("cut", zipped(FILES)[:-30], 422, "not a whole zip"),
    ("no archive", b"hello", 422, "neither a whole zip nor a whole tar"),
    ("zip without its beginning", zipped(FILES)[4:], 422, "neither a whole zip nor a whole tar"),
    ("cut gzip", b"\x1f\x8bx", 422, "not a whole tar"),
    ("cut tar", archive()[:600], 422, "cut off"),
    ("tar with a link", with_a_link(), 422, "'passwd' is a symbolic link"),
    ("form: out", form({"x": b""}, top="../"), 422, "leads out"),
    ("form: absolute", form({"x": b""}, top="/etc/"), 422, "absolute"),
    ("form: two are one", form({"A": b"", "a": b""}), 422, "upper and lower case"),
    ("form: twice", form({"a": b""}) * 2, 422, "twice"),
    ("form: a field", [("file", ("a", b"")), ("other", ("b", b""))], 400, "call each file's 'file'"),
    ("form: both", [("file", ("a", b"")), ("archive", ("b", b""))], 400, "or one archive"),
    ("form: a bomb", [("archive", ("b.zip", zipped({"zeros": bytes(32 * 1024**2)})))], 413, "bomb"),
    ("nothing", b"", 400, "nothing was sent"),
    ("no manifest", zipped({"model.skops": b"x"}), 422, "no placet.yaml"),
    (
        "a wrong manifest",
        zipped({"placet.yaml": b"apiVersion: placet/v2"}),
        422,
        "3 mistakes in placet.yaml",
    ),
    ("too large", bytes(65 * 1024), 413, "at most 65536 bytes"),
    (
        "too large when packed",
        form({"placet.yaml": MANIFEST, "x": bytes(65 * 1024)}),
        413,
        "the limit is 64 KiB",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "saying"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE]
)
async def test_nothing_is_kept_of_what_is_refused(
    gateway: Gateway, scratch: Path, body: Any, status: int, saying: str
) -> None:
    is_problem(await sent(gateway, body), status, saying)

    assert gateway.sources.archives == {}
    assert [each for each in await gateway.said() if isinstance(each, said.SourceUploaded)] == []
    assert is_empty(scratch)


PART = b'--x\r\nContent-Disposition: form-data; name="file"'


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        ("", b"--x\r\n"),
        ("x", b"preamble first\r\n--x--\r\n"),
        ("x", b"--x--\r\n"),
        ("x", PART + b'; filename="a"\r\n\r\ncut'),
        ("x", PART + b"\r\n\r\nno file\r\n--x--\r\n"),
        ("x", PART + b'; filename="\xff"\r\n\r\n\r\n--x--\r\n'),
    ],
    ids=["no boundary", "preamble", "empty", "cut", "a field", "not UTF-8"],
)
async def test_what_is_no_form_is_unreadable(gateway: Gateway, boundary: str, body: bytes) -> None:
    kind = "multipart/form-data" + (f"; boundary={boundary}" if boundary else "")
    async with gateway.http() as http:
        is_problem(await http.post("/v1/sources", content=body, headers={"Content-Type": kind}), 400)
    assert gateway.sources.archives == {}


async def test_only_who_makes_models_uploads(gateway: Gateway) -> None:
    async with gateway.http(gateway.token("auditor")) as http:
        is_problem(await http.post("/v1/sources", content=zipped(FILES)), 403)


def lies_about_a_size() -> bytes:
    """What `zipfile` believes is what it reads at most: the rest must not be missing in what passes as the file."""
    packed = bytearray(zipped({"model": bytes(5000)}))
    entry = packed.rindex(b"PK\x01\x02")
    packed[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    return bytes(packed)


def has_a_directory_without_end() -> bytes:
    directory = 8 * 1024**2
    packed = bytearray(zipped({"model": b""}))
    end = packed.rindex(b"PK\x05\x06")
    packed[end + 12 : end + 16] = directory.to_bytes(4, "little")
    return ZIP_MAGIC + bytes(directory) + bytes(packed)


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (lies_about_a_size(), "not a whole zip"),
        (has_a_directory_without_end(), "directory has more than"),
        (zipped({f"{number}": b"" for number in range(21)}), "more than 20 members"),
        (zipped({"a": bytes(1000), "b": bytes(1001)}), "more than 1.96 KiB together"),
        (zipped({"a": bytes(1500)}), "has 1.47 KiB"),
    ],
    ids=["size", "directory", "members", "together", "one"],
)
def test_what_a_zip_says_of_itself_is_not_believed(tmp_path: Path, content: bytes, saying: str) -> None:
    (tmp_path / "sent").write_bytes(content)
    limits = Limits(max_entries=20, max_unpacked=2000, max_file=1200 if "1.47" in saying else 5000)
    with pytest.raises(Refused, match=saying):
        unpack_sent(tmp_path / "sent", tmp_path / "out", limits)


async def test_a_manifest_with_mistakes_is_refused_with_all_that_the_rules_say_of_the_rest(
    gateway: Gateway,
) -> None:
    files = {
        "placet.yaml": b"apiVersion: placet/v2\nproject: wine\nmodel: {format: keras, path: model.skops}\n"
    }
    answer = await sent(gateway, zipped(files))

    is_problem(answer, 422, "one mistake in placet.yaml")
    told = [each["rule"] for each in answer.json()["refusals"]]
    assert told[:3] == [None, "model.format-allowed", "model.file-matches"]
    assert {"model.sample-present", "build.requirements-pinned", "governance.owner-named"} < set(told)
    assert all(each["why"] for each in answer.json()["refusals"])
    assert gateway.sources.archives == {}
