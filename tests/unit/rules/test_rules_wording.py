"""Conditions in words: of every form that the language has, and of all that ships."""

import typing
from collections.abc import Iterator

import cel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.rules import syntax
from placet.rules.expressions import MAX_EXPRESSION_BYTES, text_problems
from placet.rules.fact_names import FACT_NAMES, IN_A_LIST
from placet.rules.policy import (
    Policy,
    Rule,
    expressions,
    load_shipped,
    offered_files,
    read_policy,
)
from placet.rules.syntax import parsed
from placet.rules.wording import Wording, of_each, requirement, when, worded

PARAMS = {"most": 7, "formats": ["onnx", "sklearn"], "only": ["psi"], "refused": "(?i)agpl|non-?commercial"}
SAID = {
    "model.present": "the model's file is there",
    "!model.present": "the model's file is missing",
    "!!model.present": "the model's file is there",
    "model.present == false": "the model's file is missing",
    "true": "always",
    "!true": "never",
    'model.format == "onnx"': "the model's format is “onnx”",
    '"onnx" == model.format': "the model's format is “onnx”",
    '!(model.format == "onnx")': "the model's format is not “onnx”",
    'build.dockerfile != ""': "the project names a Dockerfile of its own",
    'model.unheardOf == ""': "the unheard of of model is not given",
    "card.words < 3": "the number of words in the model card is less than 3",
    "!(card.words < 3)": "the number of words in the model card is at least 3",
    "3 < card.words": "the number of words in the model card is more than 3",
    "card.words <= params.most": "the number of words in the model card is at most 7",
    "card.words >= params.most * 24 - 1": "the number of words in the model card is at least 167",
    "card.words > params.unset": "the number of words in the model card is more than the unset of params",
    "card.words >= -2": "the number of words in the model card is at least -2",
    "card.words + 2 * card.results > 4": (
        "the number of words in the model card plus (2 times the number of results in the model card) is more than 4"
    ),
    "card.words % 2 == 0": "the number of words in the model card modulo 2 is 0",
    "card.words == -card.results": (
        "the number of words in the model card is minus the number of results in the model card"
    ),
    "size(data.names) == 0": "no data is declared",
    "size(scan.denied) > 0": "there is at least one name in a pickle that can run anything",
    "!(size(evaluation.groups) > 1)": "there is at most 1 evaluated group",
    "size(evaluation.groups) < 2": "there are fewer than 2 evaluated groups",
    "size(model.format) > 3": "the size of the model's format is more than 3",
    "data.names.size() > 3": "there are more than 3 declared datasets",
    "model.format in params.formats": "the model's format is one of “onnx” or “sklearn”",
    "!(model.format in params.formats)": "the model's format is none of “onnx” or “sklearn”",
    '!(model.format in ["onnx"])': "the model's format is not “onnx”",
    '"psi" in monitoring.metrics': "the watched metrics include “psi”",
    '!("psi" in monitoring.metrics)': "the watched metrics do not include “psi”",
    'image.lock.startsWith("sha256:")': "the digest of the image's locked packages begins with “sha256:”",
    '!image.lock.endsWith("0")': "the digest of the image's locked packages does not end with “0”",
    'image.lock.contains("a")': "the digest of the image's locked packages contains “a”",
    'image.base.matches("^a+$")': "the base that the image stands on fits the pattern “^a+$”",
    "card.licence.matches(params.refused)": (
        "the licence contains “agpl”, “non-commercial” or “noncommercial”, in capitals or not"
    ),
    "has(model.format)": "the model's format is known",
    "has(model.format) == true": "the model's format is known",
    "timestamp(now) > timestamp(governance.stopTestedAt)": (
        "the moment of the decision is after the day on which stopping the model was tried"
    ),
    'timestamp(governance.stopTestedAt + "T00:00:00Z") <= timestamp(now)': (
        "the day on which stopping the model was tried is not after the moment of the decision"
    ),
    "timestamp(now).getFullYear() == 2026": "the year of the moment of the decision is 2026",
    "double(card.words) > 1.5": "the number of words in the model card is more than 1.5",
    "monitoring.conditions.all(c, c.value <= c.limit)": (
        "for each condition while it serves, the condition's observed value is at most the condition's limit"
    ),
    "!monitoring.conditions.all(c, c.value <= c.limit)": (
        "there is at least one condition while it serves such that the condition's observed value is more than the "
        "condition's limit"
    ),
    'monitoring.conditions.exists(c, c.action == "warn")': (
        "there is at least one condition while it serves such that what the condition does when it is broken is “warn”"
    ),
    "!scan.others.exists(o, o.size > 3)": (
        "there is no o of the others of scan such that the size of others of scan is more than 3"
    ),
    "assessments.exists_one(a, a.level > 3)": (
        "exactly one of the assessments is such that the level that the assessment amounts to is more than 3"
    ),
    "size(assessments.filter(a, a.level > 3)) > 0": (
        "the size of those assessments of which this is so: the level that the assessment amounts to is more than 3 "
        "is more than 0"
    ),
    "4 in assessments.map(a, a.level)": (
        "of the assessments each one's the level that the assessment amounts to include 4"
    ),
    "4 in assessments.map(a, a.level > 1, a.level)": (
        "of the assessments where the level that the assessment amounts to is more than 1 each one's the level that "
        "the assessment amounts to include 4"
    ),
    "model.notes[0] == null": "number 1 of the notes of model is nothing",
    'model.notes["maker"] == "me"': "the maker of the notes of model is “me”",
    "model.notes[model.format] == 1": "what the notes of model has for the model's format is 1",
    'model.notes == {"a": 1}': "the notes of model is 1 as “a”",
    "model.present && card.present": "the model's file is there and the model card is there",
    "!(model.present && card.present)": "the model's file is missing or the model card is missing",
    "model.present == card.present": ("whether the model's file is there is whether the model card is there"),
    "fancy(model.format) == 1": "what fancy makes of the model's format is 1",
}


def policies() -> list[Policy]:
    return [*load_shipped(), *(read_policy(file) for file in offered_files().values())]


def rules() -> Iterator[tuple[Policy, Rule]]:
    return ((policy, rule) for policy in policies() for rule in policy.rules)


@pytest.mark.parametrize("expression", [each for each in SAID if "== card.present" not in each])
def test_a_condition_is_said_in_words(expression: str) -> None:
    assert worded(expression, PARAMS).flat() == SAID[expression]


def test_what_is_joined_in_two_ways_is_a_list_so_that_nobody_has_to_know_which_binds_closer() -> None:
    said = worded("model.present || (card.present && card.readable)", {})
    assert said == Wording(
        "at least one of this is so:",
        (
            Wording("the model's file is there"),
            Wording("the model card is there and the model card can be read", is_joined=True),
        ),
    )
    assert worded("!(model.present || card.present || sample.present)", {}).flat() == (
        "all of this is so (the model's file is missing; the model card is missing; the sample request's file is "
        "missing)"
    )


def test_a_choice_says_what_holds_when() -> None:
    said = worded("model.present ? card.present : card.readable", {})
    assert [each.says for each in said.parts] == [
        "if the model's file is there, then the model card is there",
        "otherwise the model card can be read",
    ]


def test_a_rule_about_each_of_a_list_says_of_what() -> None:
    found = {rule.id: (policy, rule) for policy, rule in rules()}
    policy, rule = found["advisories.none-severe"]
    assert of_each(rule, policy.params) == "for each advisory about a package in the image"
    [(expression, said)] = requirement(rule, policy.params)
    assert expression == rule.require
    assert said.says == "the advisory's severity is none of “critical” or “high”"
    some = msgspec.structs.replace(rule, at_least="params.most")
    assert of_each(some, {"most": 2}) == "for at least 2 of the advisories about packages in the image"
    assert when("met > 0", some, {}).says == "the number that keep it is more than 0"


@pytest.mark.parametrize(("policy", "rule"), list(rules()), ids=lambda each: each.id)
def test_every_condition_that_ships_is_said_without_a_sign_of_its_expression(
    policy: Policy, rule: Rule
) -> None:
    said = [words for _, words in requirement(rule, policy.params)]
    said += [when(each.when, rule, policy.params) for each in rule.say or () if not isinstance(each, str)]
    assert said
    for words in said:
        text = words.flat()
        for sign in (
            "&&",
            "||",
            "==",
            "!=",
            "size(",
            "params",
            "is true",
            "is false",
            "its expression",
            "[]",
        ):
            assert sign not in text


def test_every_fact_that_a_shipped_condition_names_has_a_name_for_people() -> None:
    for policy in policies():
        for _, text, bound in expressions(policy):
            each = {
                rule.as_: rule.each for rule in policy.rules if rule.as_ == bound and rule.each and rule.as_
            }
            used = set(_paths(parsed(text), {name: f"{path}{IN_A_LIST}" for name, path in each.items()}))
            assert {path for path in used if not path.startswith(("params", "met"))} <= FACT_NAMES.keys() | {
                f"{path}{IN_A_LIST}" for path, known in FACT_NAMES.items() if known.one
            }


def test_every_form_of_the_language_has_words() -> None:
    """Each that is parsed of some expression above, in both places that it can stand in."""
    met = {type(node) for expression in SAID for node in _all(parsed(expression))}
    choice = {type(node) for node in _all(parsed("model.present ? card.present : card.readable"))}
    either = {type(node) for node in _all(parsed("a || b"))}
    assert met | choice | either == set(typing.get_args(syntax.Node))
    for node in met | choice | either:
        assert any(
            worded(f"({expression}) && a == ({expression})", PARAMS).flat()
            for expression in (*SAID, "a ? b : c", "a || b")
            if any(isinstance(each, node) for each in _all(parsed(expression)))
        )


@pytest.mark.parametrize(
    "expression",
    [
        "!" * 1990 + "a",
        "-" * 1990 + "a == 1",
        "(" * 900 + "a" + ")" * 900,
        "[" * 900,
        "a" + "[0]" * 600 + " == 1",
        "a" + ".b" * 900,
        "a" + ".b()" * 400,
        "a.all(b," * 200 + "b" + ")" * 200,
        " && ".join("abc" for _ in range(280)),
        " + ".join("1" for _ in range(490)) + " == 1",
        " == ".join("a" for _ in range(390)),
        " ? a : ".join("a" for _ in range(300)),
        "a" * (MAX_EXPRESSION_BYTES + 1),
        "",
        "a ==",
        "(a",
        "a b",
        "'\\U00ffffff' == a",
        "\u20ac",
        "Message{field: 1}",
        "startsWith(a)",
        "a.matches()",
        "has()",
        "size()",
        "timestamp()",
        "1" * 1900 + " == a",
        "'" + "x" * 1900 + "' == a",
    ],
    ids=lambda each: each[:24],
)
def test_what_is_deep_long_or_broken_has_words_too_and_not_without_end(expression: str) -> None:
    said = worded(expression, PARAMS).flat()
    assert said == worded(expression, PARAMS).flat()
    assert 0 < len(said) < 100_000


@given(st.text(alphabet="ab.()[]{}!&|=<>+-*/%?:,'\"\\ 019einall", max_size=60))
def test_any_text_at_all_has_words(text: str) -> None:
    assert worded(text, {}).flat()


@given(st.recursive(st.sampled_from(["a", "model.present", "1", '"x"', "[]"]), lambda inner: st.one_of(
    st.builds("({} && {})".format, inner, inner),
    st.builds("({} == {})".format, inner, inner),
    st.builds("!{}".format, inner),
    st.builds("({} ? {} : {})".format, inner, inner, inner),
    st.builds("a.exists(b, {})".format, inner),
    st.builds("size({})".format, inner),
    st.builds("[{}, {}]".format, inner, inner),
), max_leaves=12))  # fmt: skip
def test_what_the_evaluator_takes_is_read_here(expression: str) -> None:
    cel.compile(expression)
    if not any(text_problems(expression)):
        assert parsed(expression)


def _children(node: object) -> Iterator[object]:
    """All nodes right below one, as its fields hold them."""
    for name in getattr(type(node), "__dataclass_fields__", ()):
        yield from _nodes_in(getattr(node, name))


def _nodes_in(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        for each in value:
            yield from _nodes_in(each)
    elif isinstance(value, typing.get_args(syntax.Node)):
        yield value


def _all(node: object) -> Iterator[object]:
    yield node
    for child in _children(node):
        yield from _all(child)


def _paths(node: object, bound: dict[str, str]) -> Iterator[str]:
    names = []
    while isinstance(node, syntax.Member):
        names.append(node.name)
        node = node.of
    if isinstance(node, syntax.Name):
        yield ".".join([bound.get(node.name, node.name), *reversed(names)])
        return
    if isinstance(node, syntax.Each):
        [path] = _paths(node.of, bound)
        yield path
        inside = f"{path}{IN_A_LIST}"
        yield from (
            each for each in _paths(node.body, {**bound, node.name: inside}) if not each.startswith("params")
        )
        return
    for child in _children(node):
        yield from _paths(child, bound)
