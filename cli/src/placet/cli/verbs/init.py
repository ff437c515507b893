"""`placet init`: what a folder says about its model, written down. Nothing is sent."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

import msgspec

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen
from placet.projects import MANIFEST_NAME, Manifest, dump_manifest
from placet.projects.formats import SeveralModels, initial_manifest

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
    target.write_text(dump_manifest(manifest), encoding="utf-8")
    missing = _missing(manifest)
    of = manifest.model.format
    screen.note(
        f"{manifest.project}: {'an' if of.startswith(_VOWELS) else 'a'} {of} model in {manifest.model.path}"
    )
    if missing:
        screen.note("still to fill in:")
        width = max(map(len, missing))
        for name, what in missing.items():
            screen.note(f"  {name:<{width}}  {what}")
    screen.note(f"then `placet check {shlex.quote(str(folder))}` says what the rules think of it")
    screen.result(str(target))
    screen.document(
        {"path": str(target), "manifest": msgspec.to_builtins(manifest), "missing": list(missing)}
    )
    return exits.DONE


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


def _missing(manifest: Manifest) -> dict[str, str]:
    """What the folder does not say, with what to write there."""
    wanted = (
        ("governance.purpose", manifest.governance.purpose, "what the model is for, in a sentence"),
        ("governance.riskClass", manifest.governance.risk_class, "minimal, limited or high"),
        ("governance.owner", manifest.governance.owner, "the mail address of who answers for it"),
        ("governance.data", manifest.governance.data, "the data it was made from, with licence"),
        ("model.sample", manifest.model.sample, "a file with a request and its expected answer"),
        ("requirements", manifest.requirements, "a file with the packages that the model needs"),
        ("card", manifest.card, "a model card: a README.md will do"),
    )
    return {name: what for name, value, what in wanted if not value}
