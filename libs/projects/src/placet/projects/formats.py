"""Which model is in this folder? Said from the files alone: nothing is imported and nothing is loaded.

One table names every format with its file names and how a file of it looks. A new format is a new row. A folder that
MLflow wrote is a model too: what is served of it is a file inside, in one of the formats of the table, or else the
folder as a whole, by MLflow.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from placet.errors import Refused
from placet.projects.archive import project_files, unreadable
from placet.projects.ignoring import IGNORE_FILE
from placet.projects.lightgbm_files import file_version
from placet.projects.manifest import PROJECT_PATTERN, RESERVED_NAME, Governance, Manifest, Model, Resources
from placet.projects.mlflow_models import (
    FLAVOURS,
    MLMODEL,
    Column,
    MlflowModel,
    PythonFunction,
    input_example,
    read_mlflow_model,
)
from placet.projects.pt2_files import is_program
from placet.projects.python_files import read_module, read_python, syntax_problem, would_be_python
from placet.projects.safetensors_files import is_safetensors
from placet.projects.skops_files import SCHEMA
from placet.projects.xgboost_files import json_version, ubjson_version

MLFLOW = "mlflow"
PYFUNC = "pyfunc"
PYTORCH = "pytorch"
SAFETENSORS = "safetensors"
SAMPLE_NAME = "sample.json"
REQUIREMENTS_NAME = "requirements.txt"
_CARD_NAMES = ("README.md", "MODEL_CARD.md", "card.md")


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is what placet.yaml calls it; `serialization` is how the artifact is written, which rules look at.

    A file that ends in one of `suffixes` claims to be such a model. One that ends in one of `shared` may be one, or
    anything else: only its content says so.
    """

    name: str
    serialization: str
    suffixes: tuple[str, ...]
    shared: tuple[str, ...] = ()
    looks_right: Callable[[Path], bool]

    def may_be(self, path: Path) -> bool:
        return path.suffix.lower() in (*self.suffixes, *self.shared)


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    serialization: str
    path: str


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What the model server loads: the model's file in a format of the table, and the columns of the frame it wants,
    where the model's folder says them. `method` is the one of the model's whose answer alone is given, where that
    folder asks for it; None is what its format answers with. Where MLflow itself loads the folder, `path` is that, and
    `function` what is unpickled or imported then. `example` is a request that its folder brings."""

    format: str
    serialization: str
    path: str
    columns: tuple[Column, ...] = ()
    method: str | None = None
    function: PythonFunction | None = None
    problem: str | None = None
    example: dict[str, Any] | None = None


class SeveralModels(Refused):
    """Only a person knows which of them is meant. `found` are their paths, the safest kind first."""

    def __init__(self, folder: Path, found: tuple[str, ...]) -> None:
        super().__init__(
            f"{folder} holds several models: {', '.join(found)}",
            fix=f"say which one is meant, or add the others to {IGNORE_FILE}",
        )
        self.found = found


def recognise(folder: Path, path: str | None = None) -> Recognised:
    """The model in the folder, or of several the one at `path`. `Refused` if there is none there, `SeveralModels`."""
    found = _models(folder)
    if path is not None:
        return _named(path, found, folder)
    if len(found) > 1:
        raise SeveralModels(folder, tuple(each.path for each in found))
    return found[0]


def _models(folder: Path) -> list[Recognised]:
    """At least one."""
    files = list(project_files(folder))
    of_mlflow = [path.parent for path in files if path.name == MLMODEL and _opened(folder / path)]
    found, refusals = _recognised_folders(folder, of_mlflow)
    misnamed: list[Path] = []
    single = [path for path in files if not any(path.is_relative_to(inside) for inside in of_mlflow)]
    refusals += [pickled for path in single if (pickled := _pickle_of_torch(folder, path.as_posix()))]
    refusals += [
        Refused(f"{path}, {problem}", fix="mend the code of the model")
        for path in single
        if path.suffix == ".py"
        and would_be_python(folder / path)
        and (problem := syntax_problem(folder / path))
    ]
    for row in FORMATS:
        for path in filter(row.may_be, single):
            if _opened(folder / path) and row.looks_right(folder / path):
                found.append(
                    Recognised(format=row.name, serialization=row.serialization, path=path.as_posix())
                )
            elif path.suffix.lower() in row.suffixes:
                misnamed.append(path)
    if found:
        return found
    if refusals:
        raise refusals[0]
    if misnamed:
        names = ", ".join(path.as_posix() for path in misnamed)
        raise Refused(
            f"{folder} holds no model: {names} is not what its name says", fix="save the model again"
        )
    suffixes = ", ".join(dict.fromkeys(suffix for row in FORMATS for suffix in row.suffixes))
    raise Refused(
        f"{folder} holds no model that is recognised",
        fix=f"save one there in a file that ends in {suffixes}, or in the native file of XGBoost or LightGBM with any "
        "other ending, or write a class Model in Python",
    )


def _recognised_folders(folder: Path, paths: list[Path]) -> tuple[list[Recognised], list[Refused]]:
    found: list[Recognised] = []
    refusals: list[Refused] = []
    for path in paths:
        try:
            found.append(_recognised_folder(folder, path))
        except Refused as refusal:
            refusals.append(refusal)
    return found, refusals


def _named(path: str, found: list[Recognised], folder: Path) -> Recognised:
    meant = PurePosixPath(path).as_posix()
    for each in found:
        if each.path == meant:
            return each
    names = ", ".join(each.path for each in found)
    raise Refused(f"{path!r} is no model in {folder}", fix=f"what is one: {names}")


def _opened(file: Path) -> bool:
    """True, or `Refused` for a file that this user may not read: that it looks like no model says nothing then."""
    try:
        with file.open("rb"):
            return True
    except OSError as error:
        raise unreadable(error) from error


def recognise_at(folder: Path, path: str) -> Recognised | None:
    """The format of the file or MLflow folder at `path` of a project, or None. `Refused` says why MLflow's cannot be
    served."""
    if _is_file(folder / path / MLMODEL):
        return _recognised_folder(folder, Path(path))
    if pickled := _pickle_of_torch(folder, path):
        raise pickled
    found = recognise_file(folder / path)
    return found and msgspec.structs.replace(found, path=path)


def served(folder: Path, model: Model) -> Served:
    """What is loaded of the model that placet.yaml names. `Refused` for an MLflow folder that cannot be served."""
    if model.format == MLFLOW:
        return _served_of_mlflow(folder, PurePosixPath(model.path))
    if pickled := _pickle_of_torch(folder, model.path):
        raise pickled
    found = recognise_file(folder / model.path)
    return Served(format=model.format, serialization=found.serialization if found else "", path=model.path)


def _recognised_folder(folder: Path, path: Path) -> Recognised:
    of_it = _served_of_mlflow(folder, PurePosixPath(path))
    return Recognised(format=MLFLOW, serialization=of_it.serialization, path=path.as_posix())


def _served_of_mlflow(folder: Path, path: PurePosixPath) -> Served:
    document = (path / MLMODEL).as_posix()
    if not _is_file(folder / document):
        raise Refused(
            f"there is no {document}", fix="name the folder that MLflow saved the model to in model.path"
        )
    said = read_mlflow_model(folder / path)
    for artifact in said.artifacts:
        file = (path / artifact.path).as_posix()
        found = recognise_file(folder / file)
        if found is not None and found.format in artifact.formats and not _needs_mlflow(found, said):
            return Served(
                format=found.format,
                serialization=found.serialization,
                path=file,
                columns=said.columns,
                method=artifact.method,
                problem=artifact.problem,
                example=input_example(folder / path),
            )
        if artifact.formats == (PYTORCH,):
            raise Refused(
                f"{document} has the flavour pytorch, and there is no exported program {file}",
                fix="a pickle of PyTorch is never loaded: save the model with serialization_format='pt2' and an "
                "input_example, as MLflow 3 does by default",
            )
    if said.function is not None:
        return _served_by_mlflow(folder, path, said, said.function)
    flavours = ", ".join(said.flavours) or "no flavour"
    known = ", ".join(flavour.name for flavour in FLAVOURS if _names() & set(flavour.formats[:1]))
    raise Refused(
        f"{document} has {flavours}, of which none has a file that can be served, and no python_function",
        fix=f"save the model with one of MLflow's flavours {known}, or any other that MLflow itself loads",
    )


def _needs_mlflow(found: Recognised, said: MlflowModel) -> bool:
    """A pickle whose classes lie in the folder's own code, which MLflow alone has imported."""
    return found.serialization in PICKLES and said.function is not None and said.function.code is not None


def _served_by_mlflow(
    folder: Path, path: PurePosixPath, said: MlflowModel, function: PythonFunction
) -> Served:
    for named in function.paths:
        if not _exists(folder / path / named):
            raise Refused(
                f"there is no {(path / named).as_posix()}, which {(path / MLMODEL).as_posix()} says is loaded",
                fix="keep the folder whole, as MLflow saved it",
            )
    return Served(
        format=MLFLOW,
        serialization=PYFUNC,
        path=path.as_posix(),
        columns=said.columns,
        function=function,
        example=input_example(folder / path),
    )


def _pickle_of_torch(folder: Path, path: str) -> Refused | None:
    """What is to be said of a file that `torch.save` or `torch.jit.save` wrote, by its name and its first bytes."""
    if PurePosixPath(path).suffix.lower() not in _PICKLES_OF_TORCH or not _is_file(folder / path):
        return None
    if not _is_pickle(folder / path) and not zipfile.is_zipfile(folder / path):
        return None
    if is_program(folder / path):
        return None
    return Refused(
        f"{path} is a pickle of PyTorch, and loading one runs what is in it",
        fix="export the model, `torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')`, or "
        "save its weights with `safetensors.torch.save_file(model.state_dict(), 'model.safetensors')`",
    )


_PICKLES_OF_TORCH = (".pt", ".pth", ".pt2")


PICKLES = ("pickle", "joblib")


def _exists(path: Path) -> bool:
    """As `_is_file`, for folders as well."""
    try:
        return path.exists()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """False for a name that no file can have, too: names come from documents that strangers wrote."""
    try:
        return path.is_file()
    except OSError:
        return False


def _names() -> frozenset[str]:
    return frozenset(row.name for row in FORMATS)


def recognise_file(path: Path, *, among: Collection[str] | None = None) -> Recognised | None:
    """The format of one file, or None. `among` are the formats that matter to who asks; some take long to rule out."""
    for row in FORMATS:
        if among is not None and row.name not in among:
            continue
        if row.may_be(path) and _is_file(path) and row.looks_right(path):
            return Recognised(format=row.name, serialization=row.serialization, path=path.name)
    return None


def initial_manifest(folder: Path, model_path: str | None = None) -> Manifest:
    """A placet.yaml for the folder, complete but for what only people can say. Raises as `recognise` does."""
    return _manifest_of(folder, recognise(folder, model_path))


def _manifest_of(folder: Path, model: Recognised) -> Manifest:
    beside = model.path if model.format == MLFLOW else "."
    requirements = (PurePosixPath(beside) / REQUIREMENTS_NAME).as_posix()
    return Manifest(
        api_version="placet/v1",
        project=project_name(_name(folder, model)),
        model=Model(
            format=model.format,
            path=model.path,
            module=_module(folder) if model.serialization == SAFETENSORS else None,
            sample=_if_there(folder, SAMPLE_NAME),
        ),
        requirements=_if_there(folder, REQUIREMENTS_NAME) or _if_there(folder, requirements),
        resources=_OF_PYTORCH if model.serialization in _WRITTEN_FOR_PYTORCH else Resources(),
        card=next((name for name in _CARD_NAMES if _if_there(folder, name)), None),
    )


# In MLflow's own store everybody's model lies in a folder of one of these names.
_OF_THE_STORE = ("artifacts", "model")


def _name(folder: Path, model: Recognised) -> str:
    """The folder's, unless MLflow chose it: that of somebody else's model would be the same."""
    name = folder.resolve().name
    is_folder_itself = model.format == MLFLOW and model.path == "."
    if not is_folder_itself or name not in _OF_THE_STORE:
        return name
    return read_mlflow_model(folder).logged_as or name


_WRITTEN_FOR_PYTORCH = ("pt2", SAFETENSORS)
_OF_PYTORCH = Resources(memory="1Gi")  # of which PyTorch takes half before it has a model


def _module(folder: Path) -> str | None:
    """The one Python file with a class for weights, or None if there are none or several."""
    found = [
        path.as_posix()
        for path in project_files(folder)
        if path.suffix == ".py" and read_module(folder / path)
    ]
    return found[0] if len(found) == 1 else None


def trial_manifest(folder: Path) -> Manifest | None:
    """The placet.yaml of an MLflow folder that has none: nobody has said yet what the model is for, so it is tried out
    and no more. None for any other folder. Nothing else that lies in it is looked at: there may be thousands."""
    if not (folder / MLMODEL).is_file() or not _opened(folder / MLMODEL):
        return None
    model = _recognised_folder(folder, Path())
    return msgspec.structs.replace(_manifest_of(folder, model), governance=Governance(trial=True))


def project_name(text: str) -> str:
    """The text as a project name: `Wine Quality (v2)` becomes `wine-quality-v2`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].rstrip("-")
    if not name[:1].isalpha():
        name = f"model-{name}"[:40].rstrip("-")
    return name if re.search(PROJECT_PATTERN, name) and name != RESERVED_NAME else f"{name}-model"


def _if_there(folder: Path, name: str) -> str | None:
    return name if (folder / name).is_file() else None


def _is_skops(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as container:
            return SCHEMA in container.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(6)
    # A protocol mark, one of the compressions that joblib reads, or protocol 0, which begins with any opcode.
    return start[:1] in (b"\x80", b"\x78", b"c", b"(", b"]", b"}") or start.startswith(
        (b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00")
    )


def _is_onnx(path: Path) -> bool:
    """Whether the outermost protobuf fields are those of an ONNX ModelProto, with a graph."""
    with path.open("rb") as file:
        size = path.stat().st_size
        numbers: set[int] = set()
        for _ in range(_MOST_FIELDS):
            if file.tell() >= size:
                break
            key = _varint(file.read)
            if key is None or key >> 3 not in _MODEL_PROTO or key & 7 not in (0, 2):
                return False
            length = _varint(file.read)
            if length is None:
                return False
            if key & 7 == 2:
                file.seek(length, 1)
            numbers.add(key >> 3)
        return file.tell() == size and {_IR_VERSION, _GRAPH} <= numbers


_IR_VERSION, _GRAPH = 1, 7
_MOST_FIELDS = 10_000
_MODEL_PROTO = frozenset({_IR_VERSION, 2, 3, 4, 5, 6, _GRAPH, 8, 14, 20, 25, 26})


def _varint(read: Callable[[int], bytes]) -> int | None:
    value = 0
    for shift in range(0, 64, 7):
        byte = read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def _is_xgboost_ubjson(path: Path) -> bool:
    return ubjson_version(path) is not None


def _is_xgboost_json(path: Path) -> bool:
    return json_version(path) is not None


def _is_lightgbm(path: Path) -> bool:
    return file_version(path) is not None


def _is_python_model(path: Path) -> bool:
    return read_python(path) is not None


# The safest first: of several models they are named in this order.
_OF_XGBOOST = (".json", ".model", ".xgb", ".bin")  # what people call them; XGBoost takes any name
FORMATS: tuple[Format, ...] = (
    Format(name="sklearn", serialization="skops", suffixes=(".skops",), looks_right=_is_skops),
    Format(name="onnx", serialization="onnx", suffixes=(".onnx",), looks_right=_is_onnx),
    Format(
        name="xgboost",
        serialization="ubjson",
        suffixes=(".ubj",),
        shared=_OF_XGBOOST,
        looks_right=_is_xgboost_ubjson,
    ),
    Format(
        name="xgboost",
        serialization="json",
        suffixes=(),
        shared=(".ubj", *_OF_XGBOOST),
        looks_right=_is_xgboost_json,
    ),
    Format(
        name="lightgbm",
        serialization="text",
        suffixes=(".lgb", ".lgbm"),
        shared=(".txt", ".model"),
        looks_right=_is_lightgbm,
    ),
    Format(name=PYTORCH, serialization="pt2", suffixes=(".pt2",), shared=(".pt",), looks_right=is_program),
    Format(name=PYTORCH, serialization=SAFETENSORS, suffixes=(".safetensors",), looks_right=is_safetensors),
    Format(name="sklearn", serialization="joblib", suffixes=(".joblib",), looks_right=_is_pickle),
    Format(name="sklearn", serialization="pickle", suffixes=(".pkl", ".pickle"), looks_right=_is_pickle),
    Format(name="python", serialization="python", suffixes=(), shared=(".py",), looks_right=_is_python_model),
)
