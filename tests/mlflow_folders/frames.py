"""The frame that the model in `visits` was trained on, and what it was trained to say."""

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
