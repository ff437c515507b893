"""What a CEL expression is made of, for who has to say it in other words. Nothing is evaluated here.

The evaluator compiles expressions and shows no tree of them, so this reads the same grammar (cel-spec, syntax.bnf) for
itself; that the two agree on what is an expression is tested on every one that ships, and on many made up. What repeats
at one level, as in `a && b && c`, stands side by side, so that no tree is deeper than brackets nest, and reading one
needs no more stack than that. Messages (`Name{field: value}`) are no part of the facts, and so none of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from placet.errors import Unreadable
from placet.rules.expressions import MAX_BRACKETS, MAX_EXPRESSION_BYTES

_Item = TypeVar("_Item")
MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<text>[bB]?(?:[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))"""
    r"""|(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)"""
    r"""|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<sign>&&|\|\||[<>=!]=|[-+*/%!<>?:.,()\[\]{}])""",
    re.DOTALL,
)
_RELATIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    value: int | float


@dataclass(frozen=True, slots=True)
class Word:
    """`true`, `false` or `null`."""

    value: str


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class At:
    of: Node
    place: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`of` is what a method is called on."""

    name: str
    of: Node | None
    given: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """A comprehension. `kept` is the condition in front of what a `map` with three parts makes."""

    macro: str
    of: Node
    name: str
    body: Node
    kept: Node | None = None


@dataclass(frozen=True, slots=True)
class Not:
    of: Node


@dataclass(frozen=True, slots=True)
class Minus:
    of: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    """`a && b && …`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`a || b || …`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """From the left on: `rest` are the signs, each with what stands behind it; mostly one."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """Of `+` and `-`, or of `*`, `/` and `%`, from the left on."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`a ? b : c ? d : e`: conditions, each with what it is then."""

    cases: tuple[tuple[Node, Node], ...]
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    items: tuple[tuple[Node, Node], ...]


Node = (
    Text
    | Number
    | Word
    | Name
    | Member
    | At
    | Call
    | Each
    | Not
    | Minus
    | AllOf
    | AnyOf
    | Compared
    | Computed
    | Choice
    | ListOf
    | MapOf
)


def parsed(expression: str) -> Node:
    """Raises Unreadable of what is no expression, or is longer or deeper than a policy may hold."""
    if len(expression.encode()) > MAX_EXPRESSION_BYTES:
        raise Unreadable(f"the expression has more than {MAX_EXPRESSION_BYTES} bytes", fix="make two of it")
    reader = _Reader(list(_tokens(expression)))
    node = reader.choice()
    reader.must_end()
    return node


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None or found.lastgroup is None:
            raise _broken(f"at {expression[at : at + 20]!r}")
        if found.lastgroup != "space":
            yield found.lastgroup, found[0]
        at = found.end()


def _broken(where: str) -> Unreadable:
    return Unreadable(f"this is no expression: {where}", fix="write it as CEL, such as size(data.names) > 0")


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def choice(self) -> Node:
        cases: list[tuple[Node, Node]] = []
        while True:
            first = self._any()
            if not self._took("?"):
                return Choice(tuple(cases), first) if cases else first
            then = self._any()
            self._take(":")
            cases.append((first, then))

    def must_end(self) -> None:
        if self._at < len(self._tokens):
            raise _broken(f"at {self._tokens[self._at][1][:20]!r}")

    def _any(self) -> Node:
        parts = [self._all()]
        while self._took("||"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Node:
        parts = [self._compared()]
        while self._took("&&"):
            parts.append(self._compared())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _compared(self) -> Node:
        first, rest = self._chained(self._sum, _RELATIONS)
        return Compared(first, rest) if rest else first

    def _sum(self) -> Node:
        first, rest = self._chained(self._product, frozenset("+-"))
        return Computed(first, rest) if rest else first

    def _product(self) -> Node:
        first, rest = self._chained(self._unary, frozenset("*/%"))
        return Computed(first, rest) if rest else first

    def _chained(
        self, operand: Callable[[], Node], signs: frozenset[str]
    ) -> tuple[Node, tuple[tuple[str, Node], ...]]:
        first, rest = operand(), []
        while self._next() in signs:
            sign = self._next()
            self._at += 1
            rest.append((sign, operand()))
        return first, tuple(rest)

    def _unary(self) -> Node:
        """Twice no is yes."""
        sign, times = self._next(), 0
        if sign not in ("!", "-"):
            return self._postfix()
        while self._took(sign):
            times += 1
        of = self._postfix()
        if times % 2 == 0:
            return of
        if sign == "!":
            return Not(of)
        return Number(-of.value) if isinstance(of, Number) else Minus(of)

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            if self._took("."):
                name = self._name()
                node = self._call(name, node) if self._next() == "(" else Member(node, name)
            elif self._took("["):
                node = At(node, self._inner())
                self._take("]")
            else:
                return node

    def _primary(self) -> Node:
        kind, token = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind == "text":
            self._at += 1
            return Text(_unquoted(token))
        if kind == "number":
            self._at += 1
            return Number(_number(token))
        if kind == "name":
            if token in ("true", "false", "null"):
                self._at += 1
                return Word(token)
            name = self._name()
            return self._call(name, None) if self._next() == "(" else Name(name)
        if self._took("("):
            node = self._inner()
            self._take(")")
            return node
        if self._took("["):
            return ListOf(tuple(self._listed("]", self._inner)))
        if self._took("{"):
            return MapOf(tuple(self._listed("}", self._entry)))
        if self._took("."):  # a name of the outermost scope, which is the only one here
            return Name(self._name())
        raise _broken(f"at {token[:20]!r}" if token else "it ends too early")

    def _call(self, name: str, of: Node | None) -> Node:
        self._take("(")
        given = tuple(self._listed(")", self._inner))
        if of is not None and name in MACROS and len(given) >= 2 and isinstance(given[0], Name):
            if len(given) == 2:
                return Each(name, of, given[0].name, given[1])
            if len(given) == 3 and name == "map":
                return Each(name, of, given[0].name, given[2], given[1])
        return Call(name, of, given)

    def _listed(self, end: str, item: Callable[[], _Item]) -> Iterator[_Item]:
        while not self._took(end):
            yield item()
            if not self._took(","):
                self._take(end)
                return

    def _entry(self) -> tuple[Node, Node]:
        key = self._inner()
        self._take(":")
        return key, self._inner()

    def _inner(self) -> Node:
        self._depth += 1
        if self._depth > MAX_BRACKETS:
            raise Unreadable(
                f"the expression nests more than {MAX_BRACKETS} brackets", fix="make two conditions of it"
            )
        node = self.choice()
        self._depth -= 1
        return node

    def _name(self) -> str:
        if self._kind() != "name":
            raise _broken(f"no name stands at {self._next()[:20]!r}")
        name = self._next()
        self._at += 1
        return name

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _took(self, sign: str) -> bool:
        if self._kind() != "sign" or self._next() != sign:
            return False
        self._at += 1
        return True

    def _take(self, sign: str) -> None:
        if not self._took(sign):
            raise _broken(f"{sign!r} is missing at {self._next()[:20]!r}")


def _number(token: str) -> int | float:
    digits = token.rstrip("uU")
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    return int(digits) if digits.isdigit() else float(digits)


def _unquoted(token: str) -> str:
    start = token.lstrip("bBrR")
    is_raw = "r" in token[: len(token) - len(start)].lower()
    quote = 3 if start[:3] in ('"""', "'''") and len(start) >= 6 else 1
    inside = start[quote:-quote]
    return inside if is_raw else _ESCAPE.sub(_unescaped, inside)


def _unescaped(found: re.Match[str]) -> str:
    *codes, octal, plain = found.groups()
    code = next((int(each, 16) for each in codes if each), int(octal, 8) if octal else None)
    if code is not None:
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    return _ESCAPES.get(plain, plain)
