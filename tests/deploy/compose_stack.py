"""docker-compose.yml as an operator has it: a copy of what the repository holds, settings in a file, and `up`.

Each stack has a name, volumes and networks of its own in its engine, of which nothing is left. What is done to its
containers is done by the engine, as an administrator or a crash would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from textwrap import dedent
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container

from tests.deploy.images_of_services import Images, asking
from tests.support.eventually import eventually
from tests.support.git_server import git_server
from tests.support.platforms import Platform
from tests.support.servers import sources
from tests.support.servers.local import free_port
from tools import workspace

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
RUN = ("rabbitmq", "postgres", "registry", "edge", "caddy", "engine", *SERVICES)
"""The containers that stay."""
TAG = "one"
OVERRIDE = "docker-compose.override.yml"
"""An operator's own, which compose finds by itself."""
WITHIN = 180.0
"""Seconds: a bound for hangs, not a measure."""


def compose_plugin() -> str:
    """The program whose plugin it is; skips the tests, or fails them, where there is none."""
    program = shutil.which("docker")
    if program is not None:
        said = subprocess.run(
            [program, "compose", "version", "--short"], capture_output=True, text=True, check=False
        )
        if said.returncode == 0 and said.stdout.strip().lstrip("v").partition(".")[0] != "1":
            return program
    return sources.cannot_be_had("docker", "there is no `docker compose` (`make servers`)")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """All calls block."""

    program: str
    images: Images
    name: str
    folder: Path
    platform: Platform
    settings: Mapping[str, str]

    @property
    def client(self) -> docker.DockerClient:
        return self.images.client

    def compose(self, *words: str) -> str:
        done = subprocess.run(
            [
                self.program,
                "compose",
                "--progress",
                "quiet",
                "--env-file",
                "settings.env",
                *_files(self.folder),
                *words,
            ],
            cwd=self.folder,
            env=_environment(self.images),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{self.troubles()}"
        return done.stdout

    def told_by(self, page: str, after: str, kind: str = "sh") -> str:
        """What is to be typed, or written, as the page says it in the first block of this kind behind these words."""
        _, found, rest = (workspace.ROOT / page).read_text().partition(after)
        assert found, f"{page} has no {after!r}"
        return dedent(rest.partition(f"```{kind}\n")[2].partition("```")[0])

    def typed(self, commands: str) -> None:
        """In its folder, where compose finds its settings by itself."""
        shutil.copy(self.folder / "settings.env", self.folder / ".env")
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.folder,
            env={**_environment(self.images), "COMPOSE_FILE": ":".join(_files(self.folder)[1::2])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{self.troubles()}"

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", "--no-build", "--pull", "never")

    def upgrade(self, tag: str = TAG) -> None:
        """To the files and the images of now, as the page says."""
        what_the_repository_has(self.folder)
        write_settings({**self.settings, "PLACET_VERSION": tag}, self.folder)
        self.typed(self.told_by("docs/how-to/run-with-compose.md", "Then one service after the other"))

    def containers(self) -> Mapping[str, Container]:
        """By the names of their services, also of those that are over."""
        found = self.client.containers.list(
            ignore_removed=True, all=True, filters={"label": f"com.docker.compose.project={self.name}"}
        )
        return {each.labels["com.docker.compose.service"]: each for each in found}

    def container(self, service: str) -> Container:
        return self.client.containers.get(f"{self.name}-{service}-1")

    def models(self) -> Sequence[Container]:
        found: Sequence[Container] = self.client.containers.list(
            ignore_removed=True, filters={"label": f"io.placet.platform={self.name}"}
        )
        return found

    def troubles(self) -> str:
        """The last words of those that are not well."""
        said = []
        for service, container in self.containers().items():
            if not _is_well(container.attrs) and container.attrs["State"].get("ExitCode", 0) != 0:
                said.append(f"{service}: {container.logs(tail=15).decode(errors='replace')}")
            elif _health(container.attrs) == "unhealthy":
                said.append(f"{service} is unhealthy: {container.logs(tail=15).decode(errors='replace')}")
        return "\n".join(said)

    async def is_whole(self) -> None:
        """Once every container that stays runs, and is healthy as far as it says so."""

        def not_well() -> dict[str, Any]:
            found = self.containers()
            return {each: found[each].attrs["State"] for each in RUN if not _is_well(found[each].attrs)}

        def is_whole() -> bool:
            assert not (unwell := not_well()), unwell
            return True

        await eventually(is_whole, within=WITHIN, every=1)

    async def killed(self, service: str) -> None:
        """Its main process ends as a crash ends it; when this returns the engine has started it again."""

        def running() -> dict[str, Any] | None:
            state: dict[str, Any] = self.container(service).attrs["State"]
            return state if state["Running"] and state["Pid"] > 0 else None

        before = await eventually(running, within=WITHIN)
        assert before is not None
        os.kill(before["Pid"], 9)

        def is_back() -> bool:
            state = self.container(service).attrs["State"]
            return bool(state["Running"] and state["StartedAt"] != before["StartedAt"])

        await eventually(is_back, within=WITHIN, every=0.3)

    @contextmanager
    def cut_off(self, service: str, network: str) -> Iterator[None]:
        """It is not on the network, where it is known by its names again afterwards."""
        container, net = self.container(service), self.client.networks.get(f"{self.name}_{network}")
        net.disconnect(container, force=True)
        try:
            yield
        finally:
            net.connect(container, aliases=[service])


def _files(folder: Path) -> Sequence[str]:
    names = ("docker-compose.yml", "site.yml", OVERRIDE)
    return [word for name in names if (folder / name).exists() for word in ("--file", name)]


def _environment(images: Images) -> dict[str, str]:
    return {
        key: value
        for key, value in asking(images.engine).items()
        if not key.startswith(("PLACET_", "COMPOSE_"))
    }


def _health(attributes: Mapping[str, Any]) -> str:
    """Empty where it does not say."""
    return str((attributes["State"].get("Health") or {}).get("Status", ""))


def _is_well(attributes: Mapping[str, Any]) -> bool:
    return bool(attributes["State"]["Running"]) and _health(attributes) in ("", "healthy")


def what_the_repository_has(into: Path, checkout: Path = workspace.ROOT) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "docker-compose.yml", "deploy"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((checkout / name).read_bytes())
        target.chmod(0o644)


def write_settings(settings: Mapping[str, str], into: Path) -> None:
    (into / "settings.env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def own_certificates(into: Path) -> None:
    """What this machine believes, for the one container that asks an index: where SSL_CERT_FILE says so."""
    if (file := os.environ.get("SSL_CERT_FILE")) and Path(file).exists():
        shutil.copy(file, into / "ca.pem")
        builder = {"environment": {"SSL_CERT_FILE": "/run/ca.pem"}, "volumes": ["./ca.pem:/run/ca.pem:ro"]}
        (into / "site.yml").write_text(json.dumps({"services": {"builder": builder}}))


@contextmanager
def booted(
    program: str, images: Images, folder: Path, *, checkout: Path = workspace.ROOT, tag: str = TAG
) -> Iterator[Stack]:
    engine = images.engine
    name = f"placet{token_hex(4)}"
    listen, registry = free_port(), free_port()
    url = f"http://{engine.published_at}:{listen}"
    what_the_repository_has(folder, checkout)
    own_certificates(folder)
    address = engine.address or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        sources.cannot_be_had(
            "docker", "its processes are another machine's, and here they are looked at and killed"
        )
    settings = {
        **images.bases,
        "PLACET_NAME": name,
        "PLACET_IMAGES": images.prefix,
        "PLACET_VERSION": tag,
        "PLACET_LISTEN": f"{engine.published_at}:{listen}",
        "PLACET_URL": url,
        "PLACET_REGISTRY_PORT": str(registry),
        "PLACET_PROMETHEUS_PORT": str(free_port()),
        "PLACET_NODES_LISTEN": f"{engine.published_at}:{free_port()}",
        "PLACET_NODES_CERTIFICATE": "nodes.pem",
        "PLACET_DOCKER_SOCKET": address.removeprefix("unix://"),
    }
    write_settings(settings, folder)
    with git_server(folder / "repositories") as git:
        unknown = Platform(url=url, token="", git=git, state=folder / "state")
        stack = Stack(
            program=program, images=images, name=name, folder=folder, platform=unknown, settings=settings
        )
        try:
            stack.up()
            stack.compose("cp", "gateway:/run/placet/admin.token", "admin.token")
            token = (folder / "admin.token").read_text().strip()
            platform = Platform(url=url, token=token, git=git, state=folder / "state")
            yield replace(stack, platform=platform)
        finally:
            # First, or who starts models would start them again.
            stack.compose("down", "--volumes", "--timeout", "0")
            ours = {"label": f"io.placet.platform={name}"}
            for model in stack.client.containers.list(ignore_removed=True, all=True, filters=ours):
                model.remove(force=True)
            for network in stack.client.networks.list(filters=ours):
                network.remove()


@asynccontextmanager
async def paused(container: Container) -> AsyncIterator[None]:
    def is_paused() -> bool:
        try:
            container.pause()
        except APIError as error:
            if "unable to freeze" not in str(error):
                raise
            # A kernel that was too busy to stop all its processes at the same time: the engine has let them go on.
            return False
        return True

    await eventually(is_paused, within=WITHIN)
    try:
        yield
    finally:
        container.unpause()
