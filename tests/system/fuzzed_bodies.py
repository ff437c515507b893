"""How schemathesis sends a body of a kind that it does not know: as the bytes that it made."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/zip", "application/x-tar")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
