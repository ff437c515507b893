"""Train boosted trees that tell three cultivars of wine apart, and save them in XGBoost's own format.

    python train.py

178 wines with 13 measurements each, as scikit-learn ships them. Depth and learning rate are chosen by cross-validation;
the held-out quarter has no part in any choice. The same command writes the same model.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from sklearn.datasets import load_wine
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split

FOLDER = Path(__file__).parent
SEED = 20240611
ROUNDS = 30


def train(features: Any, target: Any, names: list[str], *, depth: int, rate: float) -> xgboost.Booster:
    rows = xgboost.DMatrix(features, target, feature_names=names, nthread=1)
    parameters = {
        "objective": "multi:softprob",
        "num_class": 3,
        "max_depth": depth,
        "eta": rate,
        "subsample": 0.8,
        "seed": SEED,
        "nthread": 1,  # sums in another order are other sums
    }
    return xgboost.train(parameters, rows, num_boost_round=ROUNDS)


def main() -> None:
    wine = load_wine()
    names = list(wine.feature_names)
    seen, held_out, seen_target, held_out_target = train_test_split(
        wine.data, wine.target, test_size=0.25, stratify=wine.target, random_state=SEED
    )

    def loss(depth: int, rate: float) -> float:
        folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
        return float(
            np.mean(
                [
                    log_loss(
                        seen_target[test],
                        train(seen[learn], seen_target[learn], names, depth=depth, rate=rate).inplace_predict(
                            seen[test]
                        ),
                    )
                    for learn, test in folds.split(seen, seen_target)
                ]
            )
        )

    losses = {(depth, rate): loss(depth, rate) for depth, rate in product((2, 3), (0.1, 0.2, 0.3))}
    depth, rate = min(losses, key=lambda chosen: losses[chosen])
    model = train(seen, seen_target, names, depth=depth, rate=rate)
    model.save_model(FOLDER / "model.ubj")

    probabilities = model.inplace_predict(held_out)
    predictions = probabilities.argmax(axis=1)
    report = {
        "chosen": {"depth": depth, "rate": rate},
        "rows": {"seen": len(seen), "held out": len(held_out)},
        "cross-validated log loss": round(losses[depth, rate], 4),
        "held-out accuracy": round(float(accuracy_score(held_out_target, predictions)), 4),
        "held-out macro F1": round(float(f1_score(held_out_target, predictions, average="macro")), 4),
        "held-out log loss": round(float(log_loss(held_out_target, probabilities)), 4),
    }
    write_sample(model, held_out[:3])
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


def write_sample(model: xgboost.Booster, rows: Any) -> None:
    """A real request: the last of its wines lacks a measurement, which XGBoost takes."""
    asked = rows.copy()
    asked[-1, 0] = np.nan
    probabilities = model.inplace_predict(asked)
    sample = {
        "request": {
            "inputs": [[None if np.isnan(value) else value for value in row] for row in asked.tolist()]
        },
        "response": {
            "outputs": probabilities.argmax(axis=1).tolist(),
            "probabilities": probabilities.tolist(),
        },
        "tolerance": 1e-5,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample, indent=1) + "\n")


if __name__ == "__main__":
    main()
