"""scikit-learn estimators and pipelines, from skops or, where somebody excepted it, joblib or pickle.

A skops file names the types it wants to build, and builds only those that are trusted: by skops, or by the
platform, whose list comes with the image and is never taken from the file. A model that could name what it
trusts would be a pickle again (GHSA-w582-9x45-8mpx). Unpickling runs code; whether that is done is decided before,
by the certifier for the platform, and by `placet.runtime.model.load` for this process.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from placet.runtime.columns import Column, matrix_datatype, of_names
from placet.runtime.formats.forests import forest
from placet.runtime.formats.linear import PREDICT, PROBABILITIES, linear
from placet.runtime.model import CannotLoad
from placet.runtime.signature import ANY, Array, Signature, Tensor, Tensors, datatype_of

MATRIX = "input-0"  # the name that clients of other servers of this protocol already use

# `predict` of these is by definition the class of the highest `predict_proba`: one call instead of two
_PREDICTS_THE_LIKELIEST = frozenset(
    {"DecisionTreeClassifier", "ExtraTreeClassifier", "ExtraTreesClassifier", "RandomForestClassifier"}
)


class SklearnModel:
    """`method` is the one whose answer alone is given; None is `predict`, with probabilities where there are any."""

    def __init__(
        self, estimator: Any, *, platform: str, declared: Sequence[Column] = (), method: str | None = None
    ) -> None:
        self._estimator = estimator
        self._method = method
        is_pipeline = isinstance(estimator, Pipeline)
        self._final = estimator.steps[-1][1] if is_pipeline else estimator
        steps = list(_before_last(estimator)) if is_pipeline else []
        self._transforms = [step.transform for step in steps]
        self._forest = forest(self._final)
        self._predicts_the_likeliest = type(self._final).__name__ in _PREDICTS_THE_LIKELIEST
        names = getattr(estimator, "feature_names_in_", None)
        self._columns = None if names is None else [str(name) for name in names]
        if declared:
            self._columns = [column.name for column in declared]
        inputs = _declared_inputs(declared) or _inputs(estimator, self._columns)
        self._assemble = _assembly(inputs, self._columns, _nones(estimator, self._columns))
        has_classes = isinstance(getattr(estimator, "classes_", None), np.ndarray)
        has_probabilities = has_classes and hasattr(estimator, "predict_proba")
        self.signature = Signature(
            platform=platform,
            inputs=inputs,
            outputs=_outputs(estimator, has_classes=has_classes, has_probabilities=has_probabilities)
            if method is None
            else (_output_of(estimator, method),),
            prediction=method or PREDICT,
            probabilities=PROBABILITIES if has_probabilities and method is None else None,
            columns=tuple(self._columns)
            if self._columns and len(inputs) == 1 and inputs[0].name == MATRIX
            else None,
            takes_missing=_takes_missing(estimator) or any(tensor.is_optional for tensor in inputs),
            is_by_row=True,
        )
        outputs = [tensor.name for tensor in self.signature.outputs]
        self._linear = linear(steps, self._final, outputs) if method in (None, PROBABILITIES) else None

    def with_columns(self, columns: Sequence[Column]) -> SklearnModel:
        """Those that it was trained on, in their order."""
        names = getattr(self._estimator, "feature_names_in_", None)
        if names is not None:
            chosen = of_names([str(name) for name in names], columns)
        else:
            is_whole = getattr(self._estimator, "n_features_in_", None) == len(columns)
            chosen = tuple(columns) if is_whole else None
        if chosen is None:
            return self
        platform, method = self.signature.platform, self._method
        return SklearnModel(self._estimator, platform=platform, declared=chosen, method=method)

    def predict(self, inputs: Tensors, outputs: Collection[str]) -> Tensors:
        if self._linear is not None:
            known = self._linear.answer(inputs.get(MATRIX), outputs)
            if known is not None:
                return known
        rows = self._assemble(inputs)
        if self._method not in (None, PROBABILITIES):
            return {self._method: _dense(getattr(self._estimator, self._method)(rows))}
        for transform in self._transforms:  # once, however many outputs are wanted of it
            rows = transform(rows)
        answer: Tensors = {}
        mean = None if self._forest is None else self._forest.mean(rows)
        if PROBABILITIES in outputs:
            answer[PROBABILITIES] = np.asarray(self._final.predict_proba(rows)) if mean is None else mean
        if PREDICT in outputs:
            answer[PREDICT] = self._prediction(rows, answer.get(PROBABILITIES, mean))
        return answer

    def _prediction(self, rows: Any, known: Array | None) -> Array:
        """`known` are the probabilities, or what the trees of a forest answer on average."""
        if known is None:
            return np.asarray(self._final.predict(rows))
        if self._predicts_the_likeliest:
            likeliest: Array = self._final.classes_.take(known.argmax(axis=1))
            return likeliest
        return np.asarray(self._final.predict(rows)) if self._forest is None else known[:, 0]


def load(path: Path, trusted: Collection[str], method: str | None = None) -> SklearnModel:
    match path.suffix:
        case ".skops":
            return _checked(_from_skops(path, trusted), path, platform="sklearn_skops", method=method)
        case ".joblib" | ".pkl" | ".pickle":
            return _checked(_from_joblib(path), path, platform="sklearn_joblib", method=method)
    raise CannotLoad(
        f"{path.name} is neither .skops nor .joblib; save it with `skops.io.dump(model, 'model.skops')`"
    )


def _from_skops(path: Path, trusted: Collection[str]) -> Any:
    from skops.io import get_untrusted_types
    from skops.io import load as load_skops
    from skops.io.exceptions import UnsupportedTypeException

    try:
        wanted = set(get_untrusted_types(file=path))
        strangers = wanted - set(trusted)
        if strangers:
            raise CannotLoad(
                f"{path.name} asks for types that are not trusted: {', '.join(sorted(strangers))}; "
                "an operator can trust them for this platform, a model cannot"
            )
        return load_skops(path, trusted=sorted(wanted))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, UnsupportedTypeException) as error:
        raise CannotLoad(f"{path.name} is not a skops file that can be read: {error}") from error
    except (ImportError, AttributeError) as error:
        raise CannotLoad(
            f"{path.name} was saved with other versions of its libraries: {error}; "
            "pin those in requirements.txt"
        ) from error


def _from_joblib(path: Path) -> Any:
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:
        raise CannotLoad(
            f"{path.name} cannot be unpickled: {type(error).__name__}: {error}; "
            "save it with the versions that requirements.txt pins, better as skops"
        ) from error


def _checked(estimator: Any, path: Path, *, platform: str, method: str | None) -> SklearnModel:
    asked, kind = method or PREDICT, type(estimator).__name__
    if not callable(getattr(estimator, asked, None)):
        raise CannotLoad(f"{path.name} holds a {kind}, which has no `{asked}`")
    if asked in _OF_EACH_CLASS and not isinstance(getattr(estimator, "classes_", None), np.ndarray):
        raise CannotLoad(
            f"{path.name} holds a {kind}, whose `{asked}` is no array with a column for each class; "
            'save it with pyfunc_predict_fn="predict"'
        )
    return SklearnModel(estimator, platform=platform, method=method)


def _before_last(pipeline: Pipeline) -> Iterator[Any]:
    """What a pipeline itself has transform: a pipeline of them would look at all of it once more, at each call."""
    for _, step in pipeline.steps[:-1]:
        if isinstance(step, Pipeline):
            yield from (each for each in (*_before_last(step), step.steps[-1][1]) if not _is_none(each))
        elif not _is_none(step):
            yield step


def _is_none(step: Any) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


Reader = tuple[Any, list[int]]
"""What meets columns of a request before anything else of the model does, and the places of these columns."""


def _readers(estimator: Any) -> list[Reader]:
    return list(_reading(estimator, list(range(_width(estimator)))))


def _width(estimator: Any) -> int:
    width: int = getattr(_first(estimator), "n_features_in_", 0)
    return width


def _reading(estimator: Any, columns: list[int]) -> Iterator[Reader]:
    first = _first(estimator)
    if hasattr(first, "transformers_"):
        chosen = first._transformer_to_input_indices  # by name, place, slice, mask or function: it knows best
        within = [(step, [columns[each] for each in chosen[name]]) for name, step, _ in first.transformers_]
    elif hasattr(first, "transformer_list"):
        within = [(step, columns) for _, step in first.transformer_list]
    else:
        within = [(step, columns) for step in _asked(first)]
    if not within:
        yield first, columns
    for step, of_it in within:
        if not (isinstance(step, str) and step == "drop"):
            yield from _reading(step, of_it)


def _first(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline):
        estimator = next((step for _, step in estimator.steps if not _is_none(step)), None)
    return estimator


def _asked(estimator: Any) -> list[Any]:
    """To whom a search, a vote, a calibration and their like hand the columns on as they came, where that is more than
    an estimator of numbers: what a forest asks are its trees, which say no more than the forest does."""
    found = next(
        (each for name in _WITHIN if (each := getattr(estimator, name, None)) is not None),
        [each.estimator for each in getattr(estimator, "calibrated_classifiers_", ())],
    )
    count = getattr(estimator, "n_features_in_", None)
    return [
        each
        for each in (found if isinstance(found, list) else [found])
        if getattr(each, "n_features_in_", None) == count and (_first(each) is not each or _has_parts(each))
    ]


_WITHIN = (
    *("best_estimator_", "estimators_", "estimator_", "regressor_"),
    "_preprocessor",  # of gradient boosting by histograms, for the categories of a frame
)


def _has_parts(step: Any) -> bool:
    return hasattr(step, "transformers_") or hasattr(step, "transformer_list") or bool(_asked(step))


def _inputs(estimator: Any, columns: list[str] | None) -> tuple[Tensor, ...]:
    """One matrix of numbers, or a tensor a column where some are text, or texts for a vectorizer."""
    count = getattr(estimator, "n_features_in_", None)
    if count is None and any(_reads_text(step) for step, _ in _readers(estimator)):
        return (Tensor(name=MATRIX, datatype="BYTES", shape=(ANY,)),)
    text = set(_text_columns(estimator))
    of_frame = columns is not None
    unread = _unread(estimator) if of_frame else set()
    if count is None or not text | unread:
        return (Tensor(name=MATRIX, datatype="FP64", shape=(ANY, count or ANY), may_be_truths=of_frame),)
    names = columns or [f"x{index}" for index in range(count)]
    return tuple(
        Tensor(name=name, datatype="BYTES", shape=(ANY,), is_unread=index in unread)
        if index in text | unread
        else Tensor(name=name, datatype="FP64", shape=(ANY,), may_be_truths=of_frame)
        for index, name in enumerate(names)
    )


def _unread(estimator: Any) -> set[int]:
    """Columns that a ColumnTransformer drops: nobody learned of what kind they are, and nobody asks."""
    return set(range(_width(estimator))).difference(*(columns for _, columns in _readers(estimator)))


def _declared_inputs(columns: Sequence[Column]) -> tuple[Tensor, ...]:
    datatype = matrix_datatype(columns) if columns else None
    if datatype is not None:
        return (Tensor(name=MATRIX, datatype=datatype, shape=(ANY, len(columns))),)
    return tuple(column.tensor() for column in columns)


def _reads_text(step: Any) -> bool:
    return hasattr(step, "build_analyzer")  # CountVectorizer, TfidfVectorizer, HashingVectorizer


def _text_columns(estimator: Any) -> Iterator[int]:
    """Columns that an encoder or a vectorizer learned as text."""
    for step, columns in _readers(estimator):
        if _reads_text(step):
            yield from columns
            continue
        for column, learned in zip(columns, _learned(step), strict=False):
            if datatype_of(np.asarray(learned).dtype) == "BYTES":
                yield column


def _learned(step: Any) -> Sequence[Any]:
    """Of each column what an encoder met in it, or what an imputer puts where nothing is."""
    return next(
        (found for name in ("categories_", "statistics_") if len(found := getattr(step, name, ()))), ()
    )


def _nones(estimator: Any, columns: Sequence[str] | None) -> set[str]:
    """Columns in which None is what is missing, as an imputer or an encoder learned it. In any other that is NaN, in a
    row alone as in one among others."""
    if columns is None:
        return set()
    return {
        columns[column]
        for step, of_it in _readers(estimator)
        for column, learned in zip(of_it, _learned(step), strict=False)
        if getattr(step, "missing_values", "") is None or _has_none(learned)
    }


def _has_none(learned: Any) -> bool:
    return any(each is None for each in np.atleast_1d(np.asarray(learned, dtype=object)))


def _assembly(
    inputs: tuple[Tensor, ...], columns: list[str] | None, nones: Collection[str] = ()
) -> Callable[[Mapping[str, Array]], Any]:
    """What it was trained on: a frame if it knows column names and pandas is there, else an array."""
    is_whole = len(inputs) == 1 and inputs[0].name == MATRIX
    pandas = _pandas() if columns is not None else None
    if pandas is not None:
        index = pandas.Index(columns)
        if is_whole:
            return lambda tensors: pandas.DataFrame(tensors[MATRIX], columns=index, copy=False)

        def column(name: str, array: Array) -> Any:
            if array.dtype != object:
                return array
            if name in nones:
                return pandas.Series(array, dtype=object)  # or pandas would read None beside a text as NaN
            return np.where(array == None, np.nan, array)  # noqa: E711 - of each

        return lambda tensors: pandas.DataFrame(
            {name: column(name, tensors[name]) for name in index}, copy=False
        )
    if is_whole:
        return lambda tensors: tensors[MATRIX]
    return lambda tensors: np.column_stack([tensors[tensor.name].astype(object) for tensor in inputs])


def _pandas() -> Any:
    try:
        return import_module("pandas")
    except ModuleNotFoundError:
        return None


def _outputs(estimator: Any, *, has_classes: bool, has_probabilities: bool) -> tuple[Tensor, ...]:
    if not has_classes:
        targets = getattr(estimator, "n_outputs_", 1)
        coefficients = getattr(getattr(estimator, "steps", [(None, estimator)])[-1][1], "coef_", None)
        many = targets > 1 or (isinstance(coefficients, np.ndarray) and coefficients.ndim == 2)
        # a clusterer answers with labels like those of its training, a classifier of several targets with classes
        examples = getattr(estimator, "labels_", next(iter(getattr(estimator, "classes_", ())), None))
        datatype = datatype_of(examples.dtype) if isinstance(examples, np.ndarray) else "FP64"
        return (Tensor(name=PREDICT, datatype=datatype, shape=(ANY, ANY) if many else (ANY,)),)
    predict = Tensor(name=PREDICT, datatype=datatype_of(estimator.classes_.dtype), shape=(ANY,))
    if not has_probabilities:
        return (predict,)
    return predict, _of_each_class(estimator, PROBABILITIES)


_OF_EACH_CLASS = (PROBABILITIES, "predict_log_proba", "predict_joint_log_proba")


def _output_of(estimator: Any, method: str) -> Tensor:
    if method in _OF_EACH_CLASS:
        return _of_each_class(estimator, method)
    is_column = method == "decision_function" and len(getattr(estimator, "classes_", ())) in (0, 2)
    return Tensor(name=method, datatype="FP64", shape=(ANY,) if is_column else (ANY, ANY))


def _of_each_class(estimator: Any, name: str) -> Tensor:
    classes = tuple(estimator.classes_.tolist())
    labels = classes if all(isinstance(each, str | int | float) for each in classes) else ()
    return Tensor(name=name, datatype="FP64", shape=(ANY, len(classes)), labels=labels)


def _dense(answer: Any) -> Array:
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def _takes_missing(estimator: Any) -> bool:
    readers = _readers(estimator)
    if any(len(columns) < _width(estimator) for _, columns in readers):
        return True  # each reader decides for its own columns, and says so when it refuses
    return any(
        hasattr(step, "__sklearn_tags__") and bool(get_tags(step).input_tags.allow_nan) for step, _ in readers
    )
