"""A policy was submitted: fetch it, try it, and say whether it is published.

To fetch a file and run its tests takes time, so it is a job. What the gateway found is not relied on: this service
judges by what it loaded itself.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import msgspec

from placet.certifier import projections as p
from placet.certifier.policies import POLICIES, STREAM, Publish, Reject
from placet.certifier.ports import LoadedPolicy, Ports
from placet.errors import PlacetError, Refused
from placet.events import Finish, Heard, Job, UnitOfWork, Worker
from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import PolicyPublished
from placet.events.contracts.gateway import PolicySubmitted
from placet.events.contracts.shapes import PolicyProblem, RuleRef
from placet.rules import Policy, version_of

PUBLISH = "publish"


class PublishJob(msgspec.Struct, frozen=True, kw_only=True):
    """`submitted` is a day; `warn_first` is in seconds."""

    policy: str
    version: int
    digest: str
    submitted: str
    warn_first: int | None = None


async def on_policy_submitted(heard: Heard[PolicySubmitted], work: UnitOfWork, ports: Ports) -> None:
    submitted = heard.data
    job = PublishJob(
        policy=submitted.policy,
        version=submitted.version,
        digest=submitted.digest,
        submitted=moment(heard.event.time).date().isoformat(),
        warn_first=submitted.warn_first,
    )
    work.enqueue(PUBLISH, submitted.digest, job, asker=submitted.submitted_by)


def publish_worker(ports: Ports) -> Worker[PublishJob]:
    async def run(job: Job[PublishJob]) -> Finish:
        try:
            loaded = await ports.policies.load(job.payload.digest)
        except Refused as refusal:
            return _rejected(job.payload, *refusal.parts)
        return _published_if_it_fits(job.payload, loaded, ports.policies.shipped)

    def gave_up(job: Job[PublishJob], reason: str) -> Finish:
        why = Refused(f"it could not be tried: {reason}", fix="when that is mended, submit it again, changed")
        return _rejected(job.payload, why)

    return Worker(kind=PUBLISH, payload=PublishJob, run=run, gave_up=gave_up, slots=1)


def _published_if_it_fits(wanted: PublishJob, loaded: LoadedPolicy, shipped: tuple[Policy, ...]) -> Finish:
    policy = loaded.policy

    async def finish(work: UnitOfWork) -> None:
        version = version_of(policy, published=work.now.astimezone(UTC).date())
        publish = Publish(
            version=version,
            title=policy.title,
            rules=tuple(RuleRef(id=rule.id, stage=rule.stage) for rule in policy.rules),
            submitted=date.fromisoformat(wanted.submitted),
            shipped=tuple(version_of(each) for each in shipped),
            warn_until=_warn_until(wanted.warn_first, version.begins, work.now),
        )
        for event in await work.decide(POLICIES, STREAM, publish):
            if isinstance(event, PolicyPublished):
                at = work.said[-1].time
                work.run(p.look_again())
                work.put(
                    p.policies,
                    digest=event.digest,
                    number=event.number,
                    at=at,
                    warn_until=event.warn_until,
                    file=loaded.file,
                )

    return finish


def _warn_until(seconds: int | None, begins: date, now: datetime) -> str | None:
    """Counted from when it is in force."""
    if seconds is None:
        return None
    return timestamp(max(now, datetime.combine(begins, time.min, tzinfo=UTC)) + timedelta(seconds=seconds))


def _rejected(wanted: PublishJob, *errors: PlacetError) -> Finish:
    reject = Reject(
        policy=wanted.policy,
        version=wanted.version,
        digest=wanted.digest,
        problems=tuple(PolicyProblem(why=error.detail, fix=error.fix) for error in errors),
    )

    async def finish(work: UnitOfWork) -> None:
        await work.decide(POLICIES, STREAM, reject)

    return finish
