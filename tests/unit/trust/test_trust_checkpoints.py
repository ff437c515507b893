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
        witness.raw[:-1] + bytes([witness.raw[-1] ^ 1]),
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


# A checkpoint of a log of Certificate Transparency as its witnesses cosigned it on 2026-05-23, published with the keys
# of the log and of remora.n621.de in tests of github.com/florolf/tlog-scales. The other witnesses publish theirs.
PUBLISHED = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev \
zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev \
ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden \
2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 \
pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de \
2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu \
Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""
CT_LOG = NoteKey.from_vkey(
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
)
CT_WITNESSES = [
    NoteKey.from_vkey(vkey)
    for vkey in (
        "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
        "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    )
]


def test_a_checkpoint_that_witnesses_of_others_cosigned_verifies() -> None:
    """The log's other signature is of a kind that is not read here, and says nothing."""
    note = Note.from_bytes(PUBLISHED.encode())
    checkpoint, by = checkpoints.verify(note, [CT_LOG])
    assert (checkpoint.size, by) == (1_432_088_532, CT_LOG)
    at = datetime(2026, 5, 23, 21, 50, 24, tzinfo=UTC)
    assert checkpoints.cosigned(note, CT_WITNESSES) == [Cosigned(by=each, at=at) for each in CT_WITNESSES]


def test_a_published_checkpoint_that_was_changed_is_refused() -> None:
    note = Note.from_bytes(PUBLISHED.replace("1432088532", "1432088533").encode())
    with pytest.raises(Refused, match="the note was changed"):
        checkpoints.verify(note, [CT_LOG])
    for witness in CT_WITNESSES:
        with pytest.raises(Refused, match="the checkpoint was changed"):
            checkpoints.cosigned(note, [witness])
