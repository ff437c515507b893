"""What a platform is watched by agrees with what it tells, and with the pages that say what to do."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path

import pytest
import yaml
from placet.cli.arguments import parser
from placet.errors import PlacetError
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG

from tests.support import watching
from tools import dashboards, workspace

PAGES = sorted(watching.RUNBOOKS.glob("*.md"))
INDEX = watching.RUNBOOKS / "README.md"
DISASTERS = {
    "lost-broker.md",
    "lost-database.md",
    "lost-registry.md",
    "leaked-signing-key.md",
    "leaked-credential.md",
    "clock-wrong.md",
}
"""Pages that no alert leads to; a full disk is both."""
METRICS_PAGE = workspace.ROOT / "docs" / "how-to" / "watch-the-platform.md"
SAID = {
    "PROJECT": "churn",
    "TEAM": "fraud",
    "TOKEN": "01a2093a-0295-7411-aa3a-07219b3cc246",
    "CERTIFICATE": "certificate:01a2093a-0295-7411-aa3a-07219b3cc246",
    "FILE": "policy.yaml",
}
"""What readers fill in, as it could be."""
SUBCOMMANDS = {"up", "ps", "logs", "exec", "stop", "restart", "rm", "run", "cp", "down", "build"}


def asked() -> list[tuple[str, str]]:
    """Every expression that somebody has Prometheus evaluate, and where it stands."""
    return [
        *((str(each), each.expression) for each in watching.alerts()),
        *watching.recorded().items(),
        *watching.asked_by_dashboards(),
        *(
            (page.name, block.strip())
            for page in PAGES
            for block in re.findall(r"^ *```text\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
            if "http_server" in block or "placet_" in block
        ),
    ]


@pytest.mark.parametrize(("where", "expression"), asked(), ids=lambda each: str(each)[:60])
def test_everything_that_is_asked_for_is_told(where: str, expression: str) -> None:
    assert watching.unknown(expression) == []


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("max(placet_made_up)", ["placet_made_up"]),
        ('placet_ready{what="x"}', ["placet_ready{what}"]),
        ("sum by (producer) (placet_ready)", ["by (producer)"]),
        ("rate(placet_job_seconds[5m])", ["placet_job_seconds"]),
        ("service:made_up:rate5m > 1", ["service:made_up:rate5m"]),
        ("model:requests:rate15m{service='x'}".replace("'", '"'), ["model:requests:rate15m{service}"]),
    ],
)
def test_what_nobody_tells_would_be_found(expression: str, wrong: list[str]) -> None:
    assert watching.unknown(expression) == wrong


def metrics_named(text: str) -> set[str]:
    return set(re.findall(r"`((?:placet|http_server)_\w+[a-z])`", text))


def family(series: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", series)


@pytest.mark.parametrize("page", [METRICS_PAGE, *PAGES], ids=lambda page: page.name)
def test_every_metric_that_a_page_names_is_told(page: Path) -> None:
    assert metrics_named(page.read_text()) - {family(each) for each in watching.declared()} == set()


def test_the_page_on_metrics_names_all_of_them() -> None:
    """But for the one that counts jobs in a process, which `placet_jobs` tells of all."""
    told = {family(each) for each in watching.declared()} - {"placet_jobs_running"}
    assert told - metrics_named(METRICS_PAGE.read_text()) == set()


@pytest.mark.parametrize("alert", watching.alerts(), ids=str)
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: watching.Rule) -> None:
    assert alert.severity in ("critical", "warning")
    page = alert.annotations["runbook_url"].removeprefix("{{ $externalLabels.runbooks }}/")
    assert f"`{alert.name}`" in (watching.RUNBOOKS / page).read_text()
    assert re.search(rf"`{alert.name}` \| \[[^]]+\]\({page}\)", INDEX.read_text())
    assert alert.severity in (watching.RUNBOOKS / page).read_text().splitlines()[2]


def test_a_page_is_of_an_alert_or_of_a_disaster() -> None:
    of_alerts = {each.annotations["runbook_url"].rpartition("/")[2] for each in watching.alerts()}
    assert {page.name for page in PAGES} == of_alerts | DISASTERS | {INDEX.name}
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text()))
    assert linked == of_alerts | DISASTERS


def placet_commands() -> list[tuple[str, str]]:
    return [
        (page.name, " ".join(found))
        for page in PAGES
        for line in watching.words_of(page)
        if len(found := placet_words(line)) > 1
    ]


def placet_words(line: str) -> list[str]:
    """Those of a command of ours; empty where it is none. What comes from the shell stands for a day."""
    line = re.sub(r"\$\(date[^)]*\)", "2027-01-31", line.strip())
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"PLACET_\w+=.*", words[0]):
        words = words[1:]
    cut = next((place for place, word in enumerate(words) if word in ("|", ">", "…")), len(words))
    return [shlex.quote(word) for word in words[:cut]] if words[:1] == ["placet"] else []


@pytest.mark.parametrize(("page", "command"), placet_commands())
def test_a_command_of_ours_is_one(page: str, command: str) -> None:
    words = [SAID.get(word, word) for word in shlex.split(command)[1:]]
    if words in (["deploy"],):  # of a folder that readers know
        words.append("churn")
    try:
        parser().parse_args(words)
    except (SystemExit, PlacetError) as error:
        pytest.fail(f"{page}: {command}: {error}")


def test_a_command_that_is_none_would_be_found() -> None:
    with pytest.raises((SystemExit, PlacetError)):
        parser().parse_args(["services", "retry", "certifier", "--everything"])


def test_an_event_that_a_page_looks_for_is_one() -> None:
    """Types end with their version."""
    known = [contract_of(event).type for event in CATALOG.types]
    assert "placet.deployer.model.failed.v1" in known
    for page in PAGES:
        for pattern in re.findall(r"--type '([^']*)'", page.read_text()):
            assert fnmatch.filter(known, pattern), f"{page.name}: {pattern}"


def compose() -> dict[str, dict[str, object]]:
    document: dict[str, dict[str, object]] = yaml.safe_load(
        (workspace.ROOT / "docker-compose.yml").read_text()
    )
    return document


def compose_commands() -> list[tuple[str, str]]:
    return [
        (page.name, each)
        for page in PAGES
        for line in watching.words_of(page)
        for each in re.findall(r'docker (?:compose|volume) (?:"[^"]*"|[^|;&<\n"])*', line)
    ]


@pytest.mark.parametrize(("page", "command"), compose_commands())
def test_what_is_named_of_compose_is_there(page: str, command: str) -> None:
    words = shlex.split(re.sub(r"\$\w+", "gateway", command), comments=True)
    if words[1] == "volume":
        assert {each.removeprefix("placet_") for each in words[3:]} <= set(compose()["volumes"]), command
        return
    subcommand, rest = words[2], words[3:]
    assert subcommand in SUBCOMMANDS, command
    while "--volume" in rest:  # what is mounted besides is no service
        at = rest.index("--volume")
        rest = rest[:at] + rest[at + 2 :]
    plain = [word for word in rest if not word.startswith("-") and not word.isdigit() and word != "10m"]
    if subcommand in ("exec", "run", "cp"):
        # After an entrypoint comes the service; behind that are words of its own.
        plain = [word for word in plain if word != "python3"][:1]
    named = {word.partition(":")[0] for word in plain} - {"NAME"}
    assert named <= set(compose()["services"]), command


@pytest.mark.parametrize("service", workspace.SERVICES)
def test_prometheus_finds_every_service_of_compose(service: str) -> None:
    scraped = yaml.safe_load((watching.PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    [job] = [each for each in scraped if each["job_name"] == "placet"]
    assert job["honor_labels"]
    assert {"targets": [f"{service}:8080"], "labels": {"service": service}} in job["static_configs"]


def test_the_dashboards_are_what_the_code_says() -> None:
    assert dashboards.stale(dashboards.generated()) == []


def test_a_dashboard_that_was_changed_by_hand_is_found() -> None:
    changed = {path: text + " " for path, text in dashboards.generated().items()}
    assert dashboards.stale(changed) == sorted(path.name for path in changed)


@pytest.mark.parametrize("name", sorted(watching.dashboards()))
def test_no_panel_lies_over_another(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in watching.dashboards()[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= dashboards.WIDTH
        taken |= cells
