"""Checkpoints and cosignatures as C2SP's tlog-checkpoint and tlog-cosignature have them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from placet.errors import Refused, Unreadable
from placet.trust import SigningKey, checkpoints
from placet.trust.checkpoints import Checkpoint, Cosigned
from placet.trust.merkle import EMPTY_ROOT, leaf_hash
from placet.trust.notes import COSIGNS, SIGNS, Note, NoteKey

# The example of the specification.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG, WITNESS, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
ORIGIN = "placet.example/audit"
KNOWN = NoteKey(name=ORIGIN, kind=SIGNS, key=LOG.public)
WITNESSED_BY = NoteKey(name="witness.example", kind=COSIGNS, key=WITNESS.public)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=3, root=leaf_hash(b"x"))
AT = datetime(2026, 11, 27, 12, 0, 5, 900_000, tzinfo=UTC)


def cosigned() -> Note:
    signature = checkpoints.cosign(CHECKPOINT.text, name=WITNESSED_BY.name, key=WITNESS, at=AT)
    return checkpoints.sign(CHECKPOINT, LOG).with_signatures([signature])


def test_the_example_of_the_specification_is_read() -> None:
    checkpoint = Checkpoint.from_text(TEXT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.text == TEXT


def test_what_the_log_signed_is_read_again() -> None:
    note = Note.from_bytes(checkpoints.sign(CHECKPOINT, LOG).to_bytes())
    assert checkpoints.verify(note, [KNOWN]) == (CHECKPOINT, KNOWN)


def test_extensions_are_signed_and_mean_nothing() -> None:
    assert Checkpoint.from_text(f"{CHECKPOINT.text}more\n") == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        TEXT.replace("20852163", "020852163"),
        TEXT.replace("20852163", "-1"),
        TEXT.replace("20852163", str(2**63)),
        TEXT.replace("CsUY", "CsU"),
        TEXT.replace("CsUYapGG", ""),
        f"{TEXT}\nmore\n",
        f"\n{TEXT}",
    ],
)
def test_what_is_no_checkpoint_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        Checkpoint.from_text(text)


def test_an_empty_tree_has_one_root() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
    assert Checkpoint.from_text(empty.text) == empty
    with pytest.raises(Refused, match="empty tree"):
        Checkpoint.from_text(TEXT.replace("20852163", "0"))


def test_another_log_s_key_counts_for_nothing() -> None:
    """It signed, and it is known: as the key of another log."""
    named_otherwise = NoteKey(name="other.example/audit", kind=SIGNS, key=LOG.public)
    with pytest.raises(Refused, match="no key of that log that is known"):
        checkpoints.verify(checkpoints.sign(CHECKPOINT, LOG), [named_otherwise])
    with pytest.raises(Refused, match="no key of that log that is known"):
        checkpoints.verify(checkpoints.sign(CHECKPOINT, OTHER), [KNOWN])


def test_a_witness_says_when_it_saw_it() -> None:
    note = Note.from_bytes(cosigned().to_bytes())
    assert checkpoints.verify(note, [KNOWN]) == (CHECKPOINT, KNOWN)
    assert checkpoints.cosigned(note, [WITNESSED_BY]) == [
        Cosigned(by=WITNESSED_BY, at=AT.replace(microsecond=0))
    ]


def test_a_cosignature_covers_time_and_text() -> None:
    note = cosigned()
    changed = Note(text=note.text.replace("\n3\n", "\n4\n"), signatures=note.signatures)
    with pytest.raises(Refused, match="cosignature of witness"):
        checkpoints.cosigned(changed, [WITNESSED_BY])
    log, witness = note.signatures
    for raw in (
        b"\0" + witness.raw[1:-1] + b"\0",
        witness.raw[8:],
        witness.raw[:7] + b"\1" + witness.raw[8:],
    ):
        later = Note(
            text=note.text, signatures=(log, type(witness)(name=witness.name, id=witness.id, raw=raw))
        )
        with pytest.raises(Refused, match="does not hold"):
            checkpoints.cosigned(later, [WITNESSED_BY])


def test_a_signature_is_no_cosignature() -> None:
    """The same key and name, of the other kind: another id, so it is a stranger."""
    as_log = NoteKey(name=WITNESSED_BY.name, kind=SIGNS, key=WITNESS.public)
    with pytest.raises(Refused, match="no key of that log"):
        checkpoints.verify(cosigned(), [as_log])
    assert checkpoints.cosigned(checkpoints.sign(CHECKPOINT, LOG), [WITNESSED_BY]) == []
