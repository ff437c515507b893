"""Where a model comes from, as a graph: data and runs, the source, the image, the certificate, what serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.client import Card, Certificate, ModelDetail, Report
from placet.gateway.console.charts import Graph, Node
from placet.gateway.console.views import part, short

_RUNS = 8
"""Of more the newest are shown."""
_DATA = 12


@dataclass(frozen=True, kw_only=True)
class Origins:
    """`origin` is the git address of the source, with its commit, where the platform fetched it."""

    model: ModelDetail
    origin: str | None
    card: Card | None
    certificate: Certificate | None
    runs: Sequence[Report]


def graph_of(of: Origins) -> Graph:
    model, runs = of.model, of.runs[:_RUNS]
    data = _data(of, runs)
    columns: list[list[Node]] = [
        [Node(id=f"data:{name}", kind="data", name=name) for name in data],
        [_run(each) for each in runs],
        _source(of),
        []
        if model.image is None
        else [Node(id="image", kind="image", name=short(model.image), about=model.image)],
        [] if of.certificate is None else [_certified(of.certificate)],
        [Node(id="model", kind=f"release {model.release}", name=model.project, about=model.url)]
        if model.release is not None
        else [],
    ]
    edges: list[tuple[str, str]] = []
    for each in runs:
        edges += [(f"data:{name}", f"run:{each.report}") for name in _inputs(each) if name in data]
        edges.append((f"run:{each.report}", "source"))
    used = {before for before, _ in edges}
    edges += [(f"data:{name}", "source") for name in data if f"data:{name}" not in used]
    edges += [("source", "image"), ("image", "certificate"), ("certificate", "model")]
    there = {node.id for column in columns for node in column}
    return Graph(
        columns=tuple(tuple(column) for column in columns if column),
        edges=tuple(edge for edge in dict.fromkeys(edges) if there.issuperset(edge)),
    )


def _data(of: Origins, runs: Sequence[Report]) -> list[str]:
    declared = () if of.card is None else of.card.datasets
    used = [name for each in runs for name in _inputs(each)]
    return list(dict.fromkeys((*declared, *used)))[:_DATA]


def _inputs(run: Report) -> list[str]:
    return [str(each["dataset"]) for each in run.content.get("inputs", ())]


def _run(report: Report) -> Node:
    said = report.content
    return Node(
        id=f"run:{report.report}",
        kind=f"{said['step']}, {said['state']}",
        name=str(said["job"]),
        about=report.at,
    )


def _source(of: Origins) -> list[Node]:
    source = of.model.source
    if source is None:
        return []
    return [Node(id="source", kind="source", name=short(source), about=of.origin or source)]


def _certified(certificate: Certificate) -> Node:
    return Node(
        id="certificate",
        kind=f"certificate, {certificate.state}",
        name=short(certificate.certificate),
        about=certificate.certificate,
        link=f"/console/certificates/{part(certificate.certificate)}",
    )
