"""Train a regression of how far diabetes has progressed after a year, and save it as MLflow does.

    python train.py

Ten measurements of 442 patients, in a frame with whole numbers, texts and numbers. The held-out quarter has no part
in the choice. The same command trains the same model; MLflow writes the day and a new id into `model/MLmodel`.
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FOLDER = Path(__file__).parent
SEED = 20240611


def patients() -> tuple[pd.DataFrame, pd.Series]:
    """As they were measured: age in years, sex as the code that the source uses, without saying which is which."""
    data = load_diabetes(as_frame=True, scaled=False)
    sex = data.data["sex"].astype(int).astype(str)
    return data.data.assign(age=data.data["age"].astype(int), sex=sex), data.target


def main() -> None:
    frame, target = patients()
    seen, held_out, seen_target, held_out_target = train_test_split(
        frame, target, test_size=0.25, random_state=SEED
    )
    columns = ColumnTransformer(
        [
            ("sex", OneHotEncoder(drop="first"), ["sex"]),
            ("measured", StandardScaler(), make_column_selector(dtype_include="number")(frame)),
        ]
    )
    search = GridSearchCV(
        Pipeline([("columns", columns), ("ridge", Ridge())]),
        {"ridge__alpha": [0.1, 1.0, 10.0, 30.0, 100.0]},
        scoring="neg_mean_absolute_error",
        cv=KFold(5, shuffle=True, random_state=SEED),
    )
    search.fit(seen, seen_target)
    model = search.best_estimator_

    shutil.rmtree(FOLDER / "model", ignore_errors=True)
    mlflow.sklearn.save_model(
        model,
        FOLDER / "model",
        signature=infer_signature(seen, model.predict(seen)),
        # what it needs, rather than what happens to be imported here, which MLflow would note by itself
        pip_requirements=[
            f"{name}=={version(name)}" for name in ("numpy", "pandas", "scikit-learn", "skops")
        ],
    )
    rows = held_out.head(2)
    sample = {
        "request": {"inputs": json.loads(rows.to_json(orient="records"))},
        "response": {"outputs": model.predict(rows).tolist()},
        "tolerance": 1e-6,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample, indent=1) + "\n")
    answers = model.predict(held_out)
    report = {
        "chosen": {name: str(value) for name, value in sorted(search.best_params_.items())},
        "rows": {"seen": len(seen), "held out": len(held_out)},
        "cross-validated mean absolute error": round(-float(search.best_score_), 2),
        "held-out mean absolute error": round(float(mean_absolute_error(held_out_target, answers)), 2),
        "held-out R2": round(float(r2_score(held_out_target, answers)), 3),
    }
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


if __name__ == "__main__":
    main()
