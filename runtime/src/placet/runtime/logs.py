"""One JSON object a line on stderr, for each event of the process; none for a request."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

import msgspec


class Log:
    def __init__(self, project: str, stream: TextIO = sys.stderr) -> None:
        self._logger = logging.Logger("placet.runtime")
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_JsonLines(project))
        self._logger.addHandler(handler)
        # what libraries have to say goes the same way; uvicorn's chatter about its own start does not
        logging.captureWarnings(capture=True)
        logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)

    def info(self, event: str, **fields: object) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, *, error: BaseException, **fields: object) -> None:
        self._logger.error(event, extra={"fields": fields}, exc_info=error)


class _JsonLines(logging.Formatter):
    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            "project": self._project,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _carried(_shown(record.exc_info[1]))
            line["traceback"] = _carried("".join(traceback.format_exception(record.exc_info[1])))
        return msgspec.json.encode(line, enc_hook=str).decode()


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException:  # noqa: BLE001 -- a model's own error may do anything when it is asked
        return type(error).__name__


def _carried(text: str) -> str:
    """Without the half characters that JSON cannot carry."""
    return text.encode(errors="backslashreplace").decode()
