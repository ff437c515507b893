"""The part of CEL that policies may use.

What decides is whether a condition is true, false or cannot be decided, and that is all this evaluator is held to:
every kind of failure is `Undecidable`. It follows the engine that placet judges with, down to its ways: a text's size
is in bytes of UTF-8, `1 || true` is true and `false || 1` cannot be decided, `-true` is false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from placet.verifier.code import (
    binary,
    called,
    chosen,
    constant,
    has_field,
    indexed,
    joined,
    listed,
    mapped,
    negated,
    negation,
    over,
    selected,
    variable,
)
from placet.verifier.failures import Unsupported
from placet.verifier.operations import FUNCTIONS, METHODS, PRODUCTS, RELATIONS, SUMS, TAKES_TEXT
from placet.verifier.values import INT, Code, Env, UInt, Undecidable, Value

_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*)
    |(?P<text>[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|[0-9]+[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_RAW_TEXT = re.compile(r"""([rR]|[bB][rR])(\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_TYPES = frozenset(
    [
        "int",
        "uint",
        "double",
        "string",
        "bool",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "dyn",
        "timestamp",
        "duration",
    ]
)
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_END = ("end", "")
_MAX_BRACKETS = 40


@lru_cache(maxsize=4096)
def compiled(expression: str) -> Code:
    """Raises Unsupported for what is not read here, and for what no policy that was published can hold."""
    return _Expression(list(_tokens(expression))).code()


def decided(code: Code, facts: Env) -> bool | None:
    """Whether the condition is true; None where it cannot be decided, or is neither true nor false."""
    try:
        value = code(facts)
    except Undecidable:
        return None
    except RecursionError:
        raise Unsupported("a condition of a thousand parts") from None
    return value if isinstance(value, bool) else None


class _Expression:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, _END]
        self._at = 0
        self._depth = 0
        self._selected: tuple[int, int, Code, str] | None = None
        """The last field that was selected: where it begins and ends, of what, and its name."""

    def code(self) -> Code:
        found = self._condition()
        if self._next() != _END:
            raise Unsupported(f"an expression goes on with {self._next()[1]!r}")
        return found

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _is(self, *signs: str) -> bool:
        kind, text = self._next()
        return kind == "sign" and text in signs

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            raise Unsupported(f"{sign} is expected, not {self._next()[1]!r}")
        self._at += 1

    def _condition(self) -> Code:
        """`a`, or `a ? b : c`, where c may be another one."""
        self._depth += 1
        if self._depth > _MAX_BRACKETS:
            raise Unsupported("an expression nests too deep")
        cases: list[tuple[Code, Code]] = []
        found = self._either()
        while self._is("?"):
            self._at += 1
            then = self._either()
            self._expect(":")
            cases.append((found, then))
            found = self._either()
        self._depth -= 1
        return chosen(cases, found) if cases else found

    def _either(self) -> Code:
        found = [self._both()]
        while self._is("||"):
            self._at += 1
            found.append(self._both())
        return joined(found, ends=True) if len(found) > 1 else found[0]

    def _both(self) -> Code:
        found = [self._relation()]
        while self._is("&&"):
            self._at += 1
            found.append(self._relation())
        return joined(found, ends=False) if len(found) > 1 else found[0]

    def _relation(self) -> Code:
        found = self._sum()
        while self._is("<", "<=", ">", ">=", "==", "!=") or self._next() == ("name", "in"):
            found = binary(RELATIONS[self._take()], found, self._sum())
        return found

    def _sum(self) -> Code:
        found = self._product()
        while self._is("+", "-"):
            found = binary(SUMS[self._take()], found, self._product())
        return found

    def _product(self) -> Code:
        found = self._unary()
        while self._is("*", "/", "%"):
            found = binary(PRODUCTS[self._take()], found, self._unary())
        return found

    def _unary(self) -> Code:
        signs = ""
        while self._is("!", "-") and (not signs or self._is(signs[0])):
            signs += self._take()
        if signs[-1:] == "-" and self._next()[0] == "number" and self._next()[1] == str(2**63):
            self._at += 1
            found, signs = constant(-(2**63)), signs[:-1]
        else:
            found = self._member()
        if not signs:
            return found
        return negation(found, len(signs)) if signs[0] == "!" else negated(found, len(signs))

    def _member(self) -> Code:
        start, found = self._at, self._primary()
        while True:
            if self._is("."):
                self._at += 1
                kind, name = self._next()
                if kind != "name" or name in ("in", "true", "false", "null"):
                    raise Unsupported(f"a name is expected, not {name!r}")
                self._at += 1
                if self._is("("):
                    found = self._call(found, name)
                else:
                    self._selected = (start, self._at, found, name)
                    found = selected(found, name)
            elif self._is("["):
                self._at += 1
                index = self._condition()
                self._expect("]")
                found = binary(indexed, found, index)
            else:
                return found

    def _call(self, of: Code, name: str) -> Code:
        if name in _MACROS:
            return self._macro(of, name)
        arguments = self._arguments()
        if name not in METHODS:
            raise Unsupported(f"the function {name} is not known here")
        return called(METHODS[name], [of, *arguments], needed=2 if name in TAKES_TEXT else 1)

    def _macro(self, of: Code, name: str) -> Code:
        self._expect("(")
        kind, bound = self._next()
        if kind != "name" or bound in _RESERVED | {"true", "false", "null", "in"}:
            raise Unsupported(f"{name} takes a name first")
        self._at += 1
        parts = []
        while self._is(","):
            self._at += 1
            parts.append(self._condition())
        self._expect(")")
        if not 1 <= len(parts) <= (2 if name == "map" else 1):
            raise Unsupported(f"{name} takes a name and a condition")
        return over(name, of, bound, parts)

    def _arguments(self, closing: str = ")") -> list[Code]:
        self._at += 1
        found = []
        while not self._is(closing):
            found.append(self._condition())
            if not self._is(closing):
                self._expect(",")
        self._at += 1
        return found

    def _primary(self) -> Code:
        kind, text = self._next()
        if kind == "number":
            self._at += 1
            return constant(_number(text))
        if kind == "text":
            self._at += 1
            return constant(_text(text))
        if kind == "name":
            return self._named(text)
        if self._is("("):
            self._at += 1
            found = self._condition()
            self._expect(")")
            return found
        if self._is("["):
            return listed(self._arguments("]"))
        if self._is("{"):
            return self._map()
        raise Unsupported(f"an expression has {text!r} where a value is expected")

    def _named(self, name: str) -> Code:
        self._at += 1
        if name in _CONSTANTS:
            return constant(_CONSTANTS[name])
        if name in _RESERVED or name == "in" or (name in _TYPES and not self._is("(")):
            raise Unsupported(f"{name} is a reserved word")
        if not self._is("("):
            return variable(name)
        if name == "has":
            return self._has()
        arguments = self._arguments()
        if name not in FUNCTIONS:
            raise Unsupported(f"the function {name} is not known here")
        return called(FUNCTIONS[name], arguments, needed=1)

    def _has(self) -> Code:
        """It looks whether the last name is there, and evaluates what comes before it."""
        start = self._at + 1
        self._arguments()
        if self._selected is None or self._selected[:2] != (start, self._at - 1):
            raise Unsupported("has() takes a name behind a dot")
        return has_field(*self._selected[2:])

    def _map(self) -> Code:
        self._at += 1
        pairs: list[tuple[Code, Code]] = []
        while not self._is("}"):
            key = self._condition()
            self._expect(":")
            pairs.append((key, self._condition()))
            if not self._is("}"):
                self._expect(",")
        self._at += 1
        return mapped(pairs)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _RAW_TEXT.match(text, at) or _TOKEN.match(text, at)
        if found is None:
            raise Unsupported(f"an expression has {text[at]!r}")
        if found.re is _RAW_TEXT:
            yield "text", found[0]
        elif found.lastgroup != "blank":
            yield str(found.lastgroup), found[0]
        at = found.end()


_CONSTANTS = {"true": True, "false": False, "null": None}


def _number(text: str) -> Value:
    if text[-1] in "uU":
        value = int(text[:-1], 16 if text[:2].lower() == "0x" else 10)
        if value >= 2**64:
            raise Unsupported(f"{text} is too large")
        return UInt(value)
    if re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", text, re.A):
        value = int(text, 16 if text[:2].lower() == "0x" else 10)
        if value > INT[1]:
            raise Unsupported(f"{text} is too large")
        return value
    return float(text)


_TEXT_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)


def _text(written: str) -> Value:
    prefix = written[: len(written) - len(written.lstrip("rRbB"))].lower()
    body = written[len(prefix) :]
    marks = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[marks:-marks]
    is_bytes = "b" in prefix
    if "r" not in prefix:
        body = _ESCAPE.sub(lambda found: _unescaped(found, is_bytes=is_bytes), body)
    if not is_bytes:
        return body
    return b"".join(
        bytes([ord(each) - 0xF0000]) if 0xF0000 <= ord(each) < 0xF0100 else each.encode() for each in body
    )


def _unescaped(found: re.Match[str], *, is_bytes: bool) -> str:
    if found[5] is not None:
        if found[5] not in _TEXT_ESCAPES:
            raise Unsupported(f"a text with the escape \\{found[5]}")
        return _TEXT_ESCAPES[found[5]]
    if is_bytes and (found[2] or found[3]):
        raise Unsupported("bytes with an escape of a character")
    code = int(found[4], 8) if found[4] else int(found[1] or found[2] or found[3], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise Unsupported("a text with an escape of no character")
    # A byte of its own stands, until the end, as a character that nothing else is.
    return chr(0xF0000 + code) if is_bytes else chr(code)
