"""LightGBM's own text files: known by their content, whatever they are called, and only when they are whole."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.projects import Booster, recognise, recognise_file
from placet.projects.lightgbm_files import booster, file_version

X = np.random.default_rng(7).random((40, 3))
Y = (X[:, 0] > 0.5).astype(int)
MODEL = lightgbm.train(
    {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 3, "num_threads": 1, "verbosity": -1},
    lightgbm.Dataset(X, Y),
    num_boost_round=2,
)
TEXT = MODEL.model_to_string().encode()


def written(folder: Path, content: bytes, name: str = "model.txt") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("name", ["model.txt", "model.lgb", "MODEL.TXT", "model.model", "a.lgbm"])
def test_what_lightgbm_saved_is_known_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    MODEL.save_model(tmp_path / name)
    found = recognise_file(tmp_path / name)
    assert found is not None
    assert (found.format, found.serialization) == ("lightgbm", "text")
    assert recognise(tmp_path) == found
    assert file_version(tmp_path / name) == "v4"


def test_the_columns_of_a_booster_are_read_from_its_head(tmp_path: Path) -> None:
    assert booster(written(tmp_path, TEXT)) == Booster(columns=3, names=(), objective="binary")
    named = booster(written(tmp_path, TEXT.replace(b"Column_0 Column_1", b"age size")))
    assert named == Booster(columns=3, names=("age", "size", "Column_2"), objective="binary")
    assert booster(written(tmp_path, TEXT.replace(b"max_feature_idx=2", b"max_feature_idx=5"))) is None
    assert booster(written(tmp_path, b"tree\n")) is None


def test_a_model_that_an_editor_gave_other_line_ends_is_the_same(tmp_path: Path) -> None:
    assert file_version(written(tmp_path, TEXT.replace(b"\n", b"\r\n"))) == "v4"


def test_other_texts_of_a_project_are_no_models(tmp_path: Path) -> None:
    written(tmp_path, TEXT)
    written(tmp_path, b"numpy==2.4.6\n", "requirements.txt")
    written(tmp_path, b"tree\nis what this is about\nend of trees\n", "notes.txt")
    assert recognise(tmp_path).path == "model.txt"


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.3, 0.5])
def test_a_model_that_was_cut_off_is_none(tmp_path: Path, kept: float) -> None:
    assert recognise_file(written(tmp_path, TEXT[: int(len(TEXT) * kept)])) is None
    assert recognise_file(written(tmp_path, TEXT[: TEXT.index(b"end of trees")])) is None


@pytest.mark.parametrize(
    "content",
    [
        TEXT.replace(b"num_class=1\n", b""),
        TEXT.replace(b"tree\n", b"trees\n", 1),
        b"\n" + TEXT,
        b"tree\n",
        b"tree\n" + b"=" * 100_000 + b"\nend of trees",
        b"",
    ],
    ids=["without classes", "another word", "a line too many", "a word", "no names", "empty"],
)
def test_what_only_looks_like_it_is_no_model(tmp_path: Path, content: bytes) -> None:
    assert file_version(written(tmp_path, content)) is None


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=100))
def test_any_bytes_are_looked_at_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file_version(written(tmp_path_factory.getbasetemp(), b"tree\n" + content + b"\nend of trees"))
