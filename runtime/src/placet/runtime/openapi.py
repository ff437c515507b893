"""OpenAPI 3.1 of one model, made from its signature."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from placet.runtime.signature import ANY, Signature, Tensor

try:
    VERSION = version("placet-runtime")
except PackageNotFoundError:  # unpacked into an image without its metadata
    VERSION = "0"

_PROBLEM = {
    "description": "What is wrong, and what is expected",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(
    signature: Signature,
    *,
    project: str,
    release: str | None,
    root_path: str,
    example: bytes,
    needs_token: bool,
) -> bytes:
    model = f"/v2/models/{project}"
    paths: dict[str, Any] = {
        "/predict": {
            "post": _operation(
                "Predict",
                request=_json(_predict_request(signature), example=msgspec.json.decode(example)),
                answer=_json(_predict_answer(signature)),
            )
        },
        f"{model}/infer": {
            "post": _operation(
                "Infer, by the Open Inference Protocol v2",
                request=_json({"$ref": "#/components/schemas/InferRequest"}),
                answer=_json({"$ref": "#/components/schemas/InferResponse"}),
            )
        },
        model: {"get": _operation("Inputs and outputs of the model")},
        f"{model}/ready": {"get": _operation("Whether the model answers")},
        "/v2": {"get": _operation("The server and its protocol extensions")},
        "/v2/health/live": {"get": _operation("Whether the process lives") | {"security": []}},
        "/v2/health/ready": {"get": _operation("Whether the model answers") | {"security": []}},
        "/metrics": {"get": _operation("Metrics in Prometheus' text format")},
    }
    api: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": project,
            "version": release or "0",
            "description": f"Served from {signature.platform}.",
        },
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(signature)},
    }
    if needs_token:
        api["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        }
        api["security"] = [{"token": []}]
    return msgspec.json.encode(api)


def _operation(summary: str, *, request: Any = None, answer: Any = None) -> dict[str, Any]:
    ok = {"description": "Answered"} | ({"content": answer} if answer else {})
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": ok}}
    if request:
        operation["requestBody"] = {"required": True, "content": request}
        operation["responses"]["default"] = _PROBLEM
    return operation


def _json(schema: Any, *, example: object = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({"example": example} if example is not None else {})}


def _predict_request(signature: Signature) -> dict[str, Any]:
    forms: list[dict[str, Any]] = []
    single = signature.inputs[0]
    if len(signature.inputs) == 1:
        forms.append(_array(single, signature) | {"description": "One entry a row"})
    if len(signature.inputs) > 1 or signature.columns:
        named = signature.named_inputs
        rows = _object({tensor.name: _item(tensor, signature) for tensor in named}, named)
        columns = _object({tensor.name: _array(tensor, signature) for tensor in named}, named)
        forms.append(columns | {"description": "One list a column"})
        forms.append({"type": "array", "items": rows, "description": "One object a row"})
    return {
        "type": "object",
        "properties": {"inputs": forms[0] if len(forms) == 1 else {"oneOf": forms}},
        "required": ["inputs"],
        "additionalProperties": False,
    }


def _object(properties: dict[str, Any], tensors: tuple[Tensor, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [tensor.name for tensor in tensors if not tensor.is_optional],
        "additionalProperties": False,
    }


def _predict_answer(signature: Signature) -> dict[str, Any]:
    outputs = {tensor.name: _array(tensor, signature) for tensor in signature.outputs}
    if signature.prediction is None:
        return {"type": "object", "properties": {"outputs": {"type": "object", "properties": outputs}}}
    answer = {"outputs": outputs[signature.prediction]}
    if signature.probabilities is not None:
        answer["probabilities"] = outputs[signature.probabilities]
    return {"type": "object", "properties": answer, "required": list(answer)}


def _array(tensor: Tensor, signature: Signature) -> dict[str, Any]:
    schema = _item(tensor, signature)
    for size in reversed(tensor.shape):
        schema = {"type": "array", "items": schema}
        if size != ANY:
            schema |= {"minItems": size, "maxItems": size}
    if tensor.labels:
        schema["description"] = (
            f"Of each row one for each class, in order: {', '.join(map(str, tensor.labels))}"
        )
    return schema


def _item(tensor: Tensor, signature: Signature) -> dict[str, Any]:
    is_given = tensor in signature.inputs or tensor in signature.named_inputs
    if tensor.is_unread:
        return {"type": ["string", "number", "boolean", "null"]}
    if tensor.is_text:
        schema: dict[str, Any] = {"type": ["string", "null"] if is_given else "string"}
        return schema | {"format": "date-time"} if tensor.is_moment else schema
    if tensor.datatype == "BOOL":
        return {"type": "boolean"}
    if not tensor.is_float:
        return {"type": "integer"}
    others = [
        *(["boolean"] if tensor.may_be_truths and tensor.is_column else []),
        *(["null"] if signature.takes_missing and is_given else []),
    ]
    return {"type": ["number", *others] if others else "number"}


def _schemas(signature: Signature) -> dict[str, Any]:
    def tensor(tensors: tuple[Tensor, ...]) -> dict[str, Any]:
        return {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"enum": [one.name for one in tensors]},
                    "datatype": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "data": {"type": "array"},
                },
                "required": ["name", "datatype", "shape"],
            },
        }

    return {
        "InferRequest": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "inputs": tensor(signature.inputs)},
            "required": ["inputs"],
        },
        "InferResponse": {
            "type": "object",
            "properties": {"model_name": {"type": "string"}, "outputs": tensor(signature.outputs)},
        },
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "fix": {"type": "string"},
                "error": {"type": "string"},
            },
        },
    }
