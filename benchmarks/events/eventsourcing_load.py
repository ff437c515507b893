"""Makes load for `appends.py` with the library `eventsourcing`, as its tutorial does: one aggregate, one event a save.

Runs in a virtual environment with that library and nothing of ours: `python eventsourcing_load.py URL`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Thread
from time import perf_counter
from urllib.parse import urlsplit

POOL = 32
"""Connections, and threads, at most: more of either made it slower."""


def main(url: str) -> None:
    parts = urlsplit(url)
    os.environ.update(
        PERSISTENCE_MODULE="eventsourcing.postgres",
        POSTGRES_DBNAME=parts.path.removeprefix("/"),
        POSTGRES_HOST=parts.hostname or "",
        POSTGRES_PORT=str(parts.port),
        POSTGRES_USER=parts.username or "",
        POSTGRES_PASSWORD=parts.password or "",
        POSTGRES_POOL_SIZE=str(POOL),
        POSTGRES_MAX_OVERFLOW="0",
    )
    # Reads the environment when it is imported.
    from eventsourcing.application import Application  # type: ignore[import-not-found]
    from eventsourcing.domain import Aggregate, event  # type: ignore[import-not-found]

    class Release(Aggregate):  # type: ignore[misc]
        @event("ImageBuilt")  # type: ignore[untyped-decorator]
        def __init__(
            self, project: str, release: int, image: str, repository: str, size: int, lock: str
        ) -> None:
            self.project = project
            self.release = release
            self.image = image
            self.repository = repository
            self.size = size
            self.lock = lock

    application = Application()

    def append() -> None:
        application.save(
            Release(
                project="churn",
                release=7,
                image=f"sha256:{'1d' * 32}",
                repository="models/churn",
                size=67_108_864,
                lock=f"sha256:{'0c' * 32}",
            )
        )

    for line in sys.stdin:
        requests, seconds = line.split()
        print(rate(append, min(int(requests), POOL), float(seconds)), flush=True)  # noqa: T201 - the parent reads it
    application.close()


def rate(request: Callable[[], None], requests: int, seconds: float) -> float:
    counts: list[int] = []
    started = perf_counter()

    def ask() -> None:
        done = 0
        while perf_counter() - started < seconds:
            request()
            done += 1
        counts.append(done)

    threads = [Thread(target=ask) for _ in range(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1])
