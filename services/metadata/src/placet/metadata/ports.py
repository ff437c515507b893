"""What the audit log needs from outside, named for the need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import Row, Select

from placet.metadata.webhooks import Answer
from placet.trust import ActiveKey, KeyHistory
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import Signature
from placet.trust.proofs import ConsistencyProof


class Reads(Protocol):
    """Selects on its own tables, and nothing else."""

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...


class CheckpointKeys(Protocol):
    """Both raise `Unavailable` while there is no key to sign with."""

    async def active(self) -> ActiveKey: ...

    async def history(self) -> KeyHistory: ...


class SignedBefore(Protocol):
    """The last checkpoint that was signed from here, where whoever has the database does not have it."""

    async def last(self) -> Checkpoint | None: ...

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Kept once this returns, whatever happens then. Raises Unavailable."""


@dataclass(frozen=True, kw_only=True)
class Knows:
    """The witness has cosigned a checkpoint of another size than it was told, and goes on from that one."""

    size: int


class Witness(Protocol):
    """Somebody outside who remembers which checkpoints there were."""

    @property
    def name(self) -> str: ...

    @property
    def pace(self) -> timedelta:
        """It is shown one checkpoint in this time at most, and then the newest."""

    async def show(self, proof: ConsistencyProof) -> Signature | Knows | None:
        """What it answers to a checkpoint that goes on where its last one ended; None: it keeps it, and signs nothing.

        It is kept there once this returns. Raises Unavailable where nobody answers, Refused where it contradicts.
        """


class Receivers(Protocol):
    """Whoever webhooks lead to: anybody, with an address that somebody typed."""

    async def judge(self, url: str) -> None:
        """Raises Refused where nothing may be sent there, or nobody is; Unavailable where that cannot be told now."""

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One POST, and what it came to, whatever that is: nothing is raised, nothing followed, no body told."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An artifact of the registry: the bytes that its digest is of, and its file."""

    manifest: bytes
    content: bytes


class Evidence(Protocol):
    """What the log names by digest, and does not hold. None of what is not there any more; both raise Unavailable."""

    async def blob(self, repository: str, digest: str) -> bytes | None: ...

    async def tagged(self, repository: str, digest: str) -> bytes | None:
        """One that counts only as long as its tag is there: who erases it removes that."""

    async def artifact(self, repository: str, digest: str) -> Kept | None: ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    keys: CheckpointKeys
    signed: SignedBefore
    receivers: Receivers
    witnesses: Sequence[Witness] = ()
    evidence: Evidence | None = None
