"""What the certifier's read models are made of, and nothing is judged.

Handling it all again would judge images of years, and sign what nobody asked for.
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.certifier import assessing, reporting, standing
from placet.certifier import projections as p
from placet.certifier.ports import Ports
from placet.events import Heard, UnitOfWork
from placet.events.contracts import certifier, gateway


async def on_exception_granted(
    heard: Heard[gateway.ExceptionGranted], work: UnitOfWork, ports: Ports
) -> None:
    standing.show_granted(work, heard.data)


async def on_exception_withdrawn(
    heard: Heard[gateway.ExceptionWithdrawn], work: UnitOfWork, ports: Ports
) -> None:
    standing.show_withdrawn(work, heard.data)


async def on_questionnaire_imported(
    heard: Heard[gateway.QuestionnaireImported], work: UnitOfWork, ports: Ports
) -> None:
    assessing.show_questionnaire(work, heard)


async def on_assessment_answered(
    heard: Heard[gateway.AssessmentAnswered], work: UnitOfWork, ports: Ports
) -> None:
    assessing.show_answered(work, heard)


async def on_metadata_reported(
    heard: Heard[gateway.MetadataReported], work: UnitOfWork, ports: Ports
) -> None:
    await reporting.show_report(heard, work, ports)


async def on_token_revoked(heard: Heard[gateway.TokenRevoked], work: UnitOfWork, ports: Ports) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def on_erasure_requested(
    heard: Heard[gateway.ErasureRequested], work: UnitOfWork, ports: Ports
) -> None:
    """A provider's tokens have no ids that we gave, so it is the person of whom none holds any more."""
    work.put(p.revoked_tokens, token=heard.data.person)


async def on_certificate_issued(
    heard: Heard[certifier.CertificateIssued], work: UnitOfWork, ports: Ports
) -> None:
    if heard.data.key is not None:
        work.put(p.signed, certificate=heard.data.certificate, key=heard.data.key)


async def on_certificate_revoked(
    heard: Heard[certifier.CertificateRevoked], work: UnitOfWork, ports: Ports
) -> None:
    work.put(p.revoked, certificate=heard.data.certificate)
    _forget(work, heard.data.certificate)


async def on_certificate_expired(
    heard: Heard[certifier.CertificateExpired], work: UnitOfWork, ports: Ports
) -> None:
    _forget(work, heard.data.certificate)


def _forget(work: UnitOfWork, certificate: str) -> None:
    work.run(sa.delete(p.signed).where(p.signed.c.certificate == certificate))
