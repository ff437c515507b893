"""What can come of a check besides that it holds."""

from __future__ import annotations


class Wrong(Exception):
    """Something is not as it has to be."""


class Unsupported(Exception):
    """This file does not know how; nothing is said for or against."""
