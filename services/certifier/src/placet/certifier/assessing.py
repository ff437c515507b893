"""Somebody answered a questionnaire: fetch the answers, score them, sign what they amount to, and say it.

To fetch and score takes time, so it is a job. What the gateway found is not relied on: the score that counts is of what
this service read itself.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from placet.assessments import Outcome
from placet.certifier import projections as p
from placet.certifier.ports import Ports
from placet.errors import Refused
from placet.events import Finish, Heard, Job, UnitOfWork, Worker
from placet.events.codec import moment
from placet.events.contracts.certifier import AssessmentRejected, AssessmentScored
from placet.events.contracts.gateway import AssessmentAnswered, QuestionnaireImported
from placet.projects.documents import DocumentRefused
from placet.trust import ScoredAssessment

SCORE = "score"
MAX_WHY = 500


class ScoreJob(msgspec.Struct, frozen=True, kw_only=True):
    answered: AssessmentAnswered
    at: str


async def on_questionnaire_imported(
    heard: Heard[QuestionnaireImported], work: UnitOfWork, ports: Ports
) -> None:
    show_questionnaire(work, heard)
    work.run(p.look_again())


async def on_assessment_answered(heard: Heard[AssessmentAnswered], work: UnitOfWork, ports: Ports) -> None:
    answered = heard.data
    show_answered(work, heard)
    job = ScoreJob(answered=answered, at=heard.event.time)
    work.enqueue(SCORE, answered.assessment, job, asker=answered.answered_by)


def show_questionnaire(work: UnitOfWork, heard: Heard[QuestionnaireImported]) -> None:
    imported = heard.data
    work.put(
        p.questionnaires,
        digest=imported.digest,
        questionnaire=imported.questionnaire,
        version=imported.version,
        form=imported.form,
        at=heard.event.time,
    )


def show_answered(work: UnitOfWork, heard: Heard[AssessmentAnswered]) -> None:
    answered = heard.data
    work.put(
        p.assessments,
        assessment=answered.assessment,
        project=answered.project,
        questionnaire=answered.questionnaire,
        version=answered.version,
        digest=answered.digest,
        source=answered.source,
        purpose=answered.purpose,
        data=answered.data,
        answered_at=heard.event.time,
        answered_by=answered.answered_by,
    )


def score_worker(ports: Ports) -> Worker[ScoreJob]:
    async def run(job: Job[ScoreJob]) -> Finish:
        answered = job.payload.answered
        reading = await ports.assessments.reading(answered.digest)
        if reading is None:
            why = f"no questionnaire {answered.digest} is known here"
            return _rejected(answered, Refused(why, fix="answer one of `placet assess --list`"))
        try:
            outcome = await ports.assessor.score(answered.digest, reading, answered.answers)
        except DocumentRefused as refused:
            return _rejected(answered, _no_answers(answered, len(refused.problems)))
        except Refused as refused:
            return _rejected(answered, refused)
        statement = _statement(job.payload, outcome)
        return _scored(statement, outcome, await ports.assessor.sign(statement))

    def gave_up(job: Job[ScoreJob], reason: str) -> Finish:
        why = Refused(f"it could not be scored: {reason}", fix="when that is mended, answer again")
        return _rejected(job.payload.answered, why)

    return Worker(kind=SCORE, payload=ScoreJob, run=run, gave_up=gave_up, slots=1)


def _no_answers(answered: AssessmentAnswered, count: int) -> Refused:
    """Without a word of them: an answer is somebody's."""
    said = f"these are no answers to {answered.questionnaire} {answered.version}: {count} of them are missing or wrong"
    return Refused(said, fix="answer it again")


def _statement(job: ScoreJob, outcome: Outcome) -> ScoredAssessment:
    answered, score = job.answered, outcome.score
    return ScoredAssessment(
        assessment=answered.assessment,
        project=answered.project,
        source=answered.source,
        purpose=answered.purpose,
        data=answered.data,
        questionnaire=answered.questionnaire,
        version=answered.version,
        digest=answered.digest,
        answers=answered.answers,
        answered_at=moment(job.at),
        answered_by=answered.answered_by,
        raw=score.raw,
        raw_most=score.raw_most,
        mitigation=score.mitigation,
        mitigation_most=score.mitigation_most,
        score=score.score,
        level=score.level,
        label=score.level_name,
        requires=score.requires,
        missing=outcome.missing,
    )


def _scored(statement: ScoredAssessment, outcome: Outcome, envelope: str) -> Finish:
    scored = AssessmentScored(
        assessment=statement.assessment,
        project=statement.project,
        source=statement.source,
        questionnaire=statement.questionnaire,
        version=statement.version,
        digest=statement.digest,
        raw=statement.raw,
        raw_most=statement.raw_most,
        mitigation=statement.mitigation,
        mitigation_most=statement.mitigation_most,
        score=statement.score,
        level=statement.level,
        label=statement.label,
        requires=statement.requires,
        missing=statement.missing,
        valid_days=outcome.valid_days,
        envelope=envelope,
    )

    async def finish(work: UnitOfWork) -> None:
        work.report(_stream(scored.assessment), scored)
        mine = p.assessments.c.assessment == scored.assessment
        work.run(sa.update(p.assessments).where(mine).values(scored=msgspec.json.encode(scored)))
        work.run(p.look_again(scored.project))

    return finish


def _rejected(answered: AssessmentAnswered, refused: Refused) -> Finish:
    rejected = AssessmentRejected(
        assessment=answered.assessment,
        project=answered.project,
        why=refused.detail[:MAX_WHY],
        fix=refused.fix,
    )

    async def finish(work: UnitOfWork) -> None:
        work.report(_stream(rejected.assessment), rejected)

    return finish


def _stream(assessment: str) -> str:
    return f"assessment/{assessment}"
