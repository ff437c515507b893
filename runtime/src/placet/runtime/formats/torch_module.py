"""Weights in safetensors, loaded to a module of PyTorch that is a class of the project.

    class Model(torch.nn.Module):
        inputs = {"pixels": ("FP32", 64)}
        outputs = {"label": "INT64", "probabilities": ("FP32", 10)}

        def __init__(self): ...                # without arguments
        def forward(self, pixels): ...         # tensors by name in; a tensor, or tensors by name, out

The file holds numbers alone. The class is code, as a model of format python is, and runs in this process only. How many
threads it uses is up to `OMP_NUM_THREADS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from placet.runtime.formats import python_class
from placet.runtime.model import CannotLoad
from placet.runtime.signature import Tensors


class _Forward:
    """What `python_class` asks and checks, by a module of PyTorch."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def predict(self, inputs: Tensors) -> Any:
        with torch.inference_mode():
            answer = self._module(**{name: torch.tensor(array) for name, array in inputs.items()})
            if isinstance(answer, Mapping):
                return {name: _array(each) for name, each in answer.items()}
            return _array(answer)


def load(path: Path, module: Path) -> python_class.PythonModel:
    kind = getattr(python_class.imported(module), python_class.CLASS, None)
    if not isinstance(kind, type) or not issubclass(kind, torch.nn.Module):
        raise CannotLoad(f"{module.name} has no class {python_class.CLASS}(torch.nn.Module)")
    signature = python_class.signature(kind, module, platform="pytorch_safetensors")
    try:
        made = kind()
        made.load_state_dict(load_file(path), strict=True)
    except SafetensorError as error:
        raise CannotLoad(f"{path.name} is no file of safetensors that can be read: {error}") from error
    except (Exception, SystemExit) as error:
        raise CannotLoad(
            f"{path.name} does not fit the {python_class.CLASS} in {module.name}: {python_class.told(error, module)}"
        ) from error
    return python_class.PythonModel(_Forward(made.eval()), signature)


def _array(answer: Any) -> Any:
    if not isinstance(answer, torch.Tensor):
        return answer
    return (answer.to(torch.float32) if answer.dtype is torch.bfloat16 else answer).numpy(force=True)
