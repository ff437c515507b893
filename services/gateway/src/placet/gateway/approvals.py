"""An approval of a release: who may give one, and of what. Pure.

It is of the release exactly as the certifier said that it is waited for, which the digest of its binding says. Whether
it is enough the certifier says; what nobody could count is not taken in the first place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.errors import Forbidden, Refused
from placet.events.contracts.certifier import ApprovalAwaited
from placet.events.contracts.gateway import ApprovalGiven
from placet.events.decider import Decider

APPROVERS = frozenset({"approver", "compliance"})
BREAKERS = frozenset({*APPROVERS, "operator"})
"""Who may have a release served for a day that waits, two of them together."""


@dataclass(frozen=True, kw_only=True)
class Approve:
    """`binding` is the digest of what somebody looked at, `awaited` what the certifier waits for now, if for anything.
    `reason` is a salted digest. `break_glass`: it is to be served for a day, whatever is awaited. `sent` and `built`:
    they sent its source, or its placet.yaml names them as a builder.
    """

    approval: str
    project: str
    release: int
    binding: str
    awaited: ApprovalAwaited | None
    by: str
    roles: frozenset[str]
    reason: str | None = None
    sent: bool = False
    built: bool = False
    break_glass: bool = False


@dataclass(frozen=True, kw_only=True)
class Given:
    """Who approved a release, the digest of what each time, and whether to break the glass."""

    given: frozenset[tuple[str, str, bool]] = frozenset()


def decide(command: Approve, state: Given) -> Sequence[ApprovalGiven]:
    awaited = command.awaited
    release = f"release {command.release} of {command.project}"
    see = f"`placet approve {command.project} --look` shows what is waited for"
    if awaited is None:
        raise Refused(f"{release} waits for no approval", rule="approval.awaited", fix=see)
    _must_be_another(command, awaited, release)
    if command.binding != awaited.binding.digest:
        raise Refused(
            f"{release} is not what {command.binding} stands for: what is waited for is {awaited.binding.digest}",
            rule="approval.binding",
            fix=f"{see}; look at it again, since its source, its image, a policy or what rules saw is another",
        )
    if (command.by, command.binding, command.break_glass) in state.given:
        did = f"would have {release} served for a day" if command.break_glass else f"have approved {release}"
        raise Refused(
            f"you {did} already, and nobody counts twice",
            rule="approval.twice",
            fix="somebody else has to say so as well",
        )
    return [
        ApprovalGiven(
            approval=command.approval,
            project=command.project,
            release=command.release,
            binding=awaited.binding,
            roles=tuple(sorted(command.roles)),
            given_by=command.by,
            reason=command.reason,
            break_glass=command.break_glass,
        )
    ]


def evolve(state: Given, event: ApprovalGiven) -> Given:
    return Given(given=state.given | {(event.given_by, event.binding.digest, event.break_glass)})


APPROVAL: Decider[Approve, Given, ApprovalGiven] = Decider(initial=Given(), decide=decide, evolve=evolve)


def stream(project: str, release: int) -> str:
    return f"approval/{project}/{release}"


def roles_of(
    token: frozenset[str], wanted: frozenset[str], allowed: frozenset[str] = APPROVERS
) -> frozenset[str]:
    """In which roles somebody approves: those they name, or else all that their token has. One has to be `allowed`."""
    lacking = wanted - token
    if lacking:
        raise Forbidden(
            f"this token has not the role {', '.join(sorted(lacking))}",
            rule="approval.role",
            fix=f"name one that it has ({', '.join(sorted(token))}), or none",
        )
    roles = wanted or token
    if not roles & allowed:
        raise Forbidden(
            f"this is for the roles {', '.join(sorted(allowed))}, and no other; these are {', '.join(sorted(roles))}",
            rule="approval.role",
            fix="ask an admin for a token: placet token create --as NAME --role approver",
        )
    return roles


def _must_be_another(command: Approve, awaited: ApprovalAwaited, release: str) -> None:
    fix = "somebody else has to approve it, who is an approver or of compliance"
    if command.by == awaited.asker or command.sent:
        did = "asked for" if command.by == awaited.asker else "sent the source of"
        raise Forbidden(
            f"you {did} {release} yourself, and nobody approves their own", rule="approval.own", fix=fix
        )
    if command.built:
        raise Forbidden(
            f"placet.yaml names you as one who built {release}, and nobody approves their own",
            rule="approval.own",
            fix=fix,
        )
