"""What the gateway makes of its own events when its database is restored: what was asked for, by whom, and what of.

What others said comes back by the handlers. Sources, policies and questionnaires are read again from the registry.
Names of people and their words were rows and nothing else, and do not come back; nor does what a collected source said.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
import sqlalchemy as sa
from anyio import to_thread

from placet.assessments import Reading, read_apart
from placet.errors import Refused, Unknown
from placet.events import Heard, UnitOfWork
from placet.events.contracts import gateway
from placet.gateway import lives
from placet.gateway import projections as p
from placet.gateway.assessing import show_questionnaire
from placet.gateway.erasing import FORGOTTEN, show_erased
from placet.gateway.granting import show_made_team
from placet.gateway.intake import inspected, show_source
from placet.gateway.operations import requested
from placet.gateway.people import People
from placet.gateway.ports import Ports
from placet.gateway.projections import ANY_SOURCE, new_operation, show_progress
from placet.gateway.publishing import show_policy
from placet.gateway.quotas import forget_quota, show_quota, show_team
from placet.projects import Limits
from placet.rules.loading import loaded

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What it takes to read again what was sent."""

    ports: Ports
    limits: Limits
    people: People


Requested = (
    gateway.DeployRequested
    | gateway.StartRequested
    | gateway.StopRequested
    | gateway.DeleteRequested
    | gateway.ScaleRequested
    | gateway.PromoteRequested
    | gateway.AbortRequested
)


async def on_requested(heard: Heard[Requested], work: UnitOfWork, recall: Recall) -> None:
    operation = requested(heard.event.correlationid, heard.event.time, heard.data)
    work.put(p.operations, **new_operation(operation, heard_at=work.now.timestamp()))
    new = {"project": operation.project, "state": "requested", "operation": operation.id}
    work.put(p.models, keep=("state", "operation"), **new)
    lives.begin(work, operation)
    work.run(show_progress(operation))


async def on_token_revoked(heard: Heard[gateway.TokenRevoked], work: UnitOfWork, recall: Recall) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def on_source_uploaded(heard: Heard[gateway.SourceUploaded], work: UnitOfWork, recall: Recall) -> None:
    """Who sent it first is who is kept; one that was collected since tells nothing any more."""
    digest = heard.data.source
    with tempfile.TemporaryDirectory(prefix="placet-recall-") as folder:
        archive = Path(folder) / "source.tar"
        try:
            async with await anyio.open_file(archive, "wb") as file:
                async for piece in recall.ports.sources.read(digest):
                    await file.write(piece)
            kept = await to_thread.run_sync(inspected, archive, digest, recall.limits)
        except (Unknown, Refused) as gone:
            log.warning("source %s is not there any more: %s", digest, gone)
            return
    first = next(iter(await work.history(f"source/{digest}")), None)
    if first == heard.data:
        await show_source(work, kept, heard.event.actor.id, recall.people, None)


async def on_erasure_requested(
    heard: Heard[gateway.ErasureRequested], work: UnitOfWork, recall: Recall
) -> None:
    """Who was erased stays so: nobody of that id gets another key. What was still to be removed is taken up again, as
    far as it is found without their name, which nobody knows any more."""
    asked = heard.data
    work.put(p.person_keys, person=asked.person, key=None)
    work.put(p.erasures, person=asked.person, asked_at=heard.event.time, words=asked.words, looks=FORGOTTEN)


async def on_person_erased(heard: Heard[gateway.PersonErased], work: UnitOfWork, recall: Recall) -> None:
    show_erased(work, heard.data, heard.event.time)


async def on_hold_placed(heard: Heard[gateway.HoldPlaced], work: UnitOfWork, recall: Recall) -> None:
    placed = heard.data
    work.put(
        p.holds,
        project=placed.project,
        hold=placed.hold,
        placed_by=placed.placed_by,
        placed_at=heard.event.time,
    )


async def on_hold_lifted(heard: Heard[gateway.HoldLifted], work: UnitOfWork, recall: Recall) -> None:
    work.run(sa.delete(p.holds).where(p.holds.c.hold == heard.data.hold))


async def on_quota_set(heard: Heard[gateway.QuotaSet], work: UnitOfWork, recall: Recall) -> None:
    show_quota(work, heard.data)


async def on_quota_removed(heard: Heard[gateway.QuotaRemoved], work: UnitOfWork, recall: Recall) -> None:
    forget_quota(work, heard.data)


async def on_project_assigned(
    heard: Heard[gateway.ProjectAssigned], work: UnitOfWork, recall: Recall
) -> None:
    show_team(work, heard.data)


Team = gateway.TeamChanged | gateway.TeamDisbanded
Sharing = gateway.RoleGranted | gateway.RoleRevoked | gateway.ProjectRestricted | gateway.ProjectOpened


async def on_team(heard: Heard[Team], work: UnitOfWork, recall: Recall) -> None:
    show_made_team(work, heard.data)
    p.sharing.show(work, heard.data, heard.event.time)


async def on_sharing(heard: Heard[Sharing], work: UnitOfWork, recall: Recall) -> None:
    p.sharing.show(work, heard.data, heard.event.time)


async def on_exception_requested(
    heard: Heard[gateway.ExceptionRequested], work: UnitOfWork, recall: Recall
) -> None:
    asked = heard.data
    work.put(
        p.asked_exceptions,
        exception=asked.exception,
        project=asked.project,
        rule=asked.rule,
        source=asked.source or ANY_SOURCE,
        until=asked.until,
        requested_by=asked.requested_by,
        is_open=True,
    )
    work.put(
        p.exceptions,
        exception=asked.exception,
        project=asked.project,
        rule=asked.rule,
        source=asked.source,
        until=asked.until,
        requested_by=asked.requested_by,
        requested_at=heard.event.time,
    )


async def on_exception_granted(
    heard: Heard[gateway.ExceptionGranted], work: UnitOfWork, recall: Recall
) -> None:
    granted = heard.data
    mine = p.exceptions.c.exception == granted.exception
    told = {"granted_by": granted.granted_by, "granted_at": heard.event.time}
    work.run(sa.update(p.exceptions).where(mine).values(**told))
    asked = p.asked_exceptions.c.exception == granted.exception
    work.run(sa.update(p.asked_exceptions).where(asked).values(is_open=False))


async def on_exception_withdrawn(
    heard: Heard[gateway.ExceptionWithdrawn], work: UnitOfWork, recall: Recall
) -> None:
    withdrawn = heard.data
    mine = p.exceptions.c.exception == withdrawn.exception
    told = {"withdrawn_by": withdrawn.withdrawn_by, "withdrawn_at": heard.event.time}
    work.run(sa.update(p.exceptions).where(mine).values(**told))
    asked = p.asked_exceptions.c.exception == withdrawn.exception
    work.run(sa.delete(p.asked_exceptions).where(asked))


async def on_approval_given(heard: Heard[gateway.ApprovalGiven], work: UnitOfWork, recall: Recall) -> None:
    given = heard.data
    work.put(
        p.approvals,
        approval=given.approval,
        project=given.project,
        release=given.release,
        binding=given.binding.digest,
        roles=",".join(sorted(given.roles)),
        given_by=given.given_by,
        given_at=heard.event.time,
        break_glass=given.break_glass,
    )


async def on_review_given(heard: Heard[gateway.ReviewGiven], work: UnitOfWork, recall: Recall) -> None:
    given = heard.data
    mine = p.reviews.c.certificate == given.certificate
    told = {"review": given.review, "given_by": given.given_by, "given_at": heard.event.time}
    work.run(sa.update(p.reviews).where(mine).values(**told))


async def on_revocation_requested(
    heard: Heard[gateway.RevocationRequested], work: UnitOfWork, recall: Recall
) -> None:
    asked = heard.data
    mine = p.certificates.c.certificate == asked.certificate
    told = {"standing": "revoked", "revoked_by": asked.requested_by, "revoked_at": heard.event.time}
    work.run(sa.update(p.certificates).where(mine).values(**told))


async def on_policy_submitted(
    heard: Heard[gateway.PolicySubmitted], work: UnitOfWork, recall: Recall
) -> None:
    """Raises Unknown where the registry has it no more: what is in force must not be forgotten in silence."""
    submitted = heard.data
    file = await recall.ports.policies.read(submitted.digest)
    show_policy(work, await loaded(file), file, submitted.submitted_by)


async def on_advisories_submitted(
    heard: Heard[gateway.AdvisoriesSubmitted], work: UnitOfWork, recall: Recall
) -> None:
    submitted = heard.data
    work.put(
        p.advisories,
        digest=submitted.digest,
        size=submitted.size,
        submitted_by=submitted.submitted_by,
        submitted_at=heard.event.time,
        state="submitted",
    )


async def on_questionnaire_imported(
    heard: Heard[gateway.QuestionnaireImported], work: UnitOfWork, recall: Recall
) -> None:
    imported = heard.data
    file = await recall.ports.assessments.questionnaire(imported.digest)
    reading = Reading(form=imported.form, id=imported.questionnaire, version=imported.version)
    show_questionnaire(work, imported, await read_apart(file, reading), file)


async def on_assessment_answered(
    heard: Heard[gateway.AssessmentAnswered], work: UnitOfWork, recall: Recall
) -> None:
    said = heard.data
    work.put(
        p.assessments,
        assessment=said.assessment,
        project=said.project,
        answered=msgspec.json.encode(said),
        answered_by=said.answered_by,
        answered_at=heard.event.time,
        answers=said.answers,
    )


async def on_metadata_reported(
    heard: Heard[gateway.MetadataReported], work: UnitOfWork, recall: Recall
) -> None:
    said = heard.data
    kinds = ("run", "evaluation", "monitoring", "incident")
    kind = next((each for each in kinds if getattr(said, each) is not None), None)
    if kind is None:
        return
    work.put(
        p.reports,
        report=said.report,
        project=said.project,
        place=heard.event.id,  # ids are in the order of time, as the places are
        kind=kind,
        release=said.release,
        heard_at=heard.event.time,
        said=msgspec.json.encode(said),
    )
