"""Three small models of the same 30 columns, in the files that the servers load, and what each answers to a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

TREES = 100
ASKED = 64
"""Rows that are asked for, one a request."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    name: str
    format: str
    file: Path
    mlflow: Path
    reference: list[list[float]]
    rows: list[list[float]]
    answers: list[int]


def trained(folder: Path) -> Iterator[Trained]:
    import mlflow.sklearn
    import mlflow.xgboost

    table, target = load_breast_cancer(return_X_y=True)
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    forest = RandomForestClassifier(n_estimators=TREES, random_state=0)
    boosted = XGBClassifier(n_estimators=TREES, max_depth=6, random_state=0)
    for name, estimator in (("linear", linear), ("random forest", forest), ("gradient-boosted", boosted)):
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True)
        estimator.fit(table, target)
        if estimator is boosted:
            file = place / "model.ubj"
            estimator.save_model(file)
            mlflow.xgboost.save_model(estimator, str(place / "mlflow"), pip_requirements=[])
        else:
            file = place / "model.joblib"
            joblib.dump(estimator, file)
            mlflow.sklearn.save_model(
                estimator, str(place / "mlflow"), serialization_format="cloudpickle", pip_requirements=[]
            )
        rows = table[:: len(table) // ASKED][:ASKED]
        yield Trained(
            name=name,
            format="xgboost" if estimator is boosted else "sklearn",
            file=file,
            mlflow=place / "mlflow",
            reference=table.tolist(),
            rows=rows.tolist(),
            answers=estimator.predict(rows).tolist(),
        )
