"""What there is to watch a platform by: rules, dashboards, pages; and the metrics and labels that our code declares."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools import workspace

OBSERVABILITY = workspace.ROOT / "deploy" / "observability"
PROMETHEUS = OBSERVABILITY / "prometheus"
DASHBOARDS = OBSERVABILITY / "grafana" / "dashboards"
RUNBOOKS = workspace.ROOT / "docs" / "runbooks"
OF_PROMETHEUS: Mapping[str, frozenset[str]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
}
"""What it tells itself."""
OF_TARGETS = frozenset({"job", "instance", "service"})
"""Labels that every sample has when it was scraped as `prometheus.yml` says."""
OF_ITS_CLIENT = re.compile(
    r"process_(cpu_seconds_total|resident_memory_bytes|start_time_seconds|open_fds|max_fds)"
)

_WORDS = frozenset(
    [
        "and",
        "or",
        "unless",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "offset",
        "inf",
        "nan",
        "atan2",
    ]
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^{}]*)\}")
_MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()")
_RANGE = re.compile(r"\[[^\]]*\]")
_KINDS = {
    "Measure": "gauge",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "Summary": "summary",
    "Counter": "counter",
    "CounterMetricFamily": "counter",
}
_SUFFIXES = {
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "counter": ("_total",),
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alert, as its file says it."""

    name: str
    severity: str
    expression: str
    waits: str
    annotations: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name}-{self.severity}"


def rule_groups() -> list[dict[str, Any]]:
    return [
        group
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
    ]


def alerts() -> list[Rule]:
    return [
        Rule(
            name=rule["alert"],
            severity=rule["labels"]["severity"],
            expression=rule["expr"],
            waits=rule.get("for", "0s"),
            annotations=rule["annotations"],
        )
        for group in rule_groups()
        for rule in group["rules"]
        if "alert" in rule
    ]


def recorded() -> Mapping[str, str]:
    """Expressions by the name that they are recorded as."""
    return {
        rule["record"]: rule["expr"] for group in rule_groups() for rule in group["rules"] if "record" in rule
    }


def dashboards() -> Mapping[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def asked_by_dashboards() -> Iterator[tuple[str, str]]:
    """Each dashboard's name with an expression of it."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield (
                    f"{name}: ${variable['name']}",
                    re.sub(
                        r"label_values\((.*),\s*(\w+)\)", r"group by (\2) (\1)", variable["query"]["query"]
                    ),
                )


@cache
def declared() -> Mapping[str, frozenset[str]]:
    """All series that our services tell of, by name, each with its labels: read from the calls that make them, since
    what a started platform tells depends on what it has done."""
    found: dict[str, frozenset[str]] = {}
    for path in sorted(
        each for top in ("libs", "services") for each in (workspace.ROOT / top).glob("*/src/**/*.py")
    ):
        text = path.read_text()
        if "placet.events.metrics" not in text and "prometheus_client" not in text:
            continue
        tree = ast.parse(text)
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            kind = call.func.id if isinstance(call.func, ast.Name) else ""
            if kind == "known" and path.name == "metrics.py":  # of every service
                found |= _series(_text(call.args[0]), "gauge", {"service"})
            elif kind in _KINDS and (name := _argument(call, "name", 0)) is not None:
                labels = _argument(call, "labels", 2)
                own = {"service"} if kind == "Measure" else set()
                if isinstance(name, ast.Constant):
                    found |= _series(_text(name), _KINDS[kind], own | _labels(labels, constants))
    return found


def _series(name: str, kind: str, labels: set[str]) -> dict[str, frozenset[str]]:
    more = {"_bucket": {"le"}}
    return {f"{name}{each}": frozenset(labels | more.get(each, set())) for each in _SUFFIXES[kind]}


def _argument(call: ast.Call, name: str, place: int) -> ast.expr | None:
    named = next((each.value for each in call.keywords if each.arg == name), None)
    return named if named is not None else call.args[place] if len(call.args) > place else None


def _labels(said: ast.expr | None, constants: Mapping[str, ast.expr]) -> set[str]:
    if said is None:
        return set()
    if isinstance(said, ast.Name):
        return _labels(constants[said.id], constants)
    if isinstance(said, ast.Starred):
        return _labels(said.value, constants)
    if isinstance(said, ast.Tuple):
        return {label for each in said.elts for label in _labels(each, constants)}
    return {_text(said)}


def _text(said: ast.expr) -> str:
    assert isinstance(said, ast.Constant), ast.dump(said)
    assert isinstance(said.value, str), said.value
    return said.value


def known_series() -> Mapping[str, frozenset[str]]:
    """All that may be asked for, with labels that are there; what is recorded has those that it is grouped by."""
    plain = {**declared(), **OF_PROMETHEUS}
    known = {name: labels | OF_TARGETS for name, labels in plain.items()}
    for name, expression in recorded().items():
        grouped = re.match(r"sum by \(([^)]*)\)", expression)
        assert grouped is not None, expression
        known[name] = frozenset(each.strip() for each in grouped[1].split(","))
    return known


def unknown(expression: str) -> list[str]:
    """What an expression names that nobody tells: metrics, and labels of the metrics that it asks for."""
    known, bare = known_series(), _RANGE.sub("", _STRING.sub('""', expression))
    wrong = []
    labels: set[str] = set()
    for name, matched in _SELECTOR.findall(bare):
        its = _of(name, known)
        labels |= its
        wrong += [f"{name}{{{label}}}" for label in _MATCHED.findall(matched) if label not in its]
    without = _GROUPED.sub(" ", re.sub(r"\{[^{}]*\}", "", bare))
    for name in _NAME.findall(without):
        if name.lower() in _WORDS:
            continue
        labels |= _of(name, known)
        if name not in known and not OF_ITS_CLIENT.fullmatch(name):
            wrong.append(name)
    for group in _GROUPED.findall(bare):
        named = filter(None, (each.strip() for each in group.split(",")))
        wrong += [f"by ({each})" for each in named if each not in labels]
    return wrong


def _of(name: str, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return known.get(name, OF_TARGETS if OF_ITS_CLIENT.fullmatch(name) else frozenset())


def words_of(path: Path) -> Iterator[str]:
    """The commands of a page: lines of its `sh` blocks, continued ones as one, and what stands in backquotes."""
    text = path.read_text()
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())
    yield from re.findall(
        r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )
