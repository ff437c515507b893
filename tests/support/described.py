"""Answers held against the OpenAPI document: their statuses, types, headers and bodies, to the last key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

_OF_NO_CALL = frozenset({405, 499, 500})
"""Of a method that is none, to somebody who has gone, and of a bug that a test plants."""
METHODS = frozenset({"get", "put", "post", "delete", "head"})


class Described:
    """A document. Its schemas are open, as what speaks to a newer platform needs them; here each is closed, so that a
    key that is said nowhere is found."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        closed = _closed(document)
        self._paths: Mapping[str, Any] = closed["paths"]
        self._components = closed["components"]
        self._validators: dict[str, Draft202012Validator] = {}

    def calls(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Each with its method, and its path with the names of its parameters."""
        for path, item in self._paths.items():
            for method, call in item.items():
                if method in METHODS:
                    yield method.upper(), path, call

    def path_of(self, method: str, path: str) -> str | None:
        """The described path that a request's was; none of what is not described."""
        for pattern, described in self._patterns:
            if method.lower() in self._paths[described] and pattern.fullmatch(path):
                return described
        return None

    def must_allow(self, answer: httpx.Response) -> None:
        """Asserts that the answer is one that the document promises; of a call that it does not have nothing."""
        request = answer.request
        path = self.path_of(request.method, request.url.path)
        if path is None or answer.status_code in _OF_NO_CALL:
            return
        asked = f"{request.method} {path}"
        told = self._paths[path][request.method.lower()]["responses"].get(str(answer.status_code))
        assert told is not None, (
            f"{asked} answers {answer.status_code}, which is not described: {answer.text[:300]}"
        )
        for name, header in told.get("headers", {}).items():
            assert name in answer.headers or not header["required"], f"{asked} answers without {name}"
        kind = answer.headers.get("content-type")
        content = told.get("content", {})
        if not content:
            assert request.method == "HEAD" or not answer.content, f"{asked} answers with a body"
            return
        found = next((each for each in content if kind and kind.startswith(each)), None)
        assert found is not None, f"{asked} answers with {kind}, and is described with {', '.join(content)}"
        if "json" in found and not found.endswith("jsonl"):
            wrong = [
                f"{error.json_path}: {error.message[:300]}"
                for error in self._validator(path, request.method, answer.status_code, found).iter_errors(
                    json.loads(answer.content)
                )
            ]
            assert not wrong, f"{asked} answers {answer.status_code}, and that is not as described: {wrong}"

    def _validator(self, path: str, method: str, status: int, kind: str) -> Draft202012Validator:
        key = f"{method} {path} {status} {kind}"
        if key not in self._validators:
            schema = self._paths[path][method.lower()]["responses"][str(status)]["content"][kind].get(
                "schema", {}
            )
            self._validators[key] = Draft202012Validator(
                {**schema, "components": self._components}, format_checker=FormatChecker()
            )
        return self._validators[key]

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Those without parameters first, as their routes are; a tile's number has slashes."""
        found = []
        for path in sorted(self._paths, key=lambda each: (each.count("{"), -len(each))):
            parts = [
                ".+" if part == "{number}" else "[^/]+" if part.startswith("{") else re.escape(part)
                for part in re.split(r"(\{\w+\})", path)
            ]
            found.append((re.compile("".join(parts)), path))
        return found


_described: dict[str, Described] = {}


def described(name: str, document: Callable[[], Mapping[str, Any]]) -> Described:
    """Made once for all apps of that name, which have the same calls: it takes a second."""
    if name not in _described:
        _described[name] = Described(document())
    return _described[name]


def _closed(document: Any) -> Any:
    if isinstance(document, list):
        return [_closed(each) for each in document]
    if not isinstance(document, dict):
        return document
    closed = {key: _closed(value) for key, value in document.items()}
    is_object = document.get("type") == "object" and isinstance(document.get("properties"), dict)
    return {"additionalProperties": False, **closed} if is_object else closed
