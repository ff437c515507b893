"""What each version of Kubernetes takes: `kubernetes_validate`, whose schemas are read once.

It reads all definitions of a version again for each object, which takes a hundred times as long as to look at one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from kubernetes_validate import ValidationError, utils

__all__ = ["ValidationError", "validate"]

utils.schema_contents = cache(utils.schema_contents)


def validate(document: Mapping[str, Any], version: str, *, strict: bool = False) -> None:
    """Raises ValidationError where that version takes no such object, and for one that it cannot be asked about."""
    asked = utils.validate(document, version, strict=strict)
    assert asked == version, f"it was looked at as {asked} has it"
