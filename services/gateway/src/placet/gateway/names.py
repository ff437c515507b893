"""People's names, so that nobody becomes two people by how somebody types. Pure.

It does not tell letters of one alphabet from those of another that look the same.
"""

from __future__ import annotations

import unicodedata

_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u2800"), " ")
"""Fillers of Hangul and the empty Braille pattern: letters and a symbol to Unicode, white space to the eye."""


def normalised(name: str) -> str:
    """In the form NFKC, without white space around it and with single spaces inside."""
    return " ".join(unicodedata.normalize("NFKC", name).translate(_BLANK).split())


def alike(name: str) -> str:
    """The same text for normalised names that differ by case alone."""
    return unicodedata.normalize("NFKC", name.casefold())
