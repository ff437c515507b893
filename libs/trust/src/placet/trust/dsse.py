"""DSSE envelopes: bytes of a named type, and who signed them.

The Dead Simple Signing Envelope, version 1 (github.com/secure-systems-lab/dsse). A signature covers the
payload's type and its bytes, never a re-encoding of them. Reading is strict: unknown fields, a second
signature of one key, or base64 that is not canonical refuse the whole envelope, so that two readers
cannot see two things in it.
"""

from __future__ import annotations

import base64
from typing import Protocol

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust.encoding import decoded
from placet.trust.keys import SigningKey, VerifyingKey

MAX_ENVELOPE_BYTES = 1024 * 1024


class Keys(Protocol):
    """Those that are known, by id."""

    def get(self, kid: str) -> VerifyingKey | None: ...


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`keyid` is a signer's choice; without one a signature is of no key that is known."""

    keyid: str = ""
    sig: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`payload` and `sig` are base64, as on the wire."""

    payload_type: str
    payload: str
    signatures: list[Signature]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found: the signed bytes and the ids of the known keys that signed them."""

    payload: bytes
    kids: tuple[str, ...]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE: what is really signed. Lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, *, payload_type: str, keys: SigningKey | tuple[SigningKey, ...]) -> Envelope:
    signers = (keys,) if isinstance(keys, SigningKey) else keys
    message = pre_authentication_encoding(payload_type, payload)
    return Envelope(
        payload_type=payload_type,
        payload=base64.b64encode(payload).decode(),
        signatures=[
            Signature(keyid=key.kid, sig=base64.b64encode(key.sign(message)).decode()) for key in signers
        ],
    )


def read(data: bytes) -> Envelope:
    """Parse without believing anything."""
    if len(data) > MAX_ENVELOPE_BYTES:
        raise Unreadable(f"an envelope of {len(data)} bytes is over the limit of {MAX_ENVELOPE_BYTES}")
    try:
        return msgspec.json.decode(data, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"this is not a DSSE envelope: {error}") from error


def verify(envelope: Envelope, keys: Keys, *, payload_type: str) -> Verified:
    """The payload, if it is of that type and a key of the set signed it.

    Signatures of keys we do not know say nothing for or against; one by a key we know that does not hold
    refuses the envelope, since somebody changed something.
    """
    if envelope.payload_type != payload_type:
        raise Refused(f"the envelope holds {envelope.payload_type!r}, expected {payload_type!r}")
    payload = decoded(envelope.payload, "the envelope's payload")
    message = pre_authentication_encoding(envelope.payload_type, payload)
    seen: set[str] = set()
    verified: list[str] = []
    for signature in envelope.signatures:
        if not signature.keyid:
            continue
        if signature.keyid in seen:
            raise Refused(f"the envelope carries two signatures of the key {signature.keyid!r}")
        seen.add(signature.keyid)
        key = keys.get(signature.keyid)
        if key is None:
            continue
        if not key.verifies(decoded(signature.sig, "the envelope's signature"), message):
            raise Refused(f"the signature of the key {key.kid} does not hold: the envelope was changed")
        verified.append(key.kid)
    if not verified:
        signers = ", ".join(sorted(seen)) or "nobody"
        raise Refused(f"the envelope is signed by {signers}, and by no key we know")
    return Verified(payload=payload, kids=tuple(verified))
