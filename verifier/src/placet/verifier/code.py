"""What an expression is made of: each piece of code is made out of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from placet.verifier.failures import Unsupported
from placet.verifier.values import (
    INT,
    NOTHING,
    Code,
    Env,
    Keyed,
    UInt,
    Undecidable,
    Value,
    fact,
    key_of,
    spend,
    weight,
)


def constant(value: Value) -> Code:
    return lambda env: value


def variable(name: str) -> Code:
    def code(env: Env) -> Value:
        if name not in env:
            raise Undecidable
        return fact(env[name])

    return code


def chosen(cases: Sequence[tuple[Code, Code]], otherwise: Code) -> Code:
    def code(env: Env) -> Value:
        for condition, then in cases:
            value = condition(env)
            if not isinstance(value, bool):
                raise Undecidable
            if value:
                return then(env)
        return otherwise(env)

    return code


def joined(parts: Sequence[Code], *, ends: bool) -> Code:
    """`||` (true ends it) and `&&` (false does): who ends it makes up for those that cannot be decided."""

    def code(env: Env) -> Value:
        fails = False
        for part in parts:
            try:
                value = part(env)
            except Undecidable:
                fails = True
                continue
            if value is ends:
                return ends
            if not isinstance(value, bool):
                fails = True
        if fails:
            raise Undecidable
        return not ends

    return code


def binary(operate: Callable[[Value, Value], Value], left: Code, right: Code) -> Code:
    return lambda env: operate(left(env), right(env))


def negation(of: Code, times: int) -> Code:
    def code(env: Env) -> Value:
        value = of(env)
        if not isinstance(value, bool):
            raise Undecidable
        return value ^ bool(times % 2)

    return code


def negated(of: Code, times: int) -> Code:
    def code(env: Env) -> Value:
        value = of(env)
        if isinstance(value, bool):
            return value ^ bool(times % 2)
        if isinstance(value, UInt) or not isinstance(value, (int, float)):
            raise Undecidable
        if value == INT[0] and not isinstance(value, float):
            raise Unsupported("the least number of all, negated")
        return -value if times % 2 else value

    return code


def selected(of: Code, name: str) -> Code:
    return lambda env: _field(of(env), name)


def _field(value: Value, name: str) -> Value:
    if isinstance(value, Keyed):
        found = value.get(("text", name), NOTHING)
    elif isinstance(value, dict):
        found = value.get(name, NOTHING)
    else:
        raise Undecidable
    if found is NOTHING:
        raise Undecidable
    return fact(found)


def has_field(of: Code, name: str) -> Code:
    def code(env: Env) -> Value:
        value = of(env)
        if not isinstance(value, dict):
            raise Undecidable
        return (("text", name) if isinstance(value, Keyed) else name) in value

    return code


def indexed(value: Value, index: Value) -> Value:
    if isinstance(value, list):
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(value):
            raise Undecidable
        return fact(value[index])
    if isinstance(value, dict):
        key = key_of(index)
        found = value.get(
            key if isinstance(value, Keyed) else key[1] if key[0] == "text" else NOTHING, NOTHING
        )
        if found is not NOTHING:
            return fact(found)
    raise Undecidable


def listed(parts: Sequence[Code]) -> Code:
    return lambda env: [part(env) for part in parts]


def mapped(pairs: Sequence[tuple[Code, Code]]) -> Code:
    return lambda env: Keyed((key_of(key(env)), value(env)) for key, value in pairs)


def over(name: str, of: Code, bound: str, parts: Sequence[Code]) -> Code:
    def code(env: Env) -> Value:
        many = of(env)
        if isinstance(many, Keyed):
            many = [UInt(key) if kind == "uint" else key for kind, key in many]
        elif isinstance(many, dict):
            many = list(many)
        elif not isinstance(many, list):
            raise Undecidable
        spend(len(many) // 16)
        inner = dict(env)
        found: list[Value] = []
        for each in many:
            spend(1)
            inner[bound] = each
            value = parts[0](inner)
            if name == "map" and len(parts) == 1:
                found.append(value)
                continue
            if not isinstance(value, bool):
                raise Undecidable
            if name in ("all", "exists") and value is (name == "exists"):
                return value
            if value:
                found.append(parts[1](inner) if name == "map" else fact(each))
        if name in ("all", "exists"):
            return name == "all"
        return len(found) == 1 if name == "exists_one" else found

    return code


def called(function: Callable[..., Value], arguments: Sequence[Code], *, needed: int) -> Code:
    def code(env: Env) -> Value:
        values = [each(env) for each in arguments]
        if len(values) != needed:
            raise Undecidable
        spend(sum(map(weight, values)))
        return function(*values)

    return code
