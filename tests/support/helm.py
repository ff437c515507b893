"""Charts, rendered by Helm's own library in a process of its own: what is written in Go keeps its threads and signals.

As a program it answers one question, in JSON on standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools import workspace

CHART = workspace.ROOT / "deploy" / "helm" / "placet"
EXAMPLES = workspace.ROOT / "deploy" / "helm" / "examples"
RELEASE = NAMESPACE = "placet"

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """`documents` are all objects, `notes` what is told to who installs it; or `refused` says why it is not."""

    documents: Sequence[Document] = ()
    notes: str = ""
    refused: str = ""

    def all(self, kind: str) -> list[Document]:
        return [each for each in self.documents if each["kind"] == kind]

    def the(self, kind: str, name: str, namespace: str | None = None) -> Document:
        (found,) = [
            each
            for each in self.all(kind)
            if each["metadata"]["name"] == name
            and namespace in (None, each["metadata"].get("namespace", namespace))
        ]
        return found


def rendered(
    values: Mapping[str, Any] | None = None, *, release: str = RELEASE, upgrade: bool = False
) -> Rendered:
    return _rendered(json.dumps(values or {}), release, upgrade)


@cache
def _rendered(values: str, release: str, upgrade: bool) -> Rendered:
    answer = _asked({"verb": "render", "values": json.loads(values), "release": release, "upgrade": upgrade})
    if "refused" in answer:
        return Rendered(refused=answer["refused"])
    texts: dict[str, str] = answer["texts"]
    notes = texts.pop("placet/templates/NOTES.txt")
    documents = [
        each for text in texts.values() for each in yaml.safe_load_all(text) if isinstance(each, dict)
    ]
    return Rendered(documents=documents, notes=notes)


def example(name: str) -> Document:
    """The values of one."""
    values: Document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return values


def linted(values: Mapping[str, Any]) -> Document:
    """What Helm says of the chart with these values."""
    return _asked({"verb": "lint", "values": values})


def changed(verb: str, values: Mapping[str, Any], *, namespace: str, configuration: Path) -> None:
    """Install, upgrade or uninstall the release in the cluster of that kubeconfig."""
    _asked({"verb": verb, "values": values, "namespace": namespace, "configuration": str(configuration)})


def _asked(question: Mapping[str, Any]) -> Document:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.helm"],
        input=json.dumps(question),
        cwd=workspace.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: Document = json.loads(done.stdout)
    return answer


# In the process that has the library.


def _answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
    import helm_python

    match question["verb"]:
        case "render":
            with helm_python.Chart.load(CHART) as chart:
                try:
                    texts = chart.render(
                        question["values"],
                        name=question["release"],
                        namespace=NAMESPACE,
                        is_install=not question["upgrade"],
                        is_upgrade=question["upgrade"],
                    )
                except (helm_python.HelmValuesError, helm_python.HelmRenderError) as error:
                    return {"refused": str(error)}
            return {"texts": texts}
        case "lint":
            return helm_python.lint(CHART, question["values"])
        case verb:
            namespace, file = question["namespace"], question["configuration"]
            with helm_python.Config(kubeconfig_path=file, namespace=namespace) as cluster:
                match verb:
                    case "install":
                        cluster.install(CHART, RELEASE, question["values"], namespace=namespace)
                    case "upgrade":
                        cluster.upgrade(CHART, RELEASE, question["values"], namespace=namespace)
                    case "uninstall":
                        cluster.uninstall(RELEASE)
            return {}


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
