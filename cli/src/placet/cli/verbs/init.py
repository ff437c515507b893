"""`placet init`: what a folder says about its model, written down. Nothing is sent."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.projects import (
    DOCKERFILE,
    MANIFEST_NAME,
    MLFLOW,
    PYFUNC,
    Manifest,
    Pins,
    PythonModel,
    Served,
    dump_manifest,
    pins,
    read_module,
    read_python,
    recognise_file,
    requirements_text,
    served,
)
from placet.projects.formats import REQUIREMENTS_NAME, SAMPLE_NAME, SeveralModels, initial_manifest
from placet.projects.pins import origin
from placet.rules.fitting import (
    ANY,
    MAX_SAMPLE_BYTES,
    Input,
    Inputs,
    Output,
    Outputs,
    learned,
    sample_problems,
    written_down,
)

PYTHON = "python"
WEIGHTS = ".safetensors"
_HOW_TO_MODULE = """\
weights alone cannot be served: write their class Model(torch.nn.Module) to a Python file, with its inputs and outputs
in plain values, and name the file in model.module"""
_ROWS = """\
  inputs = rows.to_dict("records") if hasattr(rows, "to_dict") else rows.tolist()
"""
# A category is its number there, and so is a class: neither file has their names.
_NUMBERS = """\
  numbers = rows  # without missing values; a category is its number
  if hasattr(rows, "dtypes"): numbers = rows.apply(lambda each: each.cat.codes if hasattr(each, "cat") else each)
  inputs = numbers.astype(float).to_dict("records") if hasattr(rows, "to_dict") else rows.tolist()
"""
_OUTPUTS = {  # `rows` are some that the model knows to answer
    "sklearn": f"{_ROWS}  outputs = model.predict(rows).tolist()\n",
    PYFUNC: f"""\
{_ROWS}  outputs = mlflow.pyfunc.load_model("%s").predict(rows)
  is_frame = hasattr(outputs, "columns")
  outputs = outputs.to_dict("list") if is_frame else numpy.asarray(outputs).tolist()
""",
    "xgboost": f"""\
{_NUMBERS}  booster = model.get_booster() if hasattr(model, "get_booster") else model
  objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
  asked = xgboost.DMatrix(rows, enable_categorical=True) if booster is model else rows
  outputs = model.predict(asked)
  if objective == "multi:softprob" and outputs.ndim > 1: outputs = outputs.argmax(axis=1)  # a class is its number
  if objective == "binary:logistic": outputs = (outputs > 0.5).astype(int)
  outputs = outputs.tolist()
""",
    "lightgbm": f"""\
{_NUMBERS}  booster = getattr(model, "booster_", model)
  objective, outputs = booster.dump_model(num_iteration=1).get("objective", ""), booster.predict(rows)
  if objective.startswith("multiclass"): outputs = outputs.argmax(axis=1)  # a class is its number
  if objective.startswith("binary"): outputs = (outputs > 0.5).astype(int)
  outputs = outputs.tolist()
""",
    "onnx": """\
  inputs = rows.tolist()  # an array of the type that the graph takes
  session = onnxruntime.InferenceSession("%s")
  names = [each.name for each in session.get_outputs()]
  answers = session.run(None, {session.get_inputs()[0].name: rows})
  is_one = len(names) == 1 or names[0].endswith("label")
  outputs = answers[0].tolist() if is_one else {name: each.tolist() for name, each in zip(names, answers)}
""",
}
_BY_NAME = """\
  inputs = {"x": [1.0, 2.0]}  # a list for each input of the model
  outputs = {"y": [3.0, 4.0]}  # what it answers: by name, or of a single output the list
"""


_ROWS_OF_SAMPLE = """\
  inputs = json.loads(Path("sample.json").read_text())["request"]["inputs"]
  rows = pandas.DataFrame(inputs) if isinstance(inputs[0], dict) else numpy.array(inputs, dtype=float)
"""


def _how_to_sample(loaded: Served, *, has_request: bool) -> str:
    """Lines that answer as the model server does, which of an MLflow folder serves a file inside."""
    kind = PYFUNC if loaded.serialization == PYFUNC else loaded.format
    if loaded.method is not None:
        rows = _ROWS if kind == "sklearn" else _NUMBERS
        asked = "xgboost.DMatrix(rows, enable_categorical=True)" if kind == "xgboost" else "rows"
        outputs = f"{rows}  outputs = numpy.asarray(model.{loaded.method}({asked})).tolist()\n"
    else:
        outputs = _OUTPUTS.get(kind, _BY_NAME).replace("%s", loaded.path)
    rows = _ROWS_OF_SAMPLE if has_request and outputs.startswith((_ROWS, _NUMBERS)) else ""
    return f"""\
a true sample comes from the model itself, for example where it was trained:
{rows}{outputs}  sample = {{"request": {{"inputs": inputs}}, "response": {{"outputs": outputs}}}}
  sample = json.loads(json.dumps(sample), parse_constant=lambda each: None)  # JSON has no NaN: null is what is missing
  Path("sample.json").write_text(json.dumps(sample))"""


_HOW_TO_UNPICKLE = {
    MLFLOW: 'save it again with `mlflow.sklearn.save_model(model, "…", serialization_format="skops")`',
    "sklearn": "save it again, `skops.io.dump(model, 'model.skops')`, and leave the pickle out",
}

_MOST_INPUTS = 8
_MOST_REMARKED = 200
_VOWELS = ("a", "e", "i", "o", "u", "mlflow", "xg")  # as they are spoken


def init(arguments: Namespace, screen: Screen) -> int:
    folder = _folder(arguments.path)
    target = folder / MANIFEST_NAME
    if target.exists() and not arguments.force:
        raise WrongUsageError(
            f"{target} is there already",
            fix=f"`placet check {shlex.quote(str(folder))}` says what the rules think of it; --force writes over it",
        )
    manifest = _manifest(folder, arguments.model)
    found = _pins(folder, manifest)
    packages = _packages(folder, manifest)
    if text := _requirements(manifest, found, packages):
        with (folder / REQUIREMENTS_NAME).open("x", encoding="utf-8") as file:  # never over one that is there
            file.write(text)
        manifest = msgspec.structs.replace(manifest, requirements=REQUIREMENTS_NAME)
    took_example = False
    if request := _example(folder, manifest):
        with (folder / SAMPLE_NAME).open("xb") as sample:
            sample.write(msgspec.json.format(msgspec.json.encode({"request": request})) + b"\n")
        model = msgspec.structs.replace(manifest.model, sample=SAMPLE_NAME)
        manifest, took_example = msgspec.structs.replace(manifest, model=model), True
    loaded = served(folder, manifest.model)
    inputs, outputs = _signature(folder, loaded)
    target.write_text(dump_manifest(manifest) + _remark(inputs, outputs), encoding="utf-8")
    lacks_answer = _lacks_answer(folder, manifest.model.sample)
    missing = _missing(manifest, lacks_answer=lacks_answer)
    _warn_of_a_pickle(folder, manifest, screen)
    of = manifest.model.format
    screen.note(
        f"{manifest.project}: {'an' if of.startswith(_VOWELS) else 'a'} {of} model in {manifest.model.path}"
    )
    if found is not None:
        pinned = ", ".join(found.requirements)
        screen.note(f"wrote {REQUIREMENTS_NAME} with {pinned}: {origin(found, manifest.model.path)}")
    elif text:
        screen.note(
            f"wrote {REQUIREMENTS_NAME}, which names no package yet; a model that needs none leaves it so"
        )
    if took_example:
        screen.note(
            f"wrote {SAMPLE_NAME} with the input example that MLflow kept, which has no answer beside it"
        )
    if packages and (text or manifest.requirements is None):
        screen.note(f"it imports {', '.join(packages)}: their packages belong in {REQUIREMENTS_NAME}")
    if inputs is not None and inputs.in_order:
        screen.note(f"it takes {_told(inputs)}")
    _tell_of_code(folder, manifest, screen)
    if (folder / DOCKERFILE).is_file():
        screen.note(
            f"its {DOCKERFILE} is not used: placet makes the image of {REQUIREMENTS_NAME};"
            f" `build: {{dockerfile: {DOCKERFILE}}}` in {MANIFEST_NAME} has it built, where the platform allows that"
        )
    if missing:
        screen.note("still to fill in:")
        width = max(map(len, missing))
        for name, what in missing.items():
            screen.note(f"  {name:<{width}}  {what}")
    if "model.sample" in missing:
        screen.note(_how_to_sample(loaded, has_request=lacks_answer))
    screen.note(f"then `placet check {shlex.quote(str(folder))}` says what the rules think of it")
    screen.result(str(target))
    screen.document(
        {
            "path": str(target),
            "manifest": msgspec.to_builtins(manifest),
            "missing": list(missing),
            "pinned": list(found.requirements) if found else [],
            "takes": [
                {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
                for each in (inputs.in_order if inputs else ())
            ],
            "gives": [
                {"name": each.name, "datatype": each.datatype, "shape": list(each.shape or ())}
                for each in outputs
            ],
        }
    )
    return exits.DONE


def _example(folder: Path, manifest: Manifest) -> dict[str, Any] | None:
    """A request that the model's folder keeps, where there is no sample and the model takes it."""
    loaded = served(folder, manifest.model)
    if manifest.model.sample is not None or loaded.example is None:
        return None
    return None if sample_problems(loaded.example, _signature(folder, loaded)[0]) else loaded.example


def _signature(folder: Path, loaded: Served) -> tuple[Inputs | None, tuple[Output, ...]]:
    """What the model takes and what it gives, as far as its files have it."""
    said = learned(folder, loaded)
    given = said.outputs or Outputs()
    outputs = (given.prediction, given.probabilities, *given.by_name)
    return written_down(folder, loaded) or said.inputs, tuple(each for each in outputs if each)


def _remark(inputs: Inputs | None, outputs: Sequence[Output]) -> str:
    """The signature as lines that nobody has to keep true: what counts is what the model's own files say."""
    takes = inputs.in_order if inputs else ()
    named = [each for each in takes[:_MOST_REMARKED] if each.name]
    if not takes and not outputs:
        return ""
    lines = [
        "What the model takes and gives, as its files say; `placet check` holds the sample against it.",
        "inputs:" if takes else "",
        *(f"  {_of_tensor(each)}" for each in named),
        f"  {_nameless(takes)}" if takes and not named else "",
        f"  and {len(takes) - len(named)} more" if named and len(takes) > len(named) else "",
        "outputs:" if outputs else "",
        *(f"  {_of_tensor(each)}" for each in outputs),
    ]
    # A name may have any characters, and a line that it began would be the manifest's.
    plain = ("".join(one if one.isprintable() else " " for one in line) for line in lines if line)
    return "".join(f"# {line}\n" for line in plain)


def _nameless(inputs: Sequence[object]) -> str:
    if len(inputs) == 1:
        return "rows of 1 value, which has no name"
    return f"rows of {len(inputs)} values, which have no names"


def _told(inputs: Inputs) -> str:
    """What a sample is held against, as far as files have it: names, datatypes and what a row is."""
    told = [_of_tensor(each) for each in inputs.in_order[:_MOST_INPUTS] if each.name]
    if not told:
        return _nameless(inputs.in_order)
    more = len(inputs.in_order) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _of_tensor(each: Input | Output) -> str:
    sizes = "x".join("n" if size == ANY else str(size) for size in each.shape or ())
    kind = ", ".join(filter(None, (each.datatype, sizes and f"{sizes} a row")))
    return f"{each.name:.60} ({kind})" if kind else f"{each.name:.60}"


def _lacks_answer(folder: Path, sample: str | None) -> bool:
    """Whether it is a request alone; what else is wrong with a sample `placet check` says."""
    if sample is None or (folder / sample).stat().st_size > MAX_SAMPLE_BYTES:
        return False
    try:
        said = msgspec.json.decode((folder / sample).read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(said, dict) and "request" in said and said.get("response") is None


def _pins(folder: Path, manifest: Manifest) -> Pins | None:
    """What the model's file says of a requirements.txt that is not there."""
    if manifest.requirements is not None:
        return None
    recognised = recognise_file(folder / manifest.model.path)
    return pins(folder / manifest.model.path, recognised) if recognised else None


def _requirements(manifest: Manifest, found: Pins | None, packages: list[str]) -> str | None:
    """What to write to a requirements.txt that is not there; none where only a person knows."""
    if found is not None:
        return requirements_text(found, manifest.model.path)
    if manifest.requirements is not None or manifest.model.format != PYTHON:
        return None
    needs = f", for what {manifest.model.path} imports: {', '.join(packages)}" if packages else ""
    return (
        f"# Written by `placet init`: one name==version a line{needs}.\n"
        "# The image has Python and NumPy without any.\n"
    )


def _packages(folder: Path, manifest: Manifest) -> list[str]:
    """What the code of a model, or of the module for its weights, imports that is neither Python's nor its own."""
    code = _code(folder, manifest)
    path = folder / (manifest.model.module or manifest.model.path)
    beside = {each.stem for each in path.parent.iterdir() if each.is_dir() or each.suffix == ".py"}
    return [name for name in code.imports if name not in sys.stdlib_module_names | beside] if code else []


def _code(folder: Path, manifest: Manifest) -> PythonModel | None:
    if manifest.model.module:
        return read_module(folder / manifest.model.module)
    return read_python(folder / manifest.model.path) if manifest.model.format == PYTHON else None


def _warn_of_a_pickle(folder: Path, manifest: Manifest, screen: Screen) -> None:
    """Before anybody writes the rest, which would be in vain."""
    loaded = served(folder, manifest.model)
    if loaded.serialization in ("pickle", "joblib"):
        screen.error(
            f"{loaded.path} is written as {loaded.serialization}, and will be refused: a pickle is code",
            rule="model.pickle-by-exception",
            fix=f"{_HOW_TO_UNPICKLE[manifest.model.format]}; or ask for an exception: `placet exception request"
            f" {manifest.project} --rule model.pickle-by-exception --days 30 --reason …`",
        )
    if loaded.serialization == PYFUNC:
        screen.error(
            f"only MLflow itself loads {loaded.path}, which runs what is in it; without an exception it is refused",
            rule="model.pickle-by-exception",
            fix="save the model with a flavour that is served from its file, if it has one; `placet check` says more",
        )


def _tell_of_code(folder: Path, manifest: Manifest, screen: Screen) -> None:
    """Of a model in Python, or of the module for its weights, what its source says; nothing of it is run."""
    if manifest.model.path.endswith(WEIGHTS) and manifest.model.module is None:
        screen.note(_HOW_TO_MODULE)
    code = _code(folder, manifest)
    for problem in code.problems if code else ():
        screen.note(f"it cannot be served yet: {problem}")


def _manifest(folder: Path, model: str | None) -> Manifest:
    try:
        return initial_manifest(folder, model)
    except SeveralModels as several:
        name = f"placet init {shlex.quote(str(folder))} --model {shlex.quote(several.found[0])}"
        raise WrongUsageError(several.detail, fix=f"say which one is meant: `{name}`") from several


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise WrongUsageError(f"{str(path)!r} is no folder", fix="name the folder that the model is in")
    return path


def _missing(manifest: Manifest, *, lacks_answer: bool) -> dict[str, str]:
    """What the folder does not say, with what to write there."""
    sample = None if lacks_answer else manifest.model.sample
    of_sample = f"`response` in {manifest.model.sample}, the answer that is expected" if lacks_answer else ""
    wanted = (
        ("governance.purpose", manifest.governance.purpose, "what the model is for, in a sentence"),
        ("governance.riskClass", manifest.governance.risk_class, "minimal, limited or high"),
        ("governance.owner", manifest.governance.owner, "the mail address of who answers for it"),
        ("governance.data", manifest.governance.data, "the data it was made from, with licence"),
        ("model.sample", sample, of_sample or "a file with a request and its expected answer"),
        ("requirements", manifest.requirements, "a file with the packages that the model needs"),
        ("card", manifest.card, "a model card: a README.md will do"),
    )
    return {name: what for name, value, what in wanted if not value}
