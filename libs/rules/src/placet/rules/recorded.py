"""Facts as they are recorded with a verdict: the bytes, by whose digest they are known for good.

What is about people (`personal`) is recorded apart, with a salt, so that it can be erased and its digest tells nobody
what it was. What is left still says what was decided; what asks about people cannot be decided again then.

The bytes are JSON with sorted keys and no spaces. They are not RFC 8785, which writes 1.0 as 1: a condition may tell a
fraction from a whole number, and the same facts have to give the same verdict for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from placet.errors import TooLarge, Unreadable
from placet.rules.expressions import PERSONAL

MAX_FACTS_BYTES = 4 * 1024**2


def canonical_facts(facts: Mapping[str, Any]) -> bytes:
    """The bytes that stand for these facts. Raises TooLarge, and Unreadable for what is no JSON."""
    try:
        data = msgspec.json.encode(facts, order="sorted")
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"these facts are no JSON: {error}") from error
    if len(data) > MAX_FACTS_BYTES:
        raise TooLarge(
            f"what rules see of it has {len(data)} bytes, and {MAX_FACTS_BYTES} is what is recorded",
            fix="send fewer files: `.placetignore` names what stays at home",
        )
    return data


def facts_digest(facts: Mapping[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(canonical_facts(facts)).hexdigest()}"


def without_personal(facts: Mapping[str, Any]) -> bytes:
    return canonical_facts({name: value for name, value in facts.items() if name != PERSONAL})


def only_personal(facts: Mapping[str, Any], salt: Callable[[bytes], str]) -> bytes | None:
    """What is about people, if there is anything; `salt` makes one of it that nobody can guess."""
    if PERSONAL not in facts:
        return None
    personal = facts[PERSONAL]
    return canonical_facts({PERSONAL: personal, "salt": salt(canonical_facts({PERSONAL: personal}))})


def facts_again(facts: bytes, personal: bytes | None) -> dict[str, Any]:
    """What the rules saw; without `personal` where that is not recorded, or was erased."""
    seen = _document(facts)
    if personal is not None:
        seen[PERSONAL] = _document(personal).get(PERSONAL)
    return seen


def _document(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"these are no recorded facts: {error}") from error
