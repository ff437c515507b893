"""Operations and verdicts in words: what came out, which rule, and the next step."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from placet.cli.screen import Screen, in_words
from placet.cli.sizes import counted
from placet.client import Model, Observed, Operation, Refusal, RuleException, Step, Verdict
from placet.errors import PlacetError

_ENDS = {
    "live": "release {release} of {project} is live",
    "certified": "release {release} of {project} is built and certified",
    "stopped": "{project} is stopped; `placet start {project}` brings it back",
    "deleted": "{project} is deleted",
    "awaiting": "release {release} of {project} waits for people; it goes on when that is done",
    "refused": "{command} of {project} is refused",
    "failed": "{command} of {project} failed",
    "quarantined": "{project} is off its route: its certificate does not stand",
    "stalled": "the operation has gone silent; `placet status {operation} --follow` shows when it goes on",
}

_WRONG = ("refused", "failed", "quarantined", "stalled")


def conclude(
    screen: Screen,
    operation: Operation,
    *,
    of: str = "the project",
    since: Model | None = None,
    waiting: Sequence[RuleException] = (),
    has_log: bool = True,
    has_served: bool = True,
) -> None:
    """The end of an operation: words on stderr, and its one result (URL or image) on stdout.

    `of` is what it was asked of, for an end before the project's name was known; `since` is what the project has
    become after it; `waiting` are exceptions that would change it; `has_log` says whether the model wrote anything,
    `has_served` whether there is something of what was stopped to start again.
    """
    said = _ENDS.get(operation.state, "{command} of {project}: {state}")
    if operation.state == "stopped" and not has_served:
        said = "{project} is stopped; nothing of it had served yet, and a deploy brings it up"
    if operation.command == "abort" and operation.state == "live":
        said = "the canary of {project} is ended; what it ran beside has all requests"
    if operation.share is not None and operation.state == "live":
        said = "release {release} of {project} serves as a canary, with {share} % of the requests"
    words = said.format(**{**operation.to_json(), "project": operation.project or of})
    screen.gap()
    if operation.state in _WRONG:
        screen.error(words)
    else:
        screen.note(words)
    if operation.share is not None and operation.state == "live":
        screen.note(
            f"  `placet promote {operation.project}` gives it all of them, `placet abort {operation.project}` ends it"
        )
    if operation.replaced is not None and operation.state == "live":
        screen.note(f"  the canary of release {operation.replaced} ended for it")
    if since is not None:
        screen.note(f"that was then: {_become(since)} now")
    if operation.state in ("live", "certified"):
        _tell_certificate(screen, operation)
    tell_reasons(screen.note, operation.refusals, what_is_awaited(operation))
    if operation.state == "awaiting":
        screen.note(f"  to see it go on:\n    placet status {operation.operation} --follow")
    if operation.command == "renew" and operation.operation and operation.state in (*_WRONG, "awaiting"):
        screen.note(
            "  nothing else changes: what serves goes on until its own certificate ends, and what is off its route"
            f" stays off; see `placet status {operation.project}`"
        )
    for each in waiting:
        screen.note(
            f"  an exception from {each.rule} was asked for, and waits for somebody else to grant it:\n"
            f"    placet exception grant {each.project} {each.exception}"
        )
    if has_log and any(step.name == "live" and step.state == "failed" for step in operation.steps):
        of = f"{operation.project} --release {operation.release}"  # another may have been started since
        screen.note(f"  `placet logs {of}` shows what the model wrote")
    if any(step.name == "built" and step.state == "failed" for step in operation.steps):
        of = f"{operation.project} --release {operation.release}"
        screen.note(f"  `placet logs {of} --build` shows what the builder wrote")
    match operation.state:
        case "live" if operation.url:
            screen.result(operation.url)
        case "certified" if operation.image:
            screen.result(operation.image)


def tell_call(screen: Screen, url: str, body: str | None, *, is_public: bool) -> None:
    """One line to copy. Without a body it is for a request in a file."""
    predict, asked = shlex.quote(f"{url.rstrip('/')}/predict"), shlex.quote(body or "@request.json")
    token = "" if is_public else ' -H "Authorization: Bearer $PLACET_TOKEN"'
    screen.note(f"curl -s {predict}{token} -H 'Content-Type: application/json' -d {asked}")
    screen.note(f"what it takes and gives: {url.rstrip('/')}/docs")


def _tell_certificate(screen: Screen, operation: Operation) -> None:
    if operation.built is False:
        screen.note("nothing was built: the platform has this source's image")
    if operation.certificate:
        screen.note(f"certified by {operation.certificate}{_tally(operation.verdicts)}")
    for line in _let_pass(operation):
        screen.note(line)


def _let_pass(operation: Operation) -> Iterator[str]:
    """What did not pass and is in nobody's way: it only warns, or is excepted."""
    told = {each.rule for each in operation.refusals} | {each.rule for each in operation.awaiting}
    for verdict in operation.verdicts:
        if verdict.exception is not None:
            yield f"  excepted: {verdict.rule} did not pass ({verdict.result}), by {verdict.exception}"
        elif verdict.result != "pass" and verdict.rule not in told:
            why = verdict.why or f"it did not pass ({verdict.result})"
            for line in in_words(why, rule=f"warning: {verdict.rule}", fix=verdict.fix):
                yield f"  {line}"


def refusals_of(error: PlacetError) -> tuple[Refusal, ...]:
    """An error as the refusals of an operation; of a document with several mistakes, one each."""
    return tuple(Refusal(rule=part.rule, why=part.detail, fix=part.fix) for part in error.parts)


def what_is_awaited(operation: Operation) -> tuple[Refusal, ...]:
    """With the next step, which the rule's verdict says: to approve, to answer a questionnaire, to report something."""
    fixes = {verdict.rule: verdict.fix for verdict in operation.verdicts}
    return tuple(
        Refusal(rule=each.rule, why=each.why, fix=fixes.get(each.rule or "")) for each in operation.awaiting
    )


def tell_reasons(tell: Callable[[str], None], *reasons: Sequence[Refusal]) -> None:
    """Each in the form of an error, one step in."""
    for reason in chain(*reasons):
        for line in in_words(reason.why, rule=reason.rule, fix=reason.fix):
            tell(f"  {line}")


def describe(
    screen: Screen,
    operation: Operation,
    *,
    since: Model | None = None,
) -> None:
    """All that is known of an operation, for somebody who asked; `since` as above."""
    _tell_facts(
        screen,
        ("project", operation.project),
        ("release", operation.release),
        ("state", _state(operation)),
        ("now", f"{_become(since)}; see `placet status {since.project}`" if since else None),
        *_facts(operation),
    )
    _tell_story(screen, operation)


def describe_project(
    screen: Screen,
    model: Model,
    now: Operation,
    last: Operation,
    *,
    observed: Observed | None,
    beside: Iterable[str],
) -> None:
    """What a project's release is, with what there is to say `beside`; then what the last operation came to, where that
    is another story."""
    _tell_facts(
        screen,
        ("project", now.project),
        ("release", now.release),
        ("state", _shared(model)),
        *_use(observed),
        *_facts(now),
    )
    for line in beside:
        screen.result(line)
    if last.operation == now.operation:
        _tell_story(screen, now)
        return
    tell_reasons(screen.result, now.refusals)
    screen.result()
    of = f" of release {last.release}" if last.release is not None else ""
    _tell_facts(screen, ("last", f"{last.command}{of}: {_came_to(last, model)}"), *_facts(last))
    _tell_story(screen, last)


def _shared(model: Model) -> str:
    if model.canary is None:
        return state_of(model)
    return f"{state_of(model)}, with {100 - model.canary.weight} % of the requests"


def _came_to(last: Operation, model: Model) -> str:
    """What has become by now of what it did."""
    if last.state != "live" or last.operation is None:
        return last.state
    done = next((step.detail for step in last.steps if step.name == "live" and step.detail), "done")
    if last.command in ("scale", "abort"):
        return done
    if model.canary is not None and model.canary.release == last.release:
        return f"live, as a canary with {model.canary.weight} % of the requests"
    if model.aborted is not None and model.aborted.release == last.release:
        return "it was live as a canary, and was aborted since"
    if last.release == model.release and model.state == "live":
        return last.state
    return "it was live, and is no more"


def state_of(model: Model) -> str:
    """With why, of what should serve and does not; of a trial with its end."""
    said = f"{model.state}, {model.detail}" if model.detail else model.state
    if model.trial and model.certified_until is not None:
        return f"{said}, a trial until {model.certified_until[:16]}Z"
    return said


def _state(operation: Operation) -> str:
    if operation.share is None or operation.state != "live":
        return operation.state
    return f"{operation.state}, as a canary with {operation.share} % of the requests"


def _become(model: Model) -> str:
    if model.release is None:
        return f"{model.project} is {state_of(model)}"
    return f"release {model.release} of {model.project} is {state_of(model)}"


def _facts(operation: Operation) -> tuple[tuple[str, object | None], ...]:
    return (
        ("url", operation.url),
        ("image", operation.image),
        ("source", operation.source),
        ("certificate", operation.certificate),
        ("operation", f"{operation.operation} ({_asked(operation)})" if operation.operation else None),
    )


def _asked(operation: Operation) -> str:
    back = "" if operation.back_to is None else f", back to release {operation.back_to}"
    return f"{operation.command}{back}"


def _use(observed: Observed | None) -> tuple[tuple[str, object | None], ...]:
    """What it was asked last, and how far that was from what it was made for."""
    if observed is None:
        return ()
    answers = f", 99 % answered within {observed.p99_ms:g} ms" if observed.p99_ms is not None else ""
    requests = counted(observed.requests, "request")
    asked = f"{requests} until {observed.until}, {observed.refused} refused, {observed.errors} failed"
    drift = observed.drift
    return (
        ("asked", asked + answers),
        ("drift", f"psi {drift.psi:g} in {drift.column}, of {counted(drift.rows, 'row')}" if drift else None),
    )


def _tell_facts(screen: Screen, *facts: tuple[str, object | None]) -> None:
    for name, value in facts:
        if value is not None:
            screen.result(f"{name:<12} {value}")


def _tell_story(screen: Screen, operation: Operation) -> None:
    if operation.steps:
        screen.result()
        rows = [
            (
                step.name,
                _in_plain_words(step, is_over=operation.state in _WRONG),
                "" if step.seconds is None else f"{step.seconds:.2f} s",
                step.detail or "",
            )
            for step in operation.steps
        ]
        screen.table(("STEP", "STATE", "TIME", ""), rows)
    if operation.verdicts:
        screen.result()
        tell_verdicts(screen, operation.verdicts)
    if operation.refusals or operation.awaiting:
        screen.result()
        tell_reasons(screen.result, operation.refusals, what_is_awaited(operation))
    if let_pass := list(_let_pass(operation)):
        screen.result()
        for line in let_pass:
            screen.result(line)


def _in_plain_words(step: Step, *, is_over: bool) -> str:
    """Of a step that is not over: what it waits for stands beside; else it is worked on, or its turn has not come."""
    match step.state:
        case "running" | "waiting" if step.detail:
            return "waiting"
        case "running":
            return "under way"
        case "waiting":
            return "not reached" if is_over else "to come"
        case _:
            return step.state


def tell_verdicts(screen: Screen, verdicts: Sequence[Verdict]) -> None:
    screen.table(
        ("RULE", "RESULT", "STAGE"),
        [
            (
                verdict.rule,
                f"{verdict.result}, excepted" if verdict.exception else verdict.result,
                verdict.stage,
            )
            for verdict in verdicts
        ],
    )


def _tally(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    passed = sum(verdict.result == "pass" for verdict in verdicts)
    return f": {passed} of {counted(len(verdicts), 'rule')} passed"
