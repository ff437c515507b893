"""What the services hear and say fits together, the pages say so, and what would not fit is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from placet.events.contracts import builder, deployer, gateway

from tools import flow, workspace
from tools.flow import Edge, Road, Step

FOUND = flow.edges()
SOMEWHERE = flow.Place(file=workspace.ROOT / "services" / "gateway" / "README.md", function="on_nothing")


def changed(service: str, change: Callable[[Edge], Edge]) -> list[Edge]:
    return [change(edge) if edge.service == service else edge for edge in FOUND]


def hearing(event: type) -> Callable[[Edge], Edge]:
    return lambda edge: replace(edge, hears={**edge.hears, event: SOMEWHERE})


def not_hearing(event: type) -> Callable[[Edge], Edge]:
    return lambda edge: replace(
        edge, hears={each: at for each, at in edge.hears.items() if each is not event}
    )


def saying(event: type) -> Callable[[Edge], Edge]:
    return lambda edge: replace(edge, says=(*edge.says, event))


def not_saying(event: type) -> Callable[[Edge], Edge]:
    return lambda edge: replace(edge, says=tuple(each for each in edge.says if each is not event))


def test_the_services_fit_together() -> None:
    assert flow.complaints(FOUND) == []


def test_the_pages_are_what_the_code_says() -> None:
    assert flow.stale(flow.pages(FOUND)) == []


def test_a_page_that_is_out_of_date_is_named_with_the_cure() -> None:
    (complaint,) = flow.stale({workspace.ROOT / "docs" / "reference" / "flow.md": "something else"})
    assert complaint == "docs/reference/flow.md is not what the code says; run `make flow`"


def test_a_page_that_is_not_there_is_out_of_date() -> None:
    assert len(flow.stale({workspace.ROOT / "docs" / "reference" / "nothing.md": ""})) == 1


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (
            changed("builder", not_saying(builder.ImageReused)),
            "indexer hears builder.image.reused, which nobody says",
        ),
        (
            changed("builder", not_saying(builder.BuildAccepted)),
            "builder.build.accepted is in the catalogue, and no service says it",
        ),
        (
            changed("indexer", saying(builder.ImageBuilt)),
            "indexer says builder.image.built, which is builder's",
        ),
        (
            changed("deployer", not_hearing(builder.BuildFailed)),
            "nobody acts on builder.build.failed; say in tools/flow.py, NOBODY_ACTS, why that is right",
        ),
        (
            changed("builder", hearing(deployer.ModelDiverged)),
            "builder acts on deployer.model.diverged; take it out of NOBODY_ACTS in tools/flow.py",
        ),
        (
            changed("builder", not_hearing(deployer.ResourcesReserved)),
            "Deploy: from a model project to a URL: builder does not hear deployer.resources.reserved",
        ),
    ],
)
def test_what_does_not_fit_is_told(found: list[Edge], complaint: str) -> None:
    assert complaint in flow.complaints(found)


def test_a_road_whose_steps_do_not_meet_is_told() -> None:
    asked = Step(hears=(), says=(gateway.StopRequested,), does="asks")
    answered = Step(hears=(gateway.DeleteRequested,), says=(deployer.ModelDeleted,), does="deletes")
    road = Road(title="Lost", asked="nothing", steps=(asked, answered))
    assert flow.complaints(FOUND, [road]) == ["Lost: gateway and deployer do not meet"]
