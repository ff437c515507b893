"""A BentoML service as its documentation writes one; with its adaptive batching if `BATCHED` says so."""

# Its libraries are in an environment of its own.
# mypy: ignore-errors

from __future__ import annotations

import os

import bentoml
import numpy as np

from benchmarks.runtime.peers.loading import load

BATCHING = {"batchable": True, "max_batch_size": 64} if os.environ["BATCHED"] == "yes" else {}


@bentoml.service(workers=1)
class Served:
    def __init__(self) -> None:
        self.model = load()

    @bentoml.api(**BATCHING)
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.model.predict(inputs)
