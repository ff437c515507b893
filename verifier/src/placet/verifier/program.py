"""Checks a placet evidence bundle with nothing but Python: no network, no database, no installed package.

A bundle says of a model: these events are in the log, this is what was certified, by these policies, of this evidence.
What is checked: every file against the list of files; that the log's key signed the checkpoint, and who else saw it;
that every event is in the tree of that checkpoint; that certificates and assessments are signed by keys that the log
itself names, while those were active; that policies, facts and evidence are the bytes whose digests are in the log; and
then the rules are run again, on the facts that were recorded, and their verdicts held against those given.

It believes no word of whoever made the bundle but one: which key the log signs with. Give that with --log-key, from
somebody else than them. What it cannot tell is that no event was left out: that needs the whole log, and is what
`placet audit verify` proves. What it can neither read nor decide is said to be unchecked, and never guessed.

Ends with 0 if all holds, 1 if something does not, 2 where there is nothing to check. Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

from placet.verifier.bundles import Bundle
from placet.verifier.checks import Check
from placet.verifier.documents import read_moment, write_moment
from placet.verifier.failures import Wrong
from placet.verifier.notes import LOG, WITNESS, NoteKey

DESCRIPTION = "Checks a placet evidence bundle with nothing but Python."
_FIX_OF_KEY = (
    "give a verifier key whole and in quotes, 'NAME+HASH+KEY': of the log as `placet audit verify` shows it, of a"
    " witness as who runs it told you"
)
_FIX_OF_FILE = (
    "name the archive that `placet audit export` wrote; if it is that one, have it sent again, and if it stays so,"
    " it was changed on its way"
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument("bundle", metavar="BUNDLE.zip")
    parser.add_argument(
        "--log-key", action="append", default=[], metavar="VKEY", help="a key of the log, as you know it"
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="somebody who has to have seen it"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="tell what was allowed then; a time, or a day up to its end in UTC (default: the moment up to which"
        " the bundle goes)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given, more = parser.parse_known_args(arguments)
    if more and not any(each.startswith("-") for each in more):
        parser.error(f"one bundle at a time: choose one of {', '.join([given.bundle, *more])}")
    if more:
        parser.error(f"there is no option {' '.join(more)}")
    try:
        logs = _keys(given.log_key, LOG, "--log-key")
        witnesses = _keys(given.witness, WITNESS, "--witness")
    except Wrong as error:
        return _cannot(str(error), fix=_FIX_OF_KEY)
    try:
        asked = None if given.at is None else _read_asked(given.at)
    except Wrong as error:
        return _cannot(str(error), fix="write 2027-01-31T12:00:00Z, or a day: 2027-01-31")
    try:
        bundle = Bundle(given.bundle)
        project, ends = bundle.index["project"], read_moment(bundle.index["at"])
        at = asked or ends
    except Wrong as error:
        return _cannot(str(error), fix=_FIX_OF_FILE)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return _cannot(f"the list of files is not formed as it has to be: {error}", fix=_FIX_OF_FILE)
    if at > ends:
        return _cannot(
            f"the bundle has what happened up to {write_moment(ends)}, and tells nothing of later",
            fix="ask for a later one, or about an earlier time",
        )
    check = Check(bundle, logs=logs, witnesses=witnesses)
    check.run()
    standing = check.standing(project, at) if check.is_whole else []
    is_whole = check.is_whole
    if given.json:
        document = {
            "verified": is_whole,
            "project": project,
            "at": write_moment(at),
            "findings": [each._asdict() for each in check.findings],
            "standing": standing,
        }
        print(json.dumps(document, indent=2))  # noqa: T201 - it is a program
    else:
        for each in check.findings:
            _print(f"{each.outcome:9}  {each.words}")
        for line in standing:
            _print(f"at {write_moment(at)}, {project}, {line}")
        open_ = sum(each.outcome == "unchecked" for each in check.findings)
        left = f"; {open_} thing{'s' if open_ != 1 else ''} could not be checked" if open_ else ""
        _print(f"it holds{left}" if is_whole else "IT DOES NOT HOLD")
    return 0 if is_whole else 1


def _keys(typed: Sequence[str], kind: int, option: str) -> list[NoteKey]:
    """Each once. A log that is asked whether it saw itself says yes."""
    keys = list(dict.fromkeys(NoteKey.from_vkey(each) for each in typed))
    for each in keys:
        if each.kind != kind:
            whose = "a witness's" if each.kind == WITNESS else "a log's"
            raise Wrong(f"the key of {each.name} is {whose}, and no key for {option}")
    return keys


def _read_asked(text: str) -> datetime:
    """A day is meant up to its end in UTC, as `placet audit export` takes it."""
    return read_moment(f"{text}T23:59:59.999Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text)


def _cannot(why: str, *, fix: str) -> int:
    _print(f"cannot be checked: {why}", into=sys.stderr)
    _print(f"  fix: {fix}", into=sys.stderr)
    return 2


def _print(line: str, into: TextIO | None = None) -> None:
    """One line, whatever stands in names that somebody else chose: no terminal is told anything by it."""
    stream = into or sys.stdout
    plain = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
    known = plain.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8")
    print(known, file=stream)
