"""The example projects are served as they are and answer their own samples, as a deployer will ask them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from placet.projects import trusted_types

from tests.contract.runtime.serving import image, serving

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["multiclass", "faces", "wine", "tumours", "iris"])
def test_an_example_answers_its_sample(tmp_path: Path, name: str) -> None:
    folder = EXAMPLES / name
    model: dict[str, Any] = yaml.safe_load((folder / "placet.yaml").read_text())["model"]
    sample = json.loads((folder / model["sample"]).read_text())
    root = image(tmp_path, project=name, trusted=trusted_types(), **model)
    (root / "project").rmdir()
    (root / "project").symlink_to(folder)

    with serving(root) as served:
        answer = served.client.post("/predict", json=sample["request"])
        page = served.client.get("/docs").text
        events = [event["event"] for event in served.events()]

    assert answer.status_code == 200
    assert answer.json()["outputs"] == sample["response"]["outputs"]
    for given, expected in zip(
        answer.json()["probabilities"], sample["response"]["probabilities"], strict=True
    ):
        assert given == pytest.approx(expected, abs=sample["tolerance"])
    assert f"/v2/models/{name}/infer" in page
    assert events == ["model loaded", "serving"]
