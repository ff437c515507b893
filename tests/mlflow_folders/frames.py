"""The frames that the models were trained on, and what they were trained to say."""

from __future__ import annotations

import numpy as np
import pandas as pd

VISITS = pd.DataFrame(
    {
        "city": ["Bern", "Basel", "Chur", "Bern", "Basel", "Chur", "Bern", "Chur"],
        "age": [31, 45, 27, 62, 38, 51, 24, 70],
        "member": [True, False, False, True, True, False, True, False],
        "spent": [12.5, 80.0, 3.25, 41.0, 66.5, 9.75, 18.0, 52.0],
    }
)
BACK = np.array(["yes", "no", "no", "yes", "yes", "no", "yes", "no"])
PRICES = pd.DataFrame({"price": [14.0625, 100.0], "city": ["BERN", "BASEL"]})
SPENDING = pd.DataFrame(
    {
        "age": [31.0, 45.0, 27.0, 62.0, 38.0],
        "visits": [3.0, 1.0, 4.0, 1.0, 5.0],
        "spent": [12.5, 80.0, 3.25, 41.0, 66.5],
    }
)
