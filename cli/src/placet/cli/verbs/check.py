"""`placet check`: the rules of stage `submit`, asked here, and what else is known to be refused."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from placet.cli import exits
from placet.cli.examination import Examined, examine, look_at_manifest
from placet.cli.exits import WrongUsageError
from placet.cli.foresight import Advised, advisories_about, exceptions_of, foresee
from placet.cli.in_force import InForce, policies_in_force, shipped
from placet.cli.packages import LookedUp, look_up
from placet.cli.report import refusals_of, tell_reasons, tell_verdicts
from placet.cli.room import AskedFor, ask_for_room
from placet.cli.screen import Screen
from placet.client import Operation, Refusal
from placet.errors import Refused
from placet.projects import MANIFEST_NAME, Complaints, DocumentRefused, pack
from placet.rules import Policy
from placet.rules.sentences import MAX_LISTED

EVERYTHING = sys.maxsize


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that is known of a folder. `unasked` are rules that could still refuse its image."""

    examined: Examined
    in_force: InForce
    looked: LookedUp
    room: AskedFor
    advised: Advised
    unasked: tuple[str, ...]


def check(arguments: Namespace, screen: Screen) -> int:
    folder: Path = arguments.path
    if not folder.is_dir():
        raise WrongUsageError(f"{str(folder)!r} is no folder", fix="name the folder of a model project")
    warnings: tuple[Refusal, ...] = ()
    found: Found | None = None
    try:
        found, complaints = find_out(
            folder, screen, is_offline=arguments.offline, most=EVERYTHING if arguments.verbose else MAX_LISTED
        )
    except Refused as no:
        complaints = refusals_of(no)
    except KeyboardInterrupt as stop:
        raise exits.CutOffError(f"the check of {folder} was interrupted") from stop
    if found is None:
        checked = Operation(command="check", state="refused", refusals=complaints)
    else:
        missing = tuple(each for no in found.looked.refused for each in refusals_of(no))
        checked = found.examined.operation(
            "check", complaints=complaints, besides=(*missing, *found.room.refused)
        )
        warnings = (*found.examined.warnings, *found.room.for_now)
        tell_verdicts(screen, checked.verdicts)
        screen.note()
    if checked.refusals:
        screen.error(f"{checked.project or folder} would be refused")
        tell_reasons(screen.note, checked.refusals)
        if any(re.search(r" and \d+ more\b", no.why) for no in checked.refusals):
            screen.note("--verbose names all that is cut short here")
        if found is not None and found.examined.may_be_excepted and found.in_force.left_open is not None:
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
    left = tuple(left_to_the_platform(found)) if found is not None else ()
    if left:
        screen.note("what only the platform can say:")
        for each in left:
            screen.note(f"  {each}")
    screen.document(
        {**checked.to_json(), "warnings": [each.to_json() for each in warnings], "leftToThePlatform": left}
    )
    return exits.of_state(checked.state)


def find_out(
    folder: Path, screen: Screen, *, is_offline: bool, most: int
) -> tuple[Found | None, tuple[Refusal, ...]]:
    """What can be told of the folder, if it can be read and packed, and what is wrong besides."""
    offline = "--offline was given" if is_offline else None
    in_force = shipped(left_open=offline) if offline else policies_in_force()
    examined, complaints = _examined(folder, most=most, policies=in_force.policies)
    if examined is None:
        return None, complaints
    looked, room = LookedUp(left_open=offline), AskedFor(left_open=offline)
    if not is_offline:
        screen.note("looking the packages up …")
        looked = look_up(folder, examined.manifest, examined.requirements_refused)
        room = ask_for_room(examined.project, examined.manifest)
    advised = advisories_about(looked.packages, screen) if looked.packages else Advised()
    foreseen, unasked = foresee(examined, in_force.policies, looked.declared, advised, most=most)
    examined = examined.and_judged(foreseen)
    if examined.may_be_excepted and examined.project and in_force.left_open is None:
        examined = examined.with_exceptions(exceptions_of(examined.project, examined.source))
    found = Found(
        examined=examined, in_force=in_force, looked=looked, room=room, advised=advised, unasked=unasked
    )
    return found, complaints


def left_to_the_platform(found: Found) -> Iterator[str]:
    """What nobody could be asked."""
    looked, room = found.looked, found.room
    if found.in_force.left_open is not None:
        yield f"whether other policies than those that ship are in force ({found.in_force.left_open})"
    asked = found.examined.manifest.resources
    gpus = f", {asked.gpu} GPU{'s' if asked.gpu > 1 else ''}" if asked.gpu else ""
    if room.left_open is not None:
        yield f"whether it has room for {asked.cpu} CPU, {asked.memory} of memory{gpus} ({room.left_open})"
    if looked.left_open is not None:
        yield f"whether its package index has what the requirements ask for ({looked.left_open})"
    if looked.packages and looked.undeclared:
        yield f"under which licences {', '.join(looked.undeclared)} are, of which the index tells nothing"
    if found.advised.left_open is not None:
        yield f"whether packages are known to be vulnerable ({found.advised.left_open})"
    if found.unasked:
        yield f"what {', '.join(found.unasked)} say of the image that is built"


def _examined(
    folder: Path, *, most: int, policies: Sequence[Policy]
) -> tuple[Examined | None, tuple[Refusal, ...]]:
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
                examined = examine(archive, most=most, policies=policies)
    return examined, tuple(each for no in complaints.found for each in refusals_of(no))
