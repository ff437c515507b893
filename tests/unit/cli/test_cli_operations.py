"""deploy, build, start, stop, delete and status, as a user and as a script see them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.cli.progress import PlainProgress
from placet.cli.screen import Screen
from placet.cli.sizes import counted, in_days
from placet.client import Operation, Step

from tests.support.eventually import eventually
from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import AUDITOR, IMAGE, REFUSAL, SCIENTIST, FakePlatform

FIELDS = [
    "operation", "command", "project", "release", "source", "image", "built", "certificate", "renews", "share",
    "replaced", "backTo", "state", "url", "steps", "refusals", "awaiting", "verdicts",
]  # fmt: skip
BESIDES: dict[str, Any] = {
    "detail": None,
    "trial": False,
    "certifiedUntil": None,
    "certificateState": None,
    "lapsing": False,
    "awaits": None,
    "replicas": None,
    "canary": None,
    "aborted": None,
    "observed": None,
    "warnings": [],
    "reviewsOwed": [],
}
"""What `status` of a project says besides, where nothing is to be said."""


def test_a_deploy_ends_with_the_url_alone_on_stdout(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    ended = placet("deploy", str(project))
    assert ended.status == 0
    assert ended.out == f"{platform.url}/models/wine\n"
    steps = [line.split()[1] for line in ended.err.splitlines() if line.startswith("done")]
    assert steps == [
        "packed", "checked", "sent", "requested", "cleared", "reserved", "built", "indexed", "certified", "live",
    ]  # fmt: skip


def test_a_deploy_ends_with_a_line_that_calls_the_model_and_where_its_pages_are(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    url = f"{platform.url}/models/wine"
    request = json.loads((project / "sample.json").read_text())["request"]
    first = json.dumps({"inputs": request["inputs"][:1]}, separators=(",", ":"))
    *_, curl, docs = placet("deploy", str(project)).err.splitlines()
    assert shlex.split(curl) == [
        *("curl", "-s", f"{url}/predict", "-H", "Content-Type: application/json", "-d", first)
    ]
    assert docs == f"what it takes and gives: {url}/docs"
    manifest = project / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("access: public", "access: token"))
    asked = placet("deploy", str(project)).err
    assert f'{url}/predict -H "Authorization: Bearer $PLACET_TOKEN" -H' in asked
    platform.images = [{"image": IMAGE, "project": "wine"}]
    assert "-d @request.json\n" in placet("deploy", IMAGE).err, "the model does not say what it takes"
    platform.example = {"inputs": [{"age": 1}, {"age": 2}]}
    *_, curl, _ = placet("deploy", IMAGE).err.splitlines()
    assert shlex.split(curl)[-2:] == ["-d", '{"inputs":[{"age":1}]}']
    assert "PLACET_TOKEN" not in curl, "its access is public"
    for unfit in ("text", {"inputs": ["\u202e"]}, {"inputs": [[0.25] * 1000]}):
        platform.example = unfit
        assert "-d @request.json\n" in placet("deploy", IMAGE).err
    assert "curl" not in placet("build", str(project)).err


def test_a_warning_says_why_and_what_to_do(placet: Placet, platform: FakePlatform, project: Path) -> None:
    told = {"rule": "advisories.recent", "result": "fail", "stage": "certify"}
    platform.warned = [{**told, "why": "nobody looked", "fix": "publish some"}, {**told, "rule": "older"}]
    said = placet("deploy", str(project)).err
    assert "  warning: advisories.recent: nobody looked\n    fix: publish some\n" in said
    assert "  warning: older: it did not pass (fail)\n" in said
    assert (
        "  warning: advisories.recent: nobody looked\n    fix: publish some\n" in placet("status", "wine").out
    )


def test_json_is_the_operation_and_nothing_else_on_stdout(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    ended = placet("deploy", str(project), "--json")
    assert list(ended.document) == FIELDS
    assert ended.document["state"] == "live"
    assert ended.document["built"] is True
    assert ended.document["steps"][3] == {
        "name": "built",
        "state": "done",
        "seconds": 0.2,
        "detail": "5 layers",
        "since": None,
    }
    assert "release 1 of wine is live" in ended.err


def test_the_same_source_again_is_not_sent_and_not_built(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    ended = placet("deploy", str(project))
    assert "nothing was built" in ended.err
    assert "certified by certificate:1: 1 of 1 rule passed" in ended.err
    assert "the platform has it already" in ended.err
    assert [method for method, path in platform.requests if path.startswith("/v1/sources/")] == [
        "HEAD",
        "PUT",
        "HEAD",
    ]


def test_a_refusal_says_rule_reason_and_fix_and_ends_with_1(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.outcome = "refused"
    ended = placet("deploy", str(project))
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.endswith(
        "\nplacet: deploy of wine is refused\n  owner-named: nobody owns it\n    fix: set governance.owner\n"
    )
    assert placet("deploy", str(project), "--json").document["refusals"] == [REFUSAL]


def test_a_failure_names_its_step_and_ends_with_1(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.outcome = "failed"
    ended = placet("deploy", str(project))
    assert ended.status == 1
    assert "\n  the sample request was answered otherwise\n" in ended.err
    assert "`placet logs wine --release 1` shows what the model wrote" in ended.err
    assert [line.split()[0] for line in ended.err.splitlines() if " live " in line] == ["failed"]


def test_what_wrote_nothing_has_no_log_to_show(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    platform.outcome = "turned down"
    ended = placet("start", "wine")
    assert (ended.status, "placet logs" in ended.err) == (1, False)
    platform.outcome = "failed"
    assert "placet logs" in placet("start", "wine").err
    platform.never_ran.add("wine")
    assert "placet logs" not in placet("deploy", str(project)).err


def test_awaiting_approval_is_told_from_failure_by_status_4(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.outcome = "awaiting"
    ended = placet("deploy", str(project), "--json")
    assert ended.status == 4
    assert ended.document["awaiting"] == [{"rule": "two-approvals", "why": "high risk needs two people"}]
    assert "two-approvals: high risk needs two people" in ended.err


def test_a_build_ends_with_the_image(placet: Placet, platform: FakePlatform, project: Path) -> None:
    ended = placet("build", str(project), "--project", "grapes")
    assert (ended.status, ended.out) == (0, f"{IMAGE}\n")
    assert platform.commands[-1]["project"] == "grapes"
    assert platform.commands[-1]["command"] == "build"


def test_an_image_is_deployed_by_as_much_of_its_digest_as_is_unique(
    placet: Placet, platform: FakePlatform
) -> None:
    platform.images = [{"image": "sha256:" + digit * 64, "project": "wine"} for digit in "ab"]
    assert placet("deploy", "sha256:aa", "--project", "copy").status == 0
    assert platform.commands[-1] == {
        "command": "deploy",
        "project": "copy",
        "source": {"image": "sha256:" + "a" * 64},
    }
    platform.images.append({"image": "sha256:a" + "b" * 63, "project": "wine"})
    ambiguous = placet("deploy", "sha256:a")
    assert ambiguous.status == 2
    assert "begins 2 images' digests" in ambiguous.err
    unknown = placet("deploy", "sha256:c", "--json")
    assert unknown.status == 1
    assert unknown.document["refusals"][0]["fix"] == "`placet list --images` shows all"


def test_no_wait_prints_the_operation_and_returns(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    platform.holds = True
    ended = placet("deploy", str(project), "--no-wait")
    assert (ended.status, ended.out.strip()) == (0, next(iter(platform.operations)))
    platform.holds = False
    followed = placet("status", ended.out.strip(), "--follow")
    assert followed.out == f"{platform.url}/models/wine\n"


def test_stop_start_and_delete_by_name(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    assert placet("stop", "wine", "--json").document["state"] == "stopped"
    assert placet("start", "wine").out == f"{platform.url}/models/wine\n"
    assert "wine is deleted" in placet("delete", "wine").err
    assert [asked["command"] for asked in platform.commands] == ["deploy", "stop", "start", "delete"]


def test_a_project_nobody_knows_is_refused_with_the_next_step(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("stop", "nobody", "--json")
    assert ended.status == 1
    assert ended.err == (
        "placet: stop of nobody is refused\n  no project nobody\n    fix: `placet list` shows what there is\n"
    )
    assert list(ended.document) == FIELDS
    assert ended.document["refusals"] == [
        {"rule": None, "why": "no project nobody", "fix": "`placet list` shows what there is"}
    ]


@pytest.mark.parametrize("verb", ["deploy", "build"])
def test_who_may_not_is_told_so_before_anything_is_packed(
    placet: Placet, platform: FakePlatform, project: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("PLACET_TOKEN", AUDITOR)
    ended = placet(verb, str(project))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        f"placet: {verb} of {project} is refused\n"
        f"  this token may not {verb} anything; its roles: auditor\n"
        "    fix: ask an admin for one that may: placet token create --as NAME --role scientist\n"
    )
    assert platform.requests == [("GET", "/v1/me")]
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    assert placet(verb, str(project)).status == 0


def test_status_of_a_project_and_of_an_operation(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    of_project = placet("status", "wine", "--json").document
    assert list(of_project) == [*FIELDS, *BESIDES, "last"]
    assert of_project["state"] == "live"
    of_operation = placet("status", of_project["operation"], "--json").document
    assert of_operation.pop("now") is None
    assert of_project == {**of_operation, **BESIDES, "last": of_operation}
    shown = placet("status", "wine").out
    assert f"url          {platform.url}/models/wine" in shown
    assert "owner-named  pass    submit" in shown
    assert placet("status", "nobody").status == 1


def test_an_operation_whose_release_was_replaced_does_not_pass_for_what_is_live(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    first = placet("deploy", str(project), "--json").document["operation"]
    assert "\nnow " not in placet("status", first).out
    second = placet("deploy", str(project), "--json").document["operation"]
    shown = placet("status", first).out
    assert "\nstate        live\nnow          release 2 of wine is live; see `placet status wine`\n" in shown
    document = placet("status", first, "--json").document
    assert list(document) == [*FIELDS, "now"]
    assert (document["state"], document["now"]) == ("live", {"release": 2, "state": "live"})
    assert "\nthat was then: release 2 of wine is live now\n" in placet("status", first, "--follow").err
    assert placet("status", second, "--json").document["now"] is None


def test_what_became_of_a_project_after_an_operation_is_told_of_every_end(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    deployed = placet("deploy", str(project), "--json").document["operation"]
    stopped = placet("stop", "wine", "--json").document["operation"]
    assert placet("status", deployed, "--json").document["now"] == {"release": 1, "state": "stopped"}
    assert placet("status", stopped, "--json").document["now"] is None
    platform.models["wine"] |= {"state": "deleted", "release": None}
    assert "\nnow          wine is deleted; see" in placet("status", stopped).out
    platform.outcome = "refused"
    refused = placet("deploy", str(project), "--json").document["operation"]
    assert placet("status", refused, "--json").document["now"] is None


@pytest.mark.parametrize("is_tried_again", [False, True])
def test_status_says_why_a_model_serves_no_more(
    placet: Placet, platform: FakePlatform, project: Path, is_tried_again: bool
) -> None:
    placet("deploy", str(project))
    platform.outcome = "refused"
    if is_tried_again:
        placet("deploy", str(project))
    reason = {"rule": None, "why": "its certificate ended", "fix": "deploy it again"}
    platform.models["wine"].update(state="quarantined", refusals=[reason])
    document = placet("status", "wine", "--json").document
    assert (document["state"], document["refusals"]) == ("quarantined", [reason])
    assert "  its certificate ended\n    fix: deploy it again\n" in placet("status", "wine").out


@pytest.mark.parametrize("is_tried_again", [False, True])
def test_status_shows_what_a_model_was_asked_last(
    placet: Placet, platform: FakePlatform, project: Path, is_tried_again: bool
) -> None:
    placet("deploy", str(project))
    platform.outcome = "refused"
    if is_tried_again:
        placet("deploy", str(project))
    drift = {"since": "2026-01-01T00:00:00Z", "rows": 540, "psi": 0.31, "column": "age"}
    observed = {
        "since": "2026-01-01T11:59:00Z",
        "until": "2026-01-01T12:00:00Z",
        "requests": 120,
        "refused": 3,
        "errors": 1,
        "rows": 540,
        "p50_ms": 0.8,
        "p99_ms": 3.25,
        "drift": drift,
    }
    platform.models["wine"].update(observed=observed)

    assert placet("status", "wine", "--json").document["observed"] == observed
    shown = placet("status", "wine").out
    assert (
        "\nasked        120 requests until 2026-01-01T12:00:00Z, 3 refused, 1 failed, 99 % answered within 3.25 ms"
        "\ndrift        psi 0.31 in age, of 540 rows\n"
    ) in shown
    platform.models["wine"].update(observed=observed | {"p50_ms": None, "p99_ms": None, "drift": None})
    assert "1 failed\nurl" in placet("status", "wine").out


def test_status_shows_what_is_to_be_looked_at(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    warning = {"rule": "operation.warnings-heeded", "why": "errors is 0.5, over 0.1", "fix": "see its log"}
    platform.models["wine"].update(warnings=[warning])

    assert placet("status", "wine", "--json").document["warnings"] == [warning]
    shown = placet("status", "wine").out
    assert "warning      operation.warnings-heeded: errors is 0.5, over 0.1\n  see its log\n" in shown


def test_status_says_that_a_certificate_ends_soon_and_how_it_is_renewed(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    ends = datetime.now(UTC) + timedelta(days=12, hours=1)  # noqa: TID251 (as who asks has the time)
    platform.models["wine"].update(certifiedUntil=ends.isoformat(), lapsing=False)
    assert "lapsing" not in placet("status", "wine").out
    platform.models["wine"].update(lapsing=True)
    told = "lapsing      its certificate ends in 12 days: placet certificate renew wine\n"
    assert told in placet("status", "wine").out
    assert placet("status", "wine", "--json").document["lapsing"] is True


def test_one_is_not_several() -> None:
    assert [counted(number, "event") for number in (0, 1, 2)] == ["0 events", "1 event", "2 events"]
    assert [counted(number, "advisory", "advisories") for number in (1, 2)] == ["1 advisory", "2 advisories"]


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (0.5, "within the hour"),
        (1, "in 1 hour"),
        (47, "in 47 hours"),
        (48, "in 2 days"),
        (-3, "within the hour"),
    ],
)
def test_how_far_off_it_is_in_words(hours: float, said: str) -> None:
    assert in_days(timedelta(hours=hours)) == said


def test_a_renewal_is_seen_through_as_a_deploy_is(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    assert placet("certificate", "renew", "wine").status == 1, "there is no such project yet"
    placet("deploy", str(project))
    ended = placet("certificate", "renew", "wine")
    assert (ended.status, ended.out) == (0, f"{platform.url}/models/wine\n")
    assert platform.commands[-1] == {"command": "renew", "project": "wine"}


def test_going_back_is_seen_through_as_a_deploy_is(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    assert placet("rollback", "wine").status == 1, "there is no such project yet"
    placet("deploy", str(project))
    ended = placet("rollback", "wine")
    assert (ended.status, ended.out) == (0, f"{platform.url}/models/wine\n")
    assert platform.commands[-1] == {"command": "rollback", "project": "wine"}
    again = placet("rollback", "wine", "--to", "1", "--json").document
    assert (again["state"], again["command"], again["backTo"]) == ("live", "deploy", 1)
    assert f"operation    {again['operation']} (deploy, back to release 1)" in placet("status", "wine").out
    assert platform.commands[-1] == {"command": "rollback", "project": "wine", "release": 1}
    assert placet("rollback", "wine", "--to", "0").status == 2
    assert placet("rollback").status == 2


def test_a_canary_and_replicas_are_asked_for_in_numbers(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    for words, asked in (
        (("deploy", str(project), "--canary", "10"), {"command": "deploy", "canary": 10}),
        (("promote", "wine", "--weight", "50"), {"command": "promote", "weight": 50}),
        (("promote", "wine"), {"command": "promote"}),
        (("abort", "wine"), {"command": "abort"}),
        (("scale", "wine", "3"), {"command": "scale", "replicas": 3}),
    ):
        assert placet(*words).status == 0
        told = {
            key: value for key, value in platform.commands[-1].items() if key not in ("project", "source")
        }
        assert told == asked
    for words in (
        ("deploy", str(project), "--canary", "100"),
        ("build", str(project), "--canary", "10"),
        ("promote", "wine", "--weight", "0"),
        ("scale", "wine", "0"),
        ("scale", "wine"),
    ):
        assert placet(*words).status == 2


def test_a_canary_is_told_from_what_serves_and_an_aborted_one_is_not_live(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    hint = "`placet promote wine` gives it all of them, `placet abort wine` ends it"
    assert hint not in placet("deploy", str(project)).err
    begun = placet("deploy", str(project), "--canary", "10").err
    assert "release 2 of wine serves as a canary, with 10 % of the requests" in begun
    assert hint in begun
    assert hint in placet("promote", "wine", "--weight", "50").err
    assert hint not in placet("promote", "wine").err
    ended = placet("abort", "wine").err
    assert "the canary of wine is ended; what it ran beside has all requests" in ended
    assert "is live" not in ended


def test_status_of_a_canarys_operation_says_that_it_is_one(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    serves = dict(platform.models["wine"])
    placet("deploy", str(project), "--canary", "10")
    operation = list(platform.operations)[-1]
    platform.models["wine"] = {**serves, "canary": {"release": 2, "weight": 10}}
    said = placet("status", operation)
    assert "state        live, as a canary with 10 % of the requests\n" in said.out
    assert "now " not in said.out
    followed = placet("status", operation, "--follow").err
    assert "release 2 of wine serves as a canary, with 10 % of the requests" in followed
    assert "is live" not in followed

    platform.models["wine"]["canary"] = None
    assert "now          release 1 of wine is live" in placet("status", operation).out


def test_what_is_no_number_and_no_name_is_told_with_what_it_was_for(placet: Placet) -> None:
    assert (
        "'0' is no number of replicas, from 1 on; `placet stop` runs none" in placet("scale", "wine", "0").err
    )
    assert "'X' is no team's name, which is 3 to 40" in placet("team", "assign", "wine", "X").err
    ended = placet("logs", "wine", "--replica", "0")
    assert (ended.status, "'0' is no replica's number; the first is 1" in ended.err) == (2, True)


def test_status_tells_of_replicas_and_of_a_canary_and_how_the_last_one_ended(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    canary = {"release": 2, "weight": 10, "image": IMAGE, "certificate": "certificate:2"}
    platform.models["wine"].update(replicas=3, canary=canary)
    said = placet("status", "wine").out
    assert "replicas     3\n" in said
    assert "state        live, with 90 % of the requests\n" in said
    shared = (
        "canary       release 2, with 10 % of the requests\n  placet promote wine, or: placet abort wine\n"
    )
    assert 0 < said.index(shared) < said.index("\nSTEP "), "what serves stands above how it came to that"
    aborted = {
        "release": 2,
        "why": "it failed 4 of 9 requests",
        "fix": "mend it",
        "at": "2026-01-01T00:00:00Z",
    }
    platform.models["wine"].update(canary=None, aborted=aborted)
    said = placet("status", "wine").out
    assert "aborted      release 2, a canary: it failed 4 of 9 requests\n  mend it\n" in said
    assert placet("status", "wine", "--json").document["aborted"] == aborted


def test_status_says_what_the_last_operation_came_to_and_what_became_of_that(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    """A canary that was aborted is not what its deploy once was."""
    placet("deploy", str(project))
    serves = dict(platform.models["wine"])

    def last(model: dict[str, Any], **of: Any) -> str:
        step = {"name": "live", "state": "done", "seconds": 0.1, "detail": of.pop("detail", "ready")}
        operation = {**serves["cause"], "operation": "01-2", "release": 2, "steps": [step], **of}
        platform.models["wine"] = {**serves, "operation": operation, **model}
        (said,) = [line for line in placet("status", "wine").out.splitlines() if line.startswith("last ")]
        return said

    canary = {"release": 2, "weight": 25}
    assert (
        last({"canary": canary}, share=10)
        == "last         deploy of release 2: live, as a canary with 25 % of the requests"
    )
    aborted = {"release": 2, "why": "it failed", "fix": None, "at": "2026-01-01T00:00:00Z"}
    assert last({"aborted": aborted}, share=10).endswith("it was live as a canary, and was aborted since")
    assert last({"aborted": aborted}, command="abort", detail="release 2 gets no more requests") == (
        "last         abort of release 2: release 2 gets no more requests"
    )
    assert last({}, command="scale", release=1, detail="3 replicas").endswith(
        "scale of release 1: 3 replicas"
    )
    assert last({}).endswith("deploy of release 2: it was live, and is no more")
    assert last({}, state="refused", steps=[]).endswith("deploy of release 2: refused")


def test_steps_that_are_worked_on_wait_or_have_not_come_are_told_apart(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    (operation,) = platform.operations

    def told(state: str, *steps: tuple[str, str, str | None]) -> list[list[str]]:
        shown = [{"name": name, "state": of, "seconds": None, "detail": detail} for name, of, detail in steps]
        platform.operations[operation] = [
            {**platform.operations[operation][-1], "state": state, "steps": shown}
        ]
        said = placet("status", operation).out.splitlines()
        names = [name for name, _, _ in steps]
        return [line.split(maxsplit=1) for line in said if line.split(" ")[0] in names]

    steps = (("built", "running", None), ("indexed", "waiting", None))
    assert told("reserved", *steps) == [["built", "under way"], ["indexed", "to come"]]
    assert told("failed", ("indexed", "failed", "gone"), ("certified", "waiting", None))[1] == [
        "certified",
        "not reached",
    ]
    [[_, waits], _] = told("built", ("reserved", "running", "1st in the queue: full"), steps[1])
    assert waits.split(maxsplit=1) == ["waiting", "1st in the queue: full"]
    [[_, people], after] = told(
        "awaiting", ("certified", "waiting", "people have until then"), ("live", "waiting", None)
    )
    assert (people.split(maxsplit=1)[0], after) == ("waiting", ["live", "to come"])


def test_a_canary_that_ended_for_another_is_told_of(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    assert "ended for it" not in placet("deploy", str(project), "--canary", "10").err
    platform.replaced = 2
    said = placet("deploy", str(project), "--canary", "10").err
    assert "release 3 of wine serves as a canary, with 10 % of the requests\n" in said
    assert "  the canary of release 2 ended for it\n" in said


def test_what_never_served_is_not_said_to_come_back_by_a_start(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    assert "`placet start wine` brings it back" in placet("stop", "wine").err
    platform.models["wine"]["release"] = None
    said = placet("stop", "wine").err
    assert "wine is stopped; nothing of it had served yet, and a deploy brings it up" in said
    assert "placet start" not in said


def test_a_refused_renewal_says_that_what_serves_goes_on(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    platform.outcome = "refused"
    ended = placet("certificate", "renew", "wine")
    assert ended.status == 1
    assert "renew of wine is refused" in ended.err
    assert "what serves goes on until its own certificate ends" in ended.err


def test_status_keeps_what_is_live_apart_from_what_the_last_operation_came_to(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    first = placet("deploy", str(project), "--json").document
    platform.outcome = "refused"
    second = placet("deploy", str(project), "--json").document
    document = placet("status", "wine", "--json").document
    assert document == {**first, **BESIDES, "last": second}
    shown = placet("status", "wine").out
    now, last = shown.split("\n\n", maxsplit=1)
    assert now.splitlines()[:4] == [
        "project      wine",
        "release      1",
        "state        live",
        f"url          {platform.url}/models/wine",
    ]
    assert second["operation"] not in now
    assert last.startswith("last         deploy of release 2: refused\n")
    assert f"operation    {second['operation']} (deploy)" in last
    assert "\n  owner-named: nobody owns it\n    fix: set governance.owner\n" in last
    assert first["operation"] not in last


def test_following_a_project_ends_as_its_last_operation_does(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    assert placet("status", "wine", "--follow").status == 0
    platform.outcome = "failed"
    placet("deploy", str(project))
    followed = placet("status", "wine", "--follow", "--json")
    assert (followed.status, followed.document["state"], followed.document["last"]["state"]) == (
        1,
        "live",
        "failed",
    )


@pytest.mark.parametrize(
    "source", ["ssh://example.org/x.git@main", "git@example.org:x.git", "nowhere", "sha256:XY"]
)
def test_a_source_that_cannot_be_meant_is_wrong_usage(
    placet: Placet, platform: FakePlatform, source: str
) -> None:
    ended = placet("deploy", source)
    assert ended.status == 2
    assert source in ended.err
    assert "usage: placet deploy" in ended.err


@pytest.mark.parametrize(
    "source", ["https://example.org/x.git@main", "git+http://example.org/x#subdirectory=a"]
)
def test_a_git_address_is_for_the_platform_to_fetch(
    placet: Placet, platform: FakePlatform, source: str
) -> None:
    ended = placet("deploy", source, "--project", "wine")
    assert ended.status == 0
    assert platform.commands == [{"command": "deploy", "project": "wine", "source": {"git": source}}]
    assert "fetched" in ended.err


def test_a_folder_without_a_manifest_is_not_sent(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    ended = placet("deploy", str(tmp_path / "empty"))
    assert ended.status == 1
    assert "placet init" in ended.err
    assert platform.requests == []


def test_a_platform_that_is_not_there_ends_with_3(
    placet: Placet, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = placet("deploy", str(project))
    assert nowhere.status == 3
    assert "placet up" in nowhere.err
    monkeypatch.setenv("PLACET_URL", "http://127.0.0.1:1")
    gone = placet("deploy", str(project), "--json")
    assert gone.status == 3
    assert gone.document["error"]["fix"].startswith("is `placet up` running?")
    monkeypatch.setenv("PLACET_URL", "127.0.0.1:1")
    mistyped = placet("list", "--json")
    assert mistyped.status == 2
    assert "set PLACET_URL" in mistyped.document["error"]["fix"]
    assert "usage" not in mistyped.err


def test_a_stream_that_breaks_is_not_noticed(placet: Placet, platform: FakePlatform, project: Path) -> None:
    platform.break_after = 3
    assert placet("deploy", str(project)).status == 0
    assert platform.resumed_from == ["3"]


def test_words_of_others_do_not_steer_the_terminal(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    platform.models["wine"]["url"] = "http://x/\x1b[2J"
    assert "\x1b" not in placet("list").out
    assert "\\x1b[2J" in placet("list").out


async def test_an_interrupted_wait_leaves_the_operation_and_says_how_to_follow_it(
    platform: FakePlatform, project: Path
) -> None:
    platform.holds = True
    command = [sys.executable, "-m", "placet.cli", "deploy", str(project), "--json"]
    process = subprocess.Popen(  # noqa: ASYNC220 (started, not waited for)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        await eventually(lambda: any(path.endswith("/events") for _, path in platform.requests))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    operation = next(iter(platform.operations))
    assert process.returncode == 130, err
    assert f"placet status {operation} --follow" in err
    assert operation in out
    assert "Traceback" not in err


def interrupted_while_packing(*typed: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that gets a Ctrl-C when it opens the archive to be written."""
    look = (
        "import os, signal, sys\n"
        "waiting = [signal.SIGINT]\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('source.tar') and waiting:\n"
        "        os.kill(os.getpid(), waiting.pop())\n"
        "sys.addaudithook(hook)\n"
        "from placet.cli.entry import run\n"
        "sys.exit(run())"
    )
    return subprocess.run([sys.executable, "-c", look, *typed], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("verb", ["deploy", "build", "check"])
def test_what_is_interrupted_has_not_failed_and_nothing_is_sent(
    platform: FakePlatform, project: Path, verb: str
) -> None:
    ended = interrupted_while_packing(verb, str(project))
    assert (ended.returncode, ended.stdout) == (130, "")
    assert "failed" not in ended.stderr
    assert "Traceback" not in ended.stderr
    said = ended.stderr.splitlines()
    if verb == "check":
        assert said == [f"placet: the check of {project} was interrupted"]
    else:
        assert said[0].split()[:2] == ["interrupted", "packed"]
        assert said[1:] == [f"placet: {verb} of {project} was interrupted before the platform had answered"]
    # `check` has asked by which policies.
    assert set(platform.requests) <= {("GET", "/v1/me"), ("GET", "/v1/policies")}


def test_what_is_interrupted_is_one_document_with_json(platform: FakePlatform, project: Path) -> None:
    for verb in ("deploy", "check"):
        ended = interrupted_while_packing(verb, str(project), "--json")
        assert ended.returncode == 130
        assert "was interrupted" in json.loads(ended.stdout)["error"]["detail"]


def test_what_waits_for_room_is_told_where_it_stands_and_only_when_that_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = PlainProgress(Screen(is_json=False))
    for detail in (None, "2nd in the queue: full", "2nd in the queue: full", "1st in the queue: full"):
        shown.show(Operation(state="cleared", steps=(Step(name="reserved", state="running", detail=detail),)))
    done = Step(name="reserved", state="done", seconds=9.0, detail="until noon")
    shown.show(Operation(state="reserved", steps=(done,)))
    assert capsys.readouterr().err.splitlines() == [
        "waiting  reserved            2nd in the queue: full",
        "waiting  reserved            1st in the queue: full",
        "done     reserved    9.00 s  until noon",
    ]
