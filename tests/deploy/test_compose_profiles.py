"""The profile `observability`, as Compose reads it: what it adds, and that it is reached from this machine alone."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.deploy.compose_stack import RUN, SERVICES, compose_plugin
from tools import workspace

WATCH = ("prometheus", "jaeger", "grafana")


def read(*profiles: str, **settings: str) -> dict[str, Any]:
    words = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        [compose_plugin(), "compose", "--env-file", "/dev/null", *words, "config", "--format", "json"],
        cwd=workspace.ROOT,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("PLACET_")},
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_without_it_nothing_of_it_is_started() -> None:
    services = read()["services"]
    assert set(WATCH).isdisjoint(services)
    assert set(RUN) <= services.keys()


def test_with_it_they_are_added_and_nothing_else_is_changed() -> None:
    plain, watched = read()["services"], read("observability")["services"]
    assert watched.keys() - plain.keys() == set(WATCH)
    assert {name: watched[name] for name in plain} == plain


@pytest.mark.parametrize("name", WATCH)
def test_they_may_no_more_than_the_services(name: str) -> None:
    service = read("observability")["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "65532:65532"
    assert {each["host_ip"] for each in service.get("ports", [])} <= {"127.0.0.1"}
    written = {each["target"] for each in service.get("volumes", []) if not each.get("read_only")}
    assert written <= {"/prometheus", "/var/lib/grafana"}
    assert "password" not in json.dumps(service["environment"]).replace(
        "/run/placet/password", ""
    ).lower().replace("gf_security_admin_password__file", "")


@pytest.mark.parametrize("service", SERVICES)
def test_traces_are_sent_where_somebody_says_so(service: str) -> None:
    def told(**settings: str) -> str:
        environment = read(**settings)["services"][service]["environment"]
        return str(environment["OTEL_EXPORTER_OTLP_ENDPOINT"])

    assert told() == ""
    assert told(PLACET_TRACES_URL="http://jaeger:4318") == "http://jaeger:4318"


def test_who_watches_reaches_what_it_asks() -> None:
    services = read("observability")["services"]

    def share(one: str, other: str) -> bool:
        return bool(services[one]["networks"].keys() & services[other]["networks"].keys())

    for service in SERVICES:
        assert share("prometheus", service)
        assert share("jaeger", service)
        assert not share("grafana", service)
    assert share("grafana", "prometheus")
    assert share("grafana", "jaeger")
