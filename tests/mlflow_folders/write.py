"""Model folders as MLflow writes them, kept so that tests read what it really writes.

    python -m tests.mlflow_folders.write [FOLDER]

writes them anew with the MLflow that is installed, beside this file or below FOLDER. Nothing is added or taken away.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import mlflow.lightgbm
import mlflow.onnx
import mlflow.sklearn
import numpy as np
from lightgbm import LGBMClassifier
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.mlflow_folders.frames import BACK, VISITS

HERE = Path(__file__).parent


def iris(folder: Path) -> None:
    """A pipeline of numbers: skops, and a frame of doubles as its signature."""
    frame, target = load_iris(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(frame, target)
    mlflow.sklearn.save_model(model, folder, input_example=frame.head(2))


def visits(folder: Path) -> None:
    """A pipeline of a frame with texts, whole numbers, truths and numbers."""
    columns = ColumnTransformer(
        [("text", OneHotEncoder(), ["city"]), ("number", StandardScaler(), ["age", "spent"])],
        remainder="passthrough",
    )
    model = make_pipeline(columns, LogisticRegression()).fit(VISITS, BACK)
    mlflow.sklearn.save_model(model, folder, signature=infer_signature(VISITS, BACK))


def pickled(folder: Path) -> None:
    """The same kind of model, as MLflow wrote it by default before it knew skops."""
    model = LogisticRegression().fit(VISITS[["age", "spent"]], BACK)
    mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle")


def iris_onnx(folder: Path) -> None:
    frame, target = load_iris(return_X_y=True, as_frame=True)
    values = frame.to_numpy(dtype=np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(values, target)
    graph = to_onnx(model, values[:1], options={"zipmap": False}, target_opset=17)
    signature = infer_signature(frame.astype(np.float32))
    mlflow.onnx.save_model(graph, folder, signature=signature)


def iris_lightgbm(folder: Path) -> None:
    """An estimator of LightGBM's, which MLflow saves as scikit-learn's, with names that LightGBM spells otherwise."""
    frame, target = load_iris(return_X_y=True, as_frame=True)
    model = LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1).fit(frame, target)
    signature = infer_signature(frame, model.predict(frame))
    # without this, MLflow needs a minute to find what it needs
    needed = [f"{name}=={version(name)}" for name in ("lightgbm", "pandas", "scikit-learn", "skops")]
    mlflow.lightgbm.save_model(model, folder, signature=signature, pip_requirements=needed)


WRITERS: dict[str, Callable[[Path], None]] = {
    "iris": iris,
    "visits": visits,
    "pickled": pickled,
    "iris-onnx": iris_onnx,
    "iris-lightgbm": iris_lightgbm,
}


def main(into: Path = HERE) -> None:
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = (
        "true"  # MLflow loads what it saved, to find its requirements
    )
    for name, write in WRITERS.items():
        shutil.rmtree(into / name, ignore_errors=True)
        write(into / name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
