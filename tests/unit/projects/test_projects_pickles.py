"""Scanning pickles: what they would call is found, and what cannot be followed is said to be unreadable."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import pickletools
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib.numpy_pickle import NumpyUnpickler
from joblib.numpy_pickle_compat import write_zfile
from placet.projects import scan_loaded, scan_pickle
from placet.projects.pickles import judge
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

X = np.random.default_rng(7).random((30, 4))
Y = (X[:, 0] > 0.5).astype(int)
MODELS = {
    "a pipeline": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression()).fit(
        X, Y
    ),
    "a forest with words for classes": RandomForestClassifier(3).fit(
        X, np.array(["no", "yes"], dtype=object)[Y]
    ),
    "boosted trees": GradientBoostingClassifier(n_estimators=2).fit(X, Y),
    "histogram trees": HistGradientBoostingClassifier(max_iter=2).fit(X, Y),
    "neighbours": KNeighborsClassifier().fit(X, Y),
    "a network": MLPClassifier((4,), solver="sgd", max_iter=2000, tol=1.0).fit(X, Y),
    "a vectorizer": TfidfVectorizer().fit(["one two", "two three"]),
}


class Call:
    """Pickles to a call of `function(*args)`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self._reduced = (function, args)

    def __reduce__(self) -> Any:
        return self._reduced


def judged(path: Path) -> dict[str, list[str]]:
    scan = scan_pickle(path)
    bad = {kind: scan.names(kind) for kind in ("denied", "unlisted", "unreadable")}
    return {kind: names for kind, names in bad.items() if names}


def scanned(data: bytes, tmp_path: Path, name: str = "model.pkl") -> dict[str, list[str]]:
    (tmp_path / name).write_bytes(data)
    return judged(tmp_path / name)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("protocol", range(6))
def test_an_honest_pickle_of_any_protocol_names_only_what_is_listed(
    model: Any, protocol: int, tmp_path: Path
) -> None:
    assert scanned(pickle.dumps(model, protocol=protocol), tmp_path) == {}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)], ids=str
)
def test_an_honest_joblib_file_is_followed_to_its_end(model: Any, compress: Any, tmp_path: Path) -> None:
    joblib.dump(model, tmp_path / "model.joblib", compress=compress)
    scan = scan_pickle(tmp_path / "model.joblib")
    assert judged(tmp_path / "model.joblib") == {}
    assert any(name.startswith("sklearn.") for name in scan.names("allowed"))


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (__import__("os").system, ("true",), "posix.system"),
        (__import__("subprocess").Popen, (["true"],), "subprocess.Popen"),
        (eval, ("1",), "builtins.eval"),
        (exec, ("1",), "builtins.exec"),
        (getattr, (1, "real"), "builtins.getattr"),
        (__import__, ("os",), "builtins.__import__"),
        (open, ("/etc/passwd",), "io.open"),
        (__import__("operator").attrgetter, ("a",), "operator.attrgetter"),
        (__import__("functools").partial, (int,), "functools.partial"),
        (__import__("runpy").run_path, ("x",), "runpy.run_path"),
        (__import__("importlib").import_module, ("x",), "importlib.import_module"),
        (joblib.load, ("x",), "joblib.numpy_pickle.load"),
        (np.load, ("x",), "numpy.load"),
        (np.testing.runstring, ("x", {}), "numpy.testing._private.utils.runstring"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_call_of_what_a_model_does_not_need_is_found(
    function: Any, args: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    found = scanned(pickle.dumps([1, {"a": Call(function, *args)}], protocol=protocol), tmp_path)
    # Below protocol 3 pickle writes the names of Python 2.
    old = {"subprocess.Popen": "commands.Popen"}.get(name, name.replace("builtins.", "__builtin__."))
    assert (old if protocol < 3 else name) in [*found.get("denied", []), *found.get("unlisted", [])]


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("xz", 3)], ids=str)
def test_a_call_behind_the_arrays_of_a_joblib_file_is_found(compress: Any, tmp_path: Path) -> None:
    hidden = [np.zeros((300, 7)), np.array(["a", None], dtype=object), Call(eval, "1")]
    joblib.dump(hidden, tmp_path / "model.joblib", compress=compress)
    assert judged(tmp_path / "model.joblib") == {"denied": ["builtins.eval"]}


def test_a_call_inside_an_array_of_objects_is_found(tmp_path: Path) -> None:
    joblib.dump(np.array([Call(eval, "1")], dtype=object), tmp_path / "model.joblib")
    assert judged(tmp_path / "model.joblib") == {"denied": ["builtins.eval"]}


HOSTILE = {
    "a name from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x30\x30h\x00h\x01\x93\x8c\x04true\x85R.",
    "a name through a module": b"\x80\x04\x8c\x0csklearn.base\x8c\x09os.system\x93\x8c\x04true\x85R.",
    "a name that is computed": b"\x80\x04\x8c\x02os\x8c\x08builtins\x8c\x03str\x93\x8c\x06system\x85R\x93.",
    "an instance": b"(S'true'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'true'\no.",
    "an escaped name": b"(S'o\\x73'\nS'system'\n\x93.",
    "a build": b"\x80\x04cos\nsystem\n)\x81}\x8c\x01a\x8c\x01bsb.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_pickles_written_by_hand_do_not_get_past(data: bytes, tmp_path: Path) -> None:
    assert "denied" in scanned(data, tmp_path)


UNREADABLE = {
    "nothing": b"",
    "text": b"hello",
    "no end": b"\x80\x04N",
    "an unknown opcode": b"\x80\x04\xff.",
    "something behind": b"N.N.",
    "a persistent id": b"Pid\n.",
    "an extension": b"\x82\x01.",
    "a buffer elsewhere": b"\x80\x05\x97.",
    "an empty stack": b"\x80\x04R.",
    "no mark": b"\x80\x04t.",
    "an unknown memo": b"h\x07.",
    "a length beyond the end": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    "an endless line": b"c" + b"a" * 2_000_000,
    "a compressed pickle under another name": zlib.compress(b"N."),
    "bytes that joblib would decompress": b"BZ\x00\x00\x00" + b"x" * 90 + b".",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_followed_is_said_to_be_unreadable(data: bytes, tmp_path: Path) -> None:
    assert "unreadable" in scanned(data, tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b broken",
        b"BZ broken",
        b"\xfd7zXZ broken",
        b"\x78\x9c broken",
        zlib.compress(b"N" * 1000)[:-8],
        b"ZF0x" + b"0" * 40,
        b"\x04\x22\x4d\x18" + b"0" * 40,
    ],
)
def test_a_joblib_file_that_cannot_be_unpacked_is_unreadable(data: bytes, tmp_path: Path) -> None:
    assert "unreadable" in scanned(data, tmp_path, "model.joblib")


def test_arrays_of_joblib_in_a_file_of_another_name_are_unreadable(tmp_path: Path) -> None:
    # pickle.load would read the array's bytes as opcodes, joblib.load would skip them: one scan cannot be right.
    joblib.dump(np.zeros(3), tmp_path / "model.pkl")
    assert "opcodes to every other loader" in judged(tmp_path / "model.pkl")["unreadable"][0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x8c\x02f8\x94", b"\x8c\x02f1\x94"),
        (b"\x8c\x02f8\x94", b"\x8c\x02V8\x94"),
        (b"\x8c\x02f8\x94", b"\x8c\x02q8\x94"),
    ],
)
def test_an_array_that_lies_about_its_size_hides_nothing(before: bytes, after: bytes, tmp_path: Path) -> None:
    out = io.BytesIO()
    joblib.dump([np.zeros(8), 1], out)
    changed = out.getvalue().replace(before, after)
    assert changed != out.getvalue()
    assert "unreadable" in scanned(changed, tmp_path, "model.joblib")


def test_pickles_inside_a_zip_are_found_by_name_and_by_look(tmp_path: Path) -> None:
    hostile = pickle.dumps(Call(eval, "1"))
    for name in ("archive/data.pkl", "weights.bin"):
        with zipfile.ZipFile(tmp_path / "model.skops", "w") as container:
            container.writestr("schema.json", "{}")
            container.writestr(name, hostile)
        assert judged(tmp_path / "model.skops") == {"denied": ["builtins.eval"]}


def loaded(
    data: bytes, tmp_path: Path, name: str = "model", *, is_pickle: bool = False
) -> dict[str, list[str]]:
    (tmp_path / name).write_bytes(data)
    scan = scan_loaded(tmp_path / name, is_pickle=is_pickle)
    return {kind: scan.names(kind) for kind in ("denied", "unlisted", "unreadable") if scan.names(kind)}


def zipped(data: bytes, name: str = "data") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as container:
        container.writestr(name, data)
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("data")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


PACKINGS: dict[str, Any] = {
    "as it is": bytes,
    "zip": zipped,
    "zip behind something": lambda data: b"#!/bin/sh\n" + zipped(data),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "lzma of a small dictionary": lambda data: b"\x5d\0\1\0\0" + lzma.compress(data, lzma.FORMAT_ALONE)[5:],
    "zlib": zlib.compress,
    "zlib in two streams": lambda data: zlib.compress(data[:1]) + zlib.compress(data[1:]),
    "gzip in a zip": lambda data: zipped(gzip.compress(data)),
}


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.statsmodels", "model", "model.pkl", "model.joblib", "model.txt"])
def test_what_a_loader_may_unpickle_is_found_whatever_it_is_called_and_packed_in(
    name: str, protocol: int, pack: Any, tmp_path: Path
) -> None:
    hostile = pickle.dumps([1, Call(eval, "1")], protocol=protocol)
    module = "builtins" if protocol > 2 else "__builtin__"
    assert loaded(pack(hostile), tmp_path, name).get("denied") == [f"{module}.eval"]


@pytest.mark.parametrize(
    "data",
    [
        b"cposix\nsystem\n(S'id'\ntRZ",
        b"I0x10\n0cposix\nsystem\n(S'id'\ntR.",
        b"N.cposix\nsystem\n(S'id'\ntR.",
        b"T\x01\0\0\0\xff0cposix\nsystem\n(S'id'\ntR.",
        b"(S'id'\niposix\nsystem\n.",
        b"\x80\x01cposix\nsystem\n(S'id'\ntR.",
        b"N.cposix\nsystem\n0cposix\nsystem\n(S'id'\ntRZ",
        b"(S'id'\niposix\nsystemX",
    ],
)
def test_a_text_that_calls_something_before_it_is_no_pickle_is_one(data: bytes, tmp_path: Path) -> None:
    assert loaded(data, tmp_path).get("denied") == ["posix.system"]


CALL = b"cposix\nsystem\n(S'id'\ntR."


@pytest.mark.parametrize("name", ["model", "model.pkl"])
@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zlib.compress, lambda data: data + zipped(b"text")],
    ids=["as it is", "gzip", "zlib", "with a zip behind it"],
)
@pytest.mark.parametrize(
    "start", [b"C\1x\x98", b"C\1x\x980", b"Pid\n0", b"NQ0", b"\x82\x010", b"\x970"], ids=bytes.hex
)
def test_what_means_something_only_to_its_loader_hides_no_call(
    start: bytes, pack: Any, name: str, tmp_path: Path
) -> None:
    assert loaded(pack(start + CALL), tmp_path, name).get("denied") == ["posix.system"]


@pytest.mark.parametrize(
    "put",
    [
        b"\x8c\x03lencposix\nsystem\ns",
        b"(\x8c\x03lencposix\nsystem\nu",
        b"cposix\nsystem\na",
        b"(cposix\nsystem\ne",
        b"(cposix\nsystem\n\x90",
    ],
)
def test_what_a_pickle_puts_into_a_module_is_found_whatever_else_it_names(put: bytes, tmp_path: Path) -> None:
    name = b"\x8c\x0dunittest.mock\x8c\x08call.a,b\x930"
    target = b"\x8c\x08builtins\x8c\x08__dict__\x93"
    for end in b".", b"\xff":
        found = loaded(b"N0\x80\x04" + name + target + put + end, tmp_path)
        assert found.get("denied") == ["builtins.__dict__", "posix.system", "unittest.mock.call.a,b"]


def test_what_is_packed_as_joblib_once_did_is_unreadable(tmp_path: Path) -> None:
    with (tmp_path / "made").open("wb") as file:
        write_zfile(file, CALL)
    assert loaded((tmp_path / "made").read_bytes(), tmp_path).keys() == {"unreadable"}


def test_opcodes_in_an_array_of_joblib_are_followed_as_whoever_unpickles_them_does(tmp_path: Path) -> None:
    joblib.dump(np.frombuffer(b"0cposix\nsystem\n(S'id'\ntR.", np.uint8), tmp_path / "model.joblib")
    assert judged(tmp_path / "model.joblib") == {}
    found = loaded((tmp_path / "model.joblib").read_bytes(), tmp_path, "model.joblib")
    assert "opcodes to every other loader" in found["unreadable"][0]


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps([1.0] * 9)[:-1],
        b"N.Pid\n.",
        b"N." * 9,
        b"V" + b"x" * 2_000_000,
        gzip.compress(gzip.compress(b"N.")),
        gzip.compress(zipped(b"N.")),
        zipped(zipped(b"N.")),
        tarred(b"N."),
        gzip.compress(b"N." * 1000)[:-12],
        b"\x1f\x8b broken",
        b"PK\x03\x04 broken",
        b"\x28\xb5\x2f\xfd and so on",
        b"\x04\x22\x4d\x18 and so on",
    ],
    ids=range(13),
)
def test_what_a_loader_may_unpickle_and_cannot_be_followed_is_unreadable(data: bytes, tmp_path: Path) -> None:
    assert loaded(data, tmp_path).keys() == {"unreadable"}


PLAIN_FILES = {
    "nothing": b"",
    "conda.yaml": b"channels:\n- conda-forge\ndependencies:\n- python=3.11.7\n",
    "requirements": b"mlflow==3.17.2\nPillow==12.0\nNumPy==2.4.6\n",
    "JSON": b'{"a": [1, 2]}',
    "Python": b"import os\nfrom x import y\n\n\nclass Model:\n    pass\n",
    "a class": b"class Model:\n    inputs = 1\n\nModel()\n",
    "CSV": b"city,price\nBern,1\nNanjing,2\nRom,3\n",
    "CSV without zeros": b"const,price\n.7,.3\n.9,.1\n",
    "Python of constants": b"SIZE = 1\nSTRIDE = 2\nREDO = 3\nRUN = 4\n",
    "a licence": b"U" + b"x" * 121 + b"Nb y\n",
    "letters": b"C" + b"A" * 66 + b")R\n",
    "CSV of a column": b"city\nBern\nNanjing\nNRW\nRom\n",
    "CSV of numbers": b"count\n1.5\nNaN\n",
    "CSV of a column in capitals": b"Population\nPrice\nR2\n",
    "CSV of prices": b"Price\n.5\nNb\n",
    "text without a last line": b"(in thousands",
    "a name in capitals": b"ZF Friedrichshafen, of 1915\n",
    "CSV of a column in Latin-1": "Universität\nZürich\n".encode("latin-1"),
    "names": b"Mrs. Smith\nN.A.\nPrice\n",
    "mathematics": b"x^2 + y^2 = z^2\n",
    "Markdown": b"(a, b)\n\n# Title\n",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
    "HDF": b"\x89HDF\r\n\x1a\n" + bytes(range(256)),
    "UBJSON": b"{L\0\0\0\0\0\0\0\x07learner{",
    "ONNX": b"\x08\x08\x12\x05torch:",
    "NumPy": b"\x93NUMPY\x01\0v\0"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }".ljust(117)
    + b"\n"
    + bytes(8),
    "zip of texts": zipped(b"channels:\n- conda-forge\n"),
    "gzip of a text": gzip.compress(b"city\nBern\n"),
}


@pytest.mark.parametrize("data", PLAIN_FILES.values(), ids=PLAIN_FILES)
def test_nothing_is_found_in_what_is_no_pickle(data: bytes, tmp_path: Path) -> None:
    assert loaded(data, tmp_path) == {}


def test_what_is_surely_loaded_as_a_pickle_and_is_none_is_unreadable(tmp_path: Path) -> None:
    assert loaded(b"import os\n", tmp_path, is_pickle=True).keys() == {"unreadable"}


def test_a_broken_zip_is_unreadable(tmp_path: Path) -> None:
    assert "unreadable" in scanned(b"PK\x03\x04 broken", tmp_path, "model.skops")


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    scanned(pickle.dumps(Call(Path.touch, touched)), tmp_path)
    scanned(pickle.dumps(Call(open, str(touched), "w")), tmp_path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("sklearn.linear_model._logistic", "LogisticRegression", "allowed"),
        ("sklearn.tree._tree", "Tree", "allowed"),
        ("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss", "allowed"),
        ("numpy", "log1p", "allowed"),
        ("numpy", "ndarray", "allowed"),
        ("numpy", "load", "unlisted"),
        ("numpy", "fromfile", "unlisted"),
        ("sklearn.utils", "os", "unlisted"),
        ("sklearn.datasets._base", "Path", "denied"),
        ("sklearn.base", "os.system", "denied"),
        ("sklearn.callback._transport", "Client", "denied"),
        ("sklearn.tests.test_config", "ThreadPoolExecutor", "denied"),
        ("sklearnx", "Model", "unlisted"),
        ("builtins", "eval", "denied"),
        ("builtins", "set", "allowed"),
        ("os.path", "join", "denied"),
        ("mymodule", "Thing", "unlisted"),
        ("mymodule.tests", "Thing", "unlisted"),
        ("", "", "denied"),
    ],
)
def test_globals_are_judged_by_the_list(module: str, name: str, expected: str) -> None:
    assert judge(module, name) == expected


HARMLESS = {
    ("importlib.metadata", "PackageNotFoundError"),
    ("inspect", "Parameter"),
    ("threading", "Lock"),
    ("types", "GenericAlias"),
}


@pytest.mark.parametrize("package", ["scipy.interpolate", "scipy.sparse", "scipy.stats", "sklearn"])
def test_no_allowed_name_is_one_that_a_library_only_hands_on_from_where_it_is_denied(package: str) -> None:
    """By what the installed modules import, which is read and not run."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    handed_on = set()
    for path in folder.rglob("*.py"):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        module = ".".join(parts).removesuffix(".__init__")
        if judge(module, "Any") == "allowed":
            handed_on |= {
                (module, *origin, name)
                for origin, name in _imported(path.read_text(encoding="utf-8"))
                if origin not in HARMLESS and origin[0].partition(".")[0] != package.partition(".")[0]
                if judge(module, name) == "allowed" and judge(*origin) == "denied"
            }
    assert handed_on == set()


def _imported(source: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Where a name in capitals is imported from, and as what. All of `ast` takes a minute for these libraries."""
    for module, names in re.findall(
        r"^\s*from\s+([a-z_][\w.]*)\s+import\s*(\([^)]*\)|.*)", source, re.MULTILINE
    ):
        for name, _, alias in re.findall(r"(\w+)(\s+as\s+(\w+))?", re.sub(r"#.*", "", names)):
            yield (module, name), alias or name


def test_the_imports_of_a_module_are_read() -> None:
    source = "from a.b import C, d as E  # F\nif x:\n    from g import (\n        H,  # I\n        J as K,\n    )\n"
    assert list(_imported(source)) == [
        (("a.b", "C"), "C"),
        (("a.b", "d"), "E"),
        (("g", "H"), "H"),
        (("g", "J"), "K"),
    ]


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


PLAIN = _name("numpy", "dtype") + (
    b"(U\x02f8\x89\x88tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)


def _record(*fields: bytes) -> bytes:
    named = b"".join(b"U\x03%03d" % number + field + b"\x85" for number, field in enumerate(fields))
    state = b"(K\x03U\x01|N)}(" + named + b"uK\x08K\x01K\x00tb"
    return _name("numpy", "dtype") + b"(U\x02V8\x89\x88tR" + state


def _array(shape: bytes, dtype: bytes) -> bytes:
    wrapper = _name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}"
    return wrapper + b"(U\x05shape" + shape + b"U\x05dtype" + dtype + b"ub"


WRAPPER = _name("joblib.numpy_pickle", "NumpyArrayWrapper")
EVAL = _name("builtins", "eval") + b"(S'1'\ntR0"


SAVED = pickle.dumps(StandardScaler(), protocol=2)[2:-1]


def _dtype(code: bytes, flags: int) -> bytes:
    named = _name("numpy", "dtype") + b"(U" + bytes([len(code)]) + code + b"\x89\x88tR"
    return named + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK" + bytes([flags]) + b"tb"


def _state(count: int, dtype: bytes = PLAIN, *more: bytes) -> bytes:
    """The state of a wrapper of so many numbers, as joblib writes it."""
    said = {
        b"subclass": _name("numpy", "ndarray"),
        b"shape": b"K" + bytes([count]) + b"\x85",
        b"order": b"U\1C",
    }
    said |= {b"dtype": dtype, b"allow_mmap": b"\x89", b"numpy_array_alignment_bytes": b"N"}
    return (
        b"}("
        + b"".join(b"U" + bytes([len(key)]) + key + value for key, value in said.items())
        + b"".join(more)
        + b"u"
    )


def _hidden(data: bytes, size: int = 8) -> bytes:
    """Opcodes in as many bytes as are a multiple of an item's, padded with ones that do nothing."""
    return (
        data
        + {0: b"", 1: b"K\x000K\x000K\x000"}[len(data) % 2]
        + b"N0" * (-(len(data) + 9 * (len(data) % 2)) % size // 2)
    )


def _in_a_frame() -> bytes:
    """Joblib reads the array behind the frame, and what seems to be the array as opcodes."""
    hidden = _hidden(EVAL)
    body = WRAPPER + b")\x81" + _state(len(hidden) // 8) + b"b" + hidden
    return b"\x95" + len(body).to_bytes(8, "little") + body + b"N0" * (len(hidden) // 2)


def _built_twice() -> bytes:
    """The wrapper of objects is an estimator after that, which is built as any other."""
    nested = b"\x80\2" + pickle.dumps(OneHotEncoder(dtype=np.dtype("f8")), protocol=2)[2:]
    first = WRAPPER + b")\x81" + _state(1, _dtype(b"O8", 63)) + b"b" + nested
    return first + _state(len(_hidden(EVAL)) // 8) + b"b" + _hidden(EVAL)


def _swallowed(made: bytes) -> bytes:
    """What the scan takes for opcodes if it does not see an array: bytes that hold what follows."""
    return made + _state(1) + b"b" + b"N0NB" + len(EVAL).to_bytes(4, "little") + EVAL


BLINDING = {
    "made by another call": _swallowed(
        _name("copyreg", "_reconstructor") + WRAPPER + _name("builtins", "object") + b"N\x87R"
    ),
    "made in a tuple": _swallowed(
        _name("copyreg", "_reconstructor") + b"](" + WRAPPER + _name("builtins", "object") + b"NeR"
    ),
    "inside a frame": _in_a_frame(),
    "built twice": _built_twice(),
    "numbers that say they are objects": (
        WRAPPER
        + b")\x81"
        + _state(len(_hidden(EVAL + b"N.")) // 8, _dtype(b"f8", 1))
        + b"b"
        + _hidden(EVAL + b"N.")
    ),
    "a key that is put together": (
        WRAPPER
        + b")\x81"
        + _state(3, PLAIN, _name("builtins", "str") + b"(U\5shapetRK\0\x85")
        + b"b"
        + _hidden(EVAL, 24)
    ),
    "an escaped key": WRAPPER
    + b")\x81"
    + _state(3, PLAIN, b"S'sh\\x61pe'\nK\0\x85")
    + b"b"
    + _hidden(EVAL, 24),
}


def fetched_by_joblib(data: bytes) -> set[str]:
    """The names that joblib would fetch, of which those of its arrays are and all others do nothing."""
    fetched: set[str] = set()

    class Watching(NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            fetched.add(f"{module}.{name}".encode("unicode_escape").decode())
            if judge(module, name) == "allowed":
                return super().find_class(module, name)
            return lambda *args: None

    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        Watching("", io.BytesIO(data), ensure_native_byte_order=True).load()
    return fetched


@pytest.mark.parametrize("data", BLINDING.values(), ids=BLINDING)
def test_an_array_that_is_not_written_as_joblib_does_hides_nothing(data: bytes, tmp_path: Path) -> None:
    assert "builtins.eval" in fetched_by_joblib(b"\x80\2" + data + b"N.")
    assert scanned(b"\x80\2" + data + b"N.", tmp_path, "model.joblib")


def test_an_array_that_is_written_as_joblib_does_is_followed(tmp_path: Path) -> None:
    array = WRAPPER + b")\x81" + _state(1) + b"b" + b"\xff" * 8
    assert scanned(b"\x80\2" + array + b"0" + array + b".", tmp_path, "model.joblib") == {}


def _records_in_records(deep: int) -> bytes:
    made = b"".join(
        _record(b"h" + bytes([n]), b"h" + bytes([n])) + b"q" + bytes([n + 1]) + b"0" for n in range(deep)
    )
    return PLAIN + b"q\x000" + made + _array(b"K\x01\x85", b"h" + bytes([deep]))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(_array(b"(\x8a\x10" + b"\x7f" * 16 + b"2" * 60_000 + b"t", PLAIN), id="dimensions"),
        pytest.param(_records_in_records(60), id="records in records"),
        pytest.param(_array(b"K\x01\x85", _record(*[PLAIN] * 500)), id="fields"),
        pytest.param(_name("a." * 500_000 + "a", "b"), id="parts of a module's name"),
        pytest.param(b"".join(_name("m", f"n{number}") for number in range(50_000)), id="globals"),
    ],
)
def test_what_is_described_briefly_and_takes_hours_to_follow_is_not_followed(
    pickled: bytes, tmp_path: Path
) -> None:
    found = scanned(b"\x80\x02" + pickled + b".", tmp_path, "model.joblib")

    assert "unreadable" in found or "denied" in found
    assert len(found.get("unlisted", ())) <= 10_000


opcodes = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parts=st.lists(opcodes | st.binary(max_size=6), max_size=40), name=st.sampled_from(["m.pkl", "m.joblib"])
)
def test_any_bytes_are_scanned_to_an_end(parts: list[bytes], name: str, tmp_path: Path) -> None:
    scanned(b"".join(parts), tmp_path, name)


UNPICKLERS = [pickle.Unpickler, pickle._Unpickler]
"""The second is joblib's, which differs at the end of a file and of a frame."""
pieces = st.sampled_from(
    [
        *[
            b"cos\nf\n",
            b"cm,n\nf\n",
            b"ios\nf",
            b"(",
            b"S'a'\n",
            b"t",
            b")",
            b"R",
            b"N",
            b".",
            b"0",
            b"o",
            b"\x81",
        ],
        *[
            b"I1\n",
            b"I0x1\n",
            b"T\1\0\0\0\xff",
            b"C\1x",
            b"\x98",
            b"Pa\n",
            b"Q",
            b"\x80\4",
            b"\x95\6" + b"\0" * 7,
        ],
        *[b"a", b"e", b"s", b"u", b"b", b"\x90", b"]", b"}"],
    ]
)


class Fetched:
    """What a name of a pickle stands for, and keeps what is done with it."""

    def __init__(self, done: list[str], *, is_known: bool) -> None:
        self._done, self._is_known = done, is_known

    def __call__(self, *args: Any) -> Any:
        self._done.append("called")
        return self

    def _put(self, *args: Any) -> None:
        if self._is_known:
            self._done.append("changed")

    append = add = extend = __setitem__ = _put


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(parts=st.lists(pieces | opcodes | st.binary(max_size=3), max_size=12), of=st.sampled_from(UNPICKLERS))
def test_whatever_pickle_would_call_or_change_something_of_is_found(
    parts: list[bytes], of: Any, tmp_path: Path
) -> None:
    done: list[str] = []

    class Watching(of):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            return Fetched(done, is_known=module == "os")

        def persistent_load(self, pid: Any) -> Any:
            return None

    with contextlib.suppress(Exception):  # most are no pickles
        Watching(io.BytesIO(b"".join(parts)), encoding="latin-1").load()
    assert not done or loaded(b"".join(parts), tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_pickle_is_never_read_more_kindly_than_pickle_reads_it(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever pickle would fetch from a damaged file, the scan has named or said to be unreadable."""
    whole = bytearray(pickle.dumps({"a": Call(str, 1), "b": [Call(frozenset, (1,))]}, protocol=4))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    fetched: set[str] = set()

    class Watching(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            fetched.add(f"{module}.{name}".encode("unicode_escape").decode())
            return lambda *args: None

        def persistent_load(self, pid: Any) -> Any:
            return None

    with contextlib.suppress(Exception):  # a damaged pickle may fail in every way there is
        Watching(io.BytesIO(bytes(whole))).load()
    (tmp_path / "model.pkl").write_bytes(bytes(whole))
    scan = scan_pickle(tmp_path / "model.pkl")
    named = {finding.name for finding in scan.findings}
    assert scan.names("unreadable") or scan.names("denied") or fetched <= named


def _in_frame(data: bytes) -> bytes:
    return b"\x95" + len(data).to_bytes(8, "little") + data


OF_ARRAYS = [
    *[
        WRAPPER,
        b")",
        b"\x81",
        WRAPPER + b")\x81",
        b"b",
        b".",
        b"0",
        b"2",
        b"N",
        b"(",
        b"t",
        b"]",
        b"a",
        b"u",
        b"R",
        b"}",
    ],
    *[b"q\0", b"h\0", b"q\1", b"h\1", b"\x94", b"K\0\x85", b"\x85", b"\x86"],
    *[
        _state(1),
        _state(2),
        _state(1, _dtype(b"O8", 63)),
        _state(1, _dtype(b"f8", 1)),
        _state(1, _dtype(b"O8", 0)),
    ],
    *[
        _state(0, PLAIN, b"U\5shapeK\1\x85"),
        _name("copyreg", "_reconstructor"),
        _name("builtins", "object"),
        b"N\x87R",
    ],
    *[
        WRAPPER + b")\x81" + _state(1) + b"b" + b"N0NB\x0c\0\0\0",
        pickle.dumps(np.array([None]), 2),
        b"N0N0N0N0",
    ],
    *[
        _name("builtins", "eval"),
        EVAL,
        b"0" * 3,
        _in_frame(b"N0"),
        _in_frame(EVAL),
        _in_frame(b"N0" * 8),
        b"\x95\x10" + b"\0" * 7,
    ],
    *[
        _in_frame(WRAPPER + b")\x81" + _state(1) + b"b" + b"N0N0N0N0"),
        _in_frame(WRAPPER + b")\x81" + _state(1) + b"b"),
    ],
    *[_name("collections", "deque") + b"]", b"K\0\x85", _name("numpy", "dtype"), PLAIN, SAVED],
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=500)
@given(parts=st.lists(st.sampled_from(OF_ARRAYS) | opcodes, max_size=14))
def test_whatever_joblib_would_fetch_is_found_or_cannot_be_followed(
    parts: list[bytes], tmp_path: Path
) -> None:
    data = b"\x80\2" + b"".join(parts)
    fetched = fetched_by_joblib(data)
    (tmp_path / "model.joblib").write_bytes(data)
    scan = scan_pickle(tmp_path / "model.joblib")
    assert (
        scan.names("unreadable") or scan.names("denied") or fetched <= {each.name for each in scan.findings}
    )


def _of_objects(call: Call) -> list[np.ndarray[Any, Any]]:
    records = np.zeros(1, dtype=[("number", "f8"), ("any", object)])
    records["any"][0] = call
    return [np.array([call], dtype=object), records]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["as it is", "packed"])
@pytest.mark.parametrize("array", _of_objects(Call(eval, "1")), ids=["objects", "records"])
def test_what_an_array_of_objects_would_call_is_found(
    array: np.ndarray[Any, Any], pack: Any, tmp_path: Path
) -> None:
    saved = io.BytesIO()
    np.save(saved, array)
    (tmp_path / "weights.npy").write_bytes(pack(saved.getvalue()))
    np.savez_compressed(tmp_path / "weights.npz", plain=np.zeros(3), hidden=array)

    for name in ("weights.npy", "weights.npz"):
        assert scan_loaded(tmp_path / name).names("denied") == ["builtins.eval"]


@pytest.mark.parametrize(
    "array",
    [
        *(np.zeros(3), np.zeros((2, 3), dtype=">i4"), np.array(["a", "bc"]), np.array([True])),
        *(np.array(["2020-01-01"], dtype="M8[25s]"), np.zeros(2, dtype="V5")),
        np.zeros(2, dtype=[("O", "f8"), (("title", "of two"), "<i4", (2,)), ("nested", [("b", "S3")])]),
        np.zeros(2, dtype=np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"]}, align=True)),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_of_numbers_is_no_pickle(array: np.ndarray[Any, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", array)
    assert scan_loaded(tmp_path / "weights.npy").findings == ()


@pytest.mark.parametrize(
    "rest", [b"", b"\1\0", b"\1\0\xff\xff{", b"\1\0\2\0[]", b"\2\0\xff\xff\0\0" + b"-" * 65_535]
)
def test_an_array_whose_header_says_nothing_cannot_be_read(rest: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.npy").write_bytes(b"\x93NUMPY" + rest)
    assert scan_loaded(tmp_path / "weights.npy").names("unreadable")
