"""What a request says and nobody reads: refused, since a mistyped name would otherwise look as if it had been heard.

Names only; what stands under a known name is for its own type to judge.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from fastapi import Request
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from placet.errors import Unreadable

_LONGEST = 100
"""So much of an unknown name is looked at and told: whoever sent it need not be known."""


class KnownFields(BaseModel):
    """A body with no other keys than its fields, and with numbers and truth values that are such: `"50"` is none, and
    `true` is not 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _names_only_fields(cls, body: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = next((key for key in body if key not in known), None) if isinstance(body, dict) else None
        if unknown is not None:
            raise PydanticCustomError(
                "unknown_key",
                "nobody knows the key {key}",
                {"key": _told(unknown), "fix": nearest(unknown, known)},
            )
        return body


async def known_parameters(request: Request) -> None:
    """A dependency of routers. Raises `Unreadable` for a query parameter that the call does not have, or has twice: of
    two values one would be read by nobody, and whoever stands in between may have looked at that one."""
    fields = request.scope["route"].dependant.query_params
    known = [field.alias for field in fields]
    lists = {field.alias for field in fields if _is_list(field.field_info.annotation)}
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise Unreadable(
                f"{request.url.path} has no parameter {_told(name)}",
                fix=nearest(name, known) if known else "leave it out",
            )
        if name in seen - lists:
            raise Unreadable(f"{request.url.path} is given {_told(name)} twice", fix="give it once")
        seen.add(name)


def _is_list(annotation: Any) -> bool:
    """Or one that need not be there."""
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _told(name: str) -> str:
    return repr(name[:_LONGEST])


def nearest(name: str, known: Iterable[str]) -> str:
    """What to do about a name that nobody knows: the one that was meant, or all there are."""
    near = difflib.get_close_matches(name[:_LONGEST], list(known), n=1)
    if near:
        return f"the nearest known one is {near[0]!r}"
    return f"known are {', '.join(repr(each) for each in sorted(known))}"
