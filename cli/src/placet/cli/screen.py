"""Where words go: results on stdout, everything said along the way on stderr.

With `--json` stdout holds JSON and nothing else. Names, reasons and logs come from other people's
models: control characters in them are shown, never obeyed by the terminal.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from placet.errors import PlacetError

_SHOWN = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def in_words(what: str, *, rule: str | None = None, fix: str | None = None) -> list[str]:
    """The one form of every error and reason: what, led by the rule if one said no; below it the next step."""
    said = [f"{rule}: {what}" if rule else what]
    return [*said, f"  fix: {fix}"] if fix else said


def harmless(text: str) -> str:
    return text.translate(_SHOWN)


class Screen:
    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.is_silent = True
        """Whether nothing was said yet along the way."""

    @property
    def notes(self) -> TextIO:
        return sys.stderr

    def result(self, text: str = "") -> None:
        """What was asked for, in words; a script with `--json` gets it from `document`."""
        if self.is_json:
            self.note(text)
        else:
            _tell(sys.stdout, harmless(text))

    def note(self, text: str = "") -> None:
        self.is_silent = False
        _tell(sys.stderr, harmless(text))

    def gap(self) -> None:
        """An empty line, if something stands above it."""
        if not self.is_silent:
            self.note()

    def document(self, document: Mapping[str, Any]) -> None:
        """The one JSON document of a verb; nothing without `--json`."""
        if self.is_json:
            _tell(sys.stdout, json.dumps(document, indent=2))

    def line(self, document: Mapping[str, Any]) -> None:
        """One JSON document of many, one a line, for verbs whose result is that with and without `--json`.

        There may be no end of them: `BrokenPipeError` when nobody reads them any more.
        """
        import msgspec  # not above: `--help` needs none of it, and should be there at once

        line = msgspec.json.encode(document)
        if not line.isascii():
            # There a terminal obeys what JSON need not escape. Always so it would take ten times as long.
            line = json.dumps(document, separators=(",", ":")).encode()
        _write(sys.stdout, line.decode())

    def log_line(self, text: str) -> None:
        """The same, of lines that a model wrote."""
        _write(sys.stdout, harmless(text))

    def close(self) -> None:
        """Send what argparse wrote."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            forget(sys.stdout)

    def error(self, what: str, *, rule: str | None = None, fix: str | None = None) -> None:
        first, *others = in_words(what, rule=rule, fix=fix)
        self.note(f"placet: {first}")
        for line in others:
            self.note(line)

    def failure(self, error: PlacetError) -> None:
        """An error that ends the verb, with nothing else to tell."""
        match error.parts:
            case (only,):
                self.error(only.detail, rule=only.rule, fix=only.fix)
            case several:
                self.error(f"{len(several)} things are wrong")
                for part in several:
                    for line in in_words(part.detail, rule=part.rule, fix=part.fix):
                        self.note(f"  {line}")
        self.document({"error": {"detail": error.detail, "rule": error.rule, "fix": error.fix}})

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object | None]]) -> None:
        """Columns as wide as what is in them, or on a narrower terminal blocks. Nothing is cut: it may be piped."""
        lines = [
            tuple(head),
            *(tuple("-" if cell is None else harmless(str(cell)) for cell in row) for row in rows),
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        said = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        if max(map(len, said)) > self._columns():
            said = _blocks(lines)
        for text in said:
            self.result(text)

    def _columns(self) -> float:
        stream = sys.stderr if self.is_json else sys.stdout
        return shutil.get_terminal_size().columns if stream.isatty() else math.inf


def _blocks(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """A table's rows one below the other, with each cell on a line of its own."""
    head, *rows = lines
    width = max(map(len, head))
    blocks = [
        [f"{name:<{width}}  {cell}" for name, cell in zip(head, row, strict=True) if cell] for row in rows
    ]
    return [line for block in blocks for line in ("", *block)][1:] or [" ".join(head)]


def forget(stream: TextIO) -> None:
    """Write to nowhere from here on, also what is still in the stream's buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _tell(stream: TextIO, text: str) -> None:
    """Nobody who listens is no reason to stop: what a verb comes to is in its exit status, too."""
    try:
        _write(stream, text)
    except BrokenPipeError:
        forget(stream)


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()
