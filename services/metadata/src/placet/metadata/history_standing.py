"""Where things stand at a moment: what was said of them up to then, and what time alone has made of it since.

A certificate ends without anybody saying so, and a policy is in force from its day on. Pure: the moment is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from placet.events.codec import moment
from placet.metadata.entities import Entity, State, plain
from placet.rules.publication import Version, standing

_STEPS = (
    ("live", "liveAt"),
    ("certified", "certifiedAt"),
    ("indexed", "indexedAt"),
    ("built", "builtAt"),
    ("cleared", "clearedAt"),
    ("requested", "requestedAt"),
)


def documents(
    state: State, at: datetime, *, project: str | None = None, release: int | None = None
) -> Iterator[dict[str, Any]]:
    """One for each entity, in order: its facts by name, `state` as it is `at` that moment, and in `said` the position
    of the event that said each. Of a project only what is its own: of policies its events alone do not say enough."""
    standings = Standings(state, at)
    for each in state.in_order(project=project, release=release):
        yield document(each, standings)


def document(entity: Entity, standings: Standings) -> dict[str, Any]:
    name, positioned = standings.of(entity)
    found: dict[str, Any] = {
        "kind": entity.kind,
        "id": entity.id,
        "project": entity.project,
        "release": entity.release,
        "state": name,
        **{name: plain(fact.value) for name, fact in entity.facts.items()},
        **standings.added(entity),
    }
    said = {"state": positioned, **{name: fact.position for name, fact in entity.facts.items()}}
    return {**found, "said": said}


class Standings:
    """Asked for each entity of a state; what all of one kind need is made once."""

    def __init__(self, state: State, at: datetime) -> None:
        self._state = state
        self._at = at
        self._users: dict[str, list[str]] | None = None
        self._policies: dict[str, str] | None = None
        newest = [each.get("number") for each in state.all("advisories")]
        self._advisories = max((number for number in newest if number is not None), default=None)

    def of(self, entity: Entity) -> tuple[str, int]:
        """What it is called, and where the last was said that makes it so."""
        match entity.kind:
            case "certificate":
                return certificate_standing(entity, self._at), entity.position("standing", "notAfter")
            case "exception":
                names = ("requestedAt", "grantedAt", "withdrawnAt")
                return exception_standing(entity, self._at), entity.position(*names)
            case "policy":
                return self.policy(entity), entity.position("decision")
            case "project":
                return entity.get("serving") or "requested", entity.position("serving")
            case "release":
                return release_standing(entity, self._state.find("project", entity.project or ""))
            case "advisories":
                return self._snapshot(entity), entity.position("decision")
            case "assessment":
                return _assessment(entity, self._at), entity.position("scoredAt", "rejectedAt")
            case "review":
                return ("owed" if entity.get("givenAt") is None else "given"), entity.position(
                    "owedAt", "givenAt"
                )
            case "key":
                return _key(entity, self._at), entity.position("since", "until", "compromised")
            case "token":
                return _token(entity, self._at), entity.position("issuedAt", "revokedAt")
            case "incident" | "run":
                return str(entity.get("status")), entity.position("status")
            case _:
                return "known", entity.position()

    def added(self, entity: Entity) -> dict[str, Any]:
        """What others say of it."""
        match entity.kind:
            case "exception":
                return {"usedBy": self.used_by(entity.id)}
            case "approval":
                return {"countedFor": self.used_by(entity.id)}
            case _:
                return {}

    def used_by(self, id: str) -> list[str]:
        """The certificates that stand, or stood, on an exception or an approval."""
        if self._users is None:
            self._users = {}
            for each in self._state.all("certificate"):
                stood_on = [used.exception for used in each.get("exceptions") or ()]
                stood_on += [used.approval for used in each.get("approvals") or ()]
                for used in stood_on:
                    self._users.setdefault(used, []).append(each.id)
        return self._users.get(id, [])

    def policy(self, entity: Entity) -> str:
        """in-force, scheduled, superseded or ended on the moment's day in UTC; rejected, or submitted and no more."""
        if self._policies is None:
            day = self._at.astimezone(UTC).date()
            versions = versions_of(self._state)
            self._policies = {each.digest: standing(each, versions, day) for each in versions}
        return self._policies.get(entity.id) or entity.get("decision") or "submitted"

    def _snapshot(self, entity: Entity) -> str:
        if entity.get("number") is None:
            return entity.get("decision") or "submitted"
        return "in-use" if entity.get("number") == self._advisories else "replaced"


def certificate_standing(entity: Entity, at: datetime) -> str:
    """valid, suspended, revoked, expired, or still to come; unknown where the event that issued it is not looked at."""
    said = entity.get("standing")
    if said == "revoked":
        return "revoked"
    if entity.get("notAfter") is None:
        return said or "unknown"
    if said == "expired" or moment(entity.get("notAfter")) <= at:
        return "expired"
    if said == "suspended":
        return "suspended"
    return "to-come" if moment(entity.get("notBefore")) > at else "valid"


def exception_standing(entity: Entity, at: datetime) -> str:
    """requested, granted (in force), withdrawn or expired, as the gateway calls them."""
    if entity.get("withdrawnAt") is not None:
        return "withdrawn"
    until = entity.get("until")
    if until is not None and moment(until) <= at:
        return "expired"
    return "granted" if entity.get("grantedAt") is not None else "requested"


def versions_of(state: State) -> Sequence[Version]:
    """What decides which are in force: those that shipped first, as far as they judged anything, then what was
    published, in that order."""
    policies = list(state.all("policy"))
    shipped = [
        Version(policy=each.get("policy"), version=each.get("version"), digest=each.id, rules=frozenset())
        for each in policies
        if each.get("decision") is None and each.get("judgedFirst") is not None
    ]
    published = sorted(
        (each for each in policies if each.get("decision") == "published"),
        key=lambda each: each.get("number"),
    )
    return [*shipped, *map(_published, published)]


def _published(entity: Entity) -> Version:
    until = entity.get("effectiveUntil")
    return Version(
        policy=entity.get("policy"),
        version=entity.get("version"),
        digest=entity.id,
        rules=frozenset(each.id for each in entity.get("rules")),
        supersedes=entity.get("supersedes"),
        begins=date.fromisoformat(entity.get("effectiveFrom")),
        ends=None if until is None else date.fromisoformat(until),
    )


def release_standing(entity: Entity, project: Entity | None) -> tuple[str, int]:
    """How it ended, or how far it came, and where that was said: of its project too, since a release that came to be
    live is so only until another is, which nobody says of it by name."""
    if entity.get("refusedAt") is not None:
        return "refused", entity.position("refusedAt")
    if entity.get("failure") is not None:
        return "failed", entity.position("failure")
    if entity.get("awaited") is not None:
        return "awaiting", entity.position("awaited")
    name, step = next((each for each in _STEPS if entity.get(each[1]) is not None), ("known", None))
    if name == "live" and project is not None and project.get("live") != entity.release:
        if project.get("served") == entity.release:  # nothing took its place, and yet it serves no more
            return str(project.get("serving")), project.position("serving")
        return "replaced", project.position("served")
    return name, entity.position() if step is None else entity.position(step)


def _assessment(entity: Entity, at: datetime) -> str:
    if entity.get("rejectedAt") is not None:
        return "rejected"
    if entity.get("scoredAt") is None:
        return "answered"
    stale = moment(entity.get("scoredAt")) + timedelta(days=entity.get("validDays"))
    return "stale" if stale <= at else "scored"


def _key(entity: Entity, at: datetime) -> str:
    compromised, since, until = (entity.get(name) for name in ("compromised", "since", "until"))
    if compromised is not None and moment(compromised) <= at:
        return "compromised"
    if since is not None and moment(since) > at:
        return "to-come"
    return "retired" if until is not None and moment(until) <= at else "signs"


def _token(entity: Entity, at: datetime) -> str:
    if entity.get("revokedAt") is not None:
        return "revoked"
    expires = entity.get("expires")
    return "expired" if expires is not None and moment(expires) <= at else "valid"
