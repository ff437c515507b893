"""What the certifier makes of its own events when its database is restored: the rows that were written with them.

Certificates, what they stand on and what is against them, what is waited for, which policies and advisories are in use.
What it signed lies in the registry, where it always did; policies and advisories are read from there again.
"""

from __future__ import annotations

import logging

import msgspec
import sqlalchemy as sa

from placet.certifier import projections as p
from placet.certifier import standing
from placet.certifier.advisories import STREAM as ADVISORIES
from placet.certifier.certifying import stop_waiting
from placet.certifier.domain import RELEASE, Awaiting, Cleared, stream
from placet.certifier.handlers import on_image_indexed
from placet.certifier.ports import Ports
from placet.errors import Refused, Unreadable
from placet.events import Heard, UnitOfWork
from placet.events.contracts import certifier
from placet.events.contracts.indexer import ImageIndexed

log = logging.getLogger(__name__)


async def on_release_cleared(heard: Heard[certifier.ReleaseCleared], work: UnitOfWork, ports: Ports) -> None:
    cleared = heard.data
    work.run(p.name_source(cleared.project, cleared.release, cleared.source))


async def on_image_indexed_before(heard: Heard[ImageIndexed], work: UnitOfWork, ports: Ports) -> None:
    """What is waited for since then is looked at at once."""
    indexed = heard.data
    state = await work.state(RELEASE, stream(indexed.project, indexed.release))
    if isinstance(state, Awaiting):
        work.put(
            p.awaited,
            project=indexed.project,
            release=indexed.release,
            operation=heard.event.correlationid,
            indexed=msgspec.json.encode(indexed),
            look_at=0.0,
        )
    elif isinstance(state, Cleared):
        await on_image_indexed(heard, work, ports)


async def on_certificate_issued(
    heard: Heard[certifier.CertificateIssued], work: UnitOfWork, ports: Ports
) -> None:
    await standing.keep(work, heard.data, ports)
    stop_waiting(work, heard.data.project, heard.data.release)


async def on_certificate_upheld(
    heard: Heard[certifier.CertificateUpheld], work: UnitOfWork, ports: Ports
) -> None:
    upheld = heard.data
    standing.stand_on(work, upheld.certificate, upheld.exception.rule, upheld.exception.exception)


async def on_certificate_lapsing(
    heard: Heard[certifier.CertificateLapsing], work: UnitOfWork, ports: Ports
) -> None:
    mine = p.certificates.c.certificate == heard.data.certificate
    work.run(sa.update(p.certificates).where(mine).values(is_reminded=True))


async def on_certificate_revoked(
    heard: Heard[certifier.CertificateRevoked], work: UnitOfWork, ports: Ports
) -> None:
    work.put(p.revoked, certificate=heard.data.certificate)
    standing.forget(work, heard.data.certificate)


async def on_certificate_expired(
    heard: Heard[certifier.CertificateExpired], work: UnitOfWork, ports: Ports
) -> None:
    standing.forget(work, heard.data.certificate)


async def on_policy_published(
    heard: Heard[certifier.PolicyPublished], work: UnitOfWork, ports: Ports
) -> None:
    """Raises Refused where the registry has it no more: nothing may be judged without it."""
    published = heard.data
    loaded = await ports.policies.load(published.digest)
    work.put(
        p.policies,
        digest=published.digest,
        number=published.number,
        at=heard.event.time,
        warn_until=published.warn_until,
        file=loaded.file,
    )


async def on_advisories_published(
    heard: Heard[certifier.AdvisoriesPublished], work: UnitOfWork, ports: Ports
) -> None:
    """Only those that are in use: to read them takes a while."""
    published = heard.data
    every = await work.history(ADVISORIES)
    if [each.digest for each in every if isinstance(each, certifier.AdvisoriesPublished)][
        -1
    ] != published.digest:
        return
    try:
        snapshot = await ports.snapshots.read(published.digest)
    except (Refused, Unreadable) as gone:
        log.warning("advisories %s are not in use any more, submit newer ones: %s", published.digest, gone)
        return
    work.put(p.advisories, digest=published.digest, compiled=snapshot.compiled)


async def on_assessment_scored(
    heard: Heard[certifier.AssessmentScored], work: UnitOfWork, ports: Ports
) -> None:
    mine = p.assessments.c.assessment == heard.data.assessment
    work.run(sa.update(p.assessments).where(mine).values(scored=msgspec.json.encode(heard.data)))
