"""What was signed, and by whom: DSSE envelopes, version 1."""

from __future__ import annotations

from typing import Any

from placet.verifier.documents import read_base64, read_object
from placet.verifier.ed25519 import ed25519_verifies
from placet.verifier.failures import Wrong


def read_envelope(data: bytes, keys: dict[str, bytes], what: str) -> tuple[dict[str, Any], list[str]]:
    """The statement in it, and the ids of those of `keys` that signed it. Raises Wrong."""
    envelope = read_object(data, what)
    if set(envelope) != {"payloadType", "payload", "signatures"}:
        raise Wrong(f"{what} is no DSSE envelope")
    if envelope["payloadType"] != "application/vnd.in-toto+json":
        raise Wrong(f"{what} holds {envelope['payloadType']!r}")
    payload = read_base64(envelope["payload"], f"the payload of {what}")
    kind = envelope["payloadType"].encode()
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    signers: list[str] = []
    for each in envelope["signatures"]:
        kid = each.get("keyid", "")
        if kid in signers:
            raise Wrong(f"{what} has two signatures of the key {kid}")
        if kid in keys:
            if not ed25519_verifies(keys[kid], read_base64(each["sig"], "a signature"), message):
                raise Wrong(f"the signature of the key {kid} under {what} does not hold: it was changed")
            signers.append(kid)
    if not signers:
        raise Wrong(f"{what} is signed by no key that the log names")
    return read_object(payload, f"what is signed in {what}"), signers
