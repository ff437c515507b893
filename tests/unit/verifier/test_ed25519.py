"""Ed25519 in whole numbers against the library that the platform signs with, and against what its RFC prints."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.verifier.ed25519 import ed25519_verifies

RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


def library(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_what_the_rfc_prints_holds(public: str, message: str, signature: str) -> None:
    assert ed25519_verifies(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message))


@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(max_size=200),
    at=st.integers(0, 95 * 8),
    flips=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_signatures_hold_and_no_other_bit_does(seed: bytes, message: bytes, at: int, flips: bool) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    whole = bytearray(public + signature)
    if flips:
        whole[at // 8] ^= 1 << at % 8
    given_ = bytes(whole[:32]), bytes(whole[32:]), message
    assert ed25519_verifies(*given_) is library(*given_) is not flips


def test_the_same_signature_cannot_be_written_in_two_ways() -> None:
    public, message, signature = (bytes.fromhex(each) for each in RFC_8032[1])
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not ed25519_verifies(public, signature[:32] + scalar.to_bytes(32, "little"), message)


@pytest.mark.parametrize(("keys", "signatures"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_other_lengths_are_no_signature(keys: int, signatures: int) -> None:
    assert not ed25519_verifies(bytes(keys), bytes(signatures), b"")


@given(public=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64))
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_taken_as_the_library_takes_them(public: bytes, signature: bytes) -> None:
    assert ed25519_verifies(public, signature, b"x") is library(public, signature, b"x")
