"""The sets that can be published, asked of facts as gathered: a project can keep them, or hears what it lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from placet.projects import parse_manifest
from placet.rules import (
    Approval,
    Engine,
    Verdict,
    gather_certify_facts,
    gather_submit_facts,
    in_force,
    load_shipped,
    offered_files,
    read_policy,
    version_of,
)
from placet.rules.advisories import NO_SNAPSHOT, Advisory, Snapshot
from placet.rules.contents import contained
from placet.rules.publication import clashes

EXAMPLE = Path(__file__).parents[3] / "examples/multiclass"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SETS = tuple(read_policy(file, name=name) for name, file in offered_files().items())
DIGEST = f"sha256:{'a' * 64}"
CARD = "\n".join(
    [
        "---\nlicense: mit\n---\n# Digits\n\n## Use\n\n" + "It reads what was written by hand. " * 10,
        "## Limits\n\nNot for signatures; wrong of what is no digit.\n",
        "## Training data\n\nScans of forms, each digit alone.\n" + "They were checked by two people. " * 10,
        "## Evaluation\n\nOf a hundred digits it takes two for another one.\n",
    ]
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What keeps every set, as far as files can."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "project"))
    (folder / "README.md").write_text(CARD)
    cases = "".join(f"{sex},{said},{said}\n" for sex in "fm" for said in (0, 1) for _ in range(50))
    (folder / "evaluation.csv").write_text(f"sex,truth,said\n{cases}")
    request = json.loads((folder / "sample.json").read_text())["request"]
    (folder / "reference.json").write_text(json.dumps({"inputs": request["inputs"] * 50}))
    return folder


def asked(folder: Path, engine: Engine, *, access: str = "token", **governance: Any) -> dict[str, Verdict]:
    """What the sets, and the policies in force, say of it at stage submit, where they do not pass."""
    document = yaml.safe_load((EXAMPLE / "placet.yaml").read_text())
    data = {**document["governance"]["data"][0], "personalData": True}
    document["model"]["reference"] = "reference.json"
    document["access"] = access
    document["governance"] |= {
        "riskClass": "high",
        "data": [data],
        "evaluation": {
            "predictions": "evaluation.csv",
            "target": "truth",
            "prediction": "said",
            "sensitive": ["sex"],
        },
        "monitoring": [
            {"metric": "psi", "max": 0.2, "action": "suspend"},
            {"metric": "errors", "max": 0.02},
        ],
        **governance,
    }
    manifest = parse_manifest(json.dumps(document, default=str).encode())
    facts = gather_submit_facts(folder, manifest, now=NOW)
    found = engine.evaluate_sync((*load_shipped(), *SETS), "submit", facts)
    return {each.rule: each for each in found if not each.is_passed}


def test_all_sets_can_be_in_force_at_once() -> None:
    versions = [version_of(policy) for policy in (*load_shipped(), *SETS)]
    assert clashes(versions, NOW.date()) == frozenset()
    assert set(in_force(versions, NOW.date())) == set(versions)


def test_a_project_can_keep_every_set_and_all_that_is_in_force(folder: Path, engine: Engine) -> None:
    assert asked(folder, engine) == {}


def test_what_a_project_lacks_is_told_and_nothing_is_undecided(folder: Path, engine: Engine) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n## Use\n\n[More Information Needed]\n")
    lacking = asked(
        folder,
        engine,
        access="public",
        builders=[],
        monitoring=[],
        evaluation=None,
        oversight={"owner": "Ada", "stopOwner": "Grace", "stopTestedAt": "2025-01-31"},
    )
    assert {each.result for each in lacking.values()} == {"fail"}
    assert set(lacking) == {
        "evaluation.given",
        "eu-ai-act.accuracy-stated",
        "eu-ai-act.bias-examined",
        "eu-ai-act.documented",
        "eu-ai-act.instructions-given",
        "eu-ai-act.limits-stated",
        "eu-ai-act.monitoring-planned",
        "eu-ai-act.stop-tried-lately",
        "eu-ai-act.suspended-by-condition",
        "model-risk.documented",
        "model-risk.inventory-complete",
        "model-risk.monitoring-planned",
        "model-risk.outcomes-analysed",
        "security-baseline.token-only",
    }


def test_of_less_risk_less_is_asked(folder: Path, engine: Engine) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\nNo more than words.\n")
    assert set(asked(folder, engine, riskClass="minimal", monitoring=[], evaluation=None)) == {
        "model-risk.documented"
    }
    assert set(asked(folder, engine, riskClass="limited", monitoring=[], evaluation=None)) == {
        "model-risk.documented",
        "model-risk.monitoring-planned",
        "model-risk.outcomes-analysed",
    }


RIGHTS = {"assessment": "assessment:1", "questionnaire": "fundamental-rights", "level": 2, "label": "some"}
IMPACT = {
    "assessment": "assessment:2",
    "questionnaire": "algorithmic-impact",
    "level": 2,
    "label": "moderate",
}
TRAINING: dict[str, Any] = {"run": "run:1", "inputs": [{"dataset": "lake/rows"}], "unverified": []}
HOLDS: dict[str, Any] = {"ageDays": 3, "stale": [], "missing": []}
BILL = {
    "bomFormat": "CycloneDX",
    "components": [
        {
            "type": "library",
            "name": "numpy",
            "version": "1.21.0",
            "purl": "pkg:pypi/numpy@1.21.0",
            "licenses": [{"expression": "BSD-3-Clause"}],
        }
    ],
}


def certified(
    engine: Engine,
    *,
    roles: tuple[str, ...] = ("approver", "compliance"),
    advisories: dict[str, Any] | None = None,
    assessments: tuple[dict[str, Any], ...] = ({**RIGHTS, **HOLDS}, {**IMPACT, **HOLDS}),
    training: tuple[dict[str, Any], ...] = (TRAINING,),
    **image: Any,
) -> dict[str, Verdict]:
    said: dict[str, Any] = {
        "project": "churn",
        "cleared_source": DIGEST,
        "image": DIGEST,
        "source": DIGEST,
        "format": "sklearn",
        "lock": DIGEST,
        "base": f"python@{DIGEST}",
        "python": "cp311",
        "builder": "0.1.0",
        "risk_class": "high",
        "now": NOW,
        "approvals": [
            Approval(by=f"person:{role}", roles=[role], at="2026-11-26T10:00:00.000Z") for role in roles
        ],
    }
    contents = contained({DIGEST: json.dumps(BILL).encode()})
    facts = {
        **gather_certify_facts(**(said | image)),
        "contents": contents,
        "advisories": known().facts(DIGEST, contents["packages"], NOW) if advisories is None else advisories,
        "assessments": list(assessments),
        "reports": {"training": list(training)},
    }
    found = engine.evaluate_sync((*load_shipped(), *SETS), "certify", facts)
    return {each.rule: each for each in found if not each.is_passed}


def known(*severities: str) -> Snapshot:
    """Advisories about what is in the image, one of each severity, fixed in 1.22.0."""
    affected: dict[str, Any] = {
        "package": {"ecosystem": "PyPI", "name": "numpy"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.22.0"}]}],
    }
    advisories = [
        {"id": f"GHSA-{severity}", "aliases": [], "summary": "", "severity": severity, "affected": affected}
        for severity in severities
    ]
    return Snapshot(
        taken=datetime(2026, 11, 26, tzinfo=UTC),
        advisories=len(advisories),
        by_package={"numpy": [msgspec.convert(each, Advisory) for each in advisories]},
    )


def test_an_image_can_keep_every_set_and_all_that_is_in_force(engine: Engine) -> None:
    assert certified(engine) == {}


def test_what_an_image_lacks_is_told_and_nothing_is_undecided(engine: Engine) -> None:
    lacking = certified(
        engine,
        roles=(),
        advisories=NO_SNAPSHOT,
        assessments=({**IMPACT, **HOLDS},),
        training=({**TRAINING, "inputs": []},),
        base="none",
        python="cp39",
    )
    assert {each.result for each in lacking.values()} == {"fail"}
    assert {rule for rule, each in lacking.items() if each.awaits} == {
        "approval.four-eyes",
        "eu-ai-act.rights-assessed",
        "lineage.verified-data",
        "model-risk.validated-independently",
    }
    assert {rule for rule, each in lacking.items() if not each.awaits} == {
        "advisories.recent",
        "security-baseline.advisories-recent",
        "security-baseline.base-by-digest",
        "security-baseline.python-maintained",
    }


def test_a_training_that_nobody_reported_is_waited_for(engine: Engine) -> None:
    lacking = certified(engine, training=())
    assert {rule: each.awaits is not None for rule, each in lacking.items()} == {
        "lineage.training-reported": True
    }


def test_a_fix_that_is_there_has_to_be_taken(engine: Engine) -> None:
    def about(*severities: str) -> dict[str, Any]:
        packages = [{"name": "numpy", "version": "1.21.0", "kind": "pypi"}]
        return known(*severities).facts(DIGEST, packages, NOW)

    assert certified(engine, advisories=about("low")) == {}
    lacking = certified(engine, advisories=about("low", "medium"))
    assert {rule: each.why for rule, each in lacking.items()} == {
        "security-baseline.fixes-taken": "GHSA-medium of numpy 1.21.0, which is medium, is fixed in 1.22.0"
    }


def test_a_validator_of_each_role_is_needed(engine: Engine) -> None:
    rule = "model-risk.validated-independently"
    assert rule in certified(engine, roles=("approver", "operator"))
    assert rule in certified(engine, roles=("approver",))
    assert rule not in certified(engine, roles=("approver",), risk_class="limited")
    assert rule not in certified(engine, roles=(), risk_class="minimal")
