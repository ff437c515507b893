"""Grafana's dashboards, `deploy/observability/grafana/dashboards`, generated, and held to this with `--check`.

    python -m tools.dashboards
    python -m tools.dashboards --check

What a panel asks for is written here once, and that there is such a metric is a test's to say
(`tests/architecture/test_watching.py`). Grafana takes them as files: what somebody changes there is not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tools import workspace

FOLDER = workspace.ROOT / "deploy" / "observability" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
"""As `provisioning/datasources` names it."""
WIDTH = 24
"""Of Grafana's grid."""
HEIGHT = 7
Kind = Literal["timeseries", "stat", "table"]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`queries` are expressions by the legend of what they give. `unit` is Grafana's name of one. Above `bad` a value
    is shown in red."""

    title: str
    queries: Mapping[str, str]
    about: str = ""
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    bad: float | None = None
    good_above: float | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    name: str
    title: str
    about: str
    panels: Sequence[Panel]
    variables: Mapping[str, str]
    """Labels that can be chosen, with the metric whose values they are."""


def most(metric: str, by: str, where: str = "") -> str:
    """Of what replicas all tell."""
    return f"max by ({by}) ({metric}{{{where}}})" if where else f"max by ({by}) ({metric})"


def rate(metric: str, by: str, where: str = "", over: str = "5m") -> str:
    return (
        f"sum by ({by}) (rate({metric}{{{where}}}[{over}]))"
        if where
        else f"sum by ({by}) (rate({metric}[{over}]))"
    )


def average(metric: str, by: str, where: str = "", over: str = "5m") -> str:
    return f"{rate(f'{metric}_sum', by, where, over)} / {rate(f'{metric}_count', by, where, over)}"


def quantile(share: float, metric: str, by: str = "", where: str = "", over: str = "1h") -> str:
    grouped = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', grouped, where, over)})"


OF_SERVICE = 'service=~"$service"'
OF_COMMAND = 'command=~"$command"'
OF_PROJECT = 'project=~"$project"'
OF_METADATA = 'service="metadata"'
ROOM_FREE, ROOM = (most("placet_room", "resource", f'state="{each}"') for each in ("free", "total"))
AT_ONCE = "service:requests_answered_at_once:rate5m"
FREE, SPACE = (f'placet_disk_bytes{{state="{each}"}}' for each in ("free", "total"))

PLATFORM = Board(
    name="platform",
    title="placet: platform",
    about="How the six services stand, how far they are behind, and how they answer.",
    variables={"service": "placet_ready"},
    panels=(
        Panel(
            title="Ready",
            kind="stat",
            width=12,
            queries={"{{service}}": most("placet_ready", "service", OF_SERVICE)},
            about="1: a replica does its work.",
            good_above=1,
        ),
        Panel(
            title="Leads",
            kind="stat",
            width=12,
            queries={"{{service}}": 'sum by (service) (placet_leads{service=~"$service"})'},
            about="1: one replica hears and publishes.",
            good_above=1,
        ),
        Panel(
            title="Firing alerts",
            kind="table",
            width=24,
            queries={"": 'ALERTS{alertstate="firing", alertname=~"Placet.*"}'},
        ),
        Panel(
            title="Events that wait to be published",
            queries={"{{service}}": most("placet_outbox_backlog", "service", OF_SERVICE)},
        ),
        Panel(
            title="Since when the oldest waits",
            unit="s",
            queries={
                "{{service}} says": most("placet_outbox_age_seconds", "service", OF_SERVICE),
                "{{service}} hears": most("placet_inbox_age_seconds", "service", OF_SERVICE),
            },
        ),
        Panel(
            title="Events that have not arrived",
            queries={
                "{{service}} of {{producer}}": f"{most('placet_inbox_behind', 'service, producer', OF_SERVICE)} > 0"
            },
        ),
        Panel(
            title="Messages parked",
            queries={"{{service}}": most("placet_parked", "service", OF_SERVICE)},
            about="Each waits for a person.",
        ),
        Panel(
            title="Hampered",
            queries={"{{service}}: {{what}}": most("placet_hampered", "service, what", OF_SERVICE)},
            about="What cannot be done since something beside database and broker is away.",
        ),
        Panel(
            title="Events handled",
            unit="ops",
            queries={
                "{{service}} {{outcome}}": rate("placet_handle_seconds_count", "service, outcome", OF_SERVICE)
            },
        ),
        Panel(
            title="Requests",
            unit="reqps",
            queries={"{{service}}": 'service:requests:rate5m{service=~"$service"}'},
            about="Without health checks and models.",
        ),
        Panel(
            title="Requests that fail",
            unit="percentunit",
            queries={
                "{{service}}": 'service:requests_failed:rate5m{service=~"$service"} / service:requests:rate5m'
            },
        ),
        Panel(
            title="Requests that are denied",
            unit="reqps",
            queries={
                "{{service}} {{status}}": rate("placet_denied_requests_total", "service, status", OF_SERVICE)
            },
            about="Nobody known (401), not allowed (403), too often (429). The audit log says who.",
        ),
        Panel(
            title="Slowest request in a hundred",
            unit="s",
            queries={"{{service}}": f"histogram_quantile(0.99, {AT_ONCE}{{{OF_SERVICE}}})"},
            about="Without what streams, and files.",
        ),
        Panel(
            title="Read models: events behind",
            queries={
                "{{service}} {{projection}}": most("placet_projection_lag", "service, projection", OF_SERVICE)
            },
        ),
        Panel(
            title="Memory",
            unit="bytes",
            queries={
                "{{service}} {{instance}}": 'process_resident_memory_bytes{job="placet", service=~"$service"}'
            },
        ),
        Panel(
            title="Processor",
            unit="percentunit",
            queries={
                "{{service}} {{instance}}": 'rate(process_cpu_seconds_total{job="placet", service=~"$service"}[5m])'
            },
            about="1: one core.",
        ),
        Panel(
            title="Disks: free",
            unit="percentunit",
            queries={"{{service}}": f"min by (service) ({FREE} / ignoring (state) {SPACE})"},
        ),
    ),
)

OPERATIONS = Board(
    name="operations",
    title="placet: operations",
    about="What people ask for: how long it takes, where, and how it ends.",
    variables={"command": "placet_operation_seconds_count"},
    panels=(
        Panel(
            title="Under way",
            kind="stat",
            width=6,
            queries={"": "max(placet_operations_under_way)"},
        ),
        Panel(
            title="Longest silence",
            kind="stat",
            width=6,
            unit="s",
            queries={"": "max(placet_operation_silence_seconds)"},
            about="Of one under way. Who waits for room is silent, too.",
        ),
        Panel(
            title="Releases that wait for people",
            kind="stat",
            width=6,
            queries={"": "max(placet_approvals_awaited)"},
        ),
        Panel(
            title="Requests that wait for room",
            kind="stat",
            width=6,
            queries={"": "max(placet_room_queue)"},
        ),
        Panel(
            title="How operations end, in an hour",
            queries={
                "{{state}}": 'sum by (state) (increase(placet_operation_seconds_count{command=~"$command"}[1h]))'
            },
        ),
        Panel(
            title="From the request to live",
            unit="s",
            queries={
                "half": quantile(0.5, "placet_operation_seconds", where=f'{OF_COMMAND}, state="live"'),
                "95 %": quantile(0.95, "placet_operation_seconds", where=f'{OF_COMMAND}, state="live"'),
            },
        ),
        Panel(
            title="Each step, on average",
            unit="s",
            queries={"{{step}}": average("placet_step_seconds", "step", OF_COMMAND, over="1h")},
            about="From the step before to this one.",
        ),
        Panel(
            title="Jobs: waiting and leased",
            queries={"{{service}} {{kind}} {{state}}": "max by (service, kind, state) (placet_jobs) > 0"},
        ),
        Panel(
            title="Jobs: most often tried",
            queries={"{{service}} {{kind}}": most("placet_job_attempts", "service, kind")},
            about="After 12 failures one is given up.",
        ),
        Panel(
            title="Jobs: how they end",
            unit="ops",
            queries={"{{kind}} {{outcome}}": rate("placet_job_seconds_count", "kind, outcome", over="15m")},
        ),
        Panel(
            title="Jobs: slowest in twenty",
            unit="s",
            queries={"{{kind}}": quantile(0.95, "placet_job_seconds", "kind")},
        ),
        Panel(
            title="Room: free",
            unit="percentunit",
            queries={"{{resource}}": f"{ROOM_FREE} / ({ROOM} > 0)"},
        ),
        Panel(
            title="Handling of events: on average",
            unit="s",
            queries={"{{service}}": average("placet_handle_seconds", "service")},
        ),
    ),
)

MODELS = Board(
    name="models",
    title="placet: models and certificates",
    about="What serves, on which certificates, and how it answers.",
    variables={"project": "placet_model_observed_requests_total"},
    panels=(
        Panel(
            title="First certificate lapses in",
            kind="stat",
            width=6,
            unit="s",
            queries={"": "min(placet_serving_certificate_expires_seconds)"},
            good_above=7 * 86400,
        ),
        Panel(
            title="Certifier silent for",
            kind="stat",
            width=6,
            unit="s",
            queries={"": "max(placet_certifier_silence_seconds)"},
            bad=600,
        ),
        Panel(
            title="Taken off their routes",
            kind="stat",
            width=6,
            queries={"": 'max(placet_models{state="quarantined"})'},
            bad=1,
        ),
        Panel(
            title="Not as they should run",
            kind="stat",
            width=6,
            queries={"": "max(placet_models_diverged)"},
            bad=1,
        ),
        Panel(
            title="Projects by what became of their model",
            queries={"{{state}}": most("placet_models", "state")},
        ),
        Panel(
            title="Certificates",
            queries={"{{state}}": most("placet_certificates", "state")},
        ),
        Panel(
            title="Replicas",
            queries={"{{state}}": most("placet_replicas", "state")},
        ),
        Panel(
            title="Requests",
            unit="reqps",
            queries={
                "{{project}} {{release}} {{outcome}}": rate(
                    "placet_model_observed_requests_total", "project, release, outcome", OF_PROJECT
                )
            },
            about="refused: no good. failed: the model's own.",
        ),
        Panel(
            title="Requests that models fail",
            unit="percentunit",
            queries={
                "{{project}} {{release}}": 'model:requests_failed:rate15m{project=~"$project"} / model:requests:rate15m'
            },
        ),
        Panel(
            title="Latency, at most",
            unit="s",
            queries={
                "{{project}} {{release}} {{quantile}}": most(
                    "placet_model_answer_seconds", "project, release, quantile", OF_PROJECT
                )
            },
            about="In the last window in which it was asked.",
        ),
        Panel(
            title="Drift",
            queries={"{{project}} {{release}}": most("placet_model_drift", "project, release", OF_PROJECT)},
            about="The largest population stability index of a column. From 0.2 on a model is often looked at again.",
        ),
    ),
)

AUDIT = Board(
    name="audit",
    title="placet: audit",
    about="Whether the log grows, is signed, and is heard by who watches it.",
    variables={},
    panels=(
        Panel(title="Entries", kind="stat", width=6, queries={"": "max(placet_audit_entries)"}),
        Panel(
            title="Not signed for",
            kind="stat",
            width=6,
            unit="s",
            queries={"": "max(placet_audit_checkpoint_age_seconds)"},
            about="0: the newest checkpoint covers all entries.",
            bad=300,
        ),
        Panel(
            title="Witnesses in trouble",
            kind="stat",
            width=6,
            queries={"": "sum(max by (witness) (placet_witness_trouble))"},
            bad=1,
        ),
        Panel(
            title="Webhooks disabled",
            kind="stat",
            width=6,
            queries={"": 'max(placet_webhooks{state="disabled"})'},
            bad=1,
        ),
        Panel(
            title="Entries a second",
            unit="ops",
            queries={"": 'sum(rate(placet_handle_seconds_count{service="metadata"}[5m]))'},
            about="What metadata hears goes into the log.",
        ),
        Panel(
            title="Events that have not reached the log",
            queries={"{{producer}}": most("placet_inbox_behind", "producer", 'service="metadata"')},
        ),
        Panel(
            title="Index: events behind the log",
            queries={"{{projection}}": most("placet_projection_lag", "projection", 'service="metadata"')},
        ),
        Panel(title="Witnesses", queries={"{{witness}}": most("placet_witness_trouble", "witness")}),
        Panel(title="Webhooks", queries={"{{state}}": most("placet_webhooks", "state")}),
        Panel(
            title="What is in the log, by type",
            unit="ops",
            queries={
                "{{type}}": f"topk(10, {rate('placet_handle_seconds_count', 'type', OF_METADATA, '15m')})"
            },
        ),
    ),
)

BOARDS = (PLATFORM, OPERATIONS, MODELS, AUDIT)


def document(board: Board) -> dict[str, Any]:
    """As Grafana reads it from a file."""
    return {
        "uid": f"placet-{board.name}",
        "title": board.title,
        "description": board.about,
        "tags": ["placet"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "links": [
            {
                "type": "dashboards",
                "title": "placet",
                "tags": ["placet"],
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_variable(label, of) for label, of in board.variables.items()]},
        "panels": list(_placed(board.panels)),
    }


def _variable(label: str, of: str) -> dict[str, Any]:
    query = f"label_values({of}, {label})"
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _placed(panels: Iterable[Panel]) -> Iterable[dict[str, Any]]:
    """From left to right, row after row."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": HEIGHT})
        x += panel.width


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)},
            "overrides": [],
        },
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + place_in_row),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                **({"instant": True, "format": "table"} if panel.kind == "table" else {}),
            }
            for place_in_row, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


_OPTIONS: Mapping[Kind, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    },
    "table": {"showHeader": True},
}


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.good_above is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.good_above}]
    elif panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    return {"mode": "absolute", "steps": steps}


def generated() -> Mapping[Path, str]:
    return {
        FOLDER / f"{board.name}.json": json.dumps(document(board), indent=1, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def stale(files: Mapping[Path, str]) -> list[str]:
    """What is other than generated, missing, or there and generated no more."""
    other = [
        path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return sorted(path.name for path in (*other, *set(FOLDER.glob("*.json")) - set(files)))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where one is out of date")
    if parser.parse_args(arguments).check:
        if found := stale(generated()):
            sys.stderr.write(f"dashboards: {', '.join(found)}: out of date\n  fix: make docs\n")
            return 1
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in set(FOLDER.glob("*.json")) - set(generated()):
        path.unlink()
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
