"""What docker-compose.yml starts: the images of the services, and those that deploy/offline stands in for others with.

Both are made once, in one engine, for all who look at them.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.support.servers import DockerEngine, sources
from tools import workspace

OFFLINE = workspace.ROOT / "deploy" / "offline" / "images.py"
RESTRICTED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
    "tmpfs": {"/tmp": ""},
}


@dataclass(frozen=True, kw_only=True)
class Images:
    client: docker.DockerClient
    prefix: str
    engine: DockerEngine
    bases: Mapping[str, str]
    """As `made_offline` says it."""

    def build(self, *services: str, tag: str, anew: bool = False, checkout: Path = workspace.ROOT) -> None:
        """With the tools of the checkout whose services they are."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tools.images", *services, "--prefix", self.prefix, "--tag", tag),
                *("--python", self.bases["PLACET_PYTHON_IMAGE"]),
                *("--base", self.bases["PLACET_SERVICE_BASE_IMAGE"]),
                *(["--no-cache"] if anew else []),
            ],
            cwd=checkout,
            env=asking(self.engine),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def name(self, service: str, tag: str = "one") -> str:
        return f"{self.prefix}{service}:{tag}"

    def said(self, service: str, *command: str) -> str:
        said: bytes = self.client.containers.run(
            self.name(service), list(command), entrypoint="python3", remove=True, **RESTRICTED
        )
        return said.decode()

    @contextmanager
    def created(self, service: str, tag: str = "one") -> Iterator[Container]:
        container = self.client.containers.create(self.name(service, tag))
        try:
            yield container
        finally:
            container.remove()

    def files(self, service: str, tag: str = "one") -> dict[str, tuple[str, int, str]]:
        """What is below /usr/lib/placet: kind, rights and digest or target of each."""
        found = {}
        with self.created(service, tag) as container:
            stream, _ = container.get_archive("/usr/lib/placet")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    digest = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
                    found[member.name] = (member.type.decode(), member.mode, digest)
        return found


def asking(engine: DockerEngine) -> dict[str, str]:
    """The environment of programs that speak to it."""
    return {**os.environ, **({"DOCKER_HOST": engine.address} if engine.address else {})}


@contextmanager
def commit_before(folder: Path) -> Iterator[Path]:
    """A checkout of it, for as long as it is asked for. Skips the test in a clone that has no history."""
    git = ("git", "-C", str(workspace.ROOT), "worktree")
    added = subprocess.run(
        [*git, "add", "--detach", str(folder), "HEAD~1"], capture_output=True, text=True, check=False
    )
    if added.returncode != 0:
        sources.cannot_be_had("history", f"a clone with its history is needed: {added.stderr}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def made_offline(engine: DockerEngine) -> Mapping[str, str]:
    """The settings that name them."""
    done = subprocess.run(
        [sys.executable, str(OFFLINE)], env=asking(engine), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
