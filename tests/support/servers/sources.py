"""Where a server comes from, what was found on this machine, and what to do when one cannot be had.

`PLACET_REQUIRE=postgres,rabbitmq` makes the tests that need these fail where they would skip, so that nobody
takes a run for complete in which half of it could not happen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

import pytest
from docker.errors import DockerException
from testcontainers.core.exceptions import ContainerStartException

from tests.support.servers import caddy, container, docker_engine, postgresql, rabbitmq, registry
from tests.support.servers.lifecycle import Lifecycle
from tests.support.servers.local import DidNotStart


class Server(Protocol):
    @property
    def lifecycle(self) -> Lifecycle: ...
    def is_ready(self) -> bool: ...


S = TypeVar("S", bound=Server)


@dataclass(frozen=True, kw_only=True)
class Sources(Generic[S]):
    """The three places to get one kind of server from."""

    name: str
    at_address: Callable[[], S | None]
    run_in_container: Callable[[], S]
    can_run_locally: Callable[[], object]
    run_locally: Callable[[], S]

    def where(self) -> str:
        """In a word, without starting anything."""
        if self.at_address() is not None:
            return "at an address"
        if container.engine() is not None:
            return "container"
        if self.can_run_locally() is not None:
            return "this machine"
        return "none"

    @contextmanager
    def running(self) -> Iterator[S]:
        server = self._obtain()
        try:
            yield server
        finally:
            server.lifecycle.remove()

    def _obtain(self) -> S:
        named = self.at_address()
        if named is None:
            return self._start()
        if not named.is_ready():
            cannot_be_had(self.name, "nothing answers at the address in the environment")
        return named

    def _start(self) -> S:
        reasons = ["no Docker Engine answers", "no program for it on this machine (`make servers`)"]
        if container.engine() is not None:
            try:
                return self.run_in_container()
            except (DockerException, ContainerStartException, DidNotStart, OSError) as error:
                reasons[0] = f"no container: {error}"
        if self.can_run_locally() is not None:
            try:
                return self.run_locally()
            except DidNotStart as error:
                reasons[1] = str(error)
        return cannot_be_had(self.name, "; ".join(reasons))


POSTGRES = Sources(
    name="postgres",
    at_address=postgresql.at_address,
    run_in_container=postgresql.run_in_container,
    can_run_locally=postgresql.can_run_locally,
    run_locally=postgresql.run_locally,
)
RABBITMQ = Sources(
    name="rabbitmq",
    at_address=rabbitmq.at_address,
    run_in_container=rabbitmq.run_in_container,
    can_run_locally=rabbitmq.can_run_locally,
    run_locally=rabbitmq.run_locally,
)
REGISTRY = Sources(
    name="registry",
    at_address=registry.at_address,
    run_in_container=registry.run_in_container,
    can_run_locally=registry.can_run_locally,
    run_locally=registry.run_locally,
)
CADDY = Sources(
    name="caddy",
    at_address=caddy.at_address,
    run_in_container=caddy.run_in_container,
    can_run_locally=caddy.can_run_locally,
    run_locally=caddy.run_locally,
)
DOCKER = Sources(
    name="docker",
    at_address=docker_engine.at_address,
    run_in_container=docker_engine.run_in_container,
    can_run_locally=docker_engine.can_run_locally,
    run_locally=docker_engine.run_locally,
)
DOCKER_WITH_NETWORKS = Sources(
    name="docker",
    at_address=docker_engine.at_address,
    run_in_container=docker_engine.run_in_container,
    can_run_locally=docker_engine.can_run_apart,
    run_locally=docker_engine.run_apart,
)
"""Whose containers reach what this machine does, and publish ports."""

PROGRAMS = ("haproxy", "chromium", "go", "cc", "prometheus", "promtool", "faketime", "jq")
NAMES = frozenset({"postgres", "rabbitmq", "registry", "caddy", "haproxy", "docker", "kubernetes", *PROGRAMS})
"""What `PLACET_REQUIRE` may list."""


def found() -> dict[str, str]:
    """Every kind of server, and where it would come from."""
    return {
        **{sources.name: sources.where() for sources in (POSTGRES, RABBITMQ, REGISTRY, CADDY, DOCKER)},
        "kubernetes": "at an address" if os.environ.get("KUBECONFIG") else "none",
        **{program: shutil.which(program) or "none" for program in PROGRAMS},
    }


def required() -> frozenset[str]:
    names = frozenset(filter(None, os.environ.get("PLACET_REQUIRE", "").split(",")))
    if unknown := names - NAMES:
        raise pytest.UsageError(f"PLACET_REQUIRE: {sorted(unknown)} is none of {sorted(NAMES)}")
    return names


def program(name: str) -> str:
    """Where it is; skips the test, or fails it, where it is not on this machine."""
    return shutil.which(name) or cannot_be_had(name, "no program for it on this machine (`make servers`)")


def cannot_be_had(name: str, reason: str) -> NoReturn:
    if name in required():
        pytest.fail(f"PLACET_REQUIRE lists {name}, which cannot be had: {reason}", pytrace=False)
    pytest.skip(f"{name} cannot be had: {reason}")
