"""Policies: loaded only when they say what their authors think, and the shipped set."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from placet.projects import DocumentRefused
from placet.rules import (
    Engine,
    Policy,
    Rule,
    load_policy,
    load_shipped,
    offered_files,
    policy_schema,
    read_policy,
    run_policy_tests,
    shipped_files,
)
from placet.rules.expressions import reference_problems, text_problems
from placet.rules.handbook import anchor, handbook, shipped_handbook
from placet.rules.mutation import mutants, unnoticed
from placet.rules.sentences import filled_in, gaps, sentence_problems
from placet.rules.testing import merge_patched

POLICY: dict[str, Any] = {
    "apiVersion": "placet/v1",
    "kind": "Policy",
    "id": "test.formats",
    "version": 1,
    "title": "Formats",
    "owner": "compliance",
    "params": {"formats": ["sklearn", "onnx"]},
    "given": {"model": {"format": "sklearn"}},
    "rules": [
        {
            "id": "model.format",
            "title": "The format is served",
            "citations": [{"source": "house rules", "section": "1"}],
            "stage": "submit",
            "onFail": "deny",
            "require": "model.format in params.formats",
            "say": "{{ model.format }} is none of {{ params.formats }}",
            "fix": "choose another",
            "tests": [
                {"expect": "pass"},
                {
                    "expect": "fail",
                    "patch": {"model": {"format": "zip"}},
                    "says": "zip is none of sklearn, onnx",
                },
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def changed(rule: dict[str, Any] | None = None, **changes: Any) -> bytes:
    document = copy.deepcopy(POLICY) | changes
    if rule is not None:
        document["rules"][0] |= rule
    return yaml.safe_dump(document, sort_keys=False).encode()


def problems(data: bytes, engine: Engine) -> list[str]:
    with pytest.raises(DocumentRefused) as refused:
        load_policy(data, engine=engine)
    return [str(problem) for problem in refused.value.problems]


def test_a_policy_is_known_by_the_digest_of_its_bytes(engine: Engine) -> None:
    data = changed()
    policy = load_policy(data, engine=engine)
    assert policy.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (policy.id, policy.version, len(policy.rules)) == ("test.formats", 1, 1)


def test_a_policy_can_be_loaded_without_an_engine_at_hand() -> None:
    assert load_policy(changed()).id == "test.formats"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(ownner="x"), "ownner: nobody knows this key; the nearest known one is 'owner'"),
        (
            changed({"onFial": "warn"}),
            "rules[0].onFial: nobody knows this key; the nearest known one is 'onFail'",
        ),
        (changed({"stage": "later"}), "rules[0].stage: 'later' is not one of certify, operate, submit"),
        (changed({"onFail": "suspend"}), "rules[0].onFail: at stage submit nothing runs yet"),
        (changed({"id": "Model Format"}), "rules[0].id: 'Model Format' is not an id"),
        (changed(version=0), "version: 0 is not 1 or more"),
        (changed(version="1"), "version: '1' is not a whole number"),
        (changed(version=2**31), "version: 2147483648 is not 1000000000 or less"),
        (changed(rules=[]), "rules: a policy has at least one rule"),
        (changed(effective={"from": "2026-02-30"}), "effective.from: '2026-02-30' is not a date"),
        (
            changed(effective={"from": "2026-02-01", "until": "2026-01-01"}),
            "effective: until is not after from",
        ),
        (changed({"require": "model.format in params.formats &&"}), "rules[0].require: this is not CEL"),
        (
            changed({"require": "modle.format == 'x'"}),
            "nobody knows the fact 'modle'; the nearest known one is 'model'",
        ),
        (
            changed({"require": "sise(model.format) > 1"}),
            "nobody knows the function 'sise'; the nearest known one is 'size'",
        ),
        (changed({"require": "now() > now"}), "nobody knows the function 'now'"),
        (changed({"require": "max(1, 2) > 1"}), "nobody knows the function 'max'"),
        (changed({"require": "min(1, 2) > 1"}), "nobody knows the function 'min'"),
        (changed({"require": "bool('true')"}), "nobody knows the function 'bool'"),
        (changed(appliesTo="projekt.name == 'x'"), "appliesTo: nobody knows the fact 'projekt'"),
        (changed({"require": "model.format == '" + "x" * 2000 + "'"}), "the limit is 2000"),
        (changed({"require": "true" + " || (true" * 17 + ")" * 17}), "nests 17 brackets; the limit is 16"),
        (
            changed({"require": "[1].all(a, [1].all(b, [1].all(c, true)))"}),
            "nests 3 comprehensions; the limit is 2",
        ),
        (
            changed({"awaits": {"within": "14d"}}),
            "rules[0].awaits: only what is denied at stage certify can be waited for",
        ),
        (
            changed({"stage": "certify", "awaits": {"within": "3d", "remind": "72h"}}),
            "rules[0].awaits.remind: after 72h nothing is waited for any more",
        ),
        (changed({"awaits": {"within": "soon"}}), "a span such as 1d or 30m"),
        (
            changed({"stage": "certify", "awaits": {"within": "3d"}}),
            "rule said awaited",
        ),
        (changed({"say": "{{ personal.owner }} did it"}), "would show a person"),
        (
            changed({"fix": "write to {{ personal.owner }}"}),
            "rules[0].fix: {{ personal.owner }} would show a person",
        ),
        (changed({"say": "{{ modle.format }}"}), "nobody knows the fact 'modle.format'"),
        (changed({"say": "{{ model.format | upper }}"}), "a placeholder is a path"),
        (changed({"say": "{{ 1 + 1 }}"}), "a placeholder is a path"),
        (
            changed({"say": [{"when": "modle.format == 'x'", "words": "no"}]}),
            "rules[0].say[0].when: nobody knows the fact 'modle'",
        ),
        (
            changed({"say": [{"when": "true", "words": "{{ personal.owner }}"}]}),
            "rules[0].say[0].words: {{ personal.owner }} would show a person",
        ),
        (changed({"say": [{"wenn": "true", "words": "no"}]}), "the nearest known one is 'when'"),
        (
            changed(
                {
                    "say": [{"when": "false", "words": "no"}],
                    "tests": [{"expect": "fail", "patch": {"model": {"format": "zip"}}}],
                }
            ),
            "model.format test 1: no case of `say` is true of these facts, so nothing says what is wrong",
        ),
        (
            changed(
                {
                    "say": "{{ model.path }} is none",
                    "tests": [{"expect": "fail", "patch": {"model": {"format": "zip", "path": ""}}}],
                }
            ),
            "test 1: the sentence shows 'model.path', which is empty here; say it in a case of its own",
        ),
        (changed({"all": [{"require": "true", "say": "no"}]}), "a rule has either `require` or `all`"),
        (changed({"require": None}), "a rule has either `require` or `all`"),
        (changed({"say": None}), "rules[0].say: nothing says what is wrong"),
        (
            changed({"require": None, "all": [{"require": "true", "say": "no"}]}),
            "rules[0].say: each clause of `all` has its own words",
        ),
        (
            changed({"require": None, "say": None, "all": [{"require": "modle.a", "say": "{{ modle.b }}"}]}),
            "rules[0].all[0].say: nobody knows the fact 'modle.b'",
        ),
        (
            changed({"require": None, "say": None, "all": [{"require": "modle.a", "say": "no"}]}),
            "rules[0].all[0].require: nobody knows the fact 'modle'",
        ),
        (changed({"each": "data.sets"}), "rules[0].as: `each` and `as` go together"),
        (changed({"as": "one"}), "rules[0].as: `each` and `as` go together"),
        (changed({"each": "data.sets", "as": "model"}), "rules[0].as: 'model' is the name of something else"),
        (changed({"each": "dada.sets", "as": "one"}), "rules[0].each: nobody knows the fact 'dada.sets'"),
        (changed({"each": "a b", "as": "one"}), "rules[0].each: 'a b' is not a path into the facts"),
        (changed({"atLeast": 2}), "rules[0].atLeast: it counts how many of `each` keep `require`"),
        (
            changed({"each": "data.sets", "as": "one", "atLeast": "data.sets"}),
            "rules[0].atLeast: 'data.sets' is none of the policy's params",
        ),
        (
            changed({"each": "data.sets", "as": "one", "atLeast": 2, "say": "{{ one.name }}"}),
            "rules[0].say: nobody knows the fact 'one.name'",
        ),
        (
            changed({"each": "personal.builders", "as": "one", "say": "{{ one }}"}),
            "rules[0].say: nobody knows the fact 'one'",
        ),
        (changed({"fix": "mend {{ one }}", "each": "data.sets", "as": "one"}), "rules[0].fix: nobody knows"),
        (changed({"tests": [{"expect": "fail"}]}), "model.format test 1: expected fail, the rule said pass"),
        (changed({"require": "model.frmat == 'x'"}), "test 1: expected pass, the rule said indeterminate"),
        (
            changed({"tests": [{"expect": "fail", "patch": {"model": {"format": "zip"}}, "says": "rar"}]}),
            "expected it to say 'rar', it said 'zip is none of sklearn, onnx'",
        ),
    ],
)
def test_a_policy_that_says_something_else_than_meant_is_not_loaded(
    data: bytes, said: str, engine: Engine
) -> None:
    assert any(said in problem for problem in problems(data, engine))


def test_two_rules_of_one_id_are_not_loaded(engine: Engine) -> None:
    document = copy.deepcopy(POLICY)
    document["rules"] *= 2
    data = yaml.dump(
        document, Dumper=type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    ).encode()
    assert "given twice" in problems(data, engine)[0]


def test_every_problem_of_a_policy_is_named_at_once(engine: Engine) -> None:
    found = problems(
        changed({"say": "{{ personal.owner }}", "fix": "{{ x.y }}", "onFail": "suspend"}), engine
    )
    assert len(found) == 3


def test_a_loop_variable_is_no_unknown_fact(engine: Engine) -> None:
    assert load_policy(changed({"require": "params.formats.exists(f, f == model.format)"}), engine=engine)


def test_what_stands_in_quotes_is_not_counted() -> None:
    assert list(text_problems("model.format == '((((((((((((((((((((((('")) == []
    assert list(text_problems(r'model.format == "\"((((((((((((((((((((((((" || true')) == []
    assert list(text_problems(r"model.format == r'\' || model.format == '((((((((((((((((((((('")) == []


@given(st.text(max_size=60))
def test_any_text_is_checked_to_an_end(text: str) -> None:
    list(text_problems(text))
    list(reference_problems(text, ["x"], ["f"]))
    list(sentence_problems(text))


def test_sentences_are_filled_in_with_values_people_can_read() -> None:
    facts = {
        "model": {"a": "x", "b": True, "c": [1, 2], "d": [], "e": "", "f": list(range(9)), "g": "y" * 500}
    }
    template = (
        "{{ model.a }}|{{model.b}}|{{ model.c }}|{{ model.d }}|{{ model.e }}|{{ model.f }}|{{ model.z.z }}"
    )
    assert filled_in(template, facts) == "x|yes|1, 2|none|nothing|0, 1, 2, 3, 4, 5, 6, 7 and 1 more|nothing"
    assert len(filled_in("{{ model.g }}", facts)) == 120


def test_a_value_cannot_smuggle_a_placeholder_or_a_line_into_a_sentence() -> None:
    facts = {"model": {"format": "{{ personal.owner }}\n\x1b[2J"}, "personal": {"owner": "ada@example.org"}}
    said = filled_in("{{ model.format }}", facts)
    assert "ada" not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, "bar", "bar"),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_merge_as_rfc_7396_says(target: Any, patch: Any, merged: Any) -> None:
    before = copy.deepcopy(target)
    assert merge_patched(target, patch) == merged
    assert target == before


def test_the_schema_of_a_policy_is_closed() -> None:
    schema = policy_schema()
    assert schema["$defs"]["PolicyForm"]["additionalProperties"] is False
    assert {"appliesTo", "rules", "params", "effective"} <= set(schema["$defs"]["PolicyForm"]["properties"])


SHIPPED = (*load_shipped(), *(read_policy(file, name=name) for name, file in offered_files().items()))
RULES = [(policy, rule) for policy in SHIPPED for rule in policy.rules]


def sentences_of(rule: Rule) -> tuple[str, ...]:
    match rule.say:
        case None:
            return tuple(clause.say for clause in rule.all)
        case str(say):
            return (say,)
        case cases:
            return tuple(case.words for case in cases)


def files() -> list[tuple[str, bytes]]:
    return [*shipped_files().items(), *offered_files().items()]


@pytest.mark.parametrize(("name", "data"), files(), ids=[name for name, _ in files()])
def test_a_shipped_policy_compiles_and_passes_its_own_tests(name: str, data: bytes, engine: Engine) -> None:
    assert load_policy(data, engine=engine, name=name) in SHIPPED


@pytest.mark.parametrize(("policy", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_a_shipped_rule_is_shown_passing_broken_and_undecided(
    policy: Policy, rule: Rule, engine: Engine
) -> None:
    results = [result for result in run_policy_tests(policy, engine) if result.rule == rule.id]
    broken = "fail" if rule.awaits is None else "awaited"
    assert {result.result for result in results} >= {"pass", broken, "indeterminate"}
    assert all(result.problem is None for result in results)


@pytest.mark.parametrize(("policy", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_a_shipped_rule_cites_names_the_thing_and_gives_the_next_step(policy: Policy, rule: Rule) -> None:
    assert rule.citations
    assert any("{{" in words for words in sentences_of(rule))
    assert len(rule.fix.split()) >= 5


@pytest.mark.parametrize("policy", SHIPPED, ids=[policy.id for policy in SHIPPED])
def test_the_tests_of_a_shipped_policy_notice_whichever_threshold_or_operator_is_changed(
    policy: Policy, engine: Engine
) -> None:
    assert len(list(mutants(policy))) >= len(policy.rules)
    assert [f"{mutant.rule}: {mutant.change}" for mutant in unnoticed(policy, engine)] == []


def test_a_threshold_that_no_test_holds_is_named(engine: Engine) -> None:
    loose = {
        "require": "size(model.format) < params.most && (model.format in params.formats || !(model.format == 'x'))",
        "tests": [
            {"expect": "pass"},
            {"expect": "fail", "patch": {"model": {"format": "a name far too long for it"}}},
        ],
    }
    policy = load_policy(changed(loose, params={"most": 10, "formats": ["sklearn"]}), engine=engine)
    found = {mutant.change.split(" in ")[0] for mutant in unnoticed(policy, engine)}
    assert found == {
        "< → <=",
        "|| → &&",
        "! → nothing",
        "== → !=",
        "'x' → 'x~'",
        "params: most = 9",
        "params: most = 11",
    }


def test_every_condition_of_a_rule_and_its_count_is_changed() -> None:
    document = copy.deepcopy(POLICY)
    document["rules"][0] |= {"each": "data.sets", "as": "one", "atLeast": 2, "require": "one.size > 1.5"}
    counted = {mutant.change for mutant in mutants(read_policy(yaml.safe_dump(document).encode()))}
    assert counted >= {"atLeast 1", "atLeast 3", "1.5 → 1.5000015 in one.size > «1.5000015»"}
    del document["rules"][0]["require"], document["rules"][0]["say"], document["rules"][0]["atLeast"]
    document["rules"][0]["all"] = [
        {"require": "one.a", "say": "no"},
        {"require": "one.b == true", "say": "no"},
    ]
    document["appliesTo"] = "model.format.exists(x, x == 'y')"
    each = {mutant.change for mutant in mutants(read_policy(yaml.safe_dump(document).encode()))}
    assert each >= {
        "clause 2, == → != in one.b «!=» true",
        "clause 2, true → false in one.b == «false»",
        "appliesTo: .exists → .all in model.format«.all»(x, x == 'y')",
    }


ALWAYS = frozenset(
    {("project", "name"), ("model", "format"), ("model", "path"), ("source", "digest"), ("image", "digest")}
)
"""Facts that no project and no image can be without: what everything else is said of."""


def emptied(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The facts with one of them empty, with all of one subject empty, and with two subjects so."""
    subjects = [name for name, said in given.items() if isinstance(said, dict)]
    empty = {
        subject: {
            name: value if (subject, name) in ALWAYS else type(value)()
            for name, value in given[subject].items()
        }
        for subject in subjects
    }
    for subject in subjects:
        for name, nothing in empty[subject].items():
            yield {**given, subject: {**given[subject], name: nothing}}
    for one, other in itertools.combinations_with_replacement(subjects, 2):
        yield {**given, one: empty[one], other: empty[other]}


@pytest.mark.parametrize(("policy", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_a_shipped_rule_reads_well_whichever_fact_is_missing(
    policy: Policy, rule: Rule, engine: Engine
) -> None:
    alone = msgspec.structs.replace(policy, rules=(rule,), applies_to=None)
    for facts in emptied(policy.given):
        (verdict,) = engine.evaluate_sync([alone], rule.stage, facts)
        assert verdict.result != "indeterminate"
        if verdict.result == "fail":
            said = engine.sayings(policy, rule, facts)
            assert said
            assert [gap for each in said for gap in gaps(*each)] == [], verdict.why


def each_clause() -> Iterator[tuple[str, Policy]]:
    """Each condition of each shipped rule, as the only one of a policy that always applies."""
    for policy, rule in RULES:
        conditions = (rule.require,) if rule.require is not None else [each.require for each in rule.all]
        for number, condition in enumerate(conditions):
            alone = msgspec.structs.replace(rule, require=condition, all=(), say=None)
            yield f"{rule.id}-{number}", msgspec.structs.replace(policy, rules=(alone,), applies_to=None)


CLAUSES = dict(each_clause())


@pytest.mark.parametrize("clause", CLAUSES)
def test_no_clause_of_a_shipped_rule_passes_without_its_data(clause: str, engine: Engine) -> None:
    policy = CLAUSES[clause]
    (rule,) = policy.rules
    lacking: list[dict[str, Any]] = [{}]
    if rule.each is not None:  # a list of one, of which nothing is known
        one: Any = [{}]
        for name in reversed(rule.each.split(".")):
            one = {name: one}
        lacking.append(one)
    for facts in lacking:
        (verdict,) = engine.evaluate_sync([policy], rule.stage, facts)
        assert (verdict.result, bool(verdict.why)) == ("indeterminate", True), facts


@pytest.mark.parametrize(("policy", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_every_case_of_a_shipped_rule_is_said_by_one_of_its_tests(
    policy: Policy, rule: Rule, engine: Engine
) -> None:
    said = {
        said.words
        for test in rule.tests
        if test.expect in ("fail", "awaited")
        for said in engine.sayings(policy, rule, merge_patched(test.given or policy.given, test.patch))
    }
    assert said == set(sentences_of(rule))


def test_the_rules_that_were_promised_ship() -> None:
    assert {rule.id for _, rule in RULES} >= {
        "governance.owner-named",
        "governance.purpose-stated",
        "governance.licence-present",
        "governance.risk-class-declared",
        "governance.oversight-named",
        "governance.data-declared",
        "governance.card-readable",
        "model.format-allowed",
        "model.no-hostile-pickle",
        "model.pickle-by-exception",
        "model.pickle-names-listed",
        "model.skops-types-trusted",
        "model.sample-present",
        "build.requirements-pinned",
        "trial.confined",
        "trial.not-of-high-risk",
        "image.built-from-cleared-source",
        "image.labels-complete",
        "image.base-known",
    }


def test_a_rule_that_admits_exceptions_says_how_to_ask_for_one() -> None:
    exceptable = {rule.id: rule.fix for _, rule in RULES if rule.exceptable}
    assert set(exceptable) == {
        "advisories.none-severe",
        "build.dockerfile-allowed",
        "eu-ai-act.bias-examined",
        "eu-ai-act.rights-assessed",
        "licences.allowed",
        "lineage.verified-data",
        "model-risk.outcomes-analysed",
        "model.pickle-by-exception",
        "model.pickle-names-listed",
        "operation.conditions-kept",
        "operation.no-critical-incident",
        "security-baseline.fixes-taken",
    }
    for id, fix in exceptable.items():
        assert f"`placet exception request {{{{ project.name }}}} --rule {id} --days 30 --reason …`" in fix


def test_the_page_about_exceptions_names_every_rule_that_admits_one() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/except-from-a-rule.md").read_text()
    assert {rule.id for _, rule in RULES if rule.exceptable} == set(
        re.findall(r"^\| `([a-z-]+\.[a-z-]+)` \|", page, re.MULTILINE)
    )


def test_that_a_rule_waits_for_people_is_held_by_a_test(engine: Engine) -> None:
    awaited = {"stage": "certify", "awaits": {"within": "14d", "remind": "3d"}}
    tests = [{"expect": "pass"}, {"expect": "awaited", "patch": {"model": {"format": "zip"}}}]
    policy = load_policy(changed(awaited | {"tests": tests}), engine=engine)
    assert unnoticed(policy, engine) == []
    assert "nothing is awaited" in {mutant.change for mutant in mutants(policy)}
    [waits] = [rule.awaits for rule in policy.rules]
    assert waits is not None
    assert (waits.within_seconds, waits.remind_seconds) == (14 * 86400, 3 * 86400)


def test_what_is_only_offered_is_not_in_force() -> None:
    offered = {read_policy(file).id for file in offered_files().values()}
    assert offered == {"data-lineage", "eu-ai-act-high-risk", "four-eyes", "model-risk", "security-baseline"}
    assert offered.isdisjoint(policy.id for policy in load_shipped())


def test_a_policy_adds_to_frameworks_that_its_rules_cite(engine: Engine) -> None:
    assert load_policy(changed(frameworks=["house rules"]), engine=engine).frameworks == ("house rules",)
    assert problems(changed(frameworks=["house rules", "House rules"]), engine) == [
        "frameworks[1]: no rule of the policy cites 'House rules'; write it as the citations do, or take it out"
    ]


def section(page: str, title: str) -> str:
    return page.split(f"## {title}\n")[1].split("\n## ")[0].split("\n# ")[0]


def test_a_set_says_what_it_is_for_and_which_rules_in_force_belong_to_it() -> None:
    house = read_policy(changed(frameworks=["house rules"], about="For whoever\n  answers."))
    other = read_policy(changed({"id": "other.format", "onFail": "warn", "title": "Another"}, id="other"))
    foreign = read_policy(changed({"id": "foreign.format", "citations": [{"source": "law"}]}, id="foreign"))
    page = section(handbook([house], in_force=[other, foreign]), "Formats")
    assert "For whoever answers." in page
    asked, already = page.split("What is asked from the same sources already:")
    assert "| [The format is served](#the-format-is-served) | refuses | house rules, 1 |" in asked
    assert "| [Another](#another) | warns | house rules, 1 |" in already
    assert already.count("](#") == 1
    assert "already" not in handbook([house], in_force=[foreign])


def test_the_handbook_lists_each_citation_of_each_rule_that_ships() -> None:
    _, coverage = shipped_handbook().split("# Obligations and the rules for them\n")
    offered = {read_policy(file).id for file in offered_files().values()}
    for policy, rule in RULES:
        of_set = f" ({policy.id})" if policy.id in offered else ""
        for citation in rule.citations:
            rows = section(coverage, citation.source).splitlines()
            [row] = [row for row in rows if row.startswith(f"| {citation.section or '-'} |")]
            assert f"[`{rule.id}`](#{anchor(rule.title)}){of_set}" in row
    articles = re.findall(r"^\| Article (\d+)", section(coverage, "Regulation (EU) 2024/1689"), re.MULTILINE)
    assert articles == sorted(articles, key=int)


def test_every_set_says_how_it_comes_into_force() -> None:
    sets = shipped_handbook().split("# What is in force anyway")[0]
    assert sets.startswith("**What this promises is evidence, not legal conformity.**")
    for file in offered_files().values():
        policy = read_policy(file)
        assert f"| `placet policy publish {policy.id}` |" in sets
        assert policy.about is not None
        assert f"once it is published: `placet policy publish {policy.id}`." in section(sets, policy.title)


def test_no_two_rules_that_ship_are_found_at_the_same_place() -> None:
    page = shipped_handbook()
    found = [anchor(line.lstrip("# ")) for line in page.splitlines() if re.match(r"#+ ", line)]
    assert {anchor(rule.title) for _, rule in RULES} <= set(found)
    assert len(found) == len(set(found))


def test_no_two_shipped_rules_share_an_id() -> None:
    assert len({rule.id for _, rule in RULES}) == len(RULES)


def test_reading_a_policy_needs_no_evaluator() -> None:
    assert read_policy(changed({"require": "this is not CEL"})).rules[0].require == "this is not CEL"
