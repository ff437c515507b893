"""A release was asked for, an image was indexed: judge it.

Examining a source may take long, so it is a job. Judging an image is short and happens in its handler.

A trial is judged after all that was asked for before it, however long that takes to be examined: it must not take the
place of a release that people answer for.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from placet.certifier import projections as p
from placet.certifier.certifying import judge_image, unjudged
from placet.certifier.domain import (
    FACTS_RECORDED,
    RELEASE,
    Asked,
    Cleared,
    Declared,
    JudgeImage,
    JudgeSource,
    forbidden,
    stream,
)
from placet.certifier.ports import Earlier, Facts, Judgement, Ports
from placet.errors import Refused
from placet.events import Clock, Finish, Heard, Job, UnitOfWork, Worker
from placet.events.codec import moment
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.gateway import DeployRequested
from placet.events.contracts.indexer import ImageIndexed, ImageVanished
from placet.events.contracts.shapes import Command, RecordedFacts, Verdict
from placet.rules import inputs_digest

EXAMINE = "examine"
AWAIT_EARLIER = "await earlier releases"
LOOK_AGAIN = 1.0
"""Seconds between looks of a trial that waits for earlier releases to be judged."""


class ExamineJob(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    release: int
    command: Command
    source: str
    image: str | None
    renews: str | None = None


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """A source that was looked at and is still to be judged. `declared` is none where it could not be read."""

    wanted: ExamineJob
    declared: Declared | None
    judgement: Judgement
    inputs: str | None = None
    facts: RecordedFacts | None = None


async def on_deploy_requested(heard: Heard[DeployRequested], work: UnitOfWork, ports: Ports) -> None:
    asked = heard.data
    job = ExamineJob(
        project=asked.project,
        release=asked.release,
        command=asked.command,
        source=asked.source,
        image=asked.image,
        renews=asked.renews,
    )
    work.enqueue(EXAMINE, f"{asked.project}/{asked.release}", job, asker=heard.event.actor.id)


def workers(ports: Ports, clock: Clock) -> tuple[Worker[ExamineJob], Worker[Examined]]:
    return examine_worker(ports, clock), _await_earlier_worker(ports)


def examine_worker(ports: Ports, clock: Clock) -> Worker[ExamineJob]:
    async def run(job: Job[ExamineJob]) -> Finish:
        return _judged(await _examined(job.payload, ports, clock), job.asker, ports)

    def gave_up(job: Job[ExamineJob], reason: str) -> Finish:
        return _judged(_given_up(job.payload, reason), job.asker, ports)

    return Worker(kind=EXAMINE, payload=ExamineJob, run=run, gave_up=gave_up)


async def _examined(wanted: ExamineJob, ports: Ports, clock: Clock) -> Examined:
    try:
        evidence = await ports.sources.examine(wanted.source, clock.now())
    except Refused as refusal:
        return _not_judged(wanted, "source.readable", refusal)
    facts = _of_project(evidence.facts, wanted.project)
    try:
        recorded = await ports.records.keep(wanted.project, facts)
    except Refused as refusal:
        return _not_judged(wanted, FACTS_RECORDED, refusal)
    in_force = await ports.exceptions.in_force(wanted.project, wanted.source, clock.now())
    judgement = await ports.rules.judge("submit", facts, in_force)
    return Examined(
        wanted=wanted,
        declared=evidence.declared,
        judgement=judgement,
        inputs=inputs_digest(facts),
        facts=recorded,
    )


def _of_project(facts: Facts, name: str) -> Facts:
    """A project may be deployed under another name than its own: what rules say, and advise, is about that one."""
    return {**facts, "project": {**facts.get("project", {}), "name": name}}


def _await_earlier_worker(ports: Ports) -> Worker[Examined]:
    async def run(job: Job[Examined]) -> Finish:
        return _judged(job.payload, job.asker, ports)

    def gave_up(job: Job[Examined], reason: str) -> Finish:
        return _judged(_given_up(job.payload.wanted, reason), job.asker, ports)

    return Worker(kind=AWAIT_EARLIER, payload=Examined, run=run, gave_up=gave_up)


def _given_up(wanted: ExamineJob, reason: str) -> Examined:
    why = Refused(f"the source could not be examined: {reason}", fix="when that is mended, deploy again")
    return _not_judged(wanted, "source.readable", why)


def _not_judged(wanted: ExamineJob, rule: str, why: Refused) -> Examined:
    judgement = Judgement(policies=(), verdicts=(unjudged(rule, "submit", why),))
    return Examined(wanted=wanted, declared=None, judgement=judgement)


def _judged(examined: Examined, asker: str, ports: Ports) -> Finish:
    """Judge it, unless it is a trial that has to know first what becomes of the releases before it."""
    wanted, declared, judgement = examined.wanted, examined.declared, examined.judgement
    asked = Asked(
        project=wanted.project,
        release=wanted.release,
        command=wanted.command,
        source=wanted.source,
        image=wanted.image,
        asker=asker,
        renews=wanted.renews,
    )

    async def finish(work: UnitOfWork) -> None:
        verdicts = judgement.verdicts
        if declared is not None and declared.trial and not forbidden(verdicts):
            match await _before(work, asked, ports.earlier):
                case "unknown":
                    key = f"{asked.project}/{asked.release}"
                    work.enqueue(AWAIT_EARLIER, key, examined, asker=asker, after=LOOK_AGAIN)
                    return
                case "answered for":
                    verdicts = (*verdicts, _no_trial_of(asked.project))
        command = JudgeSource(
            asked=asked,
            declared=declared,
            policies=judgement.policies,
            verdicts=verdicts,
            exceptions=judgement.exceptions,
            inputs=examined.inputs,
            facts=examined.facts,
        )
        happened = await work.decide(RELEASE, stream(asked.project, asked.release), command)
        if any(isinstance(event, ReleaseCleared) for event in happened):
            work.run(p.name_source(asked.project, asked.release, asked.source))

    return finish


async def _before(
    work: UnitOfWork, asked: Asked, earlier: Earlier
) -> Literal["answered for", "trials", "unknown"]:
    """What the project's earlier releases are: all of them were heard of, and a judgement stays as it is.

    Later ones need not be looked at: whoever asked last wins, and that is them. What is found is kept, so that the next
    trial looks only at what came since.
    """
    walked = await earlier.walked(asked.project, asked.release)
    answered_for = walked.answered_for
    for release in range(asked.release - 1, walked.release, -1):
        history = await work.history(stream(asked.project, release))
        if not history:
            return "unknown"
        if any(isinstance(event, ReleaseCleared) and not event.trial for event in history):
            answered_for = True
            break
    work.put(p.walked, project=asked.project, release=asked.release - 1, answered_for=answered_for)
    return "answered for" if answered_for else "trials"


def _no_trial_of(project: str) -> Verdict:
    """What no policy can say, since it sees one release: a trial must not take the place of what people answer for."""
    return Verdict(
        rule="trial.of-a-new-project",
        policy="placet",
        stage="submit",
        result="fail",
        on_fail="deny",
        why=f"{project} has a release that people answer for, and a trial would take its place",
        fix="deploy the trial under another name: `placet deploy … --project NAME`",
    )


async def on_image_indexed(heard: Heard[ImageIndexed], work: UnitOfWork, ports: Ports) -> None:
    """Judge the image of a cleared release, and sign if nothing forbids it.

    Time and id come from the event, so that a second try after a crash signs the very same bytes.
    """
    indexed = heard.data
    state = await work.state(RELEASE, stream(indexed.project, indexed.release))
    if isinstance(state, Cleared):
        await judge_image(
            work,
            ports,
            indexed,
            certificate=f"certificate:{heard.event.id}",
            at=moment(heard.event.time),
            operation=heard.event.correlationid,
        )


async def on_image_vanished(heard: Heard[ImageVanished], work: UnitOfWork, ports: Ports) -> None:
    """Only a release that still waits for its judgement is refused; what is certified was judged while it was there."""
    vanished = heard.data
    why = Refused(vanished.why, fix="deploy again, so that the image is built anew")
    command = JudgeImage(
        image=vanished.image,
        repository=vanished.repository,
        policies=(),
        verdicts=(unjudged("image.readable", "certify", why),),
        signed=None,
    )
    await work.decide(RELEASE, stream(vanished.project, vanished.release), command)
