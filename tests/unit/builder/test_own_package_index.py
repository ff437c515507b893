"""Packages from an index of one's own: a folder of wheels, and nothing else is asked."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from packaging.requirements import Requirement
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import host_platform, host_python
from placet.builder.layers_runtime import serving_code
from placet.builder.locking import lock, parse_requirements
from placet.builder.ports import Target
from placet.builder.settings import BuilderSettings, Limits
from placet.errors import PlacetError, Refused, TooLarge, Unavailable
from placet.events.settings import load
from placet.oci import unpack_layers
from placet.oci.files import digest_of_file

from tests.unit.builder.sources import FILES, Shop
from tests.unit.builder.wheels import write_wheel

HERE = Target(python=host_python(), platform=host_platform())


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Wheels of `light`, which needs `lighter`, and of everything that the model server needs."""
    folder = tmp_path / "a mirror"
    write_wheel(folder, "light", "1.0", needs=["lighter>=2"], metadata="License-Expression: MIT\n")
    write_wheel(folder, "lighter", "2.0")
    for requirement in serving_code().requirements:
        write_wheel(folder, Requirement(requirement).name, "1000.0")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("form", ["{}", "file://{}"])
async def test_an_image_is_built_where_there_is_nothing_but_a_folder_of_wheels(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")  # would be an error if it were asked
    shop = Shop(tmp_path)
    source = await shop.upload({**FILES, "requirements.txt": b"light\n"})
    packages = UvPackages(form.format(mirror))

    built = await shop.workshop(packages=packages, compiler=PythonCompiler()).build("churn", 1, source)

    manifest = await shop.registry.manifest(built.repository, built.image)
    tree = await unpack_layers(shop.registry, built.repository, manifest, tmp_path / "unpacked")
    assert (tree / "app/deps/light/__init__.py").read_text() == "version = '1.0'\n"
    assert (tree / "app/deps/lighter/__init__.py").is_file()
    assert (tree / "app/serving/numpy/__init__.py").is_file()
    assert str(mirror) not in (tree / "app/requirements.lock").read_text()


async def test_a_wheel_for_another_machine_that_is_added_later_changes_no_lock(
    tmp_path: Path, mirror: Path
) -> None:
    asked = parse_requirements("light==1.0\n", "requirements.txt")
    before = await lock(asked, [], HERE, packages=UvPackages(str(mirror)), workspace=tmp_path)

    for tag in ("cp399-cp399-manylinux_2_28_x86_64", "cp399-cp399-win_amd64"):
        write_wheel(mirror, "light", "1.0", {"light/__init__.py": tag.encode()}, tag=tag)
    after = await lock(asked, [], HERE, packages=UvPackages(str(mirror)), workspace=tmp_path)

    assert after == before
    assert [len(package.hashes) for package in after.packages] == [1, 1]


async def test_a_package_that_the_folder_does_not_have_is_named(tmp_path: Path, mirror: Path) -> None:
    asked = parse_requirements("numbers-of-nobody==1\n", "requirements.txt")

    with pytest.raises(Refused, match="numbers-of-nobody") as refused:
        await lock(asked, [], HERE, packages=UvPackages(str(mirror)), workspace=tmp_path)

    assert str(mirror) not in str(refused.value)
    assert "name" in str(refused.value.fix)


async def test_an_address_replaces_every_other_place(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder has the package, and would be asked, were it not for the setting."""
    monkeypatch.setenv("UV_FIND_LINKS", str(mirror))
    asked = parse_requirements("light\n", "requirements.txt")

    with pytest.raises(Unavailable) as away:
        await lock(
            asked, [], HERE, packages=UvPackages("http://user:secret@127.0.0.1:9/simple"), workspace=tmp_path
        )

    assert "secret" not in str(away.value)


async def test_a_wheel_that_was_exchanged_after_it_was_locked_is_not_installed(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = UvPackages(str(mirror))
    asked = parse_requirements("light\n", "requirements.txt")
    locked = await lock(asked, [], HERE, packages=packages, workspace=tmp_path)
    write_wheel(mirror, "light", "1.0", {"light/__init__.py": b"steal()\n"}, needs=["lighter>=2"])
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "a cache that does not have the other one"))

    with pytest.raises(Refused, match="hash") as refused:
        await packages.install(str(locked.packages[0]), HERE, tmp_path / "into", tmp_path)

    assert "light" in refused.value.detail
    assert refused.value.fix == "lock the requirements again"
    assert not (tmp_path / "into" / "light").exists()


def damaged(wheel: Path, how: str) -> None:
    """A wheel on the index as somebody may have published it."""
    if how == "no zip":
        wheel.write_bytes(b"<html>not found</html>")
        return
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    record = next(name for name in files if name.endswith("/RECORD"))
    if how == "without RECORD":
        del files[record]
    else:
        files[record] = b"light/__init__.py,sha256=AAAA,1\n'unclosed'\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("how", ["no zip", "without RECORD", "with a RECORD that is none"])
async def test_a_broken_wheel_is_told_as_such_and_with_what_to_do(
    tmp_path: Path, mirror: Path, how: str
) -> None:
    wheel = mirror / "lighter-2.0-py3-none-any.whl"
    damaged(wheel, how)
    packages = UvPackages(str(mirror))

    with pytest.raises(Refused, match=r"the wheel of lighter==2\.0 on the package index") as refused:
        await packages.install(
            f"lighter==2.0 --hash={digest_of_file(wheel)}", HERE, tmp_path / "into", tmp_path
        )

    assert "choose another version than lighter==2.0" in str(refused.value.fix)
    assert str(tmp_path) not in str(refused.value)


async def test_a_wheel_that_is_a_bomb_stops_at_the_limit(tmp_path: Path, mirror: Path) -> None:
    write_wheel(mirror, "bomb", "1.0", {"bomb/data": bytes(50_000_000)})
    shop = Shop(tmp_path)
    source = await shop.upload({**FILES, "requirements.txt": b"bomb\n"})
    limits = Limits(packages_bytes=10_000_000)

    with pytest.raises(TooLarge) as large:
        await shop.workshop(packages=UvPackages(str(mirror), limits)).build("churn", 1, source)

    assert "PLACET_PACKAGES_BYTES" in str(large.value.fix)
    assert shop.leftovers() == []
    assert size_of(tmp_path) < 20_000_000


class Index:
    """The mirror over HTTP. `files` answers in the place of a file, when it is set."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: Callable[[], web.StreamResponse] | None = None
        app = web.Application()
        app.router.add_get("/simple/{name}/", self._listing)
        app.router.add_get("/files/{name}", self._file)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}/simple"

    async def __aenter__(self) -> Index:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _listing(self, request: web.Request) -> web.Response:
        name = request.match_info["name"].replace("-", "_")
        links = [
            f'<a href="/files/{file.name}#{digest_of_file(file).replace(":", "=")}">{file.name}</a>'
            for file in self._folder.glob(f"{name}-*.whl")
        ]
        return web.Response(text="".join(links), content_type="text/html", status=200 if links else 404)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self.files() if self.files else web.FileResponse(self._folder / request.match_info["name"])


@pytest.mark.parametrize("answer", ["unavailable", "not found", "other bytes"])
async def test_an_index_that_goes_or_lies_in_the_middle_leaves_nothing_half_done(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    answers: dict[str, tuple[Callable[[], web.StreamResponse], type[PlacetError]]] = {
        "unavailable": (lambda: web.Response(status=503), Unavailable),
        "not found": (lambda: web.Response(status=404), Unavailable),
        "other bytes": (lambda: web.FileResponse(mirror / "lighter-2.0-py3-none-any.whl"), PlacetError),
    }
    shop = Shop(tmp_path)
    source = await shop.upload({**FILES, "requirements.txt": b"light\n"})
    async with Index(mirror) as index:
        packages = UvPackages(index.url)
        asked = parse_requirements("light\n", "requirements.txt")
        await lock(asked, serving_code().requirements, HERE, packages=packages, workspace=tmp_path)
        shutil.rmtree(tmp_path / "uv cache")
        index.files, expected = answers[answer]

        with pytest.raises(expected) as failed:
            await shop.workshop(packages=packages).build("churn", 1, source)

        assert "127.0.0.1" not in str(failed.value)
        assert f"failed: {failed.value}" in shop.log()
        assert shop.leftovers() == []
        assert not (tmp_path / "registry" / "models").exists()
        index.files = None
        assert (await shop.workshop(packages=packages).build("churn", 1, source)).bom


async def test_what_was_fetched_is_installed_without_the_index(tmp_path: Path, mirror: Path) -> None:
    async with Index(mirror) as index:
        packages = UvPackages(index.url)
        asked = parse_requirements("light\n", "requirements.txt")
        locked = await lock(asked, [], HERE, packages=packages, workspace=tmp_path)
        await packages.fetch([str(package) for package in locked.packages], HERE, tmp_path)

    for package in locked.packages:
        await packages.install(str(package), HERE, tmp_path / package.name, tmp_path)

    assert (tmp_path / "light/light/__init__.py").read_text() == "version = '1.0'\n"
    assert not (tmp_path / "light/lighter").exists()
    assert (tmp_path / "lighter/lighter/__init__.py").is_file()


async def test_what_cannot_be_fetched_is_told_by_whoever_installs_it(tmp_path: Path, mirror: Path) -> None:
    packages = UvPackages(str(mirror))
    unknown = "numbers-of-nobody==1 --hash=sha256:" + "0" * 64

    await packages.fetch([unknown, unknown], HERE, tmp_path)

    with pytest.raises(Refused, match="numbers-of-nobody"):
        await packages.install(unknown, HERE, tmp_path / "into", tmp_path)


@pytest.mark.parametrize("memory", [1_000_000, 4_000_000, 8_000_000])
async def test_a_resolver_that_wants_more_memory_than_it_may_have_is_ended(
    tmp_path: Path, mirror: Path, memory: int
) -> None:
    packages = UvPackages(str(mirror), Limits(memory_bytes=memory))

    with pytest.raises(TooLarge) as large:
        await lock(
            parse_requirements("light\n", "requirements.txt"), [], HERE, packages=packages, workspace=tmp_path
        )

    assert "PLACET_BUILD_MEMORY_BYTES" in str(large.value.fix)


@pytest.mark.parametrize("place", ["wheels", "ftp://example.org/simple"])
def test_what_can_be_no_index_stops_the_start(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    for name, value in (("REGISTRY", "r"), ("DATA_DIR", "d"), ("TOKEN_KEYS", "k"), ("PACKAGE_INDEX", place)):
        monkeypatch.setenv(f"PLACET_{name}", value)

    with pytest.raises(Refused, match="PLACET_PACKAGE_INDEX"):
        load(BuilderSettings)
