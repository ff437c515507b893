"""A model's pages: which log is shown, what is said of what serves and does not, and what is waited for."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.client.fake_platform import ADMIN, AUDITOR, IMAGE, FakePlatform, release, replaced
from tests.unit.console.test_console_security import a_model, sign_in

LOGS = "/console/models/wine/logs"


@pytest.fixture
async def admin(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    await sign_in(browser, ADMIN)
    return browser


async def text(browser: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await browser.get(path)
    assert answer.status_code == status
    return unescape(answer.text)


@pytest.mark.parametrize(
    ("live", "asked", "shown"),
    [(5, "", 5), (5, "?release=6", 6), (5, "?release=3", 3), (None, "", 6), (6, "", 6)],
)
async def test_the_log_is_of_what_serves_unless_another_is_chosen(
    admin: httpx.AsyncClient, platform: FakePlatform, live: int | None, asked: str, shown: int
) -> None:
    a_model(platform, release=5)
    platform.started_last, platform.live = 6, live
    page = await text(admin, LOGS + asked)
    assert f"Log of release {shown}<" in page
    assert f'data-follow="/console/api/v1/models/wine/logs?release={shown}&follow=1&tail=500"' in page
    assert "line 5" in page


async def test_a_log_leads_to_those_of_what_serves_the_canary_and_what_was_started_last(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform, release=5, canary={"release": 7, "weight": 20})
    platform.started_last, platform.live = 8, 5
    page = await text(admin, LOGS)
    links = re.findall(r'<a href="(\?release=\d+)">(Release \d)</a>, ([a-z ]+[a-z])', page)
    assert links == [
        ("?release=5", "Release 5", "which serves"),
        ("?release=7", "Release 7", "the canary"),
        ("?release=8", "Release 8", "started last"),
    ]


@pytest.mark.parametrize("asked", ["x", "0", "-1", "1" * 10])
async def test_what_is_no_release_has_no_log(
    admin: httpx.AsyncClient, platform: FakePlatform, asked: str
) -> None:
    a_model(platform)
    assert "is no release" in await text(admin, f"{LOGS}?release={asked}", 400)


async def test_the_request_to_try_is_what_the_form_shows(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    platform.example = {"inputs": [[5.1, 3.5], [6.2, 2.9]]}
    page = await text(admin, "/console/models/wine/try")
    assert re.findall(r'data-name="(Value \d)" type="number" step="any" value="([\d.]+)"', page) == [
        ("Value 1", "5.1"),
        ("Value 2", "3.5"),
    ]
    [shown] = re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert json.loads(shown) == {"inputs": [[5.1, 3.5]]}


async def test_a_request_that_no_form_is_made_of_is_shown_whole(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    platform.example = {"inputs": [[[1], [2]], [[3], [4]]]}
    page = await text(admin, "/console/models/wine/try")
    [shown] = re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert json.loads(shown) == platform.example


async def test_a_command_is_called_the_same_wherever_it_is_told_of(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    back = {
        "operation": "1",
        "command": "deploy",
        "project": "wine",
        "release": 3,
        "backTo": 1,
        "state": "live",
    }
    a_model(platform, release=3, operation=back)
    platform.operations["1"] = [{**back, "steps": []}]
    of_model = await text(admin, "/console/models/wine")
    assert '<a href="/console/operations/1">Go back to release 1 of wine</a>: live' in of_model
    of_operation = await text(admin, "/console/operations/1")
    assert '<span aria-current="page">Go back to release 1 of wine</span>' in of_operation
    assert "<h1>Go back to release 1 of wine</h1>" in of_operation


@pytest.mark.parametrize(
    ("said", "heading"),
    [
        ({"state": "live"}, "What serves"),
        ({"state": "certified", "url": "http://x/models/wine"}, "What serves"),
        ({"state": "awaiting"}, "What is to serve"),
        ({"state": "stopped", "url": "http://x/models/wine"}, "What served last"),
        ({"state": "quarantined"}, "What served last"),
        ({"state": "failed", "cause": {"state": "live"}}, "What served last"),
        ({"state": "failed", "cause": {"state": "failed"}}, "Nothing serves"),
        ({"state": "refused", "release": None}, "Nothing serves"),
    ],
)
async def test_whether_a_model_serves_is_said(
    admin: httpx.AsyncClient, platform: FakePlatform, said: dict[str, Any], heading: str
) -> None:
    a_model(platform, **said)
    page = await text(admin, "/console/models/wine")
    assert f"<h2>{heading}</h2>" in page
    assert ("Nobody has asked it anything yet" in page) is (heading == "What serves")


@pytest.mark.parametrize(("token", "may"), [(ADMIN, True), (AUDITOR, False)])
async def test_who_would_try_a_model_that_is_stopped_is_led_to_start_it(
    browser: httpx.AsyncClient, platform: FakePlatform, token: str, may: bool
) -> None:
    await sign_in(browser, token)
    a_model(platform, state="stopped", url="http://x/models/wine")
    for page in ("/console/models/wine", "/console/models/wine/try"):
        shown = await text(browser, page)
        assert ('<a href="/console/models/wine#commands">Start it</a>' in shown) is may
        assert "placet list" not in shown
        assert "curl" not in shown
    assert "wine is stopped, so nothing can be asked of it." in shown
    assert '<section id="commands">' in await text(browser, "/console/models/wine")


AWAITS = '<a class="warn" href="/console/models/wine/approvals">Release 5 waits for approval</a>'


async def test_a_release_that_waits_beside_what_serves_is_seen(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    assert "waits for approval" not in await text(admin, "/console/models")
    a_model(platform, awaits=5)
    assert AWAITS in await text(admin, "/console/models")
    page = await text(admin, "/console/models/wine")
    assert 'Release 5 waits for approval: <a href="/console/models/wine/approvals">' in page


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"command": "deploy", "release": 6, "state": "failed"}, "Release 6 failed"),
        ({"command": "deploy", "release": 6, "state": "refused"}, "Release 6 was refused"),
        ({"command": "deploy", "state": "refused"}, "Deploy wine: refused"),
        ({"command": "scale", "release": 4, "state": "refused"}, "Scale wine: refused"),
        ({"command": "deploy", "release": 6, "state": "live"}, None),
        ({"command": "start", "release": 4, "state": "failed"}, "Start wine: failed"),
    ],
)
async def test_what_came_to_nothing_beside_what_serves_is_seen(
    admin: httpx.AsyncClient, platform: FakePlatform, last: dict[str, Any], said: str | None
) -> None:
    why = [{"rule": None, "why": "the sample was answered otherwise", "fix": None}]
    a_model(platform, release=4, operation={"operation": "6", "project": "wine", "refusals": why, **last})
    card, page = [await text(admin, path) for path in ("/console/models", "/console/models/wine")]
    assert (f'<a class="bad" href="/console/operations/6">{said}</a>' in card) is (said is not None)
    notice = f'<a href="/console/operations/6">{said}</a>: the sample was answered otherwise'
    assert (notice in page) is (said is not None)


async def test_what_failed_of_an_earlier_release_is_no_news_of_what_serves_since(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """As a start that failed while the release that serves now waited for approval."""
    failed = {"operation": "6", "project": "wine", "command": "start", "release": 1, "state": "failed"}
    came = {"operation": "5", "project": "wine", "command": "deploy", "release": 2, "state": "live"}
    a_model(platform, release=2, operation=failed, cause=came)
    card, page = [await text(admin, path) for path in ("/console/models", "/console/models/wine")]
    assert "Start wine" not in card + page
    assert '<a href="/console/operations/5">Deploy wine</a>: live' in page


@pytest.mark.parametrize(
    ("state", "stands", "offered"),
    [
        ("quarantined", "suspended", {"rollback", "delete"}),
        ("quarantined", "revoked", {"rollback", "delete"}),
        ("quarantined", "expired", {"rollback", "delete"}),
        ("quarantined", "valid", {"start", "delete"}),
        ("stopped", "valid", {"start", "delete"}),
    ],
)
async def test_no_start_is_offered_on_a_certificate_that_does_not_stand_but_what_helps(
    admin: httpx.AsyncClient, platform: FakePlatform, state: str, stands: str, offered: set[str]
) -> None:
    fix = "ask for a new one of it, `placet rollback wine --to 1`, or deploy it again"
    why = [{"rule": "eyes.seen", "why": "nobody saw it", "fix": fix}]
    a_model(platform, state=state, certificateState=stands, refusals=why)
    page = await text(admin, "/console/models/wine")
    assert set(re.findall(r'name="command" value="(\w+)"', page)) == offered
    assert ('<a href="/console/models/wine#commands">What can be done with wine</a>' in page) is True
    if "rollback" in offered:
        assert 'name="release" type="number" min="1" value="1"' in page
        assert "can be approved then" in page


@pytest.mark.parametrize("stands", ["suspended", "revoked", "expired"])
async def test_a_card_says_that_a_certificate_does_not_stand(
    admin: httpx.AsyncClient, platform: FakePlatform, stands: str
) -> None:
    until = {"certifiedUntil": "2099-01-01T00:00:00.000Z"}
    a_model(platform, certificateState="valid", **until)
    assert "</time> left" in await text(admin, "/console/models")
    a_model(platform, state="quarantined", certificateState=stands, **until)
    card = await text(admin, "/console/models")
    assert f'<span class="state {stands}">{stands}</span>' in card
    assert "</time> left" not in card


def rows(page: str) -> list[str]:
    """The words of each row, with its links."""
    [body] = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    found = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [re.sub(r"\s+", " ", re.sub(r"</?(?!a\b)[a-z]+[^>]*>", " ", each)) for each in found]


async def test_releases_of_one_image_have_a_row_each(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform, release=4, canary={"release": 5, "weight": 20})
    platform.releases = [
        release(5, state="canary", served="canary", liveAt=None, triedAt="2026-01-05T12:00:00.000Z"),
        release(4, backTo=1),
        replaced(3, 4, backTo=1),
        replaced(2, 3, command="renew"),
        replaced(1, 2),
    ]
    shown = rows(await text(admin, "/console/models/wine/releases"))
    numbers = [re.findall(r'<a href="/console/operations/operation-(\d)">\1</a>', row) for row in shown]
    assert numbers == [["5"], ["4"], ["3"], ["2"], ["1"]]
    for row, words in zip(
        shown,
        (
            "20 % of requests",
            "back to 1",
            "release 4 went back to 1",
            "release 3 renewed it",
            "release 2 took",
        ),
        strict=True,
    ):
        assert words in row
    assert [" now " in row for row in shown] == [True, True, False, False, False]
    links = [re.findall(r"comparison\?before=(\d)&after=(\d)", row) for row in shown]
    assert links == [[("4", "5")], [("3", "4")], [("2", "3")], [("1", "2")], []]


async def test_releases_are_paged_by_their_numbers(admin: httpx.AsyncClient, platform: FakePlatform) -> None:
    a_model(platform)
    platform.releases = [release(number) for number in range(60, 0, -1)]
    newest = await text(admin, "/console/models/wine/releases")
    assert (len(rows(newest)), '<a rel="next" href="?after=11">' in newest) == (50, True)
    assert ('value="59"' in newest, 'value="60"' in newest) == (True, True), "the newest two are compared"
    older = await text(admin, "/console/models/wine/releases?after=11")
    assert (len(rows(older)), "First page" in older, "Next page" in older) == (10, True, False)
    assert "before those" in await text(admin, "/console/models/wine/releases?after=1")
    assert "is no release" in await text(admin, "/console/models/wine/releases?after=x", 400)


async def test_releases_of_an_earlier_version_are_missed_and_how_they_come_back_is_said(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform, release=3)
    told = []
    for known in ([], [release(3)], [release(3), replaced(2, 3), replaced(1, 2)]):
        platform.releases = known
        told.append("placet audit rebuild gateway" in await text(admin, "/console/models/wine/releases"))
    assert told == [True, True, False]


async def test_why_a_release_serves_no_more_is_said_and_its_image_may_be_gone(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    ended = {"served": "before", "endedAt": "2026-01-03T12:00:00.000Z"}
    platform.releases = [
        release(3, state="refused", served="never", image=None, liveAt=None),
        release(2, state="quarantined", ended="quarantined", why="`x` was revoked", vanished=True, **ended),
        release(1, state="certified", served="never", command="build", liveAt=None),
    ]
    a_model(platform)
    shown = rows(await text(admin, "/console/models/wine/releases"))
    assert "refused" in shown[0]
    assert "never" in shown[0]
    assert "not in the registry any more" in shown[1]
    assert "was revoked" in shown[1]
    assert "built only" in shown[2]


async def test_releases_of_one_image_are_compared(admin: httpx.AsyncClient, platform: FakePlatform) -> None:
    a_model(platform)
    platform.images = [{"image": IMAGE, "project": "wine", "release": 1}]
    platform.releases = [release(3), replaced(2, 3, backTo=1), replaced(1, 2)]
    comparison = "/console/models/wine/comparison"
    page = await text(admin, f"{comparison}?before=1&after=3")
    assert "Nothing differs between release 1 and release 3." in page
    assert "no release 4" in await text(admin, f"{comparison}?before=4&after=1", 404)
    assert "choose both" in await text(admin, f"{comparison}?before=1", 400)
    assert "is no release" in await text(admin, f"{comparison}?before=x&after=1", 400)


async def test_what_came_to_no_image_is_compared_as_far_as_it_came(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    platform.releases = [release(2, image=None, source="sha256:2"), release(1, source="sha256:1")]
    page = await text(admin, "/console/models/wine/comparison?before=1&after=2")
    assert "release 2 came to no image" in page


OURS = {
    "time": "2026-01-02T04:00:00.123+00:00",
    "level": "warning",
    "event": "loaded the <b>model",
    "project": "wine",
}


def lines(page: str) -> list[str]:
    """As they came, with their markup."""
    [log] = re.findall(r'<div id="log"[^>]*>\n(.*?)  </div>\n', page, re.DOTALL)
    return re.findall(r"^    <div>(.*?)</div>$", log, re.DOTALL | re.MULTILINE)


async def shown_of(admin: httpx.AsyncClient, platform: FakePlatform, *log: str) -> list[str]:
    a_model(platform)
    platform.log = list(log)
    answer = await admin.get(LOGS)
    assert answer.status_code == 200
    return lines(answer.text)


async def test_a_line_of_our_runtime_is_told_apart_and_nothing_of_it_is_lost(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    said = {
        **OURS,
        "port": 8080,
        "error": "ValueError('<i>')",
        "model": None,
        "traceback": "Traceback\n  <script>alert(1)</script>\n",
    }
    [shown] = await shown_of(admin, platform, json.dumps(said))
    assert shown == (
        '<span class="soft">2026-01-02 04:00:00.123</span> <span class="level warn">warning</span> '
        'loaded the &lt;b&gt;model <span class="soft">project=wine</span> <span class="soft">port=8080</span> '
        '<span class="soft">error=&#34;ValueError(&#39;&lt;i&gt;&#39;)&#34;</span> '
        '<span class="soft">model=null</span>'
        '<details><summary>traceback</summary><pre tabindex="0">Traceback\n'
        "  &lt;script&gt;alert(1)&lt;/script&gt;\n</pre></details>"
    )


@pytest.mark.parametrize(
    "written",
    [
        "INFO: started <script>alert(1)</script>",
        '{"time": "now", "level": "info"}',
        '{"time": "now", "level": "info", "event": 1}',
        '{"time": "now", "level": "info", "event": "cut off',
        '["time", "level", "event"]',
        "{" * 60_000,
        '{"a":' * 10_000,
        "\N{REPLACEMENT CHARACTER}{}",
    ],
)
async def test_any_other_line_stands_as_it_was(
    admin: httpx.AsyncClient, platform: FakePlatform, written: str
) -> None:
    [shown] = await shown_of(admin, platform, written)
    assert unescape(shown) == written
    assert "<script" not in shown


async def test_each_line_can_be_had_as_it_was_written(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    platform.log = [json.dumps(OURS), '{"time":"t","level":"l","event":"e","twice":1,"twice":2}']
    page = await text(admin, f"{LOGS}?release=1&raw=1")
    assert "\n".join(platform.log) in page
    assert 'href="?release=1">Show it as people read it' in page
    assert 'href="?release=1&raw=1">Show each line as it was written' in await text(
        admin, f"{LOGS}?release=1"
    )


async def test_a_time_that_is_none_is_shown_all_the_same(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    [shown] = await shown_of(admin, platform, json.dumps({**OURS, "time": "noon", "level": "shouting"}))
    assert '<span class="soft">noon</span> <span class="level soft">shouting</span>' in shown


def python_of(page: str) -> str:
    found = re.search(r'<pre id="python"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": [{"age": 3, "is_new": True, "of": None, "name": 'O\'Hara "x"'}]},
        {"inputs": [{f"column-{number}": number for number in range(99)}, {}]},
        {"inputs": [[[number] for number in range(500)]]},
    ],
)
async def test_the_snippets_work_as_they_are_copied(
    admin: httpx.AsyncClient, platform: FakePlatform, tmp_path: Path, request_: Any
) -> None:
    """With what is saved from the page, where they read it from a file."""
    a_model(platform, url=f"{platform.url}/models/wine")
    platform.example = request_
    page = await text(admin, "/console/models/wine/try")
    [curl] = re.findall(r'<pre id="curl"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert max(len(curl), len(python_of(page))) < 1000
    is_long = len(json.dumps(request_)) > 1000
    assert ("@wine-sample.json" in curl) is is_long
    assert ('href="/console/models/wine/sample" download="wine-sample.json"' in page) is is_long
    saved = await admin.get("/console/models/wine/sample")
    assert saved.headers["content-disposition"] == 'attachment; filename="wine-sample.json"'
    assert saved.json() == request_
    (tmp_path / "wine-sample.json").write_bytes(saved.content)
    shell = [("sh", "-c", curl)] if shutil.which("curl") else []
    for program in (*shell, (sys.executable, "-c", python_of(page))):
        before = len(platform.predicted)
        done = await asyncio.to_thread(
            subprocess.run, program, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        [sent] = platform.predicted[before:]
        assert sent == request_ if is_long else sent["inputs"] == request_["inputs"][:1]


async def test_a_snippet_takes_the_token_from_where_the_shell_has_it(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform, url=f"{platform.url}/models/wine")
    platform.example, platform.example_access = {"inputs": [1]}, "token"
    code = python_of(await text(admin, "/console/models/wine/try"))
    assert "os.environ['PLACET_TOKEN']" in code
    compile(code, "snippet", "exec")
    assert code.startswith("import os\n\nimport httpx\n")


async def test_of_what_says_nothing_there_is_no_sample_to_save(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    assert "is not served" in await text(admin, "/console/models/wine/sample", 404)
