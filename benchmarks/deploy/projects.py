"""The projects that are deployed here, and how: as `placet deploy` does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import skops.io
from placet.client import Client, Connection, Operation
from placet.projects import pack

from benchmarks.runtime.models import Trained
from tests.support.platforms import Platform
from tests.system.models import requirement, write_project

MEMORY = 512 * 2**20
"""Bytes that the linear model asks for."""
SLOW = '''\
"""Doubles numbers, and takes 5 ms for each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class Model:
    inputs = {"x": "FP64"}
    outputs = {"doubled": "FP64"}

    def load(self, folder: Path) -> None:
        pass

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.005 * len(inputs["x"]))
        return {"doubled": inputs["x"] * 2}
'''


def write_slow(folder: Path, name: str) -> Path:
    write_project(folder, name)
    (folder / "model.onnx").unlink()
    (folder / "model.py").write_text(SLOW)
    (folder / "requirements.txt").write_text(f"{requirement('numpy')}\n")
    _write_sample(folder, {"inputs": [[3.0]]}, {"outputs": [6.0]})
    _change_manifest(folder, {"format": "python", "path": "model.py", "sample": "sample.json"})
    return folder


def write_linear(folder: Path, name: str, model: Trained) -> Path:
    """The linear model that the runtime's peers are given; as skops, since a pickle would be refused."""
    write_project(folder, name)
    (folder / "model.onnx").unlink()
    estimator = joblib.load(model.file)
    skops.io.dump(estimator, folder / "model.skops")
    needed = ("scikit-learn", "skops", "numpy")
    (folder / "requirements.txt").write_text("".join(f"{requirement(each)}\n" for each in needed))
    probabilities = estimator.predict_proba(model.rows[:1]).tolist()
    _write_sample(
        folder, {"inputs": model.rows[:1]}, {"outputs": model.answers[:1], "probabilities": probabilities}
    )
    _change_manifest(
        folder,
        {"format": model.format, "path": "model.skops", "sample": "sample.json"},
        {"cpu": "1", "memory": f"{MEMORY // 2**20}Mi"},
    )
    return folder


async def deploy(platform: Platform, folder: Path, *, name: str | None = None) -> Operation:
    """Until it is live, under another name than its own if one is given. Raises RuntimeError where it is not."""
    archive = folder.with_suffix(".tar")
    packed = pack(folder, archive)
    async with Client(Connection(url=platform.url, token=platform.token)) as client:
        if not await client.has_source(packed.digest):
            await client.upload(archive, packed.digest)
        return await _ended(
            client, await client.command("deploy", digest=packed.digest, project=name), "live"
        )


async def _ended(client: Client, asked: Operation, state: str) -> Operation:
    assert asked.operation is not None  # noqa: S101 - the platform always names it
    ended = await client.finish(asked.operation)
    if ended.state != state:
        raise RuntimeError(f"{asked.command} of {ended.project} ended {ended.state}: {ended.refusals}")
    return ended


def _write_sample(folder: Path, request: Any, response: Any) -> None:
    sample = {"request": request, "response": response, "tolerance": 1e-6}
    (folder / "sample.json").write_text(json.dumps(sample))


def _change_manifest(folder: Path, model: dict[str, str], resources: dict[str, str] | None = None) -> None:
    manifest = json.loads((folder / "placet.yaml").read_text())
    manifest["model"] = model
    manifest["resources"] |= resources or {}
    (folder / "placet.yaml").write_text(json.dumps(manifest))
