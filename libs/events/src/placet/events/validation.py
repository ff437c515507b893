"""What pydantic finds wrong with a value, in our words: what it must be, without the names of its types.

For whoever sent a request or set a setting; what a validator of ours says is said as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KINDS: Mapping[str, str] = {
    "missing": "is missing",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a number, and a finite one",
    "decimal": "must be a number",
    "bool": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text, in UTF-8",
    "bytes": "must be text",
    "list": "must be a list",
    "tuple": "must be a list",
    "set": "must be a list",
    "frozen_set": "must be a list",
    "dict": "must be an object",
    "model": "must be an object",
    "mapping": "must be an object",
    "none_required": "must be null",
    "datetime": "must be a time such as 2026-05-04T12:00:00Z",
    "date": "must be a day such as 2026-05-04",
    "path": "must be the path of a file or folder",
    "json": "is no JSON",
    "extra_forbidden": "is known to nobody",
}
"""By what its type begins with: there are several of some, for each way of being none."""

_BOUNDS: Mapping[str, str] = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must be {min_length} characters long or longer",
    "string_too_long": "must be no longer than {max_length} characters",
    "string_pattern_mismatch": "must be like {pattern}",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have no more than {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}


_DIGEST = "must be a digest: sha256: and 64 of 0 to 9 and a to f"
_LIKE: Mapping[str, str] = {
    r"^sha256:[0-9a-f]{64}$": _DIGEST,
    r"^sha256:[0-9a-f]{64}(?![\s\S])": _DIGEST,
    r"^[ -~]+$": "must be letters without accents, digits and signs such as - and . alone",
    r"^[a-z0-9-]+$": "must be of a to z, 0 to 9 and - alone",
    r"^\P{C}+$": "must be one line of text that can be seen",
    r"^[^\p{C}\p{Default_Ignorable_Code_Point}]+$": "must be one line of text, every letter of which can be seen",
    r"^[\P{C}\n]+$": "must be text that can be seen",
    r"^[a-z0-9-]+/[1-9][0-9]{0,8}$": "must be a project and the number of a release, such as churn/3",
    r"^person:[0-9a-f-]{36}$": "must be a person's id as events have it, person: and 36 characters",
    r"^[1-9][0-9]{0,2}[hd]$": "must be a time such as 12h or 7d",
    r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$": (
        "must be 3 to 40 characters: a to z, 0 to 9 and -, beginning with a letter and not ending with -"
    ),
}
"""Patterns that people meet, in words: of names of projects and teams, digests, identifiers, sentences."""


def in_words(error: Mapping[str, Any]) -> str:
    """Of one of `ValidationError.errors()`: what follows the name of the value."""
    kind, about = str(error["type"]), error.get("ctx") or {}
    if kind == "string_pattern_mismatch" and about.get("pattern") in _LIKE:
        return _LIKE[about["pattern"]]
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**about)
    if kind in ("value_error", "assertion_error"):
        return str(about.get("error") or error["msg"])
    begins = max((each for each in _KINDS if f"{kind}_".startswith(f"{each}_")), key=len, default=None)
    return str(error["msg"]) if begins is None else _KINDS[begins]
