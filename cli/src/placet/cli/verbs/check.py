"""`placet check`: the rules of stage `submit`, asked here.

What is judged is what would be sent: the folder is packed and unpacked again, so that an ignored file cannot
make a difference between here and the platform. Nothing is sent, and nothing of the project is run or loaded.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.report import refusals_of, tell_reasons, tell_verdicts
from placet.cli.screen import Screen
from placet.client import Operation, Refusal, Verdict
from placet.errors import Refused
from placet.projects import MANIFEST_NAME, pack, parse_manifest, unpack
from placet.rules import Engine, gather_submit_facts, load_shipped
from placet.rules import Verdict as Judged


def check(arguments: Namespace, screen: Screen) -> int:
    folder: Path = arguments.path
    if not folder.is_dir():
        raise WrongUsageError(f"{str(folder)!r} is no folder", fix="name the folder of a model project")
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    try:
        project, source, judged = _judge(folder, now)
    except Refused as no:
        project, source, judged = None, None, ()
        refusals = refusals_of(no)
    else:
        refusals = tuple(_refusal(verdict) for verdict in judged if verdict.is_refusal)
    warnings = tuple(
        _refusal(verdict) for verdict in judged if not verdict.is_passed and not verdict.is_refusal
    )
    checked = Operation(
        command="check",
        project=project,
        source=source,
        state="refused" if refusals else "cleared",
        refusals=refusals,
        verdicts=tuple(Verdict(rule=each.rule, result=each.result, stage=each.stage) for each in judged),
    )
    if judged:
        tell_verdicts(screen, checked.verdicts)
        screen.note()
    if refusals:
        screen.error(f"{project or folder} would be refused")
        tell_reasons(screen.note, refusals)
    else:
        screen.note(f"{project} would be cleared; `placet deploy {folder}` serves it")
    if warnings:
        screen.note("warnings, which refuse nothing:")
        tell_reasons(screen.note, warnings)
    screen.document(checked.to_json())
    return exits.of_state(checked.state)


def _judge(folder: Path, now: datetime) -> tuple[str, str, tuple[Judged, ...]]:
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        archive, copy = Path(scratch) / "source.tar", Path(scratch) / "project"
        pack(folder, archive)
        contents = unpack(archive, copy)
        if contents.manifest is None:
            raise Refused(f"{folder} has no {MANIFEST_NAME}", fix=f"`placet init {folder}` writes one")
        manifest = parse_manifest(contents.manifest)
        facts = gather_submit_facts(copy, manifest, now=now)
        with Engine() as engine:
            return manifest.project, contents.digest, engine.evaluate_sync(load_shipped(), "submit", facts)


def _refusal(verdict: Judged) -> Refusal:
    return Refusal(rule=verdict.rule, why=verdict.why or verdict.title, fix=verdict.fix)
