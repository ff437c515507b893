"""DSSE envelopes against somebody who changes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import PlacetError, Refused, Unreadable
from placet.trust import KeySet, SigningKey, dsse

KEY = SigningKey.generate()
OTHER = SigningKey.generate()
KEYS = KeySet([KEY.public])
TYPE = "application/vnd.in-toto+json"


def signed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(dsse.sign(b'{"a":1}', payload_type=TYPE, keys=KEY).to_json())
    return document


def verified(document: dict[str, Any], keys: KeySet = KEYS) -> dsse.Verified:
    return dsse.verify(dsse.read(json.dumps(document).encode()), keys, payload_type=TYPE)


def test_the_encoding_that_is_signed_is_the_one_of_the_specification() -> None:
    encoded = dsse.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_signature_of_the_specification_is_of_that_encoding() -> None:
    """The test vector of DSSE's protocol.md, whose key is on another curve than ours are."""
    document = {
        "payload": "aGVsbG8gd29ybGQ=",
        "payloadType": "http://example.com/HelloWorld",
        "signatures": [
            {
                "sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
            }
        ],
    }
    envelope = dsse.read(json.dumps(document).encode())
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = base64.b64decode(envelope.signatures[0].sig)
    encoded = dsse.pre_authentication_encoding(envelope.payload_type, base64.b64decode(envelope.payload))
    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(
        encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
        encoded,
        ec.ECDSA(hashes.SHA256()),
    )


def test_a_signature_that_names_no_key_counts_for_nothing() -> None:
    """DSSE lets signers leave the name out; ours are found by it."""
    document = signed()
    unnamed = {"sig": document["signatures"][0]["sig"]}
    with pytest.raises(Refused, match="signed by nobody, and by no key we know"):
        verified(document | {"signatures": [unnamed]})
    both = document | {"signatures": [unnamed, unnamed, *document["signatures"]]}
    assert verified(both).kids == (KEY.kid,)


@given(st.binary(max_size=2000))
def test_what_was_signed_is_what_is_verified(payload: bytes) -> None:
    envelope = dsse.read(dsse.sign(payload, payload_type=TYPE, keys=KEY).to_json())
    found = dsse.verify(envelope, KEYS, payload_type=TYPE)
    assert found == dsse.Verified(payload=payload, kids=(KEY.kid,))


def test_a_second_signer_we_do_not_know_says_nothing_for_or_against() -> None:
    envelope = dsse.sign(b"x", payload_type=TYPE, keys=(OTHER, KEY))
    assert dsse.verify(envelope, KEYS, payload_type=TYPE).kids == (KEY.kid,)


def test_a_key_we_do_not_know_is_not_enough() -> None:
    envelope = dsse.sign(b"x", payload_type=TYPE, keys=OTHER)
    with pytest.raises(Refused, match="no key we know"):
        dsse.verify(envelope, KEYS, payload_type=TYPE)


def test_an_envelope_without_signatures_is_refused() -> None:
    with pytest.raises(Refused, match="signed by nobody"):
        verified(signed() | {"signatures": []})


def test_a_changed_payload_is_refused() -> None:
    with pytest.raises(Refused, match="was changed"):
        verified(signed() | {"payload": base64.b64encode(b'{"a":2}').decode()})


def test_another_payload_type_is_refused_even_when_it_is_signed() -> None:
    envelope = dsse.sign(b"x", payload_type="text/plain", keys=KEY)
    with pytest.raises(Refused, match="holds 'text/plain'"):
        dsse.verify(envelope, KEYS, payload_type=TYPE)


def test_a_payload_type_that_was_changed_to_the_right_one_is_refused() -> None:
    document = json.loads(dsse.sign(b"x", payload_type="text/plain", keys=KEY).to_json())
    with pytest.raises(Refused, match="was changed"):
        verified(document | {"payloadType": TYPE})


def test_two_signatures_of_one_key_are_refused() -> None:
    document = signed()
    document["signatures"] *= 2
    with pytest.raises(Refused, match="two signatures"):
        verified(document)


def test_a_signature_under_the_name_of_a_key_we_know_is_refused() -> None:
    document = json.loads(dsse.sign(b"x", payload_type=TYPE, keys=OTHER).to_json())
    document["signatures"][0]["keyid"] = KEY.kid
    with pytest.raises(Refused, match="does not hold"):
        verified(document)


@pytest.mark.parametrize("text", ["YQ", "YQ==\n", "YR==", "-_==", "é"], ids=repr)
def test_base64_that_is_not_canonical_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match="base64"):
        verified(signed() | {"payload": text})


@pytest.mark.parametrize(
    "document",
    [
        {**signed(), "more": 1},
        {"payload": "", "payloadType": TYPE},
        {**signed(), "signatures": [{"keyid": "a", "sig": "", "cert": ""}]},
        {**signed(), "payload": 1},
        [],
    ],
    ids=["unknown field", "no signatures", "unknown field of a signature", "payload no text", "a list"],
)
def test_an_envelope_of_another_form_is_unreadable(document: Any) -> None:
    with pytest.raises(Unreadable):
        dsse.read(json.dumps(document).encode())


@given(st.data())
def test_any_changed_byte_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    whole = bytearray(dsse.sign(b'{"a":1}', payload_type=TYPE, keys=KEY).to_json())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] = data.draw(st.integers(0, 255))
    try:
        found = dsse.verify(dsse.read(bytes(whole)), KEYS, payload_type=TYPE)
    except PlacetError:
        return
    assert found == dsse.Verified(payload=b'{"a":1}', kids=(KEY.kid,))


def test_an_envelope_over_the_limit_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="over the limit"):
        dsse.read(b" " * (dsse.MAX_ENVELOPE_BYTES + 1))
