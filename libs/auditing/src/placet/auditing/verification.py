"""Does a platform's audit log hold? It is read from end to end, and no word of the platform's is believed.

An `Auditor` (of `placet.trust`) knows what a log has to be; here is what asks a platform for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

import msgspec

from placet.client import Client, LogProducer
from placet.errors import Refused, Unavailable, Unknown, Unreadable
from placet.trust import checkpoints
from placet.trust.auditing import NOT_AS_IT_WAS, Audited, Auditor, Entry, Known, Said, first_difference
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note, NoteKey
from placet.trust.proofs import ConsistencyProof
from placet.trust.tiles import WIDTH, Place, path_of

CUT_OFF = "ask who restored an older copy, and compare it with what witnesses have cosigned"
"""What to do about a log that has become shorter."""
_MOST_CHECKPOINTS = 10_000
"""That are looked at to tell more closely where a log was changed."""
_ENTRIES = msgspec.json.Decoder(Entry)


async def said_of_stores(platform: Client) -> list[Said]:
    """What each producer says that its own store holds. To be asked for before the log's newest checkpoint is: none of
    them is of a longer log then."""
    return [_said(each) for each in (await platform.log_producers()).producers]


def _said(each: LogProducer) -> Said:
    try:
        digest = bytes.fromhex(each.digest)
    except ValueError as error:
        raise Unreadable(f"what {each.producer} says of its store is no digest") from error
    return Said(each.producer, each.epoch, each.position, digest)


async def signed_by(platform: Client, keys: Sequence[NoteKey]) -> tuple[Checkpoint, NoteKey]:
    """The newest checkpoint, and which of the keys signed it. Raises Refused where none of them did."""
    return checkpoints.verify(Note.from_bytes(await platform.checkpoint()), keys)


async def must_go_on_from(
    platform: Client, known: Known, signed: Checkpoint, keys: Sequence[NoteKey]
) -> None:
    """One of before where this audit begins: that the very checkpoint that is verified goes on from it."""
    data = await platform.log_proof(since=known.checkpoint.size, size=signed.size)
    try:
        proved = ConsistencyProof.from_bytes(data).verify(known.checkpoint, keys)
    except Refused as error:
        raise Refused(
            f"the log does not go on where {known.kept_by} has it: {error.detail}",
            rule="audit.append-only",
            fix="verify it --anew, to see where it was changed",
        ) from error
    if proved != signed:
        raise Refused(
            f"what leads on from {known.kept_by} is another checkpoint than the one that is verified",
            rule="audit.append-only",
            fix="the platform shows two histories: keep both checkpoints, and stop believing it",
        )


async def go_through(
    platform: Client, auditor: Auditor, until: int, on_piece: Callable[[], None] = lambda: None
) -> None:
    """Read to position `until`; `on_piece` is called whenever the auditor has come further. A stream that breaks off is
    taken up again.

    Raises Unreadable for what is no log, Refused for one whose events are not in their places.
    """
    while auditor.size < until:
        came = auditor.size
        try:
            async with aclosing(platform.log_lines(after=came, until=until)) as pieces:
                async for piece in pieces:
                    # Beside the loop: who audits may have others to answer meanwhile.
                    await asyncio.to_thread(_take, auditor, piece)
                    if auditor.size > until:
                        raise Unreadable(
                            f"the platform goes on behind position {until}, which was not asked for",
                            fix=NOT_AS_IT_WAS,
                        )
                    on_piece()
        except Unavailable:
            # Whoever sends a stream cannot say any more what went wrong; asked for an entry, it can.
            async with aclosing(platform.entries(after=auditor.size)) as entries:
                await anext(entries, None)
            if auditor.size == came:
                raise
        else:
            return


def _take(auditor: Auditor, piece: bytes) -> None:
    auditor.take(read_entries(piece))


def read_entries(piece: bytes) -> list[Entry]:
    try:
        entries = _ENTRIES.decode_lines(piece)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(
            f"the platform sends no entries of an audit log: {error}", fix=NOT_AS_IT_WAS
        ) from error
    # Of empty ones there need be no end; and who mends a service takes one for our word that what came before it holds.
    if piece[:1] != b"{" or piece.count(b"\n{") != piece.count(b"\n") - 1:
        raise Unreadable(
            "the platform sends empty lines in place of an audit log's entries", fix=NOT_AS_IT_WAS
        )
    return entries


async def judge(platform: Client, auditor: Auditor, signed: Checkpoint, keys: Sequence[NoteKey]) -> None:
    """Raises Refused for the first checkpoint that the log contradicts, with what was changed; and where a producer
    has other events than the log has of it."""
    if auditor.size < signed.size:
        raise Refused(
            f"the log ends at position {auditor.size}, and a checkpoint of {_events(signed.size)} is signed:"
            " its end was cut off",
            rule="audit.append-only",
            fix=CUT_OFF,
        )
    unreached = auditor.unreached()
    if unreached:
        longest = unreached[-1]
        raise Refused(
            f"the log has {_events(auditor.size)}, and {longest.kept_by} is of {longest.checkpoint.size}:"
            " its end was cut off",
            rule="audit.append-only",
            fix=CUT_OFF,
        )
    if auditor.contradicted:
        first = min(auditor.contradicted, key=lambda each: each.checkpoint.size)
        size = first.checkpoint.size
        agreed = max(
            (each.checkpoint.size for each in auditor.agreed if each.checkpoint.size < size), default=0
        )
        changed = await _what_changed(platform, agreed, first.checkpoint, signed, keys)
        raise Refused(
            f"the log is not the one of {first.kept_by}: {changed}",
            rule="audit.tamper",
            fix="restore the newest copy from before, and find out who has access to the database",
        )
    other = sorted(producer for producer, is_same in auditor.stores.items() if not is_same)
    if other:
        raise Refused(
            f"{' and '.join(other)} {'say' if len(other) > 1 else 'says'} that the own store has other events than this"
            " log has: one of the two was changed",
            rule="audit.producers",
            fix="compare them with a backup of either, and find out who has access to which database",
        )


async def _what_changed(
    platform: Client, agreed: int, contradicted: Checkpoint, signed: Checkpoint, keys: Sequence[NoteKey]
) -> str:
    """By the tree's tiles, which were written as the events were: they differ from an event that was changed later."""
    size = contradicted.size
    tree = Auditor(Audited(origin=contradicted.origin))
    waiting: list[Entry] = []
    async with aclosing(platform.log_lines(until=size)) as pieces:
        async for piece in pieces:
            entries = read_entries(piece)
            waiting += [each for each in entries if each.position <= size]
            while len(waiting) >= WIDTH or (waiting and waiting[-1].position == size):
                batch, waiting = waiting[:WIDTH], waiting[WIDTH:]
                found = await _differs(platform, tree, batch)
                if found is not None:
                    named = found.leaf()
                    return (
                        f"position {found.position}, {named.type} {named.id}, was changed after it was signed"
                    )
            if entries[-1].position >= size:  # what goes on behind was not asked for, and need not end
                break
    first, last = agreed + 1, size
    # Who rewrote the log may have signed others; where the log contradicts what it signed itself, they tell.
    if contradicted == signed:
        first, last = await _between(platform, agreed, contradicted, keys)
    return f"something from position {first} to {last} was changed, or the tree over it was made anew"


async def _between(
    platform: Client, agreed: int, contradicted: Checkpoint, keys: Sequence[NoteKey]
) -> tuple[int, int]:
    """The tile at the end is not written yet, and tells nothing; the checkpoints of that time may."""
    earlier: list[Known] = []
    looked_at = 0
    async with aclosing(platform.checkpoints(after=agreed, until=contradicted.size)) as told:
        async for each in told:
            looked_at += 1
            with suppress(Refused, Unreadable):  # it only makes the answer less close
                found, _ = checkpoints.verify(Note.from_bytes(each.note.encode()), keys)
                earlier.append(Known(found, _events(found.size)))
            if looked_at >= _MOST_CHECKPOINTS:
                break
    own = [each for each in earlier if each.checkpoint.origin == contradicted.origin]
    auditor = Auditor(Audited(origin=contradicted.origin), own)
    async with aclosing(platform.log_lines(until=contradicted.size)) as pieces:
        async for piece in pieces:
            entries = read_entries(piece)
            auditor.take(each for each in entries if each.position <= contradicted.size)
            if entries[-1].position >= contradicted.size:
                break
    last = min((each.checkpoint.size for each in auditor.contradicted), default=contradicted.size)
    first = max(
        (each.checkpoint.size for each in auditor.agreed if each.checkpoint.size < last), default=agreed
    )
    return first + 1, last


async def _differs(platform: Client, tree: Auditor, batch: Sequence[Entry]) -> Entry | None:
    place = Place(0, tree.size // WIDTH)
    suffix = "" if len(batch) == WIDTH else f".p/{len(batch)}"
    hashes = tree.take(batch)
    try:
        tile = await platform.log_tile(path_of(place) + suffix)
    except Unknown:
        return batch[0]  # the tree ends before: this event was not in it
    index = first_difference(hashes, tile)
    return None if index is None else batch[index]


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"
