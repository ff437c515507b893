"""The tree over the audit log: checkpoints, proofs, and the log's own tiles (C2SP tlog-tiles, below `/v1/audit`)."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import PlainTextResponse, Response

from placet.errors import Forbidden, Refused, Unknown, Unreadable
from placet.events.described import answers, errors, file
from placet.events.json_route import JsonRoute
from placet.events.known_fields import known_parameters
from placet.metadata import answers as shapes
from placet.metadata.access import ERRORS, Reader, must_read
from placet.metadata.ports import CheckpointKeys
from placet.metadata.queries import Queries, told_time
from placet.metadata.tree import Signed, Tree
from placet.trust.keys import verifying_key
from placet.trust.notes import SIGNS, NoteKey
from placet.trust.tiles import MAX_LEVEL, WIDTH, Place, number_in, width
from placet.trust.tokens import Token

MAX_SIZE = 2**53
_WIDTH = re.compile("[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5]")
IMMUTABLE = {"cache-control": "private, max-age=31536000, immutable"}
CHANGES = {"cache-control": "no-cache"}

Witnesses = Annotated[
    int, Query(ge=0, le=100, description="how many witnesses must have cosigned the checkpoint, at least")
]


def router(*, reader: Reader, tree: Tree, queries: Queries, keys: CheckpointKeys) -> APIRouter:
    api = APIRouter(
        prefix="/v1/audit",
        route_class=JsonRoute,
        tags=["audit"],
        responses=ERRORS,
        dependencies=[Depends(reader), Depends(known_parameters)],
    )

    caller = Depends(reader)

    @api.get("/checkpoint", response_class=PlainTextResponse, responses=errors(Unknown))
    async def get_checkpoint(witnesses: Witnesses = 0) -> Response:
        """The newest signed checkpoint: a signed note of origin, size and root (C2SP tlog-checkpoint)."""
        signed = await _latest(tree, witnesses)
        return PlainTextResponse(str(signed.note), headers=CHANGES)

    @api.get("/checkpoints", responses=answers(shapes.Checkpoints), response_model=None)
    async def get_checkpoints(
        after: Annotated[int, Query(ge=0, le=MAX_SIZE)] = 0,
        until: Annotated[int, Query(ge=1, le=MAX_SIZE)] = MAX_SIZE,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Every checkpoint that was signed of more than `after` events, smallest first; when is nobody's signature."""
        page = await tree.all_signed(after, until, limit)
        listed = [
            {
                "size": each.size,
                "note": str(each.note),
                "signedAt": told_time(each.signed_at),
            }
            for each in page
        ]
        return {"checkpoints": listed, "next": page[-1].size if page else after}

    @api.get("/proof", response_class=PlainTextResponse, responses=errors(Unknown, Refused))
    async def get_proof(
        position: Annotated[int | None, Query(ge=1, le=MAX_SIZE)] = None,
        event: Annotated[str | None, Query(max_length=100, pattern=r"^[ -~]+$")] = None,
        since: Annotated[
            int | None, Query(ge=0, le=MAX_SIZE, description="the size of an earlier checkpoint")
        ] = None,
        size: Annotated[
            int | None, Query(ge=1, le=MAX_SIZE, description="of the checkpoint; none: the newest")
        ] = None,
        witnesses: Witnesses = 0,
        who: Token = caller,
    ) -> Response:
        """That an event is in the log, by `position` or by id (C2SP tlog-proof, with its leaf as `extra`), or that the
        log goes on where it ended at `since` events (as C2SP tlog-witness has it). A leaf says what its event is:
        of one that is hidden from who asks they get no proof."""
        if sum(each is not None for each in (position, event, since)) != 1:
            raise Unreadable("a proof is of one thing", fix="give one of position, event and since")
        if since is not None:
            signed = await _signed(tree, size, witnesses)
            return PlainTextResponse(str(await tree.consistency(since, signed)), headers=CHANGES)
        at = position if position is not None else await queries.position_of(event or "")
        hidden = await queries.hidden_from(who)
        if hidden and await queries.is_hidden_at(at, hidden):
            raise Forbidden(
                f"position {at} is of a private project on which you have no role",
                rule="project.role",
                fix="ask an owner of that project, or an admin, for a role on it",
            )
        if size is None and not witnesses:
            newest, found = await tree.latest_with(at - 1)
            signed = _must_be(newest, witnesses)
        else:
            signed, found = await _signed(tree, size, witnesses), None
        if at > signed.size:
            raise await _not_in(signed, at, queries, newest=size is None and not witnesses)
        return PlainTextResponse(str(await tree.inclusion(at - 1, signed, found)), headers=CHANGES)

    @api.get("/keys", responses=answers(shapes.CheckpointKeys) | errors(Unknown), response_model=None)
    async def get_keys() -> dict[str, Any]:
        """The log's name, and the keys that its checkpoints were ever signed with, as verifier keys."""
        signed, history = await _latest(tree, 0), await keys.history()
        listed = [
            {
                **msgspec.to_builtins(each),
                "vkey": NoteKey(name=signed.origin, kind=SIGNS, key=verifying_key(each.kid, each.x)).vkey,
            }
            for each in history
        ]
        return {"origin": signed.origin, "keys": listed}

    @api.get("/witnesses", responses=answers(shapes.Witnesses), response_model=None)
    async def get_witnesses() -> dict[str, Any]:
        """Who outside has seen how much of the log, and what is in the way."""
        latest = await tree.latest()
        return {"size": latest.size if latest else 0, "witnesses": await queries.witnesses()}

    @api.get("/producers", responses=answers(shapes.Producers), response_model=None)
    async def get_producers() -> dict[str, Any]:
        """What every producer says of its own store: one digest over all events of its latest epoch, up to a position.

        `placet audit verify` holds the log against it.
        """
        return {"producers": await queries.producers()}

    @api.get(
        "/tile/entries/{number:path}",
        response_class=Response,
        responses=file("application/octet-stream") | errors(Unknown),
    )
    async def get_entries_tile(number: str, who: Token = caller) -> Response:
        """256 leaves, each with its length before it; of a tile that is not full `….p/WIDTH`. For those from whom no
        project is hidden."""
        must_read(None, await queries.hidden_from(who))
        place, count = await _tile(tree, 0, number)
        leaves = await tree.leaves(place.number * WIDTH, count)
        body = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
        return Response(body, media_type="application/octet-stream", headers=IMMUTABLE)

    @api.get(
        "/tile/{level}/{number:path}",
        response_class=Response,
        responses=file("application/octet-stream") | errors(Unknown),
    )
    async def get_tile(level: Annotated[int, Path(ge=0, le=MAX_LEVEL)], number: str) -> Response:
        """256 hashes of the tree at a level; of a tile that is not full `….p/WIDTH`."""
        place, count = await _tile(tree, level, number)
        latest = await _latest(tree, 0)
        hashes = (await tree.hashes([place], latest.size))[place][: count * 32]
        return Response(hashes, media_type="application/octet-stream", headers=IMMUTABLE)

    return api


async def _signed(tree: Tree, size: int | None, witnesses: int) -> Signed:
    return await (_latest(tree, witnesses) if size is None else _of_size(tree, size, witnesses))


async def _not_in(signed: Signed, at: int, queries: Queries, *, newest: bool) -> Unknown:
    """The next checkpoint is worth waiting for where the log has it already."""
    head = await queries.head()
    if at > head:
        return Unknown(
            f"the audit log has {head} events, and none at position {at}",
            fix="`placet events` has the `sequence` of each",
        )
    return Unknown(
        f"position {at} is not in the checkpoint of {signed.size} events",
        fix="ask again in a second: the next checkpoint has what is in the log by now"
        if newest
        else "leave size and witnesses out for the newest checkpoint",
    )


async def _latest(tree: Tree, witnesses: int) -> Signed:
    return _must_be(await tree.latest(witnesses=witnesses), witnesses)


def _must_be(signed: Signed | None, witnesses: int) -> Signed:
    if signed is None:
        raise Unknown(
            f"no checkpoint has {_cosignatures(witnesses)} yet"
            if witnesses
            else "there is no checkpoint yet: nothing is in the log",
            fix="`placet audit checkpoint` tells how much each witness has seen, and what is in its way"
            if witnesses
            else "ask again once something happened",
        )
    return signed


async def _of_size(tree: Tree, size: int, witnesses: int) -> Signed:
    signed = await tree.of_size(size, witnesses=witnesses)
    if signed is None:
        by = f" that has {_cosignatures(witnesses)}" if witnesses else ""
        raise Unknown(f"no checkpoint of {size} events was signed{by}", fix="leave size out for the newest")
    return signed


def _cosignatures(witnesses: int) -> str:
    return "the cosignature of a witness" if witnesses == 1 else f"the cosignatures of {witnesses} witnesses"


async def _tile(tree: Tree, level: int, path: str) -> tuple[Place, int]:
    """Which tile, and how many hashes of it. Raises Unknown where no checkpoint that was signed has it so."""
    number, partial, count = path.partition(".p/")
    if partial and not _WIDTH.fullmatch(count):
        raise Unknown(f"{path[:100]!r} is no tile", fix="a tile that is not full ends in .p/1 to .p/255")
    try:
        place = Place(level, number_in(number))
    except Refused as error:
        raise Unknown(str(error), fix=error.fix) from error
    wanted = int(count) if partial else WIDTH
    if wanted > width(place, (await _latest(tree, 0)).size):
        raise Unknown(f"the tree has no tile {level}/{path} yet", fix="fetch the checkpoint first")
    return place, wanted
