"""What a witness remembers: all of it before it answers, and never less than it signed."""

from __future__ import annotations

import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha512
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.errors import Forbidden, PlacetError, Refused, Unavailable, Unreadable
from placet.trust import SigningKey, checkpoints, notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import MAX_NOTE_BYTES, MAX_SIGNATURES, SIGNS, Note, NoteKey, Signature
from placet.trust.proofs import ConsistencyProof
from placet.witness import Witness, only_one
from placet.witness.records import MAX_EVIDENCE, Evidence, LocalDisk, origin_hash
from placet.witness.witness import OtherSize

from tests.unit.witness.logs import (
    AT,
    KNOWN,
    LOG,
    NAME,
    ORIGIN,
    OTHER,
    Opened,
    checkpoint,
    leaves,
    proof,
    request,
)

TREE = leaves(12)
FORKED = leaves(12, kind="another", after=TREE[:3])
HASHED = origin_hash(ORIGIN)


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "witness")


def grown(opened: Opened, *sizes: int) -> Witness:
    witness = opened.open()
    for old, size in zip((0, *sizes), sizes, strict=False):
        witness.add_checkpoint(request(TREE[:size], old))
    return witness


class Killed(BaseException):
    """As if the process had ended there: nothing that comes after is done."""


class FailingDisk(LocalDisk):
    """Fails before the given step of the given kind of file, or, with `does_it`, right after it."""

    def __init__(self, step: str, error: BaseException, *, does_it: bool) -> None:
        self._step, self._error, self._does_it = step, error, does_it
        self.is_failing = False

    def write(self, file: Path, data: bytes) -> None:
        if self._is_meant("write") and self._does_it:
            file.write_bytes(data[: len(data) // 2])
        self._fail("write")
        super().write(file, data)

    def rename(self, file: Path, to: Path) -> None:
        if self._does_it:
            super().rename(file, to)
        self._fail("rename")
        if not self._does_it:
            super().rename(file, to)

    def sync_names(self, folder: Path) -> None:
        self._fail("sync_names")
        super().sync_names(folder)

    def _is_meant(self, step: str) -> bool:
        return self.is_failing and step == self._step

    def _fail(self, step: str) -> None:
        if self._is_meant(step):
            raise self._error


STEPS = [(step, does_it) for step in ("write", "rename", "sync_names") for does_it in (False, True)]


def test_a_cosignature_holds_and_is_dated(opened: Opened) -> None:
    witness = opened.open()
    signature = witness.add_checkpoint(request(TREE, 0))
    note = checkpoints.sign(checkpoint(TREE), LOG).with_signatures([signature])
    (seen,) = checkpoints.cosigned(note, [NoteKey.from_vkey(witness.vkey)])
    assert (seen.by, seen.at) == (opened.own, AT)
    assert witness.latest(HASHED) == note


def test_what_was_cosigned_is_known_to_the_next_process(opened: Opened) -> None:
    noted = grown(opened, 5).latest(HASHED)
    again = opened.open()
    assert again.latest(HASHED) == noted
    with pytest.raises(OtherSize, match="is of 5 leaves"):
        again.add_checkpoint(request(FORKED, 0))
    again.add_checkpoint(request(TREE, 5))


def test_the_same_checkpoint_is_cosigned_again_and_later(opened: Opened) -> None:
    witness = grown(opened, 5)
    opened.clock.turn(hours=1)
    first = witness.latest(HASHED)
    witness.add_checkpoint(request(TREE[:5], 5))
    latest = witness.latest(HASHED)
    assert latest is not None
    assert latest != first
    assert checkpoints.cosigned(latest, [opened.own])[0].at == opened.clock.now()


def test_a_clock_that_was_put_back_dates_nothing_before_what_it_follows(opened: Opened) -> None:
    witness = grown(opened, 5)
    opened.clock.turn(hours=-3)
    for old in (5, 7):
        asked = witness if old == 5 else opened.open()
        asked.add_checkpoint(request(TREE[: old + 2], old))
        latest = asked.latest(HASHED)
        assert latest is not None
        assert checkpoints.cosigned(latest, [opened.own])[0].at == AT


@pytest.mark.parametrize(("step", "does_it"), STEPS)
def test_what_the_disk_does_not_keep_is_not_signed(opened: Opened, step: str, does_it: bool) -> None:
    grown(opened, 5)
    disk = FailingDisk(step, OSError(28, "No space left on device"), does_it=does_it)
    witness = opened.open(disk)
    disk.is_failing = True
    with pytest.raises(Unavailable, match="nothing is signed"):
        witness.add_checkpoint(request(TREE, 5))
    latest = witness.latest(HASHED)
    assert latest is not None
    assert "\n5\n" in latest.text
    disk.is_failing = False
    assert witness.add_checkpoint(request(TREE, 5))


@pytest.mark.parametrize(("step", "does_it"), STEPS)
def test_a_witness_that_is_killed_forgets_nothing_that_it_said(
    opened: Opened, step: str, does_it: bool
) -> None:
    """It comes back with what was before or with what came after: never with less than was handed out."""
    grown(opened, 5)
    disk = FailingDisk(step, Killed(), does_it=does_it)
    witness = opened.open(disk)
    disk.is_failing = True
    with pytest.raises(Killed):
        witness.add_checkpoint(request(TREE, 5))
    again = opened.open()
    latest = again.latest(HASHED)
    assert latest is not None
    size = 12 if "\n12\n" in latest.text else 5
    assert latest.text == checkpoint(TREE[:size]).text
    assert again.add_checkpoint(request(TREE, size))


def test_two_who_ask_at_once_are_not_both_told_yes(opened: Opened) -> None:
    witness = grown(opened, 3)

    def ask(body: bytes) -> bool:
        try:
            witness.add_checkpoint(body)
        except Refused:
            return False
        return True

    asked = [request(tree[:size], 3) for tree in (TREE, FORKED) for size in range(4, 12)]
    with ThreadPoolExecutor(8) as threads:
        agreed = list(threads.map(ask, asked))
    assert sum(agreed) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\n5\n", b"\n4\n"),
        lambda data: data[: data.index(b"\xe2\x80\x94 witness")],
        lambda data: data.replace(b"audit", b"other"),
    ],
)
def test_a_torn_record_ends_the_start(opened: Opened, change: object) -> None:
    grown(opened, 5)
    file = opened.folder / f"{HASHED}.checkpoint"
    file.write_bytes(change(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Unreadable, match="cannot be read") as torn:
        opened.open()
    assert torn.value.fix is not None
    assert "Do not remove it" in torn.value.fix


def test_a_record_of_another_log_ends_the_start(opened: Opened) -> None:
    grown(opened, 5)
    (opened.folder / f"{HASHED}.checkpoint").rename(opened.folder / f"{'0' * 64}.checkpoint")
    with pytest.raises(Unreadable, match="not what this witness wrote there"):
        opened.open()


def test_a_torn_record_is_mended_with_what_the_log_has(opened: Opened) -> None:
    held = grown(opened, 5).latest(HASHED)
    assert held is not None
    file = opened.folder / f"{HASHED}.checkpoint"
    file.write_bytes(b"torn")
    file.write_bytes(held.to_bytes())
    assert opened.open().latest(HASHED) == held


def test_a_key_without_its_folder_ends_the_start(opened: Opened, tmp_path: Path) -> None:
    grown(opened, 5)
    lost = Opened(tmp_path / "lost")
    lost.folder.mkdir()
    (opened.folder / "witness.pem").rename(lost.folder / "witness.pem")
    with pytest.raises(Refused, match=r"nothing in .* says what it has cosigned"):
        lost.open()
    with pytest.raises(Refused, match=r"the key .* is not there"):
        opened.open()


def test_a_folder_is_of_one_key_and_one_name(opened: Opened) -> None:
    opened.open()
    opened.name = "witness.example/w2"
    with pytest.raises(Refused, match=r"is that of the witness witness\.example/w1"):
        opened.open()
    opened.name = NAME
    (opened.folder / "witness.pem").unlink()
    SigningKey.generate().save(opened.folder / "witness.pem")
    with pytest.raises(Refused, match="is that of the witness"):
        opened.open()


def test_the_key_is_its_owners_alone(opened: Opened) -> None:
    opened.open()
    key = opened.folder / "witness.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(opened.folder.stat().st_mode) == 0o700
    key.chmod(0o640)
    with pytest.raises(Refused, match="can be read by others"):
        opened.open()


def test_a_folder_has_one_process(opened: Opened) -> None:
    first = only_one(opened.folder)
    with first, pytest.raises(Unavailable, match="another witness"), only_one(opened.folder):
        pass
    with only_one(opened.folder):
        pass


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be made: File exists") as refused, only_one(tmp_path / "file"):
        pass
    assert refused.value.fix == "choose a folder of yours with --state"


def test_a_log_goes_on_with_its_next_key(opened: Opened) -> None:
    next_key = NoteKey(name=ORIGIN, kind=SIGNS, key=OTHER.public)
    grown(opened, 3)
    opened.logs = (KNOWN, next_key)
    opened.open().add_checkpoint(request(TREE[:5], 3, key=OTHER))
    opened.logs = (next_key,)
    witness = opened.open()
    assert witness.add_checkpoint(request(TREE, 5, key=OTHER))
    with pytest.raises(Forbidden):
        witness.add_checkpoint(request(TREE, 12))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "restart", "fail", "kill"]),
            st.sampled_from(STEPS),
            st.booleans(),
            st.integers(0, 12),
        ),
        max_size=12,
    )
)
@settings(max_examples=50, deadline=None)
def test_whatever_fails_and_whenever_no_two_answers_contradict_each_other(
    steps: list[tuple[str, tuple[str, bool], bool, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = Opened(Path(folder) / "witness")
        witness = opened.open()
        signed: list[list[bytes]] = []
        for what, (step, does_it), is_forked, size in steps:
            error = {"fail": OSError(5, "Input/output error"), "kill": Killed()}.get(what)
            disk = LocalDisk() if error is None else FailingDisk(step, error, does_it=does_it)
            if what != "ask":
                witness = opened.open(disk)
            if isinstance(disk, FailingDisk):
                disk.is_failing = True
            latest = witness.latest(HASHED)
            old = 0 if latest is None else Checkpoint.from_text(latest.text).size
            tree = (FORKED if is_forked else TREE)[:size]
            try:
                witness.add_checkpoint(request(tree, old))
            except (PlacetError, Killed):
                witness = opened.open()
                continue
            signed.append(tree)
        for earlier, later in pairwise(signed):
            assert later[: len(earlier)] == earlier


def test_each_log_has_a_record_of_its_own(opened: Opened) -> None:
    other = NoteKey(name="other.example", kind=SIGNS, key=OTHER.public)
    opened.logs = (KNOWN, other)
    witness = grown(opened, 5)
    witness.add_checkpoint(request(FORKED, 0, key=OTHER, origin="other.example"))
    again = opened.open()
    assert {
        "\n5\n" in str(again.latest(HASHED)),
        "\n12\n" in str(again.latest(origin_hash("other.example"))),
    } == {True}


def test_a_fork_is_kept_with_both_signatures_and_told_once(opened: Opened) -> None:
    witness = grown(opened, 12)
    for _ in range(2):
        with pytest.raises(Refused, match="was rewritten"):
            witness.add_checkpoint(request(FORKED, 12))
    (file,) = opened.evidence
    assert file.name.startswith(f"fork-{HASHED}-")
    kept = msgspec.json.decode(file.read_bytes(), type=Evidence)
    assert kept.known is not None
    trees = [
        checkpoints.verify(Note.from_bytes(each.encode()), [KNOWN])[0] for each in (kept.known, kept.offered)
    ]
    assert trees == [checkpoint(TREE), checkpoint(FORKED)]
    assert len(opened.told) == 1
    assert str(file) in opened.told[0]


def test_a_fork_that_comes_with_another_size_is_kept_too(opened: Opened) -> None:
    witness = grown(opened, 12)
    with pytest.raises(OtherSize):
        witness.add_checkpoint(request(FORKED, 0))
    assert [file.name.partition("-")[0] for file in opened.evidence] == ["fork"]


def test_what_is_not_proved_is_kept_apart_from_forks(opened: Opened) -> None:
    witness = grown(opened, 5)
    with pytest.raises(Refused):
        witness.add_checkpoint(request(FORKED, 5))
    assert [file.name.partition("-")[0] for file in opened.evidence] == ["unproven"]


def test_who_has_no_key_of_a_log_leaves_nothing(opened: Opened) -> None:
    """Also not by sending one genuine checkpoint again and again, each time with other proofs."""
    witness = grown(opened, 5)
    for at in range(3):
        for body in (request(FORKED, 5, key=OTHER), request(TREE, 5, hashes=[bytes([at]) * 32])):
            with pytest.raises(PlacetError):
                witness.add_checkpoint(body)
    assert len(opened.evidence) == 1


def signed_again(key: Ed25519PrivateKey, message: bytes) -> bytes:
    """Another signature of the same: Ed25519 takes its nonce from the message, and who has the key need not."""

    def scalar(private: Ed25519PrivateKey) -> int:
        half = int.from_bytes(sha512(private.private_bytes_raw()).digest()[:32], "little")
        return half & ((1 << 254) - 8) | 1 << 254

    nonce = Ed25519PrivateKey.generate()
    point = nonce.public_key().public_bytes_raw()
    challenge = int.from_bytes(
        sha512(point + key.public_key().public_bytes_raw() + message).digest(), "little"
    )
    order = 2**252 + 27742317777372353535851937790883648493
    return point + ((scalar(nonce) + challenge * scalar(key)) % order).to_bytes(32, "little")


def test_no_log_has_a_record_written_that_the_next_start_cannot_read(opened: Opened) -> None:
    """By many signatures of its own: that start would be ended for every other log, too."""
    key = Ed25519PrivateKey.generate()
    known = NoteKey(name=ORIGIN, kind=SIGNS, key=SigningKey(key).public)
    opened.logs = (known,)
    witness = opened.open()
    text = checkpoint(TREE).text
    raws = {signed_again(key, text.encode()) for _ in range(MAX_SIGNATURES)}
    note = Note(text=text, signatures=tuple(Signature(name=ORIGIN, id=known.id, raw=raw) for raw in raws))
    assert len(notes.verify(note, [known])) == MAX_SIGNATURES
    witness.add_checkpoint(str(ConsistencyProof(old=0, hashes=(), checkpoint=note)).encode())
    assert opened.open().latest(HASHED) == witness.latest(HASHED)


def test_a_checkpoint_that_leaves_no_room_for_a_cosignature_is_refused(opened: Opened) -> None:
    witness = grown(opened, 3)
    lines = "x" * (MAX_NOTE_BYTES - 400)
    text = f"{checkpoint(TREE).text}{lines}\n"
    note = Note(text=text, signatures=(notes.sign(text, name=ORIGIN, key=LOG),))
    hashes = proof(TREE, 3)
    with pytest.raises(Unreadable, match="over this witness's limit"):
        witness.add_checkpoint(str(ConsistencyProof(old=3, hashes=hashes, checkpoint=note)).encode())
    assert opened.open().latest(HASHED) == witness.latest(HASHED)


def test_evidence_has_bounds_for_each_log_and_kind(opened: Opened) -> None:
    other = NoteKey(name="other.example", kind=SIGNS, key=OTHER.public)
    opened.logs = (KNOWN, other)
    witness = grown(opened, 3)
    witness.add_checkpoint(request(TREE, 0, key=OTHER, origin="other.example"))

    def fork(witness: Witness, at: int) -> None:
        with pytest.raises(Refused):
            witness.add_checkpoint(request(leaves(3, kind=f"fork {at}"), 3))

    for at in range(MAX_EVIDENCE + 1):
        fork(witness, at)
    assert len(opened.evidence) == MAX_EVIDENCE
    again = opened.open()
    fork(again, -1)
    assert len(opened.evidence) == MAX_EVIDENCE
    with pytest.raises(Refused):
        again.add_checkpoint(request(FORKED, 12, key=OTHER, origin="other.example"))
    assert len(opened.evidence) == MAX_EVIDENCE + 1


def test_a_witness_of_no_log_or_of_a_witness_is_refused(opened: Opened) -> None:
    opened.open()
    opened.logs = ()
    with pytest.raises(Refused, match="no log to witness"):
        opened.open()
    opened.logs = (opened.own,)
    with pytest.raises(Refused, match="is of a witness"):
        opened.open()
