"""What an image is made of: bills of materials as they lie beside it, and the licences that they name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from placet.rules import Engine, load_shipped
from placet.rules.contents import MAX_PACKAGES, choices_of, contained


def bill(*components: dict[str, Any], **image: Any) -> bytes:
    metadata = {"component": {"type": "container", "name": "churn", **image}}
    return json.dumps({"bomFormat": "CycloneDX", "metadata": metadata, "components": components}).encode()


def package(name: str, *licences: dict[str, Any], version: str = "1", purl: str = "") -> dict[str, Any]:
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl or f"pkg:pypi/{name}@{version}",
        "licenses": list(licences),
    }


def in_words(name: str) -> dict[str, Any]:
    return {"license": {"name": name, "acknowledgement": "declared"}}


def by_expression(expression: str) -> dict[str, Any]:
    return {"expression": expression, "acknowledgement": "declared"}


@pytest.mark.parametrize(
    ("expression", "choices"),
    [
        ("MIT", [["MIT"]]),
        ("mit or apache-2.0", [["Apache-2.0"], ["MIT"]]),
        ("MIT OR (GPL-3.0-only AND Zlib)", [["GPL-3.0-only", "Zlib"], ["MIT"]]),
        ("(MIT OR Zlib) AND 0BSD", [["0BSD", "MIT"], ["0BSD", "Zlib"]]),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", [["GPL-3.0-or-later WITH GCC-exception-3.1"]]),
        ("LicenseRef-house", [["LicenseRef-house"]]),
        (" AND ".join(["(MIT OR Zlib)"] * 60), [["MIT"], ["MIT", "Zlib"], ["Zlib"]]),
        ("", None),
        ("MIT OR", None),
        ("MIT OR " * 300 + "MIT", None),
        (" AND ".join(f"(LicenseRef-a{n} OR LicenseRef-b{n})" for n in range(7)), None),
    ],
)
def test_a_licence_leaves_choices_unless_nobody_could_follow_it(
    expression: str, choices: list[list[str]] | None
) -> None:
    assert choices_of(expression) == choices


def test_each_package_is_told_with_its_licence_in_the_words_of_spdx_or_its_own() -> None:
    said = contained(
        {
            "sha256:1": bill(
                {"type": "machine-learning-model", "name": "churn"},
                package("numpy", by_expression("BSD-3-Clause AND 0BSD")),
                package("joblib", in_words("BSD License")),
                package("both", {"license": {"id": "MIT"}}, {"license": {"id": "Zlib"}}),
                package("silent"),
            )
        }
    )
    assert (said["bills"], said["problem"]) == (["sha256:1"], "")
    told = {each["name"]: (each["licence"], each["isSpdx"], each["choices"]) for each in said["packages"]}
    assert told == {
        "both": ("(MIT) AND (Zlib)", True, [["MIT", "Zlib"]]),
        "joblib": ("BSD License", False, []),
        "numpy": ("BSD-3-Clause AND 0BSD", True, [["0BSD", "BSD-3-Clause"]]),
        "silent": ("", False, []),
    }
    assert {each["kind"] for each in said["packages"]} == {"pypi"}


def test_a_second_bill_of_materials_hides_nothing_of_the_first() -> None:
    first, second = (
        bill(package("a", by_expression("AGPL-3.0-only"))),
        bill(package("a", by_expression("MIT"))),
    )
    said = contained({"sha256:1": first, "sha256:2": second})
    assert [each["licence"] for each in said["packages"]] == ["AGPL-3.0-only", "MIT"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (b"", "sha256:1 is no bill of materials that can be read"),
        (b"{}", "sha256:1 is no bill of materials that can be read"),
        (b'{"bomFormat": "SPDX"}', "sha256:1 is no bill of materials that can be read"),
        (b"[" * 100_000, "sha256:1 is no bill of materials that can be read"),
        (bill({"type": "library"}), "sha256:1 is no bill of materials that can be read"),
        (
            bill(properties=[{"name": "placet:packages", "value": "not read"}]),
            "its packages could not be read",
        ),
        (
            bill(*(package(f"a{number}") for number in range(MAX_PACKAGES + 1))),
            f"it has more than {MAX_PACKAGES} packages",
        ),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_never_no_packages(written: bytes, problem: str) -> None:
    assert contained({"sha256:1": written}) == {"bills": ["sha256:1"], "problem": problem, "packages": []}


@pytest.mark.parametrize(
    ("licence", "result"),
    [
        (by_expression("MIT"), "pass"),
        (by_expression("AGPL-3.0-or-later"), "fail"),
        (by_expression("AGPL-3.0-or-later OR MIT"), "pass"),
        (in_words("GNU Affero General Public License v3 or later (AGPLv3+)"), "fail"),
        (in_words("BSD License"), "pass"),
    ],
)
def test_the_shipped_policy_refuses_what_leaves_no_choice_that_the_house_can_keep(
    licence: dict[str, Any], result: str
) -> None:
    [licences] = [each for each in load_shipped() if each.id == "licences"]
    facts = {**licences.given, "contents": contained({"sha256:1": bill(package("a", licence))})}
    with Engine() as engine:
        verdicts = {each.rule: each.result for each in engine.evaluate_sync([licences], "certify", facts)}
    assert verdicts["licences.allowed"] == result
    assert verdicts["image.contents-known"] == verdicts["licences.stated"] == "pass"
