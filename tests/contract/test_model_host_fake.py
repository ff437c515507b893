"""The contract of a model host, over the fake that the deployer's unit tests use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.contract.model_host_contract import ModelHostContract
from tests.unit.deployer.fakes import FakeModelHost


@pytest.fixture
def host() -> FakeModelHost:
    return FakeModelHost()


@pytest.fixture
def image() -> str:
    return f"sha256:{'1' * 64}"


@pytest.fixture
def kill(host: FakeModelHost) -> Callable[[str], Awaitable[None]]:
    async def kill(id: str) -> None:
        host.die(id)

    return kill


@pytest.fixture
def impatient_host(host: FakeModelHost) -> FakeModelHost:
    return host


@pytest.fixture
def hang(host: FakeModelHost) -> Callable[[str], Awaitable[None]]:
    async def hang(id: str) -> None:
        host.hang(id)

    return hang


class TestFakeModelHost(ModelHostContract):
    pass
