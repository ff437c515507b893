"""A git repository, and a server that lets it be fetched over HTTP as the great hosts do: by git's own back end."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "A. Tester"),
        ("EMAIL", "tester@example.org"),
        ("DATE", "2026-01-01T00:00:00Z"),
    )
}


@dataclass(frozen=True)
class Repository:
    """A work tree with its repository."""

    folder: Path

    def git(self, *arguments: str, given: bytes = b"") -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **_AUTHOR,
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            input=given,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, bytes]) -> str:
        """Write the files and commit all; the commit's id."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "more")
        return self.git("rev-parse", "HEAD")


def new_repository(folder: Path) -> Repository:
    folder.mkdir(parents=True)
    repository = Repository(folder)
    repository.git("init", "--quiet", "--initial-branch", "main")
    return repository


@dataclass
class GitServer:
    """What it serves is below `root`; `asked` are the paths that were asked for. `answer` stands in for git."""

    address: str
    root: Path
    asked: list[str]
    answer: tuple[int, dict[str, str]] | None = None

    def url(self, repository: Repository) -> str:
        return f"{self.address}/{repository.folder.relative_to(self.root)}/.git"


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """Serves all repositories below `root`, to anybody, to read."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, format: str, *arguments: object) -> None:
            """Tests' output is theirs."""

        def _serve(self) -> None:
            served.asked.append(self.path)
            if served.answer is not None:
                status, headers = served.answer
                self._send(status, headers, b"")
                return
            head, _, body = self._asked_of_git().partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self._send(int(fields.pop("Status", "200").split()[0]), fields, body)

        def _asked_of_git(self) -> bytes:
            parts = urlsplit(self.path)
            given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(given)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                # Who owns the files is no matter of a test's.
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            }
            return subprocess.run(
                ["git", "http-backend"], env=environment, input=given, capture_output=True, check=True
            ).stdout

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = GitServer(f"http://127.0.0.1:{server.server_port}", root, [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
