"""What time it is for leases and jobs: the database's, which is the same for all who share it.

By their own clocks, two processes whose clocks are further apart than a lease would both hold it. PostgreSQL is asked
for the time in the statement that compares or writes it. A SQLite file has no clock that could differ: who shares it
shares the machine, and the process's own time is taken, which tests set. How long somebody may rely on a lease is not
told by any of these, but by the event loop's time from before it was asked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class shared_now(FunctionElement[float]):
    """Seconds since 1970; `own` is what the caller's clock says, or the name of a parameter that will be that, for
    databases that have none."""

    name = "shared_now"
    type = sa.Double()
    inherit_cache = True

    def __init__(self, own: datetime | str) -> None:
        kind: sa.Double[float] = sa.Double()
        super().__init__(
            sa.bindparam(own, type_=kind) if isinstance(own, str) else sa.literal(own.timestamp(), kind)
        )


@compiles(shared_now)
def _own(element: shared_now, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clause_expr.element, **options)


@compiles(shared_now, "postgresql")
def _of_the_server(element: shared_now, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(), which is when the transaction began: before it waited for the logs' lock.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
