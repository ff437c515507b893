"""Base64 in its one canonical form: two readers must not see two things in one text."""

from __future__ import annotations

import base64
import binascii

from placet.errors import Unreadable


def decoded(text: str, what: str) -> bytes:
    """What `text` says. Raises Unreadable."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"{what} is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise Unreadable(f"{what} is not canonical base64")
    return raw
