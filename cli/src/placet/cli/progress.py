"""A command on its way, step by step: alive on a terminal, one line a step anywhere else.

Steps of this machine (packing, sending) look like steps of the platform. Which steps there are, and which one
is at work, is what the platform says; nothing is guessed.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from placet.cli.screen import Screen, harmless
from placet.client.documents import Operation, Step

if TYPE_CHECKING:
    from rich.text import Text

_COLUMN = len("requested")
_OVER = ("done", "refused", "failed", "interrupted")


class Progress(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def local(self, step: Step) -> None:
        """A step of this machine: shown again under the same name, it has changed."""

    def show(self, operation: Operation) -> None: ...


def progress(screen: Screen) -> Progress:
    if screen.notes.isatty() and os.environ.get("TERM") != "dumb":
        return LiveProgress(screen)
    return PlainProgress(screen)


class PlainProgress:
    """A line for each step when it is over, and for what it says of itself while the platform is at it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: set[str] = set()
        self._said: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def local(self, step: Step) -> None:
        if step.state not in _OVER or step.name in self._told:
            return
        self._told.add(step.name)
        line = f"{step.state:<8} {step.name:<{_COLUMN}} {_seconds(step.seconds):>8}  {step.detail or ''}"
        self._screen.note(line.rstrip())

    def show(self, operation: Operation) -> None:
        for step in operation.steps:
            if step.state == "running" and step.detail and step.detail != self._said:
                self._said = step.detail
                self._screen.note(f"{'waiting':<8} {step.name:<{_COLUMN}} {'':>8}  {step.detail}")
            self.local(step)


class LiveProgress:
    """The list of steps, redrawn in place; the last picture stays."""

    def __init__(self, screen: Screen) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._screen = screen
        self._console = Console(file=screen.notes, highlight=False)
        unicode = "utf" in self._console.encoding.lower()
        self._spinner = Spinner("dots" if unicode else "line")
        self._marks = {
            "done": ("✓" if unicode else "+", "green"),
            "refused": ("✗" if unicode else "x", "red"),
            "failed": ("✗" if unicode else "x", "red"),
            "interrupted": ("✗" if unicode else "x", "yellow"),
            "awaiting": ("…" if unicode else "~", "yellow"),
            "waiting": ("·" if unicode else ".", "dim"),
        }
        self._local: dict[str, Step] = {}
        self._operation: Operation | None = None
        self._began: dict[str, float] = {}
        self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=12)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def local(self, step: Step) -> None:
        self._local[step.name] = step
        self._draw()

    def show(self, operation: Operation) -> None:
        self._operation = operation
        self._draw()

    def _draw(self) -> None:
        self._screen.is_silent = False
        self._live.start()  # once; before there is a step there is nothing to draw, not even an empty line
        self._live.refresh()

    def _picture(self) -> Text:
        from rich.text import Text

        return Text("\n", no_wrap=True, overflow="ellipsis").join(self._line(step) for step in self._steps())

    def _steps(self) -> list[Step]:
        """What is worth showing: of an operation that ended early, not the steps it never came to."""
        steps = list(self._local.values())
        if self._operation is None:
            return steps
        for step in self._operation.steps:
            if self._operation.is_over and step.state == "waiting":
                if self._operation.state == "awaiting":
                    steps.append(Step(name=step.name, state="awaiting", detail=step.detail))
                break
            steps.append(step)
        return steps

    def _line(self, step: Step) -> Text:
        from rich.text import Text

        seconds = step.seconds
        if step.state == "running":
            now = time.monotonic()
            seconds = now - self._began.setdefault(step.name, now)
            frames = self._spinner.frames
            mark, colour, weight = frames[int(now * 1000 / self._spinner.interval) % len(frames)], "", "bold"
        else:
            mark, colour = self._marks.get(step.state, self._marks["waiting"])
            weight = "dim" if step.state == "waiting" else ""
        return Text.assemble(
            ("  ", ""),
            (mark, colour),
            (f" {harmless(step.name):<{_COLUMN}}", weight),
            (f" {_seconds(seconds):>8}  ", "dim"),
            (harmless(step.detail or ""), "red" if step.state in ("refused", "failed") else "dim"),
        )


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 100:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
