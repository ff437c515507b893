"""A service that is told to stop ends, whatever it is cut off from then, and whenever in the cut."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.eventually import eventually
from tests.support.links import Link, Links, by
from tests.support.platforms import Process
from tests.support.servers import RabbitMQ, Registry

LEASE_SECONDS = "2"


class Cut:
    """An indexer, by itself, and its ways to the others."""

    def __init__(
        self, folder: Path, links: Links, database_url: str, amqp_url: str, registry_url: str
    ) -> None:
        self.links = links
        self.ways = {"database": self._to(database_url), "broker": self._to(amqp_url)}
        settings = {
            "AMQP_URL": by(self.ways["broker"], amqp_url),
            "DATABASE_URL": by(self.ways["database"], database_url),
            "REGISTRY": registry_url,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "LEASE_SECONDS": LEASE_SECONDS,
        }
        environment = {f"PLACET_{name}": value for name, value in settings.items()}
        self.process = Process([sys.executable, "-m", "placet.indexer"], environment, folder / "indexer.log")

    def _to(self, url: str) -> Link:
        port = urlsplit(url).port
        assert port is not None
        return self.links.to(port)

    def fall_silent(self, *others: str) -> None:
        for other in others:
            self.links.set(self.ways[other], "silent")

    def is_open(self, other: str) -> None:
        self.links.set(self.ways[other], "open")

    async def says(self, what: str) -> None:
        await eventually(lambda: what in self.process.log.read_text(), within=120)


@pytest.fixture
def cut(tmp_path: Path, database_url: str, broker: RabbitMQ, registry: Registry) -> Iterator[Cut]:
    with Links() as links:
        cut = Cut(tmp_path, links, database_url, broker.add_service_user("indexer"), registry.url)
        cut.process.start()
        yield cut
        cut.process.kill()


@pytest.mark.parametrize(
    "others", [("broker",), ("database", "broker")], ids=lambda names: " and ".join(names)
)
async def test_in_a_cut_that_lasts(cut: Cut, others: tuple[str, ...]) -> None:
    await cut.says("indexer hears")
    cut.fall_silent(*others)
    assert cut.process.stop() == 0


async def test_when_it_leads_no_longer_since_it_is_cut_off(cut: Cut) -> None:
    await cut.says("indexer hears")
    cut.fall_silent("database")
    await cut.says("leads no longer")
    assert cut.process.stop() == 0


async def test_just_before_the_cut_ends(cut: Cut) -> None:
    """What it was ending for another reason, it ends for good."""
    await cut.says("indexer hears")
    cut.fall_silent("database")
    await cut.says("leads no longer")
    cut.process.send(signal.SIGTERM)
    await cut.says("Shutting down")
    cut.is_open("database")
    assert cut.process.ended() == 0
