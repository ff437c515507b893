"""The state of the platform, folded from the log: what was said, where, and that pieces of it make the same whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG, builder, certifier, deployer, gateway, indexer, metadata
from placet.events.contracts.shapes import DatasetRef, ReportedEvaluation, ReportedRun, RuleRef
from placet.events.testing import changed
from placet.metadata.entities import State
from placet.metadata.history import TYPES, fold
from placet.metadata.history_standing import documents

from tests.unit.events.golden_payloads import example
from tests.unit.gateway.roads import (
    CERTIFICATE,
    DELETE,
    DEPLOY,
    IMAGE,
    MISSING,
    NO_BUILD,
    NO_IMAGE,
    ROADS,
    SOURCE,
    STOP,
    asked,
    awaited,
    certified,
    cleared,
    failed,
    refused,
    started,
    verdict,
)
from tests.unit.metadata.histories import (
    APPROVER,
    ASKER,
    EXCEPTION,
    GROUND,
    REINSTATED,
    REVOKER,
    USED,
    governed,
    granted_exception,
    hour,
    incident,
    requested_exception,
    revoked,
    said,
    state_of,
    suspended,
)

IDLE = (
    certifier.ApprovalReminded,
    deployer.ModelObserved,
    metadata.GapDetected,
    metadata.WebhookAdded,
    metadata.WebhookRotated,
    metadata.WebhookDisabled,
    metadata.WebhookEnabled,
    metadata.WebhookRemoved,
    gateway.ErasureRequested,
    gateway.PersonErased,
    gateway.RetentionApplied,
    gateway.HoldPlaced,
    gateway.HoldLifted,
    gateway.QuotaSet,
    gateway.QuotaRemoved,
    gateway.TeamChanged,
    gateway.TeamDisbanded,
    gateway.RoleGranted,
    gateway.RoleRevoked,
    gateway.ProjectRestricted,
    gateway.ProjectOpened,
    gateway.AccessDenied,
    certifier.AccessDenied,
    builder.AccessDenied,
    indexer.AccessDenied,
    deployer.AccessDenied,
    metadata.AccessDenied,
)
"""What is no state of models: it was said of a window, of people and their data, of the room that they share, of who
may do what and who was not let in, or of the log and who follows it."""
UNPLACED = {
    "placet.builder.build.accepted.v1",
    "placet.gateway.source.uploaded.v1",
    "placet.indexer.tag.moved.v1",
    "placet.indexer.source.collected.v1",
}
"""Nothing that is judged or served follows from these: what is made of them is said by another event."""


def shown(state: State, at: float = 1000) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["id"]): each for each in documents(state, hour(at))}


def one(state: State, kind: str, id: str, at: float = 1000) -> dict[str, Any]:
    return shown(state, at)[kind, id]


def test_every_event_says_something_of_a_state_or_is_known_not_to() -> None:
    idle = {contract_of(each).type for each in IDLE} | UNPLACED
    assert {contract_of(each).type for each in CATALOG.types} == TYPES | idle


@pytest.mark.parametrize("event", [each for each in CATALOG.types if each not in IDLE], ids=str)
def test_each_event_alone_is_folded(event: type) -> None:
    """Whatever came before it: the producers' events stand in the log in no order that is given."""
    payload: Any = example(event)
    dated = {
        name: "2026-01-01" if name.startswith("effective") else "2026-01-01T00:00:00.000Z"
        for name in (
            "effective_from",
            "effective_until",
            "not_before",
            "not_after",
            "until",
            "since",
            "at",
            "expires",
        )
        if hasattr(payload, name)
    }
    payload = changed(payload, **dated)
    state = fold(State(), said([payload]))
    for each in documents(state, hour(2)):
        assert set(each["said"].values()) == {1}


# models


def test_a_deploy_is_a_release_with_its_steps_and_a_project_that_serves() -> None:
    state = state_of(DEPLOY)
    release = one(state, "release", "churn/1")
    assert (release["state"], release["source"], release["image"], release["format"]) == (
        "live",
        SOURCE,
        IMAGE,
        "sklearn",
    )
    steps = ["requestedAt", "clearedAt", "reservedAt", "builtAt", "indexedAt", "certifiedAt", "liveAt"]
    assert [release["said"][step] for step in steps] == [1, 2, 3, 5, 6, 7, 9]
    assert release[steps[-1]] == "2026-01-01T08:00:00.000Z"
    project = one(state, "project", "churn")
    assert (project["state"], project["live"], project["image"], project["certificate"]) == (
        "live",
        1,
        IMAGE,
        CERTIFICATE,
    )
    assert project["said"]["live"] == project["said"]["url"] == 9
    assert release["requestedBy"] == ASKER


def test_what_is_said_again_as_it_was_keeps_the_place_where_it_was_said_first() -> None:
    project = one(state_of([*DEPLOY, started(endpoints=("http://127.0.0.1:2",))]), "project", "churn")
    assert (project["said"]["live"], project["said"]["since"]) == (9, 9)


@pytest.mark.parametrize(
    ("then", "state", "live"),
    [
        (STOP, "stopped", None),
        (DELETE, "deleted", None),
        ([failed()], "failed", None),
        ([failed(release=2)], "live", 1),
        (
            [
                deployer.ModelQuarantined(
                    project="churn", release=1, certificate=CERTIFICATE, why="its certificate ended"
                )
            ],
            "quarantined",
            None,
        ),
        ([deployer.ModelQuarantined(project="churn", release=9, certificate="c", why="old")], "live", 1),
    ],
)
def test_what_serves_ends_as_the_deployer_says(then: Any, state: str, live: int | None) -> None:
    project = one(state_of([*DEPLOY, *then]), "project", "churn")
    assert (project["state"], project["live"], project["served"]) == (state, live, 1)


def test_a_model_that_serves_again_is_in_no_quarantine() -> None:
    quarantined = deployer.ModelQuarantined(project="churn", release=1, certificate=CERTIFICATE, why="late")
    project = one(state_of([*DEPLOY, quarantined, started()]), "project", "churn")
    assert (project["state"], project["quarantine"], project["said"]["since"]) == ("live", None, 11)


@pytest.mark.parametrize(
    ("road", "state", "position"),
    [
        (NO_BUILD, "failed", 5),
        (NO_IMAGE, "refused", 7),
        ((asked(), refused("submit", verdict("owner.named", "submit", "fail"))), "refused", 2),
        ((asked(), cleared(), awaited()), "awaiting", 3),
        ((asked(), cleared(), awaited(), certified()), "certified", 4),
        ((asked(), cleared()), "cleared", 2),
    ],
)
def test_a_release_stands_where_its_steps_led(road: Any, state: str, position: int) -> None:
    release = one(state_of(road), "release", "churn/1")
    assert (release["state"], release["said"]["state"]) == (state, position)


AGAIN = (*DEPLOY, asked(release=2), started(release=2))


@pytest.mark.parametrize(
    ("road", "first", "second"),
    [
        (AGAIN, ("replaced", 11), ("live", 11)),
        ((*AGAIN, started()), ("live", 12), ("replaced", 12)),
        ((*AGAIN, deployer.ModelStopped(project="churn", release=2)), ("replaced", 11), ("stopped", 12)),
    ],
)
def test_of_two_releases_that_came_to_be_live_one_is(
    road: Any, first: tuple[str, int], second: tuple[str, int]
) -> None:
    found = [one(state_of(road), "release", f"churn/{number}") for number in (1, 2)]
    assert [(each["state"], each["said"]["state"]) for each in found] == [first, second]


def test_a_refusal_names_the_rules_that_forbade_it_and_no_others() -> None:
    state = state_of([asked(), refused("certify", MISSING, verdict("card", "certify", "fail", "warn"))])
    assert [each["rule"] for each in one(state, "release", "churn/1")["refusals"]] == ["two.approve"]


@for_all(st.permutations(range(len(DEPLOY))))
@settings(max_examples=60, deadline=None)
def test_it_is_no_matter_which_producer_was_heard_first(order: list[int]) -> None:
    """Each producer's own events stay in their order; between producers there is none."""
    own: dict[str, list[Any]] = {}
    for event in DEPLOY:
        own.setdefault(contract_of(event).producer, []).append(event)
    shuffled = [own[contract_of(DEPLOY[place]).producer].pop(0) for place in order]
    found = shown(state_of(shuffled))
    for key, each in shown(state_of(DEPLOY)).items():
        for name, value in each.items():
            if name != "said" and not name.endswith(("At", "since", "judgedFirst", "startedLast", "asked")):
                assert found[key][name] == value, (key, name)


# certificates


def test_a_certificate_says_on_what_it_was_issued() -> None:
    state = state_of(governed())
    certificate = one(state, "certificate", CERTIFICATE, at=20)
    assert certificate["state"] == "valid"
    assert [each["id"] for each in certificate["policies"]] == ["house"]
    assert [each["givenBy"] for each in certificate["approvals"]] == [APPROVER]
    assert [each["exception"] for each in certificate["exceptions"]] == [EXCEPTION]
    assert certificate["facts"]["facts"].startswith("sha256:")
    assert one(state, "exception", EXCEPTION)["usedBy"] == [CERTIFICATE]
    assert one(state, "approval", "approval:1")["countedFor"] == [CERTIFICATE]


@pytest.mark.parametrize("withdrawn", [EXCEPTION, None])
def test_a_certificate_stands_on_the_exception_that_was_said_last(withdrawn: str | None) -> None:
    other = msgspec.structs.replace(USED, exception="exception:2")
    upheld = certifier.CertificateUpheld(
        certificate=CERTIFICATE, project="churn", release=1, withdrawn=withdrawn, exception=other
    )
    certificate = one(state_of([*governed(), suspended(), upheld, REINSTATED]), "certificate", CERTIFICATE)
    assert [each["exception"] for each in certificate["exceptions"]] == ["exception:2"]


def test_grounds_come_and_go_and_a_revocation_is_for_good() -> None:
    for then, state in (
        ([suspended()], "suspended"),
        ([suspended(), REINSTATED], "valid"),
        ([suspended(), revoked()], "revoked"),
    ):
        certificate = one(state_of([*DEPLOY, *then]), "certificate", CERTIFICATE, at=20)
        assert certificate["state"] == state
    assert certificate["revokedBy"] == REVOKER
    assert (
        one(state_of([*DEPLOY, suspended()]), "certificate", CERTIFICATE)["grounds"][0]["rule"] == GROUND.rule
    )


def test_a_certificate_ends_by_time_alone() -> None:
    state = state_of(DEPLOY)
    days = 24 * 90
    assert [one(state, "certificate", CERTIFICATE, at)["state"] for at in (10, days, days + 2)] == [
        "valid",
        "valid",
        "expired",
    ]


def test_a_certificate_knows_which_one_took_its_place() -> None:
    other = changed(certified(release=2, certificate="certificate:2"), renews=CERTIFICATE)
    state = state_of([*DEPLOY, asked(release=2), other])
    assert one(state, "certificate", CERTIFICATE)["renewedBy"] == "certificate:2"


# people and rules


@pytest.mark.parametrize(
    ("events", "at", "state"),
    [
        ([requested_exception()], 5, "requested"),
        ([requested_exception(), granted_exception()], 5, "granted"),
        ([granted_exception(), requested_exception()], 5, "granted"),
        ([requested_exception(), granted_exception()], 24 * 200, "expired"),
        (
            [
                requested_exception(),
                gateway.ExceptionWithdrawn(
                    exception=EXCEPTION, project="churn", rule="house.old", withdrawn_by=ASKER
                ),
            ],
            5,
            "withdrawn",
        ),
    ],
)
def test_an_exception_is_asked_for_in_force_withdrawn_or_over(events: Any, at: int, state: str) -> None:
    assert one(state_of(events), "exception", EXCEPTION, at)["state"] == state


def published(policy: str, version: int, begins: str, **more: Any) -> certifier.PolicyPublished:
    return certifier.PolicyPublished(
        policy=policy,
        version=version,
        digest=f"{policy}@{version}",
        number=more.pop("number", version),
        title=policy,
        effective_from=begins,
        effective_until=more.pop("until", None),
        supersedes=more.pop("supersedes", None),
        rules=(RuleRef(id=f"{policy}.rule", stage="submit"),),
    )


def test_policies_are_in_force_by_day() -> None:
    state = state_of(
        [
            published("data", 1, "2026-01-01"),
            published("data", 2, "2026-02-01"),
            published("short", 1, "2026-01-01", until="2026-01-15", number=3),
        ]
    )
    days = {"january": 24 * 9, "february": 24 * 40}
    for day, states in {
        "january": ["in-force", "scheduled", "in-force"],
        "february": ["superseded", "in-force", "ended"],
    }.items():
        ids = ("data@1", "data@2", "short@1")
        assert [one(state, "policy", id, days[day])["state"] for id in ids] == states, day


def test_a_policy_that_ships_is_known_from_the_first_judgement_by_it() -> None:
    policy = next(each for key, each in shown(state_of(DEPLOY)).items() if key[0] == "policy")
    assert (policy["policy"], policy["state"], policy["said"]["judgedFirst"]) == ("house", "in-force", 2)


def test_a_key_signs_until_the_next_one_does_and_counts_for_nothing_once_it_leaked() -> None:
    first = certifier.KeyRotated(key="k1", public="p1", since=None, before=None, why=None)
    second = certifier.KeyRotated(
        key="k2", public="p2", since="2026-01-02T00:00:00.000Z", before="k1", why="scheduled"
    )
    leaked = certifier.KeyCompromised(key="k1", since="2026-01-03T00:00:00.000Z")
    state = state_of([first, second, leaked])
    assert [one(state, "key", "k1", at)["state"] for at in (10, 30, 60)] == [
        "signs",
        "retired",
        "compromised",
    ]
    assert [one(state, "key", "k2", at)["state"] for at in (10, 30)] == ["to-come", "signs"]


# reports


def test_of_one_incident_the_last_that_was_told_counts() -> None:
    state = state_of([incident(), incident("resolved", report="report:2", at="2026-01-05T00:00:00Z")])
    found = one(state, "incident", "churn/inc-1")
    assert (found["state"], found["openedAt"], found["said"]["status"]) == (
        "resolved",
        "2026-01-01T00:00:00Z",
        2,
    )


def test_of_what_is_told_again_and_again_the_newest_is_kept() -> None:
    def run(state: Any, report: str) -> Any:
        told = ReportedRun(run="r", job="train", step="training", state=state)
        return changed(incident(report=report), incident=None, run=told)

    def evaluation(report: str, split: str) -> Any:
        made = ReportedEvaluation(of=DatasetRef(dataset="d"), split=split, metrics=())
        return changed(incident(report=report), incident=None, evaluation=made)

    state = state_of(
        [run("start", "1"), run("complete", "2"), *(evaluation(str(i), "test") for i in range(9))]
    )
    assert len(list(state.all("evaluation"))) == 1
    assert one(state, "run", "churn/r")["state"] == "complete"


# pieces


EVERYTHING = [
    *governed(),
    *(event for road in ROADS.values() for event in road),
    suspended(),
    REINSTATED,
    incident(),
    revoked(),
    published("data", 1, "2026-01-01"),
]


@for_all(
    events=st.lists(st.sampled_from(EVERYTHING), max_size=60),
    cut=st.integers(0, 60),
)
@settings(max_examples=100, deadline=None)
def test_a_fold_in_pieces_is_the_fold_at_once(events: list[Any], cut: int) -> None:
    """So a page may end anywhere, and what is so at a position hangs on nothing behind it."""
    happened = said(events, every=timedelta(minutes=1))
    at_once = fold(State(), happened)
    in_pieces = fold(fold(State(), happened[:cut]), happened[cut:])
    assert list(documents(at_once, hour(3))) == list(documents(in_pieces, hour(3)))
    assert at_once.position == in_pieces.position == len(events)
    before = list(documents(fold(State(), happened[:cut]), hour(3)))
    assert all(position <= cut for each in before for position in each["said"].values())
