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
import sys
from collections.abc import Sequence
from datetime import datetime

from placet.verifier.bundles import Bundle
from placet.verifier.checks import Check
from placet.verifier.documents import read_moment
from placet.verifier.failures import Wrong
from placet.verifier.notes import NoteKey

DESCRIPTION = "Checks a placet evidence bundle with nothing but Python."


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
        help="tell what was allowed then (default: the moment up to which the bundle goes)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args(arguments)
    try:
        logs = [NoteKey.from_vkey(each) for each in given.log_key]
        witnesses = [NoteKey.from_vkey(each) for each in given.witness]
        bundle = Bundle(given.bundle)
        project, at = str(bundle.index["project"]), _moment(given.at, read_moment(bundle.index["at"]))
    except Wrong as error:
        print(f"cannot be checked: {error}", file=sys.stderr)  # noqa: T201 - it is a program
        return 2
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        print(f"cannot be checked: the list of files is not formed as it has to be: {error}", file=sys.stderr)  # noqa: T201
        return 2
    check = Check(bundle, logs=logs, witnesses=witnesses)
    check.run()
    is_whole = not any(each.outcome == "wrong" for each in check.findings)
    standing = check.standing(project, at) if is_whole else []
    if given.json:
        document = {
            "verified": is_whole,
            "project": project,
            "at": at.isoformat(),
            "findings": [each._asdict() for each in check.findings],
            "standing": standing,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        for each in check.findings:
            print(f"{each.outcome:9}  {each.words}")  # noqa: T201
        for line in standing:
            print(f"at {at.isoformat()}, {project}, {line}")  # noqa: T201
        open_ = sum(each.outcome == "unchecked" for each in check.findings)
        left = f"; {open_} thing{'s' if open_ != 1 else ''} could not be checked" if open_ else ""
        print(f"it holds{left}" if is_whole else "IT DOES NOT HOLD")  # noqa: T201
    return 0 if is_whole else 1


def _moment(asked: str | None, until: datetime) -> datetime:
    """Of what came behind `until` a bundle has nothing, and its silence would be taken for an answer."""
    at = until if asked is None else read_moment(asked)
    if at > until:
        raise Wrong(f"the bundle has what happened up to {until.isoformat()}, and tells nothing of later")
    return at
