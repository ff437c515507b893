"""Which CEL expressions may a policy hold? Checked on the text, before anything compiles it.

The evaluator compiles what it is given: a sum of twenty thousand terms overflows its stack. So an expression is
at most 2,000 bytes, brackets nest at most 16 deep and comprehensions at most two, and only CEL's own functions
are called: there is no clock, so that the same facts give the same verdict for ever.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

MAX_EXPRESSION_BYTES = 2000
MAX_BRACKETS = 16
MAX_COMPREHENSIONS = 2

# What the facts may be about. Verdicts show these to many; `personal` is for conditions alone.
FACTS = {
    "now": "the recorded moment of the decision, as text in RFC 3339",
    "project": "the project's name and access",
    "source": "the source archive: digest, files, size",
    "model": "the model's file and format",
    "scan": "what the scan of the model's file found",
    "sample": "the sample request",
    "reference": "the rows that drift is told by",
    "requirements": "the declared requirements",
    "build": "the project's Dockerfile, and what it starts from",
    "resources": "what a replica may use",
    "governance": "which declarations people made",
    "data": "the declared data",
    "evaluation": "how well the model did, for all and for each group of people",
    "card": "the model card: its licence, its length, which sections and how many results it has",
    "image": "the built image",
    "contents": "what the image is made of, as its bills of materials say: packages and their licences",
    "advisories": "what is known of those packages: the snapshot, its age, and what they are affected by",
    "approvals": "who approved this very release, but for who asked for it: how many people, in which roles",
    "assessments": "what answers to questionnaires amount to, and why they say nothing of this model any more",
    "reports": "what was reported of the model: runs on its way, evaluations, monitoring by others, incidents",
    "platform": "what this environment knows and allows",
    "params": "the policy's own parameters",
    "monitoring": "what is watched in operation",
    "personal": "people and their words: never shown",
}
PERSONAL = "personal"

_FUNCTIONS = frozenset(
    {
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
    }
    | {
        "timestamp",
        "duration",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfWeek",
        "getHours",
    }
)
_MACROS = ("all", "exists", "exists_one", "map", "filter")
_STRING = re.compile(
    r"""[rR]\"{3}.*?\"{3}|[rR]'{3}.*?'{3}|[rR]"[^"]*"|[rR]'[^']*'"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|//[^\n]*""",
    re.DOTALL,
)
_MACRO = re.compile(rf"\.\s*(?:{'|'.join(_MACROS)})\s*$")
_BOUND = re.compile(rf"\.\s*(?:{'|'.join(_MACROS)})\s*\(\s*([A-Za-z_]\w*)\s*,")


def text_problems(expression: str) -> Iterator[str]:
    """What can be said against the expression without compiling it."""
    size = len(expression.encode())
    if size > MAX_EXPRESSION_BYTES:
        yield f"the expression has {size} bytes; the limit is {MAX_EXPRESSION_BYTES}"
        return
    brackets, comprehensions = _depths(_STRING.sub('""', expression))
    if brackets > MAX_BRACKETS:
        yield f"the expression nests {brackets} brackets; the limit is {MAX_BRACKETS}"
    if comprehensions > MAX_COMPREHENSIONS:
        yield f"the expression nests {comprehensions} comprehensions; the limit is {MAX_COMPREHENSIONS}"


def reference_problems(
    expression: str, variables: Iterable[str], functions: Iterable[str], *, bound: str | None = None
) -> Iterator[str]:
    """What can be said against the names it uses; `variables` and `functions` come from the compiler.

    `bound` is a name that it may use besides the facts.
    """
    own = {bound, *_BOUND.findall(_STRING.sub('""', expression))}
    for name in sorted(set(variables) - own - FACTS.keys()):
        yield f"nobody knows the fact {name!r}; the nearest known one is {nearest(name, FACTS)!r}"
    for name in sorted(functions):
        # Operators have names such as `_==_`, `@in` and `!_`.
        if name.isidentifier() and not name.startswith("_") and name not in _FUNCTIONS:
            yield f"nobody knows the function {name!r}; the nearest known one is {nearest(name, _FUNCTIONS)!r}"


def nearest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]


def _depths(text: str) -> tuple[int, int]:
    """The deepest nesting of brackets, and of comprehensions."""
    is_comprehension: list[bool] = []
    brackets = comprehensions = 0
    for position, character in enumerate(text):
        if character in "([{":
            is_comprehension.append(character == "(" and bool(_MACRO.search(text[:position])))
            brackets = max(brackets, len(is_comprehension))
            comprehensions = max(comprehensions, sum(is_comprehension))
        elif character in ")]}" and is_comprehension:
            is_comprehension.pop()
    return brackets, comprehensions
