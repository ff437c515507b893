"""What it takes to check an audit log of many events: `placet audit verify`, `placet audit replay`, proofs.

Of a real service in a process of its own, on a PostgreSQL with fsync on, at 100 thousand events and at as many as
`--events` says (see `log.py` for how they come there). The commands are whole: a Python that starts, asks, checks, and
prints into a file that throws away. Beside them the `Auditor` alone, fed over HTTP in this process, whose cost for an
event is compared between the two sizes: no start is in it that a larger log would hide. Proofs are asked for one after
the other over one connection of the standard library's, since what a client does with an answer is no cost of the
log's. Memory is the most that the command's process ever had. Numbers are medians of as many turns as there is time
for, at the larger size of fewer.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import aclosing, closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec
from placet.client import Client
from placet.client.connection import Connection
from placet.trust.auditing import Audited, Auditor, Entry, Known
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Note

from benchmarks.audit.log import Log
from benchmarks.rows import Row, at_most, row
from tests.support.platforms import ROOT
from tests.support.servers import sources

EVENTS = 500_000
SMALL = 100_000
READ = 1_500_000
"""Events that are read for one number, in several turns as long as these are more than the log has."""
TURNS = 3
PROOFS = 1_000
GOAL = 50_000
MORE_MEMORY = 1.1
MORE_COST = 1.2
PROOF_WITHIN = 5.0
"""Milliseconds, of 99 in 100."""
KIB = 1024
"""In a MiB."""

_ENTRIES = msgspec.json.Decoder(Entry)


class Ran(NamedTuple):
    rate: float
    """Events a second."""
    memory: float
    """MiB."""


class Measured(NamedTuple):
    events: int
    auditor: float
    """Events a second."""
    verify: Ran
    replay: Ran
    tree: float
    """Events a second that were brought into it."""
    proof: list[float]
    """Milliseconds, of each."""


async def run(events: int = EVENTS) -> list[Row]:
    with (
        sources.POSTGRES.running() as server,
        tempfile.TemporaryDirectory(prefix="placet-bench-") as folder,
    ):
        log = Log(server.create_database(), Path(folder))
        small, large = [await _measure(log, size, Path(folder)) for size in sorted((SMALL, events))]
    return [*_rows(small), *_rows(large), *_compared(small, large)]


async def _measure(log: Log, size: int, folder: Path) -> Measured:
    before = log.size
    grown = await log.grow(size)
    turns = max(1, min(TURNS, READ // size))
    auditor, verified, replayed = [], [], []
    with log.served() as platform:
        for _ in range(turns):
            auditor.append(await _audit(platform, size))
            verified.append(_command(platform, folder, size, "verify", "--anew"))
            replayed.append(_command(platform, folder, size, "replay"))
        proof = _prove(platform, size)
    return Measured(
        events=size,
        auditor=statistics.median(auditor),
        verify=_median(verified),
        replay=_median(replayed),
        tree=(size - before) / grown,
        proof=proof,
    )


async def _audit(platform: Connection, size: int) -> float:
    async with Client(platform) as client:
        note = Note.from_bytes(await client.checkpoint())
        signed = Checkpoint.from_text(note.text)
        auditor = Auditor(Audited(origin=signed.origin), [Known(signed, "the log")])
        started = perf_counter()
        async with aclosing(client.log_lines(until=size)) as pieces:
            async for piece in pieces:
                auditor.take(_ENTRIES.decode_lines(piece))
        took = perf_counter() - started
    if [each.checkpoint.size for each in auditor.agreed] != [size]:
        raise AssertionError(f"the log of {size} events is not the one that was signed")
    return size / took


def _command(platform: Connection, folder: Path, size: int, verb: str, *words: str) -> Ran:
    """`placet audit VERB`, which begins at the first event."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "PLACET_URL": platform.url,
        "PLACET_TOKEN": str(platform.token),
    }
    command = [sys.executable, "-m", "benchmarks.audit.command", "audit", verb, *words]
    started = perf_counter()
    ran = subprocess.run(  # noqa: S603 - a command of ours
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    took = perf_counter() - started
    if ran.returncode != 0:
        raise AssertionError(f"placet audit {verb} ended with {ran.returncode}: {ran.stderr}")
    return Ran(size / took, int(ran.stderr.split()[-1]) / KIB)


def _prove(platform: Connection, size: int) -> list[float]:
    chosen = random.Random(0)  # noqa: S311 - which positions is no secret
    took = []
    headers = {"Authorization": f"Bearer {platform.token}"}
    with closing(HTTPConnection(platform.url.removeprefix("http://"), timeout=60)) as http:
        for _ in range(PROOFS):
            path = f"/v1/audit/proof?position={chosen.randint(1, size)}"
            started = perf_counter()
            http.request("GET", path, headers=headers)
            answer = http.getresponse()
            proof = answer.read()
            took.append((perf_counter() - started) * 1000)
            if answer.status != HTTPStatus.OK:
                raise AssertionError(f"{path} was answered with {answer.status}: {proof!r}")
    return took


def _median(ran: list[Ran]) -> Ran:
    return Ran(statistics.median(each.rate for each in ran), statistics.median(each.memory for each in ran))


def _rows(at: Measured) -> list[Row]:
    many = f"{at.events:,} events"
    p99 = statistics.quantiles(at.proof, n=100)[98]
    return [
        row(f"audit of {many}: tree and checkpoints, made at once", round(at.tree), "events/s"),
        row(f"audit of {many}: auditor, over HTTP", round(at.auditor), "events/s", goal=GOAL),
        row(f"audit of {many}: placet audit verify", round(at.verify.rate), "events/s", goal=GOAL),
        row(f"audit of {many}: placet audit verify, memory", round(at.verify.memory), "MiB"),
        row(f"audit of {many}: placet audit replay", round(at.replay.rate), "events/s", goal=GOAL),
        row(f"audit of {many}: placet audit replay, memory", round(at.replay.memory), "MiB"),
        row(f"audit of {many}: a proof over HTTP, p50", round(statistics.median(at.proof), 2), "ms"),
        at_most(f"audit of {many}: a proof over HTTP, p99", round(p99, 2), "ms", goal=PROOF_WITHIN),
    ]


def _compared(small: Measured, large: Measured) -> list[Row]:
    beside = f"audit: {large.events:,} events beside {small.events:,}"
    return [
        at_most(f"{beside}, auditor, an event", round(small.auditor / large.auditor, 2), "x", goal=MORE_COST),
        *(
            at_most(f"{beside}, {what}", round(ratio, 2), "x", goal=goal)
            for verb, of_small, of_large in (
                ("verify", small.verify, large.verify),
                ("replay", small.replay, large.replay),
            )
            for what, ratio, goal in (
                (f"{verb}, an event", of_small.rate / of_large.rate, MORE_COST),
                (f"{verb}, memory", of_large.memory / of_small.memory, MORE_MEMORY),
            )
        ),
    ]
