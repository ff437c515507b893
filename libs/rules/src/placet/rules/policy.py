"""A policy: a YAML file that compliance people read and write, and the rules in it.

A file is known by the sha256 of its bytes. Reading one checks its form: every key is known, ids are unique,
expressions keep within the guards, sentences show no person. Whether its expressions compile and its own tests
pass needs an evaluator and is `placet.rules.testing.load_policy`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from placet.projects.documents import DocumentRefused, Problem, read_document
from placet.projects.manifest import Span, seconds_of
from placet.rules.expressions import FACTS, PERSONAL, nearest, text_problems
from placet.rules.sentences import sentence_problems

MAX_POLICY_BYTES = 256 * 1024
MAX_RULES = 200
"""An event names them all."""

MAX_VERSION = 10**9
"""What databases keep as a number of a usual size."""

MET = "met"
"""The name by which words show how many of `each` keep what is required."""

Stage = Literal["submit", "certify", "operate"]
Result = Literal["pass", "fail", "indeterminate"]
OnFail = Literal["deny", "suspend", "warn"]

Id = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*$",
        max_length=100,
        extra={"means": "an id of lower-case words, digits, dots and hyphens, such as model.format-allowed"},
    ),
]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z][A-Za-z0-9]*$", max_length=40, extra={"means": "a name such as slice"})
]
Path = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*)*$",
        max_length=100,
        extra={"means": "a path into the facts such as data.sets"},
    ),
]
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Citation(_Part, frozen=True, kw_only=True):
    """Where an obligation comes from. Dates move, so they are data: `applies` is from when, if that is known."""

    source: Sentence
    section: Sentence | None = None
    applies: date | None = None
    url: Sentence | None = None


class RuleTest(_Part, frozen=True, kw_only=True):
    """What a rule must answer: to the policy's `given` facts (or its own), changed by a merge patch (RFC 7396).

    It answers `inapplicable` where the policy does not apply to such facts, and `awaited` where it fails and waits for
    that to change.
    """

    expect: Result | Literal["inapplicable", "awaited"]
    patch: dict[str, Any] = {}
    given: dict[str, Any] | None = None
    says: Sentence | None = None


class Case(_Part, frozen=True, kw_only=True):
    """Words for one of the ways in which a rule can fail: `when` is CEL, and true in those."""

    when: str
    words: Sentence


class Clause(_Part, frozen=True, kw_only=True):
    """One of several conditions, with its own words for when it is not so."""

    require: str
    say: Sentence


class Awaits(_Part, frozen=True, kw_only=True):
    """What people can still do: a release that nothing else forbids is not refused before `within` is over, and every
    `remind` it is said again who is waited for."""

    within: Span
    remind: Span | None = None

    @property
    def within_seconds(self) -> int:
        return seconds_of(self.within)

    @property
    def remind_seconds(self) -> int | None:
        return None if self.remind is None else seconds_of(self.remind)


class Rule(_Part, frozen=True, kw_only=True):
    """`require` is CEL and must be true; `say` tells what is wrong when it is not, `fix` the next step.

    Of several cases those that are true are said, one after the other: no sentence has to be right both of a
    file that is missing and of one that is wrong. `all` are several conditions in place of one; those that are not
    so are said. `exceptable`: people may let a project pass that it forbids, for a reason and a time; `fix` says how
    to ask for that.

    `each` is the path of a list in the facts, `as` the name that the conditions and their words have for one of it:
    every one must keep them, or with `atLeast` (a number, or the path of one in `params`) so many. Of an empty list
    every one does.

    `awaits`: what it demands is for people to do once they see the image, as approvals are, so that a release which
    breaks nothing else waits for them. What cannot be decided is refused at once: no approval makes a fact.
    """

    id: Id
    title: Sentence
    citations: tuple[Citation, ...]
    stage: Stage
    on_fail: OnFail
    each: Path | None = None
    as_: Name | None = msgspec.field(name="as", default=None)
    at_least: Annotated[int, msgspec.Meta(ge=1)] | Path | None = None
    require: str | None = None
    all: tuple[Clause, ...] = ()
    say: Sentence | tuple[Case, ...] | None = None
    fix: Sentence
    exceptable: bool = False
    awaits: Awaits | None = None
    tests: tuple[RuleTest, ...] = ()


class Effective(_Part, frozen=True, kw_only=True):
    """The days from `from`, up to and without `until`."""

    from_: date = msgspec.field(name="from")
    until: date | None = None


class PolicyForm(_Part, frozen=True, kw_only=True):
    """The file. `given` is a complete set of facts under which every rule passes; tests change it.

    `about` tells people what it is for, and what it leaves to them. `frameworks` are sources that it adds to: what
    other policies ask from the same ones belongs to it, as a handbook shows.
    """

    api_version: Literal["placet/v1"]
    kind: Literal["Policy"]
    id: Id
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]
    title: Sentence
    owner: Sentence
    about: Sentence | None = None
    frameworks: tuple[Sentence, ...] = ()
    supersedes: Id | None = None
    effective: Effective | None = None
    applies_to: str | None = None
    params: dict[str, Any] = {}
    given: dict[str, Any] = {}
    rules: tuple[Rule, ...]


class Policy(PolicyForm, frozen=True, kw_only=True):
    """A policy that was read, with the sha256 of its file as `sha256:…`."""

    digest: str

    def is_in_force(self, day: date) -> bool:
        span = self.effective
        return span is None or (span.from_ <= day and (span.until is None or day < span.until))


def read_policy(data: bytes, *, name: str = "the policy") -> Policy:
    """The policy in the file's bytes, or `DocumentRefused` with every problem of its form."""
    form = read_document(data, PolicyForm, document=name, limit=MAX_POLICY_BYTES)
    problems = tuple(_problems(form))
    if problems:
        raise DocumentRefused(name, problems)
    fields = {field: getattr(form, field) for field in form.__struct_fields__}
    return Policy(**fields, digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


@cache
def load_shipped() -> tuple[Policy, ...]:
    """The policies that ship with the platform. That they compile and pass their tests is proved in our tests."""
    return tuple(read_policy(data, name=name) for name, data in shipped_files().items())


def shipped_files() -> dict[str, bytes]:
    """The same as they lie there, by name."""
    return _files("policies")


def offered_files() -> dict[str, bytes]:
    """Policies that ship as well, by name, and are in force only where somebody publishes them."""
    return _files("offered")


def _files(folder: str) -> dict[str, bytes]:
    files = sorted(
        (
            each
            for each in (resources.files("placet.rules") / folder).iterdir()
            if each.name.endswith(".yaml")
        ),
        # What is wrong with the model itself is told first: no writing mends it.
        key=lambda file: (file.name != "artifact-safety.yaml", file.name),
    )
    return {file.name: file.read_bytes() for file in files}


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(PolicyForm)


class Expression(NamedTuple):
    """Where it stands, and which name besides the facts it may use."""

    path: str
    text: str
    bound: str | None = None


def expressions(form: PolicyForm) -> Iterator[Expression]:
    if form.applies_to is not None:
        yield Expression("appliesTo", form.applies_to)
    for index, rule in enumerate(form.rules):
        if rule.require is not None:
            yield Expression(f"rules[{index}].require", rule.require, rule.as_)
        for number, clause in enumerate(rule.all):
            yield Expression(f"rules[{index}].all[{number}].require", clause.require, rule.as_)
        for number, case in enumerate(_cases(rule)):
            yield Expression(
                f"rules[{index}].say[{number}].when", case.when, MET if rule.at_least else rule.as_
            )


def asks_about_people(form: PolicyForm) -> bool:
    return asks_about(form, PERSONAL)


def asks_about(form: PolicyForm, fact: str) -> bool:
    """Whether what is asked names a fact; more than it does, where a text or a name is alike."""
    texts = (each.text for each in expressions(form))
    paths = (rule.each for rule in form.rules if rule.each is not None)
    return any(re.search(rf"\b{re.escape(fact)}\b", text) for text in (*texts, *paths))


def _problems(form: PolicyForm) -> Iterator[Problem]:
    if not form.rules:
        yield Problem("rules", "a policy has at least one rule")
    if len(form.rules) > MAX_RULES:
        said = f"a policy has {MAX_RULES} rules at most, and this one {len(form.rules)}"
        yield Problem("rules", said, "make two of it")
    if form.supersedes == form.id:
        yield Problem(
            "supersedes", "a policy takes the place of its own earlier versions anyway", "take it out"
        )
    span = form.effective
    if span is not None and span.until is not None and span.until <= span.from_:
        yield Problem("effective", "until is not after from")
    for path, text, _ in expressions(form):
        yield from (Problem(path, said) for said in text_problems(text))
    cited = {citation.source for rule in form.rules for citation in rule.citations}
    for index, source in enumerate(form.frameworks):
        if source not in cited:
            said = f"no rule of the policy cites {source!r}"
            yield Problem(f"frameworks[{index}]", said, "write it as the citations do, or take it out")
    seen: set[str] = set()
    for index, rule in enumerate(form.rules):
        path = f"rules[{index}]"
        if rule.id in seen:
            yield Problem(f"{path}.id", f"{rule.id!r} is given twice", "rules are known by their ids")
        seen.add(rule.id)
        if rule.on_fail == "suspend" and rule.stage != "operate":
            yield Problem(f"{path}.onFail", f"at stage {rule.stage} nothing runs yet", "use deny or warn")
        yield from (Problem(f"{path}.{name}", said, fix) for name, said, fix in _shape_problems(rule))
        for name, sentence, bound in _sentences(rule):
            yield from (Problem(f"{path}.{name}", said) for said in sentence_problems(sentence, bound))


def _shape_problems(rule: Rule) -> Iterator[tuple[str, str, str | None]]:
    """Which parts go together, as `Rule` says."""
    if (rule.require is None) is not bool(rule.all):
        yield "require", "a rule has either `require` or `all`", None
    if rule.require is not None and rule.say is None:
        yield "say", "nothing says what is wrong", "write `say`, with facts in double braces"
    if rule.all and rule.say is not None:
        yield "say", "each clause of `all` has its own words", "take it out"
    if (rule.each is None) is not (rule.as_ is None):
        yield "as", "`each` and `as` go together", "write `each: data.sets` and `as: set`"
    if rule.awaits is not None:
        yield from _waiting_problems(rule, rule.awaits)
    if rule.as_ in FACTS or rule.as_ == MET:
        yield "as", f"{rule.as_!r} is the name of something else", "choose another"
    for name, path in (("each", rule.each), ("atLeast", rule.at_least)):
        if isinstance(path, str) and path.split(".")[0] not in FACTS:
            near = nearest(path.split(".")[0], FACTS)
            yield name, f"nobody knows the fact {path!r}; the nearest known one is {near!r}", None
    if isinstance(rule.at_least, str) and not rule.at_least.startswith("params."):
        yield "atLeast", f"{rule.at_least!r} is none of the policy's params", None
    if rule.at_least is not None and (rule.each is None or rule.all):
        yield "atLeast", "it counts how many of `each` keep `require`", None


def _waiting_problems(rule: Rule, awaits: Awaits) -> Iterator[tuple[str, str, str | None]]:
    if rule.stage != "certify" or rule.on_fail != "deny":
        yield "awaits", "only what is denied at stage certify can be waited for", "take it out"
    if awaits.remind_seconds is not None and awaits.remind_seconds >= awaits.within_seconds:
        yield "awaits.remind", f"after {awaits.remind} nothing is waited for any more", "remind sooner"


def _sentences(rule: Rule) -> Iterator[tuple[str, str, str | None]]:
    """Each with where it stands and which name besides the facts it may show."""
    if isinstance(rule.say, str):
        yield "say", rule.say, _shown_one(rule)
    for number, case in enumerate(_cases(rule)):
        yield f"say[{number}].words", case.words, _shown_one(rule)
    for number, clause in enumerate(rule.all):
        yield f"all[{number}].say", clause.say, _shown_one(rule)
    yield "fix", rule.fix, None


def _shown_one(rule: Rule) -> str | None:
    """What is said of too few is said once, and of none in particular; people are not shown."""
    if rule.at_least is not None:
        return MET
    return None if rule.each is not None and rule.each.split(".")[0] == PERSONAL else rule.as_


def _cases(rule: Rule) -> tuple[Case, ...]:
    return rule.say if isinstance(rule.say, tuple) else ()
