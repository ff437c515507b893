"""Average the flowers of each species, and write the averages beside the code that looks for the nearest.

    python train.py

150 irises with four measurements each, as scikit-learn ships them; a quarter is held out. The same command writes the
same model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from model import Model  # type: ignore[import-not-found] # beside this script
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).parent
SEED = 20240611


def main() -> None:
    iris = load_iris()
    seen, held_out, seen_target, held_out_target = train_test_split(
        iris.data, iris.target, test_size=0.25, stratify=iris.target, random_state=SEED
    )
    kinds = [seen[seen_target == kind] for kind in range(3)]
    learned = {
        "species": list(iris.target_names),
        "averages": np.round([flowers.mean(axis=0) for flowers in kinds], 6).tolist(),
        "spread": np.round(np.sqrt(np.mean([flowers.var(axis=0) for flowers in kinds], axis=0)), 6).tolist(),
    }
    (FOLDER / "averages.json").write_text(json.dumps(learned, indent=1) + "\n")

    model = Model()
    model.load(FOLDER)
    found = model.predict(asked(held_out))["species"]
    right = found == iris.target_names[held_out_target]
    write_sample(model, held_out[:3])
    report = {
        "rows": {"seen": len(seen), "held out": len(held_out)},
        "held-out accuracy": round(float(np.mean(right)), 4),
    }
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


def asked(flowers: Any) -> dict[str, Any]:
    return dict(zip(Model.inputs, flowers.T, strict=True))


def write_sample(model: Model, flowers: Any) -> None:
    answer = model.predict(asked(flowers))
    sample = {
        "request": {"inputs": {name: values.tolist() for name, values in asked(flowers).items()}},
        "response": {
            "outputs": answer["species"].tolist(),
            "probabilities": answer["probabilities"].tolist(),
        },
        "tolerance": 1e-6,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample, indent=1) + "\n")


if __name__ == "__main__":
    main()
