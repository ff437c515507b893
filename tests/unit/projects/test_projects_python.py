"""Models in Python: known by their class, looked at by Python's parser, and never imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.errors import Refused
from placet.projects import recognise, recognise_file
from placet.projects.python_files import DATATYPES, read_python
from placet.runtime import signature

WHOLE = """
import numpy as np
from collections.abc import Mapping
from .beside import thing

class Model:
    inputs = {"text": "BYTES", "pixels": ("FP32", 25, 25), "any": ("FP64", -1)}
    outputs: dict[str, object] = {"label": "INT64"}

    def load(self, folder):
        import json.decoder

    def predict(self, inputs):
        return {}
"""


def written(folder: Path, content: str | bytes, name: str = "model.py") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def problems(folder: Path, content: str) -> tuple[str, ...]:
    found = read_python(written(folder, content))
    assert found is not None
    return found.problems


def test_a_class_model_is_a_model_and_names_what_it_imports(tmp_path: Path) -> None:
    found = read_python(written(tmp_path, WHOLE))
    assert found is not None
    assert found.problems == ()
    assert found.imports == ("collections", "json", "numpy")


def test_other_code_of_a_project_is_none(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    written(tmp_path, "from model import Model\nmodel = Model()\n", "train.py")
    written(tmp_path, 'TEXT = """\nclass Model\n"""\n', "words.py")
    written(tmp_path, "class Models:\n    pass\n", "others.py")
    found = recognise(tmp_path)
    assert (found.format, found.serialization, found.path) == ("python", "python", "model.py")


def test_of_a_folder_whose_one_model_cannot_be_parsed_the_line_is_told(tmp_path: Path) -> None:
    written(tmp_path, WHOLE.replace("return {}", "return {"))
    with pytest.raises(Refused, match=r"^model.py, line 14: SyntaxError: '{' was never closed") as refused:
        recognise(tmp_path)
    assert refused.value.fix == "mend the code of the model"


def test_nothing_of_it_is_run(tmp_path: Path) -> None:
    written(tmp_path, f"open({str(tmp_path / 'run')!r}, 'w')\n{WHOLE}")
    assert recognise(tmp_path).format == "python"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        ("def load(", "def lode(", "class Model has no method load(self, folder)"),
        ("def predict(", "def ask(", "class Model has no method predict(self, inputs)"),
        ("def predict(", "async def predict(", "predict is a coroutine"),
        ("inputs = ", "takes = ", 'class Model does not say `inputs = {"name": "FP64"}`'),
        ('{"label": "INT64"}', "named()", "outputs is computed"),
        ('{"label": "INT64"}', '["label"]', "outputs is no mapping of names"),
        ('{"label": "INT64"}', "{}", "outputs is no mapping of names"),
        ('{"label": "INT64"}', '{1: "INT64"}', "outputs has the name 1, which is no text"),
        (
            '"INT64"',
            '"int"',
            """outputs says 'int' of label, and not "FP64" or, for a row of 3, ("FP64", 3)""",
        ),
        ("25, 25", "25, 0", "inputs says ('FP32', 25, 0) of pixels"),
        ("25, 25", "25, True", "inputs says ('FP32', 25, True) of pixels"),
    ],
)
def test_what_keeps_it_from_being_served_is_named(
    tmp_path: Path, said: str, instead: str, problem: str
) -> None:
    assert said in WHOLE
    (found,) = problems(tmp_path, WHOLE.replace(said, instead, 1))
    assert found.startswith(problem)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "class Model:\n    pass\n")) == 4


def test_what_a_class_inherits_is_not_asked_for(tmp_path: Path) -> None:
    assert problems(tmp_path, "from there import Other\nclass Model(Other):\n    pass\n") == ()


def test_its_datatypes_are_those_of_the_model_server() -> None:
    assert set(DATATYPES) == set(signature.DATATYPES)


HOSTILE = {
    "brackets": "(" * 100_000,
    "signs": "x = " + "-" * 100_000 + "1",
    "a chain": "x = a" + ".a" * 100_000,
    "a sum": "x = 1" + "+1" * 100_000,
    "nots": "x = " + "not " * 100_000 + "1",
    "lambdas": "x = " + "lambda:" * 50_000 + "1",
    "calls": "x = f" + "()" * 100_000,
    "lists in what it takes": "class Model:\n inputs = " + "[" * 150 + "]" * 150,
    "signs in what it takes": "class Model:\n inputs = {'a': " + "-" * 5_000 + "1}",
    "no text": b"class Model:\n x = '\xff'".decode("latin-1"),
    "a nought": "class Model:\n x = '\0'",
    "half a class": "class Model:",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_code_that_was_made_to_break_the_parser_breaks_nothing(tmp_path: Path, content: str) -> None:
    """In a process of its own, since a parser may also die of it."""
    path = written(tmp_path, f"{content}\nclass Model:\n    pass\n")
    look = "import sys, pathlib; from placet.projects import recognise_file; recognise_file(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_code_beyond_any_persons_is_not_parsed(tmp_path: Path) -> None:
    assert recognise_file(written(tmp_path, f"{WHOLE}\n# {'x' * 1024**2}")) is None


@settings(max_examples=200, deadline=None)
@given(content=st.text(max_size=80))
def test_any_text_is_looked_at_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    source = f"class Model:\n {content}".encode("utf-8", "surrogatepass")
    read_python(written(tmp_path_factory.getbasetemp(), source))
