"""From what a user calls a source to what the platform calls one.

A folder is packed, checked, and sent unless the platform has it; an image is looked up by as much of its digest as
was typed. Nothing of the project is run.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placet.cli.exits import WrongUsageError
from placet.cli.progress import Progress
from placet.cli.sizes import counted, in_bytes
from placet.client import Client, Command, Image, Operation, Refusal, Step
from placet.errors import Forbidden, PlacetError, Unknown

_DIGEST = re.compile(r"sha256:[0-9a-f]{1,64}")
_WHOLE = len("sha256:") + 64
MAX_LINE = 600
"""Characters of a sample's request that are shown as a line to copy."""


@dataclass(frozen=True)
class Folder:
    path: Path


@dataclass(frozen=True)
class ImageDigest:
    digest: str
    """Possibly only its beginning."""


@dataclass(frozen=True)
class GitSource:
    """What the platform is to fetch, as it was typed."""

    address: str


def meant(source: str) -> Folder | GitSource | ImageDigest:
    """What was typed. `WrongUsageError` for what cannot be deployed."""
    if source.startswith("sha256:"):
        if not _DIGEST.fullmatch(source):
            raise WrongUsageError(
                f"{source!r} is no digest",
                fix="write sha256: and up to 64 hexadecimal digits, as `placet list --images` shows them",
            )
        return ImageDigest(source)
    if re.match(r"(git\+)?https?://", source):
        return GitSource(source)
    if "://" in source or re.match(r"[\w.-]+@[\w.-]+:", source):
        raise WrongUsageError(
            f"{source!r} is a git address that no platform fetches from, since it has no keys",
            fix="write it as https://host/team/model.git@ref, or clone it and name the folder",
        )
    path = Path(source)
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise WrongUsageError(
            f"{source!r} {kind}",
            fix="name a folder, a git address (https://…@ref) or an image digest (sha256:…)",
        )
    return Folder(path)


async def submit(
    platform: Client,
    command: Command,
    folder: Folder,
    steps: Progress,
    *,
    project: str | None = None,
    canary: int | None = None,
) -> Operation:
    """The operation asked for of a folder, which is checked here first: what the rules refuse is not sent.

    Who may not give the command is told so before that: packing and sending a large model takes its time.
    """
    from placet.cli.examination import examine, look_at_manifest
    from placet.cli.report import refusals_of
    from placet.projects import DocumentRefused, pack

    manifest = None
    mistakes: tuple[Refusal, ...] = ()
    try:
        manifest = look_at_manifest(folder.path)
    except DocumentRefused as found:
        mistakes = refusals_of(found)
    await must_be_allowed(platform, command)
    with tempfile.TemporaryDirectory(prefix="placet-") as scratch:
        archive = Path(scratch) / "source.tar"
        with _timed(steps, "packed") as step:
            packed = await asyncio.to_thread(pack, folder.path, archive, manifest=manifest)
            step.detail = f"{counted(len(packed.files), 'file')}, {in_bytes(packed.size)}"
            if manifest is not None:
                step.detail += ", as a trial: it has no placet.yaml"
        with _timed(steps, "checked") as step:
            examined = await asyncio.to_thread(examine, archive, project=project)
            if examined.may_be_excepted and examined.project:
                granted = await granted_exceptions(platform, examined.project, packed.digest)
                examined = examined.with_exceptions(granted)
            if examined.refusals:
                retired = await _retired(platform)
                judged = tuple(each for each in examined.judged if each.policy not in retired)
                examined = replace(examined, judged=judged)
            step.detail = examined.tally
            checked = examined.operation(command, project=project, complaints=mistakes)
            if checked.refusals:
                step.state = "refused"
                step.detail = ", ".join(dict.fromkeys(no.rule or "placet.yaml" for no in checked.refusals))
        if checked.refusals:
            return checked
        with _timed(steps, "sent") as step:
            if await platform.has_source(packed.digest):
                step.detail = "the platform has it already"
            else:
                await platform.upload(archive, packed.digest, sent=_percent(steps, packed.size))
                step.detail = f"{packed.digest[:19]}…"
    return await platform.command(command, project=project, digest=packed.digest, canary=canary)


def _percent(steps: Progress, size: int) -> Callable[[int], None]:
    """Shows how much is sent, whenever that is another hundredth: a picture for each piece would take its time."""
    shown = -1

    def show(sent: int) -> None:
        nonlocal shown
        if (percent := sent * 100 // size) != shown:
            shown = percent
            steps.local(Step(name="sent", state="running", detail=f"{percent} % of {in_bytes(size)}"))

    return show


def how_to_call(folder: Folder) -> tuple[str | None, bool]:
    """What the folder's sample asks, in one line, or none; and whether anybody may ask."""
    from placet.cli.examination import look_at_manifest
    from placet.projects import MANIFEST_NAME, parse_manifest

    with suppress(PlacetError, OSError):
        data = look_at_manifest(folder.path) or (folder.path / MANIFEST_NAME).read_bytes()
        manifest = parse_manifest(data)
        return _sample_line(folder.path, manifest.model.sample), manifest.access == "public"
    return None, False


def _sample_line(folder: Path, sample: str | None) -> str | None:
    if sample is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return _line(json.loads((folder / sample).read_bytes())["request"])
    return None


def _line(request: Any) -> str | None:
    """Its first row, where it has rows; none where that is no line to copy."""
    if isinstance(request["inputs"], list):
        request = {**request, "inputs": request["inputs"][:1]}
    line = json.dumps(request, separators=(",", ":"), ensure_ascii=False)
    return line if len(line) <= MAX_LINE and line.isprintable() else None


async def how_to_call_what_serves(platform: Client, project: str) -> tuple[str | None, bool]:
    """The same of a model whose project is not here, as it says it itself."""
    with suppress(PlacetError):
        example = await platform.example(project)
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            return _line(example.request), example.access == "public"
        return None, example.access == "public"
    return None, False


async def submit_git(
    platform: Client,
    command: Command,
    source: GitSource,
    steps: Progress,
    *,
    project: str | None = None,
    canary: int | None = None,
) -> Operation:
    """The operation asked for of what the platform fetches: its rules see it there, nothing is checked here."""
    await must_be_allowed(platform, command)
    with _timed(steps, "fetched") as step:
        operation = await platform.command(command, project=project, git=source.address, canary=canary)
        step.detail = f"{(operation.source or '')[:19]}…"
    return operation


async def granted_exceptions(platform: Client, project: str, source: str) -> dict[str, str]:
    """For each rule the exception that holds longest for this source, as the certifier would use it."""
    exceptions = sorted(await platform.exceptions(project), key=lambda each: (each.until, each.exception))
    return {
        each.rule: each.exception
        for each in exceptions
        if each.state == "granted" and each.source in (None, source)
    }


async def _retired(platform: Client) -> frozenset[str]:
    """The policies that ship, and that the platform does not ask in the form in which they are known here."""
    policies = await platform.policies()
    return frozenset(each.policy for each in policies if each.shipped and each.state != "in-force")


async def must_be_allowed(platform: Client, command: Command) -> None:
    me = await platform.me()
    if me.commands is not None and command not in me.commands:
        raise Forbidden(
            f"this token may not {command} anything; its roles: {', '.join(me.roles)}",
            fix="ask an admin for one that may: placet token create --as NAME --role scientist",
        )


async def find_image(platform: Client, typed: ImageDigest) -> Image:
    """The one image whose digest begins so."""
    if len(typed.digest) == _WHOLE:
        return await platform.image(typed.digest)
    found = {image.image: image for image in await platform.images() if image.image.startswith(typed.digest)}
    match list(found.values()):
        case [image]:
            return image
        case []:
            raise Unknown(
                f"no image's digest begins with {typed.digest}", fix="`placet list --images` shows all"
            )
        case several:
            raise WrongUsageError(
                f"{typed.digest} begins {len(several)} images' digests",
                fix="type more of it; `placet list --images` shows them whole",
            )


@dataclass
class _Came:
    """What a step of this machine came to."""

    state: str = "done"
    detail: str | None = None


@contextmanager
def _timed(steps: Progress, name: str) -> Iterator[_Came]:
    began = time.monotonic()
    steps.local(Step(name=name, state="running"))
    came = _Came()
    try:
        yield came
    except BaseException as error:
        state = "failed" if isinstance(error, Exception) else "interrupted"
        steps.local(Step(name=name, state=state, seconds=time.monotonic() - began))
        raise
    steps.local(Step(name=name, state=came.state, seconds=time.monotonic() - began, detail=came.detail))
