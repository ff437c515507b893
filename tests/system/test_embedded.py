"""The scenarios on `placet up`: one process, nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.platforms import ROOT, Platform, embedded
from tests.system.scenarios import Scenarios, ask, deploy


class TestEmbedded(Scenarios):
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Its data folder is there before, and open to all."""
        folder = tmp_path_factory.mktemp("embedded")
        (folder / "data").mkdir()
        (folder / "data").chmod(0o755)
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def platform(cls, folder: Path) -> Iterator[Platform]:
        with embedded(folder) as platform:
            yield platform

    async def test_the_example_that_mlflow_wrote_is_deployed_as_it_stands(
        self, platform: Platform, tmp_path: Path
    ) -> None:
        example = Path(__file__).parents[2] / "examples" / "progression"
        live = await deploy(platform, Path(shutil.copytree(example, tmp_path / "progression")))
        assert live.state == "live", live.refusals
        sample = json.loads((example / "sample.json").read_text())
        async with platform.http() as http:
            answer = await http.post("/models/progression/predict", json=sample["request"])
        assert answer.json()["outputs"] == pytest.approx(sample["response"]["outputs"])
        await ask(platform, "stop", "progression")

    def test_what_the_platform_keeps_is_nobody_elses(self, platform: Platform, folder: Path) -> None:
        kept = list((folder / "data").iterdir())
        assert {each.name for each in kept} >= {"keys", "log", "registry"}
        assert [each.name for each in kept if each.stat().st_mode & 0o077] == []

    @pytest.mark.parametrize("name", ["wine", "tumours", "iris"])
    async def test_an_example_of_another_format_is_deployed_as_it_stands(
        self, platform: Platform, tmp_path: Path, name: str
    ) -> None:
        """Its image brings what its format needs; that it answers its sample the platform itself has asked."""
        live = await deploy(platform, Path(shutil.copytree(ROOT / "examples" / name, tmp_path / name)))
        assert live.state == "live", live.refusals
        sample = json.loads((ROOT / "examples" / name / "sample.json").read_text())
        async with platform.http() as http:
            answer = await http.post(f"/models/{name}/predict", json=sample["request"])
        assert answer.json()["outputs"] == sample["response"]["outputs"]
        await ask(platform, "stop", name)

    async def test_a_request_whose_head_does_not_end_is_cut_off(self, platform: Platform) -> None:
        """It needs no token, so it must not cost memory."""
        where = urlsplit(platform.url)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: placet\r\nX-Endless: ")
        with pytest.raises(ConnectionError):
            await _write_without_end(writer)
        async with platform.http() as http:
            assert (await http.get("/livez")).status_code == 200

    async def test_who_connects_and_says_nothing_is_parted_with(self, platform: Platform) -> None:
        """Or enough of them would keep everybody else out."""
        where = urlsplit(platform.url)
        reader, _ = await asyncio.open_connection(where.hostname, where.port)
        assert await asyncio.wait_for(reader.read(), 60) == b""


async def _write_without_end(writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(b"x" * 2**20)
        await writer.drain()
