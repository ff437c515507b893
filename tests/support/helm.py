"""Charts, rendered by Helm's own library in a process of its own: what is written in Go keeps its threads and signals.

As a program it answers questions on standard input, a JSON list, with as many answers.
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
    question = {"values": json.loads(values), "release": release, "upgrade": upgrade}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.helm"],
        input=json.dumps([question]),
        cwd=workspace.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
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


def changed(verb: str, values: Mapping[str, Any], *, namespace: str, configuration: Path) -> None:
    """Install, upgrade or uninstall the release in the cluster of that kubeconfig."""
    question = {"verb": verb, "values": values, "namespace": namespace, "configuration": str(configuration)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.helm"],
        input=json.dumps([question]),
        cwd=workspace.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _changed(question: Mapping[str, Any]) -> Mapping[str, Any]:
    import helm_python

    namespace = question["namespace"]
    with helm_python.Config(kubeconfig_path=question["configuration"], namespace=namespace) as cluster:
        match question["verb"]:
            case "install":
                cluster.install(CHART, RELEASE, question["values"], namespace=namespace)
            case "upgrade":
                cluster.upgrade(CHART, RELEASE, question["values"], namespace=namespace)
            case "uninstall":
                cluster.uninstall(RELEASE)
    return {}


def _answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
    import helm_python

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


if __name__ == "__main__":
    json.dump([(_changed if "verb" in each else _answer)(each) for each in json.load(sys.stdin)], sys.stdout)
