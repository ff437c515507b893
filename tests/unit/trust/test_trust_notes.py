"""Signed notes as C2SP's signed-note has them."""

from __future__ import annotations

import pytest
from placet.errors import Refused, Unreadable
from placet.trust import SigningKey, notes
from placet.trust.notes import COSIGNS, SIGNS, Note, NoteKey, Signature

# The example of the specification.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SIGNED = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# What Go's checksum database signed (github.com/FiloSottile/torchwood, cmd/litewitness/testdata/sumdb.txt).
GO_VKEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_SIGNED = (
    "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n"
    "— sum.golang.org "
    "Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n"
).encode()
KEY = SigningKey.generate()
OURS = NoteKey(name="placet.example/audit", kind=SIGNS, key=KEY.public)


def signed(text: str = "a\n\nb\n") -> Note:
    return Note(text=text, signatures=(notes.sign(text, name=OURS.name, key=KEY),))


@pytest.mark.parametrize(("vkey", "signed"), [(VKEY, SIGNED), (GO_VKEY, GO_SIGNED)])
def test_published_notes_verify(vkey: str, signed: bytes) -> None:
    key = NoteKey.from_vkey(vkey)
    assert key.vkey == vkey
    note = Note.from_bytes(signed)
    assert notes.verify(note, [key]) == [key]
    assert note.to_bytes() == signed


def test_what_was_signed_is_read_again() -> None:
    note = Note.from_bytes(signed().to_bytes())
    assert note == signed()
    assert note.text == "a\n\nb\n"
    assert notes.verify(note, [NoteKey.from_vkey(OURS.vkey)]) == [OURS]


def test_a_changed_text_is_refused() -> None:
    note = signed()
    with pytest.raises(Refused, match="the note was changed"):
        notes.verify(Note(text="a\n\nc\n", signatures=note.signatures), [OURS])


def test_keys_that_are_not_known_say_nothing() -> None:
    stranger = NoteKey(name=OURS.name, kind=SIGNS, key=SigningKey.generate().public)
    named_otherwise = NoteKey(name="other.example", kind=SIGNS, key=KEY.public)
    assert notes.verify(signed(), [stranger, named_otherwise]) == []


def test_signatures_are_added_once() -> None:
    more = notes.sign("a\n\nb\n", name="witness.example", key=KEY)
    note = signed().with_signatures([more, more])
    assert note.signatures == (*signed().signatures, more)
    assert note.with_signatures([more]) == note


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a\n",
        b"a\n\n",
        b"a\n\n\n",
        "a\n\n— x YQ==\n".encode(),
        SIGNED[:-1],
        SIGNED.replace(b"This", b"Th\ris"),
        SIGNED.replace(b"This", b"Th\0is"),
        SIGNED.replace(b"This", b"Th\xffis"),
        SIGNED.replace(b"aQM=\n", b"aQN=\n"),
        SIGNED.replace(b"example.com/foo ", b"example.com/fo o "),
        SIGNED.replace("— ".encode(), b"- "),
        SIGNED + "— x!\n".encode(),
        SIGNED.replace(b"This", b"T" * notes.MAX_NOTE_BYTES),
        SIGNED + signed().signatures[0].line.encode() * notes.MAX_SIGNATURES,
    ],
)
def test_what_is_no_note_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Note.from_bytes(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("foo", "fooo"),
        VKEY[:-4],
        VKEY.replace("+Aeky", "+Aiky"),
        VKEY.replace("foo+", "f oo+"),
        f"+{VKEY.partition('+')[2]}",
    ],
)
def test_a_verifier_key_says_what_it_is(text: str) -> None:
    with pytest.raises(Unreadable):
        NoteKey.from_vkey(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 256, "a\u2003b"])
def test_a_name_without_blanks_and_plus(name: str) -> None:
    with pytest.raises(Refused, match="cannot be the name of a key"):
        NoteKey(name=name, kind=SIGNS, key=KEY.public)


def test_one_key_has_another_id_for_each_kind() -> None:
    cosigner = NoteKey(name=OURS.name, kind=COSIGNS, key=KEY.public)
    assert cosigner.id != OURS.id
    assert NoteKey.from_vkey(cosigner.vkey) == cosigner


def test_a_line_is_what_it_was_made_from() -> None:
    signature = signed().signatures[0]
    assert Signature.from_line(signature.line.removesuffix("\n")) == signature


def test_a_name_of_bytes_that_are_no_text_is_no_name() -> None:
    """As Python hands them on from a command line; hashing them ended in a traceback."""
    with pytest.raises(Refused, match="cannot be the name"):
        notes.check_name("placet\udcff")
    with pytest.raises(Unreadable):
        NoteKey.from_vkey(f"\udcff{VKEY}")
