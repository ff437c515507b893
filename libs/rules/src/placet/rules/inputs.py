"""What a judgement rests on, as one digest: the same facts have it on every machine, and other facts another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from placet.rules.expressions import PERSONAL

_NOT_INPUTS = frozenset({"now", "approvals", PERSONAL})
_OF_TIME = frozenset({"ageDays", "snapshot", "taken"})
"""When and by what was looked, wherever it stands: a newer look that finds the same makes it no other thing."""


def digest_of(facts: Any) -> str:
    """The sha256 of facts, or of any other plain JSON values, in canonical form (RFC 8785)."""
    return f"sha256:{hashlib.sha256(rfc8785.dumps(facts)).hexdigest()}"


def inputs_digest(facts: Mapping[str, Any]) -> str:
    """Of what people approve: without when it was looked at and who approved it so far.

    And without what is personal, which the source's own digest holds: nobody is to be guessed from this one.
    """
    return digest_of({name: _timeless(value) for name, value in facts.items() if name not in _NOT_INPUTS})


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _timeless(each) for name, each in value.items() if name not in _OF_TIME}
    if isinstance(value, list | tuple):
        return [_timeless(each) for each in value]
    return value
