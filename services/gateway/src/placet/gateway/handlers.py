"""What the gateway does with what it hears: move the operation on, and keep models, images and certificates."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.events import Heard, UnitOfWork
from placet.events.contracts import certifier, deployer, indexer
from placet.events.contracts.shapes import Ground, RecordedFacts
from placet.gateway import lives
from placet.gateway import projections as p
from placet.gateway.measures import count
from placet.gateway.operations import Operation, advance
from placet.gateway.ports import Reads
from placet.gateway.projections import read_operation, show_progress, update_operation

_NOWHERE = dict.fromkeys(("url", "endpoints", "replicas", "canary", "canary_certificate"))


async def on_step(heard: Heard[Any], work: UnitOfWork, reads: Reads) -> None:
    """Any event that belongs to an operation moves it on."""
    await _move_on(heard, work, reads)


async def _move_on(heard: Heard[Any], work: UnitOfWork, reads: Reads) -> Operation | None:
    """The operation after what was heard; none if a clock caused it, or what runs, and no request."""
    rows = await reads.rows(sa.select(p.operations).where(p.operations.c.id == heard.event.correlationid))
    if not rows:
        return None
    before = read_operation(rows[0])
    after = await _with_source(advance(before, heard.data, heard.event.time), reads)
    work.run(update_operation(after, heard_at=work.now.timestamp()))
    work.run(show_progress(after))
    work.once_committed(partial(count, before, after))
    return after


async def _with_source(operation: Operation, reads: Reads) -> Operation:
    """A start names an image alone; the index knows which source that is."""
    if operation.source is not None or operation.image is None:
        return operation
    rows = await reads.rows(sa.select(p.images.c.source).where(p.images.c.image == operation.image))
    return replace(operation, source=rows[0].source) if rows else operation


async def on_release_cleared(heard: Heard[certifier.ReleaseCleared], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    cleared = heard.data
    work.put(
        p.releases,
        project=cleared.project,
        release=cleared.release,
        access=cleared.access,
        trial=cleared.trial,
    )
    work.put(
        p.demands,
        project=cleared.project,
        release=cleared.release,
        cpu_millis=cleared.resources.cpu_millis,
        memory_bytes=cleared.resources.memory_bytes,
        gpus=cleared.resources.gpus,
    )
    _note_facts(work, heard, cleared.facts)


async def on_image_indexed(heard: Heard[indexer.ImageIndexed], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    image = heard.data
    work.run(sa.update(p.images).where(p.images.c.image == image.image).values(vanished=False))
    known = sa.and_(p.images.c.image == image.image, p.images.c.project == image.project)
    if await reads.rows(sa.select(p.images.c.certificate).where(known)):
        # Indexed again, for another release or since it came back: what is shown of it stays the first one's.
        return
    work.put(p.histories, image=image.image, project=image.project, indexed_at=heard.event.time)
    theirs = sa.and_(p.certificates.c.image == image.image, p.certificates.c.project == image.project)
    certificate = await reads.rows(sa.select(p.certificates.c.certificate).where(theirs))
    work.put(
        p.images,
        image=image.image,
        repository=image.repository,
        project=image.project,
        release=image.release,
        source=image.source,
        format=image.format,
        certificate=certificate[0].certificate if certificate else None,
        vanished=False,
    )


async def on_image_vanished(heard: Heard[indexer.ImageVanished], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    work.run(sa.update(p.images).where(p.images.c.image == heard.data.image).values(vanished=True))


async def on_image_collected(heard: Heard[indexer.ImageCollected], work: UnitOfWork, reads: Reads) -> None:
    for table in (p.images, p.histories):
        work.run(sa.delete(table).where(table.c.image == heard.data.image))


async def on_source_collected(heard: Heard[indexer.SourceCollected], work: UnitOfWork, reads: Reads) -> None:
    """What was known of it, and of whom it names, goes with it."""
    for table in (p.sources, p.cards, p.results, p.senders, p.builders, p.declarations):
        work.run(sa.delete(table).where(table.c.source == heard.data.source))


async def on_release_refused(heard: Heard[certifier.ReleaseRefused], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    _waits_no_more(work, heard.data.project, heard.data.release, "refused")
    _note_facts(work, heard, heard.data.facts)


async def on_approval_awaited(
    heard: Heard[certifier.ApprovalAwaited], work: UnitOfWork, reads: Reads
) -> None:
    await on_step(heard, work, reads)
    work.put(
        p.awaited,
        project=heard.data.project,
        release=heard.data.release,
        operation=heard.event.correlationid,
        state="awaiting",
        awaited=msgspec.json.encode(heard.data),
    )


def _waits_no_more(work: UnitOfWork, project: str, release: int, state: str) -> None:
    mine = sa.and_(p.awaited.c.project == project, p.awaited.c.release == release)
    work.run(sa.update(p.awaited).where(mine).values(state=state))


async def on_certificate_issued(
    heard: Heard[certifier.CertificateIssued], work: UnitOfWork, reads: Reads
) -> None:
    await on_step(heard, work, reads)
    issued = heard.data
    _waits_no_more(work, issued.project, issued.release, "certified")
    _note_facts(work, heard, issued.facts)
    work.put(
        p.certificates,
        keep=("lapsing",),
        certificate=issued.certificate,
        project=issued.project,
        release=issued.release,
        image=issued.image,
        repository=issued.repository,
        envelope=issued.envelope,
        not_after=issued.not_after,
        renews=issued.renews,
        lapsing=False,
    )
    theirs = sa.and_(p.images.c.image == issued.image, p.images.c.project == issued.project)
    work.run(sa.update(p.images).where(theirs).values(certificate=issued.certificate))
    newest = sa.func.coalesce(p.models.c.certified_release, 0) < issued.release
    work.run(
        sa.update(p.models)
        .where(p.models.c.project == issued.project, newest)
        .values(certified_release=issued.release)
    )


async def on_review_owed(heard: Heard[certifier.ReviewOwed], work: UnitOfWork, reads: Reads) -> None:
    owed = heard.data
    concerned = {each.given_by for each in owed.approvals} | ({owed.asker} if owed.asker else set())
    work.put(
        p.reviews,
        keep=("review", "given_by", "given_at"),
        certificate=owed.certificate,
        project=owed.project,
        release=owed.release,
        owed_at=heard.event.time,
        concerned=",".join(sorted(concerned)),
        review=None,
        given_by=None,
        given_at=None,
    )


async def on_certificate_suspended(
    heard: Heard[certifier.CertificateSuspended], work: UnitOfWork, reads: Reads
) -> None:
    said = heard.data
    _stand(work, said.certificate, "suspended", said.grounds)


async def on_certificate_reinstated(
    heard: Heard[certifier.CertificateReinstated], work: UnitOfWork, reads: Reads
) -> None:
    _stand(work, heard.data.certificate, None, ())


async def on_certificate_warned(
    heard: Heard[certifier.CertificateWarned], work: UnitOfWork, reads: Reads
) -> None:
    mine = p.certificates.c.certificate == heard.data.certificate
    said = msgspec.json.encode(heard.data.warnings) if heard.data.warnings else None
    work.run(sa.update(p.certificates).where(mine).values(warnings=said))


async def on_certificate_lapsing(
    heard: Heard[certifier.CertificateLapsing], work: UnitOfWork, reads: Reads
) -> None:
    mine = p.certificates.c.certificate == heard.data.certificate
    work.run(sa.update(p.certificates).where(mine).values(lapsing=True))


async def on_certificate_revoked(
    heard: Heard[certifier.CertificateRevoked], work: UnitOfWork, reads: Reads
) -> None:
    _stand(work, heard.data.certificate, "revoked", (heard.data.ground,))


async def on_model_started(heard: Heard[deployer.ModelStarted], work: UnitOfWork, reads: Reads) -> None:
    by = await _move_on(heard, work, reads)
    started = heard.data
    mended = sa.select(p.models.c.project).where(
        p.models.c.project == started.project,
        p.models.c.diverged.is_not(None),
        p.models.c.request == started.request,
    )
    if await reads.rows(mended):
        by = None
    work.put(p.histories, image=started.image, project=started.project, live_at=heard.event.time)
    lives.go_live(work, started.project, started.release, heard.event.time)
    _set(
        work,
        started.project,
        by,
        state="live",
        release=started.release,
        image=started.image,
        certificate=started.certificate,
        url=started.url,
        endpoints=msgspec.json.encode(started.endpoints),
        replicas=started.replicas,
        request=started.request,
    )
    canary = await _canary(reads, started.project)
    if canary is not None and canary.release == started.release:  # it was promoted
        _set_canary(work, started.project, None)


async def _canary(reads: Reads, project: str) -> p.Canary | None:
    rows = await reads.rows(sa.select(p.models.c.canary).where(p.models.c.project == project))
    return p.read_canary(rows[0]) if rows else None


def _set_canary(
    work: UnitOfWork, project: str, canary: p.Canary | None, aborted: p.Aborted | None = None
) -> None:
    values = {
        "canary": None if canary is None else msgspec.json.encode(canary),
        "canary_certificate": None if canary is None else canary.certificate,
        "aborted": None if aborted is None else msgspec.json.encode(aborted),
    }
    work.run(sa.update(p.models).where(p.models.c.project == project).values(**values))


async def on_canary_started(heard: Heard[deployer.CanaryStarted], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    started = heard.data
    work.put(p.histories, image=started.image, project=started.project, tried_at=heard.event.time)
    lives.go_beside(work, started.project, started.release, heard.event.time)
    canary = p.Canary(
        release=started.release,
        weight=started.weight,
        image=started.image,
        certificate=started.certificate,
        endpoints=started.endpoints,
    )
    _set_canary(work, started.project, canary)


async def on_canary_weighted(heard: Heard[deployer.CanaryWeighted], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    canary = await _canary(reads, heard.data.project)
    if canary is not None and canary.release == heard.data.release:
        weighted = msgspec.structs.replace(canary, weight=heard.data.weight)
        _set_canary(work, heard.data.project, weighted)


async def on_canary_aborted(heard: Heard[deployer.CanaryAborted], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    said = heard.data
    aborted = p.Aborted(release=said.release, why=said.why, fix=said.fix, at=heard.event.time)
    _set_canary(work, said.project, None, aborted)
    lives.end(work, said.project, "aborted", heard.event.time, why=said.why, release=said.release)


async def on_model_scaled(heard: Heard[deployer.ModelScaled], work: UnitOfWork, reads: Reads) -> None:
    await on_step(heard, work, reads)
    scaled = heard.data
    mine = sa.and_(p.models.c.project == scaled.project, p.models.c.release == scaled.release)
    endpoints = msgspec.json.encode(scaled.endpoints)
    work.run(sa.update(p.models).where(mine).values(endpoints=endpoints, replicas=scaled.replicas))


async def on_model_diverged(heard: Heard[deployer.ModelDiverged], work: UnitOfWork, reads: Reads) -> None:
    """Until it is said to have started again, it does not serve."""
    await on_step(heard, work, reads)
    diverged = heard.data
    live = sa.and_(
        p.models.c.project == diverged.project,
        p.models.c.state == "live",
        p.models.c.release == diverged.release,
    )
    work.run(sa.update(p.models).where(live).values(diverged=diverged.why, serves=diverged.serves))


async def on_model_failed(heard: Heard[deployer.ModelFailed], work: UnitOfWork, reads: Reads) -> None:
    """A start that failed leaves what serves, even a start of the very release that serves.

    Only the request that the live release answers can take it down: then it was given up.
    """
    await on_step(heard, work, reads)
    failed = heard.data
    live = sa.and_(
        p.models.c.project == failed.project, p.models.c.state == "live", p.models.c.request == failed.request
    )
    if await reads.rows(sa.select(p.models.c.project).where(live)):
        work.put(
            p.takedowns,
            project=failed.project,
            why=failed.why,
            fix=failed.fix,
            rule=None,
            certificate=None,
        )
        lives.end(work, failed.project, "failed", heard.event.time, why=failed.why)
    work.run(sa.update(p.models).where(live).values(state="failed", diverged=None, **_NOWHERE))


async def on_model_stopped(heard: Heard[deployer.ModelStopped], work: UnitOfWork, reads: Reads) -> None:
    by = await _move_on(heard, work, reads)
    _set(work, heard.data.project, by, state="stopped", **_NOWHERE)
    lives.end(work, heard.data.project, "stopped", heard.event.time)


async def on_model_quarantined(
    heard: Heard[deployer.ModelQuarantined], work: UnitOfWork, reads: Reads
) -> None:
    await on_step(heard, work, reads)
    lapsed = heard.data
    work.put(
        p.takedowns,
        project=lapsed.project,
        why=lapsed.why,
        fix=lapsed.fix,
        rule=lapsed.rule,
        certificate=lapsed.certificate,
    )
    _set(work, lapsed.project, None, state="quarantined", **_NOWHERE)
    lives.end(work, lapsed.project, "quarantined", heard.event.time, why=lapsed.why)


async def on_model_deleted(heard: Heard[deployer.ModelDeleted], work: UnitOfWork, reads: Reads) -> None:
    by = await _move_on(heard, work, reads)
    gone = dict.fromkeys(("release", "image", "certificate", "aborted"))
    _set(work, heard.data.project, by, state="deleted", **gone, **_NOWHERE)
    lives.end(work, heard.data.project, "deleted", heard.event.time)


async def on_model_observed(heard: Heard[deployer.ModelObserved], work: UnitOfWork, reads: Reads) -> None:
    """The last one of what serves is kept, with the drift that was last told of the same release: few windows tell any.
    What a canary does is for the certifier to judge."""
    canary = await _canary(reads, heard.data.project)
    if canary is not None and canary.release == heard.data.release:
        return
    said = heard.data
    table = p.observations
    rows = await reads.rows(sa.select(table).where(table.c.project == said.project))
    before = p.read_observed(rows[0]) if rows else {}
    windows = p.read_windows(rows[0]) if rows else ()
    window = p.Window(
        release=said.release,
        since=said.since,
        until=said.until,
        requests=said.requests,
        errors=said.errors,
        p50_ms=said.p50_ms,
        p99_ms=said.p99_ms,
        psi=None if said.drift is None else said.drift.psi,
    )
    observed = msgspec.to_builtins(said)
    if observed["drift"] is not None:
        del observed["drift"]["parts"]  # for those who add windows up
    elif before.get("release") == said.release:
        observed["drift"] = before["drift"]
    work.put(
        table,
        project=said.project,
        observed=msgspec.json.encode(observed),
        windows=msgspec.json.encode((*windows, window)[-p.WINDOWS :]),
    )


async def on_policy_published(
    heard: Heard[certifier.PolicyPublished], work: UnitOfWork, reads: Reads
) -> None:
    published = heard.data
    _decided(
        work,
        heard,
        state="published",
        number=published.number,
        effective_from=published.effective_from,
        effective_until=published.effective_until,
        warn_until=published.warn_until,
    )


async def on_policy_rejected(heard: Heard[certifier.PolicyRejected], work: UnitOfWork, reads: Reads) -> None:
    _decided(work, heard, state="rejected", problems=msgspec.json.encode(heard.data.problems))


async def on_assessment_scored(
    heard: Heard[certifier.AssessmentScored], work: UnitOfWork, reads: Reads
) -> None:
    mine = p.assessments.c.assessment == heard.data.assessment
    work.run(sa.update(p.assessments).where(mine).values(scored=msgspec.json.encode(heard.data)))


async def on_assessment_rejected(
    heard: Heard[certifier.AssessmentRejected], work: UnitOfWork, reads: Reads
) -> None:
    mine = p.assessments.c.assessment == heard.data.assessment
    work.run(sa.update(p.assessments).where(mine).values(rejected=msgspec.json.encode(heard.data)))


def _decided(
    work: UnitOfWork, heard: Heard[certifier.PolicyPublished] | Heard[certifier.PolicyRejected], **values: Any
) -> None:
    mine = p.policies.c.digest == heard.data.digest
    work.run(sa.update(p.policies).where(mine).values(decided_at=heard.event.time, **values))


async def on_advisories_published(
    heard: Heard[certifier.AdvisoriesPublished], work: UnitOfWork, reads: Reads
) -> None:
    published, table = heard.data, p.advisories
    work.run(sa.update(table).where(table.c.state == "in-use").values(state="replaced"))
    work.run(
        sa.update(table)
        .where(table.c.digest == published.digest)
        .values(
            state="in-use",
            decided_at=heard.event.time,
            taken=published.taken,
            advisories=published.advisories,
            packages=published.packages,
        )
    )


async def on_advisories_rejected(
    heard: Heard[certifier.AdvisoriesRejected], work: UnitOfWork, reads: Reads
) -> None:
    rejected, table = heard.data, p.advisories
    work.run(
        sa.update(table)
        .where(table.c.digest == rejected.digest)
        .values(state="rejected", decided_at=heard.event.time, why=rejected.why, fix=rejected.fix)
    )


async def on_key_rotated(heard: Heard[certifier.KeyRotated], work: UnitOfWork, reads: Reads) -> None:
    rotated, table = heard.data, p.keys
    if await reads.rows(sa.select(table.c.key).where(table.c.key == rotated.key)):
        return
    # One that comes in between signs until the one does that was to come after the key before it.
    before = await reads.rows(
        sa.select(table.c.until, table.c.why).where(
            table.c.key == rotated.before, table.c.until > (rotated.since or "")
        )
    )
    work.run(
        sa.update(table).where(table.c.key == rotated.before).values(until=rotated.since, why=rotated.why)
    )
    work.put(
        table,
        key=rotated.key,
        public=rotated.public,
        since=rotated.since,
        until=before[0].until if before else None,
        why=before[0].why if before else None,
        number=heard.position,
    )


async def on_key_compromised(heard: Heard[certifier.KeyCompromised], work: UnitOfWork, reads: Reads) -> None:
    said, table = heard.data, p.keys
    mine = table.c.key == said.key
    work.run(sa.update(table).where(mine).values(compromised=said.since, why="compromised"))


def _note_facts(work: UnitOfWork, heard: Heard[Any], facts: RecordedFacts | None) -> None:
    """What is about people in the registry has its time from when it was named last."""
    if facts is not None and facts.personal is not None:
        event = heard.event
        work.put(p.personal_facts, digest=facts.personal, project=event.partitionkey, named_at=event.time)


def _set(work: UnitOfWork, project: str, by: Operation | None, **values: Any) -> None:
    """`by` is the operation that brought the model there; none leaves it to the one that did before."""
    caused = {} if by is None else {"operation": by.id}
    mine = p.models.c.project == project
    work.run(sa.update(p.models).where(mine).values(diverged=None, **values, **caused))


def _stand(work: UnitOfWork, certificate: str, standing: str | None, grounds: tuple[Ground, ...]) -> None:
    """A revocation that was asked for stays one, whatever was said before the certifier heard of it."""
    mine = p.certificates.c.certificate == certificate
    if standing != "revoked":
        mine = sa.and_(mine, p.certificates.c.standing.is_distinct_from("revoked"))
    said = msgspec.json.encode(grounds) if grounds else None
    work.run(sa.update(p.certificates).where(mine).values(standing=standing, grounds=said))
