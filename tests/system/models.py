"""Small real projects for the scenarios: an ONNX model of one line, made without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression


def write_project(
    folder: Path,
    name: str,
    *,
    weight: float = 2.0,
    sample_answer: float | None = None,
    without: tuple[str, ...] = (),
    broken: bool = False,
    reference: Sequence[float] = (),
    monitoring: Sequence[dict[str, Any]] = (),
    declaring: Mapping[str, Any] | None = None,
    replicas: tuple[int, int] = (1, 1),
) -> Path:
    """A model that multiplies by `weight`. `without` names parts of `governance` to leave out.

    `reference` is what it was made for: the numbers that it will be asked are compared with them. `monitoring` are
    the conditions that it serves under. `declaring` is what else `governance` says, or says otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(b"not a model at all" if broken else _multiplier(weight))
    answer = 3.0 * weight if sample_answer is None else sample_answer
    sample = {"request": {"inputs": [[3.0]]}, "response": {"outputs": [[answer]]}, "tolerance": 1e-4}
    (folder / "sample.json").write_text(json.dumps(sample))
    (folder / "requirements.txt").write_text(f"{requirement('onnxruntime')}\n{requirement('numpy')}\n")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [arithmetic]\n---\nMultiplies.\n")
    if reference:
        (folder / "reference.csv").write_text("\n".join(["x", *map(str, reference)]))
    governance: dict[str, Any] = {
        "purpose": "Multiplying in tests",
        "riskClass": "minimal",
        "owner": "owner@example.org",
        "builders": ["builder@example.org"],
        "data": [{"name": "none", "origin": "made up", "licence": "CC0-1.0", "personalData": False}],
        "monitoring": list(monitoring),
        **(declaring or {}),
    }
    document = {
        "apiVersion": "placet/v1",
        "project": name,
        "model": {"format": "onnx", "path": "model.onnx", "sample": "sample.json"}
        | ({"reference": "reference.csv"} if reference else {}),
        "requirements": "requirements.txt",
        "resources": {
            "cpu": "100m",
            "memory": "128Mi",
            "replicas": {"min": replicas[0], "max": replicas[1]},
        },
        "governance": {key: value for key, value in governance.items() if key not in without},
        "access": "public",
        "card": "README.md",
    }
    (folder / "placet.yaml").write_text(json.dumps(document, indent=2))  # JSON is YAML
    return folder


def write_pickled(folder: Path, name: str) -> Path:
    """The same model as a line of scikit-learn that joblib wrote."""
    write_project(folder, name)
    (folder / "model.onnx").unlink()
    line = LinearRegression().fit([[0.0], [1.0]], [[0.0], [2.0]])
    joblib.dump(line, folder / "model.joblib")
    (folder / "requirements.txt").write_text(f"{requirement('scikit-learn')}\n{requirement('numpy')}\n")
    manifest = json.loads((folder / "placet.yaml").read_text())
    manifest["model"] |= {"format": "sklearn", "path": "model.joblib"}
    manifest["resources"]["memory"] = "512Mi"
    (folder / "placet.yaml").write_text(json.dumps(manifest, indent=2))
    return folder


def requirement(package: str) -> str:
    """The package as it is installed here, which the index therefore has."""
    from importlib.metadata import version

    return f"{package}=={version(package)}"


def _multiplier(weight: float) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "multiplier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.array([[weight]], dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
