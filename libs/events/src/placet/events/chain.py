"""One digest over all that a log holds of an epoch, in its order: what a producer says of its own store.

Whoever keeps the same events elsewhere makes the same digest, and finds out whether both have the same. It is a chain
and no tree: nothing is proved by it but that two logs are equal up to a position, and it grows by two hashes for each
event. `placet.trust.auditing` has the same four lines, since libraries do not know each other; a test holds them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


@dataclass(slots=True)
class Chain:
    epoch: str
    position: int
    """Of the last event that is in it; before any, where the epoch began."""
    value: bytes

    @classmethod
    def begin(cls, producer: str, epoch: str, began_after: int) -> Chain:
        head = f"placet.dev/log-chain/v1\n{producer}\n{epoch}\n{began_after}\n"
        return cls(epoch, began_after, sha256(head.encode()).digest())

    def extend(self, raw: bytes) -> None:
        """By the next event's canonical bytes."""
        self.value = sha256(self.value + sha256(raw).digest()).digest()
        self.position += 1
