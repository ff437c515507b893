"""Work in threads whose task was cancelled."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from placet.oci.files import in_thread, new_folder


async def test_a_cancelled_task_ends_after_its_thread_so_nothing_is_written_into_a_folder_removed(
    tmp_path: Path,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def work() -> None:
        with new_folder(tmp_path) as folder:

            def write() -> None:
                begun.set()
                go_on.wait()
                (folder / "deep").mkdir()
                (folder / "deep" / "written").write_bytes(b"late")

            await in_thread(write)

    task = asyncio.create_task(work())
    await asyncio.to_thread(begun.wait)
    task.cancel()
    for _ in range(20):  # steps of the loop, far more than a cancelled task needs
        await asyncio.sleep(0)
    ended_before = task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended_before
    assert os.listdir(tmp_path) == []


async def test_what_the_thread_raises_is_raised() -> None:
    with pytest.raises(FileNotFoundError):
        await in_thread(Path("/nowhere/at/all").read_bytes)
