"""Who is calling: bearer tokens, checked by this service itself, unless they were revoked, and not too often; and
whether the project that they name lets them.

A provider's people come without anybody having made them a token: they are met here, by the name that theirs says.

Whose token holds is let in however many come from the same address whose do not: the limit of an address is for those
alone, or who shares one (an office, an edge in front) could keep the others out.

A project that a path or a parameter names is looked at here, for every route: what reads takes the role of a viewer
where the project is private, and all else that of a deployer, unless `NEEDS` says otherwise of the route. So a new
route cannot forget it. A project that only a body says, or a row behind an id, is looked at by whoever reads that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fastapi import Request

from placet.errors import Forbidden, TooMany, Unauthenticated, Unavailable, Unreadable
from placet.events import Actor, Clock
from placet.events.contracts.shapes import ProjectRole
from placet.events.described import errors
from placet.events.shares import Shares
from placet.gateway.lately import Lately
from placet.gateway.limiting import Buckets
from placet.gateway.queries import Queries
from placet.gateway.settings import GatewaySettings
from placet.gateway.standings import Hidden, Known
from placet.identity import Callers
from placet.identity.denials import Denials
from placet.identity.networks import network_of
from placet.trust.tokens import Role, Token

ERRORS = errors(Unreadable, Unauthenticated, Forbidden, TooMany, Unavailable)
"""Of every call of the gateway."""
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, kw_only=True)
class Need:
    """The role on the project that a route takes; none: roles of the token alone say it, for the whole platform.
    `unless` are roles of the token that need none on the project."""

    role: ProjectRole | None
    unless: frozenset[Role] = frozenset()


_OF_PLATFORM = Need(role=None)
_UNLESS_COMPLIANCE = Need(role="deployer", unless=frozenset({"compliance"}))
_OF_OWNERS = Need(role="owner")
NEEDS: Mapping[tuple[str, str], Need] = {
    ("POST", "/v1/models/{project}/approvals"): _OF_PLATFORM,
    ("POST", "/v1/models/{project}/exceptions/{id}/grant"): _OF_PLATFORM,
    ("POST", "/v1/models/{project}/exceptions/{id}/withdraw"): _OF_PLATFORM,
    ("PUT", "/v1/models/{project}/hold"): _OF_PLATFORM,
    ("DELETE", "/v1/models/{project}/hold"): _OF_PLATFORM,
    ("PUT", "/v1/quotas/projects/{project}"): _OF_PLATFORM,
    ("DELETE", "/v1/quotas/projects/{project}"): _OF_PLATFORM,
    ("PUT", "/v1/teams/{team}/projects/{project}"): _OF_PLATFORM,
    ("DELETE", "/v1/models/{project}/team"): _OF_PLATFORM,
    ("POST", "/v1/models/{project}/metadata"): _UNLESS_COMPLIANCE,
    ("POST", "/v1/models/{project}/assessments"): _UNLESS_COMPLIANCE,
    ("PUT", "/v1/models/{project}/members"): _OF_OWNERS,
    ("DELETE", "/v1/models/{project}/members/{to}"): _OF_OWNERS,
    ("PUT", "/v1/models/{project}/private"): _OF_OWNERS,
    ("DELETE", "/v1/models/{project}/private"): _OF_OWNERS,
}
"""Two people decide on approvals and exceptions whatever the project says; what is held and how much room there is, who
runs the platform; what happened to a model compliance reports as well."""


def need_of(method: str, route: str) -> Need:
    """By the template of the route, which names a project."""
    usual = Need(role="viewer" if method in _READS else "deployer")
    return NEEDS.get((method, route), usual)


@dataclass(frozen=True, kw_only=True)
class Caller:
    person: str
    roles: frozenset[Role]
    teams: frozenset[str] = frozenset()
    """Those that a provider says they are of; which placet knows is no matter here."""
    token: str
    expires: datetime
    is_providers: bool
    """Whether the token is of an OpenID Connect provider."""

    @property
    def actor(self) -> Actor:
        return Actor.person(self.person)


class Access:
    def __init__(
        self,
        callers: Callers,
        queries: Queries,
        clock: Clock,
        settings: GatewaySettings,
        denials: Denials,
        lately: Lately[tuple[str, str], None],
    ) -> None:
        """`lately` is by token and person."""
        self._callers = callers
        self._queries = queries
        self._clock = clock
        self._denials = denials
        self._lately = lately
        self._shares = Shares()
        self._reads = Buckets(settings.reads_per_second)
        self._writes = Buckets(settings.writes_per_second)
        self._failures = Buckets(settings.failures_per_second)

    async def caller(self, request: Request) -> AsyncIterator[Caller]:
        """The caller of `request`, until it is answered to its end. Raises Unauthenticated, Forbidden for one of a
        provider's people whose name is somebody else's, TooMany for who asks too often, and Unavailable for one who has
        too many under way."""
        with self._denials.noted(request) as asking:
            held = await self._held(request)
            person = asking.person = held.person
            await self._must_be_welcome(request, held)
            self._must_not_ask_too_often(request, person)
            with self._shares.taken_by(person):
                await self._projects_must_let(request, held)
                yield Caller(
                    person=person,
                    roles=held.roles,
                    teams=held.teams,
                    token=held.id,
                    expires=held.expires,
                    is_providers=held.name is not None,
                )

    async def must(self, project: str, needed: ProjectRole, who: Known) -> None:
        """Of a project that only a row says. Raises Forbidden."""
        await self._queries.standings.must(project, needed, who)

    def hidden_from(self, who: Known) -> Hidden:
        """The private projects that a list leaves out."""
        return self._queries.standings.hidden_from(who)

    async def _projects_must_let(self, request: Request, held: Token) -> None:
        """Those that the path and the parameters name."""
        path = getattr(request.scope.get("route"), "path", "")
        need = need_of(request.method, path)
        named = [*_text(request.path_params.get("project")), *request.query_params.getlist("project")]
        if need.role is None or held.roles & need.unless:
            return
        for project in named:
            await self.must(project, need.role, held)

    async def _held(self, request: Request) -> Token:
        try:
            return await self._callers.verify_bearer(request.headers.get("authorization"))
        except (Unauthenticated, Forbidden) as failed:
            self._must_not_fail_too_often(request, failed)
            raise

    async def _must_be_welcome(self, request: Request, held: Token) -> None:
        """Whose token holds by itself. Raises as `caller` does."""
        try:
            await self._lately.known((held.id, held.person), partial(self._must_be_known, held))
        except (Unauthenticated, Forbidden) as failed:
            self._must_not_fail_too_often(request, failed)
            raise

    async def _must_be_known(self, held: Token) -> None:
        if await self._queries.is_revoked(held.id, held.person):
            if held.name is not None:
                raise Unauthenticated(
                    "whose token this is was erased here, and nobody is let in as them again",
                    rule="person.erased",
                    fix="ask an admin for a token of a new person",
                )
            raise Unauthenticated(
                "this token was revoked", rule="token.revoked", fix="ask an admin for a new one"
            )
        if held.name is not None:
            await self._queries.people.meet(held.person, held.name)

    def _must_not_fail_too_often(self, request: Request, failed: Unauthenticated | Forbidden) -> None:
        address = network_of(request.client.host if request.client else None)
        if seconds := self._failures.wait(address, self._clock.now()):
            raise TooMany(
                "too many requests without a token that holds come from your address",
                rule="rate.failures",
                fix=f"come back in {seconds} s, with a token that holds: {failed.detail}",
                retry_after=seconds,
            ) from failed

    def _must_not_ask_too_often(self, request: Request, person: str) -> None:
        is_read = request.method in _READS
        if seconds := (self._reads if is_read else self._writes).wait(person, self._clock.now()):
            what, setting = ("read", "READS") if is_read else ("change something", "WRITES")
            raise TooMany(
                f"you {what} more often than one person may here",
                rule="rate.reads" if is_read else "rate.writes",
                fix=f"come back in {seconds} s; who runs the platform sets the limit (PLACET_{setting}_PER_SECOND)",
                retry_after=seconds,
            )


def _text(named: object) -> list[str]:
    return [named] if isinstance(named, str) else []
