"""What is to be done about a start that came to nothing? Said of what the model answered and wrote; asks nobody.

Causes that are known have a remedy of their own; of any other its log says more.
"""

from __future__ import annotations

import re

_LACKS = re.compile(r"No module named '(\w+)")
_NEEDS_A_FRAME = re.compile(
    r"only supported for (?:pandas )?dataframes|requires pandas|needs pandas", re.IGNORECASE
)
_NOT_TAKEN = re.compile(r"was answered (?:400|422)\b")


def remedy(why: str, written: str, project: str) -> str:
    """The next step after `why`; `written` is the end of what the instance wrote."""
    if _NEEDS_A_FRAME.search(why):
        return "add pandas, pinned, to requirements.txt, then deploy again"
    lacking = _LACKS.findall(f"{why}\n{written}")
    if lacking:
        return (
            f"add the package that {lacking[-1]} comes from, pinned, to requirements.txt, then deploy again"
        )
    if _NOT_TAKEN.search(why):
        return (
            "correct `request` in the sample, which is sent to /predict as it is, to what the model was trained on, "
            "then deploy again"
        )
    return f"see `placet logs {project}`; then deploy again"
