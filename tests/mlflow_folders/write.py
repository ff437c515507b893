"""Model folders as MLflow writes them, kept so that tests read what it really writes.

    python -m tests.mlflow_folders.write [FOLDER]

writes them anew with the MLflow that is installed, beside this file or below FOLDER. Nothing is added or taken away.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.statsmodels
import numpy as np
import numpy.typing as npt
import statsmodels.api as statsmodels
from lightgbm import LGBMClassifier
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.mlflow_folders.frames import BACK, PRICES, SPENDING, VISITS

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


def prices(folder: Path) -> None:
    """A model from code, with a file of its own beside it, that takes a frame and gives one."""
    with tempfile.TemporaryDirectory() as scratch:
        code = shutil.copy(HERE / "prices_model.py", scratch)  # MLflow notes where it found it
        rate = Path(scratch) / "rate.txt"
        rate.write_text("1.25")
        mlflow.pyfunc.save_model(
            folder,
            python_model=code,
            artifacts={"rate": str(rate)},
            signature=infer_signature(VISITS, PRICES),
            pip_requirements=[f"pandas=={version('pandas')}"],
        )


def shifted(folder: Path) -> None:
    """A model that cloudpickle wrote, its class included, of an array. It is no folder that is kept: bytecode is of one
    Python, so whoever needs it writes it with theirs."""

    class Shifted(PythonModel):
        def predict(
            self, context: Any, model_input: npt.NDArray[Any], params: Any = None
        ) -> npt.NDArray[Any]:
            shifted: npt.NDArray[Any] = model_input.cumsum(axis=0) + 3
            return shifted

    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    needed = [f"{name}=={version(name)}" for name in ("cloudpickle", "numpy")]
    signature = infer_signature(numbers, numbers)
    mlflow.pyfunc.save_model(folder, python_model=Shifted(), signature=signature, pip_requirements=needed)


def spending(folder: Path) -> None:
    """A model of a library whose file only MLflow loads here."""
    rows = SPENDING.drop(columns="spent")
    model = statsmodels.OLS(SPENDING["spent"], rows).fit()
    needed = [f"{name}=={version(name)}" for name in ("pandas", "statsmodels")]
    signature = infer_signature(rows, model.predict(rows))
    mlflow.statsmodels.save_model(model, folder, signature=signature, pip_requirements=needed)


WRITERS: dict[str, Callable[[Path], None]] = {
    "iris": iris,
    "visits": visits,
    "pickled": pickled,
    "iris-onnx": iris_onnx,
    "iris-lightgbm": iris_lightgbm,
    "prices": prices,
    "spending": spending,
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
