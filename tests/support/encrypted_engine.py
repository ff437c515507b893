"""What answers by TLS as a Docker Engine does when it is asked how it is, and whom it let in."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509

from tests.support.authorities import Authority, Signed

SAYS = {"ApiVersion": "1.43", "MinAPIVersion": "1.24", "Version": "24.0", "NCPU": 2, "MemTotal": 2**31}


@dataclass
class EncryptedEngine:
    address: str
    asked: list[str] = field(default_factory=list)
    """The names in clients' certificates, one for each request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Of whom it does not let in."""


@contextmanager
def encrypted_engine(shows: Signed, authority: Authority) -> Iterator[EncryptedEngine]:
    """At a port of this machine; clients have to show what `authority` signed."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            shown = self.connection.getpeercert(binary_form=True)
            assert shown is not None
            (name,) = x509.load_der_x509_certificate(shown).subject
            engine.asked.append(str(name.value))
            body = json.dumps(SAYS).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shows.certificate, shows.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    with _Server(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        engine = EncryptedEngine(f"tcp://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield engine
        server.shutdown()


def folder_for(authority: Authority, folder: Path, shows: Signed | None = None) -> Path:
    """As Docker's clients have it in `DOCKER_CERT_PATH`."""
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.file.read_bytes())
    if shows is not None:
        (folder / "cert.pem").write_bytes(shows.certificate.read_bytes())
        (folder / "key.pem").write_bytes(shows.key.read_bytes())
    return folder
