"""What every test may ask for. Servers start with the first test that needs them and end with the last."""

from __future__ import annotations

import faulthandler
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Suites that are classes of other modules say what they saw, as tests do.
pytest.register_assert_rewrite(
    "tests.contract", "tests.deploy", "tests.faults", "tests.support", "tests.system"
)

from tests.support import browser, chaos  # noqa: E402
from tests.support.logs import Logged, logged_from_here_on  # noqa: E402
from tests.support.servers import CaddyServer, DockerEngine, PostgreSQL, RabbitMQ, Registry, sources  # noqa: E402

UNITS = Path(__file__).parent / "unit"
STDERR = pytest.StashKey[int]()
"""As it was: during a test pytest has another in its place."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)
    # How long an example takes is the machine's matter.
    hypothesis.settings.register_profile("placet", deadline=None)
    hypothesis.settings.load_profile("placet")
    sources.required()  # a wrong name ends the run here, not with the first test that looks


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Ten thousand tests and all that they import stay to the end: no collector of garbage is to look at them each time
    that it comes by, and not while they are collected, either."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that ran out of time may leave a task that no cancellation ends, for which its event loop waits for good:
    then this process ends, and says where everything stood, rather than the whole run."""
    marker = item.get_closest_marker("timeout")
    bound = float(marker.args[0] if marker else item.config.getini("timeout"))
    ending = threading.Timer(2 * bound, _end, (item.nodeid, item.config.stash[STDERR]))
    ending.daemon = True
    ending.start()
    try:
        return (yield)
    finally:
        ending.cancel()


def _end(test: str, stderr: int) -> None:
    os.write(stderr, f"{test} does not end\n".encode())
    faulthandler.dump_traceback(stderr)
    os._exit(1)


def pytest_report_header() -> list[str]:
    required = ", ".join(sorted(sources.required())) or "nothing"
    found = ", ".join(f"{name}: {where}" for name, where in sources.found().items())
    return [
        f"servers: {found}",
        f"required: {required}",
        f"soak: {chaos.SECONDS:.0f} s (PLACET_SOAK_SECONDS), seed {chaos.seed()} (PLACET_SOAK_SEED)",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    servers = {"postgres", "rabbitmq", "registry", "caddy", "docker_engine"}
    for item in items:
        if isinstance(item, pytest.Function) and not servers.isdisjoint(item.fixturenames):
            item.add_marker("server")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Who are many and short come last, so that none of several processes is left alone with something long, and the
    soak beside them: it is long, and mostly waits."""
    if item.get_closest_marker("soak"):
        return 1
    return 2 if item.path.is_relative_to(UNITS) else 0


@pytest.fixture(scope="session", autouse=True)
def _browser() -> Iterator[None]:
    yield
    browser.end()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    with sources.POSTGRES.running() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    with sources.RABBITMQ.running() as server:
        yield server


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    with sources.REGISTRY.running() as server:
        yield server


@pytest.fixture(scope="session")
def caddy() -> Iterator[CaddyServer]:
    with sources.CADDY.running() as server:
        server.empty()  # one at an address has routes of its own, and no server of our name
        yield server


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    with sources.DOCKER.running() as server:
        yield server


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    return logged_from_here_on(caplog)


@pytest.fixture
def database_url(postgres: PostgreSQL) -> Iterator[str]:
    """An empty database of the test's own, in a PostgreSQL that runs, whatever the last test did to it."""
    postgres.start()
    url = postgres.create_database()
    yield url
    postgres.start()
    postgres.drop_database(url)


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[RabbitMQ]:
    """A virtual host of the test's own, in a RabbitMQ that runs, whatever the last test did to it."""
    rabbitmq.start()
    broker = rabbitmq.in_new_virtual_host()
    yield broker
    rabbitmq.start()
    broker.remove_virtual_host()
