"""Words that open with their key, in their place, and in no other way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Unreadable
from placet.trust.sealing import NONCE_BYTES, new_sealing_key, seal, unseal

KEY = new_sealing_key()
WORDS = "Ada's forest, known for years"


@given(st.text())
def test_what_is_sealed_opens_again(words: str) -> None:
    assert unseal(seal(words, KEY, place="here"), KEY, place="here") == words


def test_no_two_are_the_same() -> None:
    sealed = {seal(WORDS, KEY, place="here") for _ in range(100)}
    assert len({each[:NONCE_BYTES] for each in sealed}) == len(sealed) == 100


def test_nothing_of_the_words_is_to_be_seen() -> None:
    assert b"forest" not in seal(WORDS, KEY, place="here")


@pytest.mark.parametrize(
    ("key", "place"),
    [(new_sealing_key(), "here"), (KEY, "elsewhere")],
    ids=["another key", "another place"],
)
def test_it_opens_with_no_other_key_and_in_no_other_place(key: bytes, place: str) -> None:
    with pytest.raises(Unreadable, match="does not open"):
        unseal(seal(WORDS, KEY, place="here"), key, place=place)


def test_a_changed_byte_is_found() -> None:
    sealed = seal(WORDS, KEY, place="here")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(Unreadable):
            unseal(bytes(changed), KEY, place="here")


@pytest.mark.parametrize("length", range(0, NONCE_BYTES + 16))
def test_what_was_cut_off_is_found(length: int) -> None:
    with pytest.raises(Unreadable):
        unseal(seal(WORDS, KEY, place="here")[:length], KEY, place="here")
