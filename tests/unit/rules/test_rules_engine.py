"""The engine: three results, and nothing a policy can write takes it down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Refused, Unavailable
from placet.rules import Engine, Policy, Verdict, excepted, read_policy

HEADER = """\
apiVersion: placet/v1
kind: Policy
id: test
version: 1
title: Test
owner: compliance
params: {limit: 3}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def rule(
    require: str,
    *,
    id: str = "r",
    stage: str = "submit",
    on_fail: str = "deny",
    say: str | list[dict[str, str]] = "no",
) -> str:
    return (
        f"  - {{id: {id}, title: T, citations: [], stage: {stage}, onFail: {on_fail}, fix: do,"
        f" say: {msgspec.json.encode(say).decode()}, require: {msgspec.json.encode(require).decode()}}}\n"
    )


def policy(*rules: str, more: str = "") -> Policy:
    return read_policy(f"{HEADER}{more}rules:\n{''.join(rules)}".encode())


def verdict(engine: Engine, require: str, **facts: Any) -> Verdict:
    (found,) = engine.evaluate_sync([policy(rule(require))], "submit", facts)
    return found


@pytest.mark.parametrize(
    ("admits", "on_fail", "project", "exception"),
    [
        ("true", "deny", {"fine": False}, "exception:1"),
        ("true", "deny", {}, "exception:1"),  # indeterminate
        ("true", "deny", {"fine": True}, None),
        ("true", "warn", {"fine": False}, None),
        ("false", "deny", {"fine": False}, None),
    ],
)
def test_an_exception_covers_what_a_rule_that_admits_one_forbids(
    engine: Engine, admits: str, on_fail: str, project: dict[str, bool], exception: str | None
) -> None:
    asked = rule("project.fine", on_fail=on_fail).replace("fix: do", f"fix: do, exceptable: {admits}")
    (given,) = engine.evaluate_sync([policy(asked)], "submit", {"project": project})
    (covered,) = excepted([given], {"r": "exception:1", "other": "exception:2"})
    assert covered.exception == exception
    assert (covered.result, covered.why) == (given.result, given.why), "the verdict stays what it is"
    assert not (covered.is_refusal and exception)
    assert excepted([given], {"other": "exception:2"}) == (given,)


def test_a_rule_passes_or_fails_with_why_and_the_next_step(engine: Engine) -> None:
    rules = policy(
        rule("size(data.names) >= params.limit", say="only {{ data.names }} of {{ params.limit }}")
    )
    assert engine.evaluate_sync([rules], "submit", {"data": {"names": [1, 2, 3]}}) == (
        Verdict(rule="r", policy="test", title="T", stage="submit", result="pass", on_fail="deny"),
    )
    (failed,) = engine.evaluate_sync([rules], "submit", {"data": {"names": [1, 2]}})
    assert (failed.result, failed.why, failed.fix) == ("fail", "only 1, 2 of 3", "do")


@pytest.mark.parametrize(
    ("require", "reason"),
    [
        ("model.format == 'x'", "the fact 'format' is missing"),
        ("card.licence == 'x'", "the rule uses something that does not exist"),
        ("model.names[7] == 'x'", "a list is shorter"),
        ("1 / model.zero == 1", "divides by zero"),
        ("9223372036854775807 + model.one > 0", "a number is too large"),
        ("model.one == 1 && model.word + 1 == 2", "another kind"),
        ("model.word", "neither true nor false"),
        ("model.one", "neither true nor false"),
        ("model.nothing", "neither true nor false"),
        ("nofunction(1)", "does not exist"),
        ("not CEL at all", "does not exist"),
    ],
)
def test_what_cannot_be_decided_is_indeterminate_and_says_why(
    require: str, reason: str, engine: Engine
) -> None:
    found = verdict(engine, require, model={"names": [], "zero": 0, "one": 1, "word": "w", "nothing": None})
    assert found.result == "indeterminate"
    assert found.is_refusal
    assert found.why is not None
    assert reason in found.why


def test_a_rule_says_every_case_that_is_true_and_only_those(engine: Engine) -> None:
    cases = [
        {"when": "size(data.names) > params.limit", "words": "too many"},
        {"when": "'a' in data.names", "words": "{{ data.names }} has a"},
        {"when": "'b' in data.names", "words": "it has b"},
        {"when": "data.missing == 1", "words": "nobody can say"},
    ]
    rules = policy(rule("false", say=cases))
    whys = [
        engine.evaluate_sync([rules], "submit", {"data": {"names": names}})[0].why
        for names in (["a"], ["b", "a"], ["a", "b", "c", "d"])
    ]
    assert whys == ["a has a", "b, a has a; it has b", "too many; a, b, c, d has a; it has b"]


def test_a_rule_without_a_true_case_still_says_what_is_not_so(engine: Engine) -> None:
    rules = policy(rule("false", say=[{"when": "false", "words": "never"}]))
    assert engine.evaluate_sync([rules], "submit", {})[0].why == "T: this is not so"


def ruled(engine: Engine, body: str, **facts: Any) -> Verdict:
    """The verdict of one rule, whose conditions and words are given."""
    text = f"  - {{id: r, title: T, citations: [], stage: submit, onFail: deny, fix: do, {body}}}\n"
    (found,) = engine.evaluate_sync([policy(text)], "submit", facts)
    return found


CLAUSES = """all: [
    {require: size(data.names) > 1, say: "only {{ data.names }}"},
    {require: data.ready, say: it is not ready}]"""


@pytest.mark.parametrize(
    ("data", "result", "why"),
    [
        ({"names": [1, 2], "ready": True}, "pass", None),
        ({"names": [1], "ready": True}, "fail", "only 1"),
        ({"names": [1], "ready": False}, "fail", "only 1; it is not ready"),
        ({"ready": False}, "fail", "it is not ready"),
        (
            {"ready": True},
            "indeterminate",
            "T: this could not be decided, because the fact 'names' is missing",
        ),
        (
            {"names": [1, 2]},
            "indeterminate",
            "T: this could not be decided, because the fact 'ready' is missing",
        ),
    ],
)
def test_of_several_conditions_each_that_is_broken_is_said(
    engine: Engine, data: dict[str, Any], result: str, why: str | None
) -> None:
    found = ruled(engine, CLAUSES, data=data)
    assert (found.result, found.why) == (result, why)


EACH = """each: data.slices, as: slice, require: slice.recall >= params.limit,
    say: "{{ slice.name }} has {{ slice.recall }}, less than {{ params.limit }}\""""


def slices(*recalls: float | None) -> dict[str, Any]:
    names = "abcdefghijklmnopqrstuvwxyz"
    return {
        "slices": [
            {"name": name} | ({} if recall is None else {"recall": recall})
            for name, recall in zip(names, recalls, strict=False)
        ]
    }


@pytest.mark.parametrize(
    ("data", "result", "why"),
    [
        (slices(3, 4), "pass", None),
        (slices(), "pass", None),
        (slices(3, 2, 1), "fail", "b has 2, less than 3; c has 1, less than 3"),
        (slices(3, None, 1), "fail", "c has 1, less than 3"),
        (
            slices(3, None),
            "indeterminate",
            "T: this could not be decided, because the fact 'recall' is missing",
        ),
        ({}, "indeterminate", "T: this could not be decided, because the fact 'slices' is missing"),
        (
            {"slices": {"a": 1}},
            "indeterminate",
            "T: this could not be decided, because data.slices is no list",
        ),
        (
            {"slices": [{"recall": 3}] * 1001},
            "indeterminate",
            "T: this could not be decided, because data.slices has more than 1000 entries",
        ),
    ],
    ids=range(8),
)
def test_each_of_a_list_has_to_keep_a_rule(
    engine: Engine, data: dict[str, Any], result: str, why: str | None
) -> None:
    found = ruled(engine, EACH, data=data)
    assert (found.result, found.why) == (result, why)


def test_of_many_that_break_a_rule_some_are_said_and_the_rest_is_counted(engine: Engine) -> None:
    why = ruled(engine, EACH, data=slices(*range(-26, 0))).why
    assert why is not None
    assert why.endswith("; t has -7, less than 3; and 6 more")


def test_each_may_have_several_conditions_and_cases(engine: Engine) -> None:
    clauses = """each: data.slices, as: slice, all: [
        {require: slice.recall > 1, say: "{{ slice.name }}: recall"}, {require: slice.name != 'b', say: no b}]"""
    assert ruled(engine, clauses, data=slices(1, 2)).why == "a: recall; no b"
    cases = """each: data.slices, as: slice, require: slice.recall > 1, say: [
        {when: slice.recall == 1, words: "{{ slice.name }} is just one"}, {when: slice.recall < 0, words: below}]"""
    assert ruled(engine, cases, data=slices(1, 2, -1)).why == "a is just one; below"


COUNTED = """each: data.slices, as: slice, atLeast: params.limit, require: slice.recall == 1,
    say: "{{ met }} of {{ params.limit }}\""""


@pytest.mark.parametrize(
    ("data", "result", "why"),
    [
        (slices(1, 1, 1), "pass", None),
        (slices(1, 0, 1, None, 1), "pass", None),
        (slices(1, 1, 0), "fail", "2 of 3"),
        (slices(1, None, 0), "fail", "1 of 3"),
        (slices(), "fail", "0 of 3"),
        (
            slices(1, None, 1),
            "indeterminate",
            "T: this could not be decided, because the fact 'recall' is missing",
        ),
    ],
)
def test_so_many_of_a_list_have_to_keep_a_rule(
    engine: Engine, data: dict[str, Any], result: str, why: str | None
) -> None:
    found = ruled(engine, COUNTED, data=data)
    assert (found.result, found.why) == (result, why)


@pytest.mark.parametrize("at_least", ["params.nothing", "params.word", "params.none"])
def test_a_count_that_is_no_number_decides_nothing(engine: Engine, at_least: str) -> None:
    asked = msgspec.structs.replace(
        policy(rule("true")).rules[0], each="data.slices", as_="slice", at_least=at_least
    )
    rules = msgspec.structs.replace(policy(rule("true")), rules=(asked,), params={"word": "3", "none": 0})
    (found,) = engine.evaluate_sync([rules], "submit", {"data": slices(1, 1, 1)})
    assert found.result == "indeterminate"


def test_the_names_of_one_rule_mean_nothing_to_the_next(engine: Engine) -> None:
    body = "title: T, citations: [], stage: submit, onFail: deny, fix: do, say: no"
    rules = policy(
        f"  - {{id: a, {body}, each: data.slices, as: slice, require: slice.recall == 1}}\n",
        rule("slice.recall == 1", id="b"),
    )
    found = engine.evaluate_sync([rules], "submit", {"data": slices(1)})
    assert [verdict.result for verdict in found] == ["pass", "indeterminate"]


def test_an_error_never_tells_a_value(engine: Engine) -> None:
    secret = "ada@example.org"
    found = verdict(engine, "governance[personal.owner] == 1", personal={"owner": secret}, governance={})
    assert found.result == "indeterminate"
    assert "ada" not in str(found)


def test_a_condition_may_compare_what_no_sentence_may_show(engine: Engine) -> None:
    require = "!(personal.owner in personal.builders)"
    assert verdict(engine, require, personal={"owner": "a", "builders": ["b"]}).is_passed
    assert not verdict(engine, require, personal={"owner": "a", "builders": ["a"]}).is_passed


def test_numbers_are_equal_whatever_their_kind(engine: Engine) -> None:
    assert verdict(
        engine, "model.size == 1 && model.share == 0.5 && 1 == 1.0", model={"size": 1.0, "share": 0.5}
    ).is_passed


def test_only_rules_of_the_stage_are_asked(engine: Engine) -> None:
    rules = policy(
        rule("true", id="a"), rule("true", id="b", stage="certify"), rule("true", id="c", stage="operate")
    )
    assert [found.rule for found in engine.evaluate_sync([rules], "certify", {})] == ["b"]
    assert engine.evaluate_sync([], "submit", {}) == ()


def test_a_warning_is_no_refusal(engine: Engine) -> None:
    rules = policy(rule("false", id="a", on_fail="warn"), rule("false", id="b"))
    found = engine.evaluate_sync([rules], "submit", {})
    assert [verdict.is_refusal for verdict in found] == [False, True]


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("governance.riskClass == 'high'", True),
        ("governance.riskClass == 'low'", False),
        ("governance.missing == 'low'", True),
        ("'1'", True),
    ],
)
def test_a_policy_that_may_apply_applies(condition: str, asked: bool, engine: Engine) -> None:
    rules = policy(rule("true"), more=f"appliesTo: {msgspec.json.encode(condition).decode()}\n")
    found = engine.evaluate_sync([rules], "submit", {"governance": {"riskClass": "high"}})
    assert bool(found) is asked


@pytest.mark.parametrize(
    ("now", "in_force"),
    [
        ("2026-01-31T23:59:59Z", False),
        ("2026-02-01T00:00:00Z", True),
        ("2026-02-28T23:59:59Z", True),
        ("2026-03-01T00:00:00Z", False),
    ],
)
def test_a_policy_is_in_force_from_its_first_day_and_without_its_last(
    now: str, in_force: bool, engine: Engine
) -> None:
    rules = policy(rule("true"), more="effective: {from: 2026-02-01, until: 2026-03-01}\n")
    assert bool(engine.evaluate_sync([rules], "submit", {"now": now})) is in_force


def test_a_policy_for_a_span_of_time_needs_to_know_the_time(engine: Engine) -> None:
    rules = policy(rule("true"), more="effective: {from: 2026-02-01}\n")
    with pytest.raises(Refused, match="now"):
        engine.evaluate_sync([rules], "submit", {})


def test_a_rule_that_loops_is_ended_and_the_rest_is_decided() -> None:
    loop = "data.names.all(a, data.names.all(b, a == b || a != b))"
    rules = policy(
        rule("true", id="a"),
        rule(loop, id="b"),
        rule("true", id="c"),
        rule(loop, id="d"),
        rule("1 < 2", id="e"),
    )
    with Engine(seconds=0.2, workers=1) as engine:
        found = engine.evaluate_sync([rules], "submit", {"data": {"names": list(range(30_000))}})
        assert [verdict.result for verdict in found] == [
            "pass",
            "indeterminate",
            "pass",
            "indeterminate",
            "pass",
        ]
        assert found[1].why == "T: this could not be decided, because the rule took too long"
        assert engine.evaluate_sync([policy(rule("true"))], "submit", {})[0].is_passed


def test_a_rule_that_eats_memory_is_ended_and_the_rest_is_decided() -> None:
    eat = "['" + "x" * 500 + "']" + ".map(a, a + a)" * 24 + ".exists(a, a == '')"
    with Engine(seconds=120, workers=1) as engine:
        found = engine.evaluate_sync([policy(rule(eat, id="a"), rule("true", id="b"))], "submit", {})
    assert [verdict.result for verdict in found] == ["indeterminate", "pass"]
    assert found[0].why is not None
    assert "too much memory" in found[0].why


@pytest.mark.parametrize(
    "expression",
    [
        "!" * 1999 + "x",
        "-" * 1999 + "1",
        "a" + ".b" * 999,
        "1" + "+1" * 999,
        "a" + "&&a" * 600,
        "[" * 990 + "]" * 990,
        "a" + "[0]" * 600,
        "{1:" * 400 + "1" + "}" * 400,
        "'" + "\\x41" * 400 + "'",
        "\x00",
        "\ud7ff",
    ],
    ids=range(11),
)
def test_whatever_fits_the_limit_is_compiled_or_refused(expression: str, engine: Engine) -> None:
    (answer,) = engine.references([expression])
    assert "error" in answer or "variables" in answer


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(max_size=40) | st.from_regex(r"\A[a-c.()\[\]!=&|+0-9' ]{0,40}\Z"), min_size=1, max_size=5
    )
)
def test_any_text_as_a_rule_gives_a_verdict(texts: list[str], engine: Engine) -> None:
    rules = msgspec.structs.replace(
        policy(rule("true")),
        rules=tuple(
            msgspec.structs.replace(policy(rule("true")).rules[0], id=f"r{number}", require=text)
            for number, text in enumerate(texts)
        ),
    )
    found = engine.evaluate_sync([rules], "submit", {"model": {}})
    assert [verdict.rule for verdict in found] == [f"r{number}" for number in range(len(texts))]


async def test_many_evaluations_at_once_do_not_mix() -> None:
    rules = policy(rule("model.size == params.limit"))
    with Engine(workers=2) as engine:
        found = await asyncio.gather(
            *(engine.evaluate([rules], "submit", {"model": {"size": number % 5}}) for number in range(40))
        )
    assert [verdicts[0].is_passed for verdicts in found] == [number % 5 == 3 for number in range(40)]


def test_each_policy_sees_its_own_parameters(engine: Engine) -> None:
    one = policy(rule("params.limit == 3"))
    other = msgspec.structs.replace(one, params={"limit": 4}, digest="sha256:other")
    found = engine.evaluate_sync([one, other], "submit", {})
    assert [verdict.result for verdict in found] == ["pass", "fail"]


def test_a_closed_engine_starts_again_when_asked() -> None:
    engine = Engine(workers=1)
    assert engine.evaluate_sync([policy(rule("true"))], "submit", {})[0].is_passed
    engine.close()
    assert engine.evaluate_sync([policy(rule("true"))], "submit", {})[0].is_passed
    engine.close()


async def test_who_leaves_in_the_middle_waits_for_no_rule() -> None:
    """Closed on the way out of a task that was cancelled, the engine kept all of the process waiting for its thread."""
    loop = "data.names.all(a, data.names.all(b, a == b || a != b))"
    endless = policy(*(rule(loop, id=f"r{number}") for number in range(100)))
    with Engine(seconds=60, workers=1) as engine:
        assert (await engine.evaluate([policy(rule("true"))], "submit", {}))[0].is_passed
        facts = {"data": {"names": list(range(30_000))}}
        left = asyncio.create_task(engine.evaluate([endless], "submit", facts))
        await asyncio.wait({left}, timeout=0.3)  # it is in the midst of the first of them
        began = time.monotonic()
    assert time.monotonic() - began < 30  # and not a minute for the one, and for each of a hundred
    with pytest.raises(Unavailable, match="no more"):
        await left
    with pytest.raises(Unavailable, match="no more"):
        await engine.evaluate([policy(rule("true"))], "submit", {})


SEVERAL = policy(
    rule("model.size <= params.limit", id="small"),
    rule("size(personal.owner) > 0", id="owned"),
    '  - {id: named, title: T, citations: [], stage: submit, onFail: deny, fix: do, say: "{{ set.name }} is bad",'
    ' each: data.sets, as: set, require: set.name != "" && set.size <= params.limit}\n',
    more='appliesTo: project.kind != "none"\n',
)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "project": st.sampled_from([{"kind": "some"}, {"kind": "none"}, {}]),
        "model": st.sampled_from([{"size": 1}, {"size": 3.5}, {"size": "x"}, {}]),
        "personal": st.sampled_from([{"owner": "ada"}, {"owner": ""}]),
        "data": st.fixed_dictionaries(
            {
                "sets": st.lists(
                    st.sampled_from([{"name": "a", "size": 1}, {"name": "", "size": 9}, {}]), max_size=3
                )
            }
        ),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(many=st.lists(FACTS, max_size=5))
def test_many_facts_at_once_are_judged_as_each_by_itself(engine: Engine, many: list[dict[str, Any]]) -> None:
    other = msgspec.structs.replace(SEVERAL, id="other", params={"limit": 3.0}, digest="sha256:other")
    alone = [engine.evaluate_sync([SEVERAL, other], "submit", facts) for facts in many]
    assert engine.evaluate_many_sync([SEVERAL, other], "submit", many) == alone


def test_parameters_that_are_equal_and_of_two_kinds_stay_two(engine: Engine) -> None:
    one = policy(rule("params.limit / 2 == 1"))
    other = msgspec.structs.replace(one, id="other", params={"limit": 3.0}, digest="sha256:other")
    for policies in ([one, other], [other, one]):
        found = {each.policy: each.result for each in engine.evaluate_sync(policies, "submit", {})}
        assert found["test"] == "pass"
        assert found["other"] != "pass"


def test_of_many_facts_only_those_that_take_too_long_cannot_be_decided() -> None:
    endless = policy(rule("model.list.all(a, model.list.all(b, a * b != model.size))"))
    quick, slow = {"list": [1], "size": 3}, {"list": list(range(20_000)), "size": -1}
    with Engine(seconds=0.2, workers=1) as engine:
        found = engine.evaluate_many_sync(
            [endless], "submit", [{"model": each} for each in (quick, slow, quick)]
        )
    assert [verdict.result for (verdict,) in found] == ["pass", "indeterminate", "pass"]
    assert "took too long" in str(found[1][0].why)
