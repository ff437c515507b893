"""Certificates: issued by the certifier's key, verified by whoever is about to run something.

A certificate holds when a key we know signed it while it was active, it names this image and this source, and the
moment lies in its validity. Whether it was suspended or revoked meanwhile is in the log, not in the certificate.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from placet.errors import Refused
from placet.trust import dsse, statements
from placet.trust.dsse import Envelope, Keys
from placet.trust.history import KeyHistory
from placet.trust.keys import SigningKey
from placet.trust.moments import written
from placet.trust.statements import PAYLOAD_TYPE, Certificate

CLOCK_SKEW = timedelta(minutes=1)
"""So much later than the certifier's another clock may be: what was signed a moment ago would not hold there yet."""


def issue(certificate: Certificate, key: SigningKey) -> Envelope:
    """Sign it. A certificate that could never hold is not signed."""
    if certificate.not_before >= certificate.not_after:
        raise Refused(f"the certificate {certificate.certificate} would end before it begins")
    payload = statements.canonical_bytes(statements.build(certificate))
    statements.parse(payload)
    return dsse.sign(payload, payload_type=PAYLOAD_TYPE, keys=key)


def read(envelope: Envelope, keys: Keys) -> Certificate:
    """The certificate in a correctly signed envelope, whatever it is for and whenever it is valid."""
    return statements.parse(dsse.verify(envelope, keys, payload_type=PAYLOAD_TYPE).payload)


def signers(envelope: Envelope, history: KeyHistory, *, now: datetime) -> tuple[str, ...]:
    """The ids of the keys whose signatures of this certificate count `now`. Raises `Refused` if there are none."""
    verified = dsse.verify(envelope, history, payload_type=PAYLOAD_TYPE)
    signed = statements.parse(verified.payload).not_before
    counting, refusals = [], []
    for kid in verified.kids:
        try:
            history.must_count(kid, signed=signed, now=now)
        except Refused as refusal:
            refusals.append(refusal)
        else:
            counting.append(kid)
    if not counting:
        raise refusals[0]
    return tuple(counting)


def verify(envelope: Envelope, history: KeyHistory, *, image: str, source: str, now: datetime) -> Certificate:
    """The certificate, if it lets `image`, built from `source`, run at `now`; otherwise `Refused`. It may begin
    `CLOCK_SKEW` later than that."""
    signers(envelope, history, now=now)
    certificate = read(envelope, history)
    name = f"the certificate {certificate.certificate}"
    if certificate.image != image:
        raise Refused(f"{name} is for the image {certificate.image}, not for {image}")
    if certificate.source != source:
        raise Refused(f"{name} is for the source {certificate.source}, not for {source}")
    if now < certificate.not_before - CLOCK_SKEW:
        raise Refused(
            f"{name} is not valid before {written(certificate.not_before)}",
            fix="set the clock of this machine, or the certifier's",
        )
    if now >= certificate.not_after:
        raise Refused(
            f"{name} ended at {written(certificate.not_after)}", fix="deploy the project again to renew it"
        )
    return certificate
