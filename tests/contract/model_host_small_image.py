"""A real image of a few hundred bytes, whose runtime serves with the standard library only."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from typing import Any

from placet.oci import ImageConfig, Manifest, Platform, Registry, sha256_digest
from placet.oci.content import OCI_CONFIG, OCI_LAYER

RUNTIME = """
import json, os, signal, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

assert sys.argv[1:2] == ["--root"] and sys.argv[3] == "--fd", sys.argv
project = os.path.join(sys.argv[2], "project")
with open(os.path.join(project, "behaviour.json")) as file:
    behaviour = json.load(file)
print("here is", os.environ["PLACET_PROJECT"], os.environ["PLACET_RELEASE"], flush=True)
if behaviour.get("dies"):
    sys.exit("the model cannot be loaded")
if behaviour.get("is_deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if behaviour.get("has_child"):
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    print("child", child.pid, flush=True)
if behaviour.get("talks"):
    print("x" * 99 + "\\n", end="", flush=True)
    for _ in range(behaviour["talks"]):
        print("y" * 99)
    sys.stdout.flush()

class Handler(BaseHTTPRequestHandler):
    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in behaviour.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        about = {"path": self.path, "headers": dict(self.headers), "environment": dict(os.environ)}
        self.answer({**about, "sys_path": sys.path, "directory": os.getcwd()})

    def do_POST(self):
        if behaviour.get("never_answers"):
            print("at it", flush=True)
            threading.Event().wait()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"outputs": [sum(row) for row in request["inputs"]], "token": self.headers["Authorization"]})

    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[4]))
server.serve_forever()
"""
PYTHON_HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"


def layer(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


async def push_small_image(
    registry: Registry,
    repository: str = "models/churn",
    *,
    python: str = PYTHON_HERE,
    labels: dict[str, str] | None = None,
    below: tuple[bytes, ...] = (),
    sample: Any = None,
    **behaviour: Any,
) -> str:
    """Push it and return its digest. `below` are layers of a base, `behaviour` is what its runtime does."""
    about = {"project": "churn", "format": "sklearn", "path": "model.skops"}
    files = {
        "app/serving/placet/runtime/__main__.py": RUNTIME,
        "app/deps/nothing.txt": "",
        "app/project/behaviour.json": json.dumps(behaviour),
        "app/placet.json": json.dumps({**about, "sample": None if sample is None else "sample.json"}),
    }
    if sample is not None:
        files["app/project/sample.json"] = json.dumps(sample)
    layers = [*below, layer(files)]
    kept = [await registry.put_blob(repository, each, media_type=OCI_LAYER) for each in layers]
    config = ImageConfig(
        platform=Platform(os="linux", architecture="amd64"),
        diff_ids=tuple(sha256_digest(each) for each in layers),
        labels={"io.placet.python": python, "io.placet.base": "none", **(labels or {})},
    )
    configured = await registry.put_blob(repository, config.encode(), media_type=OCI_CONFIG)
    manifest = Manifest.image(config=configured, layers=kept)
    return await registry.put_manifest(repository, manifest)
