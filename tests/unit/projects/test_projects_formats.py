"""Recognising models, writing a first placet.yaml, judging skops files and reading cards."""

from __future__ import annotations

import importlib
import json
import runpy
import shutil
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from placet.errors import Refused
from placet.projects import (
    Card,
    DocumentRefused,
    Recognised,
    dump_manifest,
    initial_manifest,
    parse_card,
    parse_manifest,
    project_name,
    recognise,
    recognise_file,
    trusted_types,
    untrusted_types,
)
from placet.projects.formats import SeveralModels
from placet.projects.manifest import PROJECT_PATTERN, DataSet
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.support.ordinary_user import an_ordinary_user

ROOT = Path(__file__).parents[3]
X = np.random.default_rng(7).random((40, 4))
Y = (X[:, 0] > 0.5).astype(int)
MODEL = LogisticRegression().fit(X, Y)
# A ModelProto of IR version 8 with an empty graph, as protobuf writes it.
ONNX = b"\x08\x08\x12\x04test\x3a\x00\x42\x04\x0a\x00\x10\x0d"


def own_function(values: Any) -> Any:
    return values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "Wine Quality (v2)"
    project.mkdir()
    return project


def test_each_format_is_recognised_by_its_file(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "a.skops")
    joblib.dump(MODEL, folder / "b.joblib")
    joblib.dump(MODEL, folder / "c.joblib", compress=3)
    joblib.dump(MODEL, folder / "d.pkl")
    (folder / "e.onnx").write_bytes(ONNX)
    found = {path.name: recognise_file(path) for path in sorted(folder.iterdir())}
    assert {name: row and (row.format, row.serialization) for name, row in found.items()} == {
        "a.skops": ("sklearn", "skops"),
        "b.joblib": ("sklearn", "joblib"),
        "c.joblib": ("sklearn", "joblib"),
        "d.pkl": ("sklearn", "pickle"),
        "e.onnx": ("onnx", "onnx"),
    }


@pytest.mark.parametrize("name", ["a.skops", "a.onnx", "a.joblib", "a.pkl", "a.bin"])
@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04", b"\x08", b"\x3a\xff\xff\xff\xff\x0f"], ids=repr
)
def test_a_name_alone_makes_no_model(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert recognise_file(tmp_path / name) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=100))
def test_any_bytes_are_looked_at_without_an_error(content: bytes, tmp_path: Path) -> None:
    for name in ("a.skops", "a.onnx", "a.joblib"):
        (tmp_path / name).write_bytes(content)
        recognise_file(tmp_path / name)


def test_the_committed_examples_are_recognised() -> None:
    assert recognise(ROOT / "examples/faces") == Recognised(
        format="onnx", serialization="onnx", path="model.onnx"
    )
    assert recognise(ROOT / "examples/wine") == Recognised(
        format="xgboost", serialization="ubjson", path="model.ubj"
    )
    assert recognise(ROOT / "examples/tumours") == Recognised(
        format="lightgbm", serialization="text", path="model.lgb"
    )
    assert recognise(ROOT / "examples/iris") == Recognised(
        format="python", serialization="python", path="model.py"
    )
    assert recognise(ROOT / "examples/multiclass") == Recognised(
        format="sklearn", serialization="skops", path="model.skops"
    )


def test_of_several_models_nobody_guesses_which_is_meant(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "old.skops")
    joblib.dump(MODEL, folder / "model.joblib")
    skops.io.dump(MODEL, folder / "new.skops")
    with pytest.raises(SeveralModels, match="several models") as question:
        recognise(folder)
    assert question.value.found == ("new.skops", "old.skops", "model.joblib")
    assert recognise(folder, "model.joblib").serialization == "joblib"
    assert recognise(folder, "./old.skops").path == "old.skops"
    assert initial_manifest(folder, "old.skops").model.path == "old.skops"


def test_a_model_that_is_named_has_to_be_one(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "model.skops")
    (folder / "notes.txt").touch()
    for name in ("notes.txt", "other.skops", "../model.skops"):
        with pytest.raises(Refused, match="is no model in") as no:
            recognise(folder, name)
        assert no.value.fix == "what is one: model.skops"


def test_a_model_that_is_ignored_is_not_there(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "model.skops")
    (folder / ".placetignore").write_text("*.skops\n")
    with pytest.raises(Refused, match="no model that is recognised"):
        recognise(folder)


def test_a_file_that_is_not_what_its_name_says_is_named(folder: Path) -> None:
    (folder / "model.skops").write_text("no container")
    with pytest.raises(Refused, match=r"model\.skops is not what its name says"):
        recognise(folder)


def test_a_first_manifest_is_complete_but_for_what_people_must_say(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "model.skops")
    for name in ("sample.json", "requirements.txt", "README.md"):
        (folder / name).write_text("{}")
    text = dump_manifest(initial_manifest(folder))
    manifest = parse_manifest(text.encode())
    assert manifest == initial_manifest(folder)
    assert manifest.project == "wine-quality-v2"
    assert (manifest.model.format, manifest.model.path, manifest.model.sample) == (
        "sklearn",
        "model.skops",
        "sample.json",
    )
    assert (manifest.requirements, manifest.card) == ("requirements.txt", "README.md")
    assert "owner:  # the mail address" in text
    assert "\n  # data:  # what it was made from; " in text


def test_the_data_that_is_left_to_name_can_be_named_by_taking_the_comment_marks_away(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "model.skops")
    text = dump_manifest(initial_manifest(folder))
    said = text.replace("  # data:", "  data:").replace("  #   -", "    -")
    manifest = parse_manifest(
        said.replace("personalData: …", "personalData: false").replace("…", "wdbc").encode()
    )
    assert manifest.governance.data == (
        DataSet(name="wdbc", origin="wdbc", licence="wdbc", personal_data=False),
    )
    assert "# data" not in dump_manifest(manifest)


def test_a_folder_without_a_model_gets_no_manifest(folder: Path) -> None:
    with pytest.raises(Refused, match="holds no model"):
        initial_manifest(folder)


def test_a_model_that_may_not_be_read_is_no_missing_one(folder: Path) -> None:
    skops.io.dump(MODEL, folder / "model.skops")
    (folder / "model.skops").chmod(0)
    with an_ordinary_user(), pytest.raises(Refused, match=r"model\.skops cannot be read: Permission denied"):
        recognise(folder)


@given(st.text(max_size=60))
def test_any_folder_name_becomes_a_project_name(text: str) -> None:
    import re

    assert re.fullmatch(PROJECT_PATTERN.strip("^$"), project_name(text))


def test_what_a_fitted_search_needs_is_trusted_by_the_platform(folder: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=2))
    search = GridSearchCV(pipeline, {"randomforestclassifier__max_depth": [2, 3]}, cv=StratifiedKFold(2)).fit(
        X, Y
    )
    path = folder / "model.skops"
    skops.io.dump(search, path)
    assert untrusted_types(path) == []
    assert skops.io.get_untrusted_types(file=path) != []
    assert skops.io.load(path, trusted=list(trusted_types())).predict(X).shape == (40,)


def test_a_type_that_nobody_trusts_is_named(folder: Path) -> None:
    skops.io.dump(FunctionTransformer(own_function), folder / "model.skops")
    found = untrusted_types(folder / "model.skops")
    assert found == skops.io.get_untrusted_types(file=folder / "model.skops")
    assert found is not None
    assert found[0].endswith("own_function")


def node(loader: str, name: str, **more: Any) -> dict[str, Any]:
    module, _, attribute = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": attribute, **more}


def with_schema(path: Path, schema: Any) -> Path:
    with zipfile.ZipFile(path, "w") as container:
        container.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
    return path


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (node("ObjectNode", "os.system"), ["os.system"]),
        (node("FunctionNode", "sklearn.svm._classes.SVC"), ["sklearn.svm._classes.SVC"]),
        (node("TypeNode", "builtins.eval"), ["builtins.eval"]),
        (node("TypeNode", "half.\ud83d"), ["half.\\ud83d"]),
        (node("OperatorFuncNode", "operator.methodcaller"), ["operator.methodcaller"]),
        (node("NewNode", "builtins.dict"), ["builtins.dict"]),
        (node("ListNode", "builtins.list", content=[node("ObjectNode", "a.B")]), ["a.B"]),
        (node("MethodNode", "a.B", content={"func": "run", "obj": {}}), ["a.B", "a.B.run"]),
        (
            node(
                "PartialNode",
                "functools.partial",
                content={"func": node("TypeNode", "collections.OrderedDict")},
            ),
            ["functools.partial of collections.OrderedDict"],
        ),
        (node("PartialNode", "functools.partial", content={}), ["functools.partial of nothing"]),
        (node("CachedNode", "a.B", extra=node("TypeNode", "a.C")), ["a.C"]),
        (
            node("RandomGeneratorNode", "numpy.random._generator.Generator", content={"bit_generator": {}}),
            ["numpy.random.None"],
        ),
        (
            node(
                "RandomGeneratorNode",
                "numpy.random._generator.Generator",
                content={"bit_generator": {"content": {"bit_generator": {"content": '"seed"'}}}},
            ),
            ["numpy.random.seed"],
        ),
    ],
    ids=lambda value: value.get("__loader__") if isinstance(value, dict) else "",
)
def test_schemas_written_by_hand_hide_no_type(
    root: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    assert untrusted_types(with_schema(tmp_path / "m.skops", root | {"protocol": 2})) == expected


@pytest.mark.parametrize(
    "schema",
    ["not json", "[]", "{}", '{"protocol": 1}', '{"protocol": 3}', '{"protocol": true}', "[" * 100_000],
)
def test_a_schema_we_do_not_know_is_not_readable(schema: str, tmp_path: Path) -> None:
    assert untrusted_types(with_schema(tmp_path / "m.skops", schema)) is None


def test_every_type_the_platform_trusts_exists() -> None:
    for name in trusted_types():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_types_that_skops_trusts_are_those_of_the_installed_skops(tmp_path: Path) -> None:
    tool = runpy.run_path(str(ROOT / "libs/projects/tools/write_skops_types.py"))
    kept = json.loads((ROOT / "libs/projects/src/placet/projects/data/skops_types.json").read_text())
    assert kept == tool["skops_types"](), "run libs/projects/tools/write_skops_types.py"


def test_a_card_gives_its_metadata_and_its_prose() -> None:
    text = "---\nlicense: apache-2.0\ntags: [vision, digits]\ndatasets: optdigits\nmetrics:\n- accuracy\nlanguage: en\n"
    text += "model-index:\n- name: x\n  results: [{task: {type: y}}]\n---\n# Digits\n\nReads digits.\n"
    assert parse_card(text.encode()) == Card(
        licence="apache-2.0",
        tags=("vision", "digits"),
        datasets=("optdigits",),
        metrics=("accuracy",),
        languages=("en",),
        prose="# Digits\n\nReads digits.\n",
    )


@pytest.mark.parametrize("text", ["", "# Only prose\n", "----\nnot: metadata\n", "text\n---\na: b\n---\n"])
def test_a_card_without_metadata_is_prose(text: str) -> None:
    assert parse_card(text.encode()) == Card(prose=text)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_card_may_come_from_any_editor(newline: str) -> None:
    text = newline.join(["---", "license: mit", "---", "words"])
    assert parse_card(b"\xef\xbb\xbf" + text.encode()).licence == "mit"


@pytest.mark.parametrize(
    "front",
    ["license: [mit]", "tags: {a: b}", "tags: [1]", "- a", "a: *b", "a: !!python/name:os.system", "a: ["],
)
def test_metadata_that_is_not_plain_is_refused(front: str) -> None:
    with pytest.raises(DocumentRefused):
        parse_card(f"---\n{front}\n---\n".encode())


def test_a_card_over_the_limit_is_refused() -> None:
    with pytest.raises(DocumentRefused, match="over the limit"):
        parse_card(b"x" * 1024**2 + b"x")


def test_a_moved_example_is_recognised_all_the_same(folder: Path) -> None:
    shutil.copy(ROOT / "examples/multiclass/model.skops", folder / "renamed.skops")
    assert recognise_file(folder / "renamed.skops") == Recognised(
        format="sklearn", serialization="skops", path="renamed.skops"
    )


def test_a_folder_with_a_reserved_name_gets_another() -> None:
    assert project_name("Platform") == "platform-model"
