"""Exceptions from rules: which stand, and who may ask for one, grant it and withdraw it. Pure.

It takes two people: nobody grants what they asked for, whichever token or role they come with. What an exception
does to a verdict is the certifier's. Times are RFC 3339 as the codec writes them, which compare as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from placet.errors import Conflict, Forbidden, Refused, Unknown
from placet.events.contracts.gateway import ExceptionGranted, ExceptionRequested, ExceptionWithdrawn
from placet.events.decider import Decider

DECIDERS = frozenset({"approver", "compliance", "admin"})


@dataclass(frozen=True, kw_only=True)
class Ask:
    """`reason` is a salted digest; `latest` is the latest end that anything may have, `days` from now."""

    exception: str
    project: str
    rule: str
    source: str | None
    until: str
    reason: str
    by: str
    now: str
    latest: str
    days: int


@dataclass(frozen=True, kw_only=True)
class Grant:
    """By somebody whose role decides."""

    project: str
    exception: str
    by: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """`decides`: by somebody whose role decides, who may withdraw what others asked for."""

    project: str
    exception: str
    by: str
    decides: bool
    now: str


Command = Ask | Grant | Withdraw
Happened = ExceptionRequested | ExceptionGranted | ExceptionWithdrawn


@dataclass(frozen=True, kw_only=True)
class Known:
    """An exception that was asked for."""

    rule: str
    source: str | None
    until: str
    requested_by: str
    granted_by: str | None = None
    is_withdrawn: bool = False

    def is_asked_again_by(self, command: Ask) -> bool:
        wanted = (command.rule, command.source, command.until, command.by)
        return not self.is_withdrawn and wanted == (self.rule, self.source, self.until, self.requested_by)


@dataclass(frozen=True, kw_only=True)
class OfProject:
    """All that was ever asked for of one project, by id."""

    known: Mapping[str, Known] = field(default_factory=dict)

    def asked_before(self, command: Ask) -> str | None:
        """The exception that the same person asked for in the same words before; one that was withdrawn is no more."""
        return next((id for id, each in self.known.items() if each.is_asked_again_by(command)), None)


def decide(command: Command, state: OfProject) -> Sequence[Happened]:
    match command:
        case Ask():
            return _ask(command, state)
        case Grant():
            return _grant(command, _known(command, state))
        case Withdraw():
            return _withdraw(command, _known(command, state))
    assert_never(command)


def evolve(state: OfProject, event: Happened) -> OfProject:
    match event:
        case ExceptionRequested():
            changed = Known(
                rule=event.rule, source=event.source, until=event.until, requested_by=event.requested_by
            )
        case ExceptionGranted():
            changed = replace(state.known[event.exception], granted_by=event.granted_by)
        case ExceptionWithdrawn():
            changed = replace(state.known[event.exception], is_withdrawn=True)
        case _:
            assert_never(event)
    return OfProject(known={**state.known, event.exception: changed})


EXCEPTIONS: Decider[Command, OfProject, Happened] = Decider(initial=OfProject(), decide=decide, evolve=evolve)


def stream(project: str) -> str:
    return f"exceptions/{project}"


def _ask(command: Ask, state: OfProject) -> Sequence[Happened]:
    if command.until <= command.now:
        raise Refused(f"{command.until} is over, and an exception is for what comes", fix="name a later end")
    if state.asked_before(command) is not None:
        return []
    if command.until > command.latest:
        raise Refused(
            f"{command.until} is more than {command.days} days ahead, and nothing is excepted for longer here",
            fix=f"name an end no later than {command.latest}; when that comes, it can be asked for again",
        )
    return [
        ExceptionRequested(
            exception=command.exception,
            project=command.project,
            rule=command.rule,
            source=command.source,
            until=command.until,
            reason=command.reason,
            requested_by=command.by,
        )
    ]


def _grant(command: Grant, known: Known) -> Sequence[Happened]:
    if command.by == known.requested_by:
        raise Forbidden(
            f"you asked for {command.exception} yourself, and an exception takes two people",
            fix="have somebody else grant it who is an approver, of compliance or an admin",
        )
    if known.granted_by == command.by and not known.is_withdrawn:
        return []
    _must_stand(command, known)
    if known.granted_by is not None:
        raise Conflict(f"{command.exception} was granted already, by somebody else")
    return [
        ExceptionGranted(
            exception=command.exception,
            project=command.project,
            rule=known.rule,
            source=known.source,
            until=known.until,
            requested_by=known.requested_by,
            granted_by=command.by,
        )
    ]


def _withdraw(command: Withdraw, known: Known) -> Sequence[Happened]:
    if not command.decides and command.by != known.requested_by:
        raise Forbidden(
            f"{command.exception} is withdrawn by who asked for it, or by a role that decides:"
            f" {', '.join(sorted(DECIDERS))}",
            fix="ask one of them",
        )
    if known.is_withdrawn:
        return []
    _must_stand(command, known)
    return [
        ExceptionWithdrawn(
            exception=command.exception,
            project=command.project,
            rule=known.rule,
            withdrawn_by=command.by,
        )
    ]


def _known(command: Grant | Withdraw, state: OfProject) -> Known:
    known = state.known.get(command.exception)
    if known is None:
        raise Unknown(
            f"there is no exception {command.exception!r} of {command.project}",
            fix=f"see `placet exception list {command.project}`",
        )
    return known


def _must_stand(command: Grant | Withdraw, known: Known) -> None:
    if known.is_withdrawn:
        raise Conflict(f"{command.exception} was withdrawn", fix="ask for another one, if it is still wanted")
    if known.until <= command.now:
        raise Conflict(
            f"{command.exception} ended at {known.until}", fix="ask for another one, if it is still wanted"
        )
