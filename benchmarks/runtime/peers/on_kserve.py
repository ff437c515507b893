"""A model of KServe's Python server, predicting as KServe's own server for scikit-learn does."""

# Its libraries are in an environment of its own.
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from kserve import InferResponse, Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response

from benchmarks.runtime.peers.loading import load


class Served(Model):
    def __init__(self) -> None:
        super().__init__("model")
        self.model = load()
        self.ready = True

    def predict(
        self, payload: Any, headers: dict[str, str] | None = None, **_: Any
    ) -> dict[str, Any] | InferResponse:
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    ModelServer().start([Served()])
