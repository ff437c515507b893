"""Checkpoints are shown outside, to each witness at its own pace, and what becomes of it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from placet.errors import Refused, Unavailable
from placet.metadata.adapters.checkpoint_folder import CheckpointFolder
from placet.metadata.ports import Knows
from placet.metadata.witnessing import Witnessing
from placet.trust import SigningKey
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import EMPTY_ROOT
from placet.trust.notes import COSIGNS, Note, NoteKey, Signature
from placet.trust.proofs import ConsistencyProof

from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_checkpoints_api import get
from tests.unit.metadata.test_sealing import BASE, Sealed


@dataclass
class Honest:
    """A witness, as C2SP's tlog-witness wants one."""

    sealed: Sealed
    key: SigningKey = field(default_factory=SigningKey.generate)
    name: str = "witness.example"
    pace: timedelta = timedelta()
    seen: Checkpoint = field(default_factory=lambda: Checkpoint(origin=BASE, size=0, root=EMPTY_ROOT))
    asked: int = 0
    trouble: Exception | None = None

    @property
    def known(self) -> NoteKey:
        return NoteKey(name=self.name, kind=COSIGNS, key=self.key.public)

    async def show(self, proof: ConsistencyProof) -> Signature | Knows:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        if proof.old != self.seen.size:
            return Knows(size=self.seen.size)
        self.seen = proof.verify(self.seen, self.sealed.known)
        at = self.sealed.log.alone.clock.now()
        return notes.cosign(proof.checkpoint.text, name=self.name, key=self.key, at=at)


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Sealed]:
    async with a_log(tmp_path) as log:
        yield Sealed(log, tmp_path)


async def state(sealed: Sealed) -> dict[str, object]:
    [one] = (await get(sealed, "/witnesses")).json()["witnesses"]
    return dict(one)


async def test_a_witness_cosigns_what_goes_on(sealed: Sealed) -> None:
    witness = Honest(sealed)
    telling, sealing = Witnessing(sealed.log.alone.wiring, witness), sealed.sealing()
    for events in (3, 300):
        await sealed.happen(events)
        await sealing.catch_up()
        await telling.tell()
    note = Note.from_bytes((await get(sealed, "/checkpoint", witnesses=1)).content)
    assert [each.by for each in notes.cosigned(note, [witness.known])] == [witness.known]
    assert Checkpoint.from_text(note.text).size == witness.seen.size == 303
    assert await state(sealed) == {
        "name": "witness.example",
        "size": 303,
        "seenAt": "2026-01-01T00:00:00.000Z",
        "askedAt": "2026-01-01T00:00:00.000Z",
        "trouble": None,
    }


async def test_what_it_has_seen_it_is_not_shown_again(sealed: Sealed) -> None:
    witness = Honest(sealed)
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await telling.tell()
    await sealed.happen(1)
    await sealed.sealing().catch_up()
    for _ in range(3):
        await telling.tell()
    assert witness.asked == 1


async def test_where_nothing_happens_it_is_asked_again_every_hour(sealed: Sealed) -> None:
    """Or its cosignature would grow old, and look like one of a log that hides what came since."""
    witness = Honest(sealed)
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    times = []
    for _ in range(3):
        await telling.tell()
        note = Note.from_bytes((await get(sealed, "/checkpoint", witnesses=1)).content)
        times += [each.at for each in notes.cosigned(note, [witness.known])]
        sealed.log.alone.clock.pass_(timedelta(hours=1))
    assert [later - times[0] for later in times] == [timedelta(hours=at) for at in range(3)]
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    await telling.tell()
    earlier = await sealed.tree.of_size(3)
    assert earlier is not None
    assert [each.at for each in notes.cosigned(earlier.note, [witness.known])] == times[:1]


async def test_what_a_witness_answers_is_kept_as_words(sealed: Sealed) -> None:
    """A text with a zero is more than PostgreSQL takes, and ended the service."""
    witness = Honest(sealed, trouble=Refused("it answers 400: \x00\x1b[2J\ud800" + "x" * 10_000))
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    await Witnessing(sealed.log.alone.wiring, witness).tell()
    trouble = str((await state(sealed))["trouble"])
    assert trouble.isprintable()
    assert trouble.startswith("it answers 400: ")
    assert len(trouble) <= 500


async def test_one_that_knows_more_than_we_remember_goes_on_from_there(sealed: Sealed) -> None:
    """As after a restart that lost what had been answered, or where another process told it."""
    witness, sealing = Honest(sealed), sealed.sealing()
    await sealed.happen(2)
    await sealing.catch_up()
    witness.seen = await sealed.checkpoint()
    await sealed.happen(2)
    await sealing.catch_up()
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await telling.tell()
    await telling.tell()
    assert witness.seen.size == 4
    assert (await state(sealed))["trouble"] is None


async def test_one_whose_answer_was_lost_is_asked_for_it_again(sealed: Sealed) -> None:
    """It knows the very checkpoint that it is shown, and its cosignature is what is missing."""
    witness = Honest(sealed)
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    witness.seen = await sealed.checkpoint()
    await Witnessing(sealed.log.alone.wiring, witness).tell()
    assert await sealed.tree.latest(witnesses=1) is not None
    assert (await state(sealed))["size"] == 2


async def test_one_that_was_away_just_as_it_was_to_repeat_its_answer_is_asked_again(sealed: Sealed) -> None:
    @dataclass
    class Leaving(Honest):
        async def show(self, proof: ConsistencyProof) -> Signature | Knows:
            if self.asked == 1:
                self.asked += 1
                raise Unavailable("the witness is away")
            return await super().show(proof)

    witness = Leaving(sealed)
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    witness.seen = await sealed.checkpoint()
    await telling.tell()
    assert await state(sealed) | {"askedAt": None} == {
        "name": "witness.example",
        "size": 2,
        "seenAt": None,
        "askedAt": None,
        "trouble": "the witness is away",
    }
    sealed.log.alone.clock.pass_(timedelta(seconds=31))
    await telling.tell()
    assert await sealed.tree.latest(witnesses=1) is not None
    assert (await state(sealed))["trouble"] is None


async def test_one_that_knows_another_size_each_time_has_seen_nothing_and_is_left_alone_for_a_while(
    sealed: Sealed,
) -> None:
    @dataclass
    class Fickle(Honest):
        async def show(self, proof: ConsistencyProof) -> Signature | Knows:
            self.asked += 1
            return Knows(size=self.asked % 2)

    witness = Fickle(sealed)
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    for _ in range(5):
        await telling.tell()
    assert witness.asked == 2
    assert "does not go on from there" in str((await state(sealed))["trouble"])
    assert (await state(sealed))["seenAt"] is None


async def test_a_cosignature_that_is_there_already_is_no_trouble(sealed: Sealed) -> None:
    """Another process, which led until now, was told the same."""
    witness = Honest(sealed)
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    await Witnessing(sealed.log.alone.wiring, witness).tell()
    sealed.as_administrator("DELETE FROM audit_witnesses")
    await Witnessing(sealed.log.alone.wiring, witness).tell()
    assert (await state(sealed))["trouble"] is None


async def test_one_that_has_seen_a_longer_log_is_heard(sealed: Sealed) -> None:
    witness = Honest(sealed)
    witness.seen = Checkpoint(origin=BASE, size=9, root=EMPTY_ROOT)
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    await Witnessing(sealed.log.alone.wiring, witness).tell()
    assert "seen a log of 9 events, and this one has 3: its end was cut off" in str(
        (await state(sealed))["trouble"]
    )


async def test_one_that_is_away_is_asked_again_after_a_while(sealed: Sealed) -> None:
    witness = Honest(sealed, trouble=Unavailable("the witness is away"))
    telling = Witnessing(sealed.log.alone.wiring, witness)
    await sealed.happen(3)
    await sealed.sealing().catch_up()
    for _ in range(5):
        await telling.tell()
    assert witness.asked == 1
    assert (await state(sealed))["trouble"] == "the witness is away"
    assert (await state(sealed))["seenAt"] is None
    for _ in range(20):
        sealed.log.alone.clock.pass_(timedelta(seconds=1))
        await telling.tell()
    assert 3 <= witness.asked <= 7
    witness.trouble = None
    sealed.log.alone.clock.pass_(timedelta(seconds=31))
    await telling.tell()
    assert (await state(sealed))["trouble"] is None
    assert (await state(sealed))["size"] == 3


async def test_a_checkpoint_that_enough_have_cosigned_is_found(sealed: Sealed) -> None:
    sealing = sealed.sealing()
    await sealed.happen(1)
    await sealing.catch_up()
    await Witnessing(sealed.log.alone.wiring, Honest(sealed)).tell()
    await Witnessing(sealed.log.alone.wiring, Honest(sealed, name="second.example")).tell()
    await sealed.happen(1)
    await sealing.catch_up()
    assert Note.from_bytes((await get(sealed, "/checkpoint", witnesses=2)).content).text.split("\n")[1] == "1"
    assert Note.from_bytes((await get(sealed, "/checkpoint")).content).text.split("\n")[1] == "2"
    assert (
        "has the cosignatures of 3 witnesses yet"
        in (await get(sealed, "/checkpoint", 404, witnesses=3)).json()["detail"]
    )


async def test_an_archive_has_a_file_for_each(sealed: Sealed, tmp_path: Path) -> None:
    folder = tmp_path / "once"
    folder.mkdir()
    telling, sealing = Witnessing(sealed.log.alone.wiring, CheckpointFolder(folder)), sealed.sealing()
    for _ in range(2):
        await sealed.happen(2)
        await sealing.catch_up()
        await telling.tell()
    first, second = sorted(folder.iterdir())
    assert (first.name, second.name) == ("00000000000000000002.checkpoint", "00000000000000000004.checkpoint")
    checkpoint, _ = notes.verify(Note.from_bytes(second.read_bytes()), sealed.known)
    assert checkpoint == await sealed.checkpoint()
    assert second.stat().st_mode & 0o222 == 0
    assert (await state(sealed))["size"] == 4


async def test_an_archive_has_no_more_than_one_in_its_time(sealed: Sealed, tmp_path: Path) -> None:
    archive = CheckpointFolder(tmp_path, timedelta(seconds=60))
    telling, sealing = Witnessing(sealed.log.alone.wiring, archive), sealed.sealing()
    for seconds in (0, 1, 58, 1, 59):
        sealed.log.alone.clock.pass_(timedelta(seconds=seconds))
        await sealed.happen(1)
        await sealing.catch_up()
        await telling.tell()
    assert [int(each.stem) for each in archived(tmp_path)] == [1, 4]


def archived(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.checkpoint"))


async def test_an_archive_is_never_written_over(sealed: Sealed, tmp_path: Path) -> None:
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    proof, folder = await sealed.tree.consistency(0, latest), CheckpointFolder(tmp_path)
    await folder.show(proof)
    await folder.show(proof)  # the same again
    assert len(archived(tmp_path)) == 1
    forged = notes.sign(Checkpoint(origin=BASE, size=2, root=b"x" * 32), sealed.keys().active().key)
    with pytest.raises(Refused, match="the log was rewritten"):
        await folder.show(ConsistencyProof(old=0, hashes=(), checkpoint=forged))


@pytest.mark.parametrize("left", ["", "half", "zeros", "whole"])
async def test_what_a_crash_left_in_an_archive_stays_and_the_checkpoint_is_written_beside_it(
    sealed: Sealed, tmp_path: Path, left: str
) -> None:
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    latest = await sealed.tree.latest()
    assert latest is not None
    whole = latest.note.to_bytes()
    (tmp_path / "00000000000000000002.checkpoint").write_bytes(
        {"": b"", "half": whole[:50], "zeros": bytes(len(whole)), "whole": whole}[left]
    )
    before = (tmp_path / "00000000000000000002.checkpoint").read_bytes()
    folder = CheckpointFolder(tmp_path)
    for _ in range(2):
        await folder.show(await sealed.tree.consistency(0, latest))
    beside, first = archived(tmp_path)
    assert (first.name, first.read_bytes()) == ("00000000000000000002.checkpoint", before)
    assert (beside.name, beside.read_bytes()) == ("00000000000000000002.2.checkpoint", whole)


async def test_an_archive_that_is_away_is_told(sealed: Sealed, tmp_path: Path) -> None:
    await sealed.happen(2)
    await sealed.sealing().catch_up()
    await Witnessing(sealed.log.alone.wiring, CheckpointFolder(tmp_path / "nowhere")).tell()
    assert "No such file" in str((await state(sealed))["trouble"])
