"""What do rules see? Gathered from files and labels alone, alike by `placet check` and by the certifier.

Facts are plain JSON values and complete: what a project does not say is an empty text, a false or an empty list,
so that a rule can say what is wrong instead of that it could not be decided. Nobody's name, mail address or
free text stands outside `personal`, which rules may compare and no sentence may show. Nothing is loaded or run.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from placet.errors import Refused
from placet.projects import (
    DOCKERFILE,
    FORMATS,
    MLFLOW,
    MLMODEL,
    PYFUNC,
    PYTORCH,
    SAFETENSORS,
    Card,
    DocumentRefused,
    Manifest,
    PythonFunction,
    Reading,
    Recognised,
    Served,
    beyond_trust,
    is_skops_file,
    needs,
    no_python,
    outside_data,
    parse_card,
    program_problems,
    project_files,
    read_dockerfile,
    read_module,
    read_python,
    recognise_at,
    recognise_file,
    same_library,
    saved_with,
    scan_loaded,
    scan_pickle,
    served,
    syntax_problem,
    trusted_by_model,
    untrusted_types,
)
from placet.projects.card import MAX_CARD_BYTES
from placet.projects.manifest import Model
from placet.projects.pickles import JOBLIB_SUFFIXES, PICKLE_SUFFIXES, Finding
from placet.rules import imports
from placet.rules.evaluation import NOTHING, evaluated
from placet.rules.fitting import (
    MAX_SAMPLE_BYTES,
    Inputs,
    Learned,
    Outputs,
    answer_problems,
    learned,
    reference_problems,
    sample_problems,
    written_down,
)

Facts = dict[str, Any]

MAX_REQUIREMENTS_BYTES = 1024**2
MAX_REASON = 300
ARCHIVES = (".whl", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
_HASH = re.compile(r"\s--hash[= ]sha256:[0-9a-f]{64}(?=\s|$)")
SKOPS_SUFFIX = ".skops"
ONNX = "onnx"
PYTHON = "python"
PT2 = "pt2"
SKOPS = "skops"
SCIKIT_LEARN = "scikit-learn"


def gather_submit_facts(
    folder: Path,
    manifest: Manifest,
    *,
    now: datetime,
    dockerfiles: bool = False,
) -> Facts:
    """The facts of stage submit about an unpacked project.

    `dockerfiles` is whether this platform builds images from Dockerfiles. Every file counts: a source's own
    `.placetignore` must not hide from the rules what its archive brought along.
    """
    files = {path.as_posix(): folder / path for path in project_files(folder, ignoring=False)}
    look = _look_at_model(folder, manifest, files)
    # What a project's own server takes, no file of the model says.
    judged = look.loaded if manifest.build.dockerfile is None else None
    inputs, told = written_down(folder, judged), learned(folder, judged)
    return {
        "now": _moment(now),
        "project": {"name": manifest.project, "access": manifest.access},
        "source": {"files": len(files), "size": sum(path.stat().st_size for path in files.values())},
        "model": _model(manifest, look, files, told),
        "scan": _scan(look, files),
        "sample": _sample(manifest, files, inputs or told.inputs, told.outputs),
        "reference": _reference(manifest, files, inputs or _named_columns(told)),
        "requirements": _requirements(manifest, look, files),
        "build": _build(manifest, files),
        "platform": {"dockerfiles": dockerfiles},
        "resources": _resources(manifest),
        "governance": _governance(manifest),
        "data": _data(manifest),
        "evaluation": _evaluation(manifest, files),
        "monitoring": _monitoring(manifest),
        "card": _card(manifest, files),
        "personal": _personal(manifest),
    }


def gather_readable_facts(
    folder: Path, reading: Reading[Manifest], *, now: datetime, dockerfiles: bool = False
) -> Facts:
    """The same of a placet.yaml that cannot be read as a whole: what rests on unreadable parts is not among them.

    A list that holds something is right as far as it goes, so it stays. Whose format is not said is what it looks like.
    """
    manifest = _as_it_looks(folder, reading)
    facts = gather_submit_facts(folder, manifest, now=now, dockerfiles=dockerfiles)
    facts["project"]["name"] = facts["project"]["name"] or "?"
    _leave_out_unread_data(facts["data"], manifest, reading)
    for part, resting in _RESTS_ON.items():
        if reading.is_unread(part) or any(
            each.startswith((f"{part}.", f"{part}[")) for each in reading.unread
        ):
            for fact in resting:
                _forget(facts, fact.split("."))
    return facts


# By the part of placet.yaml: which facts cannot be told without it.
_RESTS_ON = {
    "access": ("project.access",),
    "model.format": ("model.format", "model.nearest", "model.served"),
    "model.path": (
        *("model.path", "model.file", "model.present", "model.size", "model.recognised", "model.served"),
        *("model.serialization", "model.unserved", "model.problems", "scan", "sample.problems"),
        *("reference.problems", "requirements.refused", "requirements.unnamed"),
        "requirements.otherThanSaved",
    ),
    "model.module": ("model.served", "model.problems", "requirements.unnamed"),
    "model.sample": ("sample", "reference.problems"),
    "model.reference": ("reference",),
    "requirements": ("requirements",),
    "build.dockerfile": ("build", "requirements.refused"),
    "resources.cpu": ("resources.millicores",),
    "resources.memory": ("resources.memory",),
    "resources.gpu": ("resources.gpu",),
    "resources.replicas": ("resources.minReplicas", "resources.maxReplicas"),
    "governance": ("personal",),
    "governance.purpose": ("governance.purposeWords",),
    "governance.riskClass": ("governance.riskClass",),
    "governance.owner": ("governance.ownerNamed",),
    "governance.builders": ("governance.builders",),
    "governance.oversight.owner": ("governance.overseerNamed",),
    "governance.oversight.stopOwner": ("governance.stopOwnerNamed",),
    "governance.oversight.stopTestedAt": ("governance.stopTestedAt",),
    "governance.data": ("data",),
    "governance.monitoring": ("monitoring",),
    "governance.trial": ("governance.trial",),
    "card": ("card",),
}


def _as_it_looks(folder: Path, reading: Reading[Manifest]) -> Manifest:
    manifest = reading.value
    named = tuple(
        data if data.name else msgspec.structs.replace(data, name=f"data set {number}")
        for number, data in enumerate(manifest.governance.data, start=1)
    )
    governance = msgspec.structs.replace(manifest.governance, data=named)
    manifest = msgspec.structs.replace(manifest, governance=governance)
    if not reading.is_unread("model.format") or reading.is_unread("model.path"):
        return manifest
    try:
        found = recognise_at(folder, manifest.model.path)
    except Refused:
        return manifest
    model = msgspec.structs.replace(manifest.model, format=found.format if found else "")
    return msgspec.structs.replace(manifest, model=model)


def _leave_out_unread_data(facts: Facts, manifest: Manifest, reading: Reading[Manifest]) -> None:
    """What is written there and cannot be read does not lack."""
    for fact, field in (
        ("withoutOrigin", "origin"),
        ("withoutLicence", "licence"),
        ("withoutPersonalData", "personalData"),
    ):
        unread = {
            data.name
            for index, data in enumerate(manifest.governance.data)
            if reading.is_unread(f"governance.data[{index}].{field}")
        }
        facts[fact] = [name for name in facts[fact] if name not in unread]


def _forget(facts: MutableMapping[str, Any], path: Sequence[str]) -> None:
    name, *below = path
    value = facts.get(name)
    if isinstance(value, dict):
        for each in below[:1] or list(value):
            _forget(value, [each, *below[1:]])
    elif not (isinstance(value, list) and value):
        facts.pop(name, None)


def gather_certify_facts(
    *,
    project: str,
    cleared_source: str,
    image: str,
    source: str,
    format: str,
    lock: str,
    base: str,
    python: str,
    builder: str,
    now: datetime,
    has_dockerfile: bool = False,
    risk_class: str = "",
    is_trial: bool = False,
    known_bases: Sequence[str] = (),
    approvals: Sequence[Approval] = (),
) -> Facts:
    """The facts of stage certify about an image, from its own labels; an empty text for a label it does not carry.

    What it is made of, how its project was assessed and what was reported of it come beside them (`contained`,
    `assessments`, `reports`).
    `cleared_source` is the source that stage submit cleared, `has_dockerfile` whether that is built from one, and
    `risk_class` and `is_trial` what it declares; `known_bases` are the bases this environment allows, and none of them
    named means any that is pinned. `approvals` are those that count.
    """
    return {
        "now": _moment(now),
        "project": {"name": project},
        "source": {"digest": cleared_source, "dockerfile": has_dockerfile},
        "image": {
            "digest": image,
            "source": source,
            "format": format,
            "lock": lock,
            "base": base,
            "python": python,
            "builder": builder,
        },
        "governance": {"riskClass": risk_class, "trial": is_trial},
        "platform": {"bases": sorted(known_bases)},
        "approvals": {
            "people": len({each.by for each in approvals}),
            "roles": sorted({role for each in approvals for role in each.roles}),
            "given": [{"roles": sorted(each.roles), "at": each.at} for each in approvals],
        },
        "personal": {"approvers": sorted({each.by for each in approvals})},
    }


def _moment(now: datetime) -> str:
    """To the millisecond, as events have it: what was published a moment before is in force."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Approval(NamedTuple):
    """Somebody approved, in these roles; `at` is RFC 3339."""

    by: str
    roles: Sequence[str]
    at: str


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is, what would be loaded of it, and else why nothing can be."""

    is_present: bool
    recognised: Recognised | None = None
    loaded: Served | None = None
    unserved: str = ""


def _look_at_model(folder: Path, manifest: Manifest, files: dict[str, Path]) -> _Look:
    said = manifest.model
    document = (PurePosixPath(said.path) / MLMODEL).as_posix()
    if not said.path or (
        said.path not in files and document not in files and not _is_folder_of_its_own(manifest, files)
    ):
        return _Look(is_present=False)
    try:
        recognised = recognise_at(folder, said.path)
        if recognised is None and _is_called_python(said):
            recognised = Recognised(format=PYTHON, serialization=PYTHON, path=said.path)
        if recognised is not None and not _is_known(said.format):
            # What its format is called is a mistake of its own, and hides nothing else.
            said = msgspec.structs.replace(said, format=recognised.format)
        return _Look(is_present=True, recognised=recognised, loaded=served(folder, said))
    except Refused as refusal:
        return _Look(is_present=True, unserved=refusal.detail[:MAX_REASON])


def _is_called_python(said: Model) -> bool:
    """By its manifest and its own name: what keeps it from being a model is in its code then, not in what it is."""
    return _meant_format(said) == PYTHON and PurePosixPath(said.path).suffix == ".py"


def _model(manifest: Manifest, look: _Look, files: dict[str, Path], told: Learned) -> Facts:
    said, recognised, loaded = manifest.model, look.recognised, look.loaded
    file, whole = _artifact(loaded, files) if loaded else ("", [])
    return {
        "format": said.format,
        "nearest": _nearest_format(said.format),
        "path": said.path,
        "file": file,
        "present": look.is_present,
        "size": sum(path.stat().st_size for path in whole),
        "recognised": recognised.format if recognised else "",
        "served": _served_as(said, loaded) if loaded else "",
        "serialization": recognised.serialization if recognised else "",
        "unserved": look.unserved,
        "problems": [*_problems(said, loaded, files), *told.problems] if whole and loaded else [],
    }


def _artifact(loaded: Served, files: dict[str, Path]) -> tuple[str, list[Path]]:
    """The model's file by its name, and all that it consists of: a folder, where MLflow loads it."""
    if loaded.serialization != PYFUNC:
        return loaded.path, [files[loaded.path]] if loaded.path in files else []
    folder = PurePosixPath(loaded.path)
    whole = [path for name, path in files.items() if PurePosixPath(name).is_relative_to(folder)]
    return (folder / MLMODEL).as_posix(), whole


def _meant_format(said: Model) -> str:
    """The format that its manifest names, or the one that was probably meant."""
    return _nearest_format(said.format) or said.format


def _nearest_format(name: str) -> str:
    """The format that was probably meant by a name that is none; empty for one that is, and for what is like none."""
    if _is_known(name):
        return ""
    known = sorted({MLFLOW, *(row.name for row in FORMATS)})
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def _is_known(format: str) -> bool:
    return format == MLFLOW or any(row.name == format for row in FORMATS)


def _is_folder_of_its_own(manifest: Manifest, files: dict[str, Path]) -> bool:
    """What a project serves by itself may be a folder of any kind."""
    below = f"{manifest.model.path}/"
    return manifest.build.dockerfile is not None and any(name.startswith(below) for name in files)


def _served_as(said: Model, loaded: Served) -> str:
    """Weights that a module of the project is given to are run by it: whoever wants no code wants none of it."""
    return PYTHON if said.module else loaded.format


def _problems(said: Model, loaded: Served, files: dict[str, Path]) -> list[str]:
    """What keeps the model server from serving the Python that the model consists of, or needs, or its answer."""
    if loaded.problem is not None:
        return [loaded.problem]
    if loaded.function is not None:
        return [*_other_python(loaded.function), *loaded.function.problems]
    if loaded.format == PYTHON or _is_called_python(said):
        code = read_python(files[loaded.path])
        return list(code.problems) if code else [no_python(files[loaded.path])]
    if loaded.serialization != SAFETENSORS:
        return (
            [f"{said.module} is for weights alone, and {loaded.path} brings its own graph"]
            if said.module
            else []
        )
    if said.module is None:
        return [
            f"{loaded.path} holds weights alone, and model.module names no Python file with their class Model"
        ]
    if said.module not in files:
        return [f"there is no file {said.module}, which placet.yaml names as the module"]
    module = read_module(files[said.module])
    if module is not None:
        return list(module.problems)
    broken = syntax_problem(files[said.module])
    return [f"{said.module}, {broken}" if broken else f"{said.module} has no class Model(torch.nn.Module)"]


def _other_python(function: PythonFunction) -> list[str]:
    """Bytecode is of one minor version. Which that is here, the images have as well."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    saved = ".".join((function.python or here).split(".")[:2])
    if function.pickled is None or saved == here:
        return []
    return [f"{function.pickled} has code that Python {saved} pickled, and Python {here} would load it"]


def _scan(look: _Look, files: dict[str, Path]) -> Facts:
    """Every pickle, ONNX file and exported program of the project is looked at, not only what it calls its model."""
    pickled = _pickled_code(look.loaded)
    loaded = (
        set(_artifact(look.loaded, files)[1])
        if look.loaded and look.loaded.serialization == PYFUNC
        else set()
    )
    findings: set[Finding] = set()
    scanned = []
    types: set[str] = set()
    unreadable_types = []
    outside: set[str] = set()
    programs: list[str] = []
    for name, path in files.items():
        suffix = path.suffix.lower()
        is_skops = suffix == SKOPS_SUFFIX or is_skops_file(path)
        is_called_pickle = is_skops or suffix in (*PICKLE_SUFFIXES, *JOBLIB_SUFFIXES)
        if is_called_pickle or path in loaded:
            # What MLflow's loaders unpickle has any name, and none of them skips what joblib does.
            scan = scan_loaded(path, is_pickle=name == pickled) if path in loaded else scan_pickle(path)
            scanned += [name] if is_called_pickle or scan.findings else []
            findings.update(_as_code(scan.findings) if name == pickled else scan.findings)
        if is_skops:
            found = untrusted_types(path)
            types.update(found or ())
            if found is None:
                unreadable_types.append(name)
        if path in loaded and path.name == MLMODEL:
            # MLflow has skops trust whatever the one beside a file says, and asks nobody.
            try:
                types.update(beyond_trust(trusted_by_model(path)))
            except DocumentRefused:
                unreadable_types.append(name)
        recognised = recognise_file(path, among=(ONNX, PYTORCH))
        if recognised and recognised.serialization == PT2:
            scanned.append(name)
            read = program_problems(path)
            programs += [
                f"{name}: {problem}" for problem in (["it cannot be followed"] if read is None else read)
            ]
        if recognised and recognised.format == ONNX:
            scanned.append(name)
            read = outside_data(path)
            outside.update([f"{name}, which cannot be followed"] if read is None else read)
    return {
        "files": scanned,
        "denied": _named(findings, "denied"),
        "unlisted": _named(findings, "unlisted"),
        "unreadable": sorted(
            f"{finding.where}: {finding.name}" for finding in findings if finding.judgement == "unreadable"
        ),
        "untrustedTypes": sorted(types),
        "unreadableTypes": unreadable_types,
        "outsideData": sorted(outside),
        "programs": programs,
    }


def _pickled_code(loaded: Served | None) -> str | None:
    """The file that MLmodel says has the model's code, by cloudpickle."""
    if loaded is None or loaded.function is None or loaded.function.pickled is None:
        return None
    return (PurePosixPath(loaded.path) / loaded.function.pickled).as_posix()


def _as_code(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Functions that cloudpickle puts together may do anything, whatever else the file reaches for. So it is people who
    say whether it may be loaded: they are told every name, and no name alone settles it."""
    is_code = any(finding.name.startswith("cloudpickle.") for finding in findings)
    for finding in findings:
        told = is_code and finding.judgement == "denied"
        yield msgspec.structs.replace(finding, judgement="unlisted") if told else finding


def _named(findings: set[Finding], judgement: str) -> list[str]:
    return sorted({finding.name for finding in findings if finding.judgement == judgement})


def _named_columns(told: Learned) -> Inputs | None:
    """Of a matrix without names, the sample tells as much."""
    return told.inputs if told.inputs is not None and len(told.inputs.names) > 1 else None


def _sample(
    manifest: Manifest, files: dict[str, Path], inputs: Inputs | None, outputs: Outputs | None
) -> Facts:
    name = manifest.model.sample
    document = _sample_document(manifest, files)
    said = document if isinstance(document, dict) else {}
    request = said.get("request")
    has_request = isinstance(request, dict)
    problems = sample_problems(request, inputs) if has_request else _not_json(files.get(name or ""))
    if has_request and said.get("response") is not None and manifest.build.dockerfile is None:
        problems += answer_problems(said["response"], request, outputs)
    return {
        "declared": name or "",
        "present": name in files,
        "readable": isinstance(document, dict),
        "hasRequest": has_request,
        "hasResponse": said.get("response") is not None,
        "problems": problems,
    }


def _not_json(path: Path | None) -> list[str]:
    """What Python's `json.dumps` writes, and no JSON has."""
    is_read = path is not None and path.stat().st_size <= MAX_SAMPLE_BYTES and _json(path) is None
    content = path.read_bytes() if path is not None and is_read else b""
    is_nan = re.search(rb"[:\[,]\s*-?(NaN|Infinity)\b", content)
    return ["JSON has no NaN and no Infinity; write null for a missing value"] if is_nan else []


def _reference(manifest: Manifest, files: dict[str, Path], inputs: Inputs | None) -> Facts:
    name = manifest.model.reference
    path = files.get(name) if name else None
    document = _sample_document(manifest, files)
    request = document.get("request") if isinstance(document, dict) else None
    is_of_mlflow = manifest.model.format == MLFLOW
    return {
        "declared": name or "",
        "present": path is not None,
        "problems": reference_problems(path, request, inputs, may_lack_columns=is_of_mlflow) if path else [],
    }


def _sample_document(manifest: Manifest, files: dict[str, Path]) -> Any:
    path = files.get(manifest.model.sample or "")
    return _json(path) if path else None


def _json(path: Path) -> Any:
    if path.stat().st_size > MAX_SAMPLE_BYTES:
        return None
    try:
        return msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _requirements(manifest: Manifest, look: _Look, files: dict[str, Path]) -> Facts:
    name = manifest.requirements
    path = files.get(name) if name else None
    text = _text(path) if path else ""
    pins: dict[str, set[str]] = {}
    unpinned, unreadable, refused = [], [], []
    named: list[str] = []
    if text is None:
        refused.append(f"no text in UTF-8 of at most {MAX_REQUIREMENTS_BYTES} bytes")
    for number, line in _requirement_lines(text or ""):
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, RecursionError):
            unreadable.append(f"line {number}")
            continue
        named.append(requirement.name)
        if requirement.url is not None or requirement.name.lower().endswith(ARCHIVES):
            refused.append(f"{requirement.name}, by an address or a file")
        elif not _is_pinned(requirement):
            unpinned.append(requirement.name)
        elif requirement.marker is None:
            pins.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
        else:
            pins.setdefault(f"{requirement.name} where {requirement.marker}", set())
    refused += [f"{each} in {len(versions)} versions" for each, versions in pins.items() if len(versions) > 1]
    if look.loaded is not None and manifest.build.dockerfile is None:
        refused += _too_old(look.loaded, pins)
        refused += _in_other_versions(pins)
    return {
        "declared": name or "",
        "present": path is not None,
        "pinned": len(pins),
        "unpinned": unpinned,
        "unreadable": unreadable,
        "refused": refused,
        "unnamed": _unnamed(manifest, look, files, named),
        "otherThanSaved": list(_other_than_saved(look.loaded, pins, files)) if look.loaded else [],
    }


def _other_than_saved(
    loaded: Served, pins: Mapping[str, set[str]], files: Mapping[str, Path]
) -> Iterator[str]:
    """What is pinned to another version than the one that saved the file, as far as the file says it."""
    if loaded.serialization != SKOPS or loaded.path not in files:
        return
    saved = saved_with(files[loaded.path]).get(SCIKIT_LEARN, "")
    try:
        version = Version(saved)
    except ValueError:  # the file is a stranger's
        return
    for pin in pins.get(SCIKIT_LEARN, ()):
        if not SpecifierSet(pin).contains(version, prereleases=True):
            yield f"{SCIKIT_LEARN}{pin}, and {loaded.path} was saved with {saved}"


def _too_old(loaded: Served, pins: Mapping[str, set[str]]) -> Iterator[str]:
    """What is pinned below the first version that a model like this is served with, as the builder holds it to."""
    for need in needs(loaded.format, loaded.path, pins):
        for pin in pins.get(need.name, ()):
            versions = [each.version for each in SpecifierSet(pin) if each.operator in ("==", "===")]
            if need.since and not any(_is_since(need.since, version) for version in versions):
                yield f"{need.name}{pin}, where this model needs {need}"


def _in_other_versions(pins: Mapping[str, set[str]]) -> Iterator[str]:
    """Packages that bring the same files: in one version one of them is left out of the image, in several none is."""
    for kept, others in same_library(pins):
        for name in others:
            if pins[name] != pins[kept]:
                each = (f"{package}{pin}" for package in (kept, name) for pin in sorted(pins[package]))
                yield f"{' and '.join(each)}, which are the same library"


def _is_since(first: str, version: str) -> bool:
    try:
        return Version(version) >= Version(first)
    except ValueError:  # no version, or one with more digits than Python reads
        return False


def _unnamed(manifest: Manifest, look: _Look, files: dict[str, Path], named: Sequence[str]) -> list[str]:
    """What the code of a model in Python, or of the module for its weights, imports and no requirement brings."""
    code = manifest.model.module or (
        look.loaded.path if look.loaded and look.loaded.format == PYTHON else None
    )
    return imports.unnamed(code, files, named) if code in files else []


def _build(manifest: Manifest, files: dict[str, Path]) -> Facts:
    """`loose` is what its Dockerfile takes from outside that nothing pins, `stray` one that nothing uses."""
    name = manifest.build.dockerfile
    path = files.get(name) if name else None
    found, problem = None, ""
    if path is not None:
        try:
            found = read_dockerfile(path.read_bytes())
        except Refused as refusal:
            problem = refusal.detail[:MAX_REASON]
    return {
        "dockerfile": name or "",
        "present": path is not None,
        "problem": problem,
        "base": found.base if found else "",
        "loose": list(found.loose) if found else [],
        "stray": DOCKERFILE if name is None and DOCKERFILE in files else "",
    }


def _text(path: Path) -> str | None:
    if path.stat().st_size > MAX_REQUIREMENTS_BYTES:
        return None
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _requirement_lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with their numbers, without comments, hashes and blank ones."""
    joined = text.replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(joined.splitlines(), start=1):
        stripped = _HASH.sub("", f" {line}".split(" #", 1)[0]).strip()
        if stripped:
            yield number, stripped


def _is_pinned(requirement: Requirement) -> bool:
    return any(
        specifier.operator == "===" or (specifier.operator == "==" and not specifier.version.endswith(".*"))
        for specifier in requirement.specifier
    )


def _resources(manifest: Manifest) -> Facts:
    asked = manifest.resources
    return {
        "millicores": asked.millicores,
        "memory": asked.memory_bytes,
        "gpu": asked.gpu,
        "minReplicas": asked.replicas.min,
        "maxReplicas": asked.replicas.max,
    }


def _governance(manifest: Manifest) -> Facts:
    said = manifest.governance
    oversight = said.oversight
    tested = oversight.stop_tested_at if oversight else None
    return {
        "ownerNamed": said.owner is not None,
        "builders": len(said.builders),
        "purposeWords": len((said.purpose or "").split()),
        "riskClass": said.risk_class or "",
        "overseerNamed": bool(oversight and oversight.owner),
        "stopOwnerNamed": bool(oversight and oversight.stop_owner),
        "stopTestedAt": tested.isoformat() if tested else "",
        "trial": said.trial,
    }


def _monitoring(manifest: Manifest) -> Facts:
    """The conditions as they hold in operation. Spans are in seconds."""
    said = manifest.governance.monitoring
    return {
        "metrics": [monitor.metric for monitor in said],
        "conditions": [
            {
                "metric": monitor.metric,
                "max": monitor.max,
                "recovery": monitor.recovers_at,
                "window": monitor.window_seconds,
                "minSamples": monitor.min_samples,
                "action": monitor.action,
                "retryAfter": monitor.retry_seconds,
            }
            for monitor in said
        ],
    }


def _data(manifest: Manifest) -> Facts:
    sets = manifest.governance.data
    return {
        "sets": [
            {"name": data.name, "originNamed": bool(data.origin), "licence": data.licence or ""}
            | ({} if data.personal_data is None else {"personalData": data.personal_data})
            for data in sets
        ],
        "names": [data.name for data in sets],
        "licences": sorted({data.licence for data in sets if data.licence}),
        "withoutOrigin": [data.name for data in sets if not data.origin],
        "withoutLicence": [data.name for data in sets if not data.licence],
        "withoutPersonalData": [data.name for data in sets if data.personal_data is None],
        "personal": [data.name for data in sets if data.personal_data],
    }


def _evaluation(manifest: Manifest, files: Mapping[str, Path]) -> Facts:
    declared = manifest.governance.evaluation
    return evaluated(declared, files.get(declared.predictions)) if declared is not None else dict(NOTHING)


def _card(manifest: Manifest, files: dict[str, Path]) -> Facts:
    name = manifest.card
    path = files.get(name) if name else None
    card = _readable_card(path) if path else None
    return {
        "declared": name or "",
        "present": path is not None,
        "readable": card is not None,
        "licence": (card.licence if card else None) or "",
        "words": card.words if card else 0,
        "sections": list(card.sections) if card else [],
        "results": len(card.results) if card else 0,
    }


def _readable_card(path: Path) -> Card | None:
    if path.stat().st_size > MAX_CARD_BYTES:
        return None
    try:
        return parse_card(path.read_bytes())
    except DocumentRefused:
        return None


def _personal(manifest: Manifest) -> Facts:
    said = manifest.governance
    oversight = said.oversight
    return {
        "owner": said.owner or "",
        "builders": list(said.builders),
        "purpose": said.purpose or "",
        "overseer": (oversight.owner if oversight else None) or "",
        "stopOwner": (oversight.stop_owner if oversight else None) or "",
        "origins": [data.origin or "" for data in said.data],
    }
