"""Files as PyTorch and safetensors write them, made by hand: nothing here needs PyTorch."""

from __future__ import annotations

import json
import struct
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

META = {
    "dtype": 7,
    "sizes": [{"as_int": 1}],
    "requires_grad": False,
    "device": {"type": "cpu", "index": None},
    "strides": [{"as_int": 1}],
    "storage_offset": {"as_int": 0},
    "layout": 7,
}

ONE = '[1, {"type": null, "context": null, "children_spec": []}]'  # what a model gives: a tensor alone


def payload(name: str, **more: Any) -> dict[str, Any]:
    return {"path_name": name, "is_param": True, "use_pickle": False, "tensor_meta": META, **more}


def node(target: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": target,
        "inputs": [{"name": "self", "arg": argument, "kind": 1} for argument in arguments],
        "outputs": [{"as_tensor": {"name": "y"}}],
        "metadata": {},
    }


def program(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One input `x`, one weight and one output `y`."""
    return {
        "graph_module": {
            "graph": {"nodes": deepcopy(list(nodes)), "tensor_values": {"x": META, "y": META}},
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "w"}},
                    {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                ],
                "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
            },
            "module_call_graph": [{"fqn": "", "signature": {"out_spec": ONE}}],
        },
        "schema_version": {"major": 8, "minor": 20},
        "torch_version": "2.14.1+cu130",
        **more,
    }


def pt2(path: Path, document: Any, **members: str | bytes | None) -> Path:
    """`members` by their name below the archive's folder, with two underscores for a slash; None leaves one out."""
    content: dict[str, str | bytes | None] = {
        "archive_format": "pt2",
        "archive_version": "0",
        "byteorder": "little",
        "models/model.json": document if isinstance(document, str | bytes) else json.dumps(document),
        "data/weights/model_weights_config.json": json.dumps({"config": {"w": payload("weight_0")}}),
        "data/weights/weight_0": struct.pack("<f", 0.5),
        "data/constants/model_constants_config.json": json.dumps({"config": {}}),
        "data/sample_inputs/model.pt": b"PK a pickle that nobody reads",
    }
    content |= {name.replace("__", "/"): said for name, said in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, said in content.items():
            if said is not None:
                archive.writestr(f"{path.stem}/{name}", said)
    return path


def safetensors(path: Path, header: Any, data: bytes = b"") -> Path:
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(said)) + said + data)
    return path
