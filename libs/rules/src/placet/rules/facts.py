"""What do rules see? Gathered from files and labels alone, alike by `placet check` and by the certifier.

Facts are plain JSON values and complete: what a project does not say is an empty text, a false or an empty list,
so that a rule can say what is wrong instead of that it could not be decided. Nobody's name, mail address or
free text stands outside `personal`, which rules may compare and no sentence may show. Nothing is loaded or run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from placet.errors import Refused
from placet.projects import (
    MLMODEL,
    SAFETENSORS,
    Card,
    DocumentRefused,
    Manifest,
    Recognised,
    Served,
    outside_data,
    parse_card,
    program_problems,
    project_files,
    read_module,
    read_python,
    recognise_at,
    recognise_file,
    scan_pickle,
    served,
    untrusted_types,
)
from placet.projects.card import MAX_CARD_BYTES
from placet.projects.manifest import Model
from placet.projects.pickles import JOBLIB_SUFFIXES, PICKLE_SUFFIXES, Finding

Facts = dict[str, Any]

MAX_SAMPLE_BYTES = 8 * 1024**2
MAX_REQUIREMENTS_BYTES = 1024**2
MAX_REASON = 300
SKOPS_SUFFIX = ".skops"
ONNX = "onnx"
PYTHON = "python"
PT2 = "pt2"


def gather_submit_facts(
    folder: Path, manifest: Manifest, *, now: datetime, exceptions: Sequence[str] = ()
) -> Facts:
    """The facts of stage submit about an unpacked project.

    `exceptions` are the ids of rules that somebody excepted this project from. Every file counts: a source's own
    `.placetignore` must not hide from the rules what its archive brought along.
    """
    files = {path.as_posix(): folder / path for path in project_files(folder, ignoring=False)}
    return {
        "now": _moment(now),
        "project": {"name": manifest.project, "access": manifest.access},
        "source": {"files": len(files), "size": sum(path.stat().st_size for path in files.values())},
        "model": _model(folder, manifest, files),
        "scan": _scan(manifest, files),
        "sample": _sample(manifest, files),
        "requirements": _requirements(manifest, files),
        "resources": _resources(manifest),
        "governance": _governance(manifest),
        "data": _data(manifest),
        "monitoring": {"metrics": [monitor.metric for monitor in manifest.governance.monitoring]},
        "card": _card(manifest, files),
        "exceptions": sorted(exceptions),
        "personal": _personal(manifest),
    }


def gather_certify_facts(
    *,
    cleared_source: str,
    image: str,
    source: str,
    format: str,
    lock: str,
    base: str,
    python: str,
    builder: str,
    now: datetime,
    known_bases: Sequence[str] = (),
    exceptions: Sequence[str] = (),
) -> Facts:
    """The facts of stage certify about an image, from its own labels; an empty text for a label it does not carry.

    `cleared_source` is the source that stage submit cleared, `known_bases` the bases this environment allows; none
    of them named means any that is pinned.
    """
    return {
        "now": _moment(now),
        "source": {"digest": cleared_source},
        "image": {
            "digest": image,
            "source": source,
            "format": format,
            "lock": lock,
            "base": base,
            "python": python,
            "builder": builder,
        },
        "platform": {"bases": sorted(known_bases)},
        "exceptions": sorted(exceptions),
    }


def _moment(now: datetime) -> str:
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")


def _model(folder: Path, manifest: Manifest, files: dict[str, Path]) -> Facts:
    said = manifest.model
    document = (PurePosixPath(said.path) / MLMODEL).as_posix()
    is_present = said.path in files or document in files
    recognised, loaded, unserved = _looked_at(folder, said) if is_present else (None, None, "")
    artifact = files.get(loaded.path) if loaded else None
    return {
        "format": said.format,
        "path": said.path,
        "file": loaded.path if loaded else "",
        "present": is_present,
        "size": artifact.stat().st_size if artifact else 0,
        "recognised": recognised.format if recognised else "",
        "served": _served_as(said, loaded) if loaded else "",
        "serialization": recognised.serialization if recognised else "",
        "unserved": unserved,
        "problems": _problems(said, loaded, files) if artifact and loaded else [],
    }


def _served_as(said: Model, loaded: Served) -> str:
    """Weights that a module of the project is given to are run by it: whoever wants no code wants none of it."""
    return PYTHON if said.module else loaded.format


def _problems(said: Model, loaded: Served, files: dict[str, Path]) -> list[str]:
    """What keeps the model server from serving the Python that the model consists of, or needs."""
    if loaded.format == PYTHON:
        code = read_python(files[loaded.path])
        return list(code.problems) if code else []
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
    return list(module.problems) if module else [f"{said.module} has no class Model(torch.nn.Module)"]


def _looked_at(folder: Path, model: Model) -> tuple[Recognised | None, Served | None, str]:
    """What the model is, what would be loaded of it, and else why nothing can be."""
    try:
        return recognise_at(folder, model.path), served(folder, model), ""
    except Refused as refusal:
        return None, None, refusal.detail[:MAX_REASON]


def _scan(manifest: Manifest, files: dict[str, Path]) -> Facts:
    """Every pickle, ONNX file and exported program of the project is looked at, not only what it calls its model."""
    findings: set[Finding] = set()
    scanned = []
    types: set[str] = set()
    unreadable_types = []
    outside: set[str] = set()
    programs: list[str] = []
    for name, path in files.items():
        suffix = path.suffix.lower()
        if suffix in (*PICKLE_SUFFIXES, *JOBLIB_SUFFIXES, SKOPS_SUFFIX):
            scanned.append(name)
            findings.update(scan_pickle(path).findings)
        if suffix == SKOPS_SUFFIX:
            found = untrusted_types(path)
            types.update(found or ())
            if found is None:
                unreadable_types.append(name)
        recognised = recognise_file(path)
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


def _named(findings: set[Finding], judgement: str) -> list[str]:
    return sorted({finding.name for finding in findings if finding.judgement == judgement})


def _sample(manifest: Manifest, files: dict[str, Path]) -> Facts:
    name = manifest.model.sample
    path = files.get(name) if name else None
    document = _json(path) if path else None
    said = document if isinstance(document, dict) else {}
    return {
        "declared": name or "",
        "present": path is not None,
        "readable": isinstance(document, dict),
        "hasRequest": isinstance(said.get("request"), dict),
        "hasResponse": said.get("response") is not None,
    }


def _json(path: Path) -> Any:
    if path.stat().st_size > MAX_SAMPLE_BYTES:
        return None
    try:
        return msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _requirements(manifest: Manifest, files: dict[str, Path]) -> Facts:
    name = manifest.requirements
    path = files.get(name) if name else None
    lines = list(_requirement_lines(path)) if path else []
    pinned, unpinned, unreadable = 0, [], []
    for number, line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            unreadable.append(f"line {number}")
            continue
        if _is_pinned(requirement):
            pinned += 1
        else:
            unpinned.append(requirement.name)
    return {
        "declared": name or "",
        "present": path is not None,
        "pinned": pinned,
        "unpinned": unpinned,
        "unreadable": unreadable,
    }


def _requirement_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Logical lines with their numbers, without comments, hashes and blank ones."""
    if path.stat().st_size > MAX_REQUIREMENTS_BYTES:
        return
    text = path.read_text(encoding="utf-8", errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = f" {line}".split(" #", 1)[0].split(" --hash", 1)[0].strip()
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


def _data(manifest: Manifest) -> Facts:
    sets = manifest.governance.data
    return {
        "names": [data.name for data in sets],
        "licences": sorted({data.licence for data in sets if data.licence}),
        "withoutOrigin": [data.name for data in sets if not data.origin],
        "withoutLicence": [data.name for data in sets if not data.licence],
        "withoutPersonalData": [data.name for data in sets if data.personal_data is None],
        "personal": [data.name for data in sets if data.personal_data],
    }


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
