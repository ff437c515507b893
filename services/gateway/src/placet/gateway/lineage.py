"""An OpenLineage run event as a report of a run. Pure.

Its producers are of many makes and send facets of their own: what is not read here is let be, and what is read has to
be as the specification says (https://openlineage.io/spec/2-0-2/OpenLineage.json). Which step of a model's way a job is,
it says in a facet: nothing is guessed from a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct, field

from placet.events.contracts.shapes import DataCheck, DatasetRef, ReportedRun, RunState, RunStep
from placet.gateway.reports import (
    MAX_CHECKS,
    MAX_DATASET,
    MAX_DATASETS,
    About,
    DatasetName,
    Mistake,
    Report,
    Text,
    Time,
    converted,
    moment_of,
)

EventType = Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
STATES: Mapping[EventType, RunState] = {
    "START": "start",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "ABORT": "abort",
    "FAIL": "fail",
    "OTHER": "other",
}
STEPS: tuple[RunStep, ...] = get_args(RunStep)


class _Run(Struct, frozen=True):
    id: Text = field(name="runId")


class _Job(Struct, frozen=True):
    namespace: DatasetName
    name: DatasetName
    facets: dict[str, Any] | None = None


class _Dataset(Struct, frozen=True):
    namespace: DatasetName
    name: DatasetName
    facets: dict[str, Any] | None = None
    input_facets: dict[str, Any] | None = field(name="inputFacets", default=None)
    output_facets: dict[str, Any] | None = field(name="outputFacets", default=None)


_Datasets = Annotated[tuple[_Dataset, ...], Meta(max_length=MAX_DATASETS)]


class _RunEvent(Struct, frozen=True):
    """`eventType` may be left out, as of what only adds to a run."""

    time: Time = field(name="eventTime")
    run: _Run
    job: _Job
    type: EventType = field(name="eventType", default="OTHER")
    inputs: _Datasets | None = None
    outputs: _Datasets | None = None


class _Step(Struct, frozen=True):
    step: RunStep


class _JobType(Struct, frozen=True):
    type: str | None = field(name="jobType", default=None)


class _Version(Struct, frozen=True):
    version: Text = field(name="datasetVersion")


class _Assertion(Struct, frozen=True):
    assertion: Text
    success: bool
    column: Text | None = None


class _Assertions(Struct, frozen=True):
    assertions: Annotated[tuple[_Assertion, ...], Meta(max_length=MAX_CHECKS)]


def is_run_event(event: Any) -> bool:
    """Whether it is meant as one; what is wrong with it, `report_of` says."""
    return isinstance(event, dict) and {"run", "job"} <= event.keys() and "specversion" not in event


def report_of(event: Any, path: str, about: About) -> Report:
    """What a run event says. It is known by run, type, time and job, since it has no id. Raises Mistake."""
    said = converted(event, _RunEvent, path)
    at = moment_of(said.time, _below(path, "eventTime"))
    run = ReportedRun(
        run=said.run.id,
        job=_named(said.job, _below(path, "job")),
        step=_step(said.job, _below(path, "job.facets")),
        state=STATES[said.type],
        inputs=_datasets(said.inputs or (), _below(path, "inputs")),
        outputs=_datasets(said.outputs or (), _below(path, "outputs")),
    )
    sent_as = ("openlineage", said.run.id, said.type, at.isoformat(), said.job.namespace, said.job.name)
    return Report(sent_as=sent_as, at=at, about=about, content=run)


def _step(job: _Job, path: str) -> RunStep:
    """As our own facet says, else as a job's type does if it is one of our words, as `TRAINING`."""
    own = _facet(job.facets, "placet_step")
    if own is not None:
        return converted(own, _Step, _below(path, "placet_step")).step
    of_type = _facet(job.facets, "jobType")
    if of_type is None:
        return "other"
    word = (converted(of_type, _JobType, _below(path, "jobType")).type or "").lower().replace("_", "-")
    return next((step for step in STEPS if step == word), "other")


def _datasets(datasets: tuple[_Dataset, ...], path: str) -> tuple[DatasetRef, ...]:
    return tuple(_dataset(each, f"{path}[{index}]") for index, each in enumerate(datasets))


def _dataset(dataset: _Dataset, path: str) -> DatasetRef:
    version = _facet(dataset.facets, "version")
    return DatasetRef(
        dataset=_named(dataset, path),
        version=version and converted(version, _Version, _below(path, "facets.version")).version,
        checks=_checks(dataset, path),
    )


def _checks(dataset: _Dataset, path: str) -> tuple[DataCheck, ...]:
    """Of an input, where the specification has them, or of the dataset, where some producers put them."""
    name = "dataQualityAssertions"
    for where, facets in (
        ("inputFacets", dataset.input_facets),
        ("outputFacets", dataset.output_facets),
        ("facets", dataset.facets),
    ):
        facet = _facet(facets, name)
        if facet is not None:
            told = converted(facet, _Assertions, _below(path, f"{where}.{name}")).assertions
            return tuple(
                DataCheck(assertion=each.assertion, passed=each.success, column=each.column) for each in told
            )
    return ()


def _facet(facets: dict[str, Any] | None, name: str) -> Any:
    """None where there is none, or where it is told that there is none any more."""
    facet = (facets or {}).get(name)
    return None if isinstance(facet, dict) and facet.get("_deleted") is True else facet


def _named(named: _Job | _Dataset, path: str) -> str:
    name = f"{named.namespace}/{named.name}"
    if len(name) > MAX_DATASET:
        raise Mistake(
            path, f"namespace and name are {len(name)} characters, and at most {MAX_DATASET} are read"
        )
    return name


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
