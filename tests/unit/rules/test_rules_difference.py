"""What another version of a policy asks, in words, and what it would have said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from placet.rules import Engine, Policy, read_policy
from placet.rules.difference import Past, changes, decided_by_both

OLD = """\
apiVersion: placet/v1
kind: Policy
id: house.sizes
version: 1
title: Sizes
owner: compliance
params: {most: 100, least: 1}
rules:
  - {id: small, title: Small, citations: [], stage: submit, onFail: deny, exceptable: true,
     require: model.size <= params.most, say: "it has {{ model.size }} bytes", fix: train a smaller one}
  - {id: named, title: Named, citations: [], stage: submit, onFail: warn, require: 'model.name != ""', say: no, fix: do}
  - {id: signed, title: Signed, citations: [], stage: certify, onFail: deny, require: image.signed, say: no, fix: do,
     awaits: {within: 14d}}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def version(*written: tuple[str, str]) -> Policy:
    text = OLD.replace("version: 1", "version: 2")
    for one, other in written:
        assert one in text
        text = text.replace(one, other)
    return read_policy(text.encode())


ONE = read_policy(OLD.encode())
STRICTER = version(("most: 100", "most: 50"))


def told(new: Policy) -> list[tuple[str, str | None, str]]:
    return [(each.kind, each.rule, each.words) for each in changes(ONE, new)]


def test_a_version_that_asks_the_same_has_no_changes() -> None:
    assert told(version(("title: Sizes", "title: How large"), ("owner: compliance", "owner: others"))) == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (("most: 100, least: 1", "most: 50, more: 2.0"), [
            ("changed", None, "params.least 1 → nothing"),
            ("changed", None, "params.more nothing → 2.0"),
            ("changed", None, "params.most 100 → 50"),
        ]),
        (("onFail: warn", "onFail: deny"), [("changed", "named", "if it is not so, it warns → refuses")]),
        (("model.size <= params.most", "model.size < params.most"), [
            ("changed", "small", "it requires model.size <= params.most → model.size < params.most")
        ]),
        (("exceptable: true,", ""), [("changed", "small", "people may except from it yes → no")]),
        (("train a smaller one", "prune it"), [("changed", "small", "what it says is in other words")]),
        (("named, title: Named, citations: [], stage: submit", "named, title: Named, citations: [], stage: certify"), [
            ("changed", "named", "it is asked at stage submit → certify")
        ]),
        (("{within: 14d}", "{within: 14d, remind: 3d}"), [
            ("changed", "signed", "it waits for people 14d → 14d, reminded every 3d")
        ]),
        (("owner:", "effective: {from: 2027-01-01}\nowner:"), [
            ("changed", None, "it is in force from when it is published → from 2027-01-01")
        ]),
        (("owner:", "appliesTo: model.size > 3\nowner:"), [
            ("changed", None, "it applies where nothing → model.size > 3")
        ]),
        (("id: named", "id: called"), [
            ("removed", "named", "at stage submit it warns where it is not so that model.name != \"\""),
            ("added", "called", "at stage submit it warns where it is not so that model.name != \"\""),
        ]),
    ],
)  # fmt: skip
def test_each_change_is_told_in_words(
    written: tuple[str, str], said: list[tuple[str, str | None, str]]
) -> None:
    assert sorted(told(version(written)), key=str) == sorted(said, key=str)


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ("", "of each of contents.packages that it.version"),
        ("atLeast: 2,", "of at least 2 of contents.packages that it.version"),
        ("atLeast: params.least,", "of at least params.least of contents.packages that it.version"),
    ],
)
def test_of_a_rule_about_many_it_is_told_of_how_many(counted: str, said: str) -> None:
    rule = "{id: many, title: Many, citations: [], stage: certify, onFail: deny, each: contents.packages, as: it,"
    more = f"{rule} {counted} require: it.version != '', say: no, fix: do}}"
    [(kind, id, words)] = told(version(("{within: 14d}}", f"{{within: 14d}}}}\n  - {more}")))
    assert (kind, id) == ("added", "many")
    assert words == f"at stage certify it refuses where it is not so {said} != ''"


def test_what_is_required_is_said_in_words_where_these_are_wanted() -> None:
    new = version(("most: 100", "most: 50"), ("id: named", "id: called"), ("id: signed", "id: sealed"))
    said = {each.words for each in changes(ONE, new, in_words=True)}
    assert not any(
        "params." in each or "image.signed" in each or "!=" in each
        for each in said - {"params.most 100 → 50"}
    )
    [waits] = {each for each in said if "certify" in each}
    assert waits.startswith("at stage certify it waits for people, for up to 14d, where it is not so that ")


def test_what_people_can_still_do_is_waited_for_and_not_refused(engine: Engine) -> None:
    facts = {"model": {"size": 1, "name": "a"}, "image": {"signed": False}}
    none = version(("id: signed", "id: other"), ("require: image.signed", "require: 'true'"))
    past = [
        Past(stage="certify", facts=facts),
        Past(stage="certify", facts=facts, refused_by_others=True),
        Past(stage="certify", facts={**facts, "image": {"signed": True}}),
    ]
    told = decided_by_both(engine, none, ONE, past)
    assert [(each.before, each.after) for each in told] == [
        ("passed", "awaiting"),
        ("refused", "refused"),
        ("passed", "passed"),
    ]
    assert [each.before for each in decided_by_both(engine, ONE, none, past)] == [
        "awaiting",
        "refused",
        "passed",
    ]


def test_a_decision_flips_where_only_one_of_both_refuses(engine: Engine) -> None:
    past = [Past(stage="submit", facts={"model": {"size": size, "name": ""}}) for size in (10, 70, 200)]
    kept, flipped, refused = decided_by_both(engine, ONE, STRICTER, past)
    assert [each.flips for each in (kept, flipped, refused)] == [False, True, False]
    assert (flipped.was_refused, flipped.is_refused) == (False, True)
    assert [(each.rule, each.why) for each in flipped.refusals] == [("small", "it has 70 bytes")]
    back = decided_by_both(engine, STRICTER, ONE, past)[1]
    assert (back.was_refused, back.is_refused, back.refusals[0].rule) == (True, False, "small")


def test_what_another_policy_refused_stays_refused(engine: Engine) -> None:
    past = Past(stage="submit", facts={"model": {"size": 70, "name": ""}}, refused_by_others=True)
    [decision] = decided_by_both(engine, STRICTER, ONE, [past])
    assert (decision.flips, decision.is_refused) == (False, True)


def test_an_exception_of_then_lets_pass_what_admits_one(engine: Engine) -> None:
    past = Past(
        stage="submit", facts={"model": {"size": 70, "name": ""}}, exceptions={"small": "exception:1"}
    )
    [excepted] = decided_by_both(engine, ONE, STRICTER, [past])
    assert not excepted.flips
    [refused] = decided_by_both(
        engine, ONE, version(("most: 100", "most: 50"), ("exceptable: true,", "")), [past]
    )
    assert refused.flips


def test_each_stage_is_decided_by_its_own_rules_in_the_order_that_was_asked(engine: Engine) -> None:
    facts = {"model": {"size": 70, "name": "x"}, "image": {"signed": False}}
    past = [Past(stage=stage, facts=facts) for stage in ("certify", "submit", "certify")]
    unsigned = version(("require: image.signed", "require: 'true'"), ("most: 100", "most: 50"))
    found = decided_by_both(engine, ONE, unsigned, past)
    assert [(each.was_refused, each.is_refused) for each in found] == [
        (True, False),
        (False, True),
        (True, False),
    ]


def test_a_policy_whose_day_had_not_come_is_asked_as_if_it_had(engine: Engine) -> None:
    later = version(("most: 100", "most: 50"), ("owner:", "effective: {from: 2099-01-01}\nowner:"))
    past = Past(stage="submit", facts={"now": "2026-01-01T00:00:00Z", "model": {"size": 70, "name": ""}})
    [decision] = decided_by_both(engine, ONE, later, [past])
    assert decision.flips
