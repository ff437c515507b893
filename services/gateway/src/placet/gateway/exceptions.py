"""An exception from a rule: who may ask for one, grant it and withdraw it. Pure.

It takes two people: nobody grants what they asked for, whichever token or role they come with. What an exception
does to a verdict is the certifier's. Times are RFC 3339 as the codec writes them, which compare as text.

Each has a stream of its own, of three events at most: what was ever asked for of a project makes nothing slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from placet.errors import Conflict, Forbidden, Refused, Unknown
from placet.events.contracts.gateway import ExceptionGranted, ExceptionRequested, ExceptionWithdrawn
from placet.events.decider import Decider

DECIDERS = frozenset({"approver", "compliance", "admin"})
OPEN_OF_PROJECT = 100
OPEN_BY_PERSON = 50
"""How many may be asked for, and neither granted, withdrawn nor over, at once."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """`reason` is a salted digest; `latest` is the latest end that anything may have, `days` from now.

    `open_of_project` and `open_by_person` (of all projects) are how many are open already.
    """

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
    open_of_project: int
    open_by_person: int


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

    project: str
    rule: str
    source: str | None
    until: str
    requested_by: str
    granted_by: str | None = None
    is_withdrawn: bool = False


State = Known | None


def decide(command: Command, state: State) -> Sequence[Happened]:
    match command:
        case Ask():
            return _ask(command) if state is None else []
        case Grant():
            return _grant(command, _known(command, state))
        case Withdraw():
            return _withdraw(command, _known(command, state))
    assert_never(command)


def evolve(state: State, event: Happened) -> State:
    match event, state:
        case ExceptionRequested(), _:
            return Known(
                project=event.project,
                rule=event.rule,
                source=event.source,
                until=event.until,
                requested_by=event.requested_by,
            )
        case ExceptionGranted(), Known():
            return replace(state, granted_by=event.granted_by)
        case ExceptionWithdrawn(), Known():
            return replace(state, is_withdrawn=True)
        case ((ExceptionGranted() | ExceptionWithdrawn()), _):
            raise ValueError(f"{event.exception} of {event.project}, which nobody asked for")
    assert_never(event)


EXCEPTION: Decider[Command, State, Happened] = Decider(initial=None, decide=decide, evolve=evolve)


def stream(exception: str) -> str:
    return f"exception/{exception}"


def _ask(command: Ask) -> Sequence[Happened]:
    if command.until <= command.now:
        raise Refused(f"{command.until} is over, and an exception is for what comes", fix="name a later end")
    if command.until > command.latest:
        raise Refused(
            f"{command.until} is more than {command.days} days ahead, and nothing is excepted for longer here",
            fix=f"name an end no later than {command.latest}; when that comes, it can be asked for again",
        )
    _must_not_be_too_many(command)
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


def _must_not_be_too_many(command: Ask) -> None:
    fix = (
        "have some of them granted, or withdraw what nobody needs any more: `placet exception list"
        f" {command.project}`"
    )
    if command.open_by_person >= OPEN_BY_PERSON:
        raise Refused(
            f"you have asked for {command.open_by_person} exceptions that nobody has granted yet, and more than"
            f" {OPEN_BY_PERSON} at once are not taken from one person",
            fix=fix,
        )
    if command.open_of_project >= OPEN_OF_PROJECT:
        raise Refused(
            f"{command.open_of_project} exceptions of {command.project} are asked for and not granted yet, and more"
            f" than {OPEN_OF_PROJECT} at once are not taken for one project",
            fix=fix,
        )


def _known(command: Grant | Withdraw, known: State) -> Known:
    if known is None or known.project != command.project:
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
