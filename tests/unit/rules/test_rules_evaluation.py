"""Evaluations: numbers that are computed from answers, and what keeps a file from being used."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from placet.errors import Refused
from placet.projects import parse_manifest
from placet.projects.manifest import Evaluation
from placet.rules import Engine, gather_submit_facts, load_shipped
from placet.rules.evaluation import MAX_GROUPS, evaluated

EXAMPLE = Path(__file__).parents[3] / "examples/multiclass"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DECLARED = Evaluation(
    predictions="evaluation.csv", target="income", prediction="said", favourable=">50K", sensitive=("sex",)
)
FAIR = [
    ("f", ">50K", ">50K", 20),
    ("f", ">50K", "<=50K", 5),
    ("f", "<=50K", ">50K", 5),
    ("f", "<=50K", "<=50K", 20),
    ("m", ">50K", ">50K", 40),
    ("m", ">50K", "<=50K", 10),
    ("m", "<=50K", ">50K", 10),
    ("m", "<=50K", "<=50K", 40),
]
"""sex, what is true, what was said, how often."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def table(*cells: tuple[str, str, str, int]) -> str:
    rows = [f"{sex},{true},{said}\n" for sex, true, said, count in cells for _ in range(count)]
    return "".join(["sex,income,said\n", *rows])


def facts(folder: Path, text: str, declared: Evaluation = DECLARED) -> dict[str, Any]:
    file = folder / "evaluation.csv"
    file.write_text(text)
    return evaluated(declared, file)


def test_what_is_told_of_each_group_follows_from_the_answers(tmp_path: Path) -> None:
    cells = [*FAIR[:4], ("m", ">50K", ">50K", 45), ("m", ">50K", "<=50K", 5), ("m", "<=50K", ">50K", 30)]
    said = facts(tmp_path, table(*cells, ("m", "<=50K", "<=50K", 20)))
    assert (said["problems"], said["rows"], said["digest"][:7]) == ([], 150, "sha256:")
    f, m = said["groups"]
    assert f == {
        **{"feature": "sex", "value": "f", "rows": 50, "accuracy": 0.8, "selectionRate": 0.5},
        **{"truePositiveRate": 0.8, "falsePositiveRate": 0.2},
    }
    assert m == {
        **{"feature": "sex", "value": "m", "rows": 100, "accuracy": 0.65, "selectionRate": 0.75},
        **{"truePositiveRate": 0.9, "falsePositiveRate": 0.6},
    }
    assert said["overall"]["accuracy"] == pytest.approx(0.7)
    (parity,) = said["parity"]
    assert parity.pop("feature") == "sex"
    assert parity == pytest.approx(
        {
            **{"smallest": 50, "demographicParityDifference": 0.25, "demographicParityRatio": 0.5 / 0.75},
            "equalizedOddsDifference": 0.4,
        }
    )


@pytest.mark.parametrize("missing", ["pandas", "fairlearn"])
def test_who_lacks_what_computes_them_is_told_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Refused, match="pandas and fairlearn") as refused:
        facts(tmp_path, table(*FAIR))
    assert refused.value.fix == "install placet-rules[evaluation]"


def test_a_column_that_is_named_twice_is_one(tmp_path: Path) -> None:
    twice = msgspec.structs.replace(DECLARED, sensitive=("sex", "sex"))
    assert facts(tmp_path, table(*FAIR), twice) == facts(tmp_path, table(*FAIR))


def test_where_a_group_has_cases_of_one_kind_only_its_odds_are_not_compared(tmp_path: Path) -> None:
    said = facts(tmp_path, table(*FAIR[:4], ("m", ">50K", ">50K", 9)))
    assert "truePositiveRate" not in said["groups"][1]
    assert "equalizedOddsDifference" not in said["parity"][0]


def test_where_nobody_is_answered_favourably_there_is_no_ratio(tmp_path: Path) -> None:
    said = facts(tmp_path, table(("f", ">50K", "<=50K", 3), ("m", "<=50K", "<=50K", 3)))
    assert "demographicParityRatio" not in said["parity"][0]


def test_without_columns_about_people_only_the_whole_is_computed(tmp_path: Path) -> None:
    said = facts(
        tmp_path,
        table(*FAIR),
        Evaluation(predictions="x", target="income", prediction="said", favourable=">50K"),
    )
    assert said["overall"]["accuracy"] == pytest.approx(0.8)
    assert (said["groups"], said["parity"]) == ([], [])


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("sex,said\nf,1\n", ["it has no column income"]),
        ("", ["it cannot be read as CSV in UTF-8"]),
        ("\x00\x00", ["it has no column income", "it has no column said", "it has no column sex"]),
        ("sex,income,said\n", ["it has no rows"]),
        ("sex,income,said\nf,1,0\n", ["neither income nor said is ever >50K"]),
        ("sex,income,said\n,>50K,>50K\nf,>50K,>50K\n", ["the column sex is empty in 1 rows"]),
        ("sex,income,said\nf,>50K,>50K,more,and more\nf,>50K,>50K\n", ["it cannot be read as CSV in UTF-8"]),
        (
            table(*((str(number), ">50K", ">50K", 1) for number in range(MAX_GROUPS + 1))),
            [f"the column sex has more than {MAX_GROUPS} values, which are no groups"],
        ),
    ],
    ids=range(8),
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, problems: list[str]) -> None:
    said = facts(tmp_path, text)
    assert said["problems"] == problems
    assert (said["overall"], said["groups"], said["parity"]) == ({}, [], [])


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "evaluation.csv").write_bytes(b"sex,income,said\n\xff\xfe,1,0\n")
    assert evaluated(DECLARED, tmp_path / "evaluation.csv")["problems"] == [
        "it cannot be read as CSV in UTF-8"
    ]


def broken(tmp_path: Path, engine: Engine, text: str | None) -> dict[str, str | None]:
    """What the shipped rules say against the example as a model of high risk with this evaluation."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "project"))
    document = yaml.safe_load((folder / "placet.yaml").read_text())
    oversight = {"owner": "o", "stopOwner": "s", "stopTestedAt": "2026-11-02"}
    evaluation = {"predictions": "evaluation.csv", "target": "income", "prediction": "said"}
    document["governance"] |= {
        **{"riskClass": "high", "oversight": oversight},
        "evaluation": {**evaluation, "favourable": ">50K", "sensitive": ["sex"]},
    }
    if text is None:
        del document["governance"]["evaluation"]
    else:
        (folder / "evaluation.csv").write_text(text)
    manifest = parse_manifest(json.dumps(document, default=str).encode())
    found = engine.evaluate_sync(load_shipped(), "submit", gather_submit_facts(folder, manifest, now=NOW))
    return {verdict.rule: verdict.why for verdict in found if not verdict.is_passed}


def test_a_model_of_high_risk_that_does_as_well_for_each_group_breaks_no_rule(
    tmp_path: Path, engine: Engine
) -> None:
    assert broken(tmp_path, engine, table(*FAIR)) == {}


def test_a_model_of_high_risk_is_refused_for_one_group_s_parity(tmp_path: Path, engine: Engine) -> None:
    cells = [*FAIR[:4], ("m", ">50K", ">50K", 45), ("m", ">50K", "<=50K", 5), ("m", "<=50K", ">50K", 30)]
    why = broken(tmp_path, engine, table(*cells, ("m", "<=50K", "<=50K", 20)))
    assert set(why) == {"evaluation.parity", "evaluation.equal-odds"}
    assert "0.6666667 times as frequent in one group of sex as in another" in str(why["evaluation.parity"])


def test_a_model_of_high_risk_without_an_evaluation_is_warned(tmp_path: Path, engine: Engine) -> None:
    assert set(broken(tmp_path, engine, None)) == {"evaluation.given"}
