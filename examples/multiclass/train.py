"""Train, choose and save a classifier for one of several multiclass problems.

    python train.py                  # handwritten digits, the model in this folder
    python train.py --data wine --out /tmp/wine

One pipeline and one grid serve every problem: scaling, then whichever classifier and hyperparameters do best in
cross-validation. The held-out quarter has no part in any choice. The same command writes the same model.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

PROBLEMS = {"digits": load_digits, "wine": load_wine}
SEED = 20240611

CANDIDATES = [
    {
        "scale": [StandardScaler(), MinMaxScaler()],
        "classify": [LogisticRegression(max_iter=2000)],
        "classify__C": [0.01, 0.1, 1.0],
    },
    {
        "scale": [StandardScaler(), MinMaxScaler()],
        "classify": [KNeighborsClassifier(weights="distance", algorithm="brute")],
        "classify__n_neighbors": [3, 5, 9],
    },
    {
        "scale": [StandardScaler(), MinMaxScaler()],
        "classify": [CalibratedClassifierCV(SVC(), ensemble=False)],
        "classify__estimator__C": [1.0, 10.0],
        "classify__estimator__gamma": ["scale", 0.02],
    },
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=PROBLEMS, default="digits")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()

    features, target = PROBLEMS[options.data](return_X_y=True)
    seen, held_out, seen_target, held_out_target = train_test_split(
        features, target, test_size=0.25, stratify=target, random_state=SEED
    )
    search = GridSearchCV(
        Pipeline([("scale", "passthrough"), ("classify", LogisticRegression())]),
        CANDIDATES,
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=SEED),
    )
    search.fit(seen, seen_target)
    model = search.best_estimator_

    probabilities = model.predict_proba(held_out)
    predictions = model.predict(held_out)
    report = {
        "data": options.data,
        "chosen": {name: str(value) for name, value in sorted(search.best_params_.items())},
        "rows": {"seen": len(seen), "held out": len(held_out)},
        "cross-validated log loss": round(-float(search.best_score_), 4),
        "held-out accuracy": round(float(accuracy_score(held_out_target, predictions)), 4),
        "held-out macro F1": round(float(f1_score(held_out_target, predictions, average="macro")), 4),
        "held-out log loss": round(float(log_loss(held_out_target, probabilities)), 4),
    }

    options.out.mkdir(parents=True, exist_ok=True)
    save(model, options.out / "model.skops")
    rows = held_out[:2]
    sample = {
        "request": {"inputs": rows.tolist()},
        "response": {
            "outputs": model.predict(rows).tolist(),
            "probabilities": np.asarray(model.predict_proba(rows)).tolist(),
        },
        "tolerance": 1e-6,
    }
    (options.out / "sample.json").write_text(json.dumps(sample, indent=1) + "\n")
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


def save(model: Pipeline, path: Path) -> None:
    """As skops, which names parts by their addresses in memory; numbered instead, the same model is the same file."""
    named = re.compile(r'("__id__": |"file": ")(\d+)')
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as saved, zipfile.ZipFile(path, "w") as numbered:
        schema = saved.read("schema.json").decode()
        numbers = {
            address: str(n) for n, address in enumerate(dict.fromkeys(m[2] for m in named.finditer(schema)))
        }
        parts = {
            f"{numbers[name.split('.')[0]]}.npy": saved.read(name)
            for name in saved.namelist()
            if name != "schema.json"
        }
        parts["schema.json"] = named.sub(lambda found: found[1] + numbers[found[2]], schema).encode()
        for name, content in sorted(parts.items()):
            numbered.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
