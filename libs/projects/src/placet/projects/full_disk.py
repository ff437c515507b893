"""A disk without room is nobody's fault who sends a file, and it passes: it is told as such, and not as a bug."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from placet.errors import Unavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room on the disk, in a quota, or in a single file of a process that is bounded."""
TRY_AGAIN = 30.0
"""Seconds: somebody has to make room first, or others' uploads to end."""


@contextmanager
def told_when_full() -> Iterator[None]:
    """Around what writes down what others send: raises Unavailable where there is no room for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Unavailable(
            f"the platform's disk has no room for what is sent: {error.strerror}",
            fix="nothing of it was kept; an operator makes room where the platform keeps its temporary files (TMPDIR),"
            " then send it again",
            retry_after=TRY_AGAIN,
        ) from error
