"""What the audit log needs from outside: selects on its own tables, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Row, Select


class Reads(Protocol):
    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...
