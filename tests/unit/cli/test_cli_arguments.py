"""What is typed: help for every verb, and status 2 for what cannot be meant."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from placet import projects
from placet.cli.arguments import PROJECT_NAME, RESERVED_NAME, VERBS
from placet.projects import PROJECT_PATTERN

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import FakePlatform


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.words)
def test_every_verb_has_help_with_an_example(placet: Placet, verb: object) -> None:
    words = str(getattr(verb, "words", ""))
    ended = placet(*words.split(), "--help")
    assert ended.status == 0
    assert f"usage: placet {words}" in ended.out
    assert f"example:\n  placet {words}" in ended.out
    assert "--json" in ended.out
    assert all(len(line) <= 100 for line in ended.out.splitlines())


def test_the_first_page_names_every_verb(placet: Placet) -> None:
    page = placet("--help").out
    assert all(f"  {verb.words} " in page for verb in VERBS)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "fly",
        "audit",
        "token",
        "deploy",
        "deploy a b",
        "stop",
        "list --image",
        "events --from 0",
        "events --from x",
        "up --port 70000",
        "token create --as ada",
        "token create --as ada --role king",
        "token create --as ada --role admin --ttl 30",
        "logs wine --tail 0",
        "logs wine --release 0",
        "logs wine --release 99999999999",
        "fetch wine",
        "stop Wine!",
        "stop ai",
        "logs a/b",
        "status Wine!",
        "status a/b",
        "deploy . --project Wine",
        "deploy . --project platform",
        "token create --as ada --role admin --ttl 59s",
        "token create --as ada --role admin --ttl 367d",
        "audit replay --from 5 --until 3",
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(placet: Placet, typed: str) -> None:
    ended = placet(*typed.split())
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.startswith("placet: ")
    assert "\n  fix: " in ended.err
    assert "\nusage: placet" in ended.err


def test_what_is_empty_is_no_name(placet: Placet) -> None:
    for typed in (["stop", ""], ["status", ""], ["token", "create", "--as", " ", "--role", "admin"]):
        assert placet(*typed).status == 2


@pytest.mark.parametrize(
    "typed",
    [
        "stop", "start", "delete", "logs", "status", "events --project", "audit replay --project",
        "deploy . --project", "build . --project",
    ],
)  # fmt: skip
def test_what_no_project_is_called_is_told_what_one_is_called(placet: Placet, typed: str) -> None:
    ended = placet(*typed.split(), "BAD name")
    assert (ended.status, ended.out) == (2, "")
    assert "'BAD name' is n" in ended.err
    assert "3 to 40 lower-case letters, digits and hyphens" in ended.err


def test_a_project_is_called_here_what_it_may_be_called_there() -> None:
    assert f"^{PROJECT_NAME}$" == PROJECT_PATTERN
    assert RESERVED_NAME == projects.RESERVED_NAME


def test_a_mistyped_verb_is_answered_with_the_nearest_one(placet: Placet) -> None:
    assert placet("deplyo", ".").err == (
        "placet: there is no verb 'deplyo'\n"
        "  fix: is `placet deploy` meant? `placet --help` names all\n"
        "usage: placet VERB [options]\n"
    )
    assert "is `placet audit replay` meant?" in placet("audit", "replya").err
    assert "is `placet audit replay` meant?" in placet("replay").err
    assert "  fix: `placet --help` names all\n" in placet("zzz").err


def test_a_mistyped_role_is_answered_with_the_nearest_one(placet: Placet) -> None:
    ended = placet("token", "create", "--as", "ada", "--role", "scientits")
    assert ended.status == 2
    assert ended.err.startswith(
        "placet: there is no role 'scientits'\n"
        "  fix: is `scientist` meant? `placet token create --help` names all\n"
    )


@pytest.mark.parametrize(
    ("typed", "near", "usage"),
    [
        ("list --jsn", "is `--json` meant? `placet list --help` names all", "placet list"),
        ("deploy --no-wiat", "is `--no-wait` meant? `placet deploy --help` names all", "placet deploy"),
        ("audit replay --projct=wine", "is `--project` meant? ", "placet audit replay"),
        ("--verison", "is `--version` meant? `placet --help` names all", "placet VERB"),
        ("--json list", "a verb's options stand after it; ", "placet VERB"),
        ("audit --json replay", "a verb's options stand after it; ", "placet audit VERB"),
        ("list --zzz", "`placet list --help` names all", "placet list"),
    ],
)
def test_a_mistyped_option_is_answered_with_the_nearest_one(
    placet: Placet, typed: str, near: str, usage: str
) -> None:
    option = next(word for word in typed.split() if word.startswith("--")).partition("=")[0]
    ended = placet(*typed.split())
    assert ended.status == 2
    assert f"placet: there is no option {option!r}\n  fix: {near}" in ended.err
    assert f"\nusage: {usage} " in ended.err


@pytest.mark.parametrize("typed", [("--within", "-3d"), ("--within=-3d",), ("--within", "-3")])
def test_a_span_below_nothing_is_told_what_a_span_is(placet: Placet, typed: tuple[str, ...]) -> None:
    ended = placet("audit", "expiring", *typed)
    assert ended.status == 2
    assert "is no duration from 60s to 366d; write 30d, 12h or 45m" in ended.err


def test_what_is_a_value_is_no_option(placet: Placet) -> None:
    assert "there is no option" not in placet("fetch", "--", "--jsn").err


def test_the_version_is_the_one_that_is_installed(placet: Placet) -> None:
    ended = placet("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"placet {version('placet-cli')}\n", "")


@pytest.mark.parametrize("typed", ["list --image --json", "fetch wine --json", "--json fly"])
def test_wrong_usage_is_one_document_with_json(placet: Placet, typed: str) -> None:
    ended = placet(*typed.split())
    assert ended.status == 2
    assert set(ended.document["error"]) == {"detail", "rule", "fix"}
    assert ended.document["error"]["fix"]


def loaded_by(*typed: str) -> set[str]:
    """The packages that a process has loaded once it has carried out the verb."""
    look = (
        f"import sys; from placet.cli.command import main; main({typed!r});"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules}, *sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    return set(ended.stderr.rpartition("loaded ")[2].split())


def test_an_interrupt_before_the_command_has_begun_ends_it_without_a_traceback() -> None:
    look = (
        "import os, signal, sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'placet.cli.arguments': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from placet.cli.entry import run\n"
        "sys.exit(run())"
    )
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_help_loads_nothing_heavy() -> None:
    assert not {"httpx", "asyncio", "rich", "yaml", "msgspec"} & loaded_by("deploy", "--help")
    assert not {"httpx", "asyncio", "rich", "yaml", "msgspec"} & loaded_by("fly")


@pytest.mark.parametrize("typed", ["list", "status wine", "stop wine", "events", "logs wine"])
def test_a_verb_loads_no_more_than_it_takes_to_ask(platform: FakePlatform, typed: str) -> None:
    loaded = loaded_by(*typed.split())
    assert "httpx" in loaded
    assert not {"click", "rich", "pygments", "yaml", "placet.projects", "placet.rules"} & loaded
