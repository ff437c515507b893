"""Every verb with its words, options and example, as data, and the parser made from it.

Nothing heavy is imported here: a verb names the function that does it, and only that one is loaded.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from placet.cli.exits import WrongUsageError

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
ROLES = ("scientist", "approver", "compliance", "auditor", "operator", "admin")
REPORT_KINDS = ("run", "evaluation", "monitoring", "incident")
EXCEPTION_STATES = ("requested", "granted", "withdrawn", "expired")
SEVERITIES = ("low", "medium", "high", "critical")
PROJECT_NAME = "[a-z][a-z0-9-]{1,38}[a-z0-9]"
"""As in `placet.projects`, which is not loaded only to read what was typed."""
RESERVED_NAME = "platform"
"""What the log calls events of no project, so that those can still be asked for."""
_NAME_MEANS = (
    "3 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen"
)
_SHORTEST, _LONGEST = 60, 366 * 86400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NO_CERTIFICATE = "Nothing runs that is not certified."


GROUPS = {
    "audit": "the audit log, for compliance",
    "certificate": "certificates: what they say, whether they stand, and how to end one",
    "key": "the keys that certificates are signed with: which there were, and the next one",
    "exception": "exceptions from rules: one person asks, another one grants",
    "advisories": "what is known to be vulnerable: publish a snapshot, and see which is in use",
    "policy": "policies: what they demand, whether their own tests pass, and which are in force",
    "card": "model cards: which form their metadata has",
    "webhook": "webhooks: have events sent to an address, and see how far each is",
    "services": "how the services stand, and what they put aside",
    "token": "who may use the platform",
    "quota": "what teams and projects may hold altogether",
    "team": "who is of a team, and which team a project is of",
    "project": "who may do what with a project",
    "privacy": "what is held about people, and how they are forgotten",
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    words: str
    group: str
    does: str
    more: str
    example: str
    function: str
    """`module:name` below `placet.cli.verbs`."""
    arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None


class Version(argparse.Action):
    """Looked up only when asked for: reading a package's metadata takes longer than most of what is typed."""

    def __call__(self, parser: argparse.ArgumentParser, *typed: object) -> NoReturn:
        from importlib.metadata import version

        parser._print_message(f"placet {version('placet-cli')}\n", sys.stdout)  # as for --help
        parser.exit()


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Lines stay lines. One that is wider than the terminal goes on below, in its own column; a command never does."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_folded(line, width) for line in text.splitlines())


class Parser(argparse.ArgumentParser):
    """What is mistyped is an error like any other; it shows where help is."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        # What begins so is a value, which its verb judges (`--within -3d`), as it is for Python from 3.13 on.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        raise WrongUsageError(message, fix=f"`{self.prog} --help` says more", usage=self.format_usage())

    def _print_message(self, message: str, file: Any = None) -> None:
        # As Python has it from 3.11.4 on: who closed what help is written to has seen enough of it.
        with suppress(OSError):
            super()._print_message(message, file)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        # Looked at first: argparse would rather say that a verb or a word is missing, or tell it of another parser.
        for option in self._own_options(args):
            if option not in self._option_string_actions:
                self._no_option(option)
        known, others = super().parse_known_args(args, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return known, others

    def _own_options(self, typed: Sequence[str]) -> Iterator[str]:
        """The long options that were typed for this parser, and not for a verb below it or as a value after `--`."""
        for word in typed:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return
            if word.startswith("--"):
                yield word.partition("=")[0]

    def _no_option(self, option: str) -> NoReturn:
        after = "a verb's options stand after it; " if self._subparsers is not None else ""
        meant = f"is `{near}` meant? " if (near := _nearest(option, self._option_string_actions)) else after
        raise WrongUsageError(
            f"there is no option {option!r}",
            fix=f"{meant}`{self.prog} --help` names all",
            usage=self.format_usage(),
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # argparse would answer what is mistyped with the list of all, in one line.
        if action.choices is None or value in action.choices:
            super()._check_value(action, value)
            return
        near, kind = _nearest(str(value), action.choices), str(action.metavar or action.dest).lower()
        if isinstance(action, argparse._SubParsersAction):
            elsewhere = (f"placet {each.words}" for each in VERBS if each.words.endswith(f" {value}"))
            near, kind = next(elsewhere, near and f"{self.prog} {near}"), "verb"
        meant = f"is `{near}` meant? " if near else ""
        raise WrongUsageError(
            f"there is no {kind} {value!r}",
            fix=f"{meant}`{self.prog} --help` names all",
            usage=self.format_usage(),
        )


def _nearest(typed: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(typed, list(known), n=1, cutoff=0.7)), None)


class Verbs(Mapping[str, Parser]):
    """The parsers of verbs by their names, each made when it is asked for: nobody waits for a hundred to type one."""

    def __init__(self) -> None:
        self._makes: dict[str, Callable[[], Parser]] = {}

    def add(self, name: str, make: Callable[[], Parser]) -> None:
        self._makes[name] = cache(make)

    def __getitem__(self, name: str) -> Parser:
        return self._makes[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makes)

    def __len__(self) -> int:
        return len(self._makes)


def parser() -> Parser:
    root = Parser(
        prog="placet",
        usage="placet VERB [options]",
        description="From a trained model to a governed REST API.",
        epilog=_verbs_by_group(),
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action=Version, nargs=0, help="the version of this command")
    verbs = _below(root)
    for group, does in GROUPS.items():
        verbs.add(group, partial(_group, group, does))
    for verb in VERBS:
        if " " not in verb.words:
            verbs.add(verb.words, partial(_verb, verb))
    return root


def _group(group: str, does: str) -> Parser:
    parent = Parser(
        prog=f"placet {group}",
        usage=f"placet {group} VERB [options]",
        description=does[0].upper() + does[1:] + ".",
        epilog="\n".join(_line(verb) for verb in VERBS if verb.words.startswith(f"{group} ")),
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    verbs = _below(parent)
    for verb in VERBS:
        of, _, name = verb.words.rpartition(" ")
        if of == group:
            verbs.add(name, partial(_verb, verb))
    return parent


def _verb(verb: Verb) -> Parser:
    parser = Parser(
        prog=f"placet {verb.words}",
        description=f"{verb.does[0].upper()}{verb.does[1:]}.\n\n{verb.more}",
        epilog=f"example:\n  {verb.example}",
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, words on stderr")
    parser.set_defaults(function=verb.function, parser=parser)
    return parser


def _below(parser: Parser) -> Verbs:
    action = parser.add_subparsers(
        prog=parser.prog, metavar="VERB", help=argparse.SUPPRESS, required=True, parser_class=Parser
    )
    verbs = Verbs()
    # argparse has a dictionary there, into which it makes all of them beforehand.
    action.choices = action._name_parser_map = verbs  # type: ignore[assignment]
    return verbs


def _folded(line: str, width: int) -> str:
    column = re.match(r"  \S+(?: \S+)* {2,}", line)
    if line.startswith("  ") and column is None:
        return line
    return textwrap.fill(line, width, subsequent_indent=" " * (column.end() if column else 0))


def _line(verb: Verb) -> str:
    return f"  {verb.words:<19} {verb.does}"


def _verbs_by_group() -> str:
    lines: list[str] = []
    for group in dict.fromkeys(verb.group for verb in VERBS):
        lines += [f"{group}:", *(_line(verb) for verb in VERBS if verb.group == group), ""]
    lines += [
        "PLACET_URL and PLACET_TOKEN say where and who; without them, the platform that this user's "
        "`placet up` started. `placet VERB --help` has an example of each.",
        "",
        "Exit status: 0 done, 1 refused by a rule or failed, 2 wrong usage, 3 platform unavailable, 4 awaiting "
        "approval.",
    ]
    return "\n".join(lines)


def _position(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no position in the log; the first is 1")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def _lines(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


def _percent(most: int) -> Callable[[str], int]:
    def percent(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {most}")
        return int(text)

    return percent


def _replicas(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of replicas, from 1 on; `placet stop` runs none"
        )
    return int(text)


def _replica(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no replica's number; the first is 1")
    return int(text)


def _release(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no release's number; the first is 1")
    return int(text)


def _duration(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration from 60s to 366d; write 30d, 12h or 45m")
    return seconds


def _name(text: str) -> str:
    if not re.fullmatch(PROJECT_NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no project's name, which is {_NAME_MEANS}")
    return text


def _team(text: str) -> str:
    if not re.fullmatch(PROJECT_NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no team's name, which is {_NAME_MEANS}")
    return text


def _new_name(text: str) -> str:
    if text == RESERVED_NAME:
        raise argparse.ArgumentTypeError(f"{text!r} is no project's name: it is reserved; choose another")
    return _name(text)


def _subject(text: str) -> str:
    """A project's name, or an operation's id: a UUIDv7 of our time, which begins with 0."""
    if not re.fullmatch(rf"{PROJECT_NAME}|0[0-9a-f-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an operation's id nor a project's name, which is {_NAME_MEANS}"
        )
    return text


def _person(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a token is for somebody, and the name is empty")
    return " ".join(text.split())


def _token_id(text: str) -> str:
    """A token has two dots, and must come into no address that is asked, nor into what is said of it."""
    if text.count(".") == 2:
        raise argparse.ArgumentTypeError(
            "this is the token itself; give its id, which `placet token list` tells"
        )
    return text


def _platform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="where the platform keeps everything (default: placet below $XDG_DATA_HOME, or ~/.local/share); as root,"
        " models, each a user of its own, run from a folder below /var/lib/placet",
    )
    parser.add_argument("--port", type=_port, default=8080, help="0 picks a free one (default: 8080)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="stop after the request")
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="keep the platform's data (default: thrown away)"
    )


def _path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, default=Path(), help="default: here")


def _check(parser: argparse.ArgumentParser) -> None:
    _path(parser)
    parser.add_argument("--offline", action="store_true", help="ask neither the package index nor a platform")
    parser.add_argument("--verbose", action="store_true", help="name everything in long lists")


def _init(parser: argparse.ArgumentParser) -> None:
    _path(parser)
    parser.add_argument("--model", metavar="FILE", help="which of several model files in the folder is meant")
    parser.add_argument("--force", action="store_true", help="write over a placet.yaml that is there")


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="print the operation's id and return")


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, a git address (https://host/team/model.git@ref#subdirectory=folder) that the platform fetches,"
        " or an image digest from `placet list --images`",
    )
    parser.add_argument(
        "--project", metavar="NAME", type=_new_name, help="another name than the one in placet.yaml"
    )
    _wait(parser)


def _deploy(parser: argparse.ArgumentParser) -> None:
    _source(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what the rules say, and what would be allocated where: nothing is sent or changed",
    )
    parser.add_argument(
        "--canary",
        metavar="PERCENT",
        type=_percent(99),
        help="give it only so much of the requests, beside what serves, until `placet promote` or `placet abort`",
    )


def _project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", type=_name)


def _project_waiting(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    _wait(parser)


def _rollback(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--to",
        metavar="N",
        type=_release,
        help="that release (default: what was served before the one that is)",
    )
    _wait(parser)


def _scale(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("replicas", metavar="N", type=_replicas, help="how many are to run")
    _wait(parser)


def _promote(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--weight",
        metavar="PERCENT",
        type=_percent(100),
        help="only so much of the requests (default: all, in the place of what serves)",
    )
    _wait(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", action="store_true", help="what is in the registry instead of what is served"
    )
    parser.add_argument("--all", action="store_true", help="deleted projects, too")
    parser.add_argument("--project", metavar="NAME", type=_name, help="only images of this project")
    parser.add_argument("--format", metavar="FORMAT", help="only images of this format: sklearn, onnx, …")
    parser.add_argument("--owner", metavar="MAIL", help="only images whose placet.yaml names this owner")
    parser.add_argument(
        "--certificate",
        metavar="STATE",
        help="only images whose certificate is valid, suspended, revoked or expired, or none",
    )
    parser.add_argument(
        "--metric",
        dest="metrics",
        metavar="METRIC",
        action="append",
        help="only images whose card tells this result: accuracy, or 'accuracy>=0.9'; may be given more than once",
    )


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="PROJECT|OPERATION", nargs="?", type=_subject)
    parser.add_argument(
        "--platform", action="store_true", help="of the platform instead: what is wrong, and what to do"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="wait until an operation is over")


def _fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image", metavar="IMAGE", help="a digest from `placet list --images`, or its beginning"
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", type=Path, help="default: named after the project"
    )


def _logs(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--release", metavar="N", type=_release, help="that one's (default: the one that was started last)"
    )
    parser.add_argument(
        "--replica",
        metavar="N",
        type=_replica,
        help="that one's, where a release has several (default: the first)",
    )
    parser.add_argument(
        "--build", action="store_true", help="what the builder wrote (of a release: the newest, unless told)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it is written")
    parser.add_argument(
        "-n", "--tail", metavar="N", type=_lines, help="only the last N lines (default: all that is kept)"
    )


_SINCE = "only events of that time or later; a time, or a day from its beginning in UTC"
_UNTIL = "only events of that time or earlier; a time, or a day up to its end in UTC"


def _events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="first", metavar="N", type=_position, default=1, help="first position")
    parser.add_argument("--type", metavar="GLOB", help="only such types, for example 'placet.builder.*'")
    parser.add_argument("--project", metavar="P", type=_name, help="only events of this project")
    parser.add_argument("--since", metavar="T", type=_since, help=_SINCE)
    parser.add_argument("--until", metavar="T", type=_until, help=_UNTIL)
    parser.add_argument("--follow", action="store_true", help="go on as events happen")


def _webhook(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook", metavar="WEBHOOK", help="its id, from `placet webhook list`")


def _webhook_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="such as https://hooks.example.org/placet")
    parser.add_argument("--type", metavar="GLOB", help="only such types, for example 'placet.deployer.*'")
    parser.add_argument("--project", metavar="P", type=_name, help="only events of this project")
    parser.add_argument(
        "--from", dest="first", metavar="N", type=_position, help="first position (default: from now on)"
    )


def _webhook_enable(parser: argparse.ArgumentParser) -> None:
    _webhook(parser)
    parser.add_argument(
        "--from",
        dest="first",
        metavar="N",
        type=_position,
        help="go on at this position, to skip what is before it or have it again (default: where it was)",
    )


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="first", metavar="N", type=_position, help="first position")
    parser.add_argument("--until", metavar="N", type=_position, help="last position")
    parser.add_argument("--project", metavar="P", type=_name, help="only what is of this project")
    parser.add_argument("--type", metavar="GLOB", help="only such types, for example 'placet.builder.*'")
    parser.add_argument("--since", metavar="T", type=_since, help=_SINCE)
    parser.add_argument("--until-time", metavar="T", type=_until, help=_UNTIL)
    parser.add_argument(
        "--state", action="store_true", help="not the events, but what they amount to: one entity a line"
    )
    # No group that excludes one another: its usage would be wider than a narrow terminal.
    _at(parser, "with --state: as it was then; a time, or a day up to its end in UTC (default: now)")
    parser.add_argument(
        "--position",
        metavar="N",
        type=_position,
        help="with --state: as it was at that position, and no --at",
    )
    parser.add_argument(
        "--release", metavar="R", type=_release, help="with --state: only this one of --project"
    )
    parser.add_argument(
        "--compare",
        metavar="T|N",
        type=_when,
        help="with --state: what is different at that time or position, field by field",
    )


def _why(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    _at(parser, "a time, or a day up to its end in UTC (default: now)")


def _who_approved(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("--release", metavar="R", type=_release, help="only of this one")
    _at(parser, "only what was approved by then; a time, or a day up to its end in UTC")


def _audit_exceptions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="P", type=_name, help="only of this project")
    parser.add_argument(
        "--state",
        metavar="STATE",
        choices=EXCEPTION_STATES,
        help="only those that are requested, granted (in force), withdrawn or expired",
    )
    _at(parser, "as they stood then; a time, or a day up to its end in UTC (default: now)")


def _expiring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--within", metavar="SPAN", type=_duration, default="30d", help="how soon (default: 30d)"
    )
    parser.add_argument("--project", metavar="P", type=_name, help="only of this project")
    _at(parser, "as seen from then; a time, or a day up to its end in UTC (default: now)")


def _coverage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="P", type=_name, help="with what was found in this one")


def _at(parser: argparse._ActionsContainer, does: str) -> None:
    parser.add_argument("--at", metavar="T", type=_time, help=does)


def _audit_checkpoint(parser: argparse.ArgumentParser) -> None:
    _out(parser, "a file to write it to, as it is")
    _log_keys(parser)
    parser.add_argument(
        "--witnesses",
        metavar="N",
        type=_count,
        default=0,
        help="the newest that so many witnesses have cosigned (default: the newest)",
    )


def _audit_export(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--at",
        metavar="T",
        type=_until,
        help="up to then; a time, or a day up to its end in UTC (default: now)",
    )
    parser.add_argument("--size", metavar="N", type=_position, help="proved by the checkpoint of N events")
    parser.add_argument("--people", action="store_true", help="with what was recorded about people")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path(), help="a folder (default: this one)"
    )


def _audit_proof(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", metavar="EVENT", help="an event's id, or its position in the audit log")
    _out(parser, "a file to write it to, such as churn.tlog-proof")
    _log_keys(parser)


def _audit_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service",
        metavar="SERVICE",
        # metadata, to say how that is restored
        choices=("gateway", "certifier", "builder", "indexer", "deployer", "metadata"),
        help="gateway, certifier, builder, indexer or deployer",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="of a platform that `placet up` runs with its data there, and that is stopped now",
    )
    _log_keys(parser)


def _audit_rebuild(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service",
        metavar="SERVICE",
        choices=("gateway", "certifier", "builder", "indexer", "deployer", "metadata"),
        help="gateway, certifier, builder, indexer, deployer or metadata",
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="of a platform that `placet up` runs with its data there"
    )
    _log_keys(parser)


def _log_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log",
        metavar="VKEY",
        action="append",
        default=[],
        help="a verifier key of the log that you were given another way; once for each key that it has had",
    )


def _audit_verify(parser: argparse.ArgumentParser) -> None:
    _log_keys(parser)
    parser.add_argument(
        "--policy",
        metavar="FILE",
        type=Path,
        help="whose keys are believed, and how many witnesses have to have seen the log (C2SP tlog-policy)",
    )
    parser.add_argument(
        "--max-age",
        metavar="DURATION",
        type=_duration,
        help="how long ago those witnesses may have seen it: 30d, 12h, 45m (default: 24h)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a checkpoint that was kept elsewhere, or a folder of them; the log has to agree with each",
    )
    parser.add_argument(
        "--anew", action="store_true", help="from the first event on, whatever the last audit has seen"
    )


def _out(parser: argparse.ArgumentParser, does: str) -> None:
    parser.add_argument("--out", metavar="FILE", type=Path, help=does)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number up to 100")
    return int(text)


def _version(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no version; write a whole number, such as 2")
    return int(text)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; the least is 1")
    return int(text)


def _span(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,2}[hd]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no span; write it as 7d or 12h")
    return text


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2027-01-31") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment; write it as 2027-01-31T12:00:00Z")
    return moment


def _time(text: str) -> str:
    """A moment, or a day, as it is sent to who knows what happened then."""
    try:
        is_day = len(text) == len("2027-01-31")
        found = None if is_day else datetime.fromisoformat(text)
        day = date.fromisoformat(text) if is_day else None
    except ValueError:
        found = day = None
    if day is None and (found is None or found.tzinfo is None):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a moment nor a day; write 2027-01-31T12:00:00Z, or 2027-01-31"
        )
    return text if day is not None or found is None else found.isoformat()


def _since(text: str) -> datetime:
    """A moment, or a day from its beginning in UTC."""
    return _moment(f"{text}T00:00:00Z" if _is_day(text) else _time(text))


def _until(text: str) -> datetime:
    """A moment, or a day up to its end in UTC."""
    return _moment(f"{text}T23:59:59.999Z" if _is_day(text) else _time(text))


def _is_day(text: str) -> bool:
    return len(text) == len("2027-01-31") and _time(text) == text


def _when(text: str) -> str:
    """The same, or a position."""
    if not text.isdecimal():
        return _time(text)
    return str(_position(text))


def _words(text: str) -> str:
    if not any(character.isalnum() for character in text):
        raise argparse.ArgumentTypeError(f"somebody will read why, and {text!r} says nothing")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no digest, which is sha256: and 64 digits")
    return text


def _project_or_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", nargs="?", type=_name, help="default: all of them")


def _exception(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("--rule", metavar="RULE", required=True, help="as the refusal names it")
    parser.add_argument("--reason", metavar="TEXT", type=_words, required=True, help="for who is to grant it")
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--days", metavar="N", type=_days, help="until the day in so many days begins (UTC)")
    until.add_argument("--until", metavar="DATE", type=_date, help="until that day begins (UTC): 2027-01-31")
    parser.add_argument(
        "--source",
        metavar="DIGEST",
        type=_digest,
        help="for this source alone, which `placet check --json` tells",
    )


def _assess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", nargs="?", type=_name)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="the questionnaires of the platform")
    instead.add_argument("--show", action="store_true", help="what was answered about PROJECT")
    instead.add_argument("--template", action="store_true", help="a file to write the answers into")
    instead.add_argument(
        "--import",
        dest="importing",
        metavar="FILE",
        type=Path,
        help="take in a questionnaire, of ours or of SurveyJS (JSON)",
    )
    parser.add_argument(
        "--questionnaire",
        metavar="ID|FILE",
        help="its id, its digest or the file that was imported (default: algorithmic-impact)",
    )
    parser.add_argument("--answers", metavar="FILE", type=Path, help="YAML or JSON; default: asked here")
    parser.add_argument(
        "--source",
        metavar="DIGEST",
        type=_digest,
        help="the source that it is about (default: what was deployed or built last)",
    )
    parser.add_argument("--no-wait", action="store_true", help="print its id and return")
    parser.add_argument("--id", metavar="ID", help="what a questionnaire of SurveyJS is called")
    parser.add_argument("--version", metavar="VERSION", help="and which version of it this is")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="CloudEvents or OpenLineage's run events: one, a JSON list, or one a line; - reads standard input",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--incident", metavar="ID", type=_words, help="report this incident, without a file")
    instead.add_argument("--list", metavar="PROJECT", type=_name, help="what was reported of PROJECT")
    instead.add_argument(
        "--schema", metavar="KIND", choices=REPORT_KINDS, help="what a CloudEvent of this kind has in `data`"
    )
    parser.add_argument(
        "--project", metavar="NAME", type=_new_name, help="what it is about; it need not be there yet"
    )
    of = parser.add_mutually_exclusive_group()
    of.add_argument("--release", metavar="N", type=_release, help="only about this release of it")
    of.add_argument("--source", metavar="DIGEST", type=_digest, help="only about this source of it")
    parser.add_argument(
        "--kind",
        choices=REPORT_KINDS,
        help="with --list: only run, evaluation, monitoring or incident",
        metavar="KIND",
    )
    parser.add_argument(
        "--severity",
        choices=SEVERITIES,
        help="of the incident: low, medium, high or critical",
        metavar="LEVEL",
    )
    parser.add_argument("--resolved", action="store_true", help="the incident is over")
    parser.add_argument("--summary", metavar="TEXT", type=_words, help="what happened, for people")


def _exception_named(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("exception", metavar="EXCEPTION", help="an id from `placet exception list`")


def _approve(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--release", metavar="N", type=_release, help="where several wait; default: the one that does"
    )
    parser.add_argument("--look", action="store_true", help="only show what is waited for")
    parser.add_argument("--reason", metavar="TEXT", type=_words, help="for who asks later")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--break-glass",
        action="store_true",
        help="have it served for a day, whatever is awaited: two people, each with --reason; a review is owed then",
    )
    how.add_argument(
        "--review",
        metavar="CERTIFICATE",
        help="say, with --reason, what was found of one for which the glass was broken",
    )
    parser.add_argument(
        "--binding",
        metavar="DIGEST",
        type=_digest,
        help="what was looked at before; default: what is shown now",
    )
    parser.add_argument(
        "--as-role",
        metavar="ROLE",
        action="append",
        choices=ROLES,
        help="in which of the token's roles; may be given more than once",
    )


def _certificate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "certificate", metavar="CERTIFICATE", help="its id, as `placet status` and `list` tell it"
    )


def _revocation(parser: argparse.ArgumentParser) -> None:
    _certificate(parser)
    parser.add_argument(
        "--reason", metavar="TEXT", type=_words, required=True, help="kept beside the log, for who asks why"
    )


def _verification(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="what `placet certificate show --json` printed, or the envelope in it",
    )
    parser.add_argument(
        "--keys",
        metavar="FILE",
        type=Path,
        required=True,
        help="the public keys: the key history, as the certifier writes it or `placet key list --json` tells it",
    )
    parser.add_argument("--image", metavar="DIGEST", type=_digest, help="it has to be for this image")
    parser.add_argument("--source", metavar="DIGEST", type=_digest, help="it has to be for this source")
    parser.add_argument(
        "--at", metavar="TIME", type=_moment, default=None, help="valid then, in RFC 3339 (default: now)"
    )


def _key_rotate(parser: argparse.ArgumentParser) -> None:
    _signing_key(parser)
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_moment,
        help="when it begins to sign, in RFC 3339, so that the history can be handed over before (default: now)",
    )
    parser.add_argument(
        "--why",
        metavar="REASON",
        choices=("scheduled", "staff", "lost"),
        default="scheduled",
        help="scheduled (default), staff (somebody left who could reach the key), or lost",
    )


def _key_distrust(parser: argparse.ArgumentParser) -> None:
    _signing_key(parser)
    parser.add_argument("kid", metavar="KEY", help="the key's id, as `placet key list` tells it")
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_moment,
        help="from when on, in RFC 3339, so that models can be deployed again before (default: now)",
    )


def _witness(parser: argparse.ArgumentParser) -> None:
    logs = parser.add_mutually_exclusive_group(required=True)
    logs.add_argument(
        "--log",
        dest="logs",
        metavar="VKEY",
        action="append",
        help="the verifier key of a log to witness; may be given more than once, also for a log with a next key",
    )
    logs.add_argument(
        "--policy", metavar="FILE", type=Path, help="a trust policy (C2SP tlog-policy): its logs"
    )
    parser.add_argument(
        "--name", metavar="NAME", required=True, help="what the witness is called: witness.example.org/w1"
    )
    parser.add_argument(
        "--state", metavar="DIR", type=Path, required=True, help="where it keeps what it has cosigned"
    )
    parser.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        help="its Ed25519 key, made at the first start (default: witness.pem in DIR)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8090, help="0 picks a free one (default: 8090)")


def _signing_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key", metavar="FILE", type=Path, help="the certifier's PLACET_SIGNING_KEY: certificates.pem"
    )


def _policies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="*", type=Path, help="default: those that ship with placet"
    )


def _policy_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument(
        "--strict", action="store_true", help="fail, too, where a change that no test notices is possible"
    )


def _policy_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="or the name of one that placet brings along: four-eyes"
    )
    parser.add_argument(
        "--warn-first",
        metavar="SPAN",
        type=_span,
        help="for so long (7d, 12h) from when it is in force, only warn of what was certified before",
    )
    parser.add_argument("--no-wait", action="store_true", help="print its digest and return")


def _policy_diff(parser: argparse.ArgumentParser) -> None:
    for name in ("old", "new"):
        parser.add_argument(
            name, metavar=name.upper(), help="a file, or ID@VERSION of one that the platform has"
        )
    parser.add_argument(
        "--history",
        action="store_true",
        help="also decide again all that was decided, and name what would be decided otherwise",
    )


def _policy_facts(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("--release", metavar="N", type=_release, help="default: the newest")
    parser.add_argument(
        "--people", action="store_true", help="also what is about people, where it was not erased"
    )


def _advisories_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="ZIP", type=Path, help="JSON documents in OSV's form, such as all of PyPI's"
    )
    parser.add_argument("--no-wait", action="store_true", help="print its digest and return")


def _policy_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="ID", help="as `placet policy list` tells it")
    parser.add_argument(
        "--version", metavar="N", type=_version, help="default: the one in force, or else the highest"
    )


def _garbage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collect", action="store_true", help="remove it, and not only list it")
    parser.add_argument(
        "--older-than", metavar="DAYS", type=_days, help="only what is older than so many days (default: 30)"
    )


def _token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as", dest="name", metavar="NAME", type=_person, required=True, help="the person it is for"
    )
    parser.add_argument(
        "--role",
        dest="roles",
        metavar="ROLE",
        action="append",
        choices=ROLES,
        required=True,
        help=f"{', '.join(ROLES)}; may be given more than once",
    )
    parser.add_argument(
        "--ttl",
        metavar="DURATION",
        type=_duration,
        help="how long it is good for: 30d, 12h, 45m (default: 30d)",
    )


def _revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "token", metavar="ID", type=_token_id, help="its id, from `placet token list`; not the token itself"
    )


def _service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service",
        metavar="SERVICE",
        nargs="?",
        choices=SERVICES,
        help=f"{', '.join(SERVICES)} (default: all)",
    )


def _retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", metavar="SERVICE", choices=SERVICES, help=", ".join(SERVICES))
    parser.add_argument("message", metavar="MESSAGE", nargs="?", help="its id, from `placet services parked`")
    parser.add_argument("--all", action="store_true", help="all that it put aside")


def _of_person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "person", metavar="PERSON", help="their id as events have it (person:…), or their name as it is known"
    )


def _erase(parser: argparse.ArgumentParser) -> None:
    _of_person(parser)
    parser.add_argument("--yes", action="store_true", help="do it, and not only show what it would do")


def _millicores(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}m|[0-9]{1,4}(\.[0-9]{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not cores such as 500m, 1 or 1.5")
    return int(text[:-1]) if text.endswith("m") else round(float(text) * 1000)


def _memory(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})(k|M|G|T|Ki|Mi|Gi|Ti)?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory such as 512Mi or 4Gi")
    unit = found[2] or ""
    step, power = 1024 if unit.endswith("i") else 1000, "KMGT".find(unit[:1].upper()) + 1 if unit else 0
    size: int = int(found[1]) * step**power
    return size


def _number_of(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number such as 4")
    return int(text)


def _whose_quota(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--team", metavar="TEAM", type=_team, help="of all projects of a team together")
    whose.add_argument("--project", metavar="PROJECT", type=_name, help="of one project")


def _quota(parser: argparse.ArgumentParser) -> None:
    _whose_quota(parser)
    parser.add_argument("--cpu", metavar="CORES", type=_millicores, help="such as 500m, 2 or 1.5")
    parser.add_argument("--memory", metavar="SIZE", type=_memory, help="such as 512Mi or 4Gi")
    parser.add_argument("--gpu", metavar="N", type=_number_of)
    parser.add_argument("--models", metavar="N", type=_number_of, help="how many projects may hold room")


def _assign(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("team", metavar="TEAM", type=_team)


def _whole_team(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("team", metavar="TEAM", type=_team)


def _set_team(parser: argparse.ArgumentParser) -> None:
    _whole_team(parser)
    parser.add_argument(
        "--member",
        metavar="NAME",
        action="append",
        dest="members",
        help="who is of it from here on, again for each; without, whoever is of it stays so",
    )


def _member(parser: argparse.ArgumentParser) -> None:
    _whole_team(parser)
    parser.add_argument("person", metavar="NAME", help="as their token is for, or person:…")


def _role(parser: argparse.ArgumentParser) -> None:
    _grantee(parser)
    parser.add_argument(
        "role", metavar="ROLE", choices=("owner", "deployer", "viewer"), help="owner, deployer or viewer"
    )


def _grantee(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument("to", metavar="WHO", help="a person's name, person:…, or team:NAME")


def _hold(parser: argparse.ArgumentParser) -> None:
    _project(parser)
    parser.add_argument(
        "--reason", metavar="TEXT", type=_words, required=True, help="why, for who reads it later"
    )


VERBS: Sequence[Verb] = (
    Verb(
        words="demo",
        group="try it",
        does="a real model from its folder to a URL, on a platform started for it",
        more="Needs a checkout of placet, for its examples. Serves until Ctrl-C.",
        example="placet demo --once",
        function="embedded:demo",
        arguments=_demo,
    ),
    Verb(
        words="up",
        group="try it",
        does="run the whole platform in one process",
        more="No broker, no database server, no container engine. The same user's `placet` finds it. SIGUSR2 starts it"
        " again, with the code that lies there now, and no request to a model is lost.",
        example="placet up --data ./placet-data --port 8080",
        function="embedded:up",
        arguments=_platform,
    ),
    Verb(
        words="init",
        group="prepare",
        does="look at a model folder and write its placet.yaml",
        more="Finds out what it can, asks nothing, and says what only you can fill in.",
        example="placet init ./churn",
        function="init:init",
        arguments=_init,
    ),
    Verb(
        words="check",
        group="prepare",
        does="certify a folder here, by the platform's own rules",
        more="Same rules, same words; nothing is sent, nothing of the project is run. Packages are looked up as for an"
        " image, where the builder is installed and the package index (PLACET_PACKAGE_INDEX, else uv's) can be reached."
        " A platform that is known (PLACET_URL, or one of your own) is asked which policies are in force, and whether"
        " it has room for the model; what its advisories say of the packages is told too.",
        example="placet check ./churn",
        function="check:check",
        arguments=_check,
    ),
    Verb(
        words="build",
        group="serve",
        does="certify and build an image, without starting it",
        more="What `placet check` refuses is not sent, but for want of room. A source that was built before is not"
        " built again.",
        example="placet build ./churn",
        function="operations:build",
        arguments=_source,
    ),
    Verb(
        words="deploy",
        group="serve",
        does="certify, build if needed, start, and print the URL",
        more=f"{_NO_CERTIFICATE} What `placet check` refuses is not sent, but for want of room: that is the "
        "platform's to refuse. While a new "
        "release starts, the old one goes on answering. Ctrl-C stops the waiting, never the operation.",
        example="placet deploy ./churn",
        function="operations:deploy",
        arguments=_deploy,
    ),
    Verb(
        words="start",
        group="serve",
        does="start a stopped project again",
        more=_NO_CERTIFICATE,
        example="placet start churn",
        function="operations:start",
        arguments=_project_waiting,
    ),
    Verb(
        words="rollback",
        group="serve",
        does="serve an earlier release of a project again",
        more="It is a deploy of that release's very image, with a number and a certificate of its own: nothing is "
        "built, the rules of today judge it, and the one that serves goes on until it is ready.",
        example="placet rollback churn --to 3",
        function="operations:rollback",
        arguments=_rollback,
    ),
    Verb(
        words="promote",
        group="serve",
        does="give a project's canary more requests, or all of them",
        more="The canary is the release of a `placet deploy --canary`. With all requests it takes the place of what "
        "serves, which ends once its last requests are answered.",
        example="placet promote churn --weight 50",
        function="operations:promote",
        arguments=_promote,
    ),
    Verb(
        words="abort",
        group="serve",
        does="end a project's canary",
        more="What it ran beside gets all requests again. A canary that fails, or whose certificate does not stand, is "
        "aborted by the platform itself.",
        example="placet abort churn",
        function="operations:abort",
        arguments=_project_waiting,
    ),
    Verb(
        words="scale",
        group="serve",
        does="run another number of replicas of what serves",
        more="As many as `resources.replicas` in placet.yaml allows; a new release begins with as many. New ones "
        "answer the sample before they get requests, and those that go answer their last ones.",
        example="placet scale churn 3",
        function="operations:scale",
        arguments=_scale,
    ),
    Verb(
        words="stop",
        group="serve",
        does="stop serving a project",
        more="Its images and certificates stay; `placet start` brings it back.",
        example="placet stop churn",
        function="operations:stop",
        arguments=_project_waiting,
    ),
    Verb(
        words="delete",
        group="serve",
        does="stop serving a project and give up its URL",
        more="Its images and its history stay: nothing that happened is forgotten.",
        example="placet delete churn",
        function="operations:delete",
        arguments=_project_waiting,
    ),
    Verb(
        words="list",
        group="look",
        does="what is served, or with --images what is in the registry",
        more="An image in the list can be deployed by its digest, or by as much of it as is unique, also under "
        "another project's name; `placet fetch` brings its project back. What is asked for of images must all be so.",
        example="placet list --images --format sklearn --certificate valid --metric 'accuracy>=0.9'",
        function="catalogue:list_all",
        arguments=_list,
    ),
    Verb(
        words="releases",
        group="look",
        does="every release of a project: when it was live, and what took its place",
        more="Newest first, by their numbers, also where several have the same image. `placet rollback PROJECT --to N` "
        "goes back to one.",
        example="placet releases churn",
        function="releases:list_all",
        arguments=_project,
    ),
    Verb(
        words="status",
        group="look",
        does="where a project, an operation or the whole platform stands",
        more="Of a project: the release that is, and what the last operation came to where that is another story; "
        "with --json, `last` is that operation. Of an operation: what it came to, and as `now` what the project has "
        "become since, where that is another story. Reading succeeds with status 0 whatever is read; with --follow "
        "the status is the last operation's. Of the platform: each service, and in one list what of services, models, "
        "room and webhooks is wrong, with what to do; with status 1 where anything is, and 3 where nothing answers.",
        example="placet status churn",
        function="operations:status",
        arguments=_status,
    ),
    Verb(
        words="logs",
        group="look",
        does="what a model wrote, or the builder that made its image",
        more="Of the release that was started last, whatever became of it: while another serves, that may be one "
        "whose start failed. stderr says which it is, and which is live. Of releases that ended, the last three logs "
        "are kept. With --build, what was written while its image was made. With --json and --follow, one JSON "
        "document a line.",
        example="placet logs churn -f",
        function="log:logs",
        arguments=_logs,
    ),
    Verb(
        words="fetch",
        group="look",
        does="a colleague's model project back out of the registry",
        more="The archive is checked against its digest and unpacked into a new folder.",
        example="placet fetch sha256:4f1c ./churn",
        function="fetch:fetch",
        arguments=_fetch,
    ),
    Verb(
        words="events",
        group="look",
        does="what happens, one CloudEvent a line",
        more="`sequence` is the event's position in the audit log.",
        example="placet events --from 100 --type 'placet.deployer.*' --follow",
        function="log:events",
        arguments=_events,
    ),
    Verb(
        words="webhook add",
        group="look",
        does="have events sent to an address",
        more="Each event of the audit log is one POST, in order and at least once, signed as Standard Webhooks has it. "
        "The secret is shown this once. For operators, compliance and admins.",
        example="placet webhook add https://hooks.example.org/placet --type 'placet.deployer.*'",
        function="webhooks:add",
        arguments=_webhook_add,
    ),
    Verb(
        words="webhook list",
        group="look",
        does="the webhooks there are, and how far each is",
        more="OF is where the audit log ends: between it and POSITION may be nothing that a webhook asks for.",
        example="placet webhook list",
        function="webhooks:list_all",
    ),
    Verb(
        words="webhook show",
        group="look",
        does="one webhook: what was answered last, and when it is tried again",
        more="One that fails is tried for three days, with longer and longer pauses, and then disabled; one that "
        "answers 410 at once.",
        example="placet webhook show 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="webhooks:show",
        arguments=_webhook,
    ),
    Verb(
        words="webhook test",
        group="look",
        does="send a message that is no event, and say what it came to",
        more="Of type placet.webhook.test, signed like the others. Exit status 1 where it is not taken.",
        example="placet webhook test 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="webhooks:test",
        arguments=_webhook,
    ),
    Verb(
        words="webhook rotate",
        group="look",
        does="give a webhook another secret",
        more="It is shown this once. For a day what is sent has the signatures of both, so that nothing is lost "
        "meanwhile.",
        example="placet webhook rotate 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="webhooks:rotate",
        arguments=_webhook,
    ),
    Verb(
        words="webhook enable",
        group="look",
        does="go on with a webhook that was disabled, or waits",
        more="With the event that was not taken, or at another position with --from.",
        example="placet webhook enable 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="webhooks:enable",
        arguments=_webhook_enable,
    ),
    Verb(
        words="webhook remove",
        group="look",
        does="send nothing any more",
        more="Its address and its secrets are gone then.",
        example="placet webhook remove 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="webhooks:remove",
        arguments=_webhook,
    ),
    Verb(
        words="approve",
        group="govern",
        does="approve a release that waits for people",
        more="What is waited for is shown first, and exactly that is approved: if its source, its image, a policy or "
        "what rules see becomes another, the approval counts no more. For approvers and compliance; nobody approves "
        "what they asked for, sent or built, and nobody twice.",
        example="placet approve churn --reason 'tried it on the cases of last year'",
        function="approvals:approve",
        arguments=_approve,
    ),
    Verb(
        words="assess",
        group="govern",
        does="answer a questionnaire about what a model can do to people",
        more="Scored and signed by the platform. It says nothing any more once it is too old, its questionnaire has a "
        "newer version, or purpose, data or source have changed; rules see that. Required mitigations are told, and "
        "which of them nobody has said are in place.",
        example="placet assess churn --answers answers.yaml",
        function="assess:assess",
        arguments=_assess,
    ),
    Verb(
        words="report",
        group="govern",
        does="tell what happened to a model on its way or in use",
        more="Runs of pipelines, evaluations, monitoring and incidents, as the tools that know of them write them. Of "
        "up to 100 events all are taken or none, and what is sent again is the same report.",
        example="placet report events.ndjson --project churn",
        function="metadata:report",
        arguments=_report,
    ),
    Verb(
        words="exception request",
        group="govern",
        does="ask that a rule may forbid nothing for a project",
        more="For a reason and a time, and only from a rule that admits it. It does nothing until somebody else has "
        "granted it, and the verdict of the rule stays what it is. The same again is the same exception; with "
        "another reason it is refused, and the first one stays.",
        example="placet exception request churn --rule model.pickle-by-exception --days 30 --reason 'skops soon'",
        function="exceptions:request",
        arguments=_exception,
    ),
    Verb(
        words="exception list",
        group="govern",
        does="what was asked for, by whom, why, and what became of it",
        more="Newest first: requested, granted, withdrawn or expired. Without a project, those of all.",
        example="placet exception list churn",
        function="exceptions:list_all",
        arguments=_project_or_all,
    ),
    Verb(
        words="exception grant",
        group="govern",
        does="grant what somebody else asked for",
        more="For approvers, compliance and admins; nobody grants what they asked for themselves. What is certified by "
        "it ends when it does.",
        example="placet exception grant churn exception:01a218c0-dd9a-75e1-97b1-a45b27cab79e",
        function="exceptions:grant",
        arguments=_exception_named,
    ),
    Verb(
        words="exception withdraw",
        group="govern",
        does="end an exception before its time, or answer with no",
        more="By who asked for it, or a role that grants. No new deploy uses it, and what was certified with it leaves "
        "its route.",
        example="placet exception withdraw churn exception:01a218c0-dd9a-75e1-97b1-a45b27cab79e",
        function="exceptions:withdraw",
        arguments=_exception_named,
    ),
    Verb(
        words="certificate show",
        group="govern",
        does="what a certificate says, and whether it stands",
        more="valid, suspended (with what there is against it), revoked or expired; --json has the signed envelope.",
        example="placet certificate show certificate:01a218c0-dd9a-75e1-97b1-a45b27cab79e",
        function="certificates:show",
        arguments=_certificate,
    ),
    Verb(
        words="certificate renew",
        group="govern",
        does="have what serves judged anew, for a certificate that lasts longer",
        more=f"{_NO_CERTIFICATE} A renewal is a release of the same source and image, judged by the rules of today; "
        "nothing is built. What serves goes on until the new release does, and where that is refused, until its own "
        "certificate ends. Nobody's decision is undone: what was revoked or stopped is not renewed.",
        example="placet certificate renew churn",
        function="operations:renew",
        arguments=_project_waiting,
    ),
    Verb(
        words="certificate revoke",
        group="govern",
        does="end a certificate now, and for good",
        more="Its model leaves its route within seconds, and callers are told. For approvers, compliance and admins.",
        example="placet certificate revoke certificate:01a218c0-dd9a-75e1-97b1-a45b27cab79e --reason 'it harms'",
        function="certificates:revoke",
        arguments=_revocation,
    ),
    Verb(
        words="certificate verify",
        group="govern",
        does="whether a certificate in a file was signed by these keys",
        more="Asks nobody and needs no platform. Whether it was suspended or revoked since is not in the file.",
        example="placet certificate verify certificate.json --keys certificates.json",
        function="certificates:verify",
        arguments=_verification,
    ),
    Verb(
        words="key list",
        group="govern",
        does="every key that certificates were signed with, and what it still counts for",
        more="A key counts for what is dated from its beginning up to its end, and once it is compromised for nothing."
        " With --json it is the key history that `placet certificate verify` takes.",
        example="placet key list --json > keys.json",
        function="keys:list_all",
    ),
    Verb(
        words="key rotate",
        group="govern",
        does="make the key that certificates are signed with next",
        more="Where the certifier's key is, as who may read it; nothing is restarted. What the old key signed stays "
        "valid. The old private half is best removed once the new one signs.",
        example="placet key rotate run/keys/certificates.pem --at 2027-01-31T12:00:00Z",
        function="keys:rotate",
        arguments=_key_rotate,
    ),
    Verb(
        words="key distrust",
        group="govern",
        does="say that somebody else may have a key that was rotated out",
        more="Nothing that it signed counts from then on, whatever date is written there, and those certificates are "
        "revoked. Rotate the key before.",
        example="placet key distrust run/keys/certificates.pem 3f1c2ab94e07d5a8",
        function="keys:distrust",
        arguments=_key_distrust,
    ),
    Verb(
        words="policy test",
        group="govern",
        does="read policies, and run the tests that stand in them",
        more="Says every mistake of each file. Then changes each threshold and operator once, and tells which of the "
        "changes no test notices. Asks nobody and needs no platform.",
        example="placet policy test policies/*.yaml --strict",
        function="policies:test",
        arguments=_policy_test,
    ),
    Verb(
        words="policy publish",
        group="govern",
        does="have a policy judge what is deployed, and what runs, from now on or from its day",
        more="Its own tests run here and on the platform, which then sees whether it fits to the others. What is "
        "published stays: another version takes its place. What was certified before is judged again by it, from what "
        "was recorded then, and suspended where it forbids that. For compliance and admins.",
        example="placet policy publish house.yaml",
        function="publishing:publish",
        arguments=_policy_publish,
    ),
    Verb(
        words="policy list",
        group="govern",
        does="every version of every policy of a platform, and where it stands",
        more="in-force, scheduled (its day is to come), superseded, ended, rejected, or submitted and not yet decided.",
        example="placet policy list",
        function="publishing:list_all",
    ),
    Verb(
        words="policy show",
        group="govern",
        does="the file of a policy, as it was published",
        more="On stderr stands where it stands, and why it was rejected if it was.",
        example="placet policy show house.data --version 2",
        function="publishing:show",
        arguments=_policy_show,
    ),
    Verb(
        words="policy diff",
        group="govern",
        does="what another version of a policy asks, and what it would have said so far",
        more="With --history all past decisions are made again, from what was recorded then, by both: which would be "
        "others, by which rule and why, and which models that run would stop. For compliance, auditors and admins.",
        example="placet policy diff house.data@1 house.yaml --history",
        function="difference:diff",
        arguments=_policy_diff,
    ),
    Verb(
        words="policy facts",
        group="govern",
        does="what the rules saw of a release, as JSON, for those who write policies",
        more="By stage: what a rule of that stage can ask about, with the values that were recorded with the verdicts. "
        "For compliance, auditors and admins.",
        example="placet policy facts churn --release 3",
        function="facts:facts",
        arguments=_policy_facts,
    ),
    Verb(
        words="policy handbook",
        group="govern",
        does="what policies demand, whence and in which words, as Markdown",
        more="Of these files, or of all that ship with placet: the sets that can be published, what is in force "
        "anyway, and which rules there are for each obligation. Evidence, not legal conformity.",
        example="placet policy handbook > handbook.md",
        function="policies:handbook",
        arguments=_policies,
    ),
    Verb(
        words="policy schema",
        group="govern",
        does="the JSON Schema of a policy, for editors",
        more="In a policy's first line, `# yaml-language-server: $schema=policy.schema.json` makes editors use it.",
        example="placet policy schema > policy.schema.json",
        function="policies:schema",
    ),
    Verb(
        words="card schema",
        group="govern",
        does="the JSON Schema of a model card's metadata, for editors",
        more="Of what stands between the two lines of `---` in front of a card. It holds of what placet reads.",
        example="placet card schema > card.schema.json",
        function="cards:schema",
    ),
    Verb(
        words="advisories publish",
        group="govern",
        does="match the packages of what is deployed from now on with what is known to be vulnerable",
        more="A snapshot in OSV's form, which takes the place of the one before. The rules `advisories.*` judge by it. "
        "For compliance, operators and admins.",
        example="placet advisories publish all.zip",
        function="advisories:publish",
        arguments=_advisories_publish,
    ),
    Verb(
        words="advisories list",
        group="govern",
        does="every snapshot of advisories that was sent, and which is in use",
        more="submitted and not yet read, in-use, replaced by a newer one, or rejected.",
        example="placet advisories list",
        function="advisories:list_all",
    ),
    Verb(
        words="audit replay",
        group="govern",
        does="the audit log from its beginning, one CloudEvent a line, or what was so at any time",
        more="`sequence` is the position in the audit log, `producerposition` the one in the producer's own "
        "store, which `producerepoch` names. A hole in the log ends it with status 1.\n"
        "With --state it tells what the events amount to: projects, releases, certificates, policies, exceptions and "
        "all else, one JSON document a line, with the position of the event that said each fact in `said`. For "
        "compliance, auditors and admins.",
        example="placet audit replay --state --at 2027-01-31",
        function="log:replay",
        arguments=_replay,
    ),
    Verb(
        words="audit why",
        group="govern",
        does="whether a model was allowed to run at a moment, and on what that stands",
        more="Release, certificate, policies, verdicts, recorded inputs, approvals, exceptions and assessments; what "
        "was known against it then; and, apart from that, what became known only later. In brackets stands the "
        "position in the audit log of what is said. People are opaque ids. For compliance, auditors and admins.",
        example="placet audit why churn --at 2027-01-31T12:00:00Z",
        function="why:why",
        arguments=_why,
    ),
    Verb(
        words="audit who-approved",
        group="govern",
        does="who approved a project's releases, in which roles, when, and what counted it",
        more="And who looked, or still has to, at what was certified in haste. People are opaque ids. For compliance, "
        "auditors and admins.",
        example="placet audit who-approved churn --release 3",
        function="history:who_approved",
        arguments=_who_approved,
    ),
    Verb(
        words="audit exceptions",
        group="govern",
        does="exceptions as they stood at a time, and the certificates that were issued on each",
        more="For compliance, auditors and admins.",
        example="placet audit exceptions --at 2027-01-31 --state granted",
        function="history:exceptions",
        arguments=_audit_exceptions,
    ),
    Verb(
        words="audit expiring",
        group="govern",
        does="certificates that end soon, and whether a model serves on them",
        more="The first to end first. For compliance, auditors and admins.",
        example="placet audit expiring --within 30d",
        function="history:expiring",
        arguments=_expiring,
    ),
    Verb(
        words="audit coverage",
        group="govern",
        does="what the policies in force cite, by which rule each is covered, and with which evidence",
        more="With --project: what each rule found when it was judged, by which certificate, on which recorded inputs. "
        "Evidence, not legal conformity. For compliance, auditors and admins.",
        example="placet audit coverage --project churn",
        function="coverage:coverage",
        arguments=_coverage,
    ),
    Verb(
        words="audit checkpoint",
        group="govern",
        does="how large the audit log is and which root its tree has, as the log signed it",
        more="And which witnesses have seen how much of it. Keep some of these where whoever runs the platform cannot "
        "reach them: `placet audit verify --checkpoint` holds the log against them.",
        example="placet audit checkpoint --out 2027-01-31.checkpoint",
        function="audit:checkpoint",
        arguments=_audit_checkpoint,
    ),
    Verb(
        words="audit proof",
        group="govern",
        does="the proof that an event is in the audit log, which holds without the platform",
        more="In C2SP's form tlog-proof, with the leaf that it is of as `extra`.",
        example="placet audit proof 42 --out 42.tlog-proof",
        function="audit:proof",
        arguments=_audit_proof,
    ),
    Verb(
        words="audit export",
        group="govern",
        does="all evidence of a project in one archive, and the program that checks it without placet",
        more="Events with their proofs, policies, the facts that rules saw, certificates, assessments, bills of "
        "materials, and the technical documentation of Annex IV of the EU AI Act as a page. `python3 verifier.py "
        "ARCHIVE` needs nothing but Python, and runs the rules again. What was recorded about people is left out "
        "unless it is asked for, which compliance, auditors and admins may.",
        example="placet audit export churn --at 2026-03-01T12:00:00Z --out evidence",
        function="evidence:export",
        arguments=_audit_export,
    ),
    Verb(
        words="audit verify",
        group="govern",
        does="whether the audit log is whole, in order, and the one that was signed",
        more="Reads every event and believes nothing else: makes the tree anew, and holds it against the signed "
        "checkpoint, those of --checkpoint, and what it has seen itself before. What differs is named, with status 1. "
        "The next time it goes on where it was; an audit that was interrupted, too.",
        example="placet audit verify --log placet.example.org/audit+5a71…+AW3… --checkpoint kept/",
        function="audit:verify",
        arguments=_audit_verify,
    ),
    Verb(
        words="audit restore",
        group="govern",
        does="a service's lost database, filled again from the audit log",
        more="Run it where the service runs, with its settings in the environment and an empty database, while the "
        "service is stopped and the others go on. The log is verified on its way, and what was broken off goes on when "
        "it is run again. Names of people and their words were never in the log, and do not come back. The audit log "
        "itself is restored from a file: python -m placet.metadata --restore FILE.",
        example="placet audit restore deployer",
        function="restore:restore",
        arguments=_audit_restore,
    ),
    Verb(
        words="audit rebuild",
        group="govern",
        does="a service's read models, made anew from the audit log while it serves",
        more="Run it where the service runs, with its settings in the environment; it needs no right that the service "
        "has not. What the log says is folded beside what serves, and the rows that are other are replaced at once: "
        "whoever reads sees the old ones until then, and whoever writes waits for a moment. It tells how many were "
        "other, table by table. The log is verified on its way. What no event tells is left alone: names of people, "
        "their words, what a service has still to do.",
        example="placet audit rebuild gateway",
        function="rebuild:rebuild",
        arguments=_audit_rebuild,
    ),
    Verb(
        words="witness",
        group="govern",
        does="watch over logs of other people, and cosign what was not rewritten",
        more="Runs until Ctrl-C, and needs no platform: it is for whoever does not run the log. Keeps what it has "
        "cosigned on disk before it answers, and what speaks against a log beside that.",
        example="placet witness --policy logs.policy --name witness.example.org/w1 --state ./witness",
        function="witness:witness",
        arguments=_witness,
    ),
    Verb(
        words="garbage",
        group="govern",
        does="what of the registry nothing needs, and why the rest is kept",
        more="Removes nothing without --collect, and never what runs, is certified or is evidence. For operators and"
        " admins.",
        example="placet garbage --older-than 90",
        function="garbage:garbage",
        arguments=_garbage,
    ),
    Verb(
        words="privacy list",
        group="govern",
        does="everybody whom the platform knows, by opaque id",
        more="With who was erased, who is called by a pseudonym. For compliance and admins.",
        example="placet privacy list",
        function="privacy:people",
    ),
    Verb(
        words="privacy show",
        group="govern",
        does="what is held about a person",
        more="Their name, tokens, words, answers, the sources that name them, and how often they did what. --json is "
        "what to hand them. Everybody may see what is held about themselves, by their own id.",
        example="placet privacy show ada@example.org",
        function="privacy:show",
        arguments=_of_person,
    ),
    Verb(
        words="privacy erase",
        group="govern",
        does="forget a person for good; the audit log holds as before",
        more="Shows what it would do, and does it with --yes: their key is destroyed, and with it their name and "
        "words; their tokens are revoked, their answers removed. The log never had more of them than an opaque id.",
        example="placet privacy erase person:0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21 --yes",
        function="privacy:erase",
        arguments=_erase,
    ),
    Verb(
        words="privacy retention",
        group="govern",
        does="how long what people gave is kept, what would go next, and what is held",
        more="Removes nothing: what is over its time goes once a day by itself, unless a certificate of its project "
        "holds still or the project is held. The audit log is never cut: it has no more of people than opaque ids.",
        example="placet privacy retention",
        function="privacy:retention",
    ),
    Verb(
        words="privacy hold",
        group="govern",
        does="keep all that people gave for a project, however old it gets",
        more="As a court may want it. Nobody who gave something for it can be erased meanwhile.",
        example='placet privacy hold churn --reason "case 12/27 before the labour court"',
        function="privacy:hold",
        arguments=_hold,
    ),
    Verb(
        words="privacy release",
        group="govern",
        does="end a hold: the clocks of the project count again",
        more="What is over its time by then goes with the next day's round.",
        example="placet privacy release churn",
        function="privacy:release",
        arguments=_project,
    ),
    Verb(
        words="services list",
        group="look",
        does="how each service stands, how far behind it is, and what is parked",
        more="TO HEAR are events that it has not handled, TO SEND those of its own that are not sent yet. A service "
        "that does not answer within three seconds is away.",
        example="placet services list",
        function="services:list_all",
    ),
    Verb(
        words="services parked",
        group="look",
        does="the messages that were put aside for a person, and why",
        more="What they say is not shown. For operators and admins.",
        example="placet services parked certifier",
        function="services:parked",
        arguments=_service,
    ),
    Verb(
        words="services retry",
        group="look",
        does="hand a message back to the service that put it aside, or all",
        more="It is handled as it would have been the first time, and once, behind what its project is doing now. What "
        "fails again is parked again. For operators and admins.",
        example="placet services retry certifier --all",
        function="services:retry",
        arguments=_retry,
    ),
    Verb(
        words="token create",
        group="govern",
        does="a token for a person, with roles",
        more="The token is printed once and stored nowhere; its id is what is revoked.",
        example="placet token create --as ada --role approver --ttl 30d",
        function="tokens:create",
        arguments=_token,
    ),
    Verb(
        words="token own",
        group="govern",
        does="for a provider's token one of placet's own",
        more="For models, which take no others. It has your roles, and holds for an hour, and no longer than that in"
        " PLACET_TOKEN.",
        example="placet token own",
        function="tokens:own",
    ),
    Verb(
        words="token list",
        group="govern",
        does="every token that was made, and whose it is",
        more="The newest first, with its roles and until when it holds; never the token itself. For admins.",
        example="placet token list",
        function="tokens:list_all",
    ),
    Verb(
        words="token revoke",
        group="govern",
        does="make a token worthless, at once",
        more="By the token's id.",
        example="placet token revoke 0190b5a2-7c1e-7d3a-9f00-3b1c5f6a7d21",
        function="tokens:revoke",
        arguments=_revoke,
    ),
    Verb(
        words="quota set",
        group="govern",
        does="say what a team or a project may hold altogether",
        more="In place of what was said before: what is not given is not bounded. What runs goes on, whatever it "
        "holds; what does not fit waits in a queue, and what never could is refused. For operators and admins.",
        example="placet quota set --team fraud --cpu 2 --memory 4Gi --models 3",
        function="quotas:put",
        arguments=_quota,
    ),
    Verb(
        words="quota list",
        group="govern",
        does="every quota, and what is live of it",
        more="What is reserved or starting counts for it, too, and is not told here.",
        example="placet quota list",
        function="quotas:all_of_them",
    ),
    Verb(
        words="quota remove",
        group="govern",
        does="let a team or a project hold as much as there is",
        more="Who waited for it has room as soon as the platform has. For operators and admins.",
        example="placet quota remove --team fraud",
        function="quotas:remove",
        arguments=_whose_quota,
    ),
    Verb(
        words="team assign",
        group="govern",
        does="have a project count for a team's quota",
        more="It is of no other team then. It need not exist yet. For operators and admins.",
        example="placet team assign churn fraud",
        function="quotas:assign",
        arguments=_assign,
    ),
    Verb(
        words="team leave",
        group="govern",
        does="have a project be of no team",
        more="It counts for its own quota then, if it has one, and for the platform's room. For operators and admins.",
        example="placet team leave churn",
        function="quotas:leave",
        arguments=_project,
    ),
    Verb(
        words="team list",
        group="govern",
        does="teams with their people and their projects",
        more="Those that were made, and those that have projects or a quota.",
        example="placet team list",
        function="quotas:teams",
    ),
    Verb(
        words="team set",
        group="govern",
        does="make a team, or say who is of it",
        more="Whoever is of it has the roles that the team has on projects. People are named as their tokens are"
        " for. For admins.",
        example="placet team set fraud --member ada --member grace",
        function="sharing:set_team",
        arguments=_set_team,
    ),
    Verb(
        words="team add",
        group="govern",
        does="make somebody a member of a team",
        more="Beside who is of it. For admins.",
        example="placet team add fraud grace",
        function="sharing:add",
        arguments=_member,
    ),
    Verb(
        words="team drop",
        group="govern",
        does="take somebody out of a team",
        more="What they may by the team alone, they may not from the next request on. For admins.",
        example="placet team drop fraud grace",
        function="sharing:drop",
        arguments=_member,
    ),
    Verb(
        words="team disband",
        group="govern",
        does="have a team be no more",
        more="Once it has no role on any project. Which projects count for its quota stays. For admins.",
        example="placet team disband fraud",
        function="sharing:disband",
        arguments=_whole_team,
    ),
    Verb(
        words="project members",
        group="govern",
        does="who has which role on a project",
        more="With nobody, whatever a token allows, it allows there.",
        example="placet project members churn",
        function="sharing:members",
        arguments=_project,
    ),
    Verb(
        words="project grant",
        group="govern",
        does="give somebody, or a team, a role on a project",
        more="In place of the one that they have: an owner gives roles, a deployer asks for releases, stops and scales,"
        " a viewer reads what is private. A token must allow it, too. For owners of the project and admins.",
        example="placet project grant churn team:fraud deployer",
        function="sharing:grant",
        arguments=_role,
    ),
    Verb(
        words="project revoke",
        group="govern",
        does="take somebody's role on a project away",
        more="From the next request on. The last owner stays, but for an admin who takes the last role of all. For"
        " owners of the project and admins.",
        example="placet project revoke churn team:fraud",
        function="sharing:revoke",
        arguments=_grantee,
    ),
    Verb(
        words="project restrict",
        group="govern",
        does="make a project private",
        more="Those alone read anything of it who have a role on it, or who judge, audit and run all. For owners of the"
        " project and admins.",
        example="placet project restrict churn",
        function="sharing:restrict",
        arguments=_project,
    ),
    Verb(
        words="project open",
        group="govern",
        does="have a project be private no more",
        more="For owners of the project and admins.",
        example="placet project open churn",
        function="sharing:open_again",
        arguments=_project,
    ),
)
