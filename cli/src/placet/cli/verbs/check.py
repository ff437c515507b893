"""`placet check`: the rules of stage `submit`, asked here."""

from __future__ import annotations

import shlex
import tempfile
from argparse import Namespace
from pathlib import Path

from placet.cli import exits
from placet.cli.examination import Examined, examine, look_at_manifest
from placet.cli.exits import WrongUsageError
from placet.cli.report import refusals_of, tell_reasons, tell_verdicts
from placet.cli.screen import Screen
from placet.client import Operation, Refusal
from placet.errors import Refused
from placet.projects import MANIFEST_NAME, Complaints, DocumentRefused, pack


def check(arguments: Namespace, screen: Screen) -> int:
    folder: Path = arguments.path
    if not folder.is_dir():
        raise WrongUsageError(f"{str(folder)!r} is no folder", fix="name the folder of a model project")
    warnings: tuple[Refusal, ...] = ()
    try:
        examined, complaints = _examined(folder)
    except Refused as no:
        examined, complaints = None, refusals_of(no)
    except KeyboardInterrupt as stop:
        raise exits.CutOffError(f"the check of {folder} was interrupted") from stop
    if examined is None:
        checked = Operation(command="check", state="refused", refusals=complaints)
    else:
        checked, warnings = examined.operation("check", complaints=complaints), examined.warnings
        tell_verdicts(screen, checked.verdicts)
        screen.note()
    if checked.refusals:
        screen.error(f"{checked.project or folder} would be refused")
        tell_reasons(screen.note, checked.refusals)
        if examined is not None and examined.may_be_excepted:
            screen.note(
                "an exception that was granted is the platform's to know: `placet deploy` asks it, nothing here can"
            )
    else:
        deploy = f"placet deploy {shlex.quote(str(folder))}"
        screen.note(f"{checked.project} would be cleared; `{deploy}` serves it")
        if not (folder / MANIFEST_NAME).exists():
            screen.note(
                f"as a trial, for some days, since it has no {MANIFEST_NAME};"
                f" `placet init {shlex.quote(str(folder))}` writes one"
            )
    if warnings:
        screen.note("warnings, which refuse nothing:")
        tell_reasons(screen.note, warnings)
    screen.document(checked.to_json())
    return exits.of_state(checked.state)


def _examined(folder: Path) -> tuple[Examined | None, tuple[Refusal, ...]]:
    """What the rules say of what can be read and packed, if there is any, and what is wrong besides."""
    complaints = Complaints(gathering=True)
    examined = manifest = None
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        archive = Path(scratch) / "source.tar"
        try:
            manifest = look_at_manifest(folder)
        except DocumentRefused as mistakes:
            complaints.found.append(mistakes)
        with complaints.file():
            pack(folder, archive, manifest=manifest, complaints=complaints)
        if archive.exists():
            with complaints.file():
                examined = examine(archive)
    return examined, tuple(each for no in complaints.found for each in refusals_of(no))
