"""Do the sample and the reference fit the model? Said from files alone: only where its inputs are written down.

A model in Python and an MLflow folder name their inputs, with their kinds; a skops file, XGBoost's and LightGBM's say
how many there are, and their names where they have some; a graph of ONNX and a program of PyTorch what goes in and
comes out, with kinds and shapes. What only the model itself can tell is left to its own process, which is held to the
sample before it goes live. Problems hold names of columns and counts, never a value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from placet.projects import (
    MLFLOW,
    Booster,
    Column,
    Graph,
    Served,
    Tensor,
    learned_from,
    lightgbm_booster,
    onnx_graph,
    program_graph,
    read_python,
    xgboost_booster,
)

# As in placet.runtime.reference, which tests hold this to.
LEAST_ROWS = 100
MOST_BYTES = 32 * 2**20
MAX_SAMPLE_BYTES = 8 * 1024**2
_LONGEST = 100
_MOST = 20
PYTHON, SKLEARN, LIGHTGBM, XGBOOST = "python", "sklearn", "lightgbm", "xgboost"
SKOPS, ONNX, PT2 = "skops", "onnx", "pt2"
ANY = -1
# As the model server has it for the formats that the tables are of.
MATRIX = "input-0"
MOST_FEATURES = 1 << 24
MATRICES = {XGBOOST: "FP32", LIGHTGBM: "FP64"}
WITH_PROBABILITIES = {
    XGBOOST: frozenset({"binary:logistic", "multi:softprob", "multi:softmax"}),
    LIGHTGBM: frozenset({"binary", "multiclass", "multiclassova"}),
}
_LABELS = ("label", "output_label")
_PROBABILITIES = {ONNX: ("probabilities", "output_probability"), PT2: ("probabilities",)}
_OUTPUTS = ("outputs", "probabilities")
"""What an answer of `/predict` has."""
_MOMENT = "moment"
_OF_COLUMNS = {
    **{"boolean": "BOOL", "string": "BYTES", "datetime": _MOMENT},
    **dict.fromkeys(("float", "double"), "FP64"),
}


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One of them: its kind is a datatype of the protocol, or not known; `shape` is a row's, and `rows` how many there
    have to be."""

    name: str
    datatype: str = ""
    shape: tuple[int, ...] = ()
    rows: int = ANY


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a model's inputs have, and those that no request may leave out; in their order, where it is known
    what rows without names are."""

    names: frozenset[str]
    required: frozenset[str]
    in_order: tuple[Input, ...] = ()


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """`shape` is a row's; what is None is not known. Of any number of `rows` there are as many as are asked."""

    name: str
    datatype: str = ""
    shape: tuple[int, ...] | None = None
    rows: int | None = ANY


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What `/predict` answers with: a prediction, perhaps with probabilities, or several outputs by their names."""

    prediction: Output | None = None
    probabilities: Output | None = None
    by_name: tuple[Output, ...] = ()


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's own file says; `problems` are what keeps it from being served."""

    inputs: Inputs | None = None
    outputs: Outputs | None = None
    problems: tuple[str, ...] = ()


def written_down(folder: Path, loaded: Served | None) -> Inputs | None:
    """What the model's own files say it takes; None where they say nothing."""
    if loaded is None:
        return None
    if loaded.format in (SKLEARN, MLFLOW) and loaded.columns:
        return Inputs(
            names=frozenset(column.name for column in loaded.columns),
            required=frozenset(
                column.name for column in loaded.columns if column.required or column.type == "boolean"
            ),
            in_order=tuple(Input(name=column.name, datatype=_datatype(column)) for column in loaded.columns),
        )
    code = read_python(folder / loaded.path) if loaded.format == PYTHON else None
    if code is None or code.problems or not code.inputs:
        return None
    in_order = tuple(
        Input(name=name, datatype=datatype, shape=shape)
        for name, (datatype, shape) in zip(code.inputs, code.datatypes, strict=True)
    )
    return Inputs(names=frozenset(code.inputs), required=frozenset(code.inputs), in_order=in_order)


def learned(folder: Path, loaded: Served | None) -> Learned:
    """What the model was made to take and to give, as its own file tells; nothing where it does not."""
    if loaded is None:
        return Learned()
    path = folder / loaded.path
    if loaded.serialization == SKOPS:
        return _of_estimator(*learned_from(path))
    if loaded.format in MATRICES:
        return _of_booster(
            xgboost_booster(path) if loaded.format == XGBOOST else lightgbm_booster(path), loaded
        )
    if loaded.serialization in _PROBABILITIES:
        return _of_graph(onnx_graph(path) if loaded.serialization == ONNX else program_graph(path), loaded)
    return Learned()


def _of_estimator(count: int | None, names: tuple[str, ...]) -> Learned:
    outputs = Outputs(
        prediction=Output(name="predict"), probabilities=Output(name="predict_proba", rows=None)
    )
    if not count:
        return Learned(outputs=outputs)
    in_order = tuple(Input(name=name) for name in names or [""] * count)
    return Learned(
        inputs=Inputs(names=frozenset(names), required=frozenset(names), in_order=in_order), outputs=outputs
    )


def _of_booster(said: Booster | None, loaded: Served) -> Learned:
    if said is None:
        return Learned()
    if not 0 < said.columns <= MOST_FEATURES:
        return Learned(problems=(f"it takes {said.columns} columns, and 1 to {MOST_FEATURES} can be served",))
    is_named = len(set(said.names)) == said.columns
    has_classes = loaded.method is None and said.objective in WITH_PROBABILITIES[loaded.format]
    return Learned(
        inputs=_of_matrix(
            Input(name=MATRIX, datatype=MATRICES[loaded.format], shape=(said.columns,)),
            said.names if is_named else (),
            loaded.columns,
        ),
        outputs=Outputs(
            prediction=Output(name="predict"),
            probabilities=Output(name="predict_proba") if has_classes else None,
        ),
    )


def _of_graph(graph: Graph | None, loaded: Served) -> Learned:
    if graph is None:
        return Learned()
    problems = tuple(_not_carried(graph, loaded.serialization))
    if problems or not graph.inputs or not graph.outputs:
        return Learned(problems=problems)
    inputs = tuple(
        Input(name=each.name, datatype=each.datatype, shape=_sizes(each)[1:], rows=_sizes(each)[0])
        for each in graph.inputs
    )
    rows = {each.shape[0] for each in graph.inputs}
    outputs = {each.name: _output(each, rows) for each in graph.outputs}
    probabilities = next((name for name in _PROBABILITIES[loaded.serialization] if name in outputs), None)
    if loaded.serialization == ONNX:
        label = next((name for name in _LABELS if name in outputs), None) if probabilities else None
    else:
        label = next((name for name in outputs if name != probabilities), None) if len(outputs) == 2 else None
    return Learned(
        inputs=_of_matrix(inputs[0], (), loaded.columns) if len(inputs) == 1 else _by_name(inputs),
        outputs=_outputs(outputs, label if probabilities else None, probabilities),
    )


def _not_carried(graph: Graph, serialization: str) -> Iterator[str]:
    for verb, tensors in (("takes", graph.inputs), ("gives", graph.outputs)):
        for each in tensors:
            if not each.datatype:
                yield f"{each.name:.60}, which it {verb}, is no tensor that a request carries"
    for each in graph.inputs:
        if each.datatype and not each.shape:
            yield f"{each.name:.60}, which it takes, has no rows"
    rows = {each.rows for each in graph.inputs}
    for each in graph.outputs if serialization == PT2 else ():
        if isinstance(each.rows, str) and each.rows not in rows:
            yield f"{each.name:.60}, which it gives, has other rows than what it takes"


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else ANY for size in tensor.shape)


def _output(tensor: Tensor, rows: Collection[int | str]) -> Output:
    """Its rows are those of the inputs where it says so: a fixed number is not always true that ONNX's tools write."""
    if not tensor.shape:
        return Output(name=tensor.name, rows=None)
    first = tensor.shape[0]
    is_of_rows = bool(first) and first in rows
    return Output(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=_sizes(tensor)[1:],
        rows=(first if isinstance(first, int) else ANY) if is_of_rows else None,
    )


def _outputs(outputs: Mapping[str, Output], label: str | None, probabilities: str | None) -> Outputs:
    """As the model server chooses them."""
    if len(outputs) == 1:
        return Outputs(prediction=next(iter(outputs.values())))
    if label is None or probabilities is None:
        return Outputs(by_name=tuple(outputs.values()))
    return Outputs(prediction=outputs[label], probabilities=outputs[probabilities])


def _by_name(inputs: tuple[Input, ...]) -> Inputs:
    names = frozenset(each.name for each in inputs)
    return Inputs(names=names, required=names, in_order=inputs)


def _of_matrix(matrix: Input, known: tuple[str, ...], columns: Sequence[Column]) -> Inputs:
    """Its columns by name, where its file knows names, or the project of which it is."""
    names = _names_of_columns(matrix, known, columns)
    if not names:
        return _by_name((matrix,))
    return _by_name(tuple(Input(name=name, datatype=matrix.datatype) for name in names))


def _names_of_columns(matrix: Input, known: tuple[str, ...], columns: Sequence[Column]) -> tuple[str, ...]:
    is_of_them = matrix.rows == ANY and matrix.shape in ((ANY,), (len(columns),))
    if not columns or matrix.datatype == "BYTES" or not is_of_them:
        return known
    by_name = {column.name.replace(" ", "_"): column for column in columns}  # as LightGBM keeps names
    by_name |= {column.name: column for column in columns}
    chosen = [by_name[name] for name in known if name in by_name] if known else list(columns)
    is_whole = not known or len({column.name for column in chosen}) == len(known)
    are_numbers = all(column.type in ("integer", "long", "float", "double") for column in columns)
    return tuple(column.name for column in chosen) if is_whole and are_numbers else known


def sample_problems(request: Any, inputs: Inputs | None) -> list[str]:
    """What of a sample's request the model would refuse."""
    rows = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(rows, list | dict) or not rows:
        return ["its request has no `inputs` with rows or columns"]
    others = (
        [f"its request has {_listed(request.keys() - {'inputs'})} beside `inputs`"]
        if len(request) > 1
        else []
    )
    if inputs is None:
        return others
    names = _names(rows)
    strangers = list(_strangers(names, inputs, "its request")) if names and inputs.names else []
    wrong = (*_other_rows(_rows(rows), inputs.in_order), *islice(_misfits(rows, inputs.in_order), _MOST))
    return [*others, *strangers, *wrong]


def answer_problems(response: Any, request: Any, outputs: Outputs | None) -> list[str]:
    """What of the expected answer no answer of the model could be."""
    if not isinstance(response, dict):
        return ["its response is no object with `outputs`"]
    if strangers := response.keys() - set(_OUTPUTS):
        return [
            f"its response has {_listed(strangers)}, and an answer has `outputs` and perhaps `probabilities`"
        ]
    if outputs is None:
        return []
    rows = _rows(request.get("inputs") if isinstance(request, dict) else None)
    return list(islice(_other_answers(response, outputs, rows), _MOST))


def _other_answers(response: Mapping[str, Any], outputs: Outputs, rows: int | None) -> Iterator[str]:
    by_name = {each.name: each for each in outputs.by_name}
    given = {"outputs": outputs.prediction, "probabilities": outputs.probabilities}
    for name, expected in response.items():
        output = given[name]
        if output is not None:
            yield from _other_answer(f"`{name}`", expected, output, rows)
        elif not by_name or name != "outputs":
            yield f"its response has `{name}`, which the model does not give"
        elif not isinstance(expected, dict):
            yield f"its response has no object with {_listed(by_name)} as `outputs`"
        else:
            if strangers := expected.keys() - by_name.keys():
                yield f"its response has {_listed(strangers)}, which the model does not give"
            for each in expected.keys() & by_name.keys():
                yield from _other_answer(f"{each:.60}", expected[each], by_name[each], rows)


def _other_answer(name: str, expected: Any, output: Output, rows: int | None) -> Iterator[str]:
    if output.shape is None and output.rows is None:
        return
    if not isinstance(expected, list):
        yield f"{name} of its response is no list with an entry for each row"
        return
    wanted = rows if output.rows == ANY else output.rows
    if wanted is not None and len(expected) != wanted:
        of = "the request" if output.rows == ANY else "an answer"
        yield f"{name} of its response has {len(expected)} entries, and {of} {wanted} rows"
    for number, entry in enumerate(expected if output.shape is not None else ()):
        if not _has_shape(entry, output.shape or ()):
            yield f"entry {number} in {name} of its response is not {_shaped(output.shape or ())}"
        elif kind := next(filter(None, (_unlike(leaf, output.datatype) for leaf in _leaves(entry))), None):
            yield f"entry {number} in {name} of its response is not {kind}"


def _unlike(value: Any, datatype: str) -> str | None:
    """What an answer has instead. Whole numbers and others are compared as numbers."""
    if value is None and datatype != "BOOL":
        return None  # as what is no number is written
    expected = _expected(value, datatype if datatype in ("BYTES", "BOOL") else "FP64")
    return expected if datatype else None


def _rows(rows: Any) -> int | None:
    """How many rows a request has, as far as it can be told."""
    if isinstance(rows, dict):
        rows = next(iter(rows.values()), None)
    return len(rows) if isinstance(rows, list) else None


def _other_rows(count: int | None, inputs: Sequence[Input]) -> Iterator[str]:
    fixed = {each.rows for each in inputs} - {ANY, count}
    if count is not None and fixed:
        yield f"its request has {count} rows, and the model takes {min(fixed)}: it was saved for so many alone"


def reference_problems(
    path: Path, request: Any, inputs: Inputs | None, *, may_lack_columns: bool
) -> list[str]:
    """What would keep the model server from comparing with a reference. `request` is the sample's.

    `may_lack_columns`: some may be optional, so that the sample does not tell which have to be there.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        return ["it is neither .csv nor .json"]
    if path.stat().st_size > MOST_BYTES:
        return [f"it is larger than {MOST_BYTES} bytes; some thousand rows will do"]
    rows = request.get("inputs") if isinstance(request, dict) else None
    if inputs is None and not may_lack_columns and (names := _names(rows)):
        inputs = Inputs(names=names, required=names)
    if path.suffix.lower() == ".json":
        return list(_wrong_json(path.read_bytes(), inputs))
    width = len(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], list) else 1
    return list(_wrong_csv(path.read_bytes(), inputs, width))


def _misfits(rows: Any, inputs: Sequence[Input]) -> Iterator[str]:
    """Values that are none of their input's, as the model server would say it of the first of them."""
    named = {each.name: each for each in inputs}
    if isinstance(rows, dict):
        for name, values in rows.items():
            if not isinstance(values, list):
                yield f"its column {name} is no list of values"
            elif name in named:
                yield from _wrong_values(enumerate(values), named[name])
        if len({len(values) for values in rows.values() if isinstance(values, list)}) > 1:
            yield "its columns differ in length"
    elif isinstance(rows[0], dict):
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                yield f"its row {number} is no object, as row 0 is"
                continue
            for name in row.keys() & named.keys():
                yield from _wrong_values([(number, row[name])], named[name])
    elif len(inputs) == 1:
        yield from _wrong_values(enumerate(rows), inputs[0])
    else:
        yield from _wrong_rows(rows, inputs)


def _wrong_rows(rows: Sequence[Any], inputs: Sequence[Input]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            yield f"its row {number} is no list of {len(inputs)} values"
        elif len(row) != len(inputs):
            yield f"its row {number} has {len(row)} values, and the model takes {len(inputs)}"
        else:
            for value, each in zip(row, inputs, strict=True):
                yield from _wrong_values([(number, value)], each)


def _wrong_values(values: Iterable[tuple[int, Any]], wanted: Input) -> Iterator[str]:
    is_column = wanted.rows == ANY and wanted.shape in ((), (1,))
    shape = () if is_column else wanted.shape
    first: tuple[int, ...] | None = None
    for number, value in values:
        where = f"its row {number}" + (f", {wanted.name}," if wanted.name not in ("", MATRIX) else "")
        if is_column and isinstance(value, list) and len(value) == 1:
            (value,) = value  # of a single column, a row may be the value itself or a list of it
        found = _shape_of(value, len(shape))
        first = found if first is None else first
        if not _is_shaped(found, shape):
            if wanted.name == MATRIX and isinstance(value, list):
                yield f"{where} has {len(value)} values, and the model takes {shape[0]}"
            else:
                yield f"{where} is {_unshaped(shape)}"
        elif found != first:
            yield f"{where} is of another shape than row 0"
        elif expected := next(
            filter(None, (_expected(leaf, wanted.datatype) for leaf in _leaves(value))), None
        ):
            yield f"{where} is not {expected}"


def _unshaped(shape: Sequence[int]) -> str:
    if not shape:
        return "no single value"
    return f"no list of {shape[0]} values" if len(shape) == 1 and shape[0] != ANY else "of another shape"


def _shaped(shape: Sequence[int]) -> str:
    if not shape:
        return "a single value"
    sizes = " by ".join("any" if size == ANY else str(size) for size in shape)
    return f"a list of {sizes} values"


def _has_shape(value: Any, shape: Sequence[int]) -> bool:
    return _is_shaped(_shape_of(value, len(shape)), shape)


def _is_shaped(found: Sequence[int] | None, shape: Sequence[int]) -> bool:
    return (
        found is not None
        and len(found) == len(shape)
        and all(want in (ANY, have) for want, have in zip(shape, found, strict=True))
    )


def _shape_of(value: Any, deepest: int) -> tuple[int, ...] | None:
    """None for lists that differ in length, or that are deeper."""
    if isinstance(value, dict):
        return None
    if not isinstance(value, list):
        return ()
    inner = {_shape_of(each, deepest - 1) for each in value} if deepest > 0 else {None}
    shape = next(iter(inner), ()) if len(inner) < 2 else None
    return None if shape is None else (len(value), *shape)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _expected(value: Any, datatype: str) -> str | None:
    """What this value should have been, if the model server takes it for wrong."""
    is_float = datatype.startswith("FP")
    if not datatype or (value is None and (is_float or datatype in ("BYTES", _MOMENT))):
        return None
    if datatype in ("BYTES", _MOMENT):
        return None if isinstance(value, str) else "a text"
    if datatype == "BOOL":
        return None if isinstance(value, bool) else "true or false"
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        return "a number"
    if is_float:
        return None
    if not isinstance(value, int):
        return "a whole number"
    least, most = _limits(datatype)
    return None if least <= value <= most else f"a number between {least} and {most}"


def _limits(datatype: str) -> tuple[int, int]:
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    return (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _datatype(column: Column) -> str:
    # As in placet.runtime.columns: a whole number that may be missing is a float there.
    if column.type in ("integer", "long"):
        return "INT64" if column.required else "FP64"
    return _OF_COLUMNS[column.type]


def _names(rows: Any) -> frozenset[str] | None:
    """The names in a request's inputs, if it names them."""
    if isinstance(rows, dict):
        return frozenset(rows)
    first = rows[0] if isinstance(rows, list) and rows else None
    return frozenset(first) if isinstance(first, dict) else None


def _strangers(names: Iterable[str], inputs: Inputs, where: str) -> Iterator[str]:
    for word, strangers in (
        ("lacks", inputs.required - set(names)),
        ("has", set(names) - inputs.names),
    ):
        if strangers:
            yield f"{where} {word} {_listed(strangers)}" + (
                ", which the model does not take" if word == "has" else ""
            )


def _wrong_json(content: bytes, inputs: Inputs | None) -> Iterator[str]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield "it is no JSON"
        return
    rows = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(rows, list | dict) or not rows:
        yield "it is no request: it has no `inputs` with rows or columns"
        return
    names = _names(rows)
    if names is not None and inputs is not None:
        yield from _strangers(names, inputs, "it")
    column = next(iter(rows.values())) if isinstance(rows, dict) else rows
    yield from _too_few(len(column) if isinstance(column, list) else 0)


def _wrong_csv(content: bytes, inputs: Inputs | None, width: int) -> Iterator[str]:
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        count = 0
        for row in rows:
            if row and len(row) != len(header):
                yield f"its row {count} has {len(row)} values, its header {len(header)}"
                return
            count += bool(row)
    except (UnicodeDecodeError, csv.Error):
        yield "it is no CSV file in UTF-8"
        return
    if inputs is not None and len(inputs.names) > 1:
        # By name, whatever other columns there are.
        yield from _strangers(set(header) & inputs.names, inputs, "its header")
    elif inputs is None and len(header) < width:
        yield f"it has {len(header)} columns, and a row of the sample has {width} values"
    yield from _too_few(count)


def _too_few(rows: int) -> Iterator[str]:
    if rows < LEAST_ROWS:
        yield f"it has {rows} rows, of which nothing can be told; give {LEAST_ROWS} or more"


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(sorted(names))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
