"""How a model is asked from elsewhere: its address, a request as it takes them, and whether that takes a token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from placet.client import Example

IN_A_SNIPPET = 300
"""Characters of a request that is written out in a snippet; a longer one is read from a file."""
SAMPLE = "{}-sample.json"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What `templates/snippets.html` writes out. Nothing is known of what it takes without an `example`."""

    project: str
    url: str | None
    sent: Any
    needs_token: bool

    @property
    def is_long(self) -> bool:
        return len(json.dumps(self.sent)) > IN_A_SNIPPET

    @property
    def file(self) -> str:
        """That a longer request is kept in."""
        return SAMPLE.format(self.project)


def asking(project: str, url: str | None, example: Example | None, request: Any = None) -> Asking:
    """With `request`, or what the example has, or none that says anything."""
    of_example = None if example is None else example.request
    sent = of_example if request is None else request
    return Asking(
        project=project,
        url=url,
        sent={"inputs": []} if sent is None else sent,
        needs_token=example is not None and example.access == "token",
    )
