"""A snapshot of advisories was submitted: read it, and say whether packages are matched with it from now on.

To fetch and read some ten thousand documents takes time, so it is a job.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from placet.certifier import projections as p
from placet.certifier.advisories import ADVISORIES, STREAM, Publish, Reject
from placet.certifier.ports import Ports, ReadSnapshot
from placet.errors import PlacetError, Refused, Unreadable
from placet.events import Finish, Heard, Job, UnitOfWork, Worker
from placet.events.contracts.certifier import AdvisoriesPublished
from placet.events.contracts.gateway import AdvisoriesSubmitted

READ_ADVISORIES = "read advisories"


class ReadJob(msgspec.Struct, frozen=True, kw_only=True):
    digest: str


async def on_advisories_submitted(heard: Heard[AdvisoriesSubmitted], work: UnitOfWork, ports: Ports) -> None:
    submitted = heard.data
    job = ReadJob(digest=submitted.digest)
    work.enqueue(READ_ADVISORIES, submitted.digest, job, asker=submitted.submitted_by)


def read_worker(ports: Ports) -> Worker[ReadJob]:
    async def run(job: Job[ReadJob]) -> Finish:
        try:
            snapshot = await ports.snapshots.read(job.payload.digest)
        except (Refused, Unreadable) as refusal:
            return _rejected(job.payload, refusal)
        return _published(job.payload, snapshot)

    def gave_up(job: Job[ReadJob], reason: str) -> Finish:
        why = Refused(f"it could not be read: {reason}", fix="when that is mended, submit a newer one")
        return _rejected(job.payload, why)

    return Worker(kind=READ_ADVISORIES, payload=ReadJob, run=run, gave_up=gave_up, slots=1)


def _published(wanted: ReadJob, snapshot: ReadSnapshot) -> Finish:
    async def finish(work: UnitOfWork) -> None:
        publish = Publish(
            digest=wanted.digest,
            taken=snapshot.taken,
            advisories=snapshot.advisories,
            packages=snapshot.packages,
            now=work.now,
        )
        for event in await work.decide(ADVISORIES, STREAM, publish):
            if isinstance(event, AdvisoriesPublished):
                # The one before is of no use any more, and large.
                work.run(sa.delete(p.advisories))
                work.put(p.advisories, digest=event.digest, compiled=snapshot.compiled)

    return finish


def _rejected(wanted: ReadJob, refusal: PlacetError) -> Finish:
    reject = Reject(digest=wanted.digest, why=refusal.detail, fix=refusal.fix)

    async def finish(work: UnitOfWork) -> None:
        await work.decide(ADVISORIES, STREAM, reject)

    return finish
