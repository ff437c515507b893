"""ONNX models, by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from placet.runtime.model import CannotLoad
from placet.runtime.signature import ANY, Array, Signature, Tensor, Tensors

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_MAPS = {"seq(map(int64,tensor(float)))": "FP32", "seq(map(string,tensor(float)))": "FP32"}

_LABELS = ("label", "output_label")
_PROBABILITIES = ("probabilities", "output_probability")


class OnnxModel:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._maps = {node.name for node in session.get_outputs() if node.type in _MAPS}
        inputs = tuple(_tensor(node) for node in session.get_inputs())
        outputs = tuple(_tensor(node) for node in session.get_outputs())
        names = [tensor.name for tensor in outputs]
        label = next((name for name in names if name in _LABELS), None)
        probabilities = next((name for name in names if name in _PROBABILITIES), None)
        self.signature = Signature(
            platform="onnxruntime_onnx",
            inputs=inputs,
            outputs=outputs,
            prediction=names[0] if len(names) == 1 else label if probabilities else None,
            probabilities=probabilities if label else None,
            takes_missing=any(tensor.is_float for tensor in inputs),
        )

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        names = list(outputs)
        answers = self._session.run(names, inputs)
        return {
            name: _matrix(answer) if name in self._maps else answer
            for name, answer in zip(names, answers, strict=True)
        }


def load(path: Path, trusted: Collection[str]) -> OnnxModel:
    """A graph holds data and named operators, no code, so there is nothing to trust."""
    options = onnxruntime.SessionOptions()
    # idle threads of the pool would otherwise spin, which starves the event loop on small machines
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CannotLoad(f"ONNX Runtime {onnxruntime.__version__} refuses {path.name}: {error}") from error
    return OnnxModel(session)


def _tensor(node: onnxruntime.NodeArg) -> Tensor:
    if node.type in _MAPS:  # what skl2onnx calls a zipmap: one {class: probability} for each row
        return Tensor(name=node.name, datatype=_MAPS[node.type], shape=(ANY, ANY))
    if node.type not in _DATATYPES:
        raise CannotLoad(f"{node.name} is a {node.type}, which the Open Inference Protocol cannot carry")
    shape = tuple(size if isinstance(size, int) and size > 0 else ANY for size in node.shape)
    return Tensor(name=node.name, datatype=_DATATYPES[node.type], shape=shape)


def _matrix(rows: list[dict[Any, float]]) -> Array:
    return np.array([list(row.values()) for row in rows], dtype=np.float32)
