"""XGBoost's own files: known by their content, whatever they are called, and only when they are whole."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.projects import Booster, recognise, recognise_file
from placet.projects.xgboost_files import booster, json_version, ubjson_version

X = np.random.default_rng(7).random((40, 3))
Y = (X[:, 0] > 0.5).astype(int)
MODEL = xgboost.train(
    {"objective": "binary:logistic", "max_depth": 2, "nthread": 1},
    xgboost.DMatrix(X, Y, feature_names=["a", "b", "c"]),
    num_boost_round=2,
)
INSTALLED = tuple(int(part) for part in xgboost.__version__.split("."))
UBJSON, JSON = (bytes(MODEL.save_raw(kind)) for kind in ("ubj", "json"))


def written(folder: Path, content: bytes, name: str = "model.ubj") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def text(value: str) -> bytes:
    return b"L" + struct.pack(">q", len(value)) + value.encode()


def document(**members: bytes) -> bytes:
    return b"{" + b"".join(text(name) + value for name, value in members.items()) + b"}"


LEARNER = document(gradient_booster=b"Z", learner_model_param=b"Z", objective=b"S" + text("o"))
VERSION = b"[#i\x03i\x03i\x04i\x01"
WHOLE = document(learner=LEARNER, version=VERSION)


@pytest.mark.parametrize("name", ["model.ubj", "model.json", "MODEL.UBJ", "model.model", "a.xgb", "a.bin"])
@pytest.mark.parametrize(
    ("content", "serialization"), [(UBJSON, "ubjson"), (JSON, "json")], ids=["ubj", "json"]
)
def test_what_xgboost_saved_is_known_whatever_it_is_called(
    tmp_path: Path, name: str, content: bytes, serialization: str
) -> None:
    found = recognise_file(written(tmp_path, content, name))
    assert found is not None
    assert (found.format, found.serialization) == ("xgboost", serialization)
    assert recognise(tmp_path) == found


def test_its_version_is_the_one_that_saved_it(tmp_path: Path) -> None:
    assert ubjson_version(written(tmp_path, UBJSON)) == INSTALLED
    assert json_version(written(tmp_path, JSON)) == INSTALLED


@pytest.mark.parametrize("content", [UBJSON, JSON], ids=["ubj", "json"])
def test_its_columns_and_its_objective_are_read(tmp_path: Path, content: bytes) -> None:
    said = Booster(columns=3, names=("a", "b", "c"), objective="binary:logistic")
    assert booster(written(tmp_path, content)) == said
    assert booster(written(tmp_path, content.replace(b"num_feature", b"num_featurx"))) is None


def test_json_laid_out_by_somebody_else_is_the_same_model(tmp_path: Path) -> None:
    assert json_version(written(tmp_path, json.dumps(json.loads(JSON), indent=2).encode())) == INSTALLED


def test_numbers_that_json_does_not_have_are_xgboosts_own(tmp_path: Path) -> None:
    model = json.loads(JSON)
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    trees[0]["base_weights"] = [float("nan"), float("-inf")]
    assert json_version(written(tmp_path, json.dumps(model).encode())) == INSTALLED


def test_other_files_of_a_project_are_no_models(tmp_path: Path) -> None:
    written(tmp_path, UBJSON)
    written(tmp_path, b'{"request": {}, "response": {}}', "sample.json")
    written(tmp_path, b'{"learner": {}, "version": [3, 4, 1]}', "notes.json")
    written(tmp_path, document(version=VERSION), "notes.bin")
    assert recognise(tmp_path).path == "model.ubj"


@pytest.mark.parametrize("whole", [UBJSON, JSON], ids=["ubj", "json"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_model_that_was_cut_off_is_none(tmp_path: Path, whole: bytes, kept: float) -> None:
    assert recognise_file(written(tmp_path, whole[: int(len(whole) * kept)])) is None
    assert recognise_file(written(tmp_path, whole[:-1])) is None


def test_what_is_made_up_by_hand_is_read_as_xgboost_writes_it(tmp_path: Path) -> None:
    assert ubjson_version(written(tmp_path, WHOLE)) == (3, 4, 1)
    assert ubjson_version(written(tmp_path, WHOLE.replace(VERSION, b"[i\x03i\x04i\x01]"))) == (3, 4, 1)
    assert ubjson_version(written(tmp_path, WHOLE + b"{")) is None


@pytest.mark.parametrize(
    "value",
    [
        b"S" + text("x").replace(b"\0\0\0\x01", b"\x7f\xff\xff\xff"),
        b"SL" + struct.pack(">q", -1),
        b"Si\xff",
        b"[$d#L" + struct.pack(">q", 2**62),
        b"[$Z#L" + struct.pack(">q", 2**62),
        b"[$[#L" + struct.pack(">q", 2),
        b"[#L" + struct.pack(">q", 2**62),
        b"[" * 100_000,
        b"{" + text("a") * 2,
        document(a=b"{" + text("b")) * 300,
        b"?",
        b"",
    ],
    ids=repr,
)
def test_a_hostile_document_is_no_model_and_costs_nothing(tmp_path: Path, value: bytes) -> None:
    assert ubjson_version(written(tmp_path, document(learner=LEARNER, more=value, version=VERSION))) is None


@pytest.mark.parametrize("version", [b"Z", b"[", b"[#L" + struct.pack(">q", 2**62), b"[" + b"i\x01" * 1000])
def test_a_version_that_is_none_makes_no_model(tmp_path: Path, version: bytes) -> None:
    assert ubjson_version(written(tmp_path, document(learner=LEARNER, version=version))) is None


@pytest.mark.parametrize(
    "content", [b"{" * 100_000, b'{"learner":' * 50_000, b'{"a":NaN', b'{"\xff":1}', b"{"]
)
def test_hostile_json_is_no_model(tmp_path: Path, content: bytes) -> None:
    assert json_version(written(tmp_path, content)) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_model_with_a_spoilt_byte_is_looked_at_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    content = bytearray(WHOLE if data.draw(st.booleans()) else UBJSON)
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = written(tmp_path_factory.getbasetemp(), bytes(content))
    recognise_file(path)
    assert isinstance(booster(path), Booster | None)
