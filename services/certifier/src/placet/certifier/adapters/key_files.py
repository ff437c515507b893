"""The key history, as it lies beside the certifier's keys."""

from __future__ import annotations

from anyio import to_thread

from placet.trust import KeyHistory, OwnKeys


class KeyFiles:
    """The `Keys` port."""

    def __init__(self, keys: OwnKeys) -> None:
        self._keys = keys

    async def history(self) -> KeyHistory:
        return await to_thread.run_sync(self._keys.history)
