"""The fitted model that `MODEL` names, as its library loads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def load() -> Any:
    path = Path(os.environ["MODEL"])
    if path.suffix == ".ubj":
        import xgboost

        model = xgboost.XGBClassifier()
        model.load_model(path)
        return model
    import joblib

    return joblib.load(path)
