"""Words that are read with a key of their own, and by nobody once that is destroyed.

AES-256-GCM (NIST SP 800-38D) with a nonce of chance for each. `place` says where the sealed bytes lie and is bound to
them: moved to another place they open no more. What this does not do: keep keys, or hide how long the words are.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from placet.errors import Unreadable

KEY_BITS = 256
NONCE_BYTES = 12


def new_sealing_key() -> bytes:
    return AESGCM.generate_key(bit_length=KEY_BITS)


def seal(words: str, key: bytes, *, place: str) -> bytes:
    """The nonce, and the words behind it."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, words.encode(), place.encode())


def unseal(sealed: bytes, key: bytes, *, place: str) -> str:
    """Raises Unreadable for another key or place, and for bytes that were changed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise Unreadable(f"what is sealed in {place} does not open with the key that it should") from error
