"""Does a model answer each row by itself, so that requests may share a call? Where no format says, it is tried.

A first dimension of any size need not count rows: a recurrent network exported as PyTorch lays it out has time there,
and two requests put after one another would be one longer story. So the sample is asked alone, something like it alone,
and both together; what answers otherwise then is asked by each request alone for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from placet.runtime.signature import Array, Tensors

Ask = Callable[[Tensors], Awaitable[Tensors]]
_NEAR = {np.dtype(np.float16): 1e-2}
"""How far answers may lie apart, relatively: how many rows a call has changes the order of sums."""


async def answers_by_row(ask: Ask, sample: Tensors) -> bool:
    """As far as trying shows. False where asking for both together fails."""
    alone = await ask(sample)
    for other in (_something_like(sample), sample):
        try:
            beside = await ask(other)
        except Exception:  # noqa: BLE001, S112 -- no model has to take what only resembles its sample
            continue
        return await _together(ask, (sample, other), (alone, beside))
    return False


async def _together(ask: Ask, asked: tuple[Tensors, Tensors], alone: tuple[Tensors, Tensors]) -> bool:
    joined = {name: np.concatenate([each[name] for each in asked]) for name in asked[0]}
    rows = [len(next(iter(each.values()))) for each in asked]
    try:
        answers = await ask(joined)
    except Exception:  # noqa: BLE001 -- a model may raise anything
        return False
    return all(
        len(answer) == sum(rows)
        and _are_near(answer[: rows[0]], alone[0][name])
        and _are_near(answer[rows[0] :], alone[1][name])
        for name, answer in answers.items()
    )


def _something_like(sample: Tensors) -> Tensors:
    """Other numbers where those may be any; the same rows from behind."""
    return {
        name: array[::-1] * array.dtype.type(1.25) + array.dtype.type(0.5)
        if array.dtype.kind == "f"
        else array[::-1]
        for name, array in sample.items()
    }


def _are_near(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool((one == other).all())
    near = _NEAR.get(one.dtype, 1e-4)
    return bool(np.allclose(one, other, rtol=near, atol=near * 1e-2, equal_nan=True))
