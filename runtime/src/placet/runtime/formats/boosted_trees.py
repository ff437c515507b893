"""What XGBoost and LightGBM have in common: from what their trees sum up to, to classes, probabilities or values.

Neither keeps the names of classes in its native file: a class is its number, from 0. Both take missing values. Asked by
their own `predict`, as MLflow asks a booster, both answer with what the trees sum up to, and no class is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto

import numpy as np

from placet.runtime.model import CannotLoad
from placet.runtime.signature import ANY, DATATYPES, Array, Signature, Tensor, Tensors, datatype_of

MATRIX = "input-0"  # the name that clients of other servers of this protocol already use
MOST_FEATURES = 1 << 24
"""More than a row in a request's body can have. A made-up number would take the machine's memory at the first row."""
PREDICT = "predict"
PROBABILITIES = "predict_proba"


class Meaning(Enum):
    """Of a number that the library gives for a row."""

    VALUE = auto()
    CLASS = auto()
    PROBABILITY = auto()
    """Of class 1, where there are two; in each of several columns, where a row can have several labels."""
    PROBABILITIES = auto()
    """Of each class."""


_OUTPUTS = {
    Meaning.VALUE: (PREDICT,),
    Meaning.CLASS: (PREDICT,),
    Meaning.PROBABILITY: (PREDICT, PROBABILITIES),
    Meaning.PROBABILITIES: (PREDICT, PROBABILITIES),
}


class BoostedTrees:
    """`scores` is the library's own prediction for rows of float numbers of the datatype, NaN where one is missing."""

    def __init__(
        self,
        scores: Callable[[Array], Array],
        meaning: Meaning,
        *,
        platform: str,
        datatype: str,
        features: int,
        names: Sequence[str] | None,
    ) -> None:
        self._scores = scores
        self._meaning = meaning
        if not 0 < features <= MOST_FEATURES:
            raise CannotLoad(
                f"the model says that it takes {features} columns; 1 to {MOST_FEATURES} can be served"
            )
        columns = tuple(names) if names and len(set(names)) == features else None
        rows = Tensor(
            name=MATRIX, datatype=datatype, shape=(ANY, features), may_be_truths=columns is not None
        )
        outputs = self._outputs(scores(np.full((1, features), np.nan, dtype=DATATYPES[datatype])))
        self.signature = Signature(
            platform=platform,
            inputs=(rows,),
            outputs=outputs,
            prediction=PREDICT,
            probabilities=PROBABILITIES if len(outputs) > 1 else None,
            columns=columns,
            takes_missing=True,
            is_by_row=True,
        )

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        scores = self._scores(inputs[MATRIX])
        return {name: self._answer(name, scores) for name in outputs}

    def _answer(self, output: str, scores: Array) -> Array:
        if output == PROBABILITIES:
            is_of_two = self._meaning is Meaning.PROBABILITY and scores.ndim == 1
            return np.stack([1 - scores, scores], axis=1) if is_of_two else scores
        match self._meaning:
            case Meaning.VALUE:
                return scores
            case Meaning.CLASS:
                return scores.astype(np.int64)
            case Meaning.PROBABILITY:
                return (scores > 0.5).astype(np.int64)
            case Meaning.PROBABILITIES:
                likeliest: Array = scores.argmax(axis=1)
                return likeliest

    def _outputs(self, scores: Array) -> tuple[Tensor, ...]:
        has_many = self._meaning is Meaning.PROBABILITY and scores.ndim > 1  # labels to a row, and no classes
        return tuple(
            Tensor(
                name=name,
                datatype=datatype_of(array.dtype),
                shape=(ANY, *array.shape[1:]),
                labels=tuple(range(array.shape[1])) if name == PROBABILITIES and not has_many else (),
            )
            for name, array in ((name, self._answer(name, scores)) for name in _OUTPUTS[self._meaning])
        )
