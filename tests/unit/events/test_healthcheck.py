"""What an engine asks a container of a service."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.authorities import Authority, Signed
from tests.support.servers.local import free_port
from tools import workspace

PROGRAM = "placet/events/healthcheck.py"
SOURCE = workspace.ROOT / "libs" / "events" / "src" / PROGRAM


@contextmanager
def answering(status: int, shows: Signed | None = None) -> Iterator[int]:
    """The port of something that says this of itself at `/readyz`, and knows nothing else."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b'{"why": "the database is away"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        if shows is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(shows.certificate, shows.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def asked(port: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", SOURCE],
        env={"PLACET_HTTP_PORT": str(port), "http_proxy": "http://127.0.0.1:1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("status", "code", "said"), [(200, 0, ""), (503, 1, "the database is away")])
def test_it_ends_as_the_service_says_that_it_is(status: int, code: int, said: str) -> None:
    with answering(status) as port:
        done = asked(port)
    assert (done.returncode, said in done.stdout) == (code, True)


def test_a_service_with_tls_is_asked_by_tls_whoever_signed_its_certificate(tmp_path: Path) -> None:
    """It has the name that others ask by, and this is the container itself."""
    signed = Authority(tmp_path).sign("gateway", "gateway.placet.svc")
    with answering(200, signed) as port:
        assert asked(port, PLACET_HTTP_TLS_CERTIFICATE=str(signed.certificate)).returncode == 0
        assert asked(port, PLACET_HTTP_TLS_CERTIFICATE="").returncode == 1


def test_a_service_that_does_not_answer_is_not_well() -> None:
    done = asked(free_port())
    assert done.returncode == 1
    assert "does not answer" in done.stdout


@pytest.mark.parametrize("service", workspace.SERVICES)
def test_the_images_ask_by_it_alone(service: str) -> None:
    """Without what services are made of, which took a second of work each time."""
    dockerfile = (workspace.ROOT / "services" / service / "Dockerfile").read_text()
    assert f'CMD ["python3", "-I", "-S", "/usr/lib/placet/own/{PROGRAM}"]\n' in dockerfile
