"""What is known of a cluster is what it says, what was just written, and nothing while it cannot be heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_cluster import CONFIG_MAP, Gone, Json, Selection
from placet.deployer.adapters.kubernetes_mirror import KubernetesMirror
from placet.errors import Unavailable

from tests.support.eventually import eventually


def document(version: int, *, uid: str = "1", **data: str) -> Json:
    metadata = {"name": f"n{uid}", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Script:
    """A cluster that says what a test puts into it."""

    namespace = "placet-models"

    def __init__(self) -> None:
        self.there: list[Json] = []
        self.lists = 0
        self.says: asyncio.Queue[Any] = asyncio.Queue()

    async def listed(self, selection: Selection) -> tuple[list[Json], str]:
        self.lists += 1
        return list(self.there), "10"

    async def watched(self, selection: Selection, version: str) -> AsyncIterator[tuple[str, Json]]:
        while True:
            said = await self.says.get()
            if isinstance(said, Exception):
                raise said
            yield said


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def mirror(script: Script) -> AsyncIterator[KubernetesMirror]:
    cluster: Any = script
    mirror = KubernetesMirror(cluster, [Selection(kind=CONFIG_MAP)])
    await mirror.begin()
    yield mirror
    await mirror.close()


def seen(mirror: KubernetesMirror) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["data"] for each in mirror.all(CONFIG_MAP)}


async def test_what_was_written_is_read_at_once_and_no_older_word_undoes_it(
    mirror: KubernetesMirror, script: Script
) -> None:
    mirror.put(document(12, a="new"))
    script.says.put_nowait(("MODIFIED", document(11, a="old")))
    script.says.put_nowait(("ADDED", document(13, uid="2")))
    await eventually(lambda: "n2" in seen(mirror))
    assert seen(mirror)["n1"] == {"a": "new"}


async def test_what_was_deleted_is_not_back_with_what_was_said_before(
    mirror: KubernetesMirror, script: Script
) -> None:
    mirror.put(document(11))
    mirror.drop(document(11))
    script.says.put_nowait(("MODIFIED", document(12)))
    script.says.put_nowait(("ADDED", document(13, uid="2")))
    await eventually(lambda: "n2" in seen(mirror))
    assert "n1" not in seen(mirror)
    script.says.put_nowait(("DELETED", document(14)))
    script.says.put_nowait(("ADDED", document(15, uid="3")))
    await eventually(lambda: "n3" in seen(mirror))
    assert "n1" not in seen(mirror)


@pytest.mark.parametrize(
    "broken",
    [Gone(), Unavailable("away"), ("MODIFIED", {"metadata": {}})],
    ids=["too old", "away", "not understood"],
)
async def test_a_watch_that_breaks_is_begun_with_a_list(
    mirror: KubernetesMirror, script: Script, broken: Any
) -> None:
    mirror.put(document(11))
    script.there = [document(20, uid="2")]
    script.says.put_nowait(broken)
    await eventually(lambda: script.lists == 2)
    await eventually(lambda: seen(mirror) == {"n2": {}})
    script.says.put_nowait(("ADDED", document(21, uid="3")))
    await eventually(lambda: set(seen(mirror)) == {"n2", "n3"})


async def test_nothing_is_told_before_it_was_looked_at() -> None:
    cluster: Any = Script()
    with pytest.raises(Unavailable, match="was not looked at yet"):
        KubernetesMirror(cluster, [Selection(kind=CONFIG_MAP)]).all(CONFIG_MAP)
