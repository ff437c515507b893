"""The `placet` command: reads what was typed, loads the one verb, and turns its end into an exit status.

Speaks HTTP only; `up` and `demo` are the places that know the platform.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from placet.cli import exits
from placet.cli.arguments import parser
from placet.cli.loading import loading
from placet.cli.screen import Screen, forget
from placet.errors import PlacetError, Refused


def main(argv: Sequence[str] | None = None) -> int:
    typed = sys.argv[1:] if argv is None else argv
    screen = Screen(is_json="--json" in typed)
    try:
        status = _carry_out(typed, screen)
        screen.close()
    except BrokenPipeError:
        # Whoever read our lines has gone (`placet events | head`): that is their way of saying enough.
        forget(sys.stdout)
        return exits.CUT_SHORT
    except OSError as failed:
        return _no_machine(failed, screen)
    return status


def _carry_out(typed: Sequence[str], screen: Screen) -> int:
    try:
        return _call(parser().parse_args(typed), screen)
    except SystemExit as said_all:  # --help
        return int(said_all.code or 0)
    except PlacetError as error:
        screen.failure(error)
        if isinstance(error, exits.WrongUsageError) and error.usage:
            screen.note(error.usage.rstrip())
        return exits.of_error(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _no_machine(failed: OSError, screen: Screen) -> int:
    """A file that may not be written, a disk that is full: the matter of this machine, and no defect."""
    reason = failed.strerror or str(failed)
    try:
        screen.failure(Refused(f"{failed.filename}: {reason}" if failed.filename else reason))
        sys.stdout.flush()
    except OSError:
        forget(
            sys.stdout
        )  # it is stdout itself, or Python would end with a status of its own; the words are on stderr
    return exits.REFUSED


def _call(arguments: Namespace, screen: Screen) -> int:
    # Where they are installed, httpx imports click, rich and pygments for a command line of its own: a third of
    # what most verbs take.
    sys.modules.setdefault("httpx._main", ModuleType("httpx._main"))
    module, _, name = arguments.function.partition(":")
    verb = getattr(_loaded(f"placet.cli.verbs.{module}"), name)
    try:
        ended = verb(arguments, screen)
        return ended if isinstance(ended, int) else _run(ended)
    except exits.WrongUsageError as mistake:
        mistake.usage = mistake.usage or arguments.parser.format_usage()
        raise


def _loaded(module: str) -> ModuleType:
    if module in sys.modules:
        return sys.modules[module]
    with loading():
        return import_module(module)


def _run(verb: Coroutine[Any, Any, int]) -> int:
    import asyncio

    return asyncio.run(verb)
