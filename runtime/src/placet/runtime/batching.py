"""Many requests, few model calls: what arrives while the model is busy is answered by one call.

Nothing ever waits for a batch to fill: a call that may be shared is made when nothing is left to read. A request
that finds the model idle, and was alone before, goes straight through: on the event loop itself if calls of that
size have lately been shorter than `QUICK` (a hop to a thread would cost more than it frees: a thread holds the
interpreter for up to 5 ms at a time), else in the one worker thread. Requests share a call only if their inputs
agree in names, datatypes and row shape and they want the same outputs. If a shared call fails, each is asked alone,
so that a bad row fails only its own request. Whoever waited too long, or is computed for too long, is told so; a
call that was begun goes on, since nothing can end it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from time import perf_counter

import numpy as np

from placet.runtime.model import Model, WrongAnswer
from placet.runtime.signature import Tensors

QUICK = 0.002  # seconds
TURNS = 3
"""Of the event loop that bring nothing new before a call that may be shared."""

Answer = Tensors | Exception


class Full(Exception):
    """More requests wait than the queue holds."""


class Overdue(Exception):
    """It took longer than it may: to be its turn, or to be computed."""

    def __init__(self, *, is_computing: bool, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.is_computing = is_computing
        self.seconds = seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    inputs: Tensors
    outputs: tuple[str, ...]
    rows: int
    kind: object  # equal for requests that may share a call
    answer: asyncio.Future[Tensors]
    since: float  # on the loop's clock


class Batcher:
    """Use from one event loop. `observe(rows, seconds)` hears of every model call, from either thread.

    `within` is how many seconds an answer may take.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_rows: int,
        max_waiting: int,
        within: float = math.inf,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
        quick: float = QUICK,
    ) -> None:
        self._model = model
        self._allowed_rows = max_rows
        self._max_rows = max_rows if model.signature.batches else 1
        self._max_waiting = max_waiting
        self._within = within
        self._observe = observe
        self._quick = quick
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._is_busy = False  # a call is in the thread, or one is due on this loop
        self._is_shared = False
        self._in_thread: list[_Waiting] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._seconds: dict[int, float] = {}  # recent duration of a call, by the bit length of its rows

    def submit(self, inputs: Tensors, outputs: tuple[str, ...]) -> asyncio.Future[Tensors]:
        """Cancel the future to withdraw a request that still waits. Raises `Full`; the future may raise `Overdue`."""
        if len(self._waiting) >= self._max_waiting:
            raise Full
        rows = len(next(iter(inputs.values())))
        kind = (outputs, *((name, array.dtype, array.shape[1:]) for name, array in inputs.items()))
        waiting = _Waiting(inputs, outputs, rows, kind, self._loop.create_future(), self._loop.time())
        self._waiting.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            self._call_soon()
        return waiting.answer

    @property
    def is_quick(self) -> bool:
        """Whether an answer comes too soon for its client to go away meanwhile."""
        return not self._in_thread and self._is_quick_for(1)

    def share(self) -> None:
        """Let requests share calls: the model was seen to answer each row by itself."""
        self._max_rows = self._allowed_rows

    def close(self) -> None:
        """After the last answer; the thread ends."""
        self._thread.shutdown(wait=True)

    def _call_soon(self) -> None:
        """After what this turn of the loop brings; where calls have been shared, after what is on its way, too.

        Whoever was just answered asks again in a moment, and what has arrived must be read before or after the call
        anyway. A request is with us three turns after its connection was ready.
        """
        if self._is_shared:
            self._loop.call_soon(self._gather, len(self._waiting), TURNS)
        else:
            self._loop.call_soon(self._serve)

    def _gather(self, before: int, turns: int) -> None:
        waiting = len(self._waiting)
        if waiting > before and waiting < self._max_rows:
            turns = TURNS
        if turns:
            self._loop.call_soon(self._gather, waiting, turns - 1)
        else:
            self._serve()

    def _serve(self) -> None:
        batch = self._take()
        self._is_shared = len(batch) > 1
        if not batch:
            self._is_busy = False
        elif self._is_quick_for(sum(one.rows for one in batch)):
            try:
                answers: Sequence[Answer] = self._call(batch)
            except Exception as error:  # noqa: BLE001 -- a model may raise anything
                if len(batch) > 1:
                    self._serve_in_thread(self._call_each, batch)
                    return
                answers = [error]
            self._settle(batch, answers)
        else:
            self._serve_in_thread(self._call_safely, batch)

    def _serve_in_thread(
        self, call: Callable[[list[_Waiting]], Sequence[Answer]], batch: list[_Waiting]
    ) -> None:
        self._in_thread = batch
        done = self._loop.run_in_executor(self._thread, call, batch)
        done.add_done_callback(lambda future: self._back(batch, future.result()))
        self._watch()

    def _back(self, batch: list[_Waiting], answers: Sequence[Answer]) -> None:
        self._in_thread = []
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._settle(batch, answers)

    def _watch(self) -> None:
        """Until the oldest of those that are computed or wait is overdue. On the loop itself nothing takes long."""
        if self._within < math.inf:
            pending = (one.since for one in chain(self._in_thread, self._waiting) if not one.answer.done())
            oldest = next(pending, self._loop.time())
            self._deadline = self._loop.call_at(oldest + self._within, self._expire)

    def _expire(self) -> None:
        latest = self._loop.time() - self._within
        for group, is_computing in ((self._in_thread, True), (self._waiting, False)):
            for one in group:
                if one.since <= latest and not one.answer.done():
                    one.answer.set_exception(Overdue(is_computing=is_computing, seconds=self._within))
        self._waiting = deque(one for one in self._waiting if not one.answer.done())
        self._watch()

    def _settle(self, batch: list[_Waiting], answers: Sequence[Answer]) -> None:
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        if self._waiting:
            self._call_soon()
        else:
            self._is_busy = False

    def _take(self) -> list[_Waiting]:
        """The oldest request and those behind it that may share its call; the rest keep their order."""
        batch: list[_Waiting] = []
        others: list[_Waiting] = []
        rows = 0
        while self._waiting and rows < self._max_rows:
            one = self._waiting.popleft()
            if one.answer.done():  # withdrawn
                continue
            if not batch or (one.kind == batch[0].kind and rows + one.rows <= self._max_rows):
                batch.append(one)
                rows += one.rows
            else:
                others.append(one)
        self._waiting.extendleft(reversed(others))
        return batch

    def _is_quick_for(self, rows: int) -> bool:
        return self._seconds.get(rows.bit_length(), self._quick) < self._quick

    def _call(self, batch: list[_Waiting]) -> list[Tensors]:
        first = batch[0]
        rows = sum(one.rows for one in batch)
        started = perf_counter()
        if len(batch) == 1:
            answers = [self._predict(first.inputs, first.outputs)]
        else:
            joined = {name: np.concatenate([one.inputs[name] for one in batch]) for name in first.inputs}
            answers = _split(self._predict(joined, first.outputs), [one.rows for one in batch])
        seconds = perf_counter() - started
        before = self._seconds.get(rows.bit_length(), seconds)
        self._seconds[rows.bit_length()] = 0.7 * before + 0.3 * seconds
        self._observe(rows, seconds)
        return answers

    def _predict(self, inputs: Tensors, outputs: tuple[str, ...]) -> Tensors:
        try:
            return self._model.predict(inputs, outputs)
        except StopIteration as error:  # which no future takes, so that nobody would ever be answered again
            raise WrongAnswer(
                "predict raised StopIteration: a `next` found nothing, and has no default"
            ) from error
        except Exception:
            raise
        except BaseException as error:  # `sys.exit` would end the server, a cancellation would hang it
            said = type(error).__name__
            raise WrongAnswer(f"predict raised {said}, which ends more than one request") from error

    def _call_safely(self, batch: list[_Waiting]) -> Sequence[Answer]:
        try:
            return self._call(batch)
        except Exception as error:  # noqa: BLE001 -- a model may raise anything
            return self._call_each(batch) if len(batch) > 1 else [error]

    def _call_each(self, batch: list[_Waiting]) -> Sequence[Answer]:
        return [self._call_safely([one])[0] for one in batch]


def _split(outputs: Tensors, rows: list[int]) -> list[Tensors]:
    if any(len(array) != sum(rows) for array in outputs.values()):
        raise ValueError("the model answered with another number of rows than it was asked")
    bounds = np.cumsum([0, *rows]).tolist()
    return [{name: array[start:end] for name, array in outputs.items()} for start, end in pairwise(bounds)]
