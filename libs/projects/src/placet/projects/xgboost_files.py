"""Did XGBoost save this file, which version of it, and for which columns? Read from its bytes; nothing is loaded.

XGBoost saves a model as one document, in JSON or in UBJSON, which is the same in binary. Either is followed to its
end, so that a file that was cut off is told from a model; trees are skipped, so a large model costs no memory. What
XGBoost itself makes of made-up trees is not asked here: it reads them in the model's own process.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from placet.projects.tensors import Booster

Version = tuple[int, ...]
T = TypeVar("T")

_LEARNER = frozenset({"gradient_booster", "learner_model_param", "objective"})
_DEEPEST = 100
_LONGEST_KEY = 1000
_LONGEST_NAME = 10_000
_LONGEST_VERSION = 10

# By the mark in front of a value, how many bytes it takes (ubjson.org, draft 12).
_SIZES = {b"Z": 0, b"T": 0, b"F": 0, b"U": 1, b"i": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1}
_INTEGERS = b"UiIlL"


def json_version(path: Path) -> Version | None:
    """The version of XGBoost that saved this as JSON, as (3, 4, 1); None if it did not."""
    return _read(path, _from_json)


def ubjson_version(path: Path) -> Version | None:
    """The same for UBJSON."""
    return _read(path, _from_ubjson)


def booster(path: Path) -> Booster | None:
    """What the file says of its columns and its objective; None where it does not say it."""
    return _read(path, _described_by_json) or _read(path, _described_by_ubjson)


class _Learner(msgspec.Struct):
    gradient_booster: msgspec.Raw
    learner_model_param: msgspec.Raw
    objective: msgspec.Raw


class _Document(msgspec.Struct):
    learner: _Learner
    version: tuple[int, ...]


class _Parameters(msgspec.Struct):
    num_feature: str


class _Objective(msgspec.Struct):
    name: str


class _DescribedLearner(msgspec.Struct):
    learner_model_param: _Parameters
    objective: _Objective
    feature_names: tuple[str, ...] = ()


class _Description(msgspec.Struct):
    learner: _DescribedLearner


class _Unreadable(Exception):
    pass


def _read(path: Path, find: Callable[[bytes | mmap.mmap], T | None]) -> T | None:
    try:
        with path.open("rb") as file:
            if file.read(1) != b"{":
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return find(data)
    except (_Unreadable, msgspec.MsgspecError, OSError, ValueError, RecursionError):
        return None


def _from_json(data: bytes | mmap.mmap) -> Version | None:
    plain = _plain_json(data)
    return None if plain is None else msgspec.json.decode(plain, type=_Document).version


def _described_by_json(data: bytes | mmap.mmap) -> Booster | None:
    plain = _plain_json(data)
    if plain is None:
        return None
    said = msgspec.json.decode(plain, type=_Description).learner
    return _described(said.learner_model_param.num_feature, said.feature_names, said.objective.name)


def _plain_json(data: bytes | mmap.mmap) -> bytes | mmap.mmap | None:
    if data[1:100].lstrip()[:1] != b'"':
        return None
    # XGBoost writes numbers that JSON does not have. In a text, where they mean nothing, they do no harm either.
    return re.sub(rb"-?(?:NaN|Infinity)", b"0", data) if re.search(rb"NaN|Infinity", data) else data


def _described(columns: str, names: tuple[str, ...], objective: str) -> Booster | None:
    if not re.fullmatch(r"[0-9]{1,10}", columns):
        return None
    return Booster(columns=int(columns), names=names, objective=objective)


def _from_ubjson(data: bytes | mmap.mmap) -> Version | None:
    reader = _Ubjson(data)
    version: Version | None = None
    of_learner: set[str] = set()
    for key in reader.members():
        match key:
            case "version":
                version = reader.integers()
            case "learner":
                for name in reader.members():
                    of_learner.add(name)
                    reader.skip()
            case _:
                reader.skip()
    return version if reader.is_at_end and of_learner >= _LEARNER else None


def _described_by_ubjson(data: bytes | mmap.mmap) -> Booster | None:
    reader = _Ubjson(data)
    said = {"num_feature": "", "name": ""}
    names: tuple[str, ...] = ()
    for key in reader.members():
        if key != "learner":
            reader.skip()
            continue
        for part in reader.members():
            match part:
                case "learner_model_param" | "objective":
                    wanted = "num_feature" if part == "learner_model_param" else "name"
                    for name in reader.members():
                        if name == wanted:
                            said[wanted] = reader.text()
                        else:
                            reader.skip()
                case "feature_names":
                    names = tuple(reader.texts())
                case _:
                    reader.skip()
    return _described(said["num_feature"], names, said["name"])


class _Ubjson:
    """Steps through one document. Raises `_Unreadable` where it cannot."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == self._size

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next. Whoever asks takes each value before the next key."""
        if self._take(1) != b"{":
            raise _Unreadable
        while not self._is_next(b"}"):
            size = self._integer()
            if size > _LONGEST_KEY:
                raise _Unreadable
            yield self._take(size).decode("utf-8", "backslashreplace")

    def integers(self) -> Version:
        if self._take(1) != b"[":
            raise _Unreadable
        if self._is_next(b"#"):
            count = self._integer()
            if count > _LONGEST_VERSION:
                raise _Unreadable
            return tuple(self._integer() for _ in range(count))
        found: list[int] = []
        while not self._is_next(b"]"):
            if len(found) == _LONGEST_VERSION:
                raise _Unreadable
            found.append(self._integer())
        return tuple(found)

    def text(self) -> str:
        if self._take(1) != b"S":
            raise _Unreadable
        size = self._integer()
        if size > _LONGEST_NAME:
            raise _Unreadable
        return self._take(size).decode("utf-8", "backslashreplace")

    def texts(self) -> Iterator[str]:
        if self._take(1) != b"[":
            raise _Unreadable
        if self._is_next(b"#"):
            for _ in range(self._integer()):
                yield self.text()
        else:
            while not self._is_next(b"]"):
                yield self.text()

    def skip(self, depth: int = 0) -> None:
        """One value, whatever it is."""
        if depth > _DEEPEST:
            raise _Unreadable
        mark = self._take(1)
        if mark in _SIZES:
            self._pass(_SIZES[mark])
        elif mark == b"S":
            self._pass(self._integer())
        elif mark == b"[":
            self._skip_array(depth)
        elif mark == b"{":
            self._at -= 1
            for _ in self.members():
                self.skip(depth + 1)
        else:
            raise _Unreadable

    def _skip_array(self, depth: int) -> None:
        if self._is_next(b"$"):
            size = _SIZES.get(self._take(1), 0)
            if not size or not self._is_next(b"#"):
                raise _Unreadable
            self._pass(size * self._integer())
        elif self._is_next(b"#"):
            for _ in range(self._integer()):
                self.skip(depth + 1)
        else:
            while not self._is_next(b"]"):
                self.skip(depth + 1)

    def _integer(self) -> int:
        mark = self._take(1)
        if mark not in _INTEGERS:
            raise _Unreadable
        value = int.from_bytes(self._take(_SIZES[mark]), "big", signed=mark != b"U")
        if value < 0:
            raise _Unreadable
        return value

    def _is_next(self, mark: bytes) -> bool:
        """Whether it is; if so, it is taken."""
        if self._data[self._at : self._at + 1] != mark:
            return False
        self._at += 1
        return True

    def _take(self, size: int) -> bytes:
        start = self._at
        self._pass(size)
        return self._data[start : self._at]

    def _pass(self, size: int) -> None:
        self._at += size
        if self._at > self._size:
            raise _Unreadable
