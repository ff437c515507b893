"""The page of Annex IV: each field says where it comes from, and a page of one form has the same words for ever."""

from __future__ import annotations

import json
from typing import Any

from placet.verifier.documents import sha256_of
from placet.verifier.dossier import FORM, Said, annex_iv, dossier, marks

AT = "2026-01-01T00:00:00.000Z"


def said(position: int, kind: str, **data: Any) -> Said:
    return Said(position=position, kind=kind, time=AT, data=data)


def a_bill(name: str, document: dict[str, Any]) -> dict[str, bytes]:
    """A bill of materials as it lies in a bundle: the file, and the artifact that an event names."""
    file = json.dumps(document).encode()
    manifest = json.dumps({"layers": [{"digest": sha256_of(file)}]}).encode()
    return {f"images/{name}.cdx.json": file, f"images/{name}.cdx.json.manifest": manifest}


def for_use(purpose: str) -> dict[str, Any]:
    return {"components": [{"modelCard": {"considerations": {"useCases": [purpose]}}}]}


BILLS = a_bill("2" * 12, for_use("the new one")) | a_bill("7" * 12, for_use("the old one"))


def bom_of(digit: str) -> str:
    return sha256_of(BILLS[f"images/{digit * 12}.cdx.json.manifest"])


def test_of_what_nobody_said_anything_is_missing() -> None:
    assert set(marks(annex_iv([], {})).values()) == {"missing"}
    assert len(annex_iv([], {})) == 23


def test_a_field_is_marked_by_who_said_it() -> None:
    of = {"project": "churn", "release": 1, "image": f"sha256:{'a' * 64}"}
    card = {
        "considerations": {"useCases": ["Second <reading>"]},
        "modelParameters": {"task": "classification"},
    }
    files = a_bill("abc", {"components": [{"type": "machine-learning-model", "modelCard": card}]})
    built = said(6, "builder.image.built", **of, bom=sha256_of(files["images/abc.cdx.json.manifest"]))
    started = said(7, "deployer.model.started", **of, url="http://x")
    fields = annex_iv([built, started], files)
    told = marks(fields)
    assert (told["1 (a)"], told["1 (b)"], told["2 (b)"], told["8"]) == (
        "attested",
        "automatic",
        "attested",
        "missing",
    )
    page = dossier("churn", AT, [built, started], files)
    assert "Second &lt;reading&gt;" in page
    assert "<reading>" not in page
    assert "position 7, deployer.model.started" in page


def words(said: list[Said], files: dict[str, bytes], number: str) -> list[str]:
    return [
        each.words for field in annex_iv(said, files) if field.number == number for each in field.statements
    ]


def a_life(
    release: int, digit: str, verdicts: list[dict[str, Any]] | None = None, **cleared: Any
) -> list[Said]:
    """A release from its judgement to its start: of a source and an image with that digit."""
    image = f"sha256:{digit * 64}"
    of = {"project": "churn", "release": release}
    resources = {"cpu_millis": 500, "memory_bytes": 2**29, "gpus": 0, "min_replicas": 1, "max_replicas": 2}
    policy = {"id": "artifact-safety", "version": 1, "digest": "sha256:a"}
    at_end = {"id": "licences", "version": 1, "digest": "sha256:b"}
    shape = {"source": f"source-{digit}", "format": "sklearn", "resources": resources, "policies": [policy]}
    first = release * 10
    return [
        said(first, "certifier.release.cleared", **of, **shape, verdicts=verdicts or [], **cleared),
        said(first + 1, "builder.image.built", **of, image=image, bom=bom_of(digit)),
        said(first + 2, "indexer.image.indexed", **of, image=image),
        said(
            first + 3,
            "certifier.certificate.issued",
            **of,
            certificate=f"certificate:{digit}",
            image=image,
            verdicts=[],
            policies=[at_end],
        ),
        said(first + 4, "deployer.model.started", **of, image=image, url="http://x"),
    ]


def test_a_page_is_of_the_release_that_served_last_and_of_no_other() -> None:
    lives = [*a_life(1, "7"), *a_life(2, "2")]
    assert words(lives, BILLS, "1 (a)")[:2] == ["Purpose: the new one", "Release 2, of the source source-2"]
    waits = [*a_life(1, "7"), *a_life(2, "2")[:1]]
    assert words(waits, BILLS, "1 (a)")[:2] == ["Purpose: the old one", "Release 1, of the source source-7"]
    assert "certificate:7" in words(waits, BILLS, "2 (h)")[0]
    again = [*a_life(1, "7"), *(each for each in a_life(2, "7") if each.kind != "builder.image.built")]
    assert words(again, BILLS, "1 (a)")[:2] == ["Purpose: the old one", "Release 2, of the source source-7"]


def test_a_rule_that_was_not_kept_says_why_it_forbade_nothing() -> None:
    excepted = {
        "rule": "model.pickle",
        "result": "fail",
        "on_fail": "deny",
        "exception": "exception:1",
        "why": None,
    }
    warned = {"rule": "build.pinned", "result": "fail", "on_fail": "warn", "why": "it is not"}
    assert words(a_life(1, "7", [excepted, warned]), {}, "2 (h)")[1:] == [
        "The rule model.pickle: fail, excepted by exception:1",
        "The rule build.pinned: fail, which warns and forbids nothing: it is not",
    ]


def test_an_image_of_a_dockerfile_is_not_said_to_run_nothing() -> None:
    assert "without running any of it" in words(a_life(1, "7"), {}, "2 (c)")[0]
    assert words(a_life(1, "7", dockerfile=True), {}, "2 (c)")[0].startswith(
        "Built by the project's own Dockerfile"
    )


def test_policies_of_both_stages_and_what_ended_it_are_told() -> None:
    taken = said(
        20, "deployer.model.quarantined", project="churn", release=1, why="it was revoked", rule=None
    )
    withdrawn = said(
        19, "gateway.exception.withdrawn", project="churn", exception="exception:1", rule="model.pickle"
    )
    life = [*a_life(1, "7"), withdrawn, taken]
    assert [each.split(",")[0] for each in words(life, {}, "7")] == [
        "Version 1 of the policy artifact-safety",
        "Version 1 of the policy licences",
    ]
    told = words(life, {}, "6")
    assert "exception.withdrawn, model.pickle" in told
    assert "Release 1: model.quarantined" in told


def test_what_a_file_is_called_decides_nothing() -> None:
    """Whoever passes a bundle on may call its files as he likes: what an event names is named by its digest."""
    swapped = {
        path.replace("2" * 12, "x").replace("7" * 12, "2" * 12).replace("x", "7" * 12): file
        for path, file in BILLS.items()
    }
    assert words(a_life(2, "2"), swapped, "1 (a)")[0] == "Purpose: the new one"
    facts = {
        name: json.dumps({"card": {"present": True, "declared": name}}).encode() for name in ("one", "two")
    }
    files = {"facts/submit-1.json": facts["two"], "facts/submit-2.json": facts["one"]}
    life = a_life(1, "7", facts={"facts": sha256_of(facts["one"])})
    assert words(life, files, "1 (h)") == ["The model card one, with these sections: none with a title"]


def test_another_project_that_built_the_image_says_nothing_else_of_the_model() -> None:
    built = said(
        1,
        "builder.image.built",
        project="other",
        release=1,
        image=f"sha256:{'7' * 64}",
        bom=bom_of("7"),
    )
    reused = [each for each in a_life(1, "7") if each.kind != "builder.image.built"]
    assert words([built, *reused], BILLS, "1 (a)")[0] == "Purpose: the old one"
    assert words([built, reused[0]], BILLS, "2 (c)") == ["nothing is said of this here"]


def test_a_page_that_says_other_words_of_the_same_events_is_of_another_form() -> None:
    """Verifiers of years ago and of tomorrow make it again: change `FORM` with its words, and this digest."""
    life = [*a_life(1, "7"), *a_life(2, "2", [{"rule": "model.pickle", "result": "pass", "on_fail": "deny"}])]
    page = dossier("churn", AT, life, BILLS)
    assert (FORM, sha256_of(page.encode())) == (
        1,
        "sha256:21d006a6f34fc90f03350befd7a9c2d0162b037197a07a1eafc38a2dba57d375",
    )
