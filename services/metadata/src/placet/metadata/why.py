"""Was this project's model allowed to run at that moment, and on what does that stand? One answer, from a state.

It was allowed if its certificate stood then and nobody had stopped it; whether it ran is another question, since
traffic ends a moment after a certificate does. The release that is meant is the one that served, or that served last;
of a project that never served the newest that was asked for. What was said only after the moment is told apart, and
changes no answer. Every statement has the position of the event that it stands on. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from placet.events.codec import moment, timestamp
from placet.events.contracts import certifier, deployer, gateway, indexer
from placet.events.contracts.shapes import Verdict
from placet.metadata.entities import Entity, Said, State, plain
from placet.metadata.history_models import release_id
from placet.metadata.history_standing import (
    Standings,
    certificate_standing,
    exception_standing,
    release_standing,
)

Json = dict[str, Any]

LATER = (
    certifier.CertificateIssued,
    certifier.CertificateSuspended,
    certifier.CertificateReinstated,
    certifier.CertificateWarned,
    certifier.CertificateRevoked,
    certifier.CertificateExpired,
    certifier.ReleaseRefused,
    certifier.ReviewOwed,
    certifier.KeyCompromised,
    certifier.AssessmentScored,
    certifier.AssessmentRejected,
    gateway.ExceptionWithdrawn,
    gateway.MetadataReported,
    gateway.ReviewGiven,
    indexer.ImageVanished,
    deployer.ModelQuarantined,
    deployer.ModelDiverged,
)
"""Events that say something of what ran, and may come after it did."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the question is about: none of these is there of a project that was never asked for by then."""

    project: Entity | None
    """None of one that never served, and of one that was deleted and asked for again."""
    release: Entity | None
    certificate: Entity | None
    key: Entity | None = None

    @property
    def ran(self) -> bool:
        return self.project is not None and self.project.get("live") is not None

    def said(self, name: str) -> Any:
        """A fact of its certificate."""
        return None if self.certificate is None else self.certificate.get(name)


def subject_of(state: State, project: str) -> Subject:
    of = state.find("project", project)
    if of is not None and (of.get("serving") is None or _is_asked_again(of)):
        of = None
    served = of.get("served") if of is not None else None
    if of is not None and served is not None:
        release = state.find("release", release_id(project, served))
        certificate = state.find("certificate", of.get("certificate") or "")
    else:
        mine = (each for each in state.all("release") if each.project == project)
        release = max(mine, key=lambda each: each.release or 0, default=None)
        certificate = state.find("certificate", (release and release.get("certificate")) or "")
    if certificate is not None and certificate.get("issuedAt") is None:
        certificate = None  # it is only spoken of: the event that issued it came later
    key = state.find("key", certificate.get("key") or "") if certificate is not None else None
    return Subject(project=of, release=release, certificate=certificate, key=key)


def answer(state: State, project: str, at: datetime) -> Json:
    """All but what became known later, and what covers it. Times are those of the events."""
    subject = subject_of(state, project)
    return {
        "project": project,
        "at": timestamp(at),
        **_answer(subject, at),
        "ran": subject.ran,
        "release": _release(subject),
        "certificate": _certificate(subject, at),
        "policies": list(_policies(subject)),
        "verdicts": list(_verdicts(subject)),
        "inputs": list(_inputs(subject)),
        "approvals": list(_approvals(state, subject)),
        "exceptions": list(_exceptions(state, subject, at)),
        "assessments": list(_assessments(state, subject, at)),
        "against": list(_against(state, subject, project)),
        "attempts": list(_attempts(state, subject, project)),
    }


def last_position(document: Any) -> int:
    """Of the last event that anything in it stands on."""
    match document:
        case dict():
            own = document.get("position")
            others = (last_position(each) for each in document.values())
            return max([own if isinstance(own, int) else 0, *others])
        case list():
            return max(map(last_position, document), default=0)
        case _:
            return 0


# The answer itself.


def _answer(subject: Subject, at: datetime) -> Json:
    reason, why, fix, position = _reason(subject, at)
    return {
        "allowed": reason == "certified",
        "reason": reason,
        "why": why,
        "fix": fix,
        "position": position,
    }


def _reason(subject: Subject, at: datetime) -> tuple[str, str, str | None, int | None]:
    """In the order of what weighs most: who deleted it, what the certificate is, who stopped it."""
    project, certificate = subject.project, subject.certificate
    if project is not None and project.get("serving") == "deleted":
        why = f"it was deleted at {project.get('since')}: its releases could not be started any more"
        return "deleted", why, None, project.position("serving")
    if certificate is None:
        return _uncertified(subject)
    standing = certificate_standing(certificate, at)
    if standing != "valid":
        return _does_not_stand(certificate, standing)
    if subject.key is not None and _is_compromised(subject.key, at):
        why = f"somebody else may have had the key {subject.key.id}, which signed {certificate.id}"
        return (
            "key-compromised",
            why,
            "deploy again, to have it judged anew",
            subject.key.position("compromised"),
        )
    serving = project.get("serving") if project is not None else None
    if project is not None and serving == "stopped":
        why = (
            f"it was stopped at {project.get('since')}; its certificate stood, so it could have been started"
        )
        return "stopped", why, None, project.position("serving")
    if project is not None and serving == "quarantined":
        kept = project.get("quarantine")
        why = f"it was taken off its route at {project.get('since')}: {kept['why']}"
        return "quarantined", why, kept["fix"], project.position("serving")
    why = f"{certificate.id} stood, from {certificate.get('notBefore')} until {certificate.get('notAfter')}"
    return "certified", why, None, certificate.position("standing", "issuedAt")


def _is_asked_again(project: Entity) -> bool:
    """What was deleted may be deployed anew."""
    asked = project.get("asked")
    return bool(project.get("serving") == "deleted" and asked and asked["command"] in ("deploy", "build"))


def _uncertified(subject: Subject) -> tuple[str, str, str | None, int | None]:
    release = subject.release
    if release is None:
        return "never-certified", "nobody had asked for it by then", None, None
    if release.get("refusedAt") is not None:
        refusals: Sequence[Verdict] = release.get("refusals")
        why = "; ".join(f"{each.rule}: {each.why or 'it is not kept'}" for each in refusals)
        fix = next((each.fix for each in refusals if each.fix), None)
        return (
            "refused",
            f"release {release.release} was refused by {why}",
            fix,
            release.position("refusedAt"),
        )
    if release.get("failure") is not None:
        failure = release.get("failure")
        why = f"release {release.release} failed before it was certified: {failure['why']}"
        return "never-certified", why, failure["fix"], release.position("failure")
    if release.get("awaited") is not None:
        awaited = release.get("awaited")
        rules = ", ".join(each.rule for each in awaited["rules"])
        why = f"release {release.release} waited for people, up to {awaited['until']}: {rules}"
        return "awaiting", why, None, release.position("awaited")
    why = f"release {release.release} was asked for and not judged to the end by then"
    return "never-certified", why, None, release.position()


def _does_not_stand(certificate: Entity, standing: str) -> tuple[str, str, str | None, int]:
    grounds = certificate.get("grounds") or ()
    said = "; ".join(f"{each.rule}: {each.why}" for each in grounds)
    fix = next((each.fix for each in grounds if each.fix), None)
    match standing:
        case "revoked":
            by, when = certificate.get("revokedBy"), certificate.get("revokedAt")
            why = f"{certificate.id} was revoked at {when} by {by}"
            return "revoked", why, fix, certificate.position("standing")
        case "suspended":
            why = f"{certificate.id} was suspended at {certificate.get('since')}: {said}"
            return "suspended", why, fix, certificate.position("standing", "grounds")
        case "expired":
            why = f"{certificate.id} was valid until {certificate.get('notAfter')}"
            fix = f"have what serves renewed before it ends: `placet certificate renew {certificate.project}`"
            return "expired", why, fix, certificate.position("notAfter")
        case _:
            why = f"{certificate.id} is valid only from {certificate.get('notBefore')}"
            return "to-come", why, None, certificate.position("notBefore")


def _is_compromised(key: Entity, at: datetime) -> bool:
    since = key.get("compromised")
    return since is not None and moment(since) <= at


# What it stands on.


def _release(subject: Subject) -> Json | None:
    release = subject.release
    if release is None:
        return None
    project, certificate = subject.project, subject.certificate
    serves = project is not None and project.get("served") == release.release
    return {
        "release": release.release,
        "source": release.get("source"),
        "image": (certificate.get("image") if certificate is not None else None) or release.get("image"),
        "format": release.get("format"),
        "riskClass": release.get("riskClass") or None,
        "requestedBy": release.get("requestedBy"),
        "requestedAt": release.get("requestedAt"),
        "position": release.position("requestedAt"),
        "served": {
            "state": project.get("serving"),
            "since": project.get("since"),
            "url": project.get("url"),
            "diverged": project.get("diverged"),
            "position": project.position("serving", "live", "certificate"),
        }
        if project is not None and serves
        else None,
    }


def _certificate(subject: Subject, at: datetime) -> Json | None:
    of, key = subject.certificate, subject.key
    if of is None:
        return None
    return {
        "certificate": of.id,
        "state": certificate_standing(of, at),
        "issuedAt": of.get("issuedAt"),
        "notBefore": of.get("notBefore"),
        "notAfter": of.get("notAfter"),
        "envelope": of.get("envelope"),
        "repository": of.get("repository"),
        "image": of.get("image"),
        "breakGlass": of.get("breakGlass"),
        "renews": of.get("renews"),
        "position": of.position("issuedAt"),
        "key": {
            "key": of.get("key"),
            "public": None if key is None else key.get("public"),
            "position": of.position("issuedAt") if key is None else key.position("public"),
        },
    }


def _policies(subject: Subject) -> Iterator[Json]:
    release, certificate = subject.release, subject.certificate
    for stage, entity, name in (
        ("submit", release, "submitPolicies"),
        ("certify", certificate, "policies"),
        ("refused", release, "refusedByPolicies"),
    ):
        for each in (entity.get(name) if entity is not None else None) or ():
            yield {
                "policy": each.id,
                "version": each.version,
                "digest": each.digest,
                "stage": release.get("refusedAtStage") if stage == "refused" and release else stage,
                "position": entity.position(name) if entity is not None else 0,
            }
    if certificate is not None and not certificate.get("policies"):
        # Issued before its event named them: which versions they were stands in the signed envelope.
        for policy in sorted({each.policy for each in certificate.get("verdicts")}):
            yield {
                "policy": policy,
                "version": None,
                "digest": None,
                "stage": "certify",
                "position": certificate.position("verdicts"),
            }


def _verdicts(subject: Subject) -> Iterator[Json]:
    """Of a release that was refused all that were given, and not only those that refused it."""
    told = set[str]()
    for entity, name in (
        (subject.release, "submitVerdicts"),
        (subject.certificate, "verdicts"),
        (subject.release, "refusedVerdicts"),
    ):
        given = (entity.get(name) if entity is not None else None) or ()
        for each in given:
            # Who refuses a release at its second stage says again what the first one found.
            if name != "refusedVerdicts" or each.rule not in told:
                yield {**plain(each), "position": entity.position(name) if entity is not None else 0}
        told |= {each.rule for each in given}


def _inputs(subject: Subject) -> Iterator[Json]:
    for stage, entity, name in (
        ("submit", subject.release, "submitFacts"),
        ("certify", subject.certificate, "facts"),
        ("refused", subject.release, "refusedFacts"),
    ):
        facts = entity.get(name) if entity is not None else None
        if entity is not None and facts is not None:
            of = entity.get("refusedAtStage") if stage == "refused" else stage
            yield {"stage": of, **plain(facts), "position": entity.position(name)}


def _approvals(state: State, subject: Subject) -> Iterator[Json]:
    """Those that counted, and where each was given; of a release that waits those that it has."""
    certificate, release = subject.certificate, subject.release
    awaited = release.get("awaited") if release is not None else None
    counted = certificate.get("approvals") if certificate is not None else (awaited or {}).get("approvals")
    for each in counted or ():
        given = state.find("approval", each.approval)
        said = certificate or release
        yield {
            **plain(each),
            "reason": None if given is None else given.get("reason"),
            "position": given.position()
            if given is not None
            else said.position("approvals", "awaited")
            if said
            else 0,
        }
    if certificate is not None:
        review = state.find("review", certificate.id)
        if review is not None and review.get("givenAt") is not None:
            yield {
                "approval": review.get("review"),
                "givenBy": review.get("givenBy"),
                "roles": ["review"],
                "at": review.get("givenAt"),
                "breakGlass": False,
                "reason": review.get("reason"),
                "position": review.position("givenAt"),
            }


def _exceptions(state: State, subject: Subject, at: datetime) -> Iterator[Json]:
    certificate, release = subject.certificate, subject.release
    used = certificate.get("exceptions") if certificate is not None else None
    if used is None and release is not None:
        used = release.get("submitExceptions")
    for each in used or ():
        asked = state.find("exception", each.exception)
        entity = asked or certificate or release
        yield {
            **plain(each),
            "state": "unknown" if asked is None else exception_standing(asked, at),
            "requestedBy": None if asked is None else asked.get("requestedBy"),
            "grantedAt": None if asked is None else asked.get("grantedAt"),
            "withdrawnBy": None if asked is None else asked.get("withdrawnBy"),
            "withdrawnAt": None if asked is None else asked.get("withdrawnAt"),
            "position": entity.position("grantedAt", "withdrawnAt", "exceptions") if entity else 0,
        }


def _assessments(state: State, subject: Subject, at: datetime) -> Iterator[Json]:
    """Of the source that was judged; what was answered of another one is no part of the answer."""
    source = subject.release.get("source") if subject.release is not None else None
    standings = Standings(state, at)
    for each in state.all("assessment"):
        if source is not None and each.get("source") == source:
            yield {
                "assessment": each.id,
                "state": standings.of(each)[0],
                "questionnaire": each.get("questionnaire"),
                "version": each.get("version"),
                "digest": each.get("digest"),
                "answeredBy": each.get("answeredBy"),
                "answeredAt": each.get("answeredAt"),
                "scoredAt": each.get("scoredAt"),
                "level": each.get("level"),
                "label": each.get("label"),
                "score": each.get("score"),
                "missing": plain(each.get("missing") or ()),
                "envelope": each.get("envelope"),
                "position": each.position("answeredAt", "scoredAt", "rejectedAt"),
            }


def _against(state: State, subject: Subject, project: str) -> Iterator[Json]:
    """What was known by then that spoke against it, whether that was enough to stop it or not."""
    of, certificate, release = subject.project, subject.certificate, subject.release
    for name in ("grounds", "warnings"):
        for each in subject.said(name) or ():
            kind, position = (
                name.removesuffix("s"),
                certificate.position(name) if certificate is not None else 0,
            )
            yield _said(kind, each.why, position, rule=each.rule, fix=each.fix)
    if certificate is not None:
        review = state.find("review", certificate.id)
        if review is not None and review.get("givenAt") is None:
            why = "the glass was broken for it, and nobody else had looked at that yet"
            yield _said("review-owed", why, review.position("owedAt"))
    if release is not None and release.get("missing") is not None:
        yield _said("image-missing", release.get("missing")["why"], release.position("missing"))
    if of is not None and of.get("quarantine") is not None:
        kept = of.get("quarantine")
        yield _said("quarantine", kept["why"], of.position("quarantine"), rule=kept["rule"], fix=kept["fix"])
    if of is not None and of.get("diverged") is not None:
        yield _said("diverged", of.get("diverged")["why"], of.position("diverged"))
    for each in state.all("incident"):
        if each.project == project and each.get("status") == "open":
            why = (
                f"an incident of severity {each.get('severity')} was open since {each.get('openedAt')},"
                f" told of at {each.get('firstHeardAt')}"
            )
            yield _said("incident", why, each.position("status"), of=each.id)


def _said(
    kind: str,
    why: str,
    position: int,
    *,
    rule: str | None = None,
    fix: str | None = None,
    of: str | None = None,
) -> Json:
    return {"kind": kind, "rule": rule, "why": why, "fix": fix, "of": of, "position": position}


def _attempts(state: State, subject: Subject, project: str) -> Iterator[Json]:
    """Releases that were asked for after the one that the answer is about."""
    after = subject.release.release if subject.release is not None else None
    newer = (each for each in state.all("release") if each.project == project and after is not None)
    for each in sorted(newer, key=lambda release: release.release or 0):
        if (each.release or 0) > (after or 0):
            name, position = release_standing(each, state.find("project", project))
            yield {"release": each.release, "state": name, "position": position}


# What became known only later.


def known_later(subject: Subject, said: Iterable[Said], at: datetime) -> Iterator[Json]:
    """Of what was said after the moment that which is about the release, or what it stood on."""
    for each in said:
        what = _later(subject, each.data, at)
        if what is not None:
            kind, why = what
            yield {"time": each.time, "kind": kind, "why": why, "position": each.position}


def _later(subject: Subject, event: Any, at: datetime) -> tuple[str, str] | None:
    certificate, release = subject.certificate, subject.release
    held = certificate.id if certificate is not None else None
    number = release.release if release is not None else None
    match event:
        case certifier.CertificateSuspended(certificate=of) if of == held:
            return "suspended", "; ".join(f"{each.rule}: {each.why}" for each in event.grounds)
        case certifier.CertificateReinstated(certificate=of) if of == held:
            return "reinstated", "there was nothing against it any more"
        case certifier.CertificateWarned(certificate=of) if of == held:
            said = "; ".join(f"{each.rule}: {each.why}" for each in event.warnings)
            return "warned", said or "there was nothing to look at any more"
        case certifier.CertificateRevoked(certificate=of) if of == held:
            return "revoked", f"by {event.revoked_by}: {event.ground.why}"
        case certifier.CertificateExpired(certificate=of) if of == held:
            return "expired", f"it was valid until {event.not_after}"
        case certifier.CertificateIssued(release=of) if of == number and held is None:
            return "certified", f"{event.certificate} was issued, until {event.not_after}"
        case certifier.CertificateIssued(renews=of) if of is not None and of == held:
            return "renewed", f"by {event.certificate}, until {event.not_after}"
        case certifier.ReleaseRefused(release=of) if of == number and held is None:
            return "refused", ", ".join(each.rule for each in event.verdicts if each.result != "pass")
        case certifier.ReviewOwed(certificate=of) if of == held:
            return "review-owed", "the glass was broken for it"
        case gateway.ReviewGiven(certificate=of) if of == held:
            return "reviewed", f"by {event.given_by}"
        case certifier.KeyCompromised(key=of) if certificate is not None and of == certificate.get("key"):
            before = "; that was so at the time already" if moment(event.since) <= at else ""
            return "key-compromised", f"nothing that {of} signed counts from {event.since} on{before}"
        case gateway.ExceptionWithdrawn(exception=of) if of in _stood_on(certificate):
            return "exception-withdrawn", f"{of}, from {event.rule}, by {event.withdrawn_by}"
        case gateway.MetadataReported() if event.incident is not None and event.release in (None, number):
            before = "; it had happened by then already" if _is_before(event.at, at) else ""
            incident = event.incident
            said = f"{incident.incident} of severity {incident.severity} is {incident.status}"
            return "incident", f"{said}, at {event.at}{before}"
        case certifier.AssessmentScored(source=of) if release is not None and of == release.get("source"):
            return "assessed", f"{event.assessment}: level {event.level}, {event.label}"
        case certifier.AssessmentRejected(assessment=of):
            return "assessment-rejected", f"{of}: {event.why}"
        case indexer.ImageVanished(release=of) if of == number:
            return "image-missing", event.why
        case deployer.ModelQuarantined(certificate=of) if of == held:
            return "quarantined", event.why
        case deployer.ModelDiverged(release=of) if of == number:
            return "diverged", event.why
        case _:
            return None


def _stood_on(certificate: Entity | None) -> frozenset[str]:
    used = certificate.get("exceptions") if certificate is not None else ()
    return frozenset(each.exception for each in used or ())


def _is_before(text: str, at: datetime) -> bool:
    """What a report says of when it happened is its sender's word; the gateway has seen that it is a time."""
    return moment(text) <= at
