"""What the Dockerfiles of the services say, against what the workspace declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import workspace


def dockerfile(service: str) -> str:
    return (workspace.ROOT / "services" / service / "Dockerfile").read_text()


@pytest.mark.parametrize("service", workspace.SERVICES)
def test_an_image_gets_what_its_service_declares_and_nothing_else(service: str) -> None:
    copied = re.findall(
        r"^COPY ((?:libs|services|runtime|verifier|witness|cli)\S*) (\S+)$", dockerfile(service), re.M
    )
    needed = [str(each.path.relative_to(workspace.ROOT)) for each in workspace.closure(f"placet-{service}")]
    assert copied == [(each, each) for each in needed]


@pytest.mark.parametrize("service", workspace.SERVICES)
def test_all_are_made_alike(service: str) -> None:
    """But for what the gateway asks of its base, the builder's cache, and the indexer, which writes nothing."""
    differing = re.compile(
        r"^(#.*|COPY (libs|services|runtime|verifier).*|COPY .* /data /data|FROM .* AS base"
        r'|COPY deploy/images/install.py .*|RUN .*"programs".*|.*description.*|ENV UV_CACHE_DIR=.*)\n',
        re.M,
    )
    here, there = (
        differing.sub("", dockerfile(each)).replace(each, "SERVICE") for each in (service, "builder")
    )
    assert here == there


def test_every_service_has_one() -> None:
    found = {path.parent.name for path in Path(workspace.ROOT / "services").glob("*/Dockerfile")}
    assert found == set(workspace.SERVICES) == {each.name for each in (workspace.ROOT / "services").iterdir()}
