"""What a process logs, and of whose work: as text for people, or as JSON, one object a line, for what collects it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from opentelemetry import trace

from placet.events.unit_of_work import Context

LogFormat = Literal["text", "json"]

_working_for: ContextVar[Context | None] = ContextVar("working_for", default=None)


@contextmanager
def working_for(context: Context) -> Iterator[None]:
    """What is logged meanwhile is of this project and operation."""
    token = _working_for.set(context)
    try:
        yield
    finally:
        _working_for.reset(token)


def log_to_stderr(service: str, *, level: str, format: LogFormat) -> None:
    """As text, or as JSON with one object a line, for what collects logs."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines(service)
        if format == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])


class JsonLines(logging.Formatter):
    """`time`, `level`, `service`, `logger` and `message`; `project` and `operation` of whose work it is, `trace` and
    `span` where there is one; `error` is the traceback."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (context := _working_for.get()) is not None:
            said |= {"project": context.project, "operation": context.correlation}
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            said |= {
                "trace": trace.format_trace_id(span.trace_id),
                "span": trace.format_span_id(span.span_id),
            }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        # In ASCII: some characters beyond it end a line for who reads lines.
        return json.dumps(said)
