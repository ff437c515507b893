"""The scenarios on `placet up`: one process, nothing else."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import mlflow.pyfunc
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.mlflow_folders.frames import SPENDING
from tests.support.collector import Collector
from tests.support.eventually import eventually
from tests.support.oidc_provider import OidcProvider
from tests.support.platforms import ROOT, Platform, embedded
from tests.system.audit import AuditedPlatform
from tests.system.console import ConsoleStories
from tests.system.console_audit import AuditStories
from tests.system.console_governance import GovernanceStories
from tests.system.console_oidc import ProvidersStories, known_by
from tests.system.console_platform import PlatformStories
from tests.system.evidence import evidence_holds
from tests.system.models import requirement, write_pickled
from tests.system.scenarios import (
    Scenarios,
    ask,
    client_of,
    deploy,
    placet,
    predict,
    printed,
    refusal_of,
)
from tests.system.sharing import SharedProjects
from tests.system.story import WholeStory
from tests.system.traces import TracedStories
from tests.system.watched import WatchedStories


class TestEmbedded(
    Scenarios,
    WholeStory,
    AuditedPlatform,
    ConsoleStories,
    GovernanceStories,
    AuditStories,
    PlatformStories,
    ProvidersStories,
    SharedProjects,
    TracedStories,
    WatchedStories,
):
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
    def platform(cls, folder: Path, provider: OidcProvider, collector: Collector) -> Iterator[Platform]:
        known = known_by(provider, folder / "provider")
        settings = {f"PLACET_{name}": value for name, value in known.items()}
        with embedded(folder, settings | collector.environment) as platform:
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

    async def test_a_pickle_is_served_by_an_exception_that_two_people_made(
        self, platform: Platform, tmp_path: Path
    ) -> None:
        folder = write_pickled(tmp_path / "pickled", "pickled")
        refused = await placet(platform, "deploy", str(folder), status=1)
        [refusal] = refused["refusals"]
        rule = "model.pickle-by-exception"
        assert refusal["rule"] == rule
        assert f"`placet exception request pickled --rule {rule} --days 30 --reason …`" in refusal["fix"]
        for_days = ("--rule", rule, "--days", "30", "--reason", "The last one before skops")
        asked = (await placet(platform, "exception", "request", "pickled", *for_days))["exception"]
        own = await printed(platform, "token", "create", "--as", "admin", "--role", "approver")
        await placet(replace(platform, token=own.strip()), "exception", "grant", "pickled", asked, status=1)
        assert (await placet(platform, "deploy", str(folder), status=1))["state"] == "refused"

        token = await printed(platform, "token", "create", "--as", "grace", "--role", "compliance")
        grace = replace(platform, token=token.strip())
        granted = await placet(grace, "exception", "grant", "pickled", asked)
        assert (granted["state"], granted["grantedBy"]["name"]) == ("granted", "grace")
        live = await placet(platform, "deploy", str(folder))
        assert live["state"] == "live", live["refusals"]
        excepted = [(each["rule"], each["exception"]) for each in live["verdicts"] if each["exception"]]
        assert excepted == [(rule, asked)]
        assert await predict(platform, "pickled", 5.0) == pytest.approx(10.0)
        async with client_of(platform) as client:
            said = (await client.certificate(live["certificate"])).statement["predicate"]
        [used] = said["exceptions"]
        assert (used["exception"], used["rule"]) == (asked, rule)
        assert used["grantedBy"] == granted["grantedBy"]["person"]
        assert said["notAfter"] == used["until"]

        await placet(grace, "exception", "withdraw", "pickled", asked)
        told = await eventually(lambda: refusal_of(platform, "pickled"))
        assert (told["rule"], asked in told["detail"]) == (rule, True)
        assert (await placet(platform, "deploy", str(folder), status=1))["state"] == "refused"

        another = (await placet(platform, "exception", "request", "pickled", *for_days))["exception"]
        await placet(grace, "exception", "grant", "pickled", another)
        await eventually(lambda: answers(platform, "pickled", 10.0))
        shown = await placet(platform, "certificate", "show", live["certificate"])
        assert (shown["state"], shown["grounds"]) == ("valid", [])
        checked = await evidence_holds(platform, "pickled", tmp_path / "evidence")
        assert any("1 exceptions and 0 approvals" in each for each in checked)
        await ask(platform, "stop", "pickled")

    @pytest.mark.slow
    async def test_a_folder_that_only_mlflow_loads_is_served_by_two_exceptions(
        self, platform: Platform, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(ROOT / "tests" / "mlflow_folders" / "spending", tmp_path / "spending"))
        # of MLflow the part that is installed here; all of it takes a minute to fetch
        pins = [requirement(name) for name in ("mlflow-skinny", "numpy", "pandas", "statsmodels")]
        (folder / "requirements.txt").write_text("\n".join(pins))
        refused = await placet(platform, "deploy", str(folder), status=1)
        rules = ["model.pickle-names-listed", "model.pickle-by-exception"]
        assert [refusal["rule"] for refusal in refused["refusals"]] == rules
        token = await printed(platform, "token", "create", "--as", "grace", "--role", "compliance")
        grace = replace(platform, token=token.strip())
        for rule in rules:
            for_days = ("--rule", rule, "--days", "30", "--reason", "No library of ours loads it")
            asked = (await placet(platform, "exception", "request", "spending", *for_days))["exception"]
            await placet(grace, "exception", "grant", "spending", asked)
        live = await placet(platform, "deploy", str(folder))
        assert live["state"] == "live", live["refusals"]
        rows = SPENDING.drop(columns="spent")
        async with platform.http() as http:
            answer = await http.post(
                "/models/spending/predict",
                json={"inputs": rows.to_dict("records")},
                headers=platform.authorized(),
            )
        expected = mlflow.pyfunc.load_model(str(folder)).predict(rows)
        assert answer.json()["outputs"] == pytest.approx(expected.tolist())
        await ask(platform, "stop", "spending")

    async def test_the_rest_api_of_all_services_is_described_in_valid_openapi(
        self, platform: Platform
    ) -> None:
        async with platform.http() as http:
            document = (await http.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1.")
        assert {"/v1/sources", "/v1/events", "/v1/garbage", "/v1/capacity"} <= document["paths"].keys()
        calls = [each for path, item in document["paths"].items() if "/v1/" in path for each in item.values()]
        assert all(call["security"] == [{"token": []}] for call in calls)
        assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

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


async def answers(platform: Platform, project: str, expected: float) -> bool:
    if await refusal_of(platform, project) is not None:
        return False
    return await predict(platform, project, 5.0) == pytest.approx(expected)


async def _write_without_end(writer: asyncio.StreamWriter) -> NoReturn:
    while True:
        writer.write(b"x" * 2**20)
        await writer.drain()
