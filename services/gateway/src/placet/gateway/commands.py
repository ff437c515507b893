"""Taking requests: decide, and write the operation's first line in the same unit."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict, Refused, Unauthenticated, Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import DeployRequested
from placet.events.contracts.shapes import Command as Goal
from placet.events.store import Claim, ClaimLost, Run, Unit
from placet.events.unit_of_work import current_traceparent
from placet.gateway import lives
from placet.gateway import projections as p
from placet.gateway.domain import (
    ADMINS,
    PROJECT,
    TOKEN,
    Abort,
    Command,
    Delete,
    Deploy,
    IssueToken,
    Promote,
    Renew,
    Requested,
    RevokeToken,
    Scale,
    Serving,
    Start,
    Stop,
)
from placet.gateway.granting import own_first
from placet.gateway.intake import SERVICE, Intake
from placet.gateway.measures import count
from placet.gateway.operations import Operation, requested, stall
from placet.gateway.people import NAME
from placet.gateway.ports import Sources
from placet.gateway.projections import new_operation, show_progress, update_operation
from placet.gateway.queries import Queries
from placet.gateway.standings import Known
from placet.trust import SigningKey, tokens

MOST_UNDER_WAY = 20
"""The newest operations of a project, among which those are that go on."""
MOST_OWN_TOKENS = 60
"""Of those that somebody has made for themselves: each is an event in a log that is kept for ever."""
OWN_TOKENS_WITHIN = timedelta(hours=1)
ALL = 100
"""Of a hundred requests."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A command as it came over HTTP. `source` and `image` are digests, `git` an address; at most one is given.
    `release` is what a rollback goes back to, `canary` and `weight` are shares of a hundred requests.
    """

    command: str
    project: str | None
    source: str | None = None
    image: str | None = None
    git: str | None = None
    release: int | None = None
    canary: int | None = None
    replicas: int | None = None
    weight: int | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Commands:
    def __init__(
        self, wiring: Wiring, queries: Queries, sources: Sources, intake: Intake, token_key: SigningKey
    ) -> None:
        self._wiring = wiring
        self._queries = queries
        self._sources = sources
        self._intake = intake
        self._token_key = token_key

    async def ask(self, asked: Asked, who: Known, *, idempotency_key: str | None) -> Operation:
        """Accept a command; the operation it began. The same key and request again give the same operation.

        Raises Unknown for a project, source or image that is not here, Conflict for a key used for something else, and
        of an address what fetching it raises: a source is known before an operation begins. Raises Forbidden for who
        is no deployer of a project on which somebody has a role.
        """
        actor, standings = Actor.person(who.person), self._queries.standings
        if asked.project is not None:
            await standings.must(asked.project, "deployer", who)
        if idempotency_key is not None and (asked.git is not None or asked.command in ("renew", "rollback")):
            # Before it is looked at again: the branch may have moved on since, and what serves be another release.
            earlier = await self._earlier(asked, actor, idempotency_key)
            if earlier is not None:
                await standings.must(earlier.project, "deployer", who)
                return earlier
        command = await self._command(asked, who)
        id = self._wiring.ids.new()
        context = Context(
            project=command.project, correlation=id, actor=actor, traceparent=current_traceparent()
        )

        stream = f"project/{command.project}"

        async def change(work: UnitOfWork) -> Operation:
            # First: whoever is earlier after this is seen below, or is in conflict with what is decided on this. So is
            # who was first to ask for anything of the project, and owns it.
            await work.history(stream)
            await standings.must(command.project, "deployer", who)
            if idempotency_key is not None:
                earlier = await self._earlier(asked, actor, idempotency_key)
                if earlier is not None:
                    return earlier
            if isinstance(command, Renew) and command.serving is not None:
                renewal = await self._renewal_under_way(command.project, command.serving)
                if renewal is not None:
                    return renewal
            happened = await work.decide(PROJECT, stream, command)
            if _is_first(happened[0]) and not who.roles & ADMINS:
                await own_first(work, command.project, who.person)
            return self._begin(work, id, happened[0], asked, actor, idempotency_key)

        operation, _ = await transact(self._wiring, SERVICE, context, change)
        return operation

    async def issue_token(
        self, name: str, roles: frozenset[tokens.Role], lifetime: timedelta, actor: Actor | None
    ) -> dict[str, Any]:
        """A new token for the person of that name, which is normalised; `actor` none means the platform itself, at its
        first start. Raises Conflict for a new name that looks like a known one.
        """
        try:
            return await self._issue(await self._person(name), roles, lifetime, actor)
        except ClaimLost:
            return await self.issue_token(name, roles, lifetime, actor)  # they were erased just now

    async def issue_for(
        self, person: str, roles: frozenset[tokens.Role], lifetime: timedelta, actor: Actor
    ) -> dict[str, Any]:
        """A new token for somebody who is known here, and asks for it themselves. Raises Conflict where so many were
        made for them within an hour that there is no need of another, and Unauthenticated for one who was erased just
        now.
        """
        while True:  # each try that is lost, somebody else's was won
            made = await self._queries.tokens_made_for(person)
            if made is None:
                raise Unauthenticated("whose token this is was erased here")
            since = self._wiring.clock.now() - OWN_TOKENS_WITHIN
            lately, first = await self._queries.tokens_made_since(person, timestamp(since))
            if lately >= MOST_OWN_TOKENS and first is not None:
                again = datetime.fromisoformat(first) + OWN_TOKENS_WITHIN
                raise Conflict(
                    f"{lately} tokens were made for you within an hour, and no more are",
                    fix=f"go on with one that you have, which holds for an hour as well, or ask after"
                    f" {timestamp(again)}",
                )
            with suppress(ClaimLost):
                return await self._issue(person, roles, lifetime, actor, made=made)

    async def _issue(
        self,
        person: str,
        roles: frozenset[tokens.Role],
        lifetime: timedelta,
        actor: Actor | None,
        *,
        made: int | None = None,
    ) -> dict[str, Any]:
        """With `made`, only where none was made for them since there were so many. Raises ClaimLost."""
        id = self._wiring.ids.new()
        now = self._wiring.clock.now()
        expires = timestamp(now + lifetime)
        token = tokens.issue(
            id=id, person=person, roles=roles, now=now, lifetime=lifetime, key=self._token_key
        )
        issue = IssueToken(token=id, person=person, roles=tuple(sorted(roles)), expires=expires)
        context = Context(project=PLATFORM, correlation=id, actor=actor or Actor.service(SERVICE))

        async def change(work: UnitOfWork) -> None:
            await work.decide(TOKEN, f"token/{id}", issue)
            work.put(
                p.tokens,
                token=id,
                person=person,
                roles=",".join(issue.roles),
                issued_at=timestamp(now),
                expires=expires,
            )

        # Whoever erases them at this moment finds one more token than they looked at, or is found to have been first.
        mine = sa.update(p.people).where(p.people.c.person == person)
        if made is not None:
            mine = mine.where(p.people.c.tokens == made)
        one_more = Claim(statement=mine.values(tokens=p.people.c.tokens + 1))
        await transact(self._wiring, SERVICE, context, change, one_more)
        return {"token": token, "id": id, "person": person, "roles": sorted(roles), "expires": expires}

    async def revoke_token(self, id: str, actor: Actor) -> None:
        context = Context(project=PLATFORM, correlation=id, actor=actor)

        async def change(work: UnitOfWork) -> None:
            await work.decide(TOKEN, f"token/{id}", RevokeToken(token=id))
            work.put(p.revoked_tokens, token=id)

        await transact(self._wiring, SERVICE, context, change)

    async def name_silence(self, seconds: float) -> None:
        """Mark operations that nothing was heard of for so long as stalled."""
        now = self._wiring.clock.now()
        for id in await self._queries.open_operations_silent_since(now.timestamp() - seconds):
            operation, changes = await self._queries.operation(id)
            stalled = stall(operation, timestamp(now), seconds)
            if stalled == operation:
                continue  # it waits, and is over at the latest then
            unchanged = p.operations.c.changes == changes
            claim = Claim(statement=update_operation(stalled, heard_at=now.timestamp()).where(unchanged))
            shown = Run(statement=show_progress(stalled))
            try:
                await self._wiring.store.commit(Unit(claims=(claim,), writes=(shown,)))
            except Conflict:
                continue  # something was heard just now
            count(operation, stalled)

    async def forget_keys(self, after: timedelta) -> None:
        """Forget idempotency keys of long ago: nobody repeats a request then, and the table stays small."""
        until = (self._wiring.clock.now() - after).timestamp()
        forget = sa.delete(p.idempotency).where(p.idempotency.c.asked_at < until)
        await self._wiring.store.commit(Unit(writes=(Run(statement=forget),)))

    async def _command(self, asked: Asked, who: Known) -> Command:
        is_of_source = asked.command in ("deploy", "build")
        if not is_of_source and (asked.source or asked.image or asked.git):
            raise Refused(
                f"{with_article(asked.command)} takes no source: it is of what serves, or did",
                fix="leave `source` out, or deploy it",
            )
        if asked.release is not None and asked.command != "rollback":
            raise Refused(
                f"{with_article(asked.command)} takes no release",
                fix="leave `release` out, or go back to it: `placet rollback PROJECT --to N`",
            )
        for name, value, command in (
            ("canary", asked.canary, "deploy"),
            ("replicas", asked.replicas, "scale"),
            ("weight", asked.weight, "promote"),
        ):
            if value is not None and asked.command != command:
                raise Refused(
                    f"{with_article(asked.command)} takes no {name}",
                    fix=f"leave `{name}` out: {with_article(command)} does",
                )
        match asked.command:
            case "deploy" | "build":
                deploy = await self._deploy(asked, who)
                return replace(
                    deploy, canary=asked.canary or 0, is_live=await self._queries.is_live(deploy.project)
                )
            case "renew":
                project = _named(asked)
                serving = await self._queries.serving(project)
                return Renew(project=project, serving=serving, deleted=await self._deleted(project))
            case "rollback":
                return await self._rollback(_named(asked), asked.release, who)
            case "start":
                project = _named(asked)
                release, deleted = await self._queries.release_to_start(project), await self._deleted(project)
                return Start(project=project, release=release, deleted=deleted)
            case "stop":
                project = _named(asked)
                return Stop(project=project, deleted=await self._deleted(project))
            case "delete":
                project = _named(asked)
                return Delete(project=project, deleted=await self._deleted(project))
            case "scale":
                return await self._scale(asked)
            case "promote":
                project = _named(asked)
                return Promote(
                    project=project,
                    weight=asked.weight or ALL,
                    canary=await self._queries.canary(project),
                    deleted=await self._deleted(project),
                )
            case "abort":
                project = _named(asked)
                canary, deleted = await self._queries.canary(project), await self._deleted(project)
                return Abort(project=project, canary=canary, deleted=deleted)
        raise Refused(f"there is no command {asked.command!r}")

    async def _scale(self, asked: Asked) -> Scale:
        project = _named(asked)
        if asked.replicas is None:
            raise Refused("a scale needs `replicas`", fix=f"say how many: placet scale {project} 2")
        return Scale(
            project=project,
            replicas=asked.replicas,
            state=await self._queries.state(project),
            release=await self._queries.release_to_start(project),
            deleted=await self._deleted(project),
        )

    async def _deleted(self, project: str) -> str | None:
        """When the project was deleted, if that is the last that was asked of it."""
        last = await self._queries.operations(project=project, after=None, limit=1)
        return last[0].deleted if last else None

    async def _renewal_under_way(self, project: str, serving: Serving) -> Operation | None:
        """What renews it already, be it that people are waited for: to ask anew would void what they approved.

        Raises Conflict for anything else that is under way and that the renewal would overtake.
        """
        for operation in await self._queries.operations(project=project, after=None, limit=MOST_UNDER_WAY):
            is_open = not operation.is_over
            if operation.renews == serving.certificate and (is_open or operation.state == "awaiting"):
                return operation
            if is_open and operation.command != "build":
                raise Conflict(
                    f"{with_article(operation.command)} of {project} is under way, and a renewal would overtake it",
                    fix=f"`placet status {operation.id} --follow` shows its end; then see whether it is still needed",
                )
        return None

    async def _deploy(self, asked: Asked, who: Known) -> Deploy:
        goal: Goal = "build" if asked.command == "build" else "deploy"
        if asked.image is not None:
            return await self._deploy_image(asked.image, asked.project, goal, who)
        if asked.git is not None:
            fetched = await self._intake.fetch(asked.git, who)
            return Deploy(
                project=asked.project or fetched.project, command=goal, source=fetched.source, image=None
            )
        if asked.source is None:
            raise Refused(
                f"{with_article(asked.command)} needs a source: {{'digest': …}} of an uploaded archive, {{'git': …}} or"
                " {'image': …}"
            )
        source = await self._queries.source(asked.source)
        if source is None:
            raise Unknown(
                f"no source {asked.source} was uploaded",
                fix=f"PUT the archive to /v1/sources/{asked.source} first, or let `placet deploy FOLDER` do it",
            )
        # Else what it takes on the source's own project is asked anyway.
        is_elsewhere = asked.project not in (None, source.project)
        if is_elsewhere and not await self.may_take(source, who):
            await self._queries.standings.must(source.project, "viewer", who)
        return Deploy(project=asked.project or source.project, command=goal, source=asked.source, image=None)

    async def may_take(self, source: sa.Row[Any], who: Known) -> bool:
        """Whether they sent it, or read the project that it is of: its digest is told where the rest is not."""
        is_theirs: bool = source.sender == who.person
        return is_theirs or await self._queries.standings.may(source.project, "viewer", who)

    async def _deploy_image(self, digest: str, project: str | None, goal: Goal, who: Known) -> Deploy:
        hidden = self._queries.standings.hidden_from(who)
        image = await self._queries.image(digest, now=timestamp(self._wiring.clock.now()), hidden=hidden)
        if image["vanished"] and not await self._sources.has(image["source"]):
            raise Refused(
                f"{digest} vanished from the registry, and so did the source that it was made from",
                fix="deploy the project's folder, or another image from `placet list --images`",
            )
        return Deploy(project=project or image["project"], command=goal, source=image["source"], image=digest)

    async def _rollback(self, project: str, release: int | None, who: Known) -> Deploy:
        """A release of the very image that an earlier one had: what is immutable of that is applied again."""
        await self._queries.must_be_known(project)
        serving = await self._queries.serving(project)
        if release is None:
            image = await self._queries.image_before(project, None if serving is None else serving.image)
            release = await self._queries.certified_last(project, image)
        else:
            image = await self._queries.image_of(project, release)
        if serving is not None and serving.state == "live" and serving.image == image:
            raise Conflict(
                f"{project} serves the image of release {release} already, as release {serving.release}",
                fix=f"`placet certificate renew {project}` has it judged anew",
            )
        return replace(await self._deploy_image(image, project, "deploy", who), back_to=release)

    def _begin(
        self,
        work: UnitOfWork,
        id: str,
        happened: Requested,
        asked: Asked,
        actor: Actor,
        idempotency_key: str | None,
    ) -> Operation:
        operation = requested(id, timestamp(work.now), happened)
        work.put(p.operations, **new_operation(operation, heard_at=work.now.timestamp()))
        if idempotency_key is not None:
            work.run(
                sa.insert(p.idempotency).values(
                    person=actor.id,
                    key=idempotency_key,
                    request=asked.digest,
                    operation=id,
                    asked_at=work.now.timestamp(),
                )
            )
        # A model that serves, or did, keeps its state: this is under way and has changed nothing yet.
        new = {"project": operation.project, "state": "requested", "operation": id}
        work.put(p.models, keep=("state", "operation"), **new)
        lives.begin(work, operation)
        work.run(show_progress(operation))
        return operation

    async def _earlier(self, asked: Asked, actor: Actor, key: str) -> Operation | None:
        earlier = await self._queries.earlier_request(actor.id, key)
        if earlier is None:
            return None
        if earlier.request != asked.digest:
            raise Conflict(
                f"Idempotency-Key {key!r} was used for another request", fix="use a new key for a new request"
            )
        operation, _ = await self._queries.operation(earlier.operation)
        return operation

    async def _person(self, name: str) -> str:
        people = self._queries.people
        known = await people.looking_like(name)
        if known is not None:
            person, other = known
            if other != name:
                raise Conflict(
                    f"{name!r} would be another person than {other!r}, who is known here",
                    fix=f"make it for {other!r}, or for a name that does not look the same",
                )
            return person
        owner = await people.owner(f"person:{self._wiring.ids.new()}")
        person = owner.person
        rows = (
            sa.insert(p.people).values(person=person, name=owner.seal(name, place=NAME), tokens=0),
            sa.insert(p.names_alike).values(person=person, alike=await people.looks(name)),
        )
        try:
            await self._wiring.store.commit(Unit(claims=tuple(Claim(statement=row) for row in rows)))
        except Conflict:
            return await self._person(name)  # somebody else gave the name an id just now
        return person


def _is_first(happened: Requested) -> bool:
    """Whether nothing was ever asked of the project before; a number is never given twice."""
    return isinstance(happened, DeployRequested) and happened.release == 1


def _named(asked: Asked) -> str:
    if asked.project is None:
        raise Refused(f"{with_article(asked.command)} needs the project's name", fix="give it as `project`")
    return asked.project


def with_article(command: str) -> str:
    """With its article: a stop, an abort."""
    return f"{'an' if command[0] in 'aeiou' else 'a'} {command}"
