"""Projects and their releases, as events tell of them: what was asked for, how far it came, and what served.

A step of a release is a fact of its own, so it is no matter whose event the log has first.
"""

from __future__ import annotations

from typing import assert_never

from placet.events.contracts import builder, certifier, deployer, gateway, indexer
from placet.events.contracts.shapes import Verdict
from placet.metadata.entities import Entity, Said, State

Models = (
    gateway.DeployRequested
    | gateway.StartRequested
    | gateway.StopRequested
    | gateway.DeleteRequested
    | gateway.ScaleRequested
    | gateway.PromoteRequested
    | gateway.AbortRequested
    | gateway.ProjectAssigned
    | certifier.ReleaseCleared
    | certifier.ReleaseRefused
    | certifier.ApprovalAwaited
    | builder.ImageBuilt
    | builder.ImageReused
    | builder.BuildFailed
    | indexer.ImageIndexed
    | indexer.ImageVanished
    | indexer.ImageUnknown
    | indexer.ImageCollected
    | deployer.ResourcesReserved
    | deployer.ResourcesRefused
    | deployer.ResourcesQueued
    | deployer.ResourcesReleased
    | deployer.StartAccepted
    | deployer.ModelStarted
    | deployer.ModelFailed
    | deployer.ModelStopped
    | deployer.ModelDeleted
    | deployer.ModelQuarantined
    | deployer.ModelDiverged
    | deployer.CanaryStarted
    | deployer.CanaryWeighted
    | deployer.CanaryAborted
    | deployer.ScaleAccepted
    | deployer.ModelScaled
    | deployer.ChangeRefused
)


def release_id(project: str, release: int) -> str:
    return f"{project}/{release}"


def tell(state: State, said: Said, event: Models) -> None:
    at, position = said.time, said.position
    match event:
        # asked
        case gateway.DeployRequested():
            kind = event.command if event.renews is None else "renew"
            release = _release(state, event.project, event.release)
            release.say(
                position,
                command=kind,
                source=event.source,
                requestedAt=at,
                requestedBy=said.by,
                renews=event.renews,
            )
            if event.image is not None:
                release.say(position, image=event.image)
            _asked(state, said, event.project, kind, event.release)
        case gateway.StartRequested():
            _asked(state, said, event.project, "start", event.release)
        case gateway.StopRequested():
            _asked(state, said, event.project, "stop", None)
        case gateway.DeleteRequested():
            _asked(state, said, event.project, "delete", None)
        case gateway.ScaleRequested():
            _asked(state, said, event.project, "scale", None)
        case gateway.PromoteRequested():
            _asked(state, said, event.project, "promote", None)
        case gateway.AbortRequested():
            _asked(state, said, event.project, "abort", None)
        case gateway.ProjectAssigned():
            _project(state, event.project).say(position, team=event.team)
        # judged
        case certifier.ReleaseCleared():
            _release(state, event.project, event.release).say(
                position,
                clearedAt=at,
                source=event.source,
                format=event.format,
                access=event.access,
                trial=event.trial,
                dockerfile=event.dockerfile,
                riskClass=event.risk_class,
                purpose=event.purpose,
                declaredData=event.data,
                resources=event.resources,
                conditions=event.conditions,
                inputs=event.inputs,
                submitFacts=event.facts,
                submitPolicies=state.once(event.policies),
                submitVerdicts=state.once(event.verdicts),
                submitExceptions=event.exceptions,
            )
        case certifier.ReleaseRefused():
            release = _release(state, event.project, event.release)
            release.say(
                position,
                source=event.source,
                refusedAt=at,
                refusedAtStage=event.stage,
                refusals=state.once(tuple(each for each in event.verdicts if _forbids(each))),
                refusedVerdicts=state.once(event.verdicts),
                refusedByPolicies=state.once(event.policies),
                refusedFacts=event.facts,
                awaited=None,
            )
        case certifier.ApprovalAwaited():
            _release(state, event.project, event.release).say(
                position,
                awaited={
                    "since": event.since,
                    "until": event.until,
                    "binding": event.binding.digest,
                    "inputs": event.binding.inputs,
                    "policies": state.once(event.binding.policies),
                    "rules": state.once(tuple(each for each in event.verdicts if _forbids(each))),
                    "approvals": event.approvals,
                },
            )
        # built
        case builder.ImageBuilt():
            _release(state, event.project, event.release).say(
                position,
                builtAt=at,
                image=event.image,
                repository=event.repository,
                built=True,
                lock=event.lock,
                base=event.base,
                bom=event.bom,
                provenance=event.provenance,
            )
        case builder.ImageReused():
            _release(state, event.project, event.release).say(
                position, builtAt=at, image=event.image, repository=event.repository, built=False
            )
        case builder.BuildFailed():
            _fail(state, said, event.project, event.release, "built", event.why, event.fix)
        case indexer.ImageIndexed():
            _release(state, event.project, event.release).say(
                position, indexedAt=at, image=event.image, repository=event.repository, missing=None
            )
        case indexer.ImageVanished():
            _release(state, event.project, event.release).say(position, missing={"why": event.why, "at": at})
        case indexer.ImageCollected():
            _release(state, event.project, event.release).say(position, missing={"why": event.why, "at": at})
        case indexer.ImageUnknown():
            state.of("image", event.image, project=event.project).say(
                position, repository=event.repository, tag=event.tag, foundAt=at
            )
        # placed
        case deployer.ResourcesReserved():
            _release(state, event.project, event.release).say(
                position, reservedAt=at, reservedUntil=event.until
            )
        case deployer.ResourcesQueued():
            _release(state, event.project, event.release).say(position, queuedAt=at, queuedFor=event.why)
        case deployer.ResourcesRefused():
            _fail(state, said, event.project, event.release, "reserved", event.why, event.fix)
        case deployer.ResourcesReleased():
            _release(state, event.project, event.release).say(position, reservedUntil=None)
        case deployer.StartAccepted(delayed=None):
            _release(state, event.project, event.release).say(position, startedLast=at, startDelayedBy=None)
        case deployer.StartAccepted():
            _release(state, event.project, event.release).say(position, startDelayedBy=event.delayed)
        # served
        case (
            deployer.ModelStarted()
            | deployer.ModelFailed()
            | deployer.ModelStopped()
            | deployer.ModelDeleted()
            | deployer.ModelQuarantined()
            | deployer.ModelDiverged()
        ):
            _serve(state, said, event)
        # shared
        case deployer.CanaryStarted():
            _release(state, event.project, event.release).say(position, canaryAt=at, failure=None)
            _project(state, event.project).say(
                position, canary=event.release, canaryWeight=event.weight, canaryAborted=None
            )
        case deployer.CanaryWeighted():
            _project(state, event.project).say(position, canaryWeight=event.weight)
        case deployer.CanaryAborted():
            aborted = {"release": event.release, "why": event.why, "at": at}
            _project(state, event.project).say(
                position, canary=None, canaryWeight=None, canaryAborted=aborted
            )
        case deployer.ScaleAccepted() | deployer.ChangeRefused():
            pass  # what serves is as it was
        case deployer.ModelScaled():
            _project(state, event.project).say(position, replicas=event.replicas)
        case _:
            assert_never(event)


def _project(state: State, name: str) -> Entity:
    return state.of("project", name, project=name)


def _serve(
    state: State,
    said: Said,
    event: deployer.ModelStarted
    | deployer.ModelFailed
    | deployer.ModelStopped
    | deployer.ModelDeleted
    | deployer.ModelQuarantined
    | deployer.ModelDiverged,
) -> None:
    at, position = said.time, said.position
    known = state.find("project", event.project)
    live = None if known is None else known.get("live")
    if isinstance(event, deployer.ModelFailed):
        _fail(state, said, event.project, event.release, "live", event.why, event.fix)
        if live != event.release:
            return  # what served before still serves
    project = _project(state, event.project)
    if isinstance(event, deployer.ModelStopped | deployer.ModelDeleted) and project.get("canary"):
        project.say(position, canary=None, canaryWeight=None)
    match event:
        case deployer.ModelStarted():
            _release(state, event.project, event.release).say(position, liveAt=at, failure=None)
            if (project.get("serving"), live) != ("live", event.release):
                project.say(position, since=at)
            project.say(
                position,
                serving="live",
                live=event.release,
                served=event.release,
                url=event.url,
                image=event.image,
                certificate=event.certificate,
                sample=event.sample,
                replicas=event.replicas,
                quarantine=None,
                failure=None,
                diverged=None,
            )
            if project.get("canary") == event.release:  # it was promoted
                project.say(position, canary=None, canaryWeight=None)
        case deployer.ModelFailed():
            failure = {"release": event.release, "why": event.why, "fix": event.fix}
            project.say(position, serving="failed", since=at, live=None, url=None, failure=failure)
        case deployer.ModelStopped():
            project.say(position, serving="stopped", since=at, live=None, url=None, diverged=None)
        case deployer.ModelDeleted():
            project.say(position, serving="deleted", since=at, live=None, url=None, diverged=None)
        case deployer.ModelQuarantined() if live in (None, event.release):
            project.say(
                position,
                serving="quarantined",
                since=at,
                live=None,
                served=event.release,
                certificate=event.certificate,
                url=None,
                quarantine={
                    "release": event.release,
                    "certificate": event.certificate,
                    "why": event.why,
                    "rule": event.rule,
                    "fix": event.fix,
                },
            )
        case deployer.ModelQuarantined():
            pass  # one that another release has taken the place of by now
        case deployer.ModelDiverged():
            project.say(position, diverged={"release": event.release, "why": event.why, "at": at})
        case _:
            assert_never(event)


def _release(state: State, project: str, release: int) -> Entity:
    return state.of("release", release_id(project, release), project=project, release=release)


def _asked(state: State, said: Said, project: str, command: str, release: int | None) -> None:
    asked = {"command": command, "release": release, "by": said.by, "at": said.time}
    _project(state, project).say(said.position, asked=asked)


def _fail(state: State, said: Said, project: str, release: int, step: str, why: str, fix: str | None) -> None:
    failure = {"step": step, "why": why, "fix": fix, "at": said.time}
    _release(state, project, release).say(said.position, failure=failure)


def _forbids(verdict: Verdict) -> bool:
    """As the certifier decides."""
    return verdict.result != "pass" and verdict.on_fail != "warn" and verdict.exception is None
