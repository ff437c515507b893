"""What the platform would say of a folder, found out here: the rules of stage `submit`.

What is judged is the archive that would be sent, unpacked again, so that an ignored file cannot make a difference
between here and the platform. Nothing is sent, and nothing of the project is run or loaded.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from placet.client import Operation, Refusal, Verdict
from placet.errors import Refused
from placet.projects import (
    MANIFEST_NAME,
    Manifest,
    dump_manifest,
    parse_manifest,
    read_manifest,
    trial_manifest,
    unpack,
)
from placet.projects.ignoring import IGNORE_FILE
from placet.rules import Engine, Policy, excepted, gather_readable_facts, load_shipped
from placet.rules import Verdict as Judged
from placet.rules.sentences import MAX_LISTED


@dataclass(frozen=True, kw_only=True)
class Examined:
    """`project` is empty where placet.yaml has no name that can be read."""

    project: str
    source: str
    judged: tuple[Judged, ...]
    manifest: Manifest
    facts: Mapping[str, Any]
    requirements_refused: tuple[str, ...] = ()

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(_reason(verdict) for verdict in self.judged if verdict.is_refusal)

    @property
    def may_be_excepted(self) -> bool:
        """Whether a rule refuses that admits exceptions, of which the platform alone knows."""
        return any(verdict.is_refusal and verdict.exceptable for verdict in self.judged)

    def and_judged(self, more: Sequence[Judged]) -> Examined:
        return replace(self, judged=(*self.judged, *more))

    def with_exceptions(self, exceptions: Mapping[str, str]) -> Examined:
        """`exceptions` are ids by rule."""
        return replace(self, judged=excepted(self.judged, exceptions))

    @property
    def warnings(self) -> tuple[Refusal, ...]:
        said = (
            _reason(verdict) for verdict in self.judged if not verdict.is_passed and not verdict.is_refusal
        )
        dockerfile = self.manifest.build.dockerfile
        return (*said, *(() if dockerfile is None else (_left_to_the_platform(dockerfile),)))

    @property
    def tally(self) -> str:
        passed = sum(verdict.is_passed for verdict in self.judged)
        count = sum(verdict.exception is not None for verdict in self.judged)
        return f"{passed} of {len(self.judged)} rules pass" + (f", {count} excepted" if count else "")

    def operation(
        self,
        command: str,
        *,
        project: str | None = None,
        complaints: tuple[Refusal, ...] = (),
        besides: tuple[Refusal, ...] = (),
    ) -> Operation:
        """As the platform would tell it, had it been asked. `complaints` are about files that are not even packed,
        `besides` about what no rule sees."""
        refusals = (*complaints, *self.refusals, *besides)
        return Operation(
            command=command,
            project=project or self.project or None,
            source=self.source,
            state="refused" if refusals else "cleared",
            refusals=refusals,
            verdicts=tuple(
                Verdict(rule=each.rule, result=each.result, stage=each.stage, exception=each.exception)
                for each in self.judged
            ),
        )


def look_at_manifest(folder: Path) -> bytes | None:
    """The placet.yaml to send along with a folder that MLflow wrote and that has none: it is a trial then.

    Raises `Refused` with every mistake in the folder's own, before anything is done with the folder.
    """
    manifest = folder / MANIFEST_NAME
    try:
        data = manifest.read_bytes()
    except FileNotFoundError as missing:
        made = trial_manifest(folder)
        if made is not None:
            return dump_manifest(made).encode()
        raise Refused(
            f"{folder} has no {MANIFEST_NAME}", fix=f"`placet init {shlex.quote(str(folder))}` writes one"
        ) from missing
    except OSError as unreadable:
        raise Refused(
            f"{manifest} cannot be read: {unreadable.strerror}", fix="it has to be a file that you may read"
        ) from unreadable
    parse_manifest(data)
    return None


def examine(
    archive: Path,
    *,
    project: str | None = None,
    most: int = MAX_LISTED,
    policies: Sequence[Policy] | None = None,
) -> Examined:
    """The verdict of every rule on a packed folder, to be deployed under another name than its own if one is given.

    `most` entries of a list are named in words; without `policies` those that ship are asked.

    Of a placet.yaml with mistakes it is what can be told of the rest. Raises `Refused` for a folder that leaves it out.
    """
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        copy = Path(scratch) / "project"
        contents = unpack(archive, copy)
        if contents.manifest is None:
            raise Refused(
                f"{IGNORE_FILE} leaves {MANIFEST_NAME} out", fix=f"take that pattern out of {IGNORE_FILE}"
            )
        reading = read_manifest(contents.manifest)
        manifest = reading.value
        # Whether it is allowed, the platform alone knows: `Examined.warnings` says so.
        facts = gather_readable_facts(copy, reading, now=now, dockerfiles=True)
        if project is not None:
            facts["project"]["name"] = project
        with Engine(most=most) as engine:
            asked = load_shipped() if policies is None else policies
            judged = engine.evaluate_sync(asked, "submit", facts, partial=bool(reading.problems))
    return Examined(
        project=project or manifest.project,
        source=contents.digest,
        judged=judged,
        manifest=manifest,
        facts=facts,
        requirements_refused=tuple(facts.get("requirements", {}).get("refused", ())),
    )


def _left_to_the_platform(dockerfile: str) -> Refusal:
    return Refusal(
        rule="build.dockerfile-allowed",
        why=f"the image is built from {dockerfile}, which not every platform allows; nothing here can tell",
        fix="ask whoever runs the platform whether PLACET_DOCKERFILES is allow, and whether it runs containers",
    )


def _reason(verdict: Judged) -> Refusal:
    return Refusal(rule=verdict.rule, why=verdict.why or verdict.title, fix=verdict.fix)
