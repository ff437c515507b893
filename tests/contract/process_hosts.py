"""Process hosts for tests: with a user for each model, where the tests run as root, and with one for all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from placet.deployer.adapters.http_probe import HttpProbe
from placet.deployer.adapters.local_processes import LocalProcesses
from placet.deployer.adapters.lodgings import Lodgings, OwnUsers, SameUser, users_to_give
from placet.deployer.adapters.pulse import Allowance
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.oci import Registry

NOT_ROOT = "models get users of their own only where the tests run as root"
PROBE = HttpProbe(token=lambda endpoint: "a token")
PATIENT = Allowance(loading=600.0, answer=600.0)
KINDS = ("own users", "one user")


class Asker:
    """Asks as the deployer does, and waits as long as the test says: who is stopped answers at no speed."""

    def __init__(self) -> None:
        self.seconds = 600.0

    async def is_alive(self, endpoint: str, within: float) -> bool:
        return await PROBE.is_alive(endpoint, self.seconds)


@contextmanager
def some_lodgings(kind: str, folder: Path) -> Iterator[Lodgings]:
    """Skips the test where they cannot be had."""
    if kind == "one user":
        yield SameUser(folder / "instances")
        return
    users = users_to_give()
    if users is None:
        pytest.skip(NOT_ROOT)
    place = Path(tempfile.mkdtemp(prefix="placet-models-"))  # pytest's own folders are closed to other users
    place.chmod(0o711)
    try:
        yield OwnUsers(place, users)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def process_host(
    folder: Path,
    registry: Registry,
    lodgings: Lodgings,
    *,
    log_bytes: int = 2**16,
    scratch_bytes: int = 2**24,
    is_alive: Callable[[str, float], Awaitable[bool]] = PROBE.is_alive,
    allowance: Allowance = PATIENT,
    kind: type[LocalProcesses] = LocalProcesses,
) -> LocalProcesses:
    return kind(
        folder=folder / "instances",
        images=UnpackedImages(registry, folder / "unpacked"),
        lodgings=lodgings,
        token_keys=lambda endpoint: "[]",
        is_alive=is_alive,
        allowance=allowance,
        stop_seconds=2.0,
        log_bytes=log_bytes,
        scratch_bytes=scratch_bytes,
    )
