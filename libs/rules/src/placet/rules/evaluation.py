"""How well a model did, for all and for each group of people, computed from its predictions.

A project says what its model answered to cases whose truth is known, and which columns are about people; what follows
from that is computed here, by fairlearn, so that nobody has to trust a number that somebody typed. For answers that are
classes, of which one is favourable to those concerned.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from placet.errors import Refused
from placet.projects.manifest import Evaluation

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_BYTES = 64 * 1024**2
MAX_GROUPS = 50
"""Of one column. More are no groups, and each might be a person."""

Facts = dict[str, Any]

NOTHING: Facts = {
    "declared": "",
    "present": False,
    "digest": "",
    "problems": [],
    "rows": 0,
    "overall": {},
    "groups": [],
    "parity": [],
}


def evaluated(declared: Evaluation, file: Path | None) -> Facts:
    """The facts `evaluation`; of a file that cannot be used, what is wrong with it and no numbers.

    `overall` and each of `groups` have `rows`, `accuracy`, `selectionRate` (the share of favourable answers) and, where
    some cases were favourable and some were not, `truePositiveRate` and `falsePositiveRate`. `parity` has for each
    column the largest `demographicParityDifference` (of selection rates) and `equalizedOddsDifference` (of both others)
    between two groups, `demographicParityRatio`, and the number of rows of the `smallest` group.

    Raises Refused where what computes them is not installed, which is the extra `evaluation` of this package.
    """
    said = {**NOTHING, "declared": declared.predictions, "present": file is not None}
    # A column that is named twice is one: pandas would have two of its name.
    declared = msgspec.structs.replace(declared, sensitive=tuple(dict.fromkeys(declared.sensitive)))
    if file is None:
        return said
    if file.stat().st_size > MAX_BYTES:
        return {**said, "problems": [f"it has more than {MAX_BYTES // 1024**2} MiB"]}
    said["digest"] = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    table = _read(file)
    problems = ["it cannot be read as CSV in UTF-8"] if table is None else _problems(declared, table)
    if table is None or problems:
        return {**said, "problems": problems}
    return {**said, "rows": len(table), **_computed(declared, table)}


def _read(file: Path) -> DataFrame | None:
    """All of it as text: whether 1 and 1.0 are the same class is not for a parser to say."""
    # Before numpy is loaded: its threads would reserve more memory than this process may have.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        import fairlearn.metrics  # noqa: F401 - what computes is there, or nothing is read for it
        import pandas  # 2 s with the other: only for projects that have an evaluation
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("fairlearn", "pandas"):
            raise  # one of them is broken, which is another matter
        raise Refused(
            "evaluations are computed with pandas and fairlearn, which are not installed here",
            fix="install placet-rules[evaluation]",
        ) from missing

    with warnings.catch_warnings():
        # Where a first row is too long, the rest would be cut off, or the columns would move.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            return pandas.read_csv(
                file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
        except (ValueError, pandas.errors.ParserWarning):
            return None


def _problems(declared: Evaluation, table: DataFrame) -> list[str]:
    wanted = (declared.target, declared.prediction, *declared.sensitive)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        return [f"it has no column {name}" for name in missing]
    if not len(table):
        return ["it has no rows"]
    problems = []
    if declared.favourable not in set(table[declared.target]) | set(table[declared.prediction]):
        problems.append(f"neither {declared.target} nor {declared.prediction} is ever {declared.favourable}")
    for name in (declared.target, declared.prediction, *declared.sensitive):
        if (table[name] == "").any():
            problems.append(f"the column {name} is empty in {int((table[name] == '').sum())} rows")
    for name in declared.sensitive:
        if table[name].nunique() > MAX_GROUPS:
            problems.append(f"the column {name} has more than {MAX_GROUPS} values, which are no groups")
    return problems


def _computed(declared: Evaluation, table: DataFrame) -> Facts:
    cases = table[list(declared.sensitive)].assign(
        **{
            _TRUTH: (table[declared.target] == declared.favourable).astype(int),
            _ANSWER: (table[declared.prediction] == declared.favourable).astype(int),
            _RIGHT: (table[declared.target] == table[declared.prediction]).astype(int),
        }
    )
    groups = [
        {"feature": name, "value": str(value), **_rates(rows)}
        for name in declared.sensitive
        for value, rows in cases.groupby(name, sort=True)
    ]
    return {
        "overall": _rates(cases),
        "groups": groups,
        "parity": [
            _parity(name, cases, [group for group in groups if group["feature"] == name])
            for name in declared.sensitive
        ],
    }


# No file's columns: a name has no line break.
_TRUTH, _ANSWER, _RIGHT, _COUNT = "\ntruth", "\nanswer", "\nright", "\ncount"


def _rates(cases: DataFrame) -> Facts:
    from fairlearn import metrics

    counted = _counted(cases, _TRUTH, _ANSWER)
    given = (counted[_TRUTH], counted[_ANSWER])
    said = {
        "rows": len(cases),
        "accuracy": float(cases[_RIGHT].mean()),
        "selectionRate": float(metrics.selection_rate(*given, sample_weight=counted[_COUNT])),
    }
    if cases[_TRUTH].nunique() > 1:
        for name, rate in (
            ("truePositiveRate", metrics.true_positive_rate),
            ("falsePositiveRate", metrics.false_positive_rate),
        ):
            said[name] = float(rate(*given, sample_weight=counted[_COUNT], pos_label=1))
    return said


def _parity(name: str, cases: DataFrame, groups: Sequence[Facts]) -> Facts:
    from fairlearn import metrics

    counted = _counted(cases, _TRUTH, _ANSWER, name)
    given = (counted[_TRUTH], counted[_ANSWER])
    by = {"sensitive_features": counted[name], "sample_weight": counted[_COUNT]}
    said: Facts = {
        "feature": name,
        "smallest": min(group["rows"] for group in groups),
        "demographicParityDifference": float(metrics.demographic_parity_difference(*given, **by)),
    }
    ratio = float(metrics.demographic_parity_ratio(*given, **by))
    if math.isfinite(ratio):  # else nobody was answered favourably
        said["demographicParityRatio"] = ratio
    if all("truePositiveRate" in group for group in groups):  # else there is nothing to compare
        said["equalizedOddsDifference"] = float(metrics.equalized_odds_difference(*given, **by))
    return said


def _counted(cases: DataFrame, *columns: str) -> DataFrame:
    """Each different row once, with how often it is there: fairlearn goes through rows one by one, in Python."""
    return cases.groupby(list(columns), sort=True).size().reset_index(name=_COUNT)
