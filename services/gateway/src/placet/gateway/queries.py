"""What the gateway is asked for: reads of its own tables, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, assert_never

import msgspec
import sqlalchemy as sa

from placet.errors import Forbidden, Unknown, Unreadable
from placet.events.contracts.certifier import ApprovalAwaited
from placet.events.contracts.shapes import Ground
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.domain import Serving
from placet.gateway.operations import Operation, brief, document
from placet.gateway.people import OWNER_OF_SOURCE, People, opened
from placet.gateway.projections import read_operation
from placet.gateway.reasons import GIVEN, said_in_words, with_words, words_in
from placet.gateway.standings import Hidden, Standings, seen

MOST_AWAITED = 20
"""Releases of a project that are told of at once."""

_OPERATION = sa.select(p.operations).where(p.operations.c.id == sa.bindparam("operation"))
"""Made once: asked again and again until an operation is over, it costs more to make than to run."""
_OF_CANARY = p.certificates.alias("of_canary")


def waiting_anywhere(after: tuple[str, int] | None, limit: int) -> sa.Select[Any]:
    """Releases that wait, by project and release, behind `after`: as their index has them, so that what waited once is
    not read past."""
    table = p.awaited.c
    query = sa.select(p.awaited).where(table.state == "awaiting")
    if after is not None:
        query = query.where(sa.tuple_(table.project, table.release) > sa.tuple_(*map(sa.literal, after)))
    return query.order_by(table.project, table.release).limit(limit)


class Queries:
    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.people = People(store)
        self.standings = Standings(store, self.people)

    async def operation(self, id: str) -> tuple[Operation, int]:
        """The operation and how often it changed. Raises Unknown."""
        rows = await self._store.rows(_OPERATION, {"operation": id})
        if not rows:
            raise Unknown(
                f"there is no operation {id!r} here", fix="`placet status PROJECT` names a project's last one"
            )
        return read_operation(rows[0]), rows[0].changes

    async def operations(
        self, *, project: str | None, after: str | None, limit: int, hidden: Hidden = None
    ) -> list[Operation]:
        """Newest first; ids are ordered by time. Here as below, nothing of projects that are `hidden`."""
        query = sa.select(p.operations).order_by(p.operations.c.id.desc()).limit(limit)
        query = seen(query, p.operations.c.project, hidden)
        if project is not None:
            query = query.where(p.operations.c.project == project)
        if after is not None:
            query = query.where(p.operations.c.id < after)
        return [read_operation(row) for row in await self._store.rows(query)]

    async def open_operations_silent_since(self, moment: float) -> list[str]:
        table = p.operations
        query = sa.select(table.c.id).where(table.c.is_over.is_(False), table.c.heard_at < moment)
        return [row.id for row in await self._store.rows(query)]

    async def models(
        self,
        *,
        deleted: bool,
        after: str | None,
        limit: int,
        now: str,
        search: str | None = None,
        state: str | None = None,
        lapsing: bool = False,
        windows: int = 0,
        hidden: Hidden = None,
    ) -> list[dict[str, Any]]:
        """By name, with those that were `deleted` or without; those with `search` in their name; those in a `state`, or
        with a release that is `awaiting`; only those that are `lapsing`; each with its last `windows`, if any are asked
        for."""
        query = _listed(hidden, is_after=after is not None, deleted=deleted)
        if search is not None:
            query = query.where(p.models.c.project.contains(search, autoescape=True))
        if state is not None:
            is_so = p.models.c.state == state
            # Also beside what serves.
            query = query.where(sa.or_(is_so, _AWAITS.is_not(None)) if state == "awaiting" else is_so)
        if lapsing:
            query = query.where(p.models.c.state == "live", p.certificates.c.lapsing)
        values: dict[str, Any] = {"most": limit} if after is None else {"most": limit, "after": after}
        rows = await self._store.rows(query, values)
        shown = [
            {**_model(row, read_operation(row), now), "operation": brief(_asked_last(row))} for row in rows
        ]
        if windows:
            held = await self._windows([each["project"] for each in shown])
            told = {name: msgspec.to_builtins(each[-windows:]) for name, each in held.items()}
            return [{**each, "windows": told.get(each["project"], [])} for each in shown]
        return shown

    async def _windows(self, projects: Sequence[str]) -> dict[str, tuple[p.Window, ...]]:
        table = p.observations
        rows = await self._store.rows(sa.select(table).where(table.c.project.in_(projects)))
        return {row.project: p.read_windows(row) for row in rows}

    async def model(self, project: str, *, now: str) -> dict[str, Any]:
        """With the operation that brought it to its state, and the last one, which may have changed nothing.

        `refusals` say why it serves no more where no operation does. Raises Unknown.
        """
        rows = await self._store.rows(_MODEL, {"project": project})
        if not rows:
            raise _no_project(project)
        row = rows[0]
        cause = read_operation(row)
        shown, told = _model(row, cause, now), document(cause)
        return {
            **shown,
            "source": cause.source or await self._source_of(shown["image"]),
            "refusals": _taken_down_for(row),
            "observed": _observed(row),
            "windows": msgspec.to_builtins(p.read_windows(row)) if row.windows else [],
            "warnings": _warnings(row) if row.state == "live" else [],
            "reviewsOwed": await self._reviews_owed(project) if row.owes else [],
            "cause": told,
            "operation": told if row.last == row.operation else document(_asked_last(row)),
        }

    async def _source_of(self, image: str | None) -> str | None:
        rows = await self._store.rows(sa.select(p.images.c.source).where(p.images.c.image == image))
        return rows[0].source if rows else None

    async def route(self, project: str) -> sa.Row[Any]:
        """Where a model listens, with its state and who may call it, how the certificate stands that it serves on, and
        why it was taken down last. Raises Unknown.
        """
        mine = sa.and_(p.releases.c.project == p.models.c.project, p.releases.c.release == p.models.c.release)
        query = (
            sa.select(
                p.models.c.state,
                p.models.c.endpoints,
                p.models.c.canary,
                _OF_CANARY.c.standing.label("canary_standing"),
                _OF_CANARY.c.not_after.label("canary_not_after"),
                p.releases.c.access,
                p.certificates.c.certificate.label("serves_on"),
                p.certificates.c.standing,
                p.certificates.c.not_after,
                p.takedowns.c.why,
                p.takedowns.c.fix,
                p.takedowns.c.rule,
                p.takedowns.c.certificate,
            )
            .join_from(p.models, p.releases, mine, isouter=True)
            .join(p.certificates, p.models.c.certificate == p.certificates.c.certificate, isouter=True)
            .join(_OF_CANARY, p.models.c.canary_certificate == _OF_CANARY.c.certificate, isouter=True)
            .join(p.takedowns, p.models.c.project == p.takedowns.c.project, isouter=True)
            .where(p.models.c.project == project)
        )
        rows = await self._store.rows(query)
        if not rows:
            raise _no_project(project)
        return rows[0]

    async def state(self, project: str) -> str | None:
        rows = await self._store.rows(sa.select(p.models.c.state).where(p.models.c.project == project))
        return str(rows[0].state) if rows else None

    async def is_live(self, project: str) -> bool:
        return await self.state(project) == "live"

    async def canary(self, project: str) -> int | None:
        """The release that gets a share of the project's requests."""
        rows = await self._store.rows(sa.select(p.models.c.canary).where(p.models.c.project == project))
        canary = p.read_canary(rows[0]) if rows else None
        return None if canary is None else canary.release

    async def release_to_start(self, project: str) -> int | None:
        """The one that was live last; of a project that never was, the one that was certified last."""
        wanted = sa.func.coalesce(p.models.c.release, p.models.c.certified_release).label("release")
        rows = await self._store.rows(sa.select(wanted).where(p.models.c.project == project))
        return rows[0].release if rows else None

    async def serving(self, project: str) -> Serving | None:
        """What serves, or did last. The certificate is that which it did so on, however that stands."""
        image = sa.and_(p.images.c.image == p.models.c.image, p.images.c.project == p.models.c.project)
        query = (
            sa.select(
                *(p.models.c[name] for name in ("release", "state", "certificate", "image")),
                *(p.certificates.c[name] for name in ("standing", "grounds")),
                *(p.images.c[name] for name in ("source", "vanished")),
            )
            .join_from(p.models, p.certificates, p.models.c.certificate == p.certificates.c.certificate)
            .join(p.images, image, isouter=True)
            .where(p.models.c.project == project)
        )
        rows = await self._store.rows(query)
        if not rows or rows[0].release is None:
            return None
        row = rows[0]
        grounds = msgspec.json.decode(row.grounds, type=list[Ground]) if row.grounds else []
        return Serving(
            release=row.release,
            state=row.state,
            certificate=row.certificate,
            standing=row.standing,
            image=row.image,
            source=None if row.vanished else row.source,
            broke_conditions=any(ground.measured for ground in grounds),
        )

    async def must_be_known(self, project: str) -> None:
        """Raises Unknown of what nothing was ever asked of; what was deleted is known."""
        known = sa.select(p.models.c.project).where(p.models.c.project == project)
        if not await self._store.rows(known):
            raise _no_project(project)

    async def image_of(self, project: str, release: int) -> str:
        """Of a release that was certified. Raises Unknown."""
        of = p.certificates.c
        query = sa.select(of.image).where(of.project == project, of.release == release)
        rows = await self._store.rows(query)
        if not rows:
            raise Unknown(
                f"release {release} of {project} was never certified: there is no image of it to go back to",
                fix=f"see `placet list --images --project {project}`",
            )
        return str(rows[0].image)

    async def image_before(self, project: str, serving: str | None) -> str:
        """That the project served last before the one that it does, or did last. Raises Unknown."""
        of = p.histories.c
        was_live = sa.select(of.image).where(of.project == project, of.live_at.is_not(None))
        others = was_live if serving is None else was_live.where(of.image != serving)
        rows = await self._store.rows(others.order_by(of.live_at.desc(), of.image).limit(1))
        if not rows and serving is None:
            raise Unknown(
                f"{project} has served nothing yet, so there is nothing to go back to", fix="deploy it"
            )
        if not rows:
            raise Unknown(
                f"{project} served nothing before that it could go back to",
                fix=f"see `placet list --images --project {project}`, and deploy one of them",
            )
        return str(rows[0].image)

    async def certified_last(self, project: str, image: str) -> int | None:
        """The newest release of the project that was certified with that image."""
        of = p.certificates.c
        newest = sa.func.max(of.release).label("release")
        rows = await self._store.rows(sa.select(newest).where(of.project == project, of.image == image))
        found: int | None = rows[0].release
        return found

    async def images(
        self, search: ImageSearch, *, now: str, after: str | None, limit: int, hidden: Hidden = None
    ) -> list[dict[str, Any]]:
        """One for each project that uses it, those indexed last first. `after` is a place in that order, as `place_of`
        says it, so that a page stays where it was whatever comes and goes. `now` judges certificates."""
        query = (
            _IMAGES.where(*search.conditions(now, await self._looks(search.owner)))
            .order_by(_indexed_at().desc(), p.images.c.image, p.images.c.project)
            .limit(limit)
        )
        query = seen(query, p.images.c.project, hidden)
        if after is not None:
            at, *of = after.split(",")
            if len(of) != 2:
                raise Unreadable(
                    f"{after!r} is no place among the images", fix="give `next` of the page before"
                )
            query = query.where(_comes_after(at, *of))
        return await self.with_metrics([_image(row, now) for row in await self._store.rows(query)])

    async def image(self, digest: str, *, now: str, hidden: Hidden = None) -> dict[str, Any]:
        """As the project has it that it was indexed for first, most likely the one that it was made for. Raises
        Unknown, and Forbidden where each that has it is hidden."""
        query = _IMAGES.where(p.images.c.image == digest).order_by(_indexed_at(), p.images.c.project).limit(1)
        rows = await self._store.rows(seen(query, p.images.c.project, hidden))
        if not rows and hidden is not None and await self._store.rows(query):
            raise Forbidden(
                f"{digest} is of private projects: to read it takes the role viewer on one of them",
                rule="project.role",
                fix="ask an owner of the project, or an admin, for it",
            )
        if not rows:
            raise Unknown(f"no image {digest} is in the registry's index", fix="see `placet list --images`")
        [image] = await self.with_metrics([_image(rows[0], now)])
        return image

    async def with_metrics(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each with what the card of its source says was measured, as it is searched by."""
        table = p.results
        sources = {image["source"] for image in images}
        query = sa.select(table).where(table.c.source.in_(sources)).order_by(table.c.source, table.c.number)
        measured = await self._store.rows(query)
        return [
            {
                **image,
                "metrics": [
                    {"metric": row.metric, "value": row.value}
                    for row in measured
                    if row.source == image["source"]
                ],
            }
            for image in images
        ]

    async def formats(self) -> set[str]:
        """Those of the images that are here."""
        return {row.format for row in await self._store.rows(sa.select(p.images.c.format).distinct())}

    async def card(self, source: str) -> bytes | None:
        rows = await self._store.rows(sa.select(p.cards.c.card).where(p.cards.c.source == source))
        return rows[0].card if rows else None

    async def keys(self) -> list[dict[str, Any]]:
        """In the order in which they became active; the first one has no moment for that."""
        order = (sa.func.coalesce(p.keys.c.since, ""), p.keys.c.number)
        rows = await self._store.rows(sa.select(p.keys).order_by(*order))
        return [
            {
                "kid": row.key,
                "x": row.public,
                "from": row.since,
                "until": row.until,
                "why": row.why,
                "compromised": row.compromised,
            }
            for row in rows
        ]

    async def certificate(self, id: str) -> sa.Row[Any]:
        rows = await self._store.rows(sa.select(p.certificates).where(p.certificates.c.certificate == id))
        if not rows:
            raise Unknown(
                f"there is no certificate {id!r} here",
                fix="`placet status PROJECT` names the one of a project",
            )
        return rows[0]

    async def source(self, digest: str) -> sa.Row[Any] | None:
        """With its `sender`, the first one."""
        query = (
            sa.select(p.sources, p.senders.c.person.label("sender"))
            .join_from(p.sources, p.senders, p.sources.c.source == p.senders.c.source, isouter=True)
            .where(p.sources.c.source == digest)
        )
        rows = await self._store.rows(query)
        return rows[0] if rows else None

    async def earlier_request(self, person: str, key: str) -> sa.Row[Any] | None:
        table = p.idempotency
        rows = await self._store.rows(sa.select(table).where(table.c.person == person, table.c.key == key))
        return rows[0] if rows else None

    async def _looks(self, owner: str | None) -> str | None:
        return None if owner is None else await self.people.looks(owner)

    async def standing(self, id: str, *, now: str) -> dict[str, Any]:
        """Whether a certificate stands, until when, and what there is against it; of one that was revoked by whom, when
        and why, as far as that is known. Raises Unknown."""
        row = await self.certificate(id)
        mine = sa.and_(p.releases.c.project == row.project, p.releases.c.release == row.release)
        trials = await self._store.rows(sa.select(p.releases.c.trial).where(mine))
        grounds = msgspec.json.decode(row.grounds) if row.grounds else []
        return {
            "certificate": id,
            "project": row.project,
            "release": row.release,
            "image": row.image,
            "state": standing_of(row.not_after, row.standing, now),
            "notAfter": row.not_after,
            "trial": bool(trials and trials[0].trial),
            "renews": row.renews,
            "renewedBy": await self._renewed_by(id),
            "grounds": grounds,
            "warnings": _warnings(row),
            "revokedBy": await self.people.shown(row.revoked_by),
            "revokedAt": row.revoked_at,
            "reason": await self.reason_of(id),
            "review": next(iter(await self._reviews(p.reviews.c.certificate == id)), None),
        }

    async def _renewed_by(self, id: str) -> str | None:
        """The newest certificate that took the place of this one."""
        table = p.certificates
        query = sa.select(table.c.certificate).where(table.c.renews == id)
        rows = await self._store.rows(query.order_by(table.c.release.desc()).limit(1))
        return rows[0].certificate if rows else None

    async def reason_of(self, id: str) -> str | None:
        """What somebody gave as the reason for what has this id."""
        rows = await self._store.rows(GIVEN.where(p.reasons.c.of == id))
        return words_in(rows[0]) if rows else None

    async def reason_to_compare(self, id: str) -> str | None:
        """The same; none also where it was erased."""
        rows = await self._store.rows(GIVEN.where(p.reasons.c.of == id))
        return said_in_words(rows[0]) if rows else None

    async def exceptions(
        self,
        project: str | None,
        *,
        now: str,
        after: str | None,
        limit: int,
        state: ExceptionState | None = None,
        hidden: Hidden = None,
    ) -> list[dict[str, Any]]:
        """Newest first, of one project or of all, in any state or in one; ids are ordered by time."""
        query = _EXCEPTIONS if project is None else _EXCEPTIONS.where(p.exceptions.c.project == project)
        query = seen(query, p.exceptions.c.project, hidden)
        if state is not None:
            query = query.where(*_are_in(state, now))
        query = query.order_by(p.exceptions.c.exception.desc()).limit(limit)
        if after is not None:
            query = query.where(p.exceptions.c.exception < after)
        return await self._with_names([_exception(row, now) for row in await self._store.rows(query)])

    async def exception(self, project: str, id: str, *, now: str) -> dict[str, Any]:
        mine = sa.and_(p.exceptions.c.project == project, p.exceptions.c.exception == id)
        rows = await self._store.rows(_EXCEPTIONS.where(mine))
        if not rows:
            raise Unknown(
                f"there is no exception {id!r} of {project}", fix=f"see `placet exception list {project}`"
            )
        [exception] = await self._with_names([_exception(rows[0], now)])
        return exception

    async def exception_asked_before(self, same: Mapping[str, str], *, now: str) -> sa.Row[Any] | None:
        """The same that this person asked for and that is neither withdrawn nor over: its `exception`, and its words
        for `said_in_words`."""
        table = p.asked_exceptions
        those = (table.c[column] == value for column, value in same.items())
        rows = await self._store.rows(
            with_words(sa.select(table.c.exception), table.c.exception).where(*those, table.c.until > now)
        )
        return rows[0] if rows else None

    async def open_exceptions(self, project: str, person: str, *, now: str) -> tuple[int, int]:
        """How many are asked for, neither granted, withdrawn nor over: of this project, and by this person of any."""
        table = p.asked_exceptions
        are_open = sa.select(sa.func.count()).where(table.c.is_open, table.c.until > now)
        of_project = are_open.where(table.c.project == project).scalar_subquery()
        by_person = are_open.where(table.c.requested_by == person).scalar_subquery()
        query = sa.select(of_project.label("of_project"), by_person.label("by_person"))
        counted = (await self._store.rows(query))[0]
        return counted.of_project, counted.by_person

    async def exceptions_in_force(self, project: str, source: str, *, now: str) -> dict[str, str]:
        """For each rule the exception that holds longest of those that the certifier would use for this source."""
        table = p.exceptions
        rows = await self._store.rows(
            sa.select(table.c.rule, table.c.exception)
            .where(table.c.project == project, table.c.until > now)
            .where(table.c.granted_by.is_not(None), table.c.withdrawn_by.is_(None))
            .where(sa.or_(table.c.source.is_(None), table.c.source == source))
            .order_by(table.c.until, table.c.exception)
        )
        return {row.rule: row.exception for row in rows}

    async def _with_names(self, exceptions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each with the names of the people behind its ids, as far as they are known."""
        shown = await self.people.all_shown(each[by] for each in exceptions for by in _BY)
        return [{**each, **{by: shown[each[by]] for by in _BY}} for each in exceptions]

    async def awaited(self, project: str, release: int) -> tuple[str | None, ApprovalAwaited | None]:
        """What is waited for now, and the operation that goes on with it; of one that waits for nothing, nothing."""
        mine = sa.and_(p.awaited.c.project == project, p.awaited.c.release == release)
        rows = await self._store.rows(sa.select(p.awaited).where(mine, p.awaited.c.state == "awaiting"))
        return (rows[0].operation, _awaited(rows[0])) if rows else (None, None)

    async def source_awaited(self, project: str, release: int) -> str | None:
        """The source of a release that waits for approval, or did."""
        mine = sa.and_(p.awaited.c.project == project, p.awaited.c.release == release)
        rows = await self._store.rows(sa.select(p.awaited).where(mine))
        return _awaited(rows[0]).binding.source if rows else None

    async def made(self, source: str | None, person: str) -> tuple[bool, bool]:
        """Whether somebody sent a source, and whether it names them as one who built it."""
        name = await self.people.name_of(person)
        looks = None if name is None else await self.people.looks(name)
        sent = sa.select(p.senders.c.source).where(p.senders.c.source == source, p.senders.c.person == person)
        built = sa.select(p.builders.c.source).where(
            p.builders.c.source == source, p.builders.c.alike == looks
        )
        return bool(await self._store.rows(sent)), bool(await self._store.rows(built))

    async def awaited_releases(self, project: str) -> list[dict[str, Any]]:
        """Those that wait first, then the newest; a few of those that did."""
        query = (
            sa.select(p.awaited)
            .where(p.awaited.c.project == project)
            .order_by(sa.case((p.awaited.c.state == "awaiting", 0), else_=1), p.awaited.c.release.desc())
            .limit(MOST_AWAITED)
        )
        return await self._told_of(await self._store.rows(query))

    async def awaited_anywhere(
        self, *, after: tuple[str, int] | None, limit: int, hidden: Hidden = None
    ) -> list[dict[str, Any]]:
        """Those that wait, of all projects, each with its `project`: by that, and by release; behind `after`."""
        rows = await self._store.rows(seen(waiting_anywhere(after, limit), p.awaited.c.project, hidden))
        told = await self._told_of(rows)
        return [{"project": row.project, **each} for row, each in zip(rows, told, strict=True)]

    async def _told_of(self, rows: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
        if not rows:
            return []
        of = p.approvals.c
        of_those = sa.tuple_(of.project, of.release).in_([(row.project, row.release) for row in rows])
        given = await self._approvals(of_those)
        read = [_awaited(row) for row in rows]
        askers = await self.people.all_shown(each.asker for each in read)
        return [
            {
                "release": row.release,
                "state": row.state,
                "operation": row.operation,
                "binding": awaited.binding.digest,
                "source": awaited.binding.source,
                "image": awaited.binding.image,
                "inputs": awaited.binding.inputs,
                "policies": msgspec.to_builtins(awaited.binding.policies),
                "awaiting": [
                    {"rule": each.rule, "why": each.why, "fix": each.fix}
                    for each in awaited.verdicts
                    if each.result != "pass" and each.on_fail != "warn" and each.exception is None
                ],
                "since": awaited.since,
                "until": awaited.until,
                "askedBy": askers[awaited.asker],
                "approvals": [
                    {**each, "binds": each["binding"] == awaited.binding.digest}
                    for each in given
                    if (each["project"], each["release"]) == (row.project, row.release)
                ],
            }
            for row, awaited in zip(rows, read, strict=True)
        ]

    async def reviews_owed(
        self, *, after: str | None, limit: int, hidden: Hidden = None
    ) -> list[dict[str, Any]]:
        """Of all projects, each with its `project`; by certificate, whose ids are ordered by time."""
        table = p.reviews.c
        query = sa.select(table.certificate, table.project, table.release, table.owed_at).where(
            table.review.is_(None)
        )
        if after is not None:
            query = query.where(table.certificate > after)
        page = query.order_by(table.certificate).limit(limit)
        rows = await self._store.rows(seen(page, table.project, hidden))
        return [
            {
                "project": row.project,
                "certificate": row.certificate,
                "release": row.release,
                "state": "owed",
                "owedAt": row.owed_at,
            }
            for row in rows
        ]

    async def review_of(self, certificate: str) -> sa.Row[Any]:
        """Raises Unknown where none is owed, and none was."""
        rows = await self._store.rows(sa.select(p.reviews).where(p.reviews.c.certificate == certificate))
        if not rows:
            raise Unknown(
                f"no review of {certificate} is owed", fix="`placet status PROJECT` shows what is owed"
            )
        return rows[0]

    async def _reviews_owed(self, project: str) -> list[dict[str, Any]]:
        return await self._reviews(sa.and_(p.reviews.c.project == project, p.reviews.c.review.is_(None)))

    async def _reviews(self, which: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        """Of certificates that two people had given in haste: owed until there is a `review`."""
        query = (
            with_words(sa.select(p.reviews), p.reviews.c.review).where(which).order_by(p.reviews.c.owed_at)
        )
        rows = await self._store.rows(query)
        shown = await self.people.all_shown(row.given_by for row in rows)
        return [
            {
                "certificate": row.certificate,
                "release": row.release,
                "state": "owed" if row.review is None else "done",
                "owedAt": row.owed_at,
                "review": row.review,
                "givenBy": shown[row.given_by],
                "givenAt": row.given_at,
                "reason": words_in(row),
            }
            for row in rows
        ]

    async def approval(self, id: str) -> dict[str, Any]:
        [approval] = await self._approvals(p.approvals.c.approval == id)
        return approval

    async def _approvals(self, which: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        query = with_words(sa.select(p.approvals), p.approvals.c.approval).where(which)
        rows = await self._store.rows(query.order_by(p.approvals.c.approval))
        shown = await self.people.all_shown(row.given_by for row in rows)
        return [
            {
                "approval": row.approval,
                "project": row.project,
                "release": row.release,
                "binding": row.binding,
                "roles": row.roles.split(","),
                "givenBy": shown[row.given_by],
                "givenAt": row.given_at,
                "reason": words_in(row),
                "breakGlass": row.break_glass,
            }
            for row in rows
        ]

    async def tokens(self, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Newest first, as their ids are in the order in which they were made."""
        revoked = sa.exists().where(p.revoked_tokens.c.token == p.tokens.c.token).label("revoked")
        query = sa.select(p.tokens, revoked).order_by(p.tokens.c.token.desc()).limit(limit)
        if after is not None:
            query = query.where(p.tokens.c.token < after)
        rows = await self._store.rows(query)
        shown = await self.people.all_shown(row.person for row in rows)
        return [
            {
                "id": row.token,
                "person": row.person,
                "name": (shown[row.person] or {}).get("name"),
                "roles": row.roles.split(","),
                "issuedAt": row.issued_at,
                "expires": row.expires,
                "revoked": bool(row.revoked),
            }
            for row in rows
        ]

    async def tokens_made_for(self, person: str) -> int | None:
        """How many there ever were; None for somebody who is not here, or was erased."""
        rows = await self._store.rows(sa.select(p.people.c.tokens).where(p.people.c.person == person))
        return rows[0].tokens if rows else None

    async def tokens_made_since(self, person: str, since: str) -> tuple[int, str | None]:
        """How many since a time, revoked ones as well, and when the first of them."""
        made = p.tokens.c.issued_at
        lately = sa.and_(p.tokens.c.person == person, made > since)
        columns: list[sa.ColumnElement[Any]] = [
            sa.func.count().label("made"),
            sa.func.min(made).label("first"),
        ]
        (row,) = await self._store.rows(sa.select(*columns).where(lately))
        return row.made, row.first

    async def is_revoked(self, token: str, person: str) -> bool:
        """By itself, or since its person was erased."""
        revoked = sa.select(p.revoked_tokens.c.token).where(p.revoked_tokens.c.token == token)
        erased = sa.select(p.erasures.c.person).where(p.erasures.c.person == person)
        return bool(await self._store.rows(sa.select(revoked.union_all(erased).subquery())))


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric that a card tells, and if `bound` is given, how its value compares with that."""

    metric: str
    comparison: Literal[">=", "<=", ">", "<"] | None = None
    bound: float = 0.0


def _awaited(row: sa.Row[Any]) -> ApprovalAwaited:
    return msgspec.json.decode(row.awaited, type=ApprovalAwaited)


def _warnings(row: sa.Row[Any]) -> list[dict[str, Any]]:
    return msgspec.json.decode(row.warnings, type=list[dict[str, Any]]) if row.warnings else []


ExceptionState = Literal["requested", "granted", "withdrawn", "expired"]
CertificateState = Literal["valid", "suspended", "revoked", "expired", "none"]


@dataclass(frozen=True, kw_only=True)
class ImageSearch:
    """What is wanted of an image; all of it."""

    project: str | None = None
    format: str | None = None
    owner: str | None = None
    certificate: CertificateState | None = None
    measures: Sequence[Measure] = ()

    def conditions(self, now: str, owner: str | None) -> Iterator[sa.ColumnElement[bool]]:
        """`owner` is a digest of what that looks like."""
        if self.project is not None:
            yield p.images.c.project == self.project
        if self.format is not None:
            yield p.images.c.format == self.format
        if owner is not None:
            yield p.sources.c.owner_alike == owner
        match self.certificate:
            case "valid":
                yield p.certificates.c.not_after > now
                yield p.certificates.c.standing.is_(None)
            case "suspended" | "revoked" as standing:
                yield p.certificates.c.not_after > now
                yield p.certificates.c.standing == standing
            case "expired":
                yield p.certificates.c.not_after <= now
            case "none":
                yield p.images.c.certificate.is_(None)
        for measure in self.measures:
            yield _is_measured(measure)


def _is_measured(wanted: Measure) -> sa.ColumnElement[bool]:
    told = sa.select(p.results.c.source).where(
        p.results.c.source == p.images.c.source, p.results.c.metric == wanted.metric.lower()
    )
    value = p.results.c.value
    match wanted.comparison:
        case None:
            return told.exists()
        case ">=":
            return told.where(value >= wanted.bound).exists()
        case "<=":
            return told.where(value <= wanted.bound).exists()
        case ">":
            return told.where(value > wanted.bound).exists()
        case "<":
            return told.where(value < wanted.bound).exists()
    assert_never(wanted.comparison)


_SERVES = sa.exists(
    sa.select(p.models.c.project).where(
        p.models.c.project == p.images.c.project,
        p.models.c.state == "live",
        sa.or_(
            p.models.c.image == p.images.c.image,
            p.models.c.canary_certificate == p.images.c.certificate,
        ),
    )
)
_IMAGES = (
    sa.select(
        p.images,
        p.sources.c.owner,
        p.senders.c.person.label("sent_by"),
        p.person_keys.c.key.label("sent_by_key"),
        p.certificates.c.not_after,
        p.certificates.c.standing,
        p.histories.c.indexed_at,
        sa.func.coalesce(p.histories.c.live_at, p.histories.c.tried_at).label("served_at"),
        _SERVES.label("serves"),
    )
    .join_from(p.images, p.sources, p.images.c.source == p.sources.c.source, isouter=True)
    .join(p.senders, p.images.c.source == p.senders.c.source, isouter=True)
    .join(p.person_keys, p.senders.c.person == p.person_keys.c.person, isouter=True)
    .join(p.certificates, p.images.c.certificate == p.certificates.c.certificate, isouter=True)
    .join(
        p.histories,
        sa.and_(p.images.c.image == p.histories.c.image, p.images.c.project == p.histories.c.project),
        isouter=True,
    )
)
"""Images of projects, each with who answers for its source, how long its certificate holds, and whether the project's
model of it serves or ever did."""


def _indexed_at() -> sa.ColumnElement[str]:
    return sa.func.coalesce(p.histories.c.indexed_at, "")


def _comes_after(at: str, image: str, project: str) -> sa.ColumnElement[bool]:
    time, of = _indexed_at(), p.images.c
    later = sa.or_(of.image > image, sa.and_(of.image == image, of.project > project))
    return sa.or_(time < at, sa.and_(time == at, later))


def place_of(image: Mapping[str, Any]) -> str:
    """Where it stands among the images, for the page that follows."""
    return f"{image['indexedAt'] or ''},{image['image']},{image['project']}"


def _image(row: sa.Row[Any], now: str) -> dict[str, Any]:
    shown = dict(row._mapping)
    not_after, standing = shown.pop("not_after"), shown.pop("standing")
    state = "none" if not_after is None else standing_of(not_after, standing, now)
    did_serve, serves = shown.pop("served_at") is not None, shown.pop("serves")
    indexed_at = shown.pop("indexed_at")
    sealed, sent_by, key = shown.pop("owner"), shown.pop("sent_by"), shown.pop("sent_by_key")
    return {
        **shown,
        "owner": opened(sealed, sent_by, key, place=OWNER_OF_SOURCE),
        "certificateState": state,
        "indexedAt": indexed_at,
        "served": "now" if serves else "before" if did_serve else "never",
    }


_EXCEPTIONS = with_words(sa.select(p.exceptions), p.exceptions.c.exception)
_BY = ("requestedBy", "grantedBy", "withdrawnBy")


def standing_of(not_after: str, standing: str | None, now: str) -> str:
    return "expired" if not_after <= now else standing or "valid"


def _are_in(state: ExceptionState, now: str) -> Iterator[sa.ColumnElement[bool]]:
    """As `_exception` tells it."""
    of = p.exceptions.c
    yield of.withdrawn_by.is_not(None) if state == "withdrawn" else of.withdrawn_by.is_(None)
    match state:
        case "withdrawn":
            return
        case "expired":
            yield of.until <= now
        case "requested":
            yield of.until > now
            yield of.granted_by.is_(None)
        case "granted":
            yield of.until > now
            yield of.granted_by.is_not(None)
        case _:
            assert_never(state)


def _exception(row: sa.Row[Any], now: str) -> dict[str, Any]:
    if row.withdrawn_by is not None:
        state = "withdrawn"
    elif row.until <= now:
        state = "expired"
    else:
        state = "requested" if row.granted_by is None else "granted"
    return {
        "exception": row.exception,
        "project": row.project,
        "rule": row.rule,
        "source": row.source,
        "until": row.until,
        "state": state,
        "reason": words_in(row),
        "requestedBy": row.requested_by,
        "requestedAt": row.requested_at,
        "grantedBy": row.granted_by,
        "grantedAt": row.granted_at,
        "withdrawnBy": row.withdrawn_by,
        "withdrawnAt": row.withdrawn_at,
    }


def _no_project(name: str) -> Unknown:
    return Unknown(f"there is no project {name!r} here", fix="see `placet list`")


_AWAITS = (
    sa.select(sa.func.max(p.awaited.c.release))
    .where(p.awaited.c.project == p.models.c.project, p.awaited.c.state == "awaiting")
    .scalar_subquery()
)
"""The newest release of a model that waits for approval."""

_LAST = (
    sa.select(sa.func.max(p.operations.c.id))
    .where(p.operations.c.project == p.models.c.project)
    .correlate(p.models)
    .scalar_subquery()
)
"""The operation of a model that was asked for last."""

_MODELS = (
    sa.select(
        *(column for column in p.models.c if column.name != "operation"),
        p.operations.c.operation,
        p.releases.c.trial,
        p.certificates.c.not_after,
        p.certificates.c.standing,
        p.certificates.c.lapsing,
        _AWAITS.label("awaits"),
    )
    .join_from(p.models, p.operations, p.models.c.operation == p.operations.c.id)
    .join(
        p.releases,
        sa.and_(p.models.c.project == p.releases.c.project, p.models.c.release == p.releases.c.release),
        isouter=True,
    )
    .join(p.certificates, p.models.c.certificate == p.certificates.c.certificate, isouter=True)
)
"""Models, each with the operation that brought it to its state, until when its certificate holds, and whether it was
said that this is soon."""

_ASKED_LAST = p.operations.alias("asked_last")
_WITH_LAST = _MODELS.add_columns(_ASKED_LAST.c.operation.label("last")).join(
    _ASKED_LAST, _ASKED_LAST.c.id == _LAST
)
_LISTED = _WITH_LAST.order_by(p.models.c.project).limit(sa.bindparam("most"))
_LISTED_AFTER = _LISTED.where(p.models.c.project > sa.bindparam("after"))
_MODEL = (
    _WITH_LAST.add_columns(
        p.certificates.c.warnings,
        *(p.takedowns.c[name].label(f"taken_down_{name}") for name in ("rule", "why", "fix")),
        p.observations.c.observed,
        p.observations.c.windows,
        sa.exists()
        .where(p.reviews.c.project == p.models.c.project, p.reviews.c.review.is_(None))
        .label("owes"),
    )
    .join(p.takedowns, p.takedowns.c.project == p.models.c.project, isouter=True)
    .join(p.observations, p.observations.c.project == p.models.c.project, isouter=True)
    .where(p.models.c.project == sa.bindparam("project"))
)
"""One of them, with all that is told of it. These are made once: it takes longer than to ask them."""


@lru_cache(maxsize=1024)
def _listed(hidden: Hidden, *, is_after: bool, deleted: bool) -> sa.Select[Any]:
    """`hidden` is one query for each person (`Sharing.hidden_from`)."""
    query = seen(_LISTED_AFTER if is_after else _LISTED, p.models.c.project, hidden)
    return query if deleted else query.where(p.models.c.state != "deleted")


def _asked_last(model: sa.Row[Any]) -> Operation:
    return msgspec.json.decode(model.last, type=Operation)


def _taken_down_for(model: sa.Row[Any]) -> list[dict[str, Any]]:
    if model.release is None or model.state not in p.TAKEN_DOWN or model.taken_down_why is None:
        return []
    return [{"rule": model.taken_down_rule, "why": model.taken_down_why, "fix": model.taken_down_fix}]


def _observed(model: sa.Row[Any]) -> dict[str, Any] | None:
    """The last window in which what serves was asked anything; the drift is the last that was told of it."""
    observed = p.read_observed(model) if model.observed else {}
    if observed.pop("release", None) != model.release or not observed:
        return None
    del observed["project"]
    return observed


def _model(row: sa.Row[Any], cause: Operation, now: str) -> dict[str, Any]:
    """What a model is: the facts of one release, which serves, did, or is the first to be meant to.

    One that is being mended is as far as its certificate until it serves again, unless others of its replicas serve;
    `detail` says why. Of one that nothing serves of yet it says what it waits for.
    """
    is_first = row.release is None and row.state in p.UNDER_WAY
    of = cause if is_first else row
    detail = cause.waits_for if is_first else None
    if row.diverged is not None:
        detail = f"starting again: {row.diverged}"
    canary = p.read_canary(row)
    return {
        "project": row.project,
        "release": of.release,
        "state": row.state if row.diverged is None or row.serves else "certified",
        "detail": detail,
        "url": row.url,
        "image": of.image,
        "certificate": of.certificate,
        "trial": bool(row.trial),
        "replicas": row.replicas,
        "canary": None
        if canary is None
        else {
            "release": canary.release,
            "weight": canary.weight,
            "image": canary.image,
            "certificate": canary.certificate,
        },
        "aborted": None if row.aborted is None else msgspec.json.decode(row.aborted),
        "certifiedUntil": row.not_after,
        "certificateState": "none"
        if row.not_after is None
        else standing_of(row.not_after, row.standing, now),
        "lapsing": row.state == "live" and bool(row.lapsing),
        "awaits": row.awaits,
    }
