"""Killed at every step of what it does with processes, the deployer leaves none beside those that are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from placet.deployer.adapters.lodgings import Lodgings, SameUser, users_to_give
from placet.deployer.adapters.processes import marked
from placet.deployer.ports import ModelHost
from placet.oci import Registry, open_registry

from tests.contract.model_host_small_image import push_small_image
from tests.contract.process_hosts import process_host, some_lodgings
from tests.faults.killed_at_every_step import KilledAtEveryStep
from tests.faults.mortal import Life, MortalProcesses


@dataclass
class Processes:
    registry: Registry
    own: Lodgings | None
    image: str
    counts_commits: bool = True

    def host(self, folder: Path, life: Life) -> ModelHost:
        host = process_host(folder, self.registry, self.lodgings(folder), kind=MortalProcesses)
        assert isinstance(host, MortalProcesses)
        host.life = life
        return host

    def lodgings(self, folder: Path) -> Lodgings:
        return self.own or SameUser(folder / "instances")

    async def begin(self, host: ModelHost) -> None:
        assert isinstance(host, MortalProcesses)
        await host.adopt()

    async def vanish(self, host: ModelHost) -> None:
        assert isinstance(host, MortalProcesses)
        host.vanish()

    async def left(self, folder: Path) -> Sequence[str]:
        instances = folder / "instances"
        running = {id: len(processes) for id, processes in marked(instances).items()}
        return [
            *sorted(f"a folder of {each.name}" for each in instances.iterdir()),
            *sorted(f"{number} processes of {id}" for id, number in running.items()),
            *sorted(f"a place of {id}, where nobody lives" for id in self._empty_places(running)),
        ]

    def _empty_places(self, running: Mapping[str, int]) -> Iterable[str]:
        return set(self.own.ids()) - set(running) if self.own else ()

    def expected(self, *releases: int, ended: Sequence[int] = ()) -> Sequence[str]:
        folders = sorted(f"a folder of churn-{each}" for each in (*releases, *ended))
        return [*folders, *(f"1 processes of churn-{each}" for each in releases)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Processes]:
    async with open_registry(str(tmp_path / "images")) as registry:
        image = await push_small_image(registry)
        if users_to_give() is None:
            yield Processes(registry=registry, own=None, image=image)
        else:
            with some_lodgings("own users", tmp_path) as own:
                yield Processes(registry=registry, own=own, image=image)


class TestProcesses(KilledAtEveryStep):
    """With a user for each, where the tests run as root."""
