"""Canada's Algorithmic Impact Assessments: each questionnaire imports, and each real filing has the score it had."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from placet.assessments import Questionnaire, Reading, import_survey, read_apart, score

DATA = os.environ.get("PLACET_AIA_DATA")
pytestmark = pytest.mark.skipif(DATA is None, reason="PLACET_AIA_DATA names no folder with them")
FOLDER = Path(DATA or ".")
MOST = {"v.0.8a1": (98, 86), "v0.9.1": (107, 90), "v0.10.0": (126, 92), "v1.0.1": (167, 154)}
"""Points of risk and of mitigation: each version has others."""


def read(version: str) -> Questionnaire:
    data = (FOLDER / f"questionnaire-{version}.json").read_bytes()
    return import_survey(data, id="aia", version=version, owner="Treasury Board of Canada")


@pytest.mark.parametrize("version", MOST)
def test_each_questionnaire_imports(version: str) -> None:
    questionnaire = read(version)
    assert (questionnaire.most("risk"), questionnaire.most("mitigation")) == MOST[version]


@pytest.mark.parametrize("version", MOST)
async def test_each_is_read_in_the_process_for_what_strangers_send(version: str) -> None:
    data = (FOLDER / f"questionnaire-{version}.json").read_bytes()
    reading = Reading(form="surveyjs", id="aia", version=version, owner="Treasury Board of Canada")
    assert await read_apart(data, reading) == read(version)


def filings() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "filings.json").read_bytes()) if DATA else []


@pytest.mark.parametrize("number", range(13))
def test_each_filing_has_the_score_it_was_filed_with(number: int) -> None:
    assert len(filings()) == 13
    filing = filings()[number]
    answers = {
        id: tuple(given) if isinstance(given, list) else given for id, given in filing["answers"].items()
    }

    found = score(read(filing["questionnaire"]), answers)

    assert (found.raw, found.mitigation, found.score, found.level) == tuple(filing["expected"].values())
