"""A model as MLflow keeps it from code: the file is copied to its folder and run when the folder is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Prices(PythonModel):
    def load_context(self, context: Any) -> None:
        self.rate = float(Path(context.artifacts["rate"]).read_text())

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        price = model_input["spent"] * self.rate * model_input["member"].map({True: 0.9, False: 1.0})
        return pd.DataFrame({"price": price, "city": model_input["city"].str.upper()})


set_model(Prices())
