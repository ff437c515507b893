"""What would unpickling this file call? Found by reading its opcodes, never by unpickling.

The scan walks a pickle as the unpickler would, with stand-ins on the stack instead of objects, so that a name put
together at run time, fetched from the memo or passed through a call is either resolved or reported. Joblib's
arrays lie as raw bytes between the opcodes; the scan follows them by their declared type and shape where they are
written as joblib's own `dump` writes them, and what it cannot follow exactly it reports as unreadable instead of
guessing. Every global is then judged by a list.

A scan is evidence, never clearance: a file of nothing but listed names can still be hostile.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import math
import pickletools
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, cast

import msgspec
import yaml

from placet.projects import skops_files

PICKLE_SUFFIXES = (".pkl", ".pickle")
JOBLIB_SUFFIXES = (".joblib",)

_MAX_OPCODES = 10_000_000
_MAX_TEXT = 1024**2
_MAX_NAME = 1000
_MAX_HEADER = 65_536
_MAX_GLOBALS = 10_000
_MAX_DIMENSIONS = 64  # NumPy's own limit
_MAX_FIELDS = 100
_MAX_UNPACKED = 2 * 1024**3
_MAX_NESTING = 8
_MAX_PICKLES = 8
_MAX_MEMBERS = 100_000
_CHUNK = 1024**2
_ZLIB_CHUNK = 8192
_TAR_BLOCK = 512
# zip, gzip, bzip2, xz, lzma, zlib, as joblib tells them; and Zstandard and LZ4, which nothing here unpacks
_PACKED = (
    *(
        b"PK\x03\x04",
        b"\x1f\x8b",
        *(b"BZh%d" % level for level in range(1, 10)),
        b"\xfd7zXZ",
        b"\x5d\x00",
    ),
    *(b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"),
)
_NUMPY = b"\x93NUMPY"
_OF_OLD_JOBLIB = re.compile(rb"ZF[0-9A-Fa-fxX_+ \t]{19}")
_UNRESOLVED = "\0"
_OPCODES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
_HIGHEST_PROTOCOL = max(opcode.proto for opcode in pickletools.opcodes)

Judgement = Literal["allowed", "unlisted", "denied", "unreadable"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A global that unpickling would fetch (`name` as in `os.system`), or a place that cannot be read."""

    judgement: Judgement
    name: str
    where: str


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """Each finding once, sorted."""

    findings: tuple[Finding, ...]

    def names(self, judgement: Judgement) -> list[str]:
        return sorted({finding.name for finding in self.findings if finding.judgement == judgement})


def scan_pickle(path: Path) -> Scan:
    """Scan a pickle, a joblib file (by its name; compressed or not) or every pickle in a zip container."""
    is_joblib = path.suffix.lower() in JOBLIB_SUFFIXES
    with path.open("rb") as raw:
        if raw.read(4) == b"PK\x03\x04":
            findings = _scan_zip(path)
        else:
            raw.seek(0)
            stream = _decompressed(raw)
            if stream is raw or is_joblib:
                findings = _scan_stream(stream, path.name, is_joblib=is_joblib)
            else:
                # `BZ` begins a bzip2 stream and a pickle of bytes: which one is read depends on who loads it.
                findings = {_unreadable(path.name, "it looks compressed but is not called .joblib")}
    return Scan(findings=tuple(sorted(findings)))


def scan_loaded(path: Path, *, is_pickle: bool = False) -> Scan:
    """Scan what a loader nobody here knows may unpickle, whatever it is called: as it stands, and what is packed in it.

    `is_pickle` says that it is surely loaded as one. Of what only may be one, and goes no further than to name things
    before every unpickler would stop, nothing is found: a text is that.
    """
    is_zip = zipfile.is_zipfile(path)
    with path.open("rb") as raw:
        is_only_zip = is_zip and raw.read(2) == b"PK"
    findings = _scan_any(
        lambda: path.open("rb"),
        path.name,
        is_pickle=is_pickle or (_is_called_pickle(path.name) and not is_only_zip),
        is_zip=is_zip,
    )
    return Scan(findings=tuple(sorted(findings | (_scan_zip(path) if is_zip else set()))))


def judge(module: str, name: str) -> Judgement:
    """What the list says of a global."""
    rules = _rules()
    if not name.isidentifier() or len(module) > _MAX_NAME:
        # `sklearn.base` + `os.system` walks through what a module imported; a module of so many parts takes hours.
        return "denied"
    if f"{module} {name}" in rules.allowed or f"{module}.{name}" in rules.ufuncs:
        return "allowed"
    is_of_library = _is_below(module, rules.class_modules)
    if _is_below(module, rules.denied_modules) or (is_of_library and "tests" in module.split(".")):
        return "denied"
    if is_of_library and re.match(r"_*[A-Z]|__pyx_unpickle_[A-Z]", name):
        return "allowed"
    return "unlisted"


class _Rules(msgspec.Struct, frozen=True):
    allowed: frozenset[str]
    class_modules: frozenset[str]
    denied_modules: frozenset[str]
    ufuncs: frozenset[str] = frozenset()


@cache
def _rules() -> _Rules:
    text = (resources.files("placet.projects") / "data" / "pickle_globals.yaml").read_text(encoding="utf-8")
    rules = msgspec.convert(yaml.safe_load(text), _Rules)
    return msgspec.structs.replace(rules, ufuncs=skops_files.trusted_functions())


def _is_below(module: str, roots: frozenset[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:count]) in roots for count in range(1, len(parts) + 1))


def _scan_zip(path: Path) -> set[Finding]:
    try:
        with zipfile.ZipFile(path) as container:
            members = container.infolist()
            if len(members) > _MAX_MEMBERS:
                return {_unreadable(path.name, f"it has more than {_MAX_MEMBERS} members")}
            findings: set[Finding] = set()
            for member in members:
                findings |= _scan_any(
                    partial(container.open, member),
                    f"{path.name}:{member.filename}",
                    is_pickle=_is_called_pickle(member.filename),
                )
            return findings
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        return {_unreadable(path.name, f"it is no zip file that can be read ({type(error).__name__})")}


def _is_called_pickle(name: str) -> bool:
    return name.lower().endswith((*PICKLE_SUFFIXES, *JOBLIB_SUFFIXES))


def _scan_any(
    opened: Callable[[], Any], where: str, *, is_pickle: bool, is_zip: bool = False
) -> set[Finding]:
    """As a plain pickle, never as joblib's; and what is packed once as well. `is_zip`: its members are scanned, too."""
    with opened() as raw:
        findings = _scan_plain(raw, where, is_pickle=is_pickle)
    with opened() as raw:
        start = raw.peek(_TAR_BLOCK)[:_TAR_BLOCK]
        if not _is_packed(start) or (is_zip and start.startswith(b"PK")):
            return findings
        stream: Any = _decompressed(raw)
        try:
            if stream is raw or _is_packed(stream.peek(_TAR_BLOCK)[:_TAR_BLOCK]):
                return findings | {_unreadable(where, "it is packed in a way that cannot be followed")}
            return findings | _scan_plain(stream, where, is_pickle=False)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if start.isascii():
                return findings  # `x^2`, which is text, begins as zlib does
            return findings | {_unreadable(where, f"its compression is broken ({type(error).__name__})")}


def _is_packed(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return start.startswith(_PACKED) or _OF_OLD_JOBLIB.match(start) is not None
    return True


def _scan_plain(stream: Any, where: str, *, is_pickle: bool) -> set[Finding]:
    start = stream.peek(len(_NUMPY))[: len(_NUMPY)]
    if start == _NUMPY and not is_pickle:
        return _scan_array(stream, where)
    start = start[:2]
    if is_pickle or (len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= _HIGHEST_PROTOCOL):
        return _scan_stream(stream, where, is_joblib=False)
    return _scan_doubtful(stream, where)


def _scan_array(stream: BinaryIO, where: str) -> set[Finding]:
    """A file of NumPy's: behind a header that says what it holds lie numbers, or a pickle of objects."""
    reader = _Reader(stream)
    try:
        major, _ = reader.exactly(len(_NUMPY) + 2)[-2:]
        header = reader.exactly(min(reader.number(2 if major == 1 else 4), _MAX_HEADER))
        described = ast.literal_eval(header.decode("latin-1"))["descr"]
    except (_CannotFollow, ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        return {_unreadable(where, "it begins like an array of NumPy's, and its header cannot be read")}
    return set() if _holds_numbers(described) else _scan_stream(stream, where, is_joblib=False)


def _holds_numbers(described: Any) -> bool:
    """A type, or for a record the name, type and perhaps shape of each field."""
    if isinstance(described, str):
        return re.fullmatch(r"[<>=|]?[?biufcmMSUV]\d*(\[\d*\w+(/\d+)?\])?", described) is not None
    return isinstance(described, list) and all(
        isinstance(field, tuple) and len(field) in (2, 3) and _holds_numbers(field[1]) for field in described
    )


_OF_NO_NAME = re.compile(
    r"[,;:='\"(){}\[\]]"
)  # no module is called `city,price`: a table's first line is no import


def _scan_doubtful(stream: BinaryIO, where: str) -> set[Finding]:
    """One pickle after the other of what may be none at all: `channels:` of a YAML file names a global, and is text."""
    reader = _Reader(stream)
    findings: set[Finding] = set()
    for _ in range(_MAX_PICKLES):
        begun = reader.position
        machine = _Machine(reader, where, is_joblib=False)
        try:
            machine.run()
        except _CannotFollow as stop:
            if machine.has_called or not isinstance(stop, _Stops):
                findings |= machine.findings | {_unreadable(where, f"{stop} at byte {reader.position}")}
            return findings
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            broken = _unreadable(where, f"its compression is broken ({type(error).__name__})")
            return findings | machine.findings | {broken}
        findings |= {each for each in machine.findings if machine.has_called or _tells(each, begun)}
    return findings | {_unreadable(where, f"it may be more than {_MAX_PICKLES} pickles")}


def _tells(finding: Finding, begun: int) -> bool:
    """Whether a finding in what calls nothing is one: a text may begin like a persistent id, and names what is none."""
    if finding.judgement == "unreadable":
        return begun > 0
    return _OF_NO_NAME.search(finding.name.rpartition(".")[0]) is None


def _scan_stream(stream: BinaryIO, where: str, *, is_joblib: bool) -> set[Finding]:
    reader = _Reader(stream)
    machine = _Machine(reader, where, is_joblib=is_joblib)
    try:
        machine.run()
        if reader.read(1):
            machine.findings.add(_unreadable(where, "something follows the end of the pickle"))
    except _CannotFollow as stop:
        machine.findings.add(_unreadable(where, f"{stop} at byte {reader.position}"))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        machine.findings.add(_unreadable(where, f"its compression is broken ({type(error).__name__})"))
    return machine.findings


def _unreadable(where: str, why: str) -> Finding:
    return Finding(judgement="unreadable", name=why, where=where)


class _CannotFollow(Exception):
    """From here on the scan does not know what the unpickler would read."""


class _Stops(_CannotFollow):
    """And every unpickler would stop here, too."""


class _Zlib(io.RawIOBase):
    """A zlib stream as a file; the standard library has one for each other format."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._stream = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As joblib does: one stream after the other, and what comes before broken bytes as far as it reads them."""
        while True:
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            piece = rest or self._raw.read(_ZLIB_CHUNK)
            if self._stream.eof:
                if not piece:
                    return 0
                self._stream = zlib.decompressobj()
            data = self._stream.decompress(piece, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not piece:
                raise EOFError


def _decompressed(raw: BinaryIO) -> BinaryIO:
    """As `joblib.load` does: by the first bytes."""
    start = raw.read(6)
    raw.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if start.startswith(b"BZ"):
        return cast(BinaryIO, bz2.BZ2File(raw))
    if start.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if start.startswith(b"\x78"):
        return cast(BinaryIO, io.BufferedReader(_Zlib(raw)))
    return raw


class _Reader:
    """The bytes of a pickle: counted, bounded, and read to the end or not at all."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.position = 0

    def read(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._count(len(data))
        return data

    def exactly(self, count: int) -> bytes:
        data = self.read(count)
        while len(data) < count:
            more = self.read(count - len(data))
            if not more:
                raise _Stops("it is cut off")
            data += more
        return data

    def skip(self, count: int) -> None:
        while count:
            count -= len(self.exactly(min(count, _CHUNK)))

    def line(self) -> bytes:
        data = self._stream.readline(_MAX_TEXT)
        self._count(len(data))
        if len(data) == _MAX_TEXT and not data.endswith(b"\n"):
            raise _CannotFollow("a line does not end")
        if not data:
            raise _Stops("it is cut off")
        return data[:-1]  # at the end of the file as well: so does Python's unpickler, which is joblib's

    def number(self, size: int) -> int:
        return int.from_bytes(self.exactly(size), "little")

    def text(self, length: int, encoding: str = "utf-8") -> str:
        if length > _MAX_TEXT:
            # No name of a global is that long, and nothing else of the text is looked at.
            self.skip(length)
            return _UNRESOLVED
        return self.exactly(length).decode(encoding, "surrogatepass")

    def _count(self, more: int) -> None:
        self.position += more
        if self.position > _MAX_UNPACKED:
            raise _CannotFollow(f"it unpacks to more than {_MAX_UNPACKED} bytes")


class _Something:
    """An object nothing needs to be known of."""

    def __repr__(self) -> str:
        return "something"


_SOMETHING = _Something()
_OUTSIDE = _Something()  # of no meaning in the file, and maybe to be called
_ARRAY = _Something()  # of joblib, read
_MARK = object()


class _Global(msgspec.Struct, frozen=True):
    module: str
    name: str


_WRAPPER = _Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE = _Global("numpy", "dtype")
_RECONSTRUCT = tuple(_Global(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core"))
_ASIDE = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "FRAME"})
_ARRAY_STATE = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap"})
_ALIGNMENT = "numpy_array_alignment_bytes"  # since joblib 1.2


class _Made(msgspec.Struct, eq=False):
    """What a call would give, and the state it was given afterwards."""

    target: Any
    args: Any
    by: str
    state: Any = None
    builds: int = 0


class _Machine:
    def __init__(self, reader: _Reader, where: str, *, is_joblib: bool, nesting: int = 0) -> None:
        self.findings: set[Finding] = set()
        self.has_called = False
        self._reader = reader
        self._where = where
        self._is_joblib = is_joblib
        self._nesting = nesting
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._is_binary = False
        self._names_known = False
        self._is_outside = False
        self._frame_end = 0
        self._wrapper: _Made | None = None
        self._wrapper_at = 0

    def run(self) -> None:
        for _ in range(_MAX_OPCODES):
            code = self._reader.read(1)
            opcode = _OPCODES.get(code)
            if opcode is None:
                raise _Stops("it is no pickle, or cut off")
            if opcode == "STOP":
                return
            self._is_binary |= not code.isascii()
            try:
                if self._is_joblib:
                    self._keep_to_what_joblib_writes(opcode)
                self._step(opcode)
            except (IndexError, ValueError, UnicodeDecodeError) as error:
                raise _Stops("its opcodes make no sense") from error
        raise _CannotFollow(f"it has more than {_MAX_OPCODES} opcodes")

    def _step(self, name: str) -> None:
        reader, push = self._reader, self._stack.append
        match name:
            case "PROTO":
                reader.exactly(1)
            case "FRAME":
                self._frame(reader.number(8))
            case "MARK":
                push(_MARK)
            case "POP":
                self._stack.pop()
            case "POP_MARK":
                self._above_mark()
            case "DUP":
                push(self._stack[-1])
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(name == "NEWTRUE")
            case "BININT":
                push(int.from_bytes(reader.exactly(4), "little", signed=True))
            case "BININT1" | "BININT2":
                push(reader.number(1 if name == "BININT1" else 2))
            case "LONG1" | "LONG4":
                push(self._long(reader.number(1 if name == "LONG1" else 4)))
            case "INT" | "LONG":
                push(self._decimal(reader.line()))
            case "FLOAT":
                reader.line()
                push(_SOMETHING)
            case "BINFLOAT":
                reader.exactly(8)
                push(_SOMETHING)
            case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8":
                push(reader.text(reader.number({"SHORT_BINUNICODE": 1, "BINUNICODE": 4}.get(name, 8))))
            case "UNICODE":
                push(reader.line().decode("raw-unicode-escape"))
            case "STRING":
                push(_unquoted(reader.line()))
            case "SHORT_BINSTRING" | "BINSTRING":
                # whoever loads it chooses the encoding
                push(reader.text(reader.number(1 if name == "SHORT_BINSTRING" else 4), "latin-1"))
            case "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                reader.skip(reader.number({"SHORT_BINBYTES": 1, "BINBYTES": 4}.get(name, 8)))
                push(_SOMETHING)
            case "EMPTY_TUPLE":
                push(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._tuple(int(name[-1]))
            case "TUPLE":
                push(tuple(self._above_mark()))
            case "EMPTY_LIST" | "EMPTY_SET":
                push(_SOMETHING)
            case "LIST" | "FROZENSET":
                self._above_mark()
                push(_SOMETHING)
            case "EMPTY_DICT":
                push({})
            case "DICT":
                push(_mapping(self._above_mark()))
            case "APPEND":
                self._stack[-2:] = [self._stack[-2]]
                self._put_into(self._stack[-1])
            case "APPENDS" | "ADDITEMS":
                self._above_mark()
                self._put_into(self._stack[-1])
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._above_mark())
            case _:
                self._step_of_objects(name)

    def _step_of_objects(self, name: str) -> None:
        reader, push = self._reader, self._stack.append
        match name:
            case "PUT":
                self._memo[int(reader.line())] = self._stack[-1]
            case "BINPUT" | "LONG_BINPUT":
                self._memo[reader.number(1 if name == "BINPUT" else 4)] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET":
                push(self._recalled(int(reader.line())))
            case "BINGET" | "LONG_BINGET":
                push(self._recalled(reader.number(1 if name == "BINGET" else 4)))
            case "GLOBAL":
                push(self._global(reader.line().decode(), reader.line().decode()))
            case "STACK_GLOBAL":
                attribute, module = self._stack.pop(), self._stack.pop()
                push(self._global(module, attribute))
            case "INST":
                target = self._global(reader.line().decode(), reader.line().decode())
                self._call(target, tuple(self._above_mark()), name)
            case "OBJ":
                target, *args = self._above_mark()
                self._call(target, tuple(args), name)
            case "REDUCE" | "NEWOBJ":
                args, target = self._stack.pop(), self._stack.pop()
                self._call(target, args, name)
            case "NEWOBJ_EX":
                self._stack.pop()
                args, target = self._stack.pop(), self._stack.pop()
                self._call(target, args, name)
            case "BUILD":
                self._build(self._stack.pop())
            case _:
                self._step_outside(name)

    def _step_outside(self, name: str) -> None:
        """Persistent ids, the extension registry and buffers beside the file, of which a loader may know and the scan
        does not. It says so and reads on, as whoever knows them does."""
        match name:
            case "PERSID":
                self._reader.line()
            case "BINPERSID" | "READONLY_BUFFER":
                self._stack.pop()
            case "EXT1" | "EXT2" | "EXT4":
                self._reader.exactly(int(name[-1]))
        self._stack.append(_OUTSIDE)
        if not self._is_outside:
            self._is_outside = True
            self.findings.add(
                _unreadable(
                    self._where,
                    f"it uses {name}, whose meaning lies outside the file at byte {self._reader.position}",
                )
            )

    def _keep_to_what_joblib_writes(self, opcode: str) -> None:
        """Joblib's unpickler reads an array wherever a wrapper is built, however that came to be. Only where it is made
        and built as `joblib.dump` does it is it known where that is: nothing else may get hold of one."""
        stack = self._stack
        if opcode in _ASIDE:
            return
        if self._wrapper is not None:
            above = len(stack) - self._wrapper_at
            is_there = above > 0 and stack[self._wrapper_at] is self._wrapper
            expected = {1: ("EMPTY_DICT",), 2: ("MARK", "BUILD")}.get(above)
            if not is_there or (
                opcode not in expected if expected else stack[self._wrapper_at + 2] is not _MARK
            ):
                _cannot_follow_array()
        if stack and stack[-1] is _WRAPPER:
            if opcode != "EMPTY_TUPLE":
                _cannot_follow_array()
        elif len(stack) > 1 and stack[-2] is _WRAPPER and (opcode != "NEWOBJ" or self._wrapper is not None):
            _cannot_follow_array()

    def _frame(self, size: int) -> None:
        if self._is_joblib and self._reader.position < self._frame_end:
            raise _CannotFollow("a frame begins inside of another")
        self._frame_end = self._reader.position + size

    def _above_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                above = self._stack[index + 1 :]
                del self._stack[index:]
                return above
        raise ValueError("no mark")

    def _tuple(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise IndexError
        self._stack[-count:] = [items]

    def _recalled(self, key: int) -> Any:
        if key not in self._memo:
            raise ValueError("nothing is remembered under this number")
        value = self._memo[key]
        if self._is_joblib and isinstance(value, _Made) and value.target is _WRAPPER:
            _cannot_follow_array()
        if (
            self._wrapper is not None
            and isinstance(value, dict)
            and value is self._stack[self._wrapper_at + 1]
        ):
            _cannot_follow_array()
        return value

    def _long(self, size: int) -> Any:
        if size > 16:
            self._reader.skip(size)
            return _SOMETHING
        return int.from_bytes(self._reader.exactly(size), "little", signed=True)

    @staticmethod
    def _decimal(line: bytes) -> Any:
        digits = line.removesuffix(b"L")
        # By C's rules, not Python's: `0x10` is a number as well.
        return int(digits) if re.fullmatch(rb"-?(0|[1-9][0-9]{0,18})", digits) else _SOMETHING

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        self._put_into(target)
        if isinstance(target, dict):
            target.update(_mapping(items))

    def _put_into(self, target: Any) -> None:
        """What is put into anything else than the pickle's own containers calls a method of it. Of a text that begins
        like a pickle, `count` and `NaN` in a table, no name is that of a module that anybody knows."""
        self.has_called |= isinstance(target, _Global) and (self._is_binary or self._names_known)

    def _global(self, module: Any, name: Any) -> Any:
        if not isinstance(module, str) or not isinstance(name, str) or _UNRESOLVED in (module, name):
            self.findings.add(
                Finding(
                    judgement="denied", name="a name that is computed while unpickling", where=self._where
                )
            )
            return _Global("", "")
        if len(self.findings) == _MAX_GLOBALS:
            raise _CannotFollow(f"it names more than {_MAX_GLOBALS} globals")
        self.findings.add(
            Finding(judgement=judge(module, name), name=_printable(f"{module}.{name}"), where=self._where)
        )
        self._names_known |= module.partition(".")[0] in _known_modules()
        found = _Global(module, name)
        if found != _WRAPPER:
            return found
        if not self._is_joblib:
            # Whoever builds one reads it as joblib does, or as opcodes: both are told of.
            self.findings.add(_unreadable(self._where, _OF_JOBLIB))
        return _WRAPPER

    def _call(self, target: Any, args: Any, by: str) -> None:
        is_callable = isinstance(target, _Global | _Made) or target is _OUTSIDE
        if args is None or isinstance(args, int) or not is_callable:
            raise ValueError("this is no call")
        # Of a text, `Price` and `R2` in a table, nothing has a name that could be called.
        self.has_called |= target is not _OUTSIDE or self._is_binary
        made = _OUTSIDE if target is _OUTSIDE else _Made(target, args, by)
        if self._is_joblib and target is _WRAPPER:
            self._wrapper, self._wrapper_at = made, len(self._stack)
        self._stack.append(made)

    def _build(self, state: Any) -> None:
        target = self._stack[-1]
        self.has_called |= isinstance(target, _Global | _Made)
        if target is _ARRAY:
            _cannot_follow_array()
        if not isinstance(target, _Made):
            return
        target.state = state
        target.builds += 1
        if target.target is _WRAPPER:
            self._follow_array(target)

    def _follow_array(self, wrapper: _Made) -> None:
        """Read on behind an array's raw bytes, as joblib does after it has built the wrapper."""
        if not self._is_joblib:
            raise _CannotFollow(_OF_JOBLIB)
        if self._reader.position < self._frame_end:
            raise _CannotFollow("an array of joblib lies inside of a frame, and joblib reads it behind that")
        state = wrapper.state
        if not isinstance(state, dict) or state.keys() - {_ALIGNMENT} != _ARRAY_STATE:
            _cannot_follow_array()
        if not isinstance(state["subclass"], _Global) or state["order"] not in ("C", "F"):
            _cannot_follow_array()
        self._wrapper = None
        self._stack[-1] = _ARRAY
        shape, dtype = state["shape"], state["dtype"]
        if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
            _cannot_follow_array()  # their product may take hours, in which nothing else of the process runs
        if not all(type(length) is int and length >= 0 for length in shape):
            _cannot_follow_array()
        size = _item_size(dtype)
        if size is None:
            self._follow_nested_pickle()
            return
        alignment = state.get(_ALIGNMENT)
        if alignment is not None and type(alignment) is not int:
            _cannot_follow_array()
        if alignment is not None:
            self._reader.skip(self._reader.number(1))
        self._reader.skip(size * math.prod(shape))

    def _follow_nested_pickle(self) -> None:
        if self._nesting == _MAX_NESTING:
            raise _CannotFollow("it nests too many pickles")
        nested = _Machine(self._reader, self._where, is_joblib=False, nesting=self._nesting + 1)
        try:
            nested.run()
        finally:
            self.findings |= nested.findings
        if not nested.is_array():
            _cannot_follow_array()

    def is_array(self) -> bool:
        """Whether what it ends with is an array of objects, as NumPy pickles it."""
        return (
            len(self._stack) == 1
            and isinstance(self._stack[0], _Made)
            and self._stack[0].target in _RECONSTRUCT
        )


@cache
def _known_modules() -> frozenset[str]:
    rules = _rules()
    listed = {name.partition(" ")[0] for name in rules.allowed} | rules.class_modules | rules.denied_modules
    return sys.stdlib_module_names | {module.partition(".")[0] for module in listed}


def _mapping(items: list[Any]) -> dict[str, Any]:
    """What is under a key that is put together while unpickling may be under any."""
    pairs: Iterator[Any] = iter(items)
    return {
        key if isinstance(key, str) else _UNRESOLVED: value for key, value in zip(pairs, pairs, strict=True)
    }


def _unquoted(line: bytes) -> str:
    line = line.rstrip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("no quotes")
    if b"\\" in line:
        return _UNRESOLVED  # an escaped name is no name we resolve
    return line[1:-1].decode("latin-1")


def _cannot_follow_array() -> NoReturn:
    raise _CannotFollow("an array of joblib is described in a way that cannot be followed")


_OF_JOBLIB = "it holds arrays of joblib, whose bytes are opcodes to every other loader"
_OBJECTS = 63  # NumPy's flags of a dtype say, beside its code, whether joblib reads bytes or a pickle
_PLAIN_TYPE = re.compile(r"[biufcmM](\d{1,3})")
_SIZED_TYPE = re.compile(r"([SUV])(\d{1,9})")


def _item_size(dtype: Any) -> int | None:
    """Bytes per item of a dtype as NumPy pickles it, None if items are objects; anything unusual is not followed.

    A wrong guess would hide opcodes in what is taken for numbers, so only the one spelling that NumPy writes counts.
    """
    if not isinstance(dtype, _Made) or (dtype.target, dtype.by, dtype.builds) != (_DTYPE, "REDUCE", 1):
        _cannot_follow_array()
    match dtype.args, dtype.state:
        case ("O8", False, True), (3, str(), None, None, None, -1, -1, int(flags)) if flags == _OBJECTS:
            return None
        case (str(code), False, True), (3 | 4, str(), None, None, None, -1, -1, 0, *_) if found := (
            _PLAIN_TYPE.fullmatch(code)
        ):
            return int(found[1])
        case (str(code), False, True), (3, str(), None, None, None, int(size), _, 0 | 8) if (
            found := _SIZED_TYPE.fullmatch(code)
        ) and size == int(found[2]) * (4 if found[1] == "U" else 1):
            return int(size)
        case (str(code), False, True), (3, str(), None, tuple(), dict(fields), int(size), _, int(flags)) if (
            code == f"V{size}" and not flags & 1 and _are_plain(fields)
        ):
            return size
    return _cannot_follow_array()


def _are_plain(fields: dict[str, Any]) -> bool:
    return len(fields) <= _MAX_FIELDS and all(
        isinstance(field, tuple) and field and _is_plain(field[0]) for field in fields.values()
    )


def _is_plain(dtype: Any) -> bool:
    # Records in records share their parts, so that a few hundred bytes describe more fields than can be looked at.
    has_fields = isinstance(dtype, _Made) and isinstance(dtype.state, tuple) and dtype.state[3:4] != (None,)
    return not has_fields and _item_size(dtype) is not None


def _printable(name: str) -> str:
    shown = name.encode("unicode_escape").decode()
    return shown if len(shown) <= 120 else shown[:117] + "..."
