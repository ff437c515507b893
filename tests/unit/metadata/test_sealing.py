"""The tree over the audit log: signed as it grows, proved from what was written once, never contradicting itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.errors import Conflict, Refused, Unavailable, Unreadable
from placet.metadata.adapters.signed_file import SignedFile
from placet.metadata.ports import Ports
from placet.metadata.projections import AUDIT, checkpoints, tiles
from placet.metadata.sealing import MOST_OVERTAKEN, SIGNED_AT_ONCE, Sealing
from placet.metadata.tree import Tree
from placet.trust import OwnKeys
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.key_files import KeyFiles
from placet.trust.leaves import Leaf
from placet.trust.merkle import leaf_hash, root_of
from placet.trust.notes import SIGNS, NoteKey

from tests.support.administrator import change_sqlite
from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import Metadata, a_log
from tests.unit.metadata.receivers import Scripted

BASE = "placet.example/audit"


@dataclass
class Sealed:
    """An audit log, and what grows the tree over it."""

    log: Metadata
    folder: Path
    kept: int = 0

    def keys(self) -> OwnKeys:
        return OwnKeys(self.folder / "checkpoints.pem", self.log.alone.clock.now)

    def sealing(self, base: str = BASE) -> Sealing:
        """As after a start of the service."""
        ports = Ports(
            receivers=Scripted(),
            keys=KeyFiles(self.keys()),
            signed=SignedFile(self.folder / "checkpoints.last"),
        )
        return Sealing(self.log.alone.wiring, ports, base)

    @property
    def tree(self) -> Tree:
        return Tree(self.log.alone.wiring.store)

    @property
    def known(self) -> list[NoteKey]:
        kid = self.keys().active().key
        return [NoteKey(name=BASE, kind=SIGNS, key=kid.public)]

    async def happen(self, events: int) -> None:
        first = self.kept + 1
        self.kept += events
        heard = [self.log.heard(asked(release=at), at) for at in range(first, self.kept + 1)]
        if heard:
            await self.log.keep(*heard)

    async def checkpoint(self) -> Checkpoint:
        latest = await self.tree.latest()
        assert latest is not None
        return notes.verify(latest.note, self.known)[0]

    async def hashes(self) -> list[bytes]:
        """Of the leaves, from the events themselves."""
        store = self.log.alone.wiring.store
        return [
            leaf_hash(
                Leaf.of(
                    each.event.raw,
                    position=each.position,
                    producer="gateway",
                    epoch="1",
                    producer_position=each.version,
                ).to_bytes()
            )
            async for page in store.replay(log=AUDIT)
            for each in page
        ]

    def as_administrator(self, *statements: str, values: tuple[str | int, ...] = ()) -> None:
        """Change the database past the service, whatever it has against that."""
        change_sqlite(self.folder / "metadata.db", *statements, values=values)


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Sealed]:
    async with a_log(tmp_path) as log:
        yield Sealed(log, tmp_path)


async def test_what_is_in_the_log_is_signed(sealed: Sealed) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    checkpoint = await sealed.checkpoint()
    assert (checkpoint.origin, checkpoint.size) == (BASE, 3)
    assert checkpoint.root == root_of(await sealed.hashes())


async def test_where_nothing_happened_nothing_is_signed(sealed: Sealed) -> None:
    sealing = sealed.sealing()
    await sealing.catch_up()
    assert await sealed.tree.latest() is None
    await sealed.happen(1)
    await sealing.catch_up()
    first = await sealed.tree.latest()
    sealed.log.alone.clock.pass_(timedelta(seconds=5))
    await sealing.catch_up()
    assert await sealed.tree.latest() == first


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.booleans()), min_size=1, max_size=5))
async def test_a_tree_is_the_same_however_it_grew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    """In steps of any size, with starts of the service in between; tiles are full at 256."""
    folder = tmp_path_factory.mktemp("log")
    async with a_log(folder) as log:
        sealed = Sealed(log, folder)
        sealing = sealed.sealing()
        sizes = []
        for events, starts_again in steps:
            await sealed.happen(events)
            if starts_again:
                sealing = sealed.sealing()
            await sealing.catch_up()
            sizes.append(sealed.kept)
        hashes = await sealed.hashes()
        for size in {size for size in sizes if size}:
            signed = await sealed.tree.of_size(size)
            assert signed is not None
            assert notes.verify(signed.note, sealed.known)[0].root == root_of(hashes[:size])
        rows = await log.alone.wiring.store.rows(sa.select(tiles))
        assert {(row.level, row.number) for row in rows} == {
            (0, number) for number in range(len(hashes) // 256)
        }


async def test_a_log_that_is_far_ahead_is_signed_in_parts(sealed: Sealed) -> None:
    await sealed.happen(SIGNED_AT_ONCE + 300)
    await sealed.sealing().catch_up()
    rows = await sealed.log.alone.wiring.store.rows(
        sa.select(checkpoints.c.size).order_by(checkpoints.c.size)
    )
    assert [row.size for row in rows] == [SIGNED_AT_ONCE, SIGNED_AT_ONCE + 300]
    assert (await sealed.checkpoint()).root == root_of(await sealed.hashes())


async def test_every_event_is_proved_in_every_later_checkpoint(sealed: Sealed) -> None:
    sealing = sealed.sealing()
    for events in (1, 255, 300):
        await sealed.happen(events)
        await sealing.catch_up()
    for size in (1, 256, 556):
        signed = await sealed.tree.of_size(size)
        assert signed is not None
        for position in {1, size // 2 + 1, size}:
            proof = await sealed.tree.inclusion(position - 1, signed)
            assert proof.extra is not None
            assert proof.verify(proof.extra, sealed.known).size == size
            assert Leaf.from_bytes(proof.extra).position == position
        for earlier in (1, 100, 256):
            if earlier <= size:
                known = Checkpoint(origin=BASE, size=earlier, root=root_of((await sealed.hashes())[:earlier]))
                (await sealed.tree.consistency(earlier, signed)).verify(known, sealed.known)


async def test_who_led_until_now_and_who_leads_write_the_same_tree_once(sealed: Sealed) -> None:
    await sealed.happen(300)
    one, other = sealed.sealing(), sealed.sealing()
    done = await asyncio.gather(one.catch_up(), other.catch_up(), return_exceptions=True)
    assert [each for each in done if each is not None and not isinstance(each, Conflict)] == []
    await sealed.happen(300)
    await other.catch_up()
    await sealed.happen(1)
    await one.seal()  # behind, whatever it remembers: it sees how far the other came
    await one.catch_up()
    assert (await sealed.checkpoint()).size == 601
    assert (await sealed.checkpoint()).root == root_of(await sealed.hashes())


async def test_a_rotated_key_signs_from_then_on(sealed: Sealed) -> None:
    await sealed.happen(1)
    sealing = sealed.sealing()
    await sealing.catch_up()
    before = sealed.known
    sealed.keys().rotate(at=sealed.log.alone.clock.now(), why="scheduled")
    sealed.log.alone.clock.pass_(timedelta(seconds=2))
    await sealed.happen(1)
    await sealing.catch_up()
    assert sealed.known != before
    assert (await sealed.checkpoint()).size == 2


async def test_one_that_ended_before_its_commit_goes_on(sealed: Sealed) -> None:
    """What was signed is kept first: the log is that log still, and keeps its name."""
    await sealed.happen(3)
    sealing = sealed.sealing()
    await sealing.catch_up()
    await sealed.happen(2)
    ahead = Checkpoint(origin=BASE, size=5, root=root_of(await sealed.hashes()))
    await SignedFile(sealed.folder / "checkpoints.last").keep(ahead)
    await sealed.sealing().catch_up()
    assert await sealed.checkpoint() == ahead


async def test_who_comes_late_with_less_takes_back_nothing_that_was_signed(sealed: Sealed) -> None:
    """A leader that was deposed and does not know it yet."""
    signed = SignedFile(sealed.folder / "checkpoints.last")
    five, three = (Checkpoint(origin=BASE, size=size, root=leaf_hash(b"x")) for size in (5, 3))
    await signed.keep(five)
    await signed.keep(three)
    assert await signed.last() == five
    restored = Checkpoint(origin=f"{BASE}/2", size=3, root=leaf_hash(b"y"))
    await signed.keep(restored)
    assert await signed.last() == restored
    assert [file.name for file in sealed.folder.glob("*checkpoints.last*")] == ["checkpoints.last"]


async def test_where_what_was_signed_cannot_be_kept_nothing_is_signed(sealed: Sealed) -> None:
    with pytest.raises(Unavailable, match="no checkpoint is signed"):
        await SignedFile(sealed.folder / "nowhere" / "last").keep(
            Checkpoint(origin=BASE, size=5, root=leaf_hash(b"x"))
        )


# What somebody did to the database.


async def test_what_comes_while_a_checkpoint_is_made_waits_for_the_next(sealed: Sealed) -> None:
    """Or under load one would follow the other, and each costs whoever appends."""

    class Busy(SignedFile):
        async def keep(self, checkpoint: Checkpoint) -> None:
            await super().keep(checkpoint)
            await sealed.happen(1)

    ports = Ports(
        receivers=Scripted(), keys=KeyFiles(sealed.keys()), signed=Busy(sealed.folder / "checkpoints.last")
    )
    sealing = Sealing(sealed.log.alone.wiring, ports, BASE)
    await sealed.happen(3)
    await sealing.catch_up()
    assert (await sealed.checkpoint()).size == 3
    await sealing.catch_up()
    assert (await sealed.checkpoint()).size == 4


async def test_an_event_that_was_changed_ends_the_signing(sealed: Sealed) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    sealed.as_administrator(
        "UPDATE audit SET raw = CAST(replace(CAST(raw AS TEXT), '\"release\":2', '\"release\":9') AS BLOB) "
        "WHERE position = 2"
    )
    with pytest.raises(Unreadable, match="was changed since its checkpoint of 3 events"):
        await sealed.sealing().catch_up()


async def test_an_end_that_was_cut_off_ends_the_signing(sealed: Sealed) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    sealed.as_administrator(
        "DELETE FROM audit WHERE position > 2",
        "UPDATE log_heads SET position = 2 WHERE log = 'audit'",
        "DELETE FROM audit_checkpoints",
    )
    with pytest.raises(Refused, match="not the one of which a checkpoint of 3 events was signed"):
        await sealed.sealing().catch_up()


async def test_what_was_rewritten_and_said_to_be_restored_is_another_log(sealed: Sealed) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    sealed.as_administrator(
        "DELETE FROM audit WHERE position > 2",
        "UPDATE log_heads SET position = 2 WHERE log = 'audit'",
        "DELETE FROM audit_checkpoints",
    )
    await sealed.log.alone.wiring.store.begin_epoch(AUDIT)
    sealed.kept = 2
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    assert (latest.origin, latest.size) == (f"{BASE}/2", 3)
    await sealed.happen(1)
    await sealed.sealing().catch_up()  # and stays it
    latest = await sealed.tree.latest()
    assert latest is not None
    assert (latest.origin, latest.size) == (f"{BASE}/2", 4)


async def test_a_new_epoch_that_lost_nothing_keeps_its_name(sealed: Sealed) -> None:
    """As after a failover to a server that had everything."""
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    await sealed.log.alone.wiring.store.begin_epoch(AUDIT)
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    assert (await sealed.checkpoint()).origin == BASE


async def test_where_nobody_knows_what_was_signed_a_new_epoch_is_another_log(sealed: Sealed) -> None:
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    (sealed.folder / "checkpoints.last").unlink()
    await sealed.log.alone.wiring.store.begin_epoch(AUDIT)
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    assert latest.origin == f"{BASE}/2"


async def test_a_log_keeps_the_name_that_others_know_it_by(sealed: Sealed) -> None:
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    with pytest.raises(Refused, match=r"called placet\.example/audit since its first checkpoint"):
        await sealed.sealing("other.example/audit").catch_up()


async def test_a_last_checkpoint_that_somebody_changed_is_told(sealed: Sealed) -> None:
    (sealed.folder / "checkpoints.last").write_text("x")
    with pytest.raises(Refused, match="cannot be read"):
        await sealed.sealing().catch_up()


async def test_a_tile_that_was_removed_is_told(sealed: Sealed) -> None:
    await sealed.happen(600)
    await sealed.sealing().catch_up()
    sealed.as_administrator("DELETE FROM audit_tiles WHERE number = 1")
    with pytest.raises(Unreadable, match="1 tiles are missing"):
        await sealed.sealing().catch_up()


async def test_a_tree_without_its_checkpoints_is_told(sealed: Sealed) -> None:
    """It would be written again and again, and each time somebody would have been first."""
    await sealed.happen(300)
    await sealed.sealing().catch_up()
    sealed.as_administrator("DELETE FROM audit_checkpoints")
    sealing = sealed.sealing()
    for _ in range(MOST_OVERTAKEN):
        await sealing.seal()  # a leader that was deposed might be as well
    with pytest.raises(Unreadable, match="rows that no checkpoint of it is over"):
        await sealing.seal()


async def test_a_checkpoint_without_its_tree_is_told(sealed: Sealed) -> None:
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    [row] = await sealed.log.alone.wiring.store.rows(sa.select(checkpoints))
    forged = str(
        notes.sign(Checkpoint(origin=BASE, size=2, root=leaf_hash(b"x")), sealed.keys().active().key)
    )
    assert forged != row.note
    sealed.as_administrator("UPDATE audit_checkpoints SET note = ?", values=(forged,))
    with pytest.raises(Unreadable, match="was changed since its checkpoint of 2 events"):
        await sealed.sealing().catch_up()
