"""A condition of a policy in plain words, for who reads no expressions.

Words are made from what the expression says and from nothing else: the same text has the same words for ever. Every
form of the language has some, a fact without a name has its own, and what is nested too deep to be followed is called
so. The expression itself is what is judged, and stands beside its words wherever those are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from placet.errors import Unreadable
from placet.rules import syntax
from placet.rules.fact_names import FACT_NAMES, IN_A_LIST, FactName
from placet.rules.policy import MET, Rule
from placet.rules.sentences import MAX_VALUE
from placet.rules.syntax import Node, parsed

MAX_DEPTH = 20
_MAX_LISTED = 40
ALWAYS = "always"
_TOO_DEEP = "what the expression says further inside"
_NOT_READ = "what its expression says is so"
_MIDNIGHT = "T00:00:00Z"
_RELATIONS = {
    "==": ("is", "is not"),
    "!=": ("is not", "is"),
    "<": ("is less than", "is at least"),
    "<=": ("is at most", "is more than"),
    ">": ("is more than", "is at most"),
    ">=": ("is at least", "is less than"),
}
_TIMES = {
    "==": ("is", "is not"),
    "!=": ("is not", "is"),
    "<": ("is before", "is not before"),
    "<=": ("is not after", "is after"),
    ">": ("is after", "is not after"),
    ">=": ("is not before", "is before"),
}
_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SIGNS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}
_PARTS_OF_TIME = {
    "getFullYear": "the year",
    "getMonth": "the month, counted from 0,",
    "getDate": "the day of the month",
    "getDayOfWeek": "the day of the week, counted from Sunday as 0,",
    "getHours": "the hours",
}
_KINDS = frozenset({"int", "uint", "double", "string", "bytes", "timestamp", "duration"})
_TESTS = {
    "contains": ("contains", "does not contain"),
    "startsWith": ("begins with", "does not begin with"),
    "endsWith": ("ends with", "does not end with"),
    "matches": ("fits the pattern", "does not fit the pattern"),
}
_ALTERNATIVES = re.compile(r"(\(\?i\))?([\w \-?]+(?:\|[\w \-?]+)+)")


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence without its full stop; or one that `parts` go on from, each a sentence of its own."""

    says: str
    parts: tuple[Wording, ...] = ()
    is_joined: bool = False
    """By `and` or `or` in one line: what is joined again has to keep it apart."""

    def flat(self) -> str:
        """All of it in one line."""
        if not self.parts:
            return self.says
        return f"{self.says.removesuffix(':')} ({'; '.join(each.flat() for each in self.parts)})"


def requirement(rule: Rule, params: Mapping[str, Any]) -> list[tuple[str, Wording]]:
    """What a rule requires, each expression with its words."""
    asked = [rule.require] if rule.require is not None else [clause.require for clause in rule.all]
    return [
        (each, worded(each, params, {} if rule.as_ is None or rule.each is None else {rule.as_: rule.each}))
        for each in asked
    ]


def of_each(rule: Rule, params: Mapping[str, Any]) -> str | None:
    """What a rule asks it of, if that is a list: `for each package in the image`."""
    if rule.each is None:
        return None
    name = _known(rule.each)
    if rule.at_least is None:
        return f"for each {name.one or _in_words(rule.each)}"
    at_least = rule.at_least
    if isinstance(at_least, str):
        value = _param(at_least, params)
        at_least = at_least if value is None else value
    return f"for at least {at_least} of the {name.many or _in_words(rule.each)}"


def when(expression: str, rule: Rule, params: Mapping[str, Any]) -> Wording:
    """The condition under which one of the sentences of a rule is said."""
    if rule.at_least is not None:
        return worded(expression, params, {}, {MET: "the number that keep it"})
    return worded(expression, params, {} if rule.as_ is None or rule.each is None else {rule.as_: rule.each})


def worded(
    expression: str,
    params: Mapping[str, Any],
    each: Mapping[str, str] | None = None,
    named: Mapping[str, str] | None = None,
) -> Wording:
    """`each` are names for one of a list, with its path; `named` are others, with what they are called. Never raises:
    what is no expression is not said in other words."""
    try:
        node = parsed(expression)
    except Unreadable:
        return Wording(_NOT_READ)
    bound = {name: f"{path}{IN_A_LIST}" for name, path in (each or {}).items()}
    return _Words(params=params, bound=bound, named=named or {}).claim(node)


def _known(path: str) -> FactName:
    return FACT_NAMES.get(path, FactName())


def _in_words(path: str) -> str:
    """`silent hours of monitoring` of `monitoring.silentHours`."""
    parts = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", each).lower() for each in path.split(".")]
    return " of ".join(part.replace(IN_A_LIST, "").replace("_", " ").strip() for part in reversed(parts))


def _param(path: str, params: Mapping[str, Any]) -> Any:
    value: Any = {"params": params}
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _quoted(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return f"\u201c{shown if len(shown) <= MAX_VALUE else shown[: MAX_VALUE - 1] + '…'}\u201d"


def _value(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case int():
            if not -(10**18) < value < 10**18:
                return "a very large number"
            return str(value) if abs(value) < 10_000 else f"{value:,}".replace(",", "\u202f")
        case float():
            return f"{value:.7g}"
        case list() | tuple():
            return _listed([_value(each) for each in value], "and")
        case Mapping():
            return _listed([f"{name}: {_value(each)}" for name, each in value.items()], "and")
        case _:
            return _quoted(str(value))


def _listed(items: Sequence[str], word: str) -> str:
    if not items:
        return "an empty list"
    if len(items) > _MAX_LISTED:
        items = [*items[:_MAX_LISTED], f"{len(items) - _MAX_LISTED} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """`bound` names stand for one of a list, by their paths; `depth` is how far inside it is."""

    params: Mapping[str, Any]
    bound: Mapping[str, str]
    named: Mapping[str, str]
    depth: int = 0

    def claim(self, node: Node, *, so: bool = True) -> Wording:
        """What has to be true, or with `so` as False what must not be."""
        if self.depth > MAX_DEPTH:
            return Wording(f"{_TOO_DEEP} is {'so' if so else 'not so'}")
        inside = replace(self, depth=self.depth + 1)
        match node:
            case syntax.Not(of):
                return inside.claim(of, so=not so)
            case syntax.AllOf(parts):
                return inside._joined(parts, is_all=so, so=so)
            case syntax.AnyOf(parts):
                return inside._joined(parts, is_all=not so, so=so)
            case syntax.Choice():
                return inside._chosen(node, so=so)
            case syntax.Each():
                return inside._counted(node, so=so)
            case syntax.Compared():
                return Wording(inside._compared(node, so=so))
            case syntax.Call():
                return Wording(inside._called(node, so=so))
            case syntax.Word(value) if value in ("true", "false"):
                return Wording(ALWAYS if (value == "true") is so else "never")
            case syntax.Name() | syntax.Member():
                return Wording(inside._holds(node, so=so))
            case _:
                return Wording(f"{inside.value(node)} is {'true' if so else 'false'}")

    def _joined(self, parts: Sequence[Node], *, is_all: bool, so: bool) -> Wording:
        said = [self.claim(each, so=so) for each in parts]
        word = "and" if is_all else "or"
        if len(said) == 2 and not any(each.parts or each.is_joined for each in said):
            first, second = said
            comma = "," if " or " in first.says + second.says or " and " in first.says + second.says else ""
            return Wording(f"{first.says}{comma} {word} {second.says}", is_joined=True)
        return Wording("all of this is so:" if is_all else "at least one of this is so:", tuple(said))

    def _chosen(self, node: syntax.Choice, *, so: bool) -> Wording:
        cases = [(self.claim(case), self.claim(then, so=so)) for case, then in node.cases]
        parts = [Wording(f"if {case.flat()}, then {then.says}", then.parts) for case, then in cases]
        last = self.claim(node.otherwise, so=so)
        return Wording(
            "the first of these that applies:",
            (*parts, Wording(f"otherwise {last.says}", last.parts)),
        )

    def _counted(self, node: syntax.Each, *, so: bool) -> Wording:
        """A comprehension as something true or false."""
        if node.macro in ("map", "filter"):
            return Wording(f"{self.value(node)} is {'true' if so else 'false'}")
        one, many = self._of_list(node)
        within = self._within(node)
        if node.macro == "exists_one":
            begin = "exactly one of" if so else "not exactly one of"
            return _going_on(f"{begin} the {many} is such that", within.claim(node.body))
        if node.macro == "exists" and not so:
            return _going_on(f"there is no {one} such that", within.claim(node.body))
        if node.macro == "exists":
            return _going_on(f"there is at least one {one} such that", within.claim(node.body))
        if so:
            return _going_on(f"for each {one},", within.claim(node.body))
        return _going_on(f"there is at least one {one} such that", within.claim(node.body, so=False))

    def _within(self, node: syntax.Each) -> _Words:
        path = self._path(node.of)
        bound = {name: where for name, where in self.bound.items() if name != node.name}
        named = {name: said for name, said in self.named.items() if name != node.name}
        if path is not None and not path.startswith("params."):
            bound[node.name] = f"{path}{IN_A_LIST}"
        else:
            named[node.name] = f"the {_in_words(node.name)}"
        return replace(self, bound=bound, named=named)

    def _of_list(self, node: syntax.Each) -> tuple[str, str]:
        """What one of a list is called, and what many are."""
        path = self._path(node.of)
        known = FactName() if path is None else _known(path)
        if known.one:
            return known.one, known.many
        said = self.value(node.of)
        return f"{_in_words(node.name)} of {said}", said.removeprefix("the ")

    def _compared(self, node: syntax.Compared, *, so: bool) -> str:
        *before, (sign, last) = node.rest
        first = node.first if not before else syntax.Compared(node.first, tuple(before))
        return self._relation(first, sign, last, so=so)

    def _relation(self, left: Node, sign: str, right: Node, *, so: bool) -> str:
        if sign == "in":
            return self._member(left, right, so=so)
        if isinstance(left, syntax.Text | syntax.Number | syntax.Word) and not isinstance(
            right, syntax.Text | syntax.Number | syntax.Word
        ):
            left, right, sign = right, left, _TURNED[sign]
        if sign in ("==", "!="):
            is_equal = (sign == "==") is so
            if isinstance(right, syntax.Word) and right.value in ("true", "false"):
                return self.claim(left, so=is_equal is (right.value == "true")).flat()
            if isinstance(right, syntax.Text) and right.value == "":
                return self._given(left, so=not is_equal)
        sized = self._size(left, sign, right, so=so)
        if sized is not None:
            return sized
        words = _TIMES if self._is_time(left) or self._is_time(right) else _RELATIONS
        return f"{self.value(left)} {words[sign][0 if so else 1]} {self.value(right)}"

    def _member(self, left: Node, right: Node, *, so: bool) -> str:
        items = self._items(right)
        if items is not None:
            word = "is" if len(items) == 1 else "is one of" if so else "is none of"
            return f"{self.value(left)} {word if so or len(items) != 1 else 'is not'} {_listed(items, 'or')}"
        include = "include" if so else "do not include"
        return f"{self.value(right)} {include} {self.value(left)}"

    def _items(self, node: Node) -> list[str] | None:
        """Of a list that is written out, or is one of the params."""
        if isinstance(node, syntax.ListOf):
            return [self.value(each) for each in node.items]
        path = self._path(node)
        value = None if path is None else _param(path, self.params)
        return [_value(each) for each in value] if isinstance(value, list | tuple) else None

    def _given(self, node: Node, *, so: bool) -> str:
        """Of a text: whether there is any."""
        path = self._path(node)
        known = FactName() if path is None else _known(path)
        said = known.there if so else known.none
        return said or f"{self.value(node)} is {'given' if so else 'not given'}"

    def _size(self, left: Node, sign: str, right: Node, *, so: bool) -> str | None:
        """How many there are of a list."""
        if not (isinstance(left, syntax.Call) and left.name == "size" and isinstance(right, syntax.Number)):
            return None
        of = left.of if left.of is not None else left.given[0] if left.given else None
        path = None if of is None else self._path(of)
        known = FactName() if path is None else _known(path)
        if not known.one:
            return None
        if not so:
            sign = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}[sign]
        number = right.value
        if (sign, number) in (("==", 0), ("<", 1), ("<=", 0)):
            return known.none or f"there is no {known.one}"
        if (sign, number) in ((">", 0), (">=", 1), ("!=", 0)):
            return known.there or f"there is at least one {known.one}"
        many = known.one if number == 1 else known.many
        amount = {
            "==": "exactly", "!=": "not exactly", "<": "fewer than", "<=": "at most", ">": "more than", ">=": "at least"
        }[sign]  # fmt: skip
        return f"there {'is' if number == 1 else 'are'} {amount} {_value(number)} {many}"

    def _is_time(self, node: Node) -> bool:
        return isinstance(node, syntax.Call) and node.name == "timestamp"

    def _is_test(self, node: syntax.Call) -> bool:
        if node.name == "has":
            return node.of is None and len(node.given) == 1
        return node.name in _TESTS and node.of is not None and len(node.given) == 1

    def _called(self, node: syntax.Call, *, so: bool) -> str:
        if not self._is_test(node):
            return f"{self.value(node)} is {'true' if so else 'false'}"
        [what] = node.given
        if node.of is None:
            return f"{self.value(what)} is {'known' if so else 'not known'}"
        if node.name == "matches":
            return f"{self.value(node.of)} {self._pattern(what, so=so)}"
        return f"{self.value(node.of)} {_TESTS[node.name][0 if so else 1]} {self.value(what)}"

    def _pattern(self, node: Node, *, so: bool) -> str:
        path = self._path(node)
        pattern = (
            node.value
            if isinstance(node, syntax.Text)
            else None
            if path is None
            else _param(path, self.params)
        )
        words = _TESTS["matches"][0 if so else 1]
        if not isinstance(pattern, str):
            return f"{words} {self.value(node)}"
        found = _ALTERNATIVES.fullmatch(pattern)
        if found is None or "?" in found[2].replace("-?", ""):
            return f"{words} {_quoted(pattern)}"
        spelt = [
            way for each in found[2].split("|") for way in (each.replace("-?", "-"), each.replace("-?", ""))
        ]
        some = [_quoted(each) for each in dict.fromkeys(spelt)]
        alike = ", in capitals or not" if found[1] else ""
        return f"{'contains' if so else 'does not contain'} {_listed(some, 'or')}{alike}"

    def _holds(self, node: Node, *, so: bool) -> str:
        path = self._path(node)
        known = FactName() if path is None else _known(path)
        said = known.there if so else known.none
        return said or f"{self.value(node)} is {'true' if so else 'false'}"

    def value(self, node: Node) -> str:
        """What stands for something else than true or false, as a noun."""
        if self.depth > MAX_DEPTH:
            return _TOO_DEEP
        inside = replace(self, depth=self.depth + 1)
        match node:
            case syntax.Text(value):
                return _quoted(value) if value else "an empty text"
            case syntax.Number(value):
                return _value(value)
            case syntax.Word(value):
                return "nothing" if value == "null" else value
            case syntax.Name() | syntax.Member():
                return inside._named(node)
            case syntax.At(of, place):
                return inside._placed(of, place)
            case syntax.Call():
                return inside._result(node)
            case syntax.Each():
                return inside._made(node)
            case syntax.Minus(of):
                return f"minus {inside.value(of)}"
            case syntax.Computed():
                return inside._computed(node)
            case syntax.ListOf(items):
                return _listed([inside.value(each) for each in items], "and")
            case syntax.MapOf(entries):
                said = [f"{inside.value(value)} as {inside.value(key)}" for key, value in entries]
                return _listed(said, "and") if said else "nothing at all"
            case syntax.Choice(cases, otherwise):
                chosen = "".join(
                    f"{inside.value(then)} if {inside.claim(case).flat()}, " for case, then in cases
                )
                return f"{chosen}otherwise {inside.value(otherwise)}"
            case syntax.Not() | syntax.AllOf() | syntax.AnyOf() | syntax.Compared():
                return f"whether {inside.claim(node).flat()}"
            case _:
                assert_never(node)

    def _named(self, node: syntax.Name | syntax.Member) -> str:
        path = self._path(node)
        if path is None:
            if isinstance(node, syntax.Name):
                return self.named.get(node.name, f"the {_in_words(node.name)}")
            return f"the {_in_words(node.name)} of {self.value(node.of)}"
        value = _param(path, self.params)
        if value is not None:
            return _value(value)
        known = _known(path)
        if known.name:
            return known.name
        if path.endswith(IN_A_LIST):
            one = _known(path.removesuffix(IN_A_LIST)).one
            return f"the {one or _in_words(path)}"
        return f"the {_in_words(path)}"

    def _placed(self, of: Node, place: Node) -> str:
        if isinstance(place, syntax.Text):
            return f"the {_in_words(place.value) or 'value'} of {self.value(of)}"
        if isinstance(place, syntax.Number):
            return f"number {_value(place.value + 1)} of {self.value(of)}"
        return f"what {self.value(of)} has for {self.value(place)}"

    def _result(self, node: syntax.Call) -> str:
        given = ([] if node.of is None else [node.of]) + list(node.given)
        if self._is_test(node):
            return f"whether {self._called(node, so=True)}"
        if not given:
            return f"what {_in_words(node.name)} makes"
        if node.name == "size":
            path = self._path(given[0])
            many = "" if path is None else _known(path).many
            return f"the number of {many}" if many else f"the size of {self.value(given[0])}"
        if node.name == "timestamp":
            return self.value(_day_of(given[0]))
        if node.name in _KINDS and len(given) == 1:
            return self.value(given[0])
        if node.name in _PARTS_OF_TIME:
            if isinstance(given[0], syntax.Computed) and [sign for sign, _ in given[0].rest] == ["-"]:
                since = self.value(given[0].rest[0][1])
                return f"{_PARTS_OF_TIME[node.name]} from {since} to {self.value(given[0].first)}"
            return f"{_PARTS_OF_TIME[node.name]} of {self.value(given[0])}"
        return f"what {_in_words(node.name)} makes of {_listed([self.value(each) for each in given], 'and')}"

    def _made(self, node: syntax.Each) -> str:
        _, many = self._of_list(node)
        within = self._within(node)
        if node.macro == "filter":
            return f"those {many} of which this is so: {within.claim(node.body).flat()}"
        if node.macro == "map":
            kept = f" where {within.claim(node.kept).flat()}" if node.kept is not None else ""
            return f"of the {many}{kept} each one's {within.value(node.body)}"
        return f"whether {self.claim(node).flat()}"

    def _computed(self, node: syntax.Computed) -> str:
        number = self._number(node)
        if number is not None:
            return _value(number)
        said = self._operand(node.first)
        for sign, operand in node.rest:
            said += f" {_SIGNS[sign]} {self._operand(operand)}"
        return said

    def _operand(self, node: Node) -> str:
        said = self.value(node)
        return f"({said})" if isinstance(node, syntax.Computed | syntax.Choice) and " " in said else said

    def _number(self, node: Node) -> int | None:
        """Of what is computed from whole numbers and params alone, by sums and products."""
        if isinstance(node, syntax.Number):
            return node.value if isinstance(node.value, int) else None
        if isinstance(node, syntax.Computed):
            made = self._number(node.first)
            for sign, operand in node.rest:
                number = self._number(operand) if sign in "+-*" and abs(made or 0) < 10**18 else None
                if made is None or number is None:
                    return None
                made = made * number if sign == "*" else made + number if sign == "+" else made - number
            return made
        path = self._path(node) if isinstance(node, syntax.Member) else None
        value = None if path is None else _param(path, self.params)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _path(self, node: Node) -> str | None:
        """Of a fact; `[]` stands behind a list of which it is about one."""
        names = []
        while isinstance(node, syntax.Member):
            names.append(node.name)
            node = node.of
        if not isinstance(node, syntax.Name) or node.name in self.named:
            return None
        return ".".join([self.bound.get(node.name, node.name), *reversed(names)])


def _going_on(begin: str, rest: Wording) -> Wording:
    return replace(rest, says=f"{begin} {rest.says}", is_joined=True)


def _day_of(node: Node) -> Node:
    """`day` of `day + "T00:00:00Z"`, by which conditions make a time of a day; anything else as it is."""
    match node:
        case syntax.Computed(first, (("+", syntax.Text(value)),)) if value == _MIDNIGHT:
            return first
        case _:
            return node
