"""placet.yaml: every mistake at once, in words, and nothing that YAML does behind one's back."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from placet.projects import (
    DocumentRefused,
    Manifest,
    dump_manifest,
    manifest_schema,
    parse_manifest,
    read_manifest,
)

WHOLE = """\
apiVersion: placet/v1
project: breast-cancer
model: {format: sklearn, path: model.skops, sample: sample.json, reference: data/rows.csv}   # sample: request, answer
requirements: requirements.txt
resources: {cpu: 500m, memory: 512Mi, gpu: 0, replicas: {min: 1, max: 3}}
governance:
  purpose: Second reading of biopsies
  riskClass: high            # minimal | limited | high
  owner: owner@example.org
  builders: [builder@example.org]
  oversight: {owner: ada@example.org, stopOwner: grace@example.org, stopTestedAt: 2026-11-02}
  data: [{name: wdbc, origin: UCI, licence: CC-BY-4.0, personalData: false}]
  monitoring: [{metric: psi, max: 0.2, window: 1d, minSamples: 500, action: suspend}]
access: token
card: README.md
"""
SMALL = "apiVersion: placet/v1\nproject: digits\nmodel: {format: sklearn, path: model.skops}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentRefused) as refused:
        parse_manifest(text.encode())
    return [str(problem) for problem in refused.value.problems]


def test_the_manifest_of_the_handbook_is_read_whole() -> None:
    manifest = parse_manifest(WHOLE.encode())
    assert manifest.project == "breast-cancer"
    assert (manifest.model.format, manifest.model.path, manifest.model.sample) == (
        "sklearn",
        "model.skops",
        "sample.json",
    )
    assert manifest.model.reference == "data/rows.csv"
    assert (manifest.resources.millicores, manifest.resources.memory_bytes) == (500, 512 * 1024**2)
    assert manifest.resources.replicas.max == 3
    governance = manifest.governance
    assert governance.oversight is not None
    assert governance.oversight.stop_tested_at == date(2026, 11, 2)
    assert governance.data[0].personal_data is False
    assert governance.monitoring[0].min_samples == 500


def test_a_manifest_written_out_is_read_back_as_it_was() -> None:
    manifest = parse_manifest(WHOLE.encode())
    assert parse_manifest(dump_manifest(manifest).encode()) == manifest


def monitored(condition: str) -> str:
    return f"{SMALL}governance: {{monitoring: [{{{condition}}}]}}"


def test_a_condition_says_when_it_is_kept_again_and_how_long_it_looks_back() -> None:
    (said,) = parse_manifest(monitored("metric: errors, max: 0.05").encode()).governance.monitoring
    assert said.recovers_at == pytest.approx(0.04)
    assert (said.window_seconds, said.min_samples) == (86400, 100)
    assert (said.action, said.retry_seconds) == ("warn", None)
    text = "metric: psi, max: 0.2, recovery: 0.1, window: 90m, action: suspend, retryAfter: 2h"
    (said,) = parse_manifest(monitored(text).encode()).governance.monitoring
    assert (said.recovers_at, said.window_seconds, said.retry_seconds) == (0.1, 5400, 7200)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("metric: pis, max: 0.2", "metric: 'pis' is not one of errors, psi, refusals"),
        ("metric: psi", "max: is missing"),
        ("metric: psi, max: -1", "max: -1 is no limit of psi; it is a number from 0 to 1000"),
        ("metric: errors, max: 5", "max: 5 is no limit of errors; it is a number from 0 to 1"),
        ("metric: psi, max: .nan", "max"),
        ("metric: psi, max: 0.2, recovery: 0.3", "recovery: 0.3 is not from 0 to max, which is 0.2"),
        ("metric: psi, max: 0.2, recovery: -1", "recovery: -1 is not from 0 to max, which is 0.2"),
        ("metric: psi, max: 0.2, window: 1y", "window: '1y' is not a span such as 1d or 30m"),
        ("metric: psi, max: 0.2, minSamples: 0", "minSamples: "),
        ("metric: psi, max: 0.2, action: revoke", "action: 'revoke' is not one of suspend, warn"),
        ("metric: psi, max: 0.2, retryAfter: 1h", "retryAfter: a warning takes nothing off its route"),
    ],
)
def test_a_condition_that_could_not_be_judged_is_refused(condition: str, said: str) -> None:
    (problem,) = problems(monitored(condition))
    assert problem.startswith(f"governance.monitoring[0].{said}")


@pytest.mark.parametrize(
    "said", ["metric: psi, max: a lot", "metric: psi, max: 20%", "metric: latency, max: 1"]
)
def test_a_condition_that_cannot_be_read_is_told_and_counts_as_none(said: str) -> None:
    reading = read_manifest(monitored(f"{said}}}, {{metric: errors, max: 0.1").encode())

    assert [each.path.rpartition(".")[0] for each in reading.problems] == ["governance.monitoring[0]"]
    assert [each.metric for each in reading.value.governance.monitoring] == ["errors"]


def test_there_is_an_end_to_conditions() -> None:
    many = ", ".join(["{metric: psi, max: 0.2}"] * 21)
    said = f"{SMALL}governance: {{monitoring: [{many}]}}"
    assert problems(said) == ["governance.monitoring: has more than 20 conditions"]


def test_what_only_people_can_say_stays_visibly_empty() -> None:
    text = dump_manifest(parse_manifest(SMALL.encode()))
    assert "  purpose:  # what the model is for, in a sentence\n" in text
    assert "  riskClass:  # minimal, limited or high\n" in text
    assert "  owner:  # the mail address of who answers for it\n" in text
    assert parse_manifest(text.encode()) == parse_manifest(SMALL.encode())


def test_every_mistake_is_named_at_once() -> None:
    found = problems(
        "project: Breast_Cancer\n"
        "modell: {}\n"
        "model: {format: sklearn, pth: x}\n"
        "governance: {riskClass: extreme, owner: nobody}\n"
        "access: everybody\n"
    )
    assert found == [
        "modell: nobody knows this key; the nearest known one is 'model'",
        "apiVersion: is missing",
        "project: 'Breast_Cancer' is not a project name: 3 to 40 lower-case letters, digits and hyphens, beginning"
        " with a letter, not ending with a hyphen, and other than `platform`, which is reserved",
        "model.pth: nobody knows this key; the nearest known one is 'path'",
        "governance.riskClass: 'extreme' is not one of high, limited, minimal",
        "governance.owner: 'nobody' is not a mail address",
        "access: 'everybody' is not one of public, token",
    ]


def test_mistakes_of_every_kind_are_named_together() -> None:
    assert problems(
        "apiVersion: placet/v1\n"
        "project: !!str digits\n"
        "model: {format: sklearn, path: &path model.skops, sample: *path}\n"
        "card: a\n"
        "card: b\n"
        "resources: {cpu: lots, memory: 1k, gpu: -1, replicas: {min: 2}}\n"
        "gouvernance: {owner: nobody, monitoring: [{metric: errors, max: 5}, {metric: psi, max: 1, window: 1 day}]}\n"
    ) == [
        "line 2: tags such as tag:yaml.org,2002:str are not read; leave the tag out",
        "line 3: aliases (`*name`) are not read; write the value out",
        "line 5: 'card' is given twice; leave one of them out",
        "gouvernance: nobody knows this key; the nearest known one is 'governance'",
        "resources.gpu: -1 is not 0 or more",
        "gouvernance.owner: 'nobody' is not a mail address",
        "gouvernance.monitoring[1].window: '1 day' is not a span such as 1d or 30m",
        "resources.cpu: 'lots' is not cores such as 500m, 1 or 1.5",
        "resources.memory: '1k' is too little for any model; ask for 16Mi or more",
        "resources.replicas: min 2 is more than max 1; lower min or raise max",
        "governance.monitoring[0].max: 5 is no limit of errors; it is a number from 0 to 1",
    ]


def test_what_can_be_read_of_a_manifest_with_mistakes_counts_as_it_stands() -> None:
    reading = read_manifest(
        b"apiVersion: placet/v1\nproject: A\nmodel: {format: 5, path: model.skops}\nresources: {cpu: lots, gpu: 1}\n"
        b"gouvernance: {riskClass: high, data: [{origin: here, licence: 5}, wdbc]}\naccess: public\n"
    )
    said = reading.value
    assert (said.model.path, said.resources.gpu, said.access) == ("model.skops", 1, "public")
    assert (said.governance.risk_class, said.governance.data[0].origin) == ("high", "here")
    assert reading.unread == {
        *("project", "model.format", "resources.cpu"),
        *("governance.data[0].name", "governance.data[0].licence"),
        *("governance.data[1]", "governance.data[1].name"),
    }


@given(st.text(max_size=200) | st.sampled_from([WHOLE, SMALL]).flatmap(lambda text: st.just(text[:-40])))
def test_every_document_can_be_read_as_far_as_it_goes(text: str) -> None:
    reading = read_manifest(text.encode("utf-8", "surrogatepass"))
    assert bool(reading.unread) <= bool(reading.problems)
    assert isinstance(reading.value, Manifest)


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 41, "1ab", "-ab", "ab-", "aB1", "a_b", "a.b", "", "../x", "abc\n", "platform"],
    ids=repr,
)
def test_what_is_no_project_name(name: str) -> None:
    assert "is not a project name" in problems(SMALL.replace("digits", json.dumps(name)))[0]


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a\\b", "a\x01b", "a\nb", "~/../x", ""],
    ids=repr,
)
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    document = yaml.safe_load(SMALL)
    document["model"]["path"] = path
    assert problems(yaml.dump(document))[0].startswith("model.path: ")


@pytest.mark.parametrize(
    "path", ["model.skops", "deep/er/model.skops", ".hidden", "a..b", "...", "mödel 1.skops"]
)
def test_a_path_inside_the_folder_is_read(path: str) -> None:
    document = yaml.safe_load(SMALL)
    document["model"]["path"] = path
    assert parse_manifest(yaml.dump(document).encode()).model.path == path


@pytest.mark.parametrize(
    ("cpu", "millicores"), [("500m", 500), ("1", 1000), ("1.5", 1500), ("0.25", 250), ("64", 64000)]
)
def test_cores_are_read_in_millicores(cpu: str, millicores: int) -> None:
    assert parse_manifest(f"{SMALL}resources: {{cpu: {cpu}}}".encode()).resources.millicores == millicores


@pytest.mark.parametrize(
    ("memory", "size"), [("512Mi", 512 * 1024**2), ("1Gi", 1024**3), ("1G", 10**9), ("20000k", 2 * 10**7)]
)
def test_memory_is_read_in_bytes(memory: str, size: int) -> None:
    assert parse_manifest(f"{SMALL}resources: {{memory: {memory}}}".encode()).resources.memory_bytes == size


@pytest.mark.parametrize(
    "resources",
    [
        "cpu: 0",
        "cpu: 1:30",
        "cpu: -1",
        "cpu: lots",
        "cpu: 0.0001",
        "cpu: .nan",
        "memory: 1",
        "memory: 5mb",
        "memory: 999999999999999Ti",
        "memory: 65Ti",
        "cpu: 9999",
        "memory: -5Gi",
        "gpu: -1",
        "gpu: 1.5",
        "gpu: true",
        "replicas: {min: 2, max: 1}",
        "replicas: {max: 0}",
    ],
)
def test_resources_that_make_no_sense_are_refused(resources: str) -> None:
    assert problems(f"{SMALL}resources: {{{resources}}}")[0].startswith("resources.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "line 2: aliases"),
        ("a: !!python/object/apply:os.system [id]", "line 1: tags"),
        ("a: !!binary aGk=", "line 1: tags"),
        ('a: 1\nb: "half \\ud83d"', "line 2: half a character"),
        ('"\\udcff": 1', "line 1: half a character"),
        ('a: 1\nb: "zero \\0"', "line 2: a zero byte"),
        ("{" * 200, "nested more than"),
        ("a: [", "line 1: this is not YAML"),
        ("a: 1\n---\nb: 2", "this is not YAML"),
        ("ab\0", "this is not YAML: character 3 is none that text may have"),
        ("", "nothing is not a mapping"),
        ("- a", "a list is not a mapping"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused(text: str, said: str) -> None:
    assert said in problems(text)[0]


def test_an_alias_bomb_is_refused_at_its_first_alias() -> None:
    rows = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    assert "aliases" in problems("\n".join(rows))[0]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(7000)),
        "governance: {oversight: {" + ", ".join(f"k{number}: 1" for number in range(5000)) + "}}",
        "".join(f"{number}: 1\n" for number in range(7000)),
    ],
    ids=["unknown keys", "below what may be empty", "keys that are no text"],
)
def test_of_thousands_of_mistakes_so_many_are_told_as_people_read(text: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        parse_manifest(text.encode())
    assert len(refused.value.problems) == 50
    assert "50 mistakes or more" in refused.value.detail


def test_a_key_given_twice_is_a_mistake_with_its_line() -> None:
    assert problems(f"{SMALL}project: other-name\n") == [
        "line 4: 'project' is given twice; leave one of them out"
    ]


def test_a_merge_key_is_only_an_unknown_key() -> None:
    assert "nobody knows this key" in problems(f"{SMALL}<<: {{access: public}}")[0]


def test_words_stay_words() -> None:
    manifest = parse_manifest(
        f"{SMALL}governance: {{purpose: no, data: [{{name: on, licence: off}}]}}".encode()
    )
    assert manifest.governance.purpose == "no"
    assert (manifest.governance.data[0].name, manifest.governance.data[0].licence) == ("on", "off")


def test_a_manifest_over_the_limit_is_not_even_parsed() -> None:
    assert "over the limit" in problems(SMALL + "#" * 70_000)[0]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(DocumentRefused, match="not UTF-8"):
        parse_manifest(b"\xff\xfe\x00")


def test_the_schema_says_what_the_reader_says() -> None:
    schema = manifest_schema()
    definitions = schema["$defs"]
    assert definitions["Manifest"]["additionalProperties"] is False
    assert set(definitions["Manifest"]["required"]) == {"apiVersion", "project", "model"}
    assert set(definitions["Governance"]["properties"]) >= {
        "riskClass",
        "purpose",
        "owner",
        "data",
        "oversight",
    }


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["project", "model", "governance", "path", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain)
def test_any_other_data_is_refused_in_words(value: Any) -> None:
    with pytest.raises(DocumentRefused) as refused:
        parse_manifest(yaml.safe_dump(value, allow_unicode=True).encode())
    assert refused.value.problems


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(DocumentRefused):
        parse_manifest(data)


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 ._/()+-]{0,20}\Z")
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@given(purpose=words, name=names, licence=names)
def test_any_words_survive_being_written_and_read(purpose: str, name: str, licence: str) -> None:
    manifest = parse_manifest(WHOLE.encode())
    data = msgspec.structs.replace(manifest.governance.data[0], name=name, licence=licence)
    governance = msgspec.structs.replace(manifest.governance, purpose=purpose, data=(data,))
    changed: Manifest = msgspec.structs.replace(manifest, governance=governance)
    assert parse_manifest(dump_manifest(changed).encode()) == changed


@pytest.mark.parametrize(
    "words", ["1e100", "-1E5", "1.5e3", "0o7", "1:30", "no", "~", "2026-01-01", "0x1f", "__empty__ "]
)
def test_words_that_look_like_something_else_stay_words(words: str) -> None:
    manifest = parse_manifest(WHOLE.encode())
    changed = msgspec.structs.replace(
        manifest, governance=msgspec.structs.replace(manifest.governance, purpose=words)
    )
    assert parse_manifest(dump_manifest(changed).encode()) == changed
