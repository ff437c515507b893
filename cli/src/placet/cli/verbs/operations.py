"""Verbs that ask the platform for something, and see it through to its end."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime

import msgspec

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.progress import Progress, progress
from placet.cli.report import conclude, describe, describe_project, refusals_of, tell_call
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import in_days
from placet.cli.submission import (
    Folder,
    GitSource,
    find_image,
    how_to_call,
    how_to_call_what_serves,
    meant,
    submit,
    submit_git,
)
from placet.cli.verbs import standing
from placet.client import Client, Command, ModelDetail, Operation, RuleException
from placet.errors import PlacetError, Refused, Unavailable, Unreadable

Ask = Callable[[Client, Progress], Awaitable[Operation]]


async def deploy(arguments: Namespace, screen: Screen) -> int:
    if arguments.dry_run:
        from placet.cli.verbs.rehearsal import rehearse  # it judges, which takes more than a deploy to load

        return await rehearse(arguments, screen)
    return await _submit("deploy", arguments, screen)


async def build(arguments: Namespace, screen: Screen) -> int:
    return await _submit("build", arguments, screen)


async def renew(arguments: Namespace, screen: Screen) -> int:
    return await _name("renew", arguments, screen)


async def rollback(arguments: Namespace, screen: Screen) -> int:
    async def ask(platform: Client, steps: Progress) -> Operation:
        return await platform.command("rollback", project=arguments.project, release=arguments.to)

    return await _carry_out("rollback", arguments.project, ask, arguments, screen)


async def scale(arguments: Namespace, screen: Screen) -> int:
    async def ask(platform: Client, steps: Progress) -> Operation:
        return await platform.command("scale", project=arguments.project, replicas=arguments.replicas)

    return await _carry_out("scale", arguments.project, ask, arguments, screen)


async def promote(arguments: Namespace, screen: Screen) -> int:
    async def ask(platform: Client, steps: Progress) -> Operation:
        return await platform.command("promote", project=arguments.project, weight=arguments.weight)

    return await _carry_out("promote", arguments.project, ask, arguments, screen)


async def abort(arguments: Namespace, screen: Screen) -> int:
    return await _name("abort", arguments, screen)


async def start(arguments: Namespace, screen: Screen) -> int:
    return await _name("start", arguments, screen)


async def stop(arguments: Namespace, screen: Screen) -> int:
    return await _name("stop", arguments, screen)


async def delete(arguments: Namespace, screen: Screen) -> int:
    return await _name("delete", arguments, screen)


async def status(arguments: Namespace, screen: Screen) -> int:
    subject: str | None = arguments.subject
    if (subject is None) != arguments.platform or (arguments.platform and arguments.follow):
        raise WrongUsageError("say whose status", fix="give a project, an operation, or --platform alone")
    if subject is None:
        return await standing.tell(screen)
    async with connect() as platform:
        if subject.startswith("0"):  # an operation's id; no project's name does
            operation = await _status_of_operation(platform, subject, arguments, screen)
        else:
            operation = await _status_of_project(platform, subject, arguments, screen)
    return exits.of_state(operation.state) if arguments.follow else exits.DONE


async def _status_of_operation(platform: Client, id: str, arguments: Namespace, screen: Screen) -> Operation:
    operation = await platform.operation(id)
    if arguments.follow:
        operation = await see_through(platform, operation, screen)
    since = await _since(platform, operation)
    if arguments.follow:
        conclude(screen, operation, since=since, has_log=await _has_log(platform, operation))
    else:
        describe(screen, operation, since=since)
    now = None if since is None else {"release": since.release, "state": since.state}
    screen.document({**operation.to_json(), "now": now})
    return operation


async def _status_of_project(
    platform: Client, project: str, arguments: Namespace, screen: Screen
) -> Operation:
    """The last operation of the project."""
    model = await platform.model(project)
    operation = model.operation or Operation(state=model.state)
    if arguments.follow:
        operation = await see_through(platform, operation, screen)
        model = await platform.model(project)
    now = _now(model)
    describe_project(screen, model, now, operation, observed=model.observed, beside=_beside(project, model))
    observed = None if model.observed is None else model.observed.to_json()
    screen.document(
        {
            **now.to_json(),
            "detail": model.detail,
            "trial": model.trial,
            "certifiedUntil": model.certified_until,
            "certificateState": model.certificate_state,
            "lapsing": model.lapsing,
            "awaits": model.awaits,
            "replicas": model.replicas,
            "canary": None if model.canary is None else model.canary.to_json(),
            "aborted": None if model.aborted is None else model.aborted.to_json(),
            "observed": observed,
            "warnings": [warning.to_json() for warning in model.warnings],
            "reviewsOwed": [review.to_json() for review in model.reviews_owed],
            "last": operation.to_json(),
        }
    )
    return operation


def _beside(project: str, model: ModelDetail) -> Iterator[str]:
    """What else there is to say of a project: what serves beside its release, what is to be looked at."""
    if model.canary is not None:
        yield f"canary       release {model.canary.release}, with {model.canary.weight} % of the requests"
        yield f"  placet promote {project}, or: placet abort {project}"
    if model.aborted is not None:
        yield f"aborted      release {model.aborted.release}, a canary: {model.aborted.why}"
        if model.aborted.fix:
            yield f"  {model.aborted.fix}"
    if model.replicas is not None and model.replicas > 1:
        yield f"replicas     {model.replicas}"
    if model.lapsing and model.certified_until is not None:
        at = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
        left = in_days(datetime.fromisoformat(model.certified_until) - at)
        yield f"lapsing      its certificate ends {left}: placet certificate renew {project}"
    for warning in model.warnings:
        yield f"warning      {warning.rule}: {warning.why}"
        if warning.fix:
            yield f"  {warning.fix}"
    for review in model.reviews_owed:
        yield (
            f"owed         a review of {review.certificate}, release {review.release}, since {review.owed_at}: the"
            " glass was broken for it"
        )
        yield f"  placet approve {project} --review {review.certificate} --reason …"


async def _since(platform: Client, operation: Operation) -> ModelDetail | None:
    """What became of the project after the operation had brought it somewhere; none if it is there still."""
    if operation.project is None or operation.state not in ("live", "stopped", "deleted"):
        return None
    model = await platform.model(operation.project)
    if operation.share is not None and model.canary and model.canary.release == operation.release:
        return None  # beside what serves
    is_another = operation.state == "live" and model.release != operation.release
    return model if model.state != operation.state or is_another else None


def _now(model: ModelDetail) -> Operation:
    """A project's one release as it is, with the story of the operation that brought it there."""
    cause = model.cause or Operation(state=model.state)
    return msgspec.structs.replace(
        cause,
        project=model.project,
        release=model.release,
        source=model.source,
        image=model.image,
        certificate=model.certificate,
        state=model.state,
        url=model.url,
        refusals=model.refusals or cause.refusals,
    )


async def _submit(command: Command, arguments: Namespace, screen: Screen) -> int:
    source, project = meant(arguments.source), arguments.project
    canary: int | None = arguments.canary if command == "deploy" else None

    async def ask(platform: Client, steps: Progress) -> Operation:
        if isinstance(source, Folder):
            return await submit(platform, command, source, steps, project=project, canary=canary)
        if isinstance(source, GitSource):
            return await submit_git(platform, command, source, steps, project=project, canary=canary)
        image = await find_image(platform, source)
        return await platform.command(command, project=project, image=image.image, canary=canary)

    call = how_to_call(source) if isinstance(source, Folder) else (None, False)
    return await _carry_out(command, arguments.source, ask, arguments, screen, call=call)


async def _name(command: Command, arguments: Namespace, screen: Screen) -> int:
    async def ask(platform: Client, steps: Progress) -> Operation:
        return await platform.command(command, project=arguments.project)

    return await _carry_out(command, arguments.project, ask, arguments, screen)


async def _carry_out(
    command: Command,
    what: str,
    ask: Ask,
    arguments: Namespace,
    screen: Screen,
    *,
    call: tuple[str | None, bool] | None = None,
) -> int:
    async with connect() as platform:
        try:
            operation = await begin(platform, command, arguments.project, ask, screen)
        except asyncio.CancelledError as stop:
            raise exits.CutOffError(
                f"{command} of {what} was interrupted before the platform had answered"
            ) from stop
        if arguments.no_wait and not operation.is_over:
            screen.result(str(operation.operation))
            screen.document(operation.to_json())
            return exits.DONE
        operation = await see_through(platform, operation, screen)
        waiting = await _waiting(platform, operation)
        has_log = await _has_log(platform, operation)
        has_served = await _has_served(platform, operation)
        is_live = operation.state == "live" and operation.url is not None
        if call is not None and call[0] is None and is_live and operation.project is not None:
            call = await how_to_call_what_serves(platform, operation.project)
    conclude(screen, operation, of=what, waiting=waiting, has_log=has_log, has_served=has_served)
    if call is not None and operation.state == "live" and operation.url:
        body, is_public = call
        tell_call(screen, operation.url, body, is_public=is_public)
    screen.document(operation.to_json())
    return exits.of_state(operation.state)


async def _waiting(platform: Client, operation: Operation) -> tuple[RuleException, ...]:
    """The exceptions that were asked for and would have let it pass. None where the platform does not say: it is a
    hint, and the refusal stands without."""
    if operation.state != "refused" or operation.project is None:
        return ()
    rules = {refusal.rule for refusal in operation.refusals}
    with suppress(PlacetError):
        return tuple(
            each
            for each in await platform.exceptions(operation.project)
            if each.state == "requested" and each.rule in rules and each.source in (None, operation.source)
        )
    return ()


async def _has_log(platform: Client, operation: Operation) -> bool:
    """Whether a start that failed came to run anything. Of one that was turned down only an earlier one has a log."""
    steps = {step.name: step.state for step in operation.steps}
    if steps.get("live") != "failed" or steps.get("reserved") != "done" or operation.project is None:
        return False
    with suppress(PlacetError):
        async with platform.log(operation.project, release=operation.release, tail=1):
            return True
    return False


async def _has_served(platform: Client, operation: Operation) -> bool:
    """Whether what was stopped can be started again, as far as the platform says."""
    if operation.state != "stopped" or operation.project is None:
        return True
    with suppress(PlacetError):
        return (await platform.model(operation.project)).release is not None
    return True


async def begin(
    platform: Client, command: Command, project: str | None, ask: Ask, screen: Screen
) -> Operation:
    """The operation asked for. What is refused before there is one looks like any other refused one."""
    try:
        with progress(screen) as steps:
            return await ask(platform, steps)
    except (Refused, Unreadable) as no:
        return Operation(command=command, project=project, state="refused", refusals=refusals_of(no))


async def see_through(platform: Client, operation: Operation, screen: Screen) -> Operation:
    """The operation at its end. Whoever stops waiting is told how to go on; the operation itself does."""
    if operation.is_over or operation.operation is None:
        return operation
    try:
        with progress(screen) as steps:
            async with aclosing(platform.follow(operation.operation)) as changes:
                async for operation in changes:
                    steps.show(operation)
    except (asyncio.CancelledError, Unavailable) as cut:
        goes_on = "goes on" if isinstance(cut, asyncio.CancelledError) else "goes on when the platform does"
        screen.note(f"the operation {goes_on}; to follow it:\n  placet status {operation.operation} --follow")
        if isinstance(cut, asyncio.CancelledError):
            screen.document(operation.to_json())
        raise
    return operation
