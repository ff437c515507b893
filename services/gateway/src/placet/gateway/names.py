"""People's names, so that nobody becomes two people by how somebody types. Pure.

It does not tell letters of one alphabet from those of another that look the same.
"""

from __future__ import annotations

import unicodedata

SEEN = r"^[^\p{C}\p{Default_Ignorable_Code_Point}]+$"
"""Names without what is not seen: marks such as U+FE0F and U+034F, and fillers of Hangul, are of no class C. Which they
are, Unicode's DerivedCoreProperties.txt says, as pydantic's regular expressions know it.
"""
_BLANK = dict.fromkeys(map(ord, "\u2800\U00013441\U00013442\U00016fe4\U0001d159"), " ")
"""The empty Braille pattern, blanks of hieroglyphs, Khitan's filler, a note without a head: seen as white space."""


def normalised(name: str) -> str:
    """In the form NFKC, without white space around it and with single spaces inside."""
    return " ".join(unicodedata.normalize("NFKC", name).translate(_BLANK).split())


def alike(name: str) -> str:
    """The same text for normalised names that differ by case alone."""
    return unicodedata.normalize("NFKC", name.casefold())
