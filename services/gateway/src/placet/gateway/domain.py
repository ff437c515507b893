"""Who may ask for what: the requests made of one project, and the number of its next release.

The gateway decides only this. Whether a release may be served, built or started is for others to say, and
where an operation stands is folded from what they said (`operations.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from placet.errors import Conflict, Forbidden, Refused, Unknown
from placet.events.contracts.gateway import (
    AbortRequested,
    DeleteRequested,
    DeployRequested,
    PromoteRequested,
    ScaleRequested,
    StartRequested,
    StopRequested,
    TokenIssued,
    TokenRevoked,
)
from placet.events.contracts.shapes import Command as Goal
from placet.events.decider import Decider

MAKERS = frozenset({"scientist", "operator", "admin"})
ADMINS = frozenset({"admin"})

Requested = (
    DeployRequested
    | StartRequested
    | StopRequested
    | DeleteRequested
    | ScaleRequested
    | PromoteRequested
    | AbortRequested
)


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Also a build, which is a deploy that ends with the certificate. `canary` is how many of a hundred requests it is
    to get beside what serves; `is_live`: something does, as far as is known. `back_to` is the release that a rollback
    goes back to.
    """

    project: str
    command: Goal
    source: str
    image: str | None
    canary: int = 0
    is_live: bool = False
    back_to: int | None = None


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What serves, or did last, and the certificate that it did so on, as the gateway heard. `source` is none where its
    image is gone; `broke_conditions`: that is suspended for what its model did."""

    release: int
    state: str
    certificate: str
    standing: str | None
    image: str
    source: str | None
    broke_conditions: bool = False


@dataclass(frozen=True, kw_only=True)
class Renew:
    """A release of the very source and image that serves; `serving` is none if nothing ever did."""

    project: str
    serving: Serving | None
    deleted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """`release` is the one that was live last, or else certified last, as the gateway heard; none if of none."""

    project: str
    release: int | None
    deleted: str | None = None
    """When the project was deleted last, as far as is known; only told. So also below."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    project: str
    deleted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delete:
    project: str
    deleted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """`state` is the model's, as far as is known; `release` what could be started."""

    project: str
    replicas: int
    state: str | None
    release: int | None = None
    deleted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Promote:
    """`canary` is the release of the one that there is, as far as is known. So also below."""

    project: str
    weight: int
    canary: int | None
    deleted: str | None = None


@dataclass(frozen=True, kw_only=True)
class Abort:
    project: str
    canary: int | None
    deleted: str | None = None


ON_ITS_WAY = ("requested", "cleared", "reserved", "built", "indexed", "certified", "awaiting")
"""States of a model that its first deploy may still bring to its end."""

Command = Deploy | Renew | Start | Stop | Delete | Scale | Promote | Abort


@dataclass(frozen=True, kw_only=True)
class Project:
    """`releases` counts on after a deletion: a number never names two things. Those up to `deleted` are gone."""

    releases: int = 0
    deleted: int = 0
    exists: bool = False


def decide(command: Command, project: Project) -> Sequence[Requested]:
    match command:
        case Deploy():
            if command.canary and not command.is_live:
                raise Conflict(
                    f"{command.project} serves nothing that a canary could run beside",
                    fix="deploy it without a canary",
                )
            number = project.releases + 1
            return [
                DeployRequested(
                    project=command.project,
                    release=number,
                    command=command.command,
                    source=command.source,
                    image=command.image,
                    canary=command.canary,
                    back_to=command.back_to,
                )
            ]
        case Renew():
            _must_exist(command, project)
            serving, source = _renewable(command, project)
            return [
                DeployRequested(
                    project=command.project,
                    release=project.releases + 1,
                    command="deploy",
                    source=source,
                    image=serving.image,
                    renews=serving.certificate,
                )
            ]
        case Start():
            _must_exist(command, project)
            if command.release is None or command.release <= project.deleted:
                raise Conflict(
                    f"{command.project} has no certified release to start",
                    fix=f"see `placet status {command.project}`, then deploy it",
                )
            return [StartRequested(project=command.project, release=command.release)]
        case Stop():
            _must_exist(command, project)
            return [StopRequested(project=command.project)]
        case Delete():
            _must_exist(command, project)
            return [DeleteRequested(project=command.project)]
        case Scale():
            _must_exist(command, project)
            if command.state != "live":
                raise Conflict(
                    f"{command.project} serves nothing that could be scaled", fix=_to_serve(command, project)
                )
            return [ScaleRequested(project=command.project, replicas=command.replicas)]
        case Promote():
            _must_have_a_canary(command, project)
            return [PromoteRequested(project=command.project, weight=command.weight)]
        case Abort():
            _must_have_a_canary(command, project)
            return [AbortRequested(project=command.project)]
    assert_never(command)


def _to_serve(command: Scale, project: Project) -> str:
    """What brings it there."""
    if command.state == "quarantined":
        return f"`placet status {command.project}` says why it is off its route"
    if command.release is not None and command.release > project.deleted:
        return f"start it: placet start {command.project}"
    if command.state in ON_ITS_WAY:
        return f"wait until it serves: placet status {command.project} --follow"
    return "deploy it: nothing of it was certified yet"


def _must_have_a_canary(command: Promote | Abort, project: Project) -> None:
    _must_exist(command, project)
    if command.canary is None:
        raise Conflict(
            f"{command.project} has no canary",
            fix=f"`placet status {command.project}` says what serves; `placet deploy SOURCE --canary 10` begins one",
        )


def _renewable(command: Renew, project: Project) -> tuple[Serving, str]:
    """What can be renewed, with its source. A renewal undoes nothing that somebody decided."""
    name, serving = command.project, command.serving
    if serving is None or serving.release <= project.deleted:
        raise Conflict(
            f"{name} has no certificate to renew: nothing of it serves, or did",
            fix=f"deploy it; `placet list --images --project {name}` shows what there is of it",
        )
    certificate = serving.certificate
    if serving.state == "stopped":
        raise Conflict(
            f"{name} is stopped, and a renewal would have it serve again",
            fix=f"`placet start {name}` first; where that has no certificate any more: "
            f"`placet deploy {serving.image} --project {name}`",
        )
    if serving.standing == "revoked":
        raise Conflict(
            f"{certificate} was revoked, and a renewal does not undo that",
            fix=f"`placet certificate show {certificate}` tells why; who answers for it deploys it again, to have it "
            "judged anew",
        )
    if serving.broke_conditions:
        raise Conflict(
            f"{certificate} is suspended for what its model did in use, and a renewal would not judge that",
            fix=f"`placet status {name}` says what it did, and what lifts that; or deploy a mended model",
        )
    if serving.source is None:
        raise Refused(
            f"{serving.image}, which {name} serves, vanished from the registry, so it cannot be renewed",
            fix="deploy the project's folder, or another image from `placet list --images`",
        )
    return serving, serving.source


def evolve(project: Project, event: Requested) -> Project:
    match event:
        case DeployRequested():
            return replace(project, releases=event.release, exists=True)
        case DeleteRequested():
            return replace(project, exists=False, deleted=project.releases)
        case StartRequested() | StopRequested() | ScaleRequested() | PromoteRequested() | AbortRequested():
            return project
    assert_never(event)


PROJECT: Decider[Command, Project, Requested] = Decider(initial=Project(), decide=decide, evolve=evolve)


def _must_exist(command: Renew | Start | Stop | Delete | Scale | Promote | Abort, project: Project) -> None:
    if project.exists:
        return
    if project.deleted:
        when = f" at {command.deleted}" if command.deleted else ""
        raise Unknown(f"{command.project} was deleted{when}", fix="deploy it again, if it is still wanted")
    raise Unknown(f"there is no project {command.project!r} here", fix="see `placet list`")


def must_have(roles: frozenset[str], allowed: frozenset[str], doing: str) -> None:
    """Raise Forbidden unless one of `roles` is allowed to do this."""
    if not roles & allowed:
        raise Forbidden(
            f"{doing} needs one of the roles {', '.join(sorted(allowed))}; this token has {', '.join(sorted(roles))}",
            rule="access.role",
            fix="ask an admin for a token: placet token create --as NAME --role …",
        )


# Tokens: only ids are ever stored.


@dataclass(frozen=True, kw_only=True)
class IssueToken:
    token: str
    person: str
    roles: tuple[str, ...]
    expires: str


@dataclass(frozen=True, kw_only=True)
class RevokeToken:
    token: str


TokenCommand = IssueToken | RevokeToken
TokenEvent = TokenIssued | TokenRevoked


@dataclass(frozen=True, kw_only=True)
class TokenState:
    is_issued: bool = False
    is_revoked: bool = False


def decide_token(command: TokenCommand, state: TokenState) -> Sequence[TokenEvent]:
    match command:
        case IssueToken():
            return [
                TokenIssued(
                    token=command.token, person=command.person, roles=command.roles, expires=command.expires
                )
            ]
        case RevokeToken():
            if not state.is_issued:
                raise Unknown(
                    f"no token {command.token!r} was issued here",
                    fix="give the id that `placet token create` told, not the token itself",
                )
            return [] if state.is_revoked else [TokenRevoked(token=command.token)]
    assert_never(command)


def evolve_token(state: TokenState, event: TokenEvent) -> TokenState:
    match event:
        case TokenIssued():
            return replace(state, is_issued=True)
        case TokenRevoked():
            return replace(state, is_revoked=True)
    assert_never(event)


TOKEN: Decider[TokenCommand, TokenState, TokenEvent] = Decider(
    initial=TokenState(), decide=decide_token, evolve=evolve_token
)
