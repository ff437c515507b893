"""How each server is given a model, started, asked, and read.

All get one process for one model, and whatever threads they come with. Those that speak the Open Inference Protocol
get the very same requests; the others have forms of their own. MLServer runs without its pool of workers, with which
it is slower here. MLServer and BentoML run once as they come and once with their own adaptive batching.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.runtime import environments
from benchmarks.runtime.models import Trained

PLACET, BARE = "placet", "bare Starlette"
PEERS = Path(__file__).with_name("peers")
DATATYPES = {"sklearn": "FP64", "xgboost": "FP32"}


@dataclass(frozen=True, kw_only=True)
class Server:
    name: str
    command: list[str]
    folder: Path
    port: int
    ready: str
    path: str
    bodies: list[bytes]
    """A request for each row of the model's."""
    read: tuple[str | int, ...]
    """The way to the list of answers in what it sends back."""
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        programs = Path(self.command[0]).parent
        return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **self.variables}

    def answer(self, body: bytes) -> int:
        document: Any = json.loads(body)
        for step in self.read:
            document = document[step]
        (answer,) = document
        return int(answer)


def servers(model: Trained, folder: Path, ports: Iterator[int]) -> Iterator[Server]:
    yield _placet(model, _made(folder / "placet"), next(ports))
    yield _bare(model, _made(folder / "bare"), next(ports))
    for name, batching in (
        ("MLServer", {}),
        ("MLServer with batching", {"max_batch_size": 64, "max_batch_time": 0.001}),
    ):
        yield _mlserver(name, model, _made(folder / name.replace(" ", "-")), batching, ports)
    yield _mlflow(model, _made(folder / "mlflow"), next(ports))
    for name, batched in (("BentoML", "no"), ("BentoML with batching", "yes")):
        yield _bentoml(name, model, _made(folder / name.replace(" ", "-")), batched, next(ports))
    yield _kserve(model, _made(folder / "kserve"), next(ports))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _placet(model: Trained, root: Path, port: int) -> Server:
    """As the builder lays an image out: with a sample, and a reference that what it is asked is compared with."""
    project = _made(root / "project")
    (project / model.file.name).write_bytes(model.file.read_bytes())
    (project / "reference.json").write_text(json.dumps({"inputs": model.reference}))
    (project / "sample.json").write_text(json.dumps({"request": {"inputs": model.rows[:1]}}))
    image = {"project": "model", "format": model.format, "path": model.file.name, "pickle": True}
    (root / "placet.json").write_text(
        json.dumps({**image, "sample": "sample.json", "reference": "reference.json"})
    )
    python = str(environments.programs("placet") / "python")
    return Server(
        name=PLACET,
        command=[python, "-m", "placet.runtime", "--root", str(root), "--port", str(port)],
        folder=root,
        port=port,
        ready="/v2/health/ready",
        path="/v2/models/model/infer",
        bodies=_protocol(model),
        read=("outputs", 0, "data"),
        variables={"PYTHONPATH": str(environments.CHECKOUT / "runtime" / "src")},
    )


def _bare(model: Trained, folder: Path, port: int) -> Server:
    uvicorn = str(environments.programs("starlette") / "uvicorn")
    return Server(
        name=BARE,
        command=[uvicorn, "benchmarks.runtime.peers.bare:app", "--port", str(port), "--no-access-log"],
        folder=folder,
        port=port,
        ready="/ready",
        path="/predict",
        bodies=[_encoded({"inputs": [row]}) for row in model.rows],
        read=("outputs",),
        variables=_for_ours(model),
    )


def _mlserver(
    name: str, model: Trained, folder: Path, batching: Mapping[str, object], ports: Iterator[int]
) -> Server:
    port = next(ports)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": next(ports),
        "metrics_port": next(ports),
        "parallel_workers": 0,
        "debug": False,
    }
    kinds = {"sklearn": "mlserver_sklearn.SKLearnModel", "xgboost": "mlserver_xgboost.XGBoostModel"}
    served = {
        "name": "model",
        "implementation": kinds[model.format],
        "parameters": {"uri": str(model.file)},
        **batching,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(served))
    return Server(
        name=name,
        command=[str(environments.programs("mlserver") / "mlserver"), "start", str(folder)],
        folder=folder,
        port=port,
        ready="/v2/models/model/ready",
        path="/v2/models/model/infer",
        bodies=_protocol(model),
        read=("outputs", 0, "data"),
    )


def _mlflow(model: Trained, folder: Path, port: int) -> Server:
    mlflow = str(environments.programs("mlflow") / "mlflow")
    return Server(
        name="MLflow",
        command=[
            *(mlflow, "models", "serve", "--model-uri", str(model.mlflow), "--env-manager", "local"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        ],
        folder=folder,
        port=port,
        ready="/ping",
        path="/invocations",
        bodies=[_encoded({"inputs": [row]}) for row in model.rows],
        read=("predictions",),
        variables={"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "false"},
    )


def _bentoml(name: str, model: Trained, folder: Path, batched: str, port: int) -> Server:
    bentoml = str(environments.programs("bentoml") / "bentoml")
    return Server(
        name=name,
        command=[
            *(bentoml, "serve", "benchmarks.runtime.peers.bento:Served", "--host", "127.0.0.1"),
            *("--port", str(port), "--working-dir", str(environments.CHECKOUT)),
        ],
        folder=folder,
        port=port,
        ready="/readyz",
        path="/predict",
        bodies=[_encoded({"inputs": [row]}) for row in model.rows],
        read=(),
        variables={
            **_for_ours(model),
            "BATCHED": batched,
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_CONFIG_OPTIONS": "services.Served.logging.access.enabled=false",
            "BENTOML_HOME": str(folder),
        },
    )


def _kserve(model: Trained, folder: Path, port: int) -> Server:
    python = str(environments.programs("kserve") / "python")
    return Server(
        name="KServe",
        command=[
            *(python, "-m", "benchmarks.runtime.peers.on_kserve", "--http_port", str(port)),
            *("--enable_grpc", "False", "--enable_latency_logging", "False", "--workers", "1"),
        ],
        folder=folder,
        port=port,
        ready="/v2/models/model/ready",
        path="/v2/models/model/infer",
        bodies=_protocol(model, outputs=()),  # it has one and refuses to be told its name
        read=("outputs", 0, "data"),
        variables=_for_ours(model),
    )


def _for_ours(model: Trained) -> dict[str, str]:
    return {"PYTHONPATH": str(environments.CHECKOUT), "MODEL": str(model.file)}


def _protocol(model: Trained, *, outputs: tuple[str, ...] = ("predict",)) -> list[bytes]:
    """For the outputs named; for all of a server's, where none are."""
    columns = len(model.rows[0])
    given = {"name": "input-0", "shape": [1, columns], "datatype": DATATYPES[model.format]}
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    return [_encoded({"inputs": [{**given, "data": row}], **wanted}) for row in model.rows]


def _encoded(document: object) -> bytes:
    return json.dumps(document).encode()
