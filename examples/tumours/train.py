"""Train boosted trees that tell benign tumours from malignant ones, and save them in LightGBM's own format.

    python train.py

569 tumours with 30 measurements each, as scikit-learn ships them. The number of leaves and the learning rate are
chosen by cross-validation; the held-out quarter has no part in any choice. The same command writes the same model.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss, recall_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split

FOLDER = Path(__file__).parent
SEED = 20240611
ROUNDS = 60
MALIGNANT = 0  # as the data set has it


def train(features: Any, target: Any, names: list[str], *, leaves: int, rate: float) -> lightgbm.Booster:
    rows = lightgbm.Dataset(features, target, feature_name=names)
    parameters = {
        "objective": "binary",
        "num_leaves": leaves,
        "learning_rate": rate,
        "min_data_in_leaf": 10,
        "feature_fraction": 0.5,
        "seed": SEED,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    return lightgbm.train(parameters, rows, num_boost_round=ROUNDS)


def main() -> None:
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    is_malignant = (data.target == MALIGNANT).astype(int)
    seen, held_out, seen_target, held_out_target = train_test_split(
        data.data, is_malignant, test_size=0.25, stratify=is_malignant, random_state=SEED
    )

    def loss(leaves: int, rate: float) -> float:
        folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
        return float(
            np.mean(
                [
                    log_loss(
                        seen_target[test],
                        train(seen[learn], seen_target[learn], names, leaves=leaves, rate=rate).predict(
                            seen[test]
                        ),
                    )
                    for learn, test in folds.split(seen, seen_target)
                ]
            )
        )

    losses = {(leaves, rate): loss(leaves, rate) for leaves, rate in product((4, 7), (0.05, 0.1, 0.2))}
    leaves, rate = min(losses, key=lambda chosen: losses[chosen])
    model = train(seen, seen_target, names, leaves=leaves, rate=rate)
    model.save_model(FOLDER / "model.lgb")

    likely = np.asarray(model.predict(held_out))
    predictions = (likely > 0.5).astype(int)
    report = {
        "chosen": {"leaves": leaves, "rate": rate},
        "rows": {"seen": len(seen), "held out": len(held_out)},
        "cross-validated log loss": round(losses[leaves, rate], 4),
        "held-out accuracy": round(float(accuracy_score(held_out_target, predictions)), 4),
        "held-out recall of malignant": round(float(recall_score(held_out_target, predictions)), 4),
        "held-out ROC AUC": round(float(roc_auc_score(held_out_target, likely)), 4),
        "held-out log loss": round(float(log_loss(held_out_target, likely)), 4),
    }
    write_sample(model, held_out[:2])
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


def write_sample(model: lightgbm.Booster, rows: Any) -> None:
    """A real request: the last of its tumours lacks a measurement, which LightGBM takes."""
    asked = rows.copy()
    asked[-1, 0] = np.nan
    likely = np.asarray(model.predict(asked))
    sample = {
        "request": {
            "inputs": [[None if np.isnan(value) else value for value in row] for row in asked.tolist()]
        },
        "response": {
            "outputs": (likely > 0.5).astype(int).tolist(),
            "probabilities": np.stack([1 - likely, likely], axis=1).tolist(),
        },
        "tolerance": 1e-6,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample, indent=1) + "\n")


if __name__ == "__main__":
    main()
