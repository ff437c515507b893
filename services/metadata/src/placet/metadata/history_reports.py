"""What was said about models by those who assessed, measured or used them, as events tell of it.

Of what is reported again and again the newest is kept: of a run its last state, of an evaluation the last of the same
data, of a model in use the last that was measured.
"""

from __future__ import annotations

from typing import Literal, assert_never

from placet.events.contracts import certifier, gateway
from placet.metadata.entities import Entity, Said, State

Reports = (
    gateway.AssessmentAnswered
    | certifier.AssessmentScored
    | certifier.AssessmentRejected
    | gateway.MetadataReported
)


def tell(state: State, said: Said, event: Reports) -> None:
    at, position = said.time, said.position
    match event:
        case gateway.AssessmentAnswered():
            state.of("assessment", event.assessment, project=event.project).say(
                position,
                source=event.source,
                questionnaire=event.questionnaire,
                version=event.version,
                digest=event.digest,
                answers=event.answers,
                answeredBy=event.answered_by,
                answeredAt=at,
                purpose=event.purpose,
                declaredData=event.data,
            )
        case certifier.AssessmentScored():
            state.of("assessment", event.assessment, project=event.project).say(
                position,
                source=event.source,
                scoredAt=at,
                score=event.score,
                level=event.level,
                label=event.label,
                requires=event.requires,
                missing=event.missing,
                validDays=event.valid_days,
                envelope=event.envelope,
            )
        case certifier.AssessmentRejected():
            state.of("assessment", event.assessment, project=event.project).say(
                position, rejectedAt=at, why=event.why, fix=event.fix
            )
        case gateway.MetadataReported():
            _report(state, said, event)
        case _:
            assert_never(event)


def _report(state: State, said: Said, event: gateway.MetadataReported) -> None:
    position = said.position
    told = {
        "report": event.report,
        "happenedAt": event.at,
        "heardAt": said.time,
        "reportedBy": event.reported_by,
        "of": {"release": event.release, "source": event.source},
    }
    if event.incident is not None:
        incident = _of(state, event, "incident", event.incident.incident)
        if incident.get("openedAt") is None:
            incident.say(position, openedAt=event.at, firstHeardAt=said.time)
        incident.say(
            position,
            severity=event.incident.severity,
            status=event.incident.status,
            summary=event.summary,
            **told,
        )
    if event.run is not None:
        run = event.run
        _of(state, event, "run", run.run).say(
            position,
            job=run.job,
            step=run.step,
            status=run.state,
            inputs=run.inputs,
            outputs=run.outputs,
            **told,
        )
    if event.evaluation is not None:
        made = event.evaluation
        of = f"{made.of.dataset}@{made.of.version or ''}/{made.split or ''}/{event.release or event.source or ''}"
        _of(state, event, "evaluation", of).say(
            position, dataset=made.of, split=made.split, metrics=made.metrics, **told
        )
    if event.monitoring is not None:
        measured = event.monitoring
        _of(state, event, "monitoring", str(event.release or event.source or "")).say(
            position, since=measured.since, metrics=measured.metrics, **told
        )


def _of(
    state: State,
    event: gateway.MetadataReported,
    kind: Literal["incident", "run", "evaluation", "monitoring"],
    id: str,
) -> Entity:
    return state.of(kind, f"{event.project}/{id}", project=event.project, release=event.release)
