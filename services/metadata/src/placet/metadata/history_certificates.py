"""Certificates as events tell of them: on what each was issued, what there was against it, and how it ended."""

from __future__ import annotations

from typing import assert_never

from placet.events.contracts import certifier, gateway
from placet.metadata.entities import Entity, Said, State
from placet.metadata.history_models import release_id

Certificates = (
    certifier.CertificateIssued
    | certifier.CertificateUpheld
    | certifier.CertificateSuspended
    | certifier.CertificateReinstated
    | certifier.CertificateWarned
    | certifier.CertificateRevoked
    | certifier.CertificateLapsing
    | certifier.CertificateExpired
    | certifier.ReviewOwed
    | gateway.ReviewGiven
    | gateway.RevocationRequested
)


def tell(state: State, said: Said, event: Certificates) -> None:
    at, position = said.time, said.position
    match event:
        case certifier.CertificateIssued():
            _issue(state, said, event)
        case certifier.CertificateUpheld():
            certificate = _certificate(state, event)
            others = tuple(
                each for each in certificate.get("exceptions") or () if each.rule != event.exception.rule
            )
            certificate.say(position, exceptions=(*others, event.exception))
        case certifier.CertificateSuspended():
            _certificate(state, event).say(position, standing="suspended", since=at, grounds=event.grounds)
        case certifier.CertificateReinstated():
            _certificate(state, event).say(position, standing="stands", since=at, grounds=())
        case certifier.CertificateWarned():
            _certificate(state, event).say(position, warnings=event.warnings)
        case certifier.CertificateRevoked():
            _certificate(state, event).say(
                position,
                standing="revoked",
                since=at,
                grounds=(event.ground,),
                revokedAt=at,
                revokedBy=event.revoked_by,
            )
        case certifier.CertificateLapsing():
            _certificate(state, event).say(position, lapsingAt=at)
        case certifier.CertificateExpired():
            _certificate(state, event).say(position, standing="expired", since=at)
        case certifier.ReviewOwed():
            _review(state, event).say(position, owedAt=at, brokenBy=event.approvals, asker=event.asker)
        case gateway.ReviewGiven():
            _review(state, event).say(
                position, review=event.review, givenBy=event.given_by, givenAt=at, reason=event.reason
            )
        case gateway.RevocationRequested():
            _certificate(state, event).say(
                position,
                revocationAskedAt=at,
                revocationAskedBy=event.requested_by,
                revocationReason=event.reason,
            )
        case _:
            assert_never(event)


def _issue(state: State, said: Said, event: certifier.CertificateIssued) -> None:
    position = said.position
    _certificate(state, event).say(
        position,
        issuedAt=said.time,
        notBefore=event.not_before,
        notAfter=event.not_after,
        source=event.source,
        image=event.image,
        repository=event.repository,
        envelope=event.envelope,
        key=event.key,
        command=event.command,
        breakGlass=event.break_glass,
        renews=event.renews,
        policies=state.once(event.policies),
        verdicts=state.once(event.verdicts),
        facts=event.facts,
        approvals=event.approvals,
        exceptions=event.exceptions,
        conditions=event.conditions,
    )
    release = state.of(
        "release",
        release_id(event.project, event.release),
        project=event.project,
        release=event.release,
    )
    release.say(position, certifiedAt=said.time, certificate=event.certificate)
    if release.get("awaited") is not None:
        release.say(position, awaited=None)
    if event.renews is not None:
        state.of("certificate", event.renews).say(position, renewedBy=event.certificate)


def _certificate(
    state: State,
    event: certifier.CertificateIssued
    | certifier.CertificateUpheld
    | certifier.CertificateSuspended
    | certifier.CertificateReinstated
    | certifier.CertificateWarned
    | certifier.CertificateRevoked
    | certifier.CertificateLapsing
    | certifier.CertificateExpired
    | gateway.RevocationRequested,
) -> Entity:
    return state.of("certificate", event.certificate, project=event.project, release=event.release)


def _review(state: State, event: certifier.ReviewOwed | gateway.ReviewGiven) -> Entity:
    return state.of("review", event.certificate, project=event.project, release=event.release)
