"""Events as the log has them, for folds and answers that need no log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from placet.events.codec import timestamp
from placet.events.contracts import certifier, gateway
from placet.events.contracts.shapes import (
    ApprovalUsed,
    ExceptionUsed,
    Ground,
    RecordedFacts,
    ReportedIncident,
)
from placet.events.testing import changed
from placet.metadata.entities import Said, State
from placet.metadata.history import fold

from tests.unit.gateway.roads import BINDING, CERTIFICATE, DEPLOY, certified, cleared

START = datetime(2026, 1, 1, tzinfo=UTC)
ASKER, APPROVER, REVOKER = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
EXCEPTION = "exception:1"
SUBMIT_FACTS = RecordedFacts(facts=f"sha256:{'8' * 64}", personal=f"sha256:{'9' * 64}")
CERTIFY_FACTS = RecordedFacts(facts=f"sha256:{'6' * 64}")
GROUND = Ground(rule="house.drift", why="psi of age is 0.4, at most 0.2", fix="look at the inputs")
APPROVAL = ApprovalUsed(
    approval="approval:1", given_by=APPROVER, roles=("approver",), at="2026-01-01T00:00:00.000Z"
)
USED = ExceptionUsed(
    exception=EXCEPTION, rule="house.old", until="2026-06-01T00:00:00.000Z", granted_by=APPROVER
)


def requested_exception() -> gateway.ExceptionRequested:
    return gateway.ExceptionRequested(
        exception=EXCEPTION,
        project="churn",
        rule="house.old",
        source=None,
        until=USED.until,
        reason=f"sha256:{'c' * 64}",
        requested_by=ASKER,
    )


def granted_exception() -> gateway.ExceptionGranted:
    return gateway.ExceptionGranted(
        exception=EXCEPTION,
        project="churn",
        rule="house.old",
        source=None,
        until=USED.until,
        requested_by=ASKER,
        granted_by=APPROVER,
    )


def given_approval() -> gateway.ApprovalGiven:
    return gateway.ApprovalGiven(
        approval="approval:1",
        project="churn",
        release=1,
        binding=BINDING,
        roles=("approver",),
        given_by=APPROVER,
    )


def suspended(*grounds: Ground) -> certifier.CertificateSuspended:
    return certifier.CertificateSuspended(
        certificate=CERTIFICATE, project="churn", release=1, grounds=grounds or (GROUND,)
    )


REINSTATED = certifier.CertificateReinstated(certificate=CERTIFICATE, project="churn", release=1)


def revoked() -> certifier.CertificateRevoked:
    return certifier.CertificateRevoked(
        certificate=CERTIFICATE,
        project="churn",
        release=1,
        ground=Ground(rule="certificate.revoked", why="it was revoked", fix="deploy again"),
        revoked_by=REVOKER,
    )


def incident(status: Any = "open", *, at: str = "2026-01-01T00:00:00Z", report: str = "report:1") -> Any:
    return gateway.MetadataReported(
        report=report,
        project="churn",
        release=None,
        source=None,
        at=at,
        reported_by=ASKER,
        incident=ReportedIncident(incident="inc-1", severity="high", status=status),
    )


def governed() -> list[Any]:
    """A deploy that stands on an exception and an approval, with what the rules saw."""
    road = [requested_exception(), granted_exception(), *DEPLOY]
    road.insert(-3, given_approval())
    issued = certified()
    changes = {"approvals": (APPROVAL,), "exceptions": (USED,), "facts": CERTIFY_FACTS, "key": "k1"}
    road[road.index(issued)] = changed(issued, **changes)
    road[road.index(cleared())] = changed(cleared(), facts=SUBMIT_FACTS, exceptions=(USED,))
    return road


def said(events: Sequence[Any], *, first: int = 1, every: timedelta = timedelta(hours=1)) -> list[Said]:
    """Each an hour after the one before, at the next position."""
    return [
        Said(
            position=first + place,
            time=timestamp(START + place * every),
            by=ASKER,
            project=getattr(event, "project", "platform"),
            data=event,
        )
        for place, event in enumerate(events)
    ]


def state_of(events: Sequence[Any]) -> State:
    return fold(State(), said(events))


def hour(number: float) -> datetime:
    """When the event at position `number` was said."""
    return START + timedelta(hours=number - 1)
