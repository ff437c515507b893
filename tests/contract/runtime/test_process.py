"""The runtime as a process: how it starts, refuses to start, is busy, and ends."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import joblib
import pytest

from tests.contract.runtime.conftest import adder
from tests.contract.runtime.serving import Served, command, image, serving
from tests.support.eventually import eventually

# A model whose every call waits until the test opens a gate, and which writes down what it was asked.
GATED = """
import json
from pathlib import Path

class Gated:
    n_features_in_ = 1

    def predict(self, rows):
        with Path("calls").open("a") as calls:
            calls.write(json.dumps(rows[:, 0].tolist()) + "\\n")
        if not Path("open").exists():
            Path("gate").read_bytes()
        if (rows < 0).any():
            raise ValueError("below zero")
        if (rows > 1000).any():
            raise OSError("a thousand is too much")
        return rows[:, 0] * 2
"""


class Gate:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "gated.py").write_text(GATED)
        (folder / "model.joblib").write_bytes(b"cgated\nGated\n(tR.")  # a pickle of Gated()
        os.mkfifo(folder / "gate")

    @property
    def calls(self) -> list[list[float]]:
        path = self._folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def open(self) -> None:
        """For good; only while a call waits at it."""
        (self._folder / "open").touch()
        (self._folder / "gate").write_bytes(b"")


Ask = Callable[[float], Awaitable[httpx.Response]]


class Gated:
    """A served gated model with one call already waiting at the gate."""

    def __init__(self, served: Served, gate: Gate, client: httpx.AsyncClient) -> None:
        self.served = served
        self.gate = gate
        self.client = client
        self.first = self.ask(1)

    def ask(self, value: float) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(self.client.post("/predict", json={"inputs": [[value]]}))

    async def waiting(self, count: int) -> None:
        """Until so many requests were accepted and not answered; the asking one is counted as well."""

        async def so_many() -> bool:
            metrics = (await self.client.get("/metrics")).text
            return f"placet_model_requests_in_flight {count + 1}.0" in metrics

        await eventually(so_many)


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[Gated]:
    root = image(tmp_path, project="gated", format="sklearn", path="model.joblib", pickle=True)
    gate = Gate(root / "project")
    with serving(root, {"PLACET_MAX_WAITING": "6"}) as served:
        async with httpx.AsyncClient(base_url=f"http://{served.address}", timeout=60) as client:
            running = Gated(served, gate, client)
            await eventually(lambda: gate.calls == [[1.0]])  # it has to start first
            yield running


async def test_what_comes_while_the_model_is_busy_becomes_one_call(gated: Gated) -> None:
    more = [gated.ask(value) for value in (2, 3, 4, 5)]
    await gated.waiting(5)

    gated.gate.open()

    answers = [(await asked).json()["outputs"] for asked in (gated.first, *more)]
    assert answers == [[2.0], [4.0], [6.0], [8.0], [10.0]]
    assert len(gated.gate.calls) == 2
    assert sorted(gated.gate.calls[1]) == [2.0, 3.0, 4.0, 5.0]


async def test_a_bad_row_fails_only_its_own_request(gated: Gated) -> None:
    good, bad, worse = gated.ask(2), gated.ask(-1), gated.ask(1001)
    await gated.waiting(4)

    gated.gate.open()

    assert (await good).json() == {"outputs": [4.0]}
    assert (await bad).status_code == 422
    assert (await bad).json()["detail"] == "the model refuses these inputs: below zero"
    assert (await worse).status_code == 500
    assert "a thousand" not in (await worse).text
    assert any("a thousand is too much" in str(event.get("traceback")) for event in gated.served.events())


async def test_a_full_queue_says_when_to_come_back(gated: Gated) -> None:
    waiting = [gated.ask(value) for value in range(6)]
    await gated.waiting(7)

    refused = await gated.ask(7)

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    gated.gate.open()
    assert [(await asked).status_code for asked in waiting] == [200] * 6


async def test_who_waits_or_computes_for_too_long_is_told_so(tmp_path: Path) -> None:
    root = image(tmp_path, project="gated", format="sklearn", path="model.joblib", pickle=True)
    gate = Gate(root / "project")
    with serving(root, {"PLACET_ANSWER_SECONDS": "5", "PLACET_MAX_BATCH_ROWS": "1"}) as served:
        async with httpx.AsyncClient(base_url=f"http://{served.address}", timeout=60) as client:
            running = Gated(served, gate, client)
            await eventually(lambda: gate.calls == [[1.0]])  # it has to start first

            waited = await running.ask(2)
            computed = await running.first

            assert computed.status_code == 504
            assert computed.json()["detail"] == "the model did not answer within 5 s"
            assert waited.status_code == 503
            assert waited.headers["retry-after"] == "1"
            assert waited.json()["detail"] == "the model was busy for 5 s, and was not asked"
            gate.open()
            assert (await running.ask(3)).json() == {"outputs": [6.0]}
            assert gate.calls == [[1.0], [3.0]]


async def test_bodies_that_wait_take_no_more_memory_than_they_may(tmp_path: Path) -> None:
    root = image(tmp_path, project="gated", format="sklearn", path="model.joblib", pickle=True)
    gate = Gate(root / "project")
    rows = 1000
    body = json.dumps({"inputs": [[2.0]] * rows}).encode()
    room = {"PLACET_MAX_BODY": str(len(body)), "PLACET_MAX_BODIES": str(3 * len(body) + 100)}
    with serving(root, room) as served:
        async with httpx.AsyncClient(base_url=f"http://{served.address}", timeout=60) as client:
            running = Gated(served, gate, client)
            await eventually(lambda: gate.calls == [[1.0]])  # it has to start first
            waiting = [asyncio.create_task(client.post("/predict", content=body)) for _ in range(3)]
            await running.waiting(4)

            refused = await asyncio.gather(*(client.post("/predict", content=body) for _ in range(20)))

            assert {(each.status_code, each.headers["retry-after"]) for each in refused} == {(503, "1")}
            assert refused[0].json()["detail"].startswith("the bodies of the requests under way fill the ")
            gate.open()
            assert [len((await each).json()["outputs"]) for each in waiting] == [rows] * 3
            assert (await client.post("/predict", content=body)).status_code == 200


async def test_a_request_whose_client_hung_up_is_never_asked(gated: Gated) -> None:
    kept = gated.ask(2)
    await gated.waiting(2)
    with socket.create_connection(("127.0.0.1", gated.served.port)) as impatient:
        body = b'{"inputs": [[7]]}'
        impatient.sendall(
            b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await gated.waiting(3)
    await gated.waiting(2)

    gated.gate.open()

    assert (await kept).json() == {"outputs": [4.0]}
    assert 7.0 not in [value for call in gated.gate.calls for value in call]


async def test_health_and_pages_answer_while_the_model_is_busy(gated: Gated) -> None:
    assert (await gated.client.get("/v2/health/live")).json() == {"live": True}
    assert (await gated.client.get("/docs")).status_code == 200
    assert not gated.first.done()
    gated.gate.open()
    assert (await gated.first).json() == {"outputs": [2.0]}


def test_who_keeps_a_connection_hears_with_an_answer_that_it_ends(tmp_path: Path) -> None:
    root = image(tmp_path, project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with serving(root, {"PLACET_LINGER_SECONDS": "60"}) as served:
        kept = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        kept.request("GET", "/v2/health/live")
        assert kept.getresponse().read()
        connection = kept.sock
        served.process.send_signal(signal.SIGTERM)

        is_last = False
        while (
            not is_last
        ):  # each is answered, and once the signal has arrived the connection ends with an answer
            kept.request("GET", "/v2/health/live")
            assert kept.sock is connection
            answer = kept.getresponse()
            assert answer.status == 200
            assert answer.read()
            is_last = answer.getheader("connection") == "close"
        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0


async def test_a_stop_lets_accepted_requests_finish_and_takes_no_more(gated: Gated) -> None:
    second = gated.ask(2)
    await gated.waiting(2)

    gated.served.process.send_signal(signal.SIGTERM)

    async def refuses() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", gated.served.port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(refuses)
    assert gated.served.process.poll() is None
    gated.gate.open()
    assert (await gated.first).json() == {"outputs": [2.0]}
    assert (await second).json() == {"outputs": [4.0]}
    assert await asyncio.to_thread(gated.served.process.wait, 60) == 0
    assert [event["event"] for event in gated.served.events()] == ["model loaded", "serving", "stopped"]


def test_requests_leave_no_line_in_the_log(sums: Served) -> None:
    sums.client.post("/predict", json={"inputs": {"a": [[1, 2, 3]], "b": [[1, 1, 1]]}})

    assert {str(event["event"]) for event in sums.events()} == {"model loaded", "serving"}


def test_connections_that_say_nothing_keep_nobody_out_of_a_process_that_may_open_little(
    tmp_path: Path,
) -> None:
    root = image(tmp_path, project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with serving(root) as served, ExitStack() as stack:
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (64, 64))  # long before it has loaded
        served.client.get("/v2/health/ready")
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))

        asked = {"inputs": {"a": [[1, 2, 3]], "b": [[1, 1, 1]]}}
        assert httpx.post(f"http://{served.address}/predict", json=asked, timeout=60).json() == {
            "outputs": [[2, 3, 4]]
        }


def test_a_graph_of_fixed_rows_is_not_batched_and_says_its_shape(tmp_path: Path) -> None:
    root = image(tmp_path, project="pairs", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx", rows=2)
    with serving(root) as served:
        two = {"a": [[1, 2, 3]] * 2, "b": [[1, 1, 1]] * 2}
        assert served.client.post("/predict", json={"inputs": two}).json() == {"outputs": [[2, 3, 4]] * 2}
        one = {"a": [[1, 2, 3]], "b": [[1, 1, 1]]}
        assert served.client.post("/predict", json={"inputs": one}).status_code == 422


def test_a_port_is_listened_on_as_well(tmp_path: Path) -> None:
    root = image(tmp_path, project="sums", format="onnx", path="model.onnx")
    adder(root / "project" / "model.onnx")
    with subprocess.Popen(command(root, "--port", "0"), stderr=subprocess.PIPE, cwd=root) as process:
        assert process.stderr is not None
        events = [json.loads(process.stderr.readline()) for _ in range(2)]
        assert httpx.get(f"http://{events[1]['address']}/v2/health/ready", timeout=60).json() == {
            "ready": True
        }
        process.terminate()
        assert process.wait(60) == 0


def ends(root: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        command(root, *(arguments or ("--port", "0"))),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return done.returncode, done.stderr


def test_help_names_every_setting(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "--help"), capture_output=True, text=True, check=True)

    assert "--fd N" in done.stdout
    assert "PLACET_TOKEN_KEYS" in done.stdout


@pytest.mark.parametrize(
    ("document", "environment", "said"),
    [
        (None, {}, "placet.json does not exist"),
        ("{", {}, "placet.json: Input data was truncated"),
        ('{"project": "p", "format": "onnx"}', {}, "missing required field `path`"),
        ('{"project": "p", "format": "pmml", "path": "m"}', {}, "Invalid enum value 'pmml'"),
        ('{"project": "p", "format": "onnx", "path": "m", "trust": []}', {}, "unknown field `trust`"),
        ('{"project": "p", "format": "onnx", "path": "../m"}', {}, "outside the project's folder"),
        ('{"project": "p", "format": "onnx", "path": "m", "sample": "s"}', {}, "sample s cannot be read"),
        ('{"project": "p", "format": "onnx", "path": "m"}', {"PLACET_ACCESS": "some"}, "public or token"),
        ('{"project": "p", "format": "onnx", "path": "m"}', {"PLACET_ACCESS": "token"}, "PLACET_TOKEN_KEYS"),
        ('{"project": "p", "format": "onnx", "path": "m"}', {"PLACET_MAX_BODY": "1k"}, "PLACET_MAX_BODY"),
        ('{"project": "p", "format": "onnx", "path": "m"}', {"PLACET_ANSWER_SECONDS": "0"}, "ANSWER_SECONDS"),
        ('{"project": "p", "format": "onnx", "path": "m"}', {"PLACET_ROOT_PATH": "m"}, "start with /"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(
    tmp_path: Path, document: str | None, environment: dict[str, str], said: str
) -> None:
    if document is not None:
        (tmp_path / "placet.json").write_text(document)

    status, error = ends(tmp_path, **environment)

    assert status == 2
    assert said in error
    assert error.count("\n") == 1


def test_a_descriptor_that_is_no_socket_is_a_wrong_setting(tmp_path: Path) -> None:
    image(tmp_path, project="p", format="onnx", path="m")

    assert ends(tmp_path, "--fd", "0") == (2, "placet.runtime: cannot listen on --fd 0: [Errno 88] "
        "Socket operation on non-socket\n")  # fmt: skip


@pytest.mark.parametrize(
    ("format", "name", "content", "said"),
    [
        ("onnx", "model.onnx", None, "model.onnx is not in the project's folder"),
        ("onnx", "model.onnx", b"no graph", "refuses model.onnx"),
        ("xgboost", "model.ubj", b"no trees", "refuses model.ubj"),
        ("lightgbm", "model.lgb", b"no trees", "refuses model.lgb"),
        ("sklearn", "model.skops", b"no archive", "model.skops is not a skops file"),
        ("sklearn", "model.joblib", b"no pickle", "model.joblib cannot be unpickled"),
        ("sklearn", "model.bin", b"", "neither .skops nor .joblib"),
        ("sklearn", "model.joblib", b"cno_such_module\nModel\n(tR.", "No module named 'no_such_module'"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why_with_status_1(
    tmp_path: Path, format: str, name: str, content: bytes | None, said: str
) -> None:
    root = image(tmp_path, project="p", format=format, path=name, pickle=True)
    if content is not None:
        (root / "project" / name).write_bytes(content)

    status, error = ends(root)

    assert status == 1
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.pickle"])
def test_a_pickle_is_not_loaded_unless_its_image_says_that_it_may_be(tmp_path: Path, name: str) -> None:
    root = image(tmp_path, project="p", format="sklearn", path=name)
    (root / "project" / name).write_bytes(b"cbuiltins\nexit\n(I77\ntR.")

    status, error = ends(root)

    assert (status, "Traceback" in error) == (1, False), "not the 77 that it would end with"
    assert f"{name} is a pickle, and placet.json does not say that it may be loaded" in error


def test_an_object_that_cannot_predict_is_no_model(tmp_path: Path) -> None:
    root = image(tmp_path, project="p", format="sklearn", path="model.joblib", pickle=True)
    joblib.dump({"weights": [1, 2]}, root / "project" / "model.joblib")

    assert ends(root) == (1, "placet.runtime: model.joblib holds a dict, which has no `predict`\n")
