"""Facts: complete, gathered without running anything, and nobody's name outside `personal`."""

from __future__ import annotations

import cProfile
import json
import os
import pickle
import platform
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import pytest
import skops.io
import yaml
from placet.projects import FORMATS, Manifest, initial_manifest, parse_manifest, trial_manifest
from placet.projects.manifest import Governance, Model, Replicas, Resources
from placet.rules import (
    Engine,
    excepted,
    fitting,
    gather_certify_facts,
    gather_submit_facts,
    load_policy,
    load_shipped,
)
from placet.rules.contents import contained
from placet.runtime import reference
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.signature import Signature, Tensor
from sklearn.preprocessing import FunctionTransformer

from tests.support.torch_files import node, program, pt2, safetensors

EXAMPLE = Path(__file__).parents[3] / "examples/multiclass"
MLFLOW = Path(__file__).parents[2] / "mlflow_folders"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHIPPED = load_shipped()
DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project"))


def manifest(folder: Path, **changes: Any) -> Manifest:
    document = yaml.safe_load((folder / "placet.yaml").read_text()) | changes
    return parse_manifest(json.dumps(document, default=str).encode())


def governance(folder: Path, **changes: Any) -> Manifest:
    document = yaml.safe_load((folder / "placet.yaml").read_text())
    return manifest(folder, governance=document["governance"] | changes)


def broken(folder: Path, said: Manifest, engine: Engine, **more: Any) -> dict[str, str]:
    """The rules that are not passed, with why."""
    facts = gather_submit_facts(folder, said, now=NOW, **more)
    found = engine.evaluate_sync(SHIPPED, "submit", facts)
    assert all(verdict.result != "indeterminate" for verdict in found), "facts are complete"
    return {verdict.rule: verdict.why or "" for verdict in found if not verdict.is_passed}


def refused(folder: Path, said: Manifest, engine: Engine, *, excepted_from: str = "") -> set[str]:
    """The rules that refuse a project to which this exception was granted."""
    facts = gather_submit_facts(folder, said, now=NOW)
    found = excepted(engine.evaluate_sync(SHIPPED, "submit", facts), {excepted_from: "exception:1"})
    return {verdict.rule for verdict in found if verdict.is_refusal}


def test_the_committed_example_breaks_no_rule(folder: Path, engine: Engine) -> None:
    assert broken(folder, manifest(folder), engine) == {}


def test_a_bare_manifest_is_told_everything_that_is_missing(folder: Path, engine: Engine) -> None:
    bare = parse_manifest(
        b"apiVersion: placet/v1\nproject: bare\nmodel: {format: sklearn, path: none.skops}\n"
    )
    assert set(broken(folder, bare, engine)) == {
        "governance.owner-named",
        "governance.purpose-stated",
        "governance.risk-class-declared",
        "governance.licence-present",
        "governance.data-declared",
        "model.file-matches",
        "model.sample-present",
        "build.requirements-pinned",
    }


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "class Model:\n    inputs = {'a': 'FP64'\n",
            "model.py cannot be served: line 2: SyntaxError: '{' was never closed",
        ),
        ("clas Model:\n", "model.py cannot be served: line 1: SyntaxError: invalid syntax"),
        ("class Modell:\n    pass\n", "model.py cannot be served: it has no class Model"),
        ("class Model(nn.Module):\n    pass\n", "its class Model is a module of PyTorch"),
    ],
)
def test_what_is_wrong_with_a_models_code_is_said_alone(
    folder: Path, engine: Engine, code: str, why: str
) -> None:
    """And not that it looks like no model, so that it may be a pickle."""
    (folder / "model.py").write_text(code)
    found = broken(
        folder,
        manifest(folder, model={"format": "python", "path": "model.py", "sample": "sample.json"}),
        engine,
    )
    assert list(found) == ["model.code-complete"]
    assert why in found["model.code-complete"]


def test_a_misspelt_format_is_told_with_what_is_wrong_with_the_code_and_not_as_a_pickle(
    folder: Path, engine: Engine
) -> None:
    (folder / "model.py").write_text("clas Model:\n")
    said = {"format": "phyton", "path": "model.py", "sample": "sample.json"}
    found = broken(folder, manifest(folder, model=said), engine)
    assert set(found) == {"model.format-allowed", "model.file-matches", "model.code-complete"}
    assert "the nearest is python" in found["model.format-allowed"]
    assert "looks like python, and placet.yaml calls it phyton" in found["model.file-matches"]
    assert "line 1: SyntaxError: invalid syntax" in found["model.code-complete"]


def test_what_is_only_called_a_model_in_python_may_be_a_pickle(folder: Path, engine: Engine) -> None:
    """What loads it is what the format says, and not what the file is called."""
    (folder / "model.py").write_bytes(b"\x80\x04clas Model:\n")
    said = {"format": "sklearn", "path": "model.py", "sample": "sample.json"}
    assert "model.pickle-by-exception" in broken(folder, manifest(folder, model=said), engine)


def python_model(folder: Path, code: str, requirements: str) -> Manifest:
    (folder / "model.py").write_text(
        f"{code}\nclass Model:\n  inputs = {{'a': 'FP64'}}\n  outputs = {{'b': 'FP64'}}\n"
        "  def load(self, folder): ...\n  def predict(self, inputs): ...\n"
    )
    (folder / "sample.json").write_text('{"request": {"inputs": [{"a": 1}]}, "response": {"outputs": [1]}}')
    (folder / "requirements.txt").write_text(requirements)
    said = {"format": "python", "path": "model.py", "sample": "sample.json"}
    return manifest(folder, model=said, requirements="requirements.txt")


def test_what_code_imports_and_no_requirement_names_is_warned_of(folder: Path, engine: Engine) -> None:
    (folder / "cleaning").mkdir()
    (folder / "cleaning/words.py").write_text("import nltk, yaml\nfrom cleaning import other\n")
    (folder / "unused.py").write_text("import torch\n")
    code = "import json, numpy, pandas as pd, cleaning.words, sklearn.svm, PIL\nfrom google.cloud import storage\n"
    said = python_model(folder, code, "scikit_learn==1.7.2\nPyYAML==6.0.3\ngoogle-cloud-storage==3.4.0\n")
    facts = gather_submit_facts(folder, said, now=NOW)
    assert facts["requirements"]["unnamed"] == ["PIL", "nltk", "pandas"]
    found = [each for each in engine.evaluate_sync(SHIPPED, "submit", facts) if not each.is_passed]
    assert [(each.rule, each.is_refusal) for each in found] == [("build.imports-named", False)]
    assert found[0].why == (
        "the model's code imports PIL, nltk, pandas, which requirements.txt does not name"
    )


def test_a_program_of_pytorch_is_looked_into_wherever_it_lies(folder: Path, engine: Engine) -> None:
    (folder / "extra").mkdir()
    pt2(folder / "extra/old.pt2", program(node("torch.ops.aten.from_file.default")))
    why = broken(folder, manifest(folder), engine)
    assert set(why) == {"model.program-is-data"}
    assert "extra/old.pt2: it calls torch.ops.aten.from_file.default" in why["model.program-is-data"]


def test_weights_need_the_module_they_belong_to(folder: Path, engine: Engine) -> None:
    safetensors(folder / "w.safetensors", {"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"\0")
    model = {"format": "pytorch", "path": "w.safetensors", "sample": "sample.json"}

    def why(**more: str) -> str:
        return broken(folder, manifest(folder, model={**model, **more}), engine).get(
            "model.code-complete", ""
        )

    assert "w.safetensors holds weights alone" in why()
    assert "there is no file net.py" in why(module="net.py")
    (folder / "net.py").write_text("class Model: pass\n")
    assert "net.py has no class Model(torch.nn.Module)" in why(module="net.py")
    (folder / "net.py").write_text("class Model(nn.Module):\n  def forward(:\n")
    assert "net.py, line 2: SyntaxError: invalid syntax" in why(module="net.py")
    (folder / "net.py").write_text(
        "class Model(nn.Module):\n    inputs = outputs = None\n    def forward(self, x): ...\n"
    )
    assert "does not say `inputs" in why(module="net.py")
    (folder / "net.py").write_text(
        'class Model(nn.Module):\n    inputs = {"x": "FP32"}\n    outputs = {"y": "FP32"}\n'
        "    def forward(self, x): ...\n"
    )
    said = manifest(folder, model={**model, "module": "net.py"})
    assert broken(folder, said, engine) == {}
    assert gather_submit_facts(folder, said, now=NOW)["model"]["served"] == "python", (
        "it is code of the project"
    )


def test_a_hostile_pickle_anywhere_in_the_project_is_found(folder: Path, engine: Engine) -> None:
    (folder / "extra").mkdir()
    (folder / "extra/cache.pkl").write_bytes(pickle.dumps(eval))
    why = broken(folder, manifest(folder), engine)
    assert set(why) == {"model.no-hostile-pickle"}
    assert "builtins.eval" in why["model.no-hostile-pickle"]


def test_a_pickle_is_served_by_exception_only(folder: Path, engine: Engine) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    said = manifest(folder, model={"format": "sklearn", "path": "model.pkl", "sample": "sample.json"})
    assert refused(folder, said, engine) == {"model.pickle-by-exception"}
    assert refused(folder, said, engine, excepted_from="model.pickle-by-exception") == set()


def test_an_exception_covers_names_that_nobody_listed_and_none_that_is_denied(
    folder: Path, engine: Engine
) -> None:
    (folder / "cut-off.pkl").write_bytes(pickle.dumps([1.0] * 9)[:-1])
    assert refused(folder, manifest(folder), engine) == {"model.pickle-names-listed"}
    assert refused(folder, manifest(folder), engine, excepted_from="model.pickle-names-listed") == set()
    (folder / "hostile.pkl").write_bytes(pickle.dumps(eval))
    assert refused(folder, manifest(folder), engine, excepted_from="model.pickle-names-listed") == {
        "model.no-hostile-pickle"
    }
    assert "model.no-hostile-pickle" in refused(
        folder, manifest(folder), engine, excepted_from="model.no-hostile-pickle"
    )


def test_a_format_that_is_not_served_is_named(folder: Path, engine: Engine) -> None:
    said = manifest(folder, model={"format": "keras", "path": "model.skops", "sample": "sample.json"})
    assert "keras is none of sklearn, onnx" in broken(folder, said, engine)["model.format-allowed"]


def test_a_model_in_python_is_told_everything_that_keeps_it_from_being_served(
    folder: Path, engine: Engine
) -> None:
    (folder / "model.py").write_text("class Model:\n    inputs = {'x': 'FP64'}\n    def predict(self): ...\n")
    said = manifest(folder, model={"format": "python", "path": "model.py", "sample": "sample.json"})
    facts = gather_submit_facts(folder, said, now=NOW)["model"]
    assert (facts["format"], facts["serialization"]) == ("python", "python")
    why = broken(folder, said, engine)
    assert set(why) == {"model.code-complete"}
    assert "has no method load(self, folder)" in why["model.code-complete"]
    assert 'does not say `outputs = {"name": "FP64"}`' in why["model.code-complete"]


def test_a_project_with_a_dockerfile_serves_any_format_where_the_platform_allows_it(
    folder: Path, engine: Engine
) -> None:
    (folder / "serving").mkdir()
    (folder / "serving/Dockerfile").write_text(f"FROM python@{DIGESTS[0]}\nCOPY . /app\n")
    (folder / "weights").mkdir()
    (folder / "weights/part-1.rds").write_bytes(b"what nobody here knows")
    document = yaml.safe_load((folder / "placet.yaml").read_text())
    del document["requirements"]
    (folder / "placet.yaml").write_text(json.dumps(document, default=str))
    said = manifest(
        folder,
        build={"dockerfile": "serving/Dockerfile"},
        model={"format": "rds", "path": "weights", "sample": "sample.json"},
    )

    assert broken(folder, said, engine, dockerfiles=True) == {}
    assert set(broken(folder, said, engine)) == {"build.dockerfile-allowed"}


def test_a_dockerfile_that_nobody_asked_for_refuses_nothing_and_is_told_of(
    folder: Path, engine: Engine
) -> None:
    (folder / "Dockerfile").write_text("FROM python:3.11\n")
    facts = gather_submit_facts(folder, manifest(folder), now=NOW)
    [verdict] = [each for each in engine.evaluate_sync(SHIPPED, "submit", facts) if not each.is_passed]
    assert (verdict.rule, verdict.is_refusal) == ("build.dockerfile-used", False)
    assert "has a Dockerfile that is not used" in (verdict.why or "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no file Dockerfile"),
        ("RUN make\n", "cannot be built from: it has no FROM"),
        (
            "FROM python:3.11\nADD https://example.org/x /\n",
            "no digest pins: ADD https://example.org/x, python:3.11",
        ),
    ],
)
def test_a_dockerfile_whose_image_could_be_another_tomorrow_is_refused(
    folder: Path, engine: Engine, content: str | None, why: str
) -> None:
    if content is not None:
        (folder / "Dockerfile").write_text(content)
    said = manifest(folder, build={"dockerfile": "Dockerfile"})
    told = broken(folder, said, engine, dockerfiles=True)
    assert set(told) == {"build.dockerfile-pinned"}
    assert why in told["build.dockerfile-pinned"]


def test_what_is_recognised_is_served_and_what_is_served_is_certified() -> None:
    allowed = {policy.id: policy.params.get("formats", []) for policy in SHIPPED}
    assert set(allowed["artifact-safety"]) == {row.name for row in FORMATS} | {"mlflow"}
    assert allowed["image-provenance"] == allowed["artifact-safety"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "sample.json is no JSON object"),
        ("[1]", "sample.json is no JSON object"),
        (
            '{"request": {"inputs": [[NaN]]}}',
            "sample.json is no JSON: JSON has no NaN and no Infinity; write null for",
        ),
        ('{"request": "NaN"', "sample.json is no JSON object"),
        ("{", "sample.json is no JSON object"),
        ("[" * 5000, "sample.json is no JSON object"),
        ('{"response": {}}', "has no `request`"),
        ('{"request": [1], "response": {}}', "has no `request`"),
        ('{"request": {}}', "has no `response`"),
    ],
)
def test_a_sample_that_cannot_be_tried_is_refused(
    content: str, said: str, folder: Path, engine: Engine
) -> None:
    (folder / "sample.json").write_text(content)
    assert said in broken(folder, manifest(folder), engine)["model.sample-present"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("numpy", "no single version for numpy"),
        ("numpy>=2\nskops==0.16.0", "no single version for numpy"),
        ("numpy==2.*", "no single version for numpy"),
        ("-r other.txt", "has in line 1 is no"),
        ("--index-url x\nnumpy==2.4.6", "has in line 1 is no"),
        ("numpy==2.4.6\n./wheel.whl\n", "has in line 2 is no"),
        (f"numpy==2.4.6 --hash=sha256:{'a' * 64} --index-url x", "has in line 1 is no"),
        ("numpy==2.4.6 --hash=md5:aa", "has in line 1 is no"),
        ("numpy @ https://host/numpy.whl", "no build takes: numpy, by an address"),
        ("numpy==2.4.6\nNumPy==2.5.0", "no build takes: numpy in 2 versions"),
        ("skops==0.12.1", "no build takes: skops==0.12.1, where this model needs skops>=0.13"),
        ("skops===0.13rc1", "no build takes: skops===0.13rc1, where this model needs skops>=0.13"),
        ("scikit-learn==1.5.2", "scikit-learn==1.5.2, where this model needs scikit-learn>=1.6"),
        (
            "xgboost-cpu==3.2.0\nxgboost==3.1.0",
            "no build takes: xgboost-cpu==3.2.0 and xgboost==3.1.0, which are the same library",
        ),
        pytest.param("skops==" + "1" * 5000, "no build takes: skops==11", id="digits"),
        pytest.param(
            "skops==0.16.0; " + "(" * 20_000 + "python_version<'4'" + ")" * 20_000,
            "has in line 1 is no",
            id="parentheses",
        ),
        ("# caf\udce9\nnumpy==2.4.6", "no build takes: no text in UTF-8"),
        ("numpy==2.4.6\n" + "#" * 1024**2, "of at most 1048576 bytes"),
    ],
)
def test_requirements_without_one_version_are_named(
    content: str, said: str, folder: Path, engine: Engine
) -> None:
    (folder / "requirements.txt").write_bytes(content.encode(errors="surrogateescape"))
    assert said in broken(folder, manifest(folder), engine)["build.requirements-pinned"]


@pytest.mark.parametrize(
    "content",
    [
        "# all\nnumpy==2.4.6  # pinned\n\nskops === 0.16.0\n",
        f"numpy==2.4.6 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n",
        "numpy==2.4.6; python_version < '3.12'\nnumpy==2.5.0; python_version >= '3.12'\n",
        "uvicorn[standard]==0.54.0; python_version >= '3.11'\r\n",
        "xgboost-cpu==3.2.0\nxgboost==3.2.0\n",
    ],
)
def test_pinned_requirements_of_any_style_pass(content: str, folder: Path, engine: Engine) -> None:
    (folder / "requirements.txt").write_bytes(content.encode())
    assert broken(folder, manifest(folder), engine) == {}


MODEL = """
class Model:
    inputs = {"length": "FP64", "width": "FP64"}
    outputs = {"area": "FP64"}
    def load(self, folder): ...
    def predict(self, inputs): ...
"""
ROWS = "length,width,note\n" + "1,2,x\n" * 100


def said_of(folder: Path, engine: Engine, rule: str, request: Any = None, **reference: str) -> str:
    """Why a model of two named inputs breaks a rule with this sample and this reference; empty if it does not."""
    (folder / "model.py").write_text(MODEL)
    request = request or {"inputs": {"length": [1], "width": [2]}}
    (folder / "sample.json").write_text(json.dumps({"request": request, "response": {"outputs": [2]}}))
    model = {"format": "python", "path": "model.py", "sample": "sample.json"}
    for name, content in reference.items():
        (folder / f"reference.{name}").write_text(content)
        model["reference"] = f"reference.{name}"
    return broken(folder, manifest(folder, model=model), engine).get(rule, "")


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        ("csv", ROWS, ""),
        ("csv", ROWS.replace("width,", "wide,"), "its header lacks width"),
        ("csv", ROWS[:42], "it has 4 rows"),
        ("csv", ROWS + "1,2\n", "its row 100 has 2 values, its header 3"),
        ("csv", ROWS + '"', "it is no CSV file"),
        ("txt", ROWS, "it is neither .csv nor .json"),
        ("json", json.dumps({"inputs": {"length": [1] * 100, "width": [2] * 100}}), ""),
        ("json", json.dumps({"inputs": [{"length": 1, "width": 2}] * 100}), ""),
        ("json", json.dumps({"inputs": [{"length": 1, "depth": 2}] * 100}), "lacks width, it has depth"),
        ("json", json.dumps({"inputs": [[1, 2]] * 99}), "it has 99 rows"),
        ("json", "[]", "it has no `inputs`"),
        ("json", "{", "it is no JSON"),
    ],
)
def test_a_reference_that_the_model_server_would_not_read_is_told(
    folder: Path, engine: Engine, ending: str, content: str, said: str
) -> None:
    why = said_of(folder, engine, "model.reference-usable", **{ending: content})
    assert said in why
    assert bool(why) is bool(said)


def test_of_other_models_the_sample_tells_what_a_reference_needs(folder: Path, engine: Engine) -> None:
    """The committed example's rows have 64 values, and no names."""
    (folder / "few.csv").write_text("a,b\n" + "1,2\n" * 100)
    model = {"format": "sklearn", "path": "model.skops", "sample": "sample.json"}
    few = broken(folder, manifest(folder, model=model | {"reference": "few.csv"}), engine)
    none = broken(folder, manifest(folder, model=model | {"reference": "none.csv"}), engine)
    assert "it has 2 columns, and a row of the sample has 64 values" in few["model.reference-usable"]
    assert "there is no file none.csv" in none["model.reference-usable"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"inputs": [[1, 2]]}, ""),
        ({"inputs": [{"length": 1, "width": 2}]}, ""),
        ({"inputs": {"length": [1]}}, "its request lacks width"),
        ({"inputs": [{"length": 1, "width": 2, "x": 3}]}, "has x, which the model does not take"),
        ({"instances": [[1, 2]]}, "its request has no `inputs`"),
    ],
)
def test_a_sample_that_does_not_fit_what_the_model_says_it_takes_is_told(
    folder: Path, engine: Engine, request_: Any, said: str
) -> None:
    why = said_of(folder, engine, "model.sample-present", request_)
    assert said in why
    assert bool(why) is bool(said)


def test_what_is_asked_of_a_reference_is_what_the_model_server_asks() -> None:
    assert (fitting.LEAST_ROWS, fitting.MOST_BYTES) == (reference.LEAST_ROWS, reference.MOST_BYTES)


def test_a_high_risk_needs_somebody_who_can_stop_it(folder: Path, engine: Engine) -> None:
    assert set(broken(folder, governance(folder, riskClass="high"), engine)) == {"evaluation.given"}
    why = broken(folder, governance(folder, riskClass="high", oversight=None), engine)
    assert set(why) == {"governance.oversight-named", "evaluation.given"}


def test_data_without_a_licence_is_named(folder: Path, engine: Engine) -> None:
    why = broken(folder, governance(folder, data=[{"name": "digits", "origin": "UCI"}]), engine)
    assert why["governance.data-declared"] == "it is not said under which licence digits can be used"
    assert "digits" in why["governance.personal-data-declared"]


def test_a_rule_may_ask_of_each_data_set(folder: Path, engine: Engine) -> None:
    """The policy of the how-to, of a project's own facts."""
    page = (EXAMPLE.parents[1] / "docs/how-to/write-a-policy.md").read_text()
    policy = load_policy(page.split("```yaml\n")[1].split("```")[0].encode(), engine=engine)
    sets = [{"name": "digits", "licence": "CC0"}, {"name": "letters", "origin": "UCI", "personalData": False}]
    facts = gather_submit_facts(folder, governance(folder, riskClass="high", data=sets), now=NOW)
    assert facts["data"]["sets"] == [
        {"name": "digits", "originNamed": False, "licence": "CC0"},
        {"name": "letters", "originNamed": True, "licence": "", "personalData": False},
    ]
    licensed, enough = engine.evaluate_sync([policy], "submit", facts)
    assert licensed.why == "nobody says under which licence letters may be used"
    assert enough.is_passed


@pytest.mark.parametrize("card", ["---\nlicense: [\n---\n", "no metadata", "\ufffd"])
def test_a_card_that_cannot_be_read_says_no_licence(card: str, folder: Path, engine: Engine) -> None:
    (folder / "README.md").write_text(card)
    said = governance(folder, data=[{"name": "digits", "origin": "UCI", "personalData": False}])
    assert "governance.licence-present" in broken(folder, said, engine)


@pytest.mark.parametrize("card", [b"---\nlicense: [\n---\n", b"\xff\xfe", b"---\nlicense: 5\n---\n"])
def test_a_card_that_cannot_be_read_is_refused(card: bytes, folder: Path, engine: Engine) -> None:
    (folder / "README.md").write_bytes(card)
    assert (
        "the card README.md cannot be read"
        in broken(folder, manifest(folder), engine)["governance.card-readable"]
    )


def test_a_card_that_is_no_file_is_refused_by_its_name(folder: Path, engine: Engine) -> None:
    why = broken(folder, manifest(folder, card="CARD.md"), engine)["governance.card-readable"]
    assert why == "there is no file CARD.md, which placet.yaml names as the card"


def test_of_a_card_it_is_told_which_sections_and_how_many_results_it_has(folder: Path) -> None:
    (folder / "README.md").write_text(
        "---\nmodel-index: [{results: [{metrics: [{type: f1, value: 1}]}]}]\n---\n## Limits\nNone known.\n## Use\n"
    )
    card = gather_submit_facts(folder, manifest(folder), now=NOW)["card"]
    assert (card["sections"], card["results"], card["words"]) == (["limits"], 1, 6)
    card = gather_submit_facts(folder, manifest(folder, card=None), now=NOW)["card"]
    assert (card["sections"], card["results"], card["words"]) == ([], 0, 0)


def test_a_project_needs_no_card(folder: Path, engine: Engine) -> None:
    assert broken(folder, manifest(folder, card=None), engine) == {}


def test_a_source_cannot_hide_a_file_from_the_rules(folder: Path, engine: Engine) -> None:
    (folder / ".placetignore").write_text("*.pkl\n")
    (folder / ".git").mkdir()
    for name in ("hidden.pkl", ".git/hidden.pkl"):
        (folder / name).write_bytes(pickle.dumps(eval))
        assert set(broken(folder, manifest(folder), engine)) == {"model.no-hostile-pickle"}
        (folder / name).unlink()


def test_nobodys_name_or_words_stand_outside_personal(folder: Path, engine: Engine) -> None:
    private = [
        "ada@secret.example",
        "bob@secret.example",
        "Secret purpose words",
        "Secret origin",
        "Eve Secret",
    ]
    said = governance(
        folder,
        owner=private[0],
        builders=[private[1]],
        purpose=private[2],
        data=[{"name": "digits", "origin": private[3]}],
        oversight={"owner": private[4], "stopOwner": private[4]},
        riskClass="high",
    )
    facts = gather_submit_facts(folder, said, now=NOW)
    personal = facts.pop("personal")
    assert all(words in json.dumps(personal) for words in private)
    assert "secret" not in json.dumps(facts).lower()
    verdicts = engine.evaluate_sync(SHIPPED, "submit", facts | {"personal": personal})
    assert "secret" not in str(verdicts).lower()


def test_the_same_project_gives_the_same_facts_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    first = gather_submit_facts(folder, manifest(folder), now=NOW)
    assert gather_submit_facts(other, manifest(other), now=NOW) == first
    assert json.loads(json.dumps(first)) == first


def test_the_example_that_mlflow_wrote_breaks_no_rule(engine: Engine) -> None:
    folder = EXAMPLE.parent / "progression"
    assert broken(folder, manifest(folder), engine) == {}


def trial(folder: Path, **changes: Any) -> Manifest:
    """The placet.yaml that is made for a folder of MLflow's that has none."""
    made = trial_manifest(folder)
    assert made is not None
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("name", ["iris", "visits", "iris-onnx", "iris-lightgbm"])
def test_a_folder_as_mlflow_writes_it_may_be_tried_out(name: str, engine: Engine) -> None:
    assert broken(MLFLOW / name, trial(MLFLOW / name), engine) == {}


def test_a_folder_of_mlflow_that_is_no_trial_is_asked_all_that_people_must_say(engine: Engine) -> None:
    assert set(broken(MLFLOW / "iris", initial_manifest(MLFLOW / "iris"), engine)) == {
        "governance.owner-named",
        "governance.purpose-stated",
        "governance.risk-class-declared",
        "governance.licence-present",
        "governance.data-declared",
        "model.sample-present",
    }


def test_a_trial_is_judged_by_its_files_as_everything_is(engine: Engine) -> None:
    why = broken(MLFLOW / "pickled", trial(MLFLOW / "pickled"), engine)
    assert why == {
        "model.pickle-by-exception": "model.pkl is written as pickle, and loading a pickle runs what is in it"
    }


def test_nothing_but_the_need_for_an_exception_keeps_a_folder_that_mlflow_itself_loads(
    engine: Engine,
) -> None:
    rule = "model.pickle-by-exception"
    folder = MLFLOW / "prices"
    why = broken(folder, trial(folder), engine)
    assert why == {rule: "only MLflow itself loads MLmodel, and its loader runs what the folder names"}
    found = engine.evaluate_sync(SHIPPED, "submit", gather_submit_facts(folder, trial(folder), now=NOW))
    [refusal] = [verdict for verdict in found if verdict.is_refusal]
    assert "`placet exception request" in (refusal.fix or "")
    assert not any(verdict.is_refusal for verdict in excepted(found, {rule: "exception:1"}))


def test_a_folder_whose_pickle_has_a_name_of_its_flavour_needs_an_exception_for_what_is_in_it(
    engine: Engine,
) -> None:
    folder = MLFLOW / "spending"
    facts = gather_submit_facts(folder, trial(folder), now=NOW)
    assert facts["scan"]["files"] == ["model.statsmodels"]
    assert "statsmodels.regression.linear_model.OLS" in facts["scan"]["unlisted"]
    assert (facts["scan"]["denied"], facts["scan"]["unreadable"]) == ([], [])
    found = engine.evaluate_sync(SHIPPED, "submit", facts)
    refusals = {verdict.rule: verdict.exceptable for verdict in found if verdict.is_refusal}
    assert refusals == {"model.pickle-by-exception": True, "model.pickle-names-listed": True}


def test_a_method_that_answers_no_rows_is_refused_with_those_that_do(tmp_path: Path, engine: Engine) -> None:
    folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / "iris"))
    document = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(document.replace("predict_fn: predict", "predict_fn: score"))
    said = broken(folder, trial(folder), engine)["model.code-complete"]
    fix = "save it with pyfunc_predict_fn=predict or predict_proba"
    assert said == f"model.skops cannot be served: its predict_fn 'score' answers no rows here; {fix}"


@pytest.mark.parametrize(
    "name", ["python_model.bin", "python_model.joblib", "model", "code/a.txt", ".git/model.ubj"]
)
def test_what_mlflow_itself_loads_is_scanned_under_every_name(
    name: str, tmp_path: Path, engine: Engine
) -> None:
    folder = Path(shutil.copytree(MLFLOW / "prices", tmp_path / "m"))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Runs(), protocol=0))
    assert "posix.system" in broken(folder, trial(folder), engine)["model.no-hostile-pickle"]


def test_the_file_of_pickled_code_is_a_pickle_whatever_it_is_called(tmp_path: Path, engine: Engine) -> None:
    folder = by_cloudpickle(tmp_path / "m", b"no pickle", platform.python_version())
    (folder / "python_model.pkl").rename(folder / "python_model.bin")
    document = (folder / "MLmodel").read_text().replace("python_model.pkl", "python_model.bin")
    (folder / "MLmodel").write_text(document)
    facts = gather_submit_facts(folder, trial(folder), now=NOW)
    assert [each.partition(":")[0] for each in facts["scan"]["unreadable"]] == ["python_model.bin"]


def of_skops(folder: Path, name: str, **said: Any) -> Path:
    """A folder for MLflow's loader of scikit-learn, with a file of skops that runs what it holds, under any name."""
    shutil.copytree(MLFLOW / "prices", folder)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    function = {"loader_module": "mlflow.sklearn", "model_path": name, "data": name}
    flavours = {
        "python_function": function,
        "sklearn": {"pickled_model": "MLmodel", "serialization_format": "skops"} | said,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(document | {"flavors": flavours}))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(skops.io.dumps(FunctionTransformer(partial(cProfile.run, "1"))))
    return folder


@pytest.mark.parametrize("name", ["weights", "model.pkl", "deep/model.ubj"])
def test_a_file_of_skops_is_judged_under_every_name(name: str, tmp_path: Path, engine: Engine) -> None:
    folder = of_skops(tmp_path / "m", name)
    said = {"format": "mlflow", "path": "."}
    why = broken(folder, trial(folder), engine)
    assert "functools.partial of cProfile.run" in why["model.skops-types-trusted"]
    (folder / "MLmodel").unlink()
    beside = gather_submit_facts(folder, manifest(EXAMPLE, model=said), now=NOW)
    assert "functools.partial of cProfile.run" in beside["scan"]["untrustedTypes"]


@pytest.mark.parametrize("trusted", [["functools.partial", "cProfile.run"], "cProfile.run"], ids=str)
@pytest.mark.parametrize("place", ["MLmodel", "deep/MLmodel"])
def test_no_model_has_skops_trust_what_the_platform_does_not(
    trusted: Any, place: str, tmp_path: Path, engine: Engine
) -> None:
    folder = of_skops(tmp_path / "m", "deep/weights")
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"]["sklearn"]["skops_trusted_types"] = trusted
    (folder / "deep/weights").unlink()
    (folder / "deep/weights").write_bytes(b"{}")
    (folder / place).write_text(yaml.safe_dump(document))
    facts = gather_submit_facts(folder, trial(folder), now=NOW)
    assert facts["scan"]["untrustedTypes"] == ["cProfile.run"]
    assert "cProfile.run" in broken(folder, trial(folder), engine)["model.skops-types-trusted"]


def test_what_the_platform_trusts_a_model_may_name_as_well_and_a_zip_of_another_kind_is_none_of_skops(
    tmp_path: Path,
) -> None:
    folder = of_skops(
        tmp_path / "m", "weights", skops_trusted_types=["sklearn.tree._tree.Tree", "numpy.log1p"]
    )
    with zipfile.ZipFile(folder / "weights", "w") as container:
        container.writestr("schema.json", '{"fields": []}')
    facts = gather_submit_facts(folder, trial(folder), now=NOW)
    assert (facts["scan"]["untrustedTypes"], facts["scan"]["unreadableTypes"]) == ([], [])


def test_a_second_document_of_mlflow_that_cannot_be_read_may_have_skops_trust_anything(
    tmp_path: Path,
) -> None:
    folder = of_skops(tmp_path / "m", "deep/weights")
    (folder / "deep/MLmodel").write_text("flavors: [")
    assert "deep/MLmodel" in gather_submit_facts(folder, trial(folder), now=NOW)["scan"]["unreadableTypes"]


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def by_cloudpickle(folder: Path, content: bytes, python: str) -> Path:
    """A folder as MLflow writes it for a class of a notebook."""
    shutil.copytree(MLFLOW / "prices", folder)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    said = {
        "loader_module": "mlflow.pyfunc.model",
        "python_model": "python_model.pkl",
        "python_version": python,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(document | {"flavors": {"python_function": said}}))
    (folder / "python_model.pkl").write_bytes(content)
    return folder


def test_a_pickle_of_code_is_for_people_to_judge_who_are_told_what_is_in_it(
    tmp_path: Path, engine: Engine
) -> None:
    code = by_cloudpickle(tmp_path / "m", cloudpickle.dumps(lambda: Path()), platform.python_version())
    facts = gather_submit_facts(code, trial(code), now=NOW)
    assert facts["model"]["problems"] == []
    assert facts["scan"]["denied"] == []
    assert "cloudpickle.cloudpickle._make_function" in facts["scan"]["unlisted"]
    found = engine.evaluate_sync(SHIPPED, "submit", facts)
    refusals = {verdict.rule: verdict.exceptable for verdict in found if verdict.is_refusal}
    assert refusals == {"model.pickle-by-exception": True, "model.pickle-names-listed": True}
    (code / "other.pkl").write_bytes(cloudpickle.dumps(lambda: Path()))
    beside = gather_submit_facts(code, trial(code), now=NOW)
    assert "cloudpickle.cloudpickle._make_function" in beside["scan"]["denied"]
    hostile = by_cloudpickle(tmp_path / "h", pickle.dumps(os.system), platform.python_version())
    assert gather_submit_facts(hostile, trial(hostile), now=NOW)["scan"]["denied"] == ["posix.system"]


def test_a_pickle_of_code_that_another_python_wrote_cannot_be_loaded(tmp_path: Path, engine: Engine) -> None:
    folder = by_cloudpickle(tmp_path / "m", pickle.dumps(1), "3.8.20")
    here = ".".join(platform.python_version_tuple()[:2])
    assert broken(folder, trial(folder), engine)["model.code-complete"] == (
        f"MLmodel cannot be served: python_model.pkl has code that Python 3.8 pickled, and Python {here} would load it"
    )


def test_mlflows_file_is_scanned_wherever_its_document_says_it_lies(tmp_path: Path, engine: Engine) -> None:
    folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / "m"))
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(pickle.dumps(eval))
    document = (folder / "MLmodel").read_text().replace("model.skops", "model.pkl")
    (folder / "MLmodel").write_text(document)
    assert set(broken(folder, trial(folder), engine)) == {
        "model.no-hostile-pickle",
        "model.pickle-by-exception",
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("flavors: {keras: {data: data}}", "MLmodel has keras, of which none has"),
        (
            "flavors: {python_function: {loader_module: m, data: gone}}",
            "there is no gone, which MLmodel says is loaded",
        ),
        (
            "flavors: {sklearn: {pickled_model: ../../etc/passwd}}",
            "is not a path inside the project's folder",
        ),
        ("flavors: {sklearn: &a {x: *a}}", "aliases (`*name`) are not read"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused_by_one_rule_that_says_why(
    document: str, said: str, tmp_path: Path, engine: Engine
) -> None:
    folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / "m"))
    made = trial(folder)
    (folder / "MLmodel").write_text(document)
    why = broken(folder, made, engine)
    assert set(why) == {"model.file-matches"}
    assert said in why["model.file-matches"]


def test_a_folder_that_is_called_something_else_is_named(tmp_path: Path, engine: Engine) -> None:
    made = trial(MLFLOW / "iris", model=Model(format="sklearn", path="."))
    assert broken(MLFLOW / "iris", made, engine) == {
        "model.file-matches": ". looks like mlflow, and placet.yaml calls it sklearn"
    }
    gone = trial(MLFLOW / "iris", model=Model(format="mlflow", path="gone"))
    assert set(broken(MLFLOW / "iris", gone, engine)) == {"model.file-matches"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"access": "public"}, "trial.confined"),
        ({"resources": Resources(replicas=Replicas(max=2))}, "trial.confined"),
        ({"resources": Resources(gpu=1)}, "trial.confined"),
        ({"governance": Governance(trial=True, risk_class="high")}, "trial.not-of-high-risk"),
    ],
    ids=str,
)
def test_what_a_trial_must_not_be(changes: dict[str, Any], rule: str, engine: Engine) -> None:
    assert set(broken(MLFLOW / "iris", trial(MLFLOW / "iris", **changes), engine)) == {rule}


def test_a_trial_with_a_sample_has_to_have_its_answer(folder: Path, engine: Engine) -> None:
    (folder / "sample.json").write_text('{"request": {}}')
    said = governance(folder, trial=True)
    assert set(broken(folder, said, engine)) == {"model.sample-present", "trial.confined"}


def image(**changes: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "project": "churn",
        "cleared_source": DIGESTS[0],
        "image": DIGESTS[1],
        "source": DIGESTS[0],
        "format": "sklearn",
        "lock": DIGESTS[2],
        "base": "none",
        "python": "cp311",
        "builder": "0.1.0",
        "now": NOW,
    }
    return gather_certify_facts(**(said | changes))


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, set()),
        ({"source": DIGESTS[2]}, {"image.built-from-cleared-source"}),
        ({"format": ""}, {"image.labels-complete"}),
        ({"lock": ""}, {"image.labels-complete"}),
        ({"base": "python:3.11"}, {"image.base-known"}),
        ({"base": f"python@{DIGESTS[0]}"}, set()),
        ({"base": f"python@{DIGESTS[0]}", "known_bases": ["debian"]}, {"image.base-known"}),
        (
            dict.fromkeys(("source", "format", "lock", "base", "python", "builder"), ""),
            {"image.built-from-cleared-source", "image.labels-complete", "image.base-known"},
        ),
    ],
    ids=lambda names: ",".join(sorted(names)) or "nothing",
)
def test_an_image_is_judged_by_its_labels(changes: dict[str, Any], rules: set[str], engine: Engine) -> None:
    found = engine.evaluate_sync(
        SHIPPED,
        "certify",
        image(**changes)
        | {
            "advisories": {"snapshot": DIGESTS[0], "taken": "2026-11-22", "ageDays": 1, "found": []},
            "contents": contained({DIGESTS[0]: b'{"bomFormat": "CycloneDX"}'}),
        },
    )
    assert {verdict.rule for verdict in found if not verdict.is_passed} == rules
    assert all(verdict.result != "indeterminate" for verdict in found)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0] * 63], "its row 0 has 63 values, and the model takes 64"),
        ([[1.0] * 64, [1.0] * 65], "its row 1 has 65 values, and the model takes 64"),
        ([1.0], "its row 0 is no list of 64 values"),
    ],
)
def test_a_sample_of_another_width_than_the_model_learned_from_is_told(
    folder: Path, engine: Engine, rows: Any, said: str
) -> None:
    (folder / "sample.json").write_text(json.dumps({"request": {"inputs": rows}, "response": {}}))
    found = broken(folder, manifest(folder), engine)
    assert found == {"model.sample-present": f"the sample request sample.json does not fit the model: {said}"}


def test_a_pin_that_is_not_the_version_that_saved_the_model_is_warned_of(
    folder: Path, engine: Engine
) -> None:
    pins = (folder / "requirements.txt").read_text().splitlines()
    (folder / "requirements.txt").write_text("scikit-learn==1.8.0\n")
    assert any(pin.startswith("scikit-learn==1.9.1") for pin in pins)
    assert broken(folder, manifest(folder), engine) == {
        "build.saved-versions": "requirements.txt asks for scikit-learn==1.8.0, and model.skops was saved with 1.9.1"
    }
    assert refused(folder, manifest(folder), engine) == set()


_AGE, _NAME, _POINT = ("age", "INT64", ()), ("name", "BYTES", ()), ("point", "FP64", (2,))


@pytest.mark.parametrize(
    ("inputs", "rows", "said"),
    [
        ([_AGE, _NAME], [[1, "a"], [2, "b"]], None),
        ([_AGE, _NAME], [{"age": 1, "name": "a"}], None),
        ([_AGE, _NAME], {"age": [[1], [2]], "name": ["a", "b"]}, None),
        ([_AGE], [1, 2], None),
        ([_AGE], [[1], [2]], None),
        ([_AGE, _POINT], [[1, [0, 0.5]]], None),
        ([_POINT], [[0, 0.5]], None),
        ([_AGE, _NAME], [[1, 2]], "its row 0, name, is not a text"),
        (
            [_AGE, _NAME],
            [{"age": 1, "name": "a"}, {"age": 1.5, "name": "b"}],
            "its row 1, age, is not a whole number",
        ),
        ([_AGE, _NAME], {"age": ["1"], "name": ["a"]}, "its row 0, age, is not a number"),
        ([_AGE, _NAME], {"age": [1, 2], "name": ["a"]}, "its columns differ in length"),
        ([_AGE, _NAME], {"age": 1, "name": ["a"]}, "its column age is no list of values"),
        ([_AGE, _NAME], [[1]], "its row 0 has 1 values, and the model takes 2"),
        ([_AGE, _NAME], [{"age": 1, "nam": "a"}], "its request lacks name"),
        ([_AGE], [[1, 2]], "its row 0, age, is no single value"),
        ([_AGE], [True], "its row 0, age, is not a number"),
        ([_POINT], [[0, 0.5, 1]], "its row 0, point, is no list of 2 values"),
    ],
)
def test_a_sample_is_refused_beforehand_exactly_where_the_model_server_refuses_it(
    inputs: list[tuple[str, str, tuple[int, ...]]], rows: Any, said: str | None
) -> None:
    names = frozenset(name for name, _, _ in inputs)
    in_order = tuple(fitting.Input(name=name, datatype=kind, shape=shape) for name, kind, shape in inputs)
    taken = fitting.Inputs(names=names, required=names, in_order=in_order)
    tensors = tuple(Tensor(name=name, datatype=kind, shape=(-1, *shape)) for name, kind, shape in inputs)
    codec = PlainCodec(Signature(platform="x", inputs=tensors, outputs=tensors, prediction=None))

    problems = fitting.sample_problems({"inputs": rows}, taken)

    assert problems[:1] == ([] if said is None else [said])
    if said is None:
        codec.decode(json.dumps({"inputs": rows}).encode())
    else:
        with pytest.raises(Problem):
            codec.decode(json.dumps({"inputs": rows}).encode())


def test_a_booster_is_asked_by_the_names_in_its_own_file(tmp_path: Path, engine: Engine) -> None:
    wine = Path(shutil.copytree(EXAMPLE.parent / "wine", tmp_path / "wine"))
    (wine / "reference.csv").write_text("alcohol,acid\n" + "1,2\n" * 100)
    (wine / "sample.json").write_text('{"request": {"inputs": [[1, 2]]}, "response": {"outputs": [1, 2]}}')
    model = {"format": "xgboost", "path": "model.ubj", "sample": "sample.json", "reference": "reference.csv"}
    found = broken(wine, manifest(wine, model=model), engine)
    assert "its row 0 has 2 values, and the model takes 13" in found["model.sample-present"]
    assert "`outputs` of its response has 2 entries, and the request 1 rows" in found["model.sample-present"]
    assert "its header lacks" in found["model.reference-usable"]


def test_what_a_projects_own_server_takes_no_file_of_its_model_says(folder: Path, engine: Engine) -> None:
    (folder / "sample.json").write_text('{"request": {"inputs": [[1]]}, "response": [1]}')
    said = manifest(folder, build={"dockerfile": "Dockerfile"})
    (folder / "Dockerfile").write_text("FROM busybox@sha256:" + "a" * 64)
    assert "model.sample-present" in broken(folder, manifest(folder), engine)
    assert "model.sample-present" not in broken(folder, said, engine, dockerfiles=True)
