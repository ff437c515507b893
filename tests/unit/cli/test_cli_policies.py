"""Policies as files, as who writes them sees them."""

from __future__ import annotations

from pathlib import Path

import yaml
from placet.projects import card_schema

from tests.unit.cli.conftest import HOW_TO, Placet


def written(folder: Path, text: str, name: str = "house.yaml") -> str:
    (folder / name).write_text(text)
    return name


def test_the_policy_of_the_how_to_passes_its_tests_and_they_notice_every_change(
    placet: Placet, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "test", written(tmp_path, policy), "--strict")
    assert (ended.status, ended.out) == (0, "house.data 1 (house.yaml): 7 of 7 tests pass\n")
    assert ended.out in HOW_TO.read_text()


def test_a_test_that_fails_is_told_with_what_the_rule_said(
    placet: Placet, tmp_path: Path, policy: str
) -> None:
    ended = placet("policy", "test", written(tmp_path, policy.replace("enough: 2", "enough: 3")))
    assert ended.status == 1
    assert (
        "data.from-enough-places, test 1: expected pass, the rule said fail: 2 of the data sets" in ended.err
    )


def test_every_file_is_tried_and_every_mistake_told(placet: Placet, tmp_path: Path, policy: str) -> None:
    files = [
        written(
            tmp_path, policy.replace("owner:", "ownner:").replace("set.licence", "sett.licence"), "one.yaml"
        ),
        written(tmp_path, policy.replace('set.name != ""', "sett.name"), "two.yaml"),
        "missing.yaml",
        written(tmp_path, policy),
    ]
    ended = placet("policy", "test", *files, "--json")
    assert ended.status == 1
    one, two, missing, good = ended.document["policies"]
    assert ["ownner" in each["why"] for each in one["problems"]].count(True) == 1
    assert "nobody knows the fact 'sett'" in two["problems"][0]["why"]
    assert missing["problems"][0]["why"] == "missing.yaml cannot be read: No such file or directory"
    assert (good["problems"], good["tests"]) == ([], 7)


def test_a_change_that_no_test_notices_is_told_and_fails_where_asked(
    placet: Placet, tmp_path: Path, policy: str
) -> None:
    document = yaml.safe_load(policy)
    del document["rules"][1]["tests"][1]
    file = written(tmp_path, yaml.safe_dump(document))
    ended = placet("policy", "test", file)
    assert ended.status == 0
    assert "data.from-enough-places: no test notices " in ended.err
    assert placet("policy", "test", file, "--strict").status == 1


def test_a_rule_that_two_files_have_is_told(placet: Placet, tmp_path: Path, policy: str) -> None:
    ended = placet("policy", "test", written(tmp_path, policy), written(tmp_path, policy, "again.yaml"))
    assert ended.status == 1
    assert "again.yaml: the rule data.licensed is in house.yaml as well" in ended.err


def test_the_handbook_says_what_each_rule_demands_whence_and_in_which_words(
    placet: Placet, tmp_path: Path, policy: str
) -> None:
    page = placet("policy", "handbook", written(tmp_path, policy)).out
    assert "## Data of the house" in page
    assert 'Each `set` of `data.sets`:\n\n```text\nset.licence != ""\n```' in page
    assert "At least `params.enough` `set` of `data.sets`:" in page
    assert "> nobody says under which licence {{ set.name }} may be used" in page
    assert "From House rules, 7." in page
    whole = placet("policy", "handbook").out
    assert "## Accountability" in whole
    assert "## EU AI Act, high risk" in whole
    named = placet("policy", "handbook", "--json").document["policies"]
    assert {"accountability", "eu-ai-act-high-risk", "four-eyes", "model-risk"} <= set(named)


def test_the_schema_is_one_document_whether_json_is_asked_for_or_not(placet: Placet) -> None:
    assert placet("policy", "schema").document == placet("policy", "schema", "--json").document
    assert placet("policy", "schema").document["$schema"].startswith("https://json-schema.org/")


def test_the_schema_of_a_card_is_printed_without_a_platform(placet: Placet) -> None:
    document = placet("card", "schema").document
    assert document == placet("card", "schema", "--json").document == card_schema()
    assert {"license", "model-index"} <= document["properties"].keys()
