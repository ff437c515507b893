"""What shares a model call, who waits, and who fails alone; with a model that a test holds in its hand."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Collection

import numpy as np
import pytest
from placet.runtime.batching import Batcher, Full, Overdue
from placet.runtime.model import WrongAnswer
from placet.runtime.signature import ANY, Signature, Tensor, Tensors

from tests.support.eventually import eventually

BATCHED = Signature(
    platform="test",
    inputs=(Tensor(name="x", datatype="FP64", shape=(ANY, ANY)),),
    outputs=(
        Tensor(name="y", datatype="FP64", shape=(ANY,)),
        Tensor(name="z", datatype="FP64", shape=(ANY,)),
    ),
    prediction="y",
    is_by_row=True,
)
FIXED = Signature(
    platform="test",
    inputs=(Tensor(name="x", datatype="FP64", shape=(1, 1)),),
    outputs=(Tensor(name="y", datatype="FP64", shape=(1,)),),
    prediction="y",
)


class HeldModel:
    """Doubles. Waits at its gate in every call while that is closed, and remembers what it was asked and where."""

    def __init__(self, signature: Signature = BATCHED) -> None:
        self.signature = signature
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[list[float]] = []
        self.threads: list[str] = []

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        rows = inputs["x"]
        self.calls.append(rows[:, 0].tolist())
        self.threads.append(threading.current_thread().name)
        self.gate.wait(60)
        if (rows < 0).any():
            raise ValueError("below zero")
        if (rows == 13).any():
            sys.exit(0)
        if (rows == 14).any():
            raise asyncio.CancelledError
        if (rows == 15).any():
            raise StopIteration
        if (rows == 404).any():
            return {name: np.zeros(0) for name in outputs}
        return {name: rows[:, 0] * 2 for name in outputs}


@pytest.fixture
def model() -> HeldModel:
    return HeldModel()


@pytest.fixture
async def busy(model: HeldModel) -> AsyncIterator[Batcher]:
    """A batcher whose model is held in its first call, for row 1; at most eight rows a call, nine waiting."""
    batcher = Batcher(model, max_rows=8, max_waiting=9, quick=0)
    model.gate.clear()
    ask(batcher, 1)
    await eventually(lambda: model.calls == [[1]])
    yield batcher
    model.gate.set()
    batcher.close()


def ask(
    batcher: Batcher, *rows: float, width: int = 1, outputs: tuple[str, ...] = ("y",)
) -> asyncio.Future[Tensors]:
    return batcher.submit({"x": np.array([[row] * width for row in rows])}, outputs)


async def answered(*asked: asyncio.Future[Tensors]) -> list[list[float]]:
    return [tensors["y"].tolist() for tensors in await asyncio.gather(*asked)]


async def test_what_waits_is_answered_by_one_call_each_with_its_own_rows(
    model: HeldModel, busy: Batcher
) -> None:
    asked = [ask(busy, 2), ask(busy, 3, 4), ask(busy, 5)]

    model.gate.set()

    assert await answered(*asked) == [[4], [6, 8], [10]]
    assert model.calls == [[1], [2, 3, 4, 5]]


async def test_who_was_just_answered_shares_the_next_call_with_who_asks_some_turns_later(
    model: HeldModel,
) -> None:
    """As requests do that come over connections: they are with us some turns of the loop after an answer."""
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=3600)
    await answered(*[ask(batcher, row) for row in range(8)])
    model.calls.clear()

    async def asks_again(row: int) -> None:
        for _ in range(5):
            for _ in range(row % 4):
                await asyncio.sleep(0)
            await ask(batcher, row)

    await asyncio.gather(*[asks_again(row) for row in range(8)])
    assert [len(rows) for rows in model.calls] == [8] * 5
    batcher.close()


async def test_who_is_alone_again_waits_for_nobody(model: HeldModel) -> None:
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=3600)
    await answered(ask(batcher, 1), ask(batcher, 2))
    await ask(batcher, 3)
    await ask(batcher, 4)  # now known to be alone, and to be quick

    asked = ask(batcher, 5)
    await asyncio.sleep(0)
    assert asked.done()
    batcher.close()


async def test_a_call_is_never_larger_than_the_limit(model: HeldModel, busy: Batcher) -> None:
    asked = [ask(busy, 2, 2, 2), ask(busy, 3, 3, 3), ask(busy, 4, 4, 4), ask(busy, *[5.0] * 20)]

    model.gate.set()

    await answered(*asked)
    assert [len(call) for call in model.calls] == [1, 6, 3, 20]  # one request is never cut in two


async def test_requests_that_differ_do_not_share_a_call(model: HeldModel, busy: Batcher) -> None:
    asked = [
        ask(busy, 2),
        ask(busy, 3, width=2),
        ask(busy, 4),
        ask(busy, 5, outputs=("y", "z")),
        ask(busy, 6, width=2),
    ]

    model.gate.set()

    assert await answered(*asked) == [[4], [6], [8], [10], [12]]
    assert model.calls == [[1], [2, 4], [3, 6], [5]]


async def test_a_bad_row_fails_alone(model: HeldModel, busy: Batcher) -> None:
    good, bad, fine = ask(busy, 2), ask(busy, 3, -1), ask(busy, 4)

    model.gate.set()

    assert await answered(good, fine) == [[4], [8]]
    with pytest.raises(ValueError, match="below zero"):
        await bad
    assert model.calls[1:] == [[2, 3, -1, 4], [2], [3, -1], [4]]


async def test_an_answer_of_other_rows_than_asked_is_nobodys(model: HeldModel, busy: Batcher) -> None:
    asked = [ask(busy, 2), ask(busy, 404)]

    model.gate.set()

    assert await answered(*asked) == [[4], []]


async def test_a_withdrawn_request_is_not_asked(model: HeldModel, busy: Batcher) -> None:
    withdrawn, kept = ask(busy, 2), ask(busy, 3)
    withdrawn.cancel()

    model.gate.set()

    assert await answered(kept) == [[6]]
    assert model.calls == [[1], [3]]


async def test_a_full_queue_refuses(model: HeldModel, busy: Batcher) -> None:
    asked = [ask(busy, 2) for _ in range(9)]

    with pytest.raises(Full):
        ask(busy, 3)

    model.gate.set()
    assert await answered(*asked) == [[4]] * 9


async def test_four_thousand_may_wait_and_take_what_their_rows_take(model: HeldModel) -> None:
    batcher = Batcher(model, max_rows=4096, max_waiting=4096, quick=0)
    model.gate.clear()
    first = ask(batcher, 1)
    await eventually(lambda: model.calls == [[1]])
    tracemalloc.start()
    asked = [ask(batcher, 2) for _ in range(4096)]
    held, _ = tracemalloc.get_traced_memory()
    for _ in range(4096):
        with pytest.raises(Full):
            ask(batcher, 3)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    model.gate.set()
    assert await answered(first, *asked) == [[2]] + [[4]] * 4096
    assert held < 4096 * 2048
    assert after < 1.1 * held
    batcher.close()


async def test_who_waits_or_is_computed_for_too_long_is_told_which(model: HeldModel) -> None:
    batcher = Batcher(model, max_rows=1, max_waiting=8, quick=0, within=3.0)
    model.gate.clear()
    computed = ask(batcher, 1)
    await eventually(lambda: model.calls == [[1]])
    waiting = ask(batcher, 2)

    with pytest.raises(Overdue) as of_computed:
        await computed
    with pytest.raises(Overdue) as of_waiting:
        await waiting
    assert of_computed.value.is_computing
    assert not of_waiting.value.is_computing

    model.gate.set()
    await eventually(lambda: not batcher._in_thread)
    assert await answered(ask(batcher, 3)) == [[6]]
    assert model.calls == [[1], [3]]
    batcher.close()


async def test_a_model_of_fixed_rows_is_asked_one_by_one() -> None:
    model = HeldModel(FIXED)
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=0)

    assert await answered(*[ask(batcher, row) for row in (1, 2, 3)]) == [[2], [4], [6]]
    assert model.calls == [[1], [2], [3]]
    batcher.close()


async def test_a_quick_model_stays_on_the_loop_once_it_is_known_to_be_quick(model: HeldModel) -> None:
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=3600)

    for row in (1, 2):
        await ask(batcher, row)
    assert await answered(ask(batcher, 3), ask(batcher, 4)) == [[6], [8]]
    with pytest.raises(ValueError, match="below zero"):
        await ask(batcher, -1)

    here = threading.current_thread().name
    # one row and two rows are measured apart, each first in the thread
    assert [thread == here for thread in model.threads] == [False, True, False, True]
    batcher.close()


async def test_a_shared_call_that_fails_on_the_loop_is_sorted_out_in_the_thread(model: HeldModel) -> None:
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=3600)
    await answered(ask(batcher, 1), ask(batcher, 2))

    good, bad = ask(batcher, 3), ask(batcher, -1)

    assert await answered(good) == [[6]]
    with pytest.raises(ValueError, match="below zero"):
        await bad
    here = threading.current_thread().name
    assert [thread == here for thread in model.threads] == [False, True, False, False]
    batcher.close()


@pytest.mark.parametrize("quick", [0, 3600])
@pytest.mark.parametrize(("row", "name"), [(13, "SystemExit"), (14, "CancelledError"), (15, "StopIteration")])
async def test_what_would_end_the_server_fails_its_own_request_only(
    model: HeldModel, quick: float, row: float, name: str
) -> None:
    batcher = Batcher(model, max_rows=8, max_waiting=8, quick=quick)
    await answered(ask(batcher, 1))
    await answered(ask(batcher, 1), ask(batcher, 2))

    with pytest.raises(WrongAnswer, match=f"predict raised {name}"):
        await ask(batcher, row)
    good, bad = ask(batcher, 3), ask(batcher, row)

    assert await answered(good) == [[6]]
    with pytest.raises(WrongAnswer, match=f"predict raised {name}"):
        await bad
    batcher.close()


async def test_every_call_is_heard_of_with_its_rows(model: HeldModel) -> None:
    heard: list[int] = []
    batcher = Batcher(model, max_rows=8, max_waiting=8, observe=lambda rows, seconds: heard.append(rows))

    await answered(ask(batcher, 1, 2, 3))

    assert heard == [3]
    batcher.close()
