"""list, fetch, logs, events, audit replay and token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import IMAGE, SCIENTIST, FakePlatform, event, release, replaced


def test_list_shows_models_as_a_table_or_as_json(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    table = placet("list").out.splitlines()
    assert table[0].split() == ["PROJECT", "RELEASE", "STATE", "CANARY", "URL"]
    assert table[1].split() == ["wine", "1", "live", "-", f"{platform.url}/models/wine"]
    assert placet("list", "--json").document == {
        "models": [
            {
                "project": "wine",
                "release": 1,
                "state": "live",
                "detail": None,
                "url": f"{platform.url}/models/wine",
                "image": IMAGE,
                "certificate": "certificate:1",
                "replicas": None,
                "canary": None,
                "aborted": None,
                "trial": False,
                "certifiedUntil": None,
                "certificateState": None,
                "lapsing": False,
                "awaits": None,
            }
        ]
    }


def test_who_asks_too_often_is_told_that_it_is_asked_again(placet: Placet, platform: FakePlatform) -> None:
    platform.too_many_for = 1
    listed = placet("list", "--json")
    assert listed.document == {"models": []}
    assert listed.err.startswith("you read more often than one person may here; asking again in 1 s\n")


def test_releases_of_one_image_are_each_shown_with_what_took_their_place(
    placet: Placet, platform: FakePlatform
) -> None:
    renewed = replaced(2, 3, command="renew")
    platform.releases = [release(4), replaced(3, 4, backTo=1), renewed, replaced(1, 2)]
    table = placet("releases", "wine").out.splitlines()
    assert table[0].split() == ["RELEASE", "STATE", "LIVE", "ENDED", "WHY", "IMAGE", "CERTIFICATE"]
    assert [line.split()[:2] for line in table[1:]] == [
        ["4", "live"], ["3", "replaced"], ["2", "replaced"], ["1", "replaced"],
    ]  # fmt: skip
    assert "release 4 went back to 1" in table[2]
    assert "release 3 renewed it" in table[3]
    assert "2026-01-01T12:00Z  2026-01-02T12:00Z  release 2 took its place" in table[4]
    document = placet("releases", "wine", "--json").document
    assert [each["release"] for each in document["releases"]] == [4, 3, 2, 1]
    assert document["releases"][1]["replacedBy"]["backTo"] == 1


def test_what_is_being_mended_is_told_with_why_wherever_it_is_shown(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    operation = placet("deploy", str(project), "--json").document["operation"]
    platform.models["wine"].update(state="certified", detail="starting again: it ended")
    assert "certified, starting again: it ended" in placet("list").out
    assert "certified, starting again: it ended" in placet("status", "wine").out
    assert "wine is certified, starting again: it ended;" in placet("status", operation).out
    document = placet("status", "wine", "--json").document
    assert (document["state"], document["detail"]) == ("certified", "starting again: it ended")


def test_a_trial_is_told_with_its_end(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    assert "trial" not in placet("list").out + placet("status", "wine").out
    platform.models["wine"].update(trial=True, certifiedUntil="2026-01-31T12:00:59.123Z")
    for words in (("list",), ("status", "wine")):
        assert "live, a trial until 2026-01-31T12:00Z" in placet(*words).out
    document = placet("status", "wine", "--json").document
    assert (document["trial"], document["certifiedUntil"]) == (True, "2026-01-31T12:00:59.123Z")
    assert placet("list", "--json").document["models"][0]["trial"] is True


def test_a_deleted_project_is_listed_on_demand(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    placet("delete", "wine")
    assert placet("list", "--json").document == {"models": []}
    assert placet("list", "--all", "--json").document["models"][0]["state"] == "deleted"
    assert placet("list", "--all", "--images").status == 2


def test_list_shows_a_canary_with_its_share(placet: Placet, platform: FakePlatform, project: Path) -> None:
    placet("deploy", str(project))
    platform.models["wine"]["canary"] = {"release": 2, "weight": 10}
    assert placet("list").out.splitlines()[1].split()[3:] == ["2,", "10", "%", f"{platform.url}/models/wine"]


def test_list_of_nothing_is_an_empty_list(placet: Placet, platform: FakePlatform) -> None:
    assert placet("list", "--json").document == {"models": []}
    assert placet("list").status == 0


def test_list_of_images(placet: Placet, platform: FakePlatform) -> None:
    platform.images = [
        {
            "image": IMAGE,
            "project": "wine",
            "release": 1,
            "format": "sklearn",
            "certificate": None,
            "certificateState": "none",
            "served": "never",
            "indexedAt": "2026-01-31T12:00:59.123Z",
            "owner": "ada@example.org",
            "metrics": [{"metric": "accuracy", "value": 0.9}],
        }
    ]
    listed = placet("list", "--images", "--json").document["images"][0]
    assert {"image", "project", "release", "format", "certificate"} <= set(listed)
    assert listed["metrics"] == [{"metric": "accuracy", "value": 0.9}]
    assert placet("list", "--images").out.splitlines()[1].split() == [
        *(IMAGE, "wine", "1", "sklearn", "never", "2026-01-31T12:00Z", "ada@example.org", "none")
    ]


def test_a_search_that_is_misspelt_is_wrong_usage(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("list", "--images", "--format", "sklern")
    assert ended.status == 2
    assert ended.err.startswith("placet: 'sklern' is no format\n")
    assert "usage: placet list" in ended.err


def test_images_are_searched_by_what_is_asked_of_them(placet: Placet, platform: FakePlatform) -> None:
    platform.images = [{"image": IMAGE, "project": "wine", "certificate": "certificate:1", "vanished": True}]
    words = "list --images --project wine --format onnx --owner ada@example.org --certificate valid"
    ended = placet(*words.split(), "--metric", "accuracy>=0.9", "--metric", "f1")
    assert platform.searches == [
        [
            ("project", "wine"),
            ("format", "onnx"),
            ("owner", "ada@example.org"),
            ("certificate", "valid"),
            ("metric", "accuracy>=0.9"),
            ("metric", "f1"),
        ]
    ]
    assert "vanished from the registry" in ended.out
    assert placet("list", "--images", "--json").document["images"][0]["vanished"] is True


def test_a_search_that_finds_nothing_says_so(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("list", "--images", "--format", "onnx")
    assert (ended.status, "no image is so" in ended.err) == (0, True)


def test_what_is_served_is_not_searched(placet: Placet, platform: FakePlatform) -> None:
    ended = placet("list", "--format", "onnx")
    assert (ended.status, "add --images" in ended.err) == (2, True)


@pytest.mark.parametrize("state", ["valid", "suspended", "revoked", "expired"])
def test_whether_a_certificate_stands_is_told_before_it(
    placet: Placet, platform: FakePlatform, state: str
) -> None:
    platform.images = [{"image": IMAGE, "certificate": "certificate:1", "certificateState": state}]
    assert f"{state}  certificate:1" in placet("list", "--images").out


def test_a_project_is_fetched_out_of_an_image(
    placet: Placet, platform: FakePlatform, project: Path, tmp_path: Path
) -> None:
    deployed = placet("deploy", str(project), "--json").document
    platform.images = [{"image": IMAGE, "project": "wine", "release": 1, "source": deployed["source"]}]
    ended = placet("fetch", IMAGE[:12], str(tmp_path / "back"), "--json")
    assert ended.status == 0
    assert ended.document["directory"] == str(tmp_path / "back")
    assert (tmp_path / "back" / "model.skops").read_bytes() == (project / "model.skops").read_bytes()
    digits = IMAGE.removeprefix("sha256:")
    assert placet("fetch", digits[:8], str(tmp_path / "by-digits")).status == 0
    assert "type sha256: and how it goes on" in placet("fetch", digits[:7]).err
    again = placet("fetch", IMAGE, str(tmp_path / "back"))
    assert again.status == 2
    assert "is there already" in again.err
    assert placet("fetch", IMAGE).out == "wine\n"
    assert (tmp_path / "wine" / "placet.yaml").is_file()


def test_an_altered_source_is_not_unpacked(
    placet: Placet, platform: FakePlatform, project: Path, tmp_path: Path
) -> None:
    deployed = placet("deploy", str(project), "--json").document
    platform.images = [{"image": IMAGE, "project": "wine", "source": deployed["source"]}]
    platform.archives[deployed["source"]] += bytes(512)
    ended = placet("fetch", IMAGE, str(tmp_path / "back"))
    assert ended.status == 1
    assert "altered" in ended.err
    assert not (tmp_path / "back").exists()


def test_logs_are_lines_or_one_document(placet: Placet, platform: FakePlatform) -> None:
    assert placet("logs", "wine").out.splitlines() == [f"line {number}" for number in range(1, 6)]
    assert placet("logs", "wine", "-n", "1", "--json").document == {
        "project": "wine",
        "release": 1,
        "lines": ["line 5"],
    }
    assert json.loads(placet("logs", "wine", "-f", "-n", "1", "--json").out) == {
        "project": "wine",
        "release": 1,
        "line": "line 5",
    }


@pytest.mark.parametrize("kind", [(), ("--build", "--release", "1")], ids=["a model", "a build"])
def test_a_log_that_is_followed_until_one_may_not_read_it_ends_in_an_error(
    placet: Placet, platform: FakePlatform, project: Path, kind: Sequence[str]
) -> None:
    placet("deploy", str(project))
    assert placet("logs", "wine", "-f", *kind).status == 0
    platform.hides_what_was_read = True
    ended = placet("logs", "wine", "-f", *kind)
    assert (ended.status, len(ended.out.splitlines()) > 1) == (1, True)
    assert "wine is private, and you have no role on it" in ended.err


def test_logs_say_whose_they_are_and_where_those_of_the_live_release_are(
    placet: Placet, platform: FakePlatform
) -> None:
    assert placet("logs", "wine").err == "release 1 of wine, which is live\n"
    platform.started_last = 2
    hint = "release 2 of wine; release 1 is live: `placet logs wine --release 1`\n"
    assert placet("logs", "wine").err == hint
    of_live = placet("logs", "wine", "--release", "1", "--json")
    assert (of_live.document["release"], of_live.err) == (1, "release 1 of wine, which is live\n")
    platform.live = None
    assert placet("logs", "wine").err == "release 2 of wine; none is live\n"


def test_what_the_builder_wrote_is_that_of_the_newest_release_unless_told(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    placet("deploy", str(project))
    newest = platform.models["wine"]["release"]
    ended = placet("logs", "wine", "--build")
    assert ended.out.splitlines() == [f"locked 3 packages for {newest}", "image sha256:1"]
    assert ended.err == f"the build of release {newest} of wine\n"
    assert placet("logs", "wine", "--build", "--release", "1", "--json").document == {
        "project": "wine",
        "release": 1,
        "lines": ["locked 3 packages for 1", "image sha256:1"],
    }
    followed = placet("logs", "wine", "--build", "-f", "--json").out.splitlines()
    assert json.loads(followed[0])["line"].endswith("to its end")
    assert placet("logs", "wine", "--build", "-n", "1").status == 2


def test_of_a_release_whose_image_was_there_the_build_that_made_it_is_named(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    placet("deploy", str(project))
    platform.unbuilt = {("wine", 2)}
    assert placet("logs", "wine", "--build").err == (
        "placet: there is no build log of wine 2 here\n"  # of an image that is in no index
    )
    image = platform.models["wine"]["image"]
    platform.images = [{"image": image, "project": "wine", "release": 1}]
    ended = placet("logs", "wine", "--build")
    assert ended.status == 1
    assert ended.err == (
        "placet: nothing was built for release 2 of wine: its image was there\n"
        "  fix: `placet logs wine --release 1 --build` shows how that was made\n"
    )


def test_of_what_was_deleted_a_release_is_to_be_named(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    placet("deploy", str(project))
    deletion = {"operation": "01", "command": "delete", "project": "wine", "state": "deleted"}
    platform.models["wine"] = {
        "project": "wine",
        "state": "deleted",
        "cause": deletion,
        "operation": deletion,
    }
    ended = placet("logs", "wine", "--build")
    assert ended.status == 1
    assert ended.err == (
        "placet: wine is deleted, and which release was its newest is not known any more\n"
        "  fix: name it with --release; `placet list --images --project wine` shows those that have an image\n"
    )
    assert placet("logs", "wine", "--build", "--release", "1").status == 0


def test_a_build_that_has_not_begun_is_told_from_none_and_waited_for_while_followed(
    placet: Placet, platform: FakePlatform
) -> None:
    under_way = {"operation": "0", "command": "deploy", "project": "wine", "release": 1, "state": "cleared"}
    platform.models["wine"] = {"project": "wine", "state": "cleared", "operation": under_way}
    platform.builds_begin_after = 3
    ended = placet("logs", "wine", "--build")
    assert ended.status == 1
    assert ended.err == (
        "placet: the build of release 1 of wine has not begun: it is cleared\n"
        "  fix: `placet logs wine --release 1 --build -f` waits for it\n"
    )
    followed = placet("logs", "wine", "--build", "-f")
    assert (followed.status, platform.builds_begin_after) == (0, 0)
    assert followed.out.splitlines() == ["locked 3 packages for 1 to its end", "image sha256:1"]
    assert followed.err.splitlines() == [
        "the build of release 1 of wine is waited for: it is cleared",
        "the build of release 1 of wine",
    ]
    platform.unbuilt = {("wine", 1)}
    platform.models["wine"]["operation"] = {**under_way, "state": "refused"}
    over = placet("logs", "wine", "--build", "-f")
    assert over.err == "placet: there is no build log of wine 1 here\n"


def test_of_a_release_that_was_never_built_the_log_of_its_build_is_named(
    placet: Placet, platform: FakePlatform
) -> None:
    platform.never_ran = {"wine"}
    assert "nothing of 'wine' ever ran here\n  fix: see `placet list`" in placet("logs", "wine").err
    failed = {"name": "built", "state": "failed"}
    last = {"operation": "0", "project": "wine", "release": 3, "state": "failed", "steps": [failed]}
    platform.models["wine"] = {"project": "wine", "state": "failed", "operation": last}
    ended = placet("logs", "wine")
    assert ended.status == 1
    assert ended.err == (
        "placet: release 3 of wine never ran: its build failed\n"
        "  fix: `placet logs wine --release 3 --build` shows what the builder wrote\n"
    )
    assert "never ran: its build" not in placet("logs", "wine", "--release", "2").err


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_events_are_one_cloudevent_a_line(
    placet: Placet, platform: FakePlatform, form: tuple[str, ...]
) -> None:
    platform.events = [event(1), event(2, project="beer"), event(3), event(4, type="placet.x.v1")]
    lines = placet("events", "--from", "2", "--project", "wine", *form).out.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 4]
    lines = placet("events", "--type", "placet.x.v1", *form).out.splitlines()
    assert [json.loads(line)["specversion"] for line in lines] == ["1.0"]


def test_a_replay_prints_events_with_their_positions(placet: Placet, platform: FakePlatform) -> None:
    platform.events = [event(1), event(2, project="beer"), event(3), event(4)]
    lines = placet("audit", "replay", "--project", "wine", "--until", "3").out.splitlines()
    replayed = [json.loads(line) for line in lines]
    assert [(seen["sequence"], seen["producerposition"], seen["producerepoch"]) for seen in replayed] == [
        (1, 1, "e1"),
        (3, 3, "e1"),
    ]
    assert replayed[0]["id"] == "e1"
    assert len(placet("audit", "replay", "--from", "2").out.splitlines()) == 3


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("audit replay --project nobody", "the log has no event of a project called 'nobody'"),
        (
            "audit replay --project beer --until 1",
            "the log has no event of a project called 'beer' between positions 1 and 1",
        ),
        ("audit replay --from 9", "the log has no event from position 9 on"),
        ("events --project nobody", "the log has no event of a project called 'nobody'"),
        ("events --type placet.x.*", "the log has no event of a type like 'placet.x.*'"),
        (
            "events --type placet.x.v1 --project beer --from 2",
            "the log has no event of a type like 'placet.x.v1' of a project called 'beer' from position 2 on",
        ),
    ],
)
def test_a_log_that_holds_nothing_of_what_was_asked_says_so_beside_stdout(
    placet: Placet, platform: FakePlatform, typed: str, said: str, form: tuple[str, ...]
) -> None:
    platform.events = [event(1), event(2, project="beer")]
    ended = placet(*typed.split(), *form)
    assert (ended.status, ended.out, ended.err) == (0, "", f"{said}\n")


def test_what_was_told_needs_no_words_beside_it(placet: Placet, platform: FakePlatform) -> None:
    platform.events = [event(1), event(2, project="beer")]
    for typed in ("audit replay --project beer", "events --project beer", "events --type placet.*"):
        assert placet(*typed.split()).err == ""


def test_a_hole_in_the_audit_log_ends_the_replay_with_1(placet: Placet, platform: FakePlatform) -> None:
    platform.events = [event(1), event(3)]
    ended = placet("audit", "replay")
    assert ended.status == 1
    assert "from position 1 to 3" in ended.err


def test_a_token_is_alone_on_stdout(placet: Placet, platform: FakePlatform) -> None:
    made = placet(
        "token", "create", "--as", " ada ", "--role", "approver", "--role", "auditor", "--ttl", "30d"
    )
    assert (made.status, made.out) == (0, "new-token\n")
    assert " for ada (" in made.err
    assert platform.tokens["t1"] == {"as": "ada", "roles": ["approver", "auditor"], "ttl": 30 * 86400}
    assert placet("token", "revoke", "t1", "--json").document == {"id": "t1", "revoked": True}
    assert placet("token", "revoke", "t1").status == 1
    whole = placet("token", "revoke", "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJ0MSJ9.c2lnbmVk")
    assert whole.status == 2
    assert "this is the token itself; give its id, which `placet token list` tells" in whole.err
    assert "eyJ" not in whole.err
    platform.tokens["t0"] = {"as": "grace", "roles": ["admin"]}
    platform.tokens["t2"] = {"as": "ada", "roles": ["approver", "auditor"]}
    platform.revoked_tokens = ["t0"]
    listed = placet("token", "list").out.splitlines()
    assert listed[0].split()[:4] == ["TOKEN", "PERSON", "NAME", "ROLES"]
    assert listed[1].split() == [
        *("t2", "person:1", "ada", "approver,", "auditor", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
    ]
    assert listed[2].split()[-1] == "revoked"
    told = placet("token", "list", "--json").document["tokens"]
    assert [(each["id"], each["revoked"]) for each in told] == [("t2", False), ("t0", True)]
    assert list(told[0]) == ["id", "person", "name", "roles", "issuedAt", "expires", "revoked"]
    platform.tokens = {}
    fields = list(placet("token", "create", "--as", "bob", "--role", "admin", "--json").document)
    assert fields == ["token", "id", "person", "roles", "expires"]


def test_for_a_providers_token_there_is_one_that_models_take(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert placet("token", "own").status == 1
    platform.guests = lambda token: token == "of-a-provider"
    monkeypatch.setenv("PLACET_TOKEN", "of-a-provider")
    made = placet("token", "own")
    assert (made.status, made.out) == (0, "own-token\n")
    assert "scientist" in made.err
    assert placet("token", "own", "--json").document["token"] == "own-token"


def test_who_may_not_is_told_so(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    ended = placet("token", "create", "--as", "ada", "--role", "admin", "--json")
    assert ended.status == 1
    assert ended.document["error"]["detail"] == "only an admin makes tokens"
    monkeypatch.setenv("PLACET_TOKEN", "expired")
    assert placet("list").err == (
        "placet: no valid token\n"
        "  fix: set PLACET_TOKEN to a valid token; an admin makes one with `placet token create`\n"
    )


ITEM = {"kind": "image", "digest": IMAGE, "project": "wine", "release": 1, "bytes": 67_000_000, "why": "old"}


def test_garbage_is_listed_and_nothing_removed(placet: Placet, platform: FakePlatform) -> None:
    platform.garbage = [ITEM]
    ended = placet("garbage", "--older-than", "90")
    assert ended.out.splitlines()[1].split() == [
        *("remove", "image", IMAGE, "wine", "1", "67.0", "MB", "old"),
    ]
    assert "`placet garbage --collect` removes 1 of 1, 67.0 MB" in ended.err
    assert (platform.garbage, platform.searches) == ([ITEM], [[("olderThan", "90")]])
    assert placet("garbage", "--json").document == {"remove": [ITEM], "keep": [], "bytes": 67_000_000}


def test_garbage_is_removed_on_demand(placet: Placet, platform: FakePlatform) -> None:
    platform.garbage = [ITEM]
    ended = placet("garbage", "--collect")
    assert (ended.status, "1 removed, 67.0 MB" in ended.err) == (0, True)
    assert platform.garbage == []
    assert "there is no garbage" in placet("garbage").err


def test_a_registry_that_removes_nothing_is_told_with_what_to_do(
    placet: Placet, platform: FakePlatform
) -> None:
    platform.garbage, platform.is_undeletable = [ITEM], True
    ended = placet("garbage", "--collect")
    assert (ended.status, "allow deletions" in ended.err) == (1, True)
    assert placet("garbage", "--collect", "--json").document["stopped"]["fix"] == "allow deletions"
    assert placet("garbage", "--older-than", "0").status == 2
