"""May this release be served? Judged twice, and each time once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from placet.certifier.domain import (
    RELEASE,
    Asked,
    Awaitable,
    Awaiting,
    Certified,
    Cleared,
    Declared,
    Judge,
    JudgeImage,
    JudgeSource,
    Lapse,
    Lift,
    Object,
    Over,
    PassTime,
    Patience,
    Remind,
    Revoke,
    Signed,
    Uphold,
    excepted_anew,
    forbidden,
)
from placet.certifier.domain import Refused as Turned
from placet.events.codec import moment
from placet.events.contracts.certifier import (
    ApprovalAwaited,
    ApprovalReminded,
    CertificateExpired,
    CertificateIssued,
    CertificateLapsing,
    CertificateReinstated,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUpheld,
    CertificateWarned,
    ReleaseCleared,
    ReleaseRefused,
)
from placet.events.contracts.shapes import ApprovalUsed, Binding, Condition, ExceptionUsed, Ground, Measured
from placet.events.testing import changed, given

from tests.unit.gateway.roads import CERTIFY, IMAGE, POLICIES, RESOURCES, SOURCE, SUBMIT, verdict

ASKED = Asked(project="churn", release=1, command="deploy", source=SOURCE, image=None)
DECLARED = Declared(format="sklearn", resources=RESOURCES, access="token")
SIGNED = Signed(
    certificate="certificate:1",
    envelope=f"sha256:{'d' * 64}",
    not_before="2026-01-01T00:00:00.000Z",
    not_after="2026-04-01T00:00:00.000Z",
)
SOURCE_PASSES = JudgeSource(asked=ASKED, declared=DECLARED, policies=POLICIES, verdicts=SUBMIT)
IMAGE_PASSES = JudgeImage(
    image=IMAGE, repository="models/churn", policies=POLICIES, verdicts=CERTIFY, signed=SIGNED
)
FORBIDS = [verdict("r", "submit", result) for result in ("fail", "indeterminate")]

CLEARED = ReleaseCleared(
    project="churn",
    release=1,
    command="deploy",
    source=SOURCE,
    image=None,
    format="sklearn",
    resources=RESOURCES,
    access="token",
    policies=POLICIES,
    verdicts=SUBMIT,
)
ISSUED = CertificateIssued(
    certificate="certificate:1",
    project="churn",
    release=1,
    command="deploy",
    source=SOURCE,
    image=IMAGE,
    repository="models/churn",
    envelope=SIGNED.envelope,
    not_before=SIGNED.not_before,
    not_after=SIGNED.not_after,
    policies=POLICIES,
    verdicts=CERTIFY,
)


def refused(stage: Any, *verdicts: Any) -> ReleaseRefused:
    return ReleaseRefused(
        project="churn", release=1, stage=stage, source=SOURCE, policies=POLICIES, verdicts=verdicts
    )


def test_a_source_that_passes_is_cleared_with_what_others_need() -> None:
    state = given(RELEASE).when(SOURCE_PASSES).then(CLEARED)
    assert state == Cleared(asked=ASKED)


@pytest.mark.parametrize("verdict_", FORBIDS)
def test_a_rule_that_fails_or_cannot_be_judged_refuses(verdict_: Any) -> None:
    judged = replace(SOURCE_PASSES, verdicts=(*SUBMIT, verdict_))
    state = given(RELEASE).when(judged).then(refused("submit", *SUBMIT, verdict_))
    assert state == Turned()


def test_a_source_that_could_not_be_read_is_never_cleared() -> None:
    given(RELEASE).when(replace(SOURCE_PASSES, declared=None, verdicts=())).then(refused("submit"))


def test_an_image_that_passes_is_certified() -> None:
    state = given(RELEASE, CLEARED).when(IMAGE_PASSES).then(ISSUED)
    assert state == Certified(asked=ASKED, certificate="certificate:1", not_after=SIGNED.not_after)


@pytest.mark.parametrize("result", ["fail", "indeterminate"])
def test_an_image_that_a_rule_forbids_is_refused_even_if_somebody_signed(result: Any) -> None:
    bad = verdict("image.of-source", "certify", result)
    given(RELEASE, CLEARED).when(replace(IMAGE_PASSES, verdicts=(bad,))).then(refused("certify", bad))


def test_without_a_signature_there_is_no_certificate() -> None:
    given(RELEASE, CLEARED).when(replace(IMAGE_PASSES, signed=None)).then(refused("certify", *CERTIFY))


@pytest.mark.parametrize("history", [(CLEARED,), (CLEARED, ISSUED), (refused("submit"),)])
def test_a_source_is_judged_once(history: Any) -> None:
    given(RELEASE, *history).when(SOURCE_PASSES).then_nothing()


@pytest.mark.parametrize(
    "history", [(), (CLEARED, ISSUED), (refused("submit"),), (CLEARED, refused("certify"))]
)
def test_an_image_is_judged_once_and_only_after_its_source(history: Any) -> None:
    given(RELEASE, *history).when(IMAGE_PASSES).then_nothing()


def test_a_certificate_without_a_clearance_is_a_broken_log() -> None:
    with pytest.raises(ValueError, match="was not cleared"):
        RELEASE.fold([ISSUED])


def test_warnings_forbid_nothing() -> None:
    assert not forbidden([verdict("card", "submit", "fail", "warn"), verdict("x", "submit")])
    assert forbidden([verdict("x", "operate", "fail", "suspend")])


def test_the_conditions_of_a_source_are_told_with_its_clearance_and_its_certificate() -> None:
    conditions = (
        Condition(metric="psi", max=0.2, recovery=0.1, window=60, min_samples=100, action="suspend"),
    )
    judged = replace(SOURCE_PASSES, declared=replace(DECLARED, conditions=conditions))
    cleared = changed(CLEARED, conditions=conditions)
    given(RELEASE).when(judged).then(cleared)
    issued = changed(ISSUED, conditions=conditions)
    given(RELEASE, cleared).when(replace(IMAGE_PASSES, conditions=conditions)).then(issued)


EXCEPTION = ExceptionUsed(
    exception="exception:1", rule="r", until="2026-02-01T00:00:00.000Z", granted_by="person:1"
)
COVERED = msgspec.structs.replace(verdict("r", "submit", "fail"), exception=EXCEPTION.exception)


def test_a_rule_that_is_excepted_forbids_nothing_and_both_events_say_by_what() -> None:
    cleared = changed(CLEARED, verdicts=(COVERED,), exceptions=(EXCEPTION,))
    judged = replace(SOURCE_PASSES, verdicts=(COVERED,), exceptions=(EXCEPTION,))
    given(RELEASE).when(judged).then(cleared)
    issued = changed(ISSUED, exceptions=(EXCEPTION,))
    given(RELEASE, cleared).when(replace(IMAGE_PASSES, exceptions=(EXCEPTION,))).then(issued)


def test_a_verdict_of_before_is_covered_by_what_is_in_force_now() -> None:
    others = (verdict("x", "submit"), verdict("y", "submit", "fail", "warn"))
    later = msgspec.structs.replace(EXCEPTION, exception="exception:2")
    assert excepted_anew((*others, COVERED), [later]) == (
        *others,
        msgspec.structs.replace(COVERED, exception="exception:2"),
    )
    of_another_rule = msgspec.structs.replace(EXCEPTION, rule="y")
    assert excepted_anew((*others, COVERED), [of_another_rule]) == (*others, verdict("r", "submit", "fail"))


commands = st.lists(
    st.sampled_from([SOURCE_PASSES, IMAGE_PASSES])
    | st.builds(lambda bad: replace(SOURCE_PASSES, verdicts=(bad,)), st.sampled_from(FORBIDS))
    | st.builds(lambda bad: replace(IMAGE_PASSES, verdicts=(bad,)), st.sampled_from(FORBIDS))
    | st.just(replace(IMAGE_PASSES, signed=None)),
    max_size=8,
)


@for_all(commands)
def test_a_release_is_answered_at_most_once_for_each_stage_whatever_comes_how_often(asked: Any) -> None:
    history: list[Any] = []
    for command in asked:
        before = RELEASE.fold(history)
        happened = RELEASE.decide(command, before)
        assert RELEASE.fold_on(before, happened) == RELEASE.fold([*history, *happened])
        history += happened
        assert not RELEASE.decide(command, RELEASE.fold(history))
    assert [type(event) for event in history] in (
        [],
        [ReleaseCleared],
        [ReleaseRefused],
        [ReleaseCleared, ReleaseRefused],
        [ReleaseCleared, CertificateIssued],
    )


# after it was certified


def ground(rule: str, why: str = "it drifts") -> Ground:
    return Ground(rule=rule, why=why, fix="train it anew")


def objected(*grounds: Ground) -> Object:
    return Object(certificate="certificate:1", grounds=grounds)


def lifted(rule: str) -> Lift:
    return Lift(certificate="certificate:1", exception=excepting(rule))


def upheld(rule: str) -> CertificateUpheld:
    return CertificateUpheld(
        certificate="certificate:1", project="churn", release=1, exception=excepting(rule)
    )


def excepting(rule: str) -> ExceptionUsed:
    return msgspec.structs.replace(EXCEPTION, rule=rule)


def suspended(*grounds: Ground) -> CertificateSuspended:
    return CertificateSuspended(certificate="certificate:1", project="churn", release=1, grounds=grounds)


def measured(rule: str, *values: float, metric: Any = "psi") -> Ground:
    return Ground(
        rule=rule,
        why=f"it is {values}",
        measured=tuple(
            Measured(metric=metric, value=value, limit=0.2, window=number, samples=500)
            for number, value in enumerate(values)
        ),
    )


def judged(*grounds: Ground, warnings: tuple[Ground, ...] = (), kept: tuple[str, ...] = ()) -> Judge:
    return Judge(certificate="certificate:1", grounds=grounds, warnings=warnings, kept=frozenset(kept))


def warned(*warnings: Ground) -> CertificateWarned:
    return CertificateWarned(certificate="certificate:1", project="churn", release=1, warnings=warnings)


REVOKE = Revoke(certificate="certificate:1", ground=ground("certificate.revoked"), by="person:1")
REVOKED = CertificateRevoked(
    certificate="certificate:1", project="churn", release=1, ground=REVOKE.ground, revoked_by="person:1"
)
UPHOLD = Uphold(certificate="certificate:1", withdrawn="exception:0", exception=EXCEPTION)
UPHELD = CertificateUpheld(
    certificate="certificate:1", project="churn", release=1, withdrawn="exception:0", exception=EXCEPTION
)
REINSTATED = CertificateReinstated(certificate="certificate:1", project="churn", release=1)
EXPIRED = CertificateExpired(
    certificate="certificate:1", project="churn", release=1, not_after=SIGNED.not_after
)
END = moment(SIGNED.not_after)


def test_a_certificate_is_suspended_by_what_there_is_against_it_and_no_longer() -> None:
    drift, errors = ground("operate.drift"), ground("operate.errors")
    given(RELEASE, CLEARED, ISSUED).when(objected(errors, drift)).then(suspended(drift, errors))
    held = (CLEARED, ISSUED, suspended(drift, errors))
    given(RELEASE, *held).when(objected(drift)).then_nothing()
    worse = ground("operate.drift", "it drifts more")
    given(RELEASE, *held).when(objected(worse)).then(suspended(worse, errors))
    given(RELEASE, *held).when(lifted("another")).then_nothing()
    said = (upheld("operate.errors"), suspended(drift))
    given(RELEASE, *held).when(lifted("operate.errors")).then(*said)
    state = (
        given(RELEASE, *held, *said).when(lifted("operate.drift")).then(upheld("operate.drift"), REINSTATED)
    )
    assert state == Certified(asked=ASKED, certificate="certificate:1", not_after=SIGNED.not_after)


def test_operation_suspends_warns_and_lifts_and_what_is_not_judged_stays() -> None:
    drift, late = measured("operate.drift", 0.3), ground("operate.late")
    both = judged(drift, warnings=(late,))
    given(RELEASE, CLEARED, ISSUED).when(both).then(suspended(drift), warned(late))
    held = (CLEARED, ISSUED, suspended(drift), warned(late))
    given(RELEASE, *held).when(judged()).then_nothing()
    given(RELEASE, *held).when(judged(kept=("operate.late",))).then(warned())
    state = (
        given(RELEASE, *held).when(judged(kept=("operate.late", "operate.drift"))).then(REINSTATED, warned())
    )
    assert state == Certified(asked=ASKED, certificate="certificate:1", not_after=SIGNED.not_after)


def test_other_numbers_of_the_same_conditions_are_not_said_again_and_other_conditions_are() -> None:
    held = (CLEARED, ISSUED, suspended(measured("operate.drift", 0.3)))
    given(RELEASE, *held).when(judged(measured("operate.drift", 0.4))).then_nothing()
    two = measured("operate.drift", 0.4, 0.5)
    given(RELEASE, *held).when(judged(two)).then(suspended(two))


@pytest.mark.parametrize("history", [(), (suspended(ground("r")),)], ids=["standing", "suspended"])
def test_what_is_revoked_or_out_of_time_is_over(history: Any) -> None:
    held = (CLEARED, ISSUED, *history)
    given(RELEASE, *held).when(REVOKE).then(REVOKED)
    given(RELEASE, *held).when(
        Lapse(certificate="certificate:1", now=END - timedelta(seconds=1))
    ).then_nothing()
    given(RELEASE, *held).when(Lapse(certificate="certificate:1", now=END)).then(EXPIRED)
    for end in (REVOKED, EXPIRED):
        for command in (
            REVOKE,
            UPHOLD,
            objected(ground("r")),
            lifted("r"),
            judged(ground("r"), warnings=(ground("s"),)),
            REMIND,
            Lapse(certificate="certificate:1", now=END),
        ):
            given(RELEASE, *held, end).when(command).then_nothing()


REMIND = Remind(certificate="certificate:1", now=END - timedelta(days=30))
LAPSING = CertificateLapsing(
    certificate="certificate:1", project="churn", release=1, not_after=SIGNED.not_after, left=30 * 86400
)


@pytest.mark.parametrize("history", [(), (suspended(ground("r")), REINSTATED)], ids=["always", "again"])
def test_that_a_certificate_ends_soon_is_said_once_and_changes_nothing_else(history: Any) -> None:
    held = (CLEARED, ISSUED, *history)
    state = given(RELEASE, *held).when(REMIND).then(LAPSING)
    assert state == Certified(
        asked=ASKED, certificate="certificate:1", not_after=SIGNED.not_after, is_reminded=True
    )
    given(RELEASE, *held, LAPSING).when(replace(REMIND, now=END - timedelta(days=1))).then_nothing()
    given(RELEASE, *held, LAPSING).when(REVOKE).then(REVOKED)
    given(RELEASE, *held, LAPSING).when(Lapse(certificate="certificate:1", now=END)).then(EXPIRED)
    given(RELEASE, *held).when(replace(REMIND, now=END)).then_nothing()


def test_a_release_that_renews_says_so_with_its_clearance_and_its_certificate() -> None:
    asked = replace(ASKED, renews="certificate:0")
    cleared = changed(CLEARED, renews="certificate:0")
    assert given(RELEASE).when(replace(SOURCE_PASSES, asked=asked)).then(cleared) == Cleared(asked=asked)
    given(RELEASE, cleared).when(IMAGE_PASSES).then(changed(ISSUED, renews="certificate:0"))


def test_another_exception_in_place_of_one_leaves_a_certificate_as_it_is() -> None:
    held = (CLEARED, ISSUED, suspended(ground("x")))
    state = given(RELEASE, *held).when(UPHOLD).then(UPHELD)
    assert state == RELEASE.fold(held)


@pytest.mark.parametrize("history", [(), (CLEARED,), (refused("submit"),)], ids=range(3))
def test_nothing_becomes_of_a_certificate_that_was_never_given(history: Any) -> None:
    for command in (
        REVOKE,
        UPHOLD,
        objected(ground("r")),
        lifted("r"),
        REMIND,
        Lapse(certificate="certificate:1", now=END),
    ):
        given(RELEASE, *history).when(command).then_nothing()
    with pytest.raises(ValueError, match="was not standing"):
        RELEASE.fold([*history, REINSTATED])


def test_what_is_said_of_another_certificate_changes_nothing() -> None:
    for command in (
        REVOKE,
        UPHOLD,
        objected(ground("r")),
        lifted("r"),
        REMIND,
        Lapse(certificate="certificate:1", now=END),
    ):
        given(RELEASE, CLEARED, ISSUED).when(replace(command, certificate="certificate:2")).then_nothing()


grounds = st.builds(ground, st.sampled_from(["a", "b", "c"]), st.sampled_from(["bad", "worse"]))
later = st.lists(
    st.builds(objected, grounds)
    | st.builds(lifted, st.sampled_from(["a", "b", "c"]))
    | st.just(REVOKE)
    | st.just(REMIND)
    | st.builds(Lapse, certificate=st.just("certificate:1"), now=st.sampled_from([END, END - timedelta(1)])),
    max_size=12,
)


@for_all(later)
def test_whatever_comes_a_certificate_stands_if_nothing_is_against_it(asked: Any) -> None:
    history: list[Any] = [CLEARED, ISSUED]
    against: dict[str, str] = {}
    for command in asked:
        before = RELEASE.fold(history)
        happened = RELEASE.decide(command, before)
        history += happened
        assert RELEASE.fold_on(before, happened) == RELEASE.fold(history)
        assert not RELEASE.decide(command, RELEASE.fold(history))
        match command:
            case Object():
                against |= {each.rule: each.why for each in command.grounds}
            case Lift():
                against = {rule: why for rule, why in against.items() if rule != command.exception.rule}
        state = RELEASE.fold(history)
        if isinstance(state, Over):
            return
        assert isinstance(state, Certified)
        assert {each.rule: each.why for each in state.grounds} == against


# what is waited for

AT = moment("2026-01-01T00:00:00.000Z")
DAY = timedelta(days=1)
MISSING = verdict("two.approve", "certify", "fail")
BINDING = Binding(
    digest=f"sha256:{'b' * 64}", source=SOURCE, image=IMAGE, inputs=f"sha256:{'a' * 64}", policies=POLICIES
)
GRACE = ApprovalUsed(
    approval="approval:1", given_by="person:grace", roles=("approver",), at="2026-01-02T00:00:00.000Z"
)
WAITS = Awaitable(
    at=AT, binding=BINDING, rules={"two.approve": Patience(within=14 * 86400, remind=3 * 86400)}
)
IMAGE_AWAITS = replace(IMAGE_PASSES, verdicts=(*CERTIFY, MISSING), signed=None, awaitable=WAITS)
AWAITED = ApprovalAwaited(
    project="churn",
    release=1,
    command="deploy",
    binding=BINDING,
    verdicts=(*CERTIFY, MISSING),
    since="2026-01-01T00:00:00.000Z",
    until="2026-01-15T00:00:00.000Z",
    remind=3 * 86400,
)


def test_what_only_people_can_mend_is_awaited_and_not_refused() -> None:
    state = given(RELEASE, CLEARED).when(IMAGE_AWAITS).then(AWAITED)
    assert state == Awaiting(asked=ASKED, awaited=AWAITED)


@pytest.mark.parametrize(
    "verdicts",
    [
        (MISSING, verdict("image.of-source", "certify", "fail")),
        (verdict("two.approve", "certify", "indeterminate"),),
    ],
)
def test_what_people_cannot_mend_is_refused_at_once(verdicts: Any) -> None:
    """Another rule says no as well, or there is a fact missing that no approval makes."""
    state = (
        given(RELEASE, CLEARED)
        .when(replace(IMAGE_AWAITS, verdicts=verdicts))
        .then(refused("certify", *verdicts))
    )
    assert state == Turned()


def test_the_last_approval_certifies_and_the_certificate_names_them_all() -> None:
    judged = replace(IMAGE_PASSES, awaitable=replace(WAITS, approvals=(GRACE,)))
    state = given(RELEASE, CLEARED, AWAITED).when(judged).then(changed(ISSUED, approvals=(GRACE,)))
    assert isinstance(state, Certified)


def test_an_approval_that_is_not_enough_is_said_and_the_deadline_stays() -> None:
    later = replace(WAITS, at=AT + DAY, approvals=(GRACE,))
    more = changed(AWAITED, approvals=(GRACE,))
    given(RELEASE, CLEARED, AWAITED).when(replace(IMAGE_AWAITS, awaitable=later)).then(more)
    given(RELEASE, CLEARED, more).when(replace(IMAGE_AWAITS, awaitable=later)).then()


def test_what_is_another_thing_now_is_awaited_anew_and_gets_no_more_time() -> None:
    other = changed(BINDING, digest=f"sha256:{'c' * 64}")
    later = replace(WAITS, at=AT + DAY, binding=other)
    anew = changed(AWAITED, binding=other)
    given(RELEASE, CLEARED, changed(AWAITED, approvals=(GRACE,))).when(
        replace(IMAGE_AWAITS, awaitable=later)
    ).then(anew)


def test_people_are_reminded_in_time_and_once_for_each() -> None:
    reminded = ApprovalReminded(
        project="churn",
        release=1,
        binding=BINDING.digest,
        rules=("two.approve",),
        until=AWAITED.until,
        number=1,
    )
    given(RELEASE, CLEARED, AWAITED).when(PassTime(now=AT + 2 * DAY)).then()
    given(RELEASE, CLEARED, AWAITED).when(PassTime(now=AT + 3 * DAY)).then(reminded)
    given(RELEASE, CLEARED, AWAITED, reminded).when(PassTime(now=AT + 4 * DAY)).then()
    given(RELEASE, CLEARED, AWAITED, reminded).when(PassTime(now=AT + 10 * DAY)).then(
        changed(reminded, number=3)
    )
    given(RELEASE, CLEARED, changed(AWAITED, remind=None)).when(PassTime(now=AT + 4 * DAY)).then()


def test_what_did_not_come_in_time_is_a_refusal_that_says_so() -> None:
    said = changed(
        MISSING,
        why="two.approve says no; that was awaited until 2026-01-15T00:00:00.000Z, and nothing came",
    )
    state = (
        given(RELEASE, CLEARED, AWAITED)
        .when(PassTime(now=AT + 14 * DAY))
        .then(refused("certify", *CERTIFY, said))
    )
    assert state == Turned()


def test_of_what_is_not_awaited_time_changes_nothing() -> None:
    for before in ((CLEARED,), (CLEARED, AWAITED, ISSUED)):
        given(RELEASE, *before).when(PassTime(now=AT + 90 * DAY)).then()
