"""The sentences of a rule, `say` and `fix`, with facts filled in where they say `{{ model.format }}`.

A verdict is an event and is kept for ever, so no sentence may name a person: what lies below `personal` cannot
be filled in, and a policy that tries is not loaded. A placeholder is a path and nothing more; there is no code
in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from placet.rules.expressions import FACTS, PERSONAL, nearest

MAX_VALUE = 120
MAX_LISTED = 8

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\}\}")


def sentence_problems(template: str, bound: str | None = None) -> Iterator[str]:
    """Why a policy with this sentence cannot be loaded; `bound` is a name that it may show besides the facts."""
    for path in _PLACEHOLDER.findall(template):
        root = path.split(".")[0]
        if root == PERSONAL:
            yield f"{{{{ {path} }}}} would show a person, and verdicts are kept for ever"
        elif root not in FACTS and root != bound:
            yield f"nobody knows the fact {path!r}; the nearest known one is {nearest(root, FACTS)!r}"
    rest = _PLACEHOLDER.sub("", template)
    if "{{" in rest or "}}" in rest:
        yield "a placeholder is a path such as {{ model.format }} and nothing more"


def filled_in(template: str, facts: Mapping[str, Any], *, most: int = MAX_LISTED) -> str:
    """`most` are the entries of a list that are named."""
    return _PLACEHOLDER.sub(lambda found: _shown(_value(facts, found[1]), most), template)


def described(template: str, params: Mapping[str, Any]) -> str:
    """A sentence of a policy of which nothing was judged yet: with its `params` filled in, and with the path of each
    fact in brackets where that will be."""

    def shown(found: re.Match[str]) -> str:
        value = _value({"params": params}, found[1])
        return f"({found[1]})" if value is None else _shown(value, MAX_LISTED)

    return _PLACEHOLDER.sub(shown, template)


def gaps(template: str, facts: Mapping[str, Any]) -> list[str]:
    """The facts that are not there or empty, so that the sentence would not read well."""
    return [path for path in _PLACEHOLDER.findall(template) if _value(facts, path) in (None, "")]


def _value(facts: Mapping[str, Any], path: str) -> Any:
    value: Any = facts
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _shown(value: Any, most: int) -> str:
    match value:
        case None | "":
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.7g}"
        case list() | tuple():
            return _listed([_shown(item, most) for item in value], most)
        case Mapping():
            return _listed([str(name) for name in value], most)
        case _:
            text = "".join(character if character.isprintable() else "?" for character in str(value))
            return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _listed(items: list[str], most: int) -> str:
    if not items:
        return "none"
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
