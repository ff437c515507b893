"""The verb that runs a witness here.

The witness is a package of its own, an extra that is loaded only now: whoever runs one needs no platform.
"""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from placet.cli import exits
from placet.cli.screen import Screen
from placet.errors import PlacetError, Refused, Unavailable
from placet.trust import TrustPolicy
from placet.trust.notes import NoteKey, check_name


async def witness(arguments: Namespace, screen: Screen) -> int:
    logs, program = _logs(arguments), _load()
    try:
        check_name(arguments.name)
    except Refused as error:
        raise exits.WrongUsageError(error.detail, fix=error.fix) from error
    state: Path = arguments.state.absolute()
    me = asyncio.current_task()
    assert me is not None  # noqa: S101 (we run in a task: it is asyncio's own type that is loose)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    with program.only_one(state):
        running = program.open_witness(
            name=arguments.name,
            logs=logs,
            key=(arguments.key or state / "witness.pem").absolute(),
            state=state,
            now=_now,
            tell=screen.note,
        )

        async def on_ready(url: str) -> None:
            screen.note(
                f"the witness {running.name} listens on {url}, its records in {state}; Ctrl-C stops it"
            )
            screen.note(
                "hand its verifier key to the operators of the logs, and to those who write trust policies:"
            )
            screen.result(running.vkey)
            screen.document({"name": running.name, "vkey": running.vkey, "url": url})

        try:
            await program.serve(program.app(running), arguments.host, arguments.port, on_ready=on_ready)
        except asyncio.CancelledError:
            screen.note("the witness is down")
    return exits.DONE


def _logs(arguments: Namespace) -> list[NoteKey]:
    if arguments.policy is not None:
        return [log.key for log in TrustPolicy.load(arguments.policy).logs]
    try:
        return [NoteKey.from_vkey(text) for text in arguments.logs]
    except PlacetError as error:
        raise exits.WrongUsageError(
            error.detail, fix=error.fix or "the log's operator has its verifier key: NAME+ID+KEY"
        ) from error


def _load() -> ModuleType:
    try:
        import placet.witness
    except ModuleNotFoundError as missing:
        raise Unavailable(
            f"the witness is not installed here ({missing.name} is missing)",
            fix="`pip install 'placet-cli[witness]'` installs it",
        ) from missing
    return placet.witness


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
