"""The `placet` command: reads what was typed, loads the one verb, and turns its end into an exit status.

Speaks HTTP only; `up` and `demo` are the places that know the platform.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Sequence
from importlib import import_module
from typing import Any

from placet.cli import exits
from placet.cli.arguments import parser
from placet.cli.screen import Screen
from placet.errors import PlacetError


def main(argv: Sequence[str] | None = None) -> int:
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as said_all:
        return int(said_all.code or 0)
    screen = Screen(is_json=arguments.json)
    module, _, name = arguments.function.partition(":")
    verb = getattr(import_module(f"placet.cli.verbs.{module}"), name)
    try:
        ended = verb(arguments, screen)
        return ended if isinstance(ended, int) else _run(ended)
    except exits.WrongUsageError as mistake:
        screen.note(f"placet: {mistake}\n{arguments.parser.format_usage().rstrip()}")
        return exits.USAGE
    except PlacetError as error:
        screen.error(error)
        screen.document({"error": {"detail": error.detail, "rule": error.rule, "fix": error.fix}})
        return exits.of_error(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`placet events | head`): that is their way of saying enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE


def _run(verb: Coroutine[Any, Any, int]) -> int:
    import asyncio

    return asyncio.run(verb)


if __name__ == "__main__":
    sys.exit(main())
