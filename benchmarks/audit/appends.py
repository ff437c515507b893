"""Appends a second to the audit log: while the Merkle tree over it grows and is signed, beside none of that.

Both on one PostgreSQL with fsync on, each in a process and a database of its own, one event a request. They take
turns, in rounds, and in who begins, since what one leaves the server to do it does beside the next. The share is the
median of the rounds' shares, and counts only as the tree caught up after each. How long that takes, from the last
append on, is at worst the pause between two checkpoints and what there was to do.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.events.appends import Maker, running
from benchmarks.rows import Row, at_most, row
from tests.support.servers import PostgreSQL, sources

ROUNDS = 8
SECONDS = 2.0
REQUESTS = (32, 200)
GOAL = 0.9
LEVEL_WITHIN = 1.0
"""Seconds: that no event waits longer for its checkpoint is promised."""


def run() -> list[Row]:
    with (
        sources.POSTGRES.running() as server,
        tempfile.TemporaryDirectory(prefix="placet-bench-") as folder,
        _maker("plain", server, folder) as plain,
        _maker("sealed", server, folder) as sealed,
    ):
        for each in (plain, sealed):
            each.rate(REQUESTS[0], SECONDS)  # connections, caches, first pages
        sealed.ask("level")
        return [each for requests in REQUESTS for each in _compared(plain, sealed, requests)]


def _compared(plain: Maker, sealed: Maker, requests: int) -> list[Row]:
    without: list[float] = []
    beside: list[float] = []
    level: list[float] = []
    for number in range(ROUNDS):
        for each in (plain, sealed) if number % 2 else (sealed, plain):
            (beside if each is sealed else without).append(each.rate(requests, SECONDS))
            if each is sealed:
                level.append(sealed.ask("level"))
    share = statistics.median(mine / theirs for mine, theirs in zip(beside, without, strict=True))
    what = f"audit log: {requests} concurrent appends"
    return [
        row(f"{what}, without a tree", round(statistics.median(without)), "events/s"),
        row(f"{what}, Merkle-committed", round(statistics.median(beside)), "events/s"),
        row(f"{what}, Merkle-committed beside without", round(share, 2), "x", goal=GOAL),
        at_most(f"{what}, the tree is level behind the last", round(max(level), 2), "s", goal=LEVEL_WITHIN),
    ]


def _maker(kind: str, server: PostgreSQL, folder: str) -> contextlib.AbstractContextManager[Maker]:
    keys = Path(folder) / kind
    keys.mkdir()
    command = [
        sys.executable,
        "-m",
        "benchmarks.audit.append_load",
        kind,
        server.create_database(),
        str(keys),
    ]
    return running(command)
