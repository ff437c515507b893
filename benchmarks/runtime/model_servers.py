"""The runtime beside MLServer and the MLflow scoring server: one process each, one model, one row a request.

    python -m benchmarks.runtime.model_servers

Every server runs from a virtual environment of its own (made once, under build/bench/venvs) with the same
scikit-learn, the same fitted pipeline and the thread counts it comes with. They run side by side and are asked in
turn, in rounds, by a process that only makes load, so that whatever else the machine does disturbs all of them.
The runtime and MLServer get the very same request; MLflow's has a form of its own. MLServer runs without its pool
of workers, with which it is slower here, once as it comes and once with its own adaptive batching.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CHECKOUT = Path(__file__).parents[2]
VENVS = CHECKOUT / "build" / "bench" / "venvs"
SKLEARN = "scikit-learn==1.9.1"
ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = (1, 16)
GOALS = {1: 1.3, 16: 4.0}

PROTOCOL = {
    "inputs": [{"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}],
    "outputs": [{"name": "predict"}],
}
TRAIN = """
import sys, joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*load_iris(return_X_y=True))
joblib.dump(model, sys.argv[1])
"""
TO_MLFLOW = """
import sys, joblib, mlflow.sklearn
mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], pip_requirements=[])
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    name: str
    command: list[str]
    folder: Path
    port: int
    ready: str
    path: str
    body: bytes


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as made, contextlib.ExitStack() as running:
        servers = _servers(Path(made))
        ready = {server.name: running.enter_context(_running(server)) for server in servers}
        measured: dict[tuple[str, int], list[dict[str, float]]] = {}
        for server in servers:
            _load(server, 4, 1.0)
        for _ in range(ROUNDS):
            for connections in CONNECTIONS:
                for server in servers:
                    measured.setdefault((server.name, connections), []).append(
                        _load(server, connections, SECONDS)
                    )
    return _rows(servers, ready, measured)


def _rows(
    servers: list[Server], ready: dict[str, float], measured: dict[tuple[str, int], list[dict[str, float]]]
) -> list[Row]:
    rows: list[Row] = []
    ours, *peers = (server.name for server in servers)
    for connections in CONNECTIONS:
        where = f"{connections} connection{'s' if connections > 1 else ''}"
        rates: dict[str, float] = {}
        for server in servers:
            runs = measured[server.name, connections]
            rates[server.name] = statistics.median(one["requests"] / one["seconds"] for one in runs)
            rows.append(
                _row(f"model server: {server.name}, {where}", round(rates[server.name]), "requests/s")
            )
            p99 = statistics.median(one["p99"] for one in runs)
            rows.append(_row(f"model server: {server.name}, {where}, p99", round(p99, 2), "ms"))
        ratio = rates[ours] / max(rates[peer] for peer in peers)
        goal = GOALS[connections]
        rows.append(
            {
                "name": f"model server: {ours} beside the best peer, {where}",
                "value": round(ratio, 2),
                "unit": "x",
                "goal": goal,
                "met": ratio >= goal,
            }
        )
    rows += [
        _row(f"model server: {name}, ready after", round(seconds, 1), "s") for name, seconds in ready.items()
    ]
    return rows


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": value, "unit": unit, "goal": None, "met": None}


def _servers(made: Path) -> list[Server]:
    ours = _venv("runtime", SKLEARN, "joblib", "--editable", str(CHECKOUT / "runtime"))
    mlserver = _venv("mlserver", SKLEARN, "mlserver", "mlserver-sklearn")
    mlflow = _venv("mlflow", SKLEARN, "mlflow")

    root = made / "placet"
    artifact = root / "project" / "model.joblib"
    artifact.parent.mkdir(parents=True)
    _run(ours / "python", "-c", TRAIN, str(artifact))
    (root / "placet.json").write_text(
        json.dumps({"project": "iris", "format": "sklearn", "path": "model.joblib"})
    )
    _run(mlflow / "python", "-c", TO_MLFLOW, str(artifact), str(made / "mlflow"))
    ports = iter(_free_ports(8))
    port = next(ports)
    servers = [
        Server(
            name="placet.runtime",
            command=[str(ours / "python"), "-m", "placet.runtime", "--root", str(root), "--port", str(port)],
            folder=root,
            port=port,
            ready="/v2/health/ready",
            path="/v2/models/iris/infer",
            body=json.dumps(PROTOCOL).encode(),
        )
    ]
    for name, batching in (
        ("MLServer", {}),
        ("MLServer with batching", {"max_batch_size": 64, "max_batch_time": 0.001}),
    ):
        folder = made / name.replace(" ", "-")
        folder.mkdir()
        port = next(ports)
        (folder / "settings.json").write_text(
            json.dumps(
                {
                    "host": "127.0.0.1",
                    "http_port": port,
                    "grpc_port": next(ports),
                    "metrics_port": next(ports),
                    "parallel_workers": 0,
                    "debug": False,
                }
            )
        )
        (folder / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": "iris",
                    "implementation": "mlserver_sklearn.SKLearnModel",
                    "parameters": {"uri": str(artifact)},
                    **batching,
                }
            )
        )
        servers.append(
            Server(
                name=name,
                command=[str(mlserver / "mlserver"), "start", str(folder)],
                folder=folder,
                port=port,
                ready="/v2/models/iris/ready",
                path="/v2/models/iris/infer",
                body=json.dumps(PROTOCOL).encode(),
            )
        )
    port = next(ports)
    servers.append(
        Server(
            name="MLflow",
            command=[
                *(str(mlflow / "mlflow"), "models", "serve", "--model-uri", str(made / "mlflow")),
                *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ],
            folder=made,
            port=port,
            ready="/ping",
            path="/invocations",
            body=json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2]]}).encode(),
        )
    )
    return servers


def _venv(name: str, *packages: str) -> Path:
    """The folder of its programs; made once."""
    folder = VENVS / name
    programs = folder / "bin"
    uv = [sys.executable, "-m", "uv"]
    if not (folder / "complete").exists():
        _run(*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _run(*uv, "pip", "install", "--quiet", "--python", str(programs / "python"), *packages)
        (folder / "complete").touch()
    return programs


@contextlib.contextmanager
def _running(server: Server) -> Iterator[float]:
    """Gives the seconds until it was ready."""
    log = server.folder / f"{server.port}.log"
    started = time.perf_counter()
    environment = {**os.environ, "PATH": f"{Path(server.command[0]).parent}:{os.environ['PATH']}"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- a command of ours
            server.command,
            cwd=server.folder,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    try:
        while not _answers(server):
            if process.poll() is not None or time.perf_counter() - started > 120:
                raise RuntimeError(f"{server.name} does not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.05)  # noqa: TID251 -- a script that waits for another program
        yield time.perf_counter() - started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def _answers(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.ready}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _load(server: Server, connections: int, seconds: float) -> dict[str, float]:
    maker = Path(__file__).with_name("load.py")
    arguments = ["127.0.0.1", str(server.port), server.path, str(connections), str(seconds)]
    done = subprocess.run(  # noqa: S603 -- a command of ours
        [sys.executable, str(maker), *arguments], input=server.body, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{server.name}: {done.stderr.decode()[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- a command of ours


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    for row in run():
        goal = "" if row["goal"] is None else f"  goal {row['goal']}: {'met' if row['met'] else 'missed'}"
        print(f"{row['name']:<58} {row['value']:>9} {row['unit']}{goal}")  # noqa: T201 -- the result of a script
