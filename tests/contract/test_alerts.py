"""Alerts, asked of Prometheus's own rule engine: over a platform that is well none fires, of each trouble its own alert
tells and no other, and not before it has lasted."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import watching
from tests.support.servers import sources
from tools import workspace

BEGINS = 90
"""Minutes from the start of a story to its trouble: what looks back for an hour sees a platform that was well."""
GOES_ON = 90
"""Minutes that the trouble lasts at least."""
ALL = BEGINS + GOES_ON
DAY = 86400
Series = Mapping[str, str]


def always(value: float) -> str:
    return f"{value}+0x{ALL}"


def from_then(well: float, trouble: float, minutes: int = GOES_ON) -> str:
    """Another value once the trouble begins, for so many minutes."""
    rest = f" {well}+0x{GOES_ON - minutes}" if minutes < GOES_ON else ""
    return f"{well}+0x{BEGINS - 1} {trouble}+0x{minutes}{rest}"


def gone() -> str:
    """Nothing is told any more."""
    return f"1+0x{BEGINS - 1} stale"


def growing(by: float, then: float | None = None) -> str:
    """A counter, by so many a minute."""
    until = by * BEGINS
    return f"0+{by}x{BEGINS - 1} {until}+{by if then is None else then}x{GOES_ON}"


def of(name: str, **labels: str) -> str:
    said = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{said}}}"


def request(service: str, status: str, route: str = "/v1/models") -> str:
    return of(
        "http_server_request_duration_seconds_count",
        job="placet",
        service=service,
        http_request_method="GET",
        http_route=route,
        http_response_status_code=status,
    )


def bucket(service: str, bound: str, route: str = "/v1/models") -> str:
    counted = request(service, "200", route)
    return counted.replace("_count{", "_bucket{").removesuffix("}") + f',le="{bound}"}}'


def ended(state: str) -> str:
    return of("placet_operation_seconds_count", command="deploy", state=state)


def answered(outcome: str) -> str:
    return of("placet_model_observed_requests_total", project="churn", release="3", outcome=outcome)


def denied(status: str) -> str:
    return of("placet_denied_requests_total", service="gateway", status=status, reason="token.revoked")


SLOW = of("placet_model_answer_seconds", project="churn", release="3", quantile="0.99")
EXPIRES = of("placet_serving_certificate_expires_seconds", service="gateway")
FREE, TOTAL = (of("placet_disk_bytes", service="builder", state=state) for state in ("free", "total"))

WELL: Series = {
    **{of("up", job="placet", service=each, instance=f"{each}:8080"): always(1) for each in workspace.SERVICES},
    **{of("placet_ready", service=each, instance=f"{each}:8080"): always(1) for each in workspace.SERVICES},
    **{of("placet_leads", service=each, instance=f"{each}:8080"): always(1) for each in workspace.SERVICES},
    # A second gateway, which stands by.
    of("up", job="placet", service="gateway", instance="other:8080"): always(1),
    of("placet_ready", service="gateway", instance="other:8080"): always(1),
    of("placet_leads", service="gateway", instance="other:8080"): always(0),
    **{
        of(name, service=each): always(0)
        for name in ("placet_outbox_age_seconds", "placet_inbox_age_seconds", "placet_parked")
        for each in workspace.SERVICES
    },
    of("placet_inbox_behind", service="indexer", producer="builder"): always(0),
    of("placet_projection_beat_age_seconds", service="metadata", projection="audit index"): always(4),
    of("placet_projection_lag", service="metadata", projection="audit index"): always(3),
    of("placet_job_attempts", service="builder", kind="build"): always(1),
    request("gateway", "200"): growing(120),
    request("gateway", "503"): growing(0.5),
    bucket("gateway", "0.1"): growing(120),
    bucket("gateway", "5.0"): growing(120),
    bucket("gateway", "+Inf"): growing(120),
    # Who follows an operation is answered for as long as it takes.
    bucket("gateway", "0.1", "/v1/operations/{id}/events"): always(0),
    bucket("gateway", "+Inf", "/v1/operations/{id}/events"): growing(60),
    ended("live"): growing(0.1),
    ended("refused"): growing(0.1),
    ended("failed"): growing(0.01),
    ended("stalled"): always(0),
    of("placet_room_queue", service="deployer"): always(0),
    EXPIRES: always(30 * DAY),
    of("placet_certifier_silence_seconds", service="deployer"): always(8),
    of("placet_models", service="gateway", state="live"): always(5),
    of("placet_models", service="gateway", state="quarantined"): always(0),
    of("placet_models_diverged", service="gateway"): always(0),
    of("placet_replicas", service="deployer", state="wanted"): always(7),
    of("placet_replicas", service="deployer", state="ready"): always(7),
    answered("ok"): growing(60),
    answered("failed"): growing(0.5),
    SLOW: always(0.25),
    of("placet_audit_checkpoint_age_seconds", service="metadata"): always(0),
    of("placet_witness_trouble", service="metadata", witness="auditor"): always(0),
    of("placet_webhooks", service="metadata", state="well"): always(2),
    of("placet_webhooks", service="metadata", state="disabled"): always(0),
    denied("401"): growing(2),
    denied("403"): growing(1),
    denied("429"): growing(600),
    TOTAL: always(100),
    FREE: always(60),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is other than well, and the alert, with its severity, that tells of it: not `before` so many minutes, and at
    the latest `after` so many."""

    alert: str
    severity: str
    series: Series
    before: int
    after: int

    def __str__(self) -> str:
        return f"{self.alert}-{self.severity}"


def builder(name: str, **more: str) -> str:
    return of(name, service="builder", **more)


def down(service: str, value: str) -> Series:
    """As Prometheus has it: of what does not answer there is nothing but that."""
    at = {"service": service, "instance": f"{service}:8080"}
    return {
        of("up", job="placet", **at): value,
        of("placet_ready", **at): gone(),
        of("placet_leads", **at): gone(),
    }


TROUBLES: Sequence[Trouble] = [
    Trouble(alert="PlacetServiceDown", severity="critical", before=2, after=4, series=down("builder", from_then(1, 0))),
    Trouble(alert="PlacetServiceNotReady", severity="critical", before=2, after=4, series={
        of("placet_ready", service="builder", instance="builder:8080"): from_then(1, 0),
        of("placet_leads", service="builder", instance="builder:8080"): from_then(1, 0)}),
    Trouble(alert="PlacetNobodyLeads", severity="critical", before=2, after=4, series={
        of("placet_leads", service="gateway", instance="gateway:8080"): from_then(1, 0)}),
    Trouble(alert="PlacetHampered", severity="warning", before=14, after=17, series={
        of("placet_hampered", service="indexer", what="look"): f"_x{BEGINS} 1+0x{GOES_ON}"}),
    Trouble(alert="PlacetRequestsFail", severity="critical", before=4, after=12, series={
        request("gateway", "500"): growing(0, 20)}),
    Trouble(alert="PlacetRequestsSlow", severity="warning", before=9, after=18, series={
        bucket("gateway", "0.1"): growing(120, 0), bucket("gateway", "5.0"): growing(120, 60)}),
    Trouble(alert="PlacetOutboxStuck", severity="critical", before=3, after=6, series={
        builder("placet_outbox_age_seconds"): f"0+0x{BEGINS - 1} 0+60x{GOES_ON}"}),
    Trouble(alert="PlacetInboxStuck", severity="warning", before=14, after=18, series={
        builder("placet_inbox_age_seconds"): f"0+0x{BEGINS - 1} 0+60x{GOES_ON}"}),
    Trouble(alert="PlacetEventsMissing", severity="warning", before=13, after=17, series={
        of("placet_inbox_behind", service="indexer", producer="builder"): from_then(0, 1)}),
    Trouble(alert="PlacetMessagesParked", severity="warning", before=4, after=6, series={
        builder("placet_parked"): from_then(0, 1)}),
    Trouble(alert="PlacetProjectionStuck", severity="warning", before=5, after=9, series={
        of("placet_projection_beat_age_seconds", service="metadata", projection="audit index"):
            f"4+0x{BEGINS - 1} 4+60x{GOES_ON}"}),
    Trouble(alert="PlacetProjectionStuck", severity="warning", before=18, after=23, series={
        of("placet_projection_lag", service="metadata", projection="audit index"): from_then(0, 5000)}),
    Trouble(alert="PlacetJobsTriedAgain", severity="warning", before=0, after=2, series={
        of("placet_job_attempts", service="builder", kind="build"): from_then(1, 6)}),
    Trouble(alert="PlacetOperationStalled", severity="warning", before=-1, after=1, series={
        ended("stalled"): from_then(0, 1)}),
    Trouble(alert="PlacetOperationsFailing", severity="warning", before=4, after=70, series={
        ended("live"): growing(0.1, 0), ended("refused"): growing(0.1, 0.01), ended("failed"): growing(0.01, 0.1)}),
    Trouble(alert="PlacetRoomQueue", severity="warning", before=29, after=31, series={
        of("placet_room_queue", service="deployer"): from_then(0, 2)}),
    Trouble(alert="PlacetCertificateLapses", severity="warning", before=9, after=11, series={
        EXPIRES: from_then(30 * DAY, 6 * DAY)}),
    Trouble(alert="PlacetCertificateLapses", severity="critical", before=9, after=11, series={
        EXPIRES: from_then(30 * DAY, 0.9 * DAY)}),
    Trouble(alert="PlacetCertifierSilent", severity="critical", before=10, after=13, series={
        of("placet_certifier_silence_seconds", service="deployer"): f"8+0x{BEGINS - 1} 8+60x{GOES_ON}"}),
    Trouble(alert="PlacetModelQuarantined", severity="warning", before=4, after=6, series={
        of("placet_models", service="gateway", state="quarantined"): from_then(0, 1)}),
    Trouble(alert="PlacetModelsDiverged", severity="warning", before=9, after=11, series={
        of("placet_models_diverged", service="gateway"): from_then(0, 1)}),
    Trouble(alert="PlacetReplicasNotReady", severity="warning", before=14, after=16, series={
        of("placet_replicas", service="deployer", state="ready"): from_then(7, 6)}),
    Trouble(alert="PlacetModelErrors", severity="warning", before=4, after=15, series={
        answered("failed"): growing(0.5, 10)}),
    Trouble(alert="PlacetModelSlow", severity="warning", before=14, after=16, series={SLOW: from_then(0.25, 5)}),
    Trouble(alert="PlacetAuditLogUnsigned", severity="critical", before=9, after=13, series={
        of("placet_audit_checkpoint_age_seconds", service="metadata"): f"0+0x{BEGINS - 1} 0+60x{GOES_ON}"}),
    Trouble(alert="PlacetWitnessTrouble", severity="warning", before=29, after=31, series={
        of("placet_witness_trouble", service="metadata", witness="auditor"): from_then(0, 1),
        of("placet_hampered", service="metadata", what="witness auditor"): f"_x{BEGINS} 1+0x{GOES_ON}"}),
    Trouble(alert="PlacetWebhookDisabled", severity="warning", before=4, after=6, series={
        of("placet_webhooks", service="metadata", state="disabled"): from_then(0, 1)}),
    Trouble(alert="PlacetRequestsDenied", severity="warning", before=10, after=13, series={
        denied("401"): growing(2, 120)}),
    Trouble(alert="PlacetDiskFull", severity="warning", before=29, after=80, series={
        FREE: f"24+0x{BEGINS - 1} 24-0.1x{GOES_ON}"}),
    Trouble(alert="PlacetDiskFull", severity="critical", before=4, after=6, series={FREE: from_then(60, 4)}),
]  # fmt: skip

QUIET: Mapping[str, Series] = {
    "a platform that is well": {},
    "a service that is replaced": {
        of("up", job="placet", service="builder", instance="builder:8080"): from_then(1, 0, 2),
        of("placet_ready", service="builder", instance="builder:8080"): from_then(1, 0, 2),
        of("placet_leads", service="builder", instance="builder:8080"): from_then(1, 0, 2),
    },
    "one replica of two": {
        **down("gateway", from_then(1, 0)),
        of("placet_leads", service="gateway", instance="other:8080"): from_then(0, 1),
    },
    "a registry that starts again": {
        of("placet_hampered", service="indexer", what="look"): f"_x{BEGINS} 1+0x10 stale"
    },
    "some requests that fail while the edge starts a service again": {
        request("gateway", "503"): f"0+0x{BEGINS - 1} 0+15x1 15+0x{GOES_ON - 2}"
    },
    "one failure of the only request in a while": {
        request("indexer", "500"): f"0+0x{BEGINS - 1} 0+1x1 1+0x{GOES_ON - 2}"
    },
    "models that answer badly through the embedded platform": {
        request("gateway", "502", "/models/{path}"): growing(0, 500)
    },
    "a broker that is away for a moment": {
        builder("placet_outbox_age_seconds"): f"0+0x{BEGINS - 1} 0+60x3 0+0x{GOES_ON - 4}"
    },
    "a message that is tried again": {builder("placet_inbox_age_seconds"): from_then(0, 240, 4)},
    "events on their way": {
        of("placet_inbox_behind", service="indexer", producer="builder"): f"0+0x{BEGINS - 1} "
        + "30+0x5 0 " * 10
        + "0+0x50"
    },
    "a message that was handed back": {builder("placet_parked"): from_then(0, 1, 3)},
    "a job that failed some times": {
        of("placet_job_attempts", service="builder", kind="build"): from_then(1, 5)
    },
    "an operation that stalled yesterday": {ended("stalled"): always(1)},
    "two deploys that failed, and nothing else": {
        ended("live"): always(0),
        ended("refused"): always(0),
        ended("failed"): f"0+0x{BEGINS - 1} 2+0x{GOES_ON}",
    },
    "deploys of which rules refuse most": {ended("refused"): growing(0.1, 2)},
    "a certificate of eight days": {EXPIRES: from_then(30 * DAY, 8 * DAY)},
    "no model that serves": {EXPIRES: f"_x{ALL}"},
    "a certifier that is replaced": {
        of("placet_certifier_silence_seconds", service="deployer"): from_then(8, 540, 9)
    },
    "a model that is judged again": {
        of("placet_models", service="gateway", state="quarantined"): from_then(0, 1, 4)
    },
    "a replica that loads": {of("placet_replicas", service="deployer", state="ready"): from_then(7, 6, 12)},
    "a deployer that mends": {of("placet_models_diverged", service="gateway"): from_then(0, 1, 8)},
    "the one request in an hour that a model failed": {
        answered("ok"): always(0),
        answered("failed"): f"0+0x{BEGINS - 1} 1+0x{GOES_ON}",
    },
    "a model that was slow, and is not asked any more": {
        answered("ok"): growing(60, 0),
        answered("failed"): growing(0.5, 0),
        SLOW: from_then(0.25, 10),
    },
    "a log that signs in turns": {
        of("placet_audit_checkpoint_age_seconds", service="metadata"): from_then(0, 240)
    },
    "a witness that starts again": {
        of("placet_witness_trouble", service="metadata", witness="auditor"): from_then(0, 1, 25)
    },
    "a webhook that fails and is tried again": {
        of("placet_webhooks", service="metadata", state="failing"): from_then(0, 1)
    },
    "a queue that moves": {of("placet_room_queue", service="deployer"): from_then(0, 2, 25)},
    "a program whose token was revoked, until somebody gives it another": {
        denied("401"): f"0+2x{BEGINS - 1} {2 * BEGINS}+120x5 {2 * BEGINS + 602}+2x{GOES_ON - 7}"
    },
    "a disk that half of is used, and a cache that grows": {
        FREE: f"60+0x{BEGINS - 61} 60-0.25x59 45+0x{GOES_ON}"
    },
    "slow answers of what nobody asks": {
        request("gateway", "200"): growing(120, 1),
        bucket("gateway", "0.1"): growing(120, 0),
        bucket("gateway", "5.0"): growing(120, 0.5),
        bucket("gateway", "+Inf"): growing(120, 1),
    },
    "messages that the audit index has just heard": {
        of("placet_projection_lag", service="metadata", projection="audit index"): from_then(0, 5000, 10)
    },
    "replicas that do not lead": {of("placet_leads", service="gateway", instance="third:8080"): always(0)},
}


@pytest.fixture(scope="module")
def promtool() -> str:
    return sources.program("promtool")


def asked(promtool: str, folder: Path, series: Series, **tests: Any) -> subprocess.CompletedProcess[str]:
    """The rules, over what is well but for that."""
    document = {
        "rule_files": [str(watching.PROMETHEUS / name) for name in ("recording.yml", "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "external_labels": {"runbooks": "docs/runbooks"},
                "input_series": [
                    {"series": name, "values": values} for name, values in {**WELL, **series}.items()
                ],
                **tests,
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(document))
    return subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False, timeout=120
    )


def expectations(expected: Iterable[tuple[int, Sequence[Trouble]]]) -> list[dict[str, Any]]:
    """Which alerts fire, at minutes after the trouble began."""
    return [
        {
            "expr": 'count by (alertname, severity) (ALERTS{alertstate="firing"})',
            "eval_time": f"{BEGINS + minute}m",
            "exp_samples": [
                {"labels": f'{{alertname="{each.alert}", severity="{each.severity}"}}', "value": 1}
                for each in alerts
            ],
        }
        for minute, alerts in expected
    ]


def firing(
    promtool: str, folder: Path, series: Series, expected: Iterable[tuple[int, Sequence[Trouble]]]
) -> str:
    """What is other than expected."""
    done = asked(promtool, folder, series, promql_expr_test=expectations(expected))
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("story", QUIET)
def test_nobody_is_told_of(promtool: str, tmp_path: Path, story: str) -> None:
    minutes = (*range(0, GOES_ON, 3), GOES_ON - 1)
    assert firing(promtool, tmp_path, QUIET[story], [(minute, ()) for minute in minutes]) == ""


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_its_own_alert_tells_of_it_and_no_other(promtool: str, tmp_path: Path, trouble: Trouble) -> None:
    not_yet: list[tuple[int, Sequence[Trouble]]] = [(trouble.before, [])] if trouble.before >= 0 else []
    when = f"{BEGINS + trouble.after}m"
    done = asked(
        promtool,
        tmp_path,
        trouble.series,
        promql_expr_test=expectations([*not_yet, (trouble.after, [trouble])]),
        # Which is wrong, so that it says what the alert says: templates that fail are words of Prometheus in the
        # message of who is woken up.
        alert_rule_test=[{"eval_time": when, "alertname": trouble.alert, "exp_alerts": []}],
    )
    told = done.stdout + done.stderr
    assert "expr:" not in told, told
    assert f"alertname: {trouble.alert}" in told, told
    said = dict(re.findall(r'(summary|description|runbook_url)=("(?:[^"\\]|\\.)*")', told))
    assert set(said) == {"summary", "description", "runbook_url"}, told
    assert not re.search(r"<error|<no value>|%!|\{\{|NaN", told), told
    assert (workspace.ROOT / json.loads(said["runbook_url"])).is_file()


def test_a_platform_that_nobody_watches_is_told_of(promtool: str, tmp_path: Path) -> None:
    targets = {name: gone() for name in WELL if name.startswith("up{")}
    [down] = [each for each in TROUBLES if each.alert == "PlacetServiceDown"]
    assert firing(promtool, tmp_path, targets, [(2, []), (4, [down])]) == ""


def test_every_alert_has_its_trouble() -> None:
    assert {(each.alert, each.severity) for each in TROUBLES} == {
        (each.name, each.severity) for each in watching.alerts()
    }


def test_the_stories_tell_of_what_there_is() -> None:
    """Names and labels that no service tells would be alerts of a platform that is not ours."""
    for series in (WELL, *QUIET.values(), *(each.series for each in TROUBLES)):
        assert [name for name in series if watching.unknown(name)] == []


def test_the_configuration_is_one(promtool: str) -> None:
    done = subprocess.run(
        [
            promtool,
            "check",
            "config",
            "--lint=all",
            "--lint-fatal",
            str(watching.PROMETHEUS / "prometheus.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
