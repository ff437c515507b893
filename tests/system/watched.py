"""A real Prometheus with our configuration watches a platform whose services are one process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import watching
from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.support.servers import sources
from tests.support.servers.prometheus import Prometheus, watching_prometheus
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy, predict

UNSAID = {"placet_hampered", "placet_job_attempts", "placet_witness_trouble"}
"""Samples of which there are none as long as all is well."""


class WatchedStories:
    @pytest.fixture
    def prometheus(self, platform: Platform) -> Iterator[Prometheus]:
        with watching_prometheus(
            sources.program("prometheus"), {"placet": urlsplit(platform.url).netloc}
        ) as prometheus:
            yield prometheus

    async def test_prometheus_reads_it_and_evaluates_every_rule(self, prometheus: Prometheus) -> None:
        async def is_up() -> bool:
            found = await prometheus.query('up{job="placet"}')
            return [each["value"][1] for each in found] == ["1"]

        await eventually(is_up)

        async def rules() -> list[dict[str, Any]]:
            told = (await prometheus.asked("rules"))["groups"]
            found = [rule for group in told for rule in group["rules"]]
            assert all(rule["health"] == "ok" for rule in found), found
            return found

        evaluated = await eventually(rules)
        assert len(evaluated) == len(watching.alerts()) + len(watching.recorded())

        async def ready() -> set[str]:
            found = await prometheus.query("max by (service) (placet_ready)")
            return {each["metric"]["service"] for each in found}

        # An answer that took more than a second does not count, and takes what it would have told with it.
        assert await eventually(ready) == {
            *("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
        }
        told = (await prometheus.asked("status/config"))["yaml"]
        assert re.search(r"runbooks: docs/runbooks$", told, re.MULTILINE)

    async def test_what_alerts_and_dashboards_ask_for_is_what_it_tells(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """With the labels that are declared: those of a model once it was asked and observed."""
        await deploy(platform, write_project(tmp_path / "p", project))
        await predict(platform, project, 3.0)

        async def told() -> dict[str, set[frozenset[str]]]:
            async with platform.http() as http:
                answer = await http.get("/metrics")
            assert answer.status_code == 200, answer.text
            found: dict[str, set[frozenset[str]]] = {}
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    found.setdefault(sample.name, set()).add(frozenset(sample.labels))
            assert "placet_model_observed_requests_total" in found
            return found

        found = await eventually(told)
        for name, labels in watching.declared().items():
            if name in found:
                assert found[name] == {labels}, name
        asked = {
            name
            for expression in (
                *(each.expression for each in watching.alerts()),
                *watching.recorded().values(),
                *(expression for _, expression in watching.asked_by_dashboards()),
            )
            for name in re.findall(r"\b(?:placet|http_server|process)_\w+", expression)
        }
        # Of a model that has no reference there is no drift to be told.
        assert asked - found.keys() <= UNSAID | {"placet_model_drift"}
        await ask(platform, "stop", project)
