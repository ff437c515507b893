"""How are documents that people write (placet.yaml, policies) read, so that every mistake is named at once?

YAML is read as data only: text, numbers, true and false, lists, mappings. Aliases (the bombs), tags, merge
keys, duplicate keys and more than one document are mistakes with a line number; `no` and `2026-01-01` stay
text. The value is then compared with a msgspec type, and each difference becomes a `Problem` that says where,
what, and the next step. An unknown key is named together with the nearest known one.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any, Generic, TypeVar, cast, get_args, get_origin

import msgspec
import yaml
from msgspec import inspect

from placet.errors import Refused

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_DEPTH = 24
MAX_NODES = 20_000
"""A value costs some 50 µs and a kilobyte to read, a long text next to nothing."""
MAX_PROBLEMS = 50
"""More are not told: nobody reads them, and to look for the nearest key of each takes seconds."""
_NOT_KEPT = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True):
    """One mistake: `path` is where (`model.path`, `line 3`), `fix` the next step where we know one."""

    path: str
    detail: str
    fix: str | None = None

    def __str__(self) -> str:
        said = f"{self.path}: {self.detail}" if self.path else self.detail
        return f"{said}; {self.fix}" if self.fix else said


class DocumentRefused(Refused):
    """A document with mistakes: all of them are in `problems`."""

    def __init__(self, document: str, problems: tuple[Problem, ...]) -> None:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        if len(problems) == MAX_PROBLEMS:
            count = f"{count} or more"
        super().__init__(f"{count} in {document}: " + " | ".join(str(problem) for problem in problems))
        self.document = document
        self.problems = problems

    @property
    def parts(self) -> tuple[Refused, ...]:
        """Each mistake as a refusal of its own."""
        return tuple(
            Refused(f"{self._where(problem)}: {problem.detail}", fix=problem.fix, rule=self.rule)
            for problem in self.problems
        )

    def _where(self, problem: Problem) -> str:
        return f"{self.document}, {problem.path}" if problem.path else self.document


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[T]):
    """A document as far as it can be read. `unread` are the paths of what cannot: there `value` has the default, or an
    empty text where there is none."""

    value: T
    problems: tuple[Problem, ...]
    unread: frozenset[str]

    def is_unread(self, path: str) -> bool:
        """Whether this part cannot be read, or one that it lies in."""
        return any(
            not part or path == part or path.startswith((f"{part}.", f"{part}[")) for part in self.unread
        )


def read_document(data: bytes, kind: type[T], *, document: str, limit: int = MAX_DOCUMENT_BYTES) -> T:
    """The YAML in `data` as a `kind` (a msgspec Struct), or `DocumentRefused` with every problem found."""
    value, problems = _read_yaml(data, document, limit)
    problems += differences(value, kind)
    if problems:
        raise DocumentRefused(document, tuple(problems[:MAX_PROBLEMS]))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DocumentRefused(document, (Problem("", str(error)),)) from error


def read_as_far(data: bytes, kind: type[T], *, document: str, limit: int = MAX_DOCUMENT_BYTES) -> Reading[T]:
    """As `read_document`, with what can be read beside the problems. Of what is no YAML that is nothing."""
    try:
        value, problems = _read_yaml(data, document, limit)
        problems += differences(value, kind)
    except DocumentRefused as refused:
        value, problems = _UNREAD, list(refused.problems)
    unread: set[str] = set()
    part = _readable(value, kind, "", unread)
    problems = problems or [Problem(path, "cannot be read") for path in sorted(unread)]
    return Reading(value=part, problems=tuple(problems[:MAX_PROBLEMS]), unread=frozenset(unread))


def read_plain(data: bytes, *, document: str, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """The YAML in `data` as plain values, whatever they are."""
    value, problems = _read_yaml(data, document, limit)
    if problems:
        raise DocumentRefused(document, tuple(problems[:MAX_PROBLEMS]))
    return value


def differences(value: Any, kind: Any) -> list[Problem]:
    """Every way in which the plain value is not a `kind`, up to a number that people can read."""
    return list(islice(_differences(value, inspect.type_info(kind), "", None), MAX_PROBLEMS))


class _Unread:
    """Stands where something was written that is told already and says nothing."""


_UNREAD = _Unread()


def _readable(value: Any, kind: Any, path: str, unread: set[str]) -> Any:
    if not differences(value, kind):
        with suppress(msgspec.ValidationError):  # an alias is somewhere in it
            return msgspec.convert(value, kind)
    if get_origin(kind) is tuple and isinstance(value, list):
        below = get_args(kind)[0]
        parts = [_readable(item, below, f"{path}[{index}]", unread) for index, item in enumerate(value)]
        return tuple(part for part in parts if part is not _UNREAD)
    if get_origin(kind) is not tuple and (
        structs := [one for one in (kind, *get_args(kind)) if _is_struct(one)]
    ):
        return _readable_struct(value, structs[0], path, unread)
    unread.add(path)
    return _UNREAD


def _readable_struct(value: Any, kind: type[msgspec.Struct], path: str, unread: set[str]) -> msgspec.Struct:
    if not isinstance(value, dict):
        unread.add(path)
        value = {}
    fields = msgspec.structs.fields(kind)
    meant = _meant(value, [field.encode_name for field in fields])
    parts = {}
    for field in fields:
        key = meant.get(field.encode_name)
        if key is None and not field.required:
            continue
        given = _UNREAD if key is None else value[key]
        part = _readable(given, field.type, _below(path, field.encode_name), unread)
        if part is not _UNREAD or field.required:
            parts[field.name] = "" if part is _UNREAD else part
    return kind(**parts)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _meant(value: dict[Any, Any], known: list[str]) -> dict[str, Any]:
    """By name of a field the key that was written for it: its own, or one that nobody knows and is much like it."""
    meant = {name: name for name in known if name in value}
    for key in value:
        left = [name for name in known if name not in meant]
        if key not in known and (near := difflib.get_close_matches(str(key), left, n=1)):
            meant[near[0]] = key
    return meant


class _Loader(yaml.SafeLoader):
    """YAML without its surprises. `problems` collects what does not stop reading."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[Problem] = []
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _at(event, f"nested more than {MAX_DEPTH} deep", None)
        if self._nodes > MAX_NODES:
            raise _at(event, f"it holds more than {MAX_NODES} keys and values", None)
        if isinstance(event, yaml.AliasEvent):
            self._tell(event, "aliases (`*name`) are not read", "write the value out")
            aliased: Any = self.get_event()  # type: ignore[no-untyped-call]
            self._depth -= 1
            return yaml.ScalarNode(_ALIASED, "", aliased.start_mark, aliased.end_mark)
        if getattr(event, "tag", None) is not None:
            self._tell(event, f"tags such as {event.tag} are not read", "leave the tag out")
            is_quoted = bool(getattr(event, "style", None))
            event.tag, event.implicit = None, (not is_quoted, is_quoted)
        if isinstance(event, yaml.ScalarEvent) and (found := _NOT_KEPT.search(event.value)):
            # An escape can name it, and then no event, no database or no other document can carry the text on.
            what = "a zero byte" if found[0] == "\0" else "half a character"
            self._tell(event, f"{what} is no text", "leave the escape out")
            event.value = _NOT_KEPT.sub("?", event.value)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            line = f"line {key_node.start_mark.line + 1}"
            if key is _UNREAD:
                continue
            if not isinstance(key, str):
                self.problems.append(Problem(line, f"the key {_shown(key)} is not text", "put it in quotes"))
                key = str(key)
            elif key in mapping:
                self.problems.append(Problem(line, f"{key!r} is given twice", "leave one of them out"))
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def _tell(self, event: Any, detail: str, fix: str) -> None:
        self.problems.append(_at(event, detail, fix).problem)

    def flatten_mapping(self, node: Any) -> None:
        """Merge keys stay ordinary keys, which nobody knows."""


class _Stop(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def _at(event: Any, detail: str, fix: str | None) -> _Stop:
    return _Stop(Problem(f"line {event.start_mark.line + 1}", detail, fix))


def _construct_number(convert: Any) -> Any:
    return lambda loader, node: convert(loader.construct_scalar(node))


# YAML 1.2's core schema instead of 1.1: `no` is a word, `1:30` and `2026-01-01` are text, `0o7` is no number.
_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?[0-9]{1,18}$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?$"),
    list("-0123456789"),
)
_ALIASED = "tag:placet,2026:aliased"
_Loader.add_constructor(_ALIASED, lambda loader, node: _UNREAD)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_number(int))
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_number(float))


def _read_yaml(data: bytes, document: str, limit: int) -> tuple[Any, list[Problem]]:
    if len(data) > limit:
        problem = Problem("", f"{len(data)} bytes are over the limit of {limit}", None)
        raise DocumentRefused(document, (problem,))
    loader = None
    try:
        loader = _Loader(data.decode("utf-8-sig"))
        return loader.get_single_data(), loader.problems
    except _Stop as stop:
        raise DocumentRefused(document, (stop.problem,)) from stop
    except UnicodeDecodeError as error:
        raise DocumentRefused(document, (Problem("", f"not UTF-8 text: {error.reason}"),)) from error
    except yaml.YAMLError as error:
        raise DocumentRefused(document, (_yaml_problem(error),)) from error
    finally:
        if loader is not None:
            loader.dispose()


def _yaml_problem(error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        return Problem("", f"this is not YAML: character {error.position + 1} is none that text may have")
    mark = getattr(error, "problem_mark", None)
    detail = getattr(error, "problem", None) or str(error)
    return Problem(f"line {mark.line + 1}" if mark else "", f"this is not YAML: {detail}")


def _differences(value: Any, kind: inspect.Type, path: str, means: str | None) -> Iterator[Problem]:
    if value is _UNREAD:
        return
    match kind:
        case inspect.Metadata():
            yield from _differences(value, kind.type, path, (kind.extra or {}).get("means", means))
        case inspect.StructType():
            yield from _struct_differences(value, kind, path)
        case inspect.UnionType():
            yield from _union_differences(value, kind, path, means)
        case inspect.ListType() | inspect.VarTupleType():
            if not isinstance(value, list):
                yield Problem(path, f"{_shown(value)} is not a list", "write `- ` before each entry")
                return
            for index, item in enumerate(value):
                yield from _differences(item, kind.item_type, f"{path}[{index}]", means)
        case inspect.DictType():
            if not isinstance(value, dict):
                yield Problem(path, f"{_shown(value)} is not a mapping")
                return
            for key, item in value.items():
                yield from _differences(key, kind.key_type, _below(path, key), None)
                yield from _differences(item, kind.value_type, _below(path, key), None)
        case inspect.AnyType():
            return
        case _:
            problem = _scalar_problem(value, kind)
            if problem is not None:
                expected = means or problem
                yield Problem(path, f"{_shown(value)} is not {expected}")


def _struct_differences(value: Any, kind: inspect.StructType, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        known = ", ".join(field.encode_name for field in kind.fields)
        yield Problem(path, f"{_shown(value)} is not a mapping", f"known keys are {known}")
        return
    fields = {field.encode_name: field for field in kind.fields}
    meant = _meant(value, list(fields))
    for key in value:
        if key not in fields:
            yield _unknown_key(key, list(fields), path)
    for name, field in fields.items():
        if name in meant:
            yield from _differences(value[meant[name]], field.type, _below(path, meant[name]), None)
        elif field.required:
            yield Problem(_below(path, name), "is missing", None)


def _unknown_key(key: str, known: list[str], path: str) -> Problem:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return Problem(_below(path, key), "nobody knows this key", f"the nearest known one is {near[0]!r}")


def _union_differences(
    value: Any, kind: inspect.UnionType, path: str, means: str | None
) -> Iterator[Problem]:
    found = [list(islice(_differences(value, choice, path, means), MAX_PROBLEMS)) for choice in kind.types]
    if all(found):
        # What was probably meant is a choice that is no null and of the same kind, wrong in the fewest places.
        chosen = [
            problems for problems, choice in zip(found, kind.types, strict=True) if not _is_null(choice)
        ]
        yield from min(chosen, key=lambda said: (any(each.path == path for each in said), len(said)))


def _is_null(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.NoneType)


def _scalar_problem(value: Any, kind: inspect.Type) -> str | None:
    """What `value` should have been, or None if it is that."""
    match kind:
        case inspect.NoneType():
            return None if value is None else "empty"
        case inspect.BoolType():
            return None if isinstance(value, bool) else "true or false"
        case inspect.StrType():
            return _text_problem(value, kind)
        case inspect.IntType():
            if not isinstance(value, int) or isinstance(value, bool):
                return "a whole number"
            return _range_problem(value, kind)
        case inspect.FloatType():
            if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
                return "a number"
            return _range_problem(value, kind)
        case inspect.LiteralType():
            choices = cast("tuple[object, ...]", kind.values)
            return None if value in choices else "one of " + ", ".join(str(choice) for choice in choices)
        case inspect.DateType():
            return None if _parses(date.fromisoformat, value) else "a date such as 2026-01-31"
        case inspect.DateTimeType():
            return None if _parses(datetime.fromisoformat, value) else "a time such as 2026-01-31T12:00:00Z"
        case _:
            raise TypeError(f"documents have no {kind}")


def _text_problem(value: Any, kind: inspect.StrType) -> str | None:
    if not isinstance(value, str):
        return "text; put it in quotes"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"text of at most {kind.max_length} characters"
    if kind.min_length is not None and len(value) < kind.min_length:
        return "text; it is empty"
    if kind.pattern is not None and not _matches(kind.pattern, value):
        return f"text of the form {kind.pattern}"
    return None


def _matches(pattern: str, value: str) -> bool:
    # Patterns are also JSON Schema's, where `$` is the very end; Python's lets a line feed follow.
    return (
        re.search(rf"{pattern.removesuffix('$')}\Z" if pattern.endswith("$") else pattern, value) is not None
    )


def _is_finite(value: float) -> bool:
    """A whole number can be larger than every float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _range_problem(value: float, kind: inspect.IntType | inspect.FloatType) -> str | None:
    if kind.ge is not None and value < kind.ge:
        return f"{kind.ge} or more"
    if kind.le is not None and value > kind.le:
        return f"{kind.le} or less"
    return None


def _parses(parse: Any, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "…"
