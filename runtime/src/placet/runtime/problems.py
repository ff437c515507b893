"""What went wrong with a request, as problem+json (RFC 9457).

Every body also carries `error`, the one member the Open Inference Protocol asks for, so that the same
answer satisfies a protocol client and a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

MEDIA_TYPE = "application/problem+json"
MOST_WORDS = 2000
"""Characters of a sentence. A model's error, or a name from the request, may be as long as the request."""
NO_NAN = "JSON has no NaN and no Infinity"


class Problem(Exception):
    """A request that gets no prediction, and why. Raised anywhere below a handler."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        fix: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail if len(detail) <= MOST_WORDS else f"{detail[:MOST_WORDS]}…"
        self.fix = fix
        self.headers = headers or {}

    def body(self) -> bytes:
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "error": f"{self.detail}; {self.fix}" if self.fix else self.detail,
        }
        if self.fix:
            document["fix"] = self.fix
        # Half a character, which a model may have put into its words, is none that JSON could carry.
        return msgspec.json.encode(
            {
                name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
                for name, value in document.items()
            }
        )


def words_of(error: Exception) -> str:
    """What a model's own error says, whatever it does when it is asked."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 -- or one request could end the process
        return type(error).__name__


def unreadable(detail: str, *, fix: str | None = None) -> Problem:
    """The bytes are not what their type promises."""
    return Problem(HTTPStatus.BAD_REQUEST, detail, fix=fix)


def unacceptable(detail: str, *, fix: str | None = None) -> Problem:
    """Readable, and not something this model can answer."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, fix=fix)


def missing_fix(takes_missing: bool) -> str:
    return "write null for a missing value" if takes_missing else "this model takes no missing values"


def busy(detail: str) -> Problem:
    """It may be answered in a moment."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, detail, fix="try again shortly", headers={"Retry-After": "1"}
    )
