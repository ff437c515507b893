"""What is seen of an operation from outside: one trace over all that had to do with it. Stories for any platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from placet.projects import pack

from tests.support.collector import Collected, Collector, collecting
from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.system.models import write_project
from tests.system.scenarios import audit, client_of, placet


class TracedStories:
    @pytest.fixture(scope="class")
    @classmethod
    def collector(cls) -> Iterator[Collector]:
        with collecting() as collector:
            yield collector

    async def test_an_operation_is_one_trace(
        self, platform: Platform, collector: Collector, tmp_path: Path, project: str
    ) -> None:
        trace, caller = token_hex(16), token_hex(8)
        folder = write_project(tmp_path / "p", project)
        packed = pack(folder, folder.with_suffix(".tar"))
        async with client_of(platform) as client:
            await client.upload(folder.with_suffix(".tar"), packed.digest)
            async with platform.http() as http:
                answer = await http.post(
                    "/v1/commands",
                    json={"command": "deploy", "source": {"digest": packed.digest}},
                    headers={
                        **platform.authorized(),
                        "Idempotency-Key": project,
                        "traceparent": f"00-{trace}-{caller}-01",
                    },
                )
            live = await client.finish(answer.json()["operation"])
        assert live.state == "live", live.refusals
        [started] = [
            each["event"]
            for each in await audit(platform, project, until="model.started")
            if each["event"]["type"] == "placet.deployer.model.started.v1"
        ]
        assert started["traceparent"].split("-")[1] == trace

        def of_the_operation() -> list[Collected]:
            return [each for each in collector.spans() if each.trace == trace]

        def is_whole() -> bool:
            """A span is sent when it ends, which is after those within it: then each one's parent is there."""
            spans = of_the_operation()
            known = {each.span for each in spans} | {caller}
            is_told = any("handles placet.deployer.model.started" in each.name for each in spans)
            return is_told and all(each.parent in known for each in spans)

        await eventually(is_whole)
        spans = of_the_operation()
        names = {each.name for each in spans}
        assert {"POST /v1/commands", "builder build", "certifier examine"} <= names, sorted(names)
        handled = {each.name.split(" handles ")[0] for each in spans if " handles " in each.name}
        assert handled == {"gateway", "certifier", "builder", "indexer", "deployer", "metadata"}

        asked = next(each for each in spans if each.name == "POST /v1/commands")
        assert asked.attributes["http.route"] == "/v1/commands"
        assert asked.parent == caller
        committed = [each for each in spans if each.name == "commit gateway"]
        assert ["placet.gateway.deploy.requested.v1"] in [
            each.attributes.get("placet.events") for each in committed
        ]
        of = {each.attributes["placet.operation"] for each in spans if "placet.operation" in each.attributes}
        assert of == {started["correlationid"]}
        probed = [each for each in spans if each.attributes.get("url.full", "").endswith("/predict")]
        assert probed, "the deployer's call of the model is not to be seen"
        await placet(platform, "stop", project)

    async def test_what_machines_ask_every_few_seconds_is_not_traced(
        self, platform: Platform, collector: Collector
    ) -> None:
        traced = {"traceparent": f"00-{token_hex(16)}-{token_hex(8)}-01"}
        async with platform.http() as http:
            for path in ("/livez", "/readyz", "/metrics", "/v1/models"):
                await http.get(path, headers={**platform.authorized(), **traced})

        async def listed() -> list[Collected]:
            return [each for each in collector.spans() if each.name == "GET /v1/models"]

        await eventually(listed)
        routes = {each.attributes.get("http.route") for each in collector.spans()}
        assert not routes & {"/livez", "/readyz", "/metrics"}
        paths = {str(each.attributes.get("url.path")) for each in collector.spans()}
        assert not paths & {"/livez", "/readyz", "/metrics"}
