"""A project's own Dockerfile on its whole way: `placet up` with a Docker Engine, and with its operator's word."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.platforms import embedded
from tests.support.servers import DockerEngine
from tests.system.models import write_project
from tests.system.scenarios import client_of, deploy


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One that starts from nothing, so that the engine fetches nothing."""
    folder = write_project(tmp_path / "own", "own")
    document = json.loads((folder / "placet.yaml").read_text()) | {"build": {"dockerfile": "Dockerfile"}}
    (folder / "placet.yaml").write_text(json.dumps(document))
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY model.onnx /\nUSER 65532\nCMD ["/serve"]\n')
    return folder


async def test_its_image_is_certified_and_found_and_what_cannot_run_here_is_told_before_it_is_built(
    docker_engine: DockerEngine, project: Path, tmp_path: Path
) -> None:
    engine = docker_engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    allowed = {"PLACET_DOCKERFILES": "allow", "PLACET_DOCKER_HOST": engine}
    with embedded(tmp_path, allowed) as platform:
        refused = await deploy(platform, project)
        built = await deploy(platform, project, command="build")
        async with client_of(platform) as client:
            [image] = [each for each in await client.images() if each.image == built.image]

    assert refused.state == "refused", refused
    assert "needs a container platform" in str(refused.refusals)
    assert built.state == "certified", built.refusals
    assert built.built is True
    assert (image.project, image.format, image.certificate) == ("own", "onnx", built.certificate)


async def test_without_the_operators_word_a_rule_refuses_it(project: Path, tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        refused = await deploy(platform, project, command="build")

    assert refused.state == "refused"
    [refusal] = refused.refusals
    assert refusal.rule == "build.dockerfile-allowed"
    assert "PLACET_DOCKERFILES" in (refusal.fix or "")
