"""Reading a project's reference: as a request is read, with every mistake named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from placet.runtime.model import CannotLoad
from placet.runtime.reference import read
from placet.runtime.signature import ANY, Signature, Tensor

MATRIX = Tensor(name="input-0", datatype="FP64", shape=(ANY, 2))
COLUMNS = (
    Tensor(name="place", datatype="BYTES", shape=(ANY,)),
    Tensor(name="rooms", datatype="INT64", shape=(ANY,)),
    Tensor(name="new", datatype="BOOL", shape=(ANY,)),
)


def taking(*inputs: Tensor, columns: tuple[str, ...] | None = None, takes_missing: bool = False) -> Signature:
    return Signature(
        platform="test",
        inputs=inputs,
        outputs=inputs,
        prediction=None,
        columns=columns,
        takes_missing=takes_missing,
    )


def csv(folder: Path, *lines: str, times: int = 100) -> Path:
    path = folder / "reference.csv"
    path.write_text("\ufeff" + "\r\n".join((lines[0], *lines[1:] * times)) + "\r\n")
    return path


def test_columns_are_found_by_name_whatever_else_there_is(tmp_path: Path) -> None:
    path = csv(tmp_path, "width,target,length", "2.5,near,1", "4,far,3")

    rows = read(path, taking(MATRIX, columns=("length", "width")))["input-0"]

    assert rows.shape == (200, 2)
    assert rows[:2].tolist() == [[1, 2.5], [3, 4]]


def test_columns_without_names_are_taken_in_their_order(tmp_path: Path) -> None:
    assert read(csv(tmp_path, "a,b", "1,2"), taking(MATRIX))["input-0"][0].tolist() == [1, 2]


def test_each_column_is_read_as_the_models_datatype(tmp_path: Path) -> None:
    found = read(csv(tmp_path, "new,place,rooms", 'True,"a ""b""",3', "0,,-4"), taking(*COLUMNS))

    assert found["place"][:2].tolist() == ['a "b"', None]
    assert found["rooms"][:2].tolist() == [3, -4]
    assert found["new"][:2].tolist() == [True, False]


def test_what_is_missing_is_taken_where_the_model_takes_it(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b", "1,")

    assert np.isnan(read(path, taking(MATRIX, takes_missing=True))["input-0"][0, 1])
    with pytest.raises(CannotLoad, match="row 0, value 1: null; this model takes no missing values"):
        read(path, taking(MATRIX))


def test_a_request_is_a_reference_too(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    path.write_text(json.dumps({"inputs": {"length": [1] * 100, "width": [2] * 100}}))

    assert read(path, taking(MATRIX, columns=("length", "width")))["input-0"].shape == (100, 2)


def test_of_many_rows_some_are_taken_from_all_over(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("a,b\n" + "".join(f"{row},0\n" for row in range(25_000)))

    rows = read(path, taking(MATRIX))["input-0"]

    assert (len(rows), rows[-1, 0]) == (8334, 24_999)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("length,height", "1,2"), "reference.csv: inputs lacks width; this model takes length, width"),
        (("length,width", "1,wide"), 'reference.csv: row 0, width: expected a number, got "wide"'),
        (("length,width", "1,2,3"), "reference.csv: row 0 has 3 values, its header 2"),
        (("length,width", '1,"2'), "reference.csv is no CSV file in UTF-8"),
        (("length,width",), "reference.csv: the column length is empty"),
        (("",), "reference.csv: inputs has no rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(CannotLoad) as refused:
        read(csv(tmp_path, *lines), taking(MATRIX, columns=("length", "width")))
    assert said in str(refused.value)


def test_too_few_rows_too_many_bytes_and_other_files_are_refused(tmp_path: Path) -> None:
    signature = taking(MATRIX)
    with pytest.raises(CannotLoad, match="has 99 rows, of which nothing can be told; give 100 or more"):
        read(csv(tmp_path, "a,b", "1,2", times=99), signature)
    with pytest.raises(CannotLoad, match=r"none\.csv cannot be read: No such file"):
        read(tmp_path / "none.csv", signature)
    (tmp_path / "reference.parquet").write_bytes(b"PAR1")
    with pytest.raises(CannotLoad, match=r"neither \.csv nor \.json"):
        read(tmp_path / "reference.parquet", signature)
    with (tmp_path / "huge.csv").open("wb") as huge:
        huge.truncate(2**26)
    with pytest.raises(CannotLoad, match="larger than 33554432 bytes"):
        read(tmp_path / "huge.csv", signature)
