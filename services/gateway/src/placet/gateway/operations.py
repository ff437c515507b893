"""Where a request stands: the life of one command, folded from what the six services say.

    Requested → Cleared → Reserved → Built → Indexed → Certified → Live
    or Refused | Failed | AwaitingApproval | Stalled

Read `advance` first: the whole flow is in its one `match`. Events of different services arrive in any order,
so an operation is a record of what was reached and when, and its state is read off that; nothing here
depends on who was heard first. Pure: no clock, no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, assert_never

from placet.events.codec import moment
from placet.events.contracts import builder, certifier, deployer, gateway, indexer
from placet.events.contracts.shapes import Verdict

Kind = Literal["deploy", "renew", "build", "start", "stop", "delete", "scale", "promote", "abort"]
_DEPLOY = ("requested", "cleared", "reserved", "built", "indexed", "certified", "live")

PATHS: Mapping[str, tuple[str, ...]] = {
    "deploy": _DEPLOY,
    "renew": _DEPLOY,
    "build": ("requested", "cleared", "built", "indexed", "certified"),
    "start": ("requested", "reserved", "live"),
    "stop": ("requested", "stopped"),
    "delete": ("requested", "deleted"),
    "scale": ("requested", "live"),
    "promote": ("requested", "live"),
    "abort": ("requested", "live"),
}
"""The steps of each command, in order. The last one is where it wants to be."""

_LATER = "and asked for anew if it starts later"

Heard = (
    gateway.DeployRequested
    | gateway.StartRequested
    | gateway.StopRequested
    | gateway.DeleteRequested
    | gateway.ScaleRequested
    | gateway.PromoteRequested
    | gateway.AbortRequested
    | certifier.ReleaseCleared
    | certifier.ReleaseRefused
    | certifier.ApprovalAwaited
    | certifier.CertificateIssued
    | builder.BuildAccepted
    | builder.ImageBuilt
    | builder.ImageReused
    | builder.BuildFailed
    | indexer.ImageIndexed
    | indexer.ImageVanished
    | deployer.ResourcesReserved
    | deployer.ResourcesQueued
    | deployer.ResourcesRefused
    | deployer.ResourcesReleased
    | deployer.StartAccepted
    | deployer.ModelStarted
    | deployer.ModelFailed
    | deployer.ModelStopped
    | deployer.ModelDeleted
    | deployer.ModelQuarantined
    | deployer.ModelDiverged
    | deployer.CanaryStarted
    | deployer.CanaryWeighted
    | deployer.CanaryAborted
    | deployer.ScaleAccepted
    | deployer.ModelScaled
    | deployer.ChangeRefused
)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    why: str
    rule: str | None = None
    fix: str | None = None


@dataclass(frozen=True, kw_only=True)
class End:
    """An end short of the goal: `step` is the one that was not reached."""

    state: Literal["refused", "failed", "stalled"]
    step: str
    at: str
    detail: str
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What people have until then to do: nothing else forbids it."""

    until: str
    reasons: tuple[Refusal, ...]


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Room is waited for until then, as was said `at`."""

    at: str
    position: int
    why: str
    until: str

    def __str__(self) -> str:
        return f"{ordinal(self.position)} in the queue: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Delayed:
    """What it needs and is away, as was said `at`; null: it goes on."""

    at: str
    why: str | None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What is known of one command. `reached` says when and with which detail; times are RFC 3339. `renews` is the
    certificate that another one is to take the place of; a canary gets `share` of a hundred requests. `queued` is what
    was said last of that, and `placed_at` when room was there last; `delayed` is what was said last of that. `replaced`
    is the release of a canary that ended for it, and `back_to` the one whose image is served again.
    """

    id: str
    command: Kind
    project: str
    release: int | None = None
    source: str | None = None
    image: str | None = None
    built: bool | None = None
    certificate: str | None = None
    url: str | None = None
    reached: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    end: End | None = None
    awaited: Awaited | None = None
    renews: str | None = None
    share: int | None = None
    queued: Queued | None = None
    placed_at: str = ""
    delayed: Delayed | None = None
    replaced: int | None = None
    back_to: int | None = None

    @property
    def waits_for(self) -> str | None:
        """What keeps it waiting at the moment, for people."""
        if self.waits_for_room is not None:
            return str(self.waits_for_room)
        if self.delayed is None or self.delayed.why is None or self.is_over:
            return None
        return f"tried again: {self.delayed.why}"

    @property
    def waits_for_room(self) -> Queued | None:
        """How, while it does."""
        is_told = self.queued is not None and self.queued.at > self.placed_at
        return self.queued if is_told and not self.is_over else None

    @property
    def path(self) -> tuple[str, ...]:
        return PATHS[self.command]

    @property
    def is_reached(self) -> bool:
        """Whether it came where it wanted to be. What becomes of the model afterwards is not its story."""
        return self.path[-1] in self.reached

    @property
    def state(self) -> str:
        """The goal if it is reached, the end if there is one, awaiting if people are waited for, else the furthest step
        that all before it led to."""
        if self.is_reached:
            return self.path[-1]
        if self.end is not None:
            return self.end.state
        if self.awaited is not None:
            return "awaiting"
        state = self.path[0]
        for step in self.path:
            if step not in self.reached:
                break
            state = step
        return state

    @property
    def deleted(self) -> str | None:
        """When it deleted its project, or as long as it has not yet, was asked to; none of any other command."""
        if self.command != "delete":
            return None
        at, _ = self.reached.get("deleted", self.reached["requested"])
        return at

    @property
    def is_over(self) -> bool:
        """Nothing more happens by itself. What is awaited or silent may go on all the same."""
        return self.is_reached or self.end is not None or self.awaited is not None


def requested(operation: str, at: str, event: Heard) -> Operation:
    """The operation that begins with a request. Raises TypeError for any other event."""
    match event:
        case gateway.DeployRequested():
            begun = Operation(
                id=operation,
                command=event.command if event.renews is None else "renew",
                project=event.project,
                release=event.release,
                source=event.source,
                image=event.image,
                renews=event.renews,
                share=event.canary or None,
                back_to=event.back_to,
            )
        case gateway.StartRequested():
            begun = Operation(id=operation, command="start", project=event.project, release=event.release)
        case gateway.StopRequested():
            begun = Operation(id=operation, command="stop", project=event.project)
        case gateway.DeleteRequested():
            begun = Operation(id=operation, command="delete", project=event.project)
        case gateway.ScaleRequested():
            begun = Operation(id=operation, command="scale", project=event.project)
        case gateway.PromoteRequested():
            begun = Operation(id=operation, command="promote", project=event.project)
        case gateway.AbortRequested():
            begun = Operation(id=operation, command="abort", project=event.project)
        case _:
            raise TypeError(f"{event!r} begins no operation")
    return _reach(begun, "requested", at)


def advance(operation: Operation, event: Heard, at: str) -> Operation:
    """The operation after `event`, which happened `at`. Hearing one twice changes nothing."""
    operation = _heard_again(operation)
    match event:
        # asked
        case (
            gateway.DeployRequested()
            | gateway.StartRequested()
            | gateway.StopRequested()
            | gateway.DeleteRequested()
            | gateway.ScaleRequested()
            | gateway.PromoteRequested()
            | gateway.AbortRequested()
        ):
            return _reach(operation, "requested", at)
        # may its source be built?
        case certifier.ReleaseCleared():
            return _judge(_reach(operation, "cleared", at, _passed(event.verdicts)), event.verdicts)
        case certifier.ReleaseRefused(stage="submit"):
            return _refuse(_judge(operation, event.verdicts), "cleared", at, event.verdicts)
        # is there room for it?
        case deployer.ResourcesReserved():
            return _reach(_placed(operation, at), "reserved", at, f"held until {event.until}, {_LATER}")
        case deployer.ResourcesQueued():
            return _queue(operation, Queued(at=at, position=event.position, why=event.why, until=event.until))
        case deployer.ResourcesRefused():
            refusal = Refusal(rule="capacity", why=event.why, fix=event.fix)
            return _end(operation, "refused", "reserved", at, event.why, refusal)
        # which image is it?
        case builder.BuildAccepted():
            return operation
        case builder.ImageReused():
            reused = replace(operation, image=event.image, built=False)
            return _reach(reused, "built", at, "nothing to build: this source's image is known")
        case builder.ImageBuilt():
            detail = f"{event.size / 1e6:.1f} MB"
            return _reach(replace(operation, image=event.image, built=True), "built", at, detail)
        case builder.BuildFailed():
            return _end(operation, "failed", "built", at, event.why, Refusal(why=event.why, fix=event.fix))
        # what does the registry say of it?
        case indexer.ImageIndexed():
            return _reach(replace(operation, image=event.image), "indexed", at)
        case indexer.ImageVanished() if "indexed" in operation.reached:
            return operation  # it was there, and what became of it since is not this operation's
        case indexer.ImageVanished():
            return _end(operation, "failed", "indexed", at, event.why, Refusal(why=event.why))
        # may it be served?
        case certifier.ApprovalAwaited() if "certified" in operation.reached:
            return operation
        case certifier.ApprovalAwaited():
            awaited = Awaited(until=event.until, reasons=_denials(event.verdicts))
            return _judge(replace(operation, awaited=awaited), event.verdicts)
        case certifier.CertificateIssued():
            issued = replace(operation, certificate=event.certificate, awaited=None)
            certified = _judge(issued, event.verdicts)
            return _reach(certified, "certified", at, f"until {event.not_after}")
        case certifier.ReleaseRefused():
            return _refuse(_judge(operation, event.verdicts), "certified", at, event.verdicts)
        # does it run?
        case deployer.StartAccepted():
            accepted = replace(
                _delay(_placed(operation, at), Delayed(at=at, why=event.delayed)),
                image=event.image,
                certificate=event.certificate,
                release=event.release,
            )
            return _reach(accepted, "reserved", at) if operation.command == "start" else accepted
        case deployer.ModelStarted():
            started = replace(
                operation,
                share=None,
                url=event.url,
                image=event.image,
                certificate=event.certificate,
                release=event.release,
            )
            return _reach(started, "live", at, f"{_asked(event)}{_in_place(operation)}")
        case deployer.CanaryStarted():
            canary = replace(
                operation,
                share=event.weight,
                url=event.url,
                image=event.image,
                certificate=event.certificate,
                release=event.release,
            )
            detail = f"canary, with {event.weight} % of the requests: {_asked(event)}{_in_place(operation)}"
            return _reach(canary, "live", at, detail)
        case deployer.CanaryWeighted():
            weighted = replace(operation, release=event.release, share=event.weight)
            return _reach(weighted, "live", at, f"canary, with {event.weight} % of the requests")
        case deployer.CanaryAborted() if operation.command == "abort":
            return _reach(operation, "live", at, f"release {event.release} gets no more requests")
        case deployer.CanaryAborted() if _takes_its_place(operation, event):
            return replace(operation, replaced=event.release)
        case deployer.ScaleAccepted():
            return _delay(operation, Delayed(at=at, why=event.delayed))
        case deployer.ModelScaled():
            scaled = replace(operation, release=event.release)
            return _reach(scaled, "live", at, f"{event.replicas} replica{'s' * (event.replicas != 1)}")
        case deployer.ChangeRefused():
            return _end(operation, "refused", "live", at, event.why, Refusal(why=event.why, fix=event.fix))
        case deployer.ModelFailed():
            return _end(operation, "failed", "live", at, event.why, Refusal(why=event.why, fix=event.fix))
        case deployer.ModelStopped():
            return _reach(replace(operation, release=event.release or operation.release), "stopped", at)
        case deployer.ModelDeleted():
            return _reach(operation, "deleted", at, f"at {at}")
        # later lives of the model are not this operation's
        case (
            deployer.ModelQuarantined()
            | deployer.ModelDiverged()
            | deployer.ResourcesReleased()
            | deployer.CanaryAborted()
        ):
            return operation
    assert_never(event)


def stall(operation: Operation, at: str, seconds: float) -> Operation:
    """Name the silence. Whatever is heard later lifts it again. Who waits in a queue is not silent in it."""
    queued = operation.waits_for_room
    if operation.is_over or (queued is not None and moment(at) < moment(queued.until)):
        return operation
    step = next((each for each in operation.path if each not in operation.reached), operation.path[-1])
    why = f"nothing was heard for {seconds:.0f} s; {step!r} did not come"
    fix = f"see `placet events --project {operation.project}`"
    return _end(operation, "stalled", step, at, why, Refusal(why=why, fix=fix))


def document(operation: Operation) -> dict[str, Any]:
    """The operation as REST and `--json` show it."""
    return {
        "operation": operation.id,
        "command": operation.command,
        "project": operation.project,
        "release": operation.release,
        "source": operation.source,
        "image": operation.image,
        "built": operation.built,
        "certificate": operation.certificate,
        "renews": operation.renews,
        "share": operation.share,
        "replaced": operation.replaced,
        "backTo": operation.back_to,
        "state": operation.state,
        "url": operation.url,
        "steps": _steps(operation),
        "refusals": [
            {"rule": refusal.rule, "why": refusal.why, "fix": refusal.fix}
            for refusal in (operation.end.refusals if operation.end and not operation.is_reached else ())
        ],
        "awaiting": [
            {"rule": reason.rule, "why": reason.why}
            for reason in (
                operation.awaited.reasons if operation.state == "awaiting" and operation.awaited else ()
            )
        ],
        "verdicts": [
            {
                "rule": verdict.rule,
                "result": verdict.result,
                "onFail": verdict.on_fail,
                "stage": verdict.stage,
                "exception": verdict.exception,
                "why": verdict.why,
                "fix": verdict.fix,
            }
            for verdict in operation.verdicts
        ],
    }


def brief(operation: Operation) -> dict[str, Any]:
    """What of it is told in a list."""
    return {
        "operation": operation.id,
        "command": operation.command,
        "project": operation.project,
        "release": operation.release,
        "share": operation.share,
        "backTo": operation.back_to,
        "state": operation.state,
    }


def _reach(operation: Operation, step: str, at: str, detail: str | None = None) -> Operation:
    if step not in operation.path or step in operation.reached:
        return operation
    return replace(operation, reached={**operation.reached, step: (at, detail)})


def _placed(operation: Operation, at: str) -> Operation:
    return replace(operation, placed_at=max(operation.placed_at, at))


def _delay(operation: Operation, delayed: Delayed) -> Operation:
    """As with a queue."""
    if operation.delayed is not None and operation.delayed.at > delayed.at:
        return operation
    return replace(operation, delayed=delayed)


def _queue(operation: Operation, queued: Queued) -> Operation:
    """What was said last counts, whatever is heard last."""
    if operation.queued is not None and operation.queued.at > queued.at:
        return operation
    return replace(operation, queued=queued)


def _end(
    operation: Operation,
    state: Literal["refused", "failed", "stalled"],
    step: str,
    at: str,
    detail: str,
    *refusals: Refusal,
) -> Operation:
    end = End(state=state, step=step, at=at, detail=detail, refusals=refusals)
    if operation.end is not None and _order(operation, operation.end) <= _order(operation, end):
        return operation
    return replace(operation, end=end)


def _order(operation: Operation, end: End) -> tuple[int, str, str]:
    """Of two ends the one at the earlier step is the cause, whichever was heard first."""
    path = operation.path
    return path.index(end.step) if end.step in path else len(path), end.at, end.detail


def _heard_again(operation: Operation) -> Operation:
    """A silence that was named is over with whatever is heard."""
    if operation.end is None or operation.end.state != "stalled":
        return operation
    return replace(operation, end=None)


def _refuse(operation: Operation, step: str, at: str, verdicts: tuple[Verdict, ...]) -> Operation:
    refusals = _denials(verdicts)
    detail = ", ".join(str(refusal.rule) for refusal in refusals)
    return _end(operation, "refused", step, at, detail, *refusals)


def _denials(verdicts: tuple[Verdict, ...]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(rule=verdict.rule, why=verdict.why or verdict.rule, fix=verdict.fix)
        for verdict in verdicts
        if verdict.result != "pass" and verdict.on_fail != "warn" and verdict.exception is None
    )


def _judge(operation: Operation, verdicts: tuple[Verdict, ...]) -> Operation:
    known = {(verdict.policy, verdict.rule): verdict for verdict in (*operation.verdicts, *verdicts)}
    return replace(operation, verdicts=tuple(known[key] for key in sorted(known)))


def _passed(verdicts: tuple[Verdict, ...]) -> str:
    passed = sum(verdict.result == "pass" for verdict in verdicts)
    excepted = sum(verdict.exception is not None for verdict in verdicts)
    return f"{passed} of {len(verdicts)} rules pass" + (f", {excepted} excepted" if excepted else "")


def _asked(started: deployer.ModelStarted | deployer.CanaryStarted) -> str:
    match started.sample:
        case "answered":
            return "ready; it answered its sample as expected"
        case "none":
            return "ready; it has no sample, so nothing was asked of it"
    assert_never(started.sample)


def _takes_its_place(operation: Operation, aborted: deployer.CanaryAborted) -> bool:
    """Said in the unit in which it starts itself. What is said of its own release is of its later life."""
    starts = operation.command in ("deploy", "renew", "start")
    return starts and aborted.release != operation.release and not operation.is_reached


def _in_place(operation: Operation) -> str:
    return f"; the canary of release {operation.replaced} ended for it" if operation.replaced else ""


def _steps(operation: Operation) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    before: str | None = None
    waiting = operation.is_over
    furthest = max(index for index, name in enumerate(operation.path) if name in operation.reached)
    for index, name in enumerate(operation.path):
        if name in operation.reached:
            at, detail = operation.reached[name]
            if name == "reserved" and operation.is_reached:
                detail = None  # it has its room for as long as it runs
            steps.append({"name": name, "state": "done", "seconds": _seconds(before, at), "detail": detail})
            before = at
        elif index < furthest:
            # A later step was heard of first. This one led to it, so it is done; when, is still on its way.
            steps.append({"name": name, "state": "done", "seconds": None, "detail": None})
        elif operation.end is not None and operation.end.step == name:
            seconds = _seconds(before, operation.end.at)
            state = "refused" if operation.end.state == "refused" else "failed"
            steps.append({"name": name, "state": state, "seconds": seconds, "detail": operation.end.detail})
            waiting = True
        else:
            state = "waiting" if waiting else "running"
            detail = None
            if name == "certified" and operation.awaited is not None:
                detail = f"people have until {operation.awaited.until}"
            elif state == "running":
                detail = operation.waits_for
            since = before if state == "running" else None
            steps.append({"name": name, "state": state, "seconds": None, "detail": detail, "since": since})
            waiting = True
    return [{"since": None, **each} for each in steps]


def ordinal(number: int) -> str:
    is_teen = number % 100 in (11, 12, 13)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if is_teen else ending}"


def _seconds(before: str | None, at: str) -> float:
    """Between two steps; clocks of two machines may disagree, and no step takes less than nothing."""
    if before is None:
        return 0.0
    span = datetime.fromisoformat(at) - datetime.fromisoformat(before)
    return max(round(span.total_seconds(), 3), 0.0)
