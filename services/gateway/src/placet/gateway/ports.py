"""What the gateway needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Row, Select

from placet.gateway.git_address import GitAddress
from placet.projects import Limits
from placet.projects.packing import Packed
from placet.rules import Verdict


class Sources(Protocol):
    """Where uploaded archives are kept, by the digest they came with."""

    async def has(self, digest: str) -> bool: ...

    async def keep(self, digest: str, archive: Path) -> None:
        """Keep the archive; keeping it again changes nothing. Raises Unavailable."""

    def read(self, digest: str) -> AsyncIterator[bytes]:
        """The archive's bytes. Raises Unknown."""


class Repositories(Protocol):
    """Where sources are fetched from that somebody else keeps."""

    async def check_out(self, address: GitAddress, into: Path) -> str:
        """Write the files there into an empty folder, as they would lie in a clone; the commit's id.

        Raises Refused for what is not there, not allowed or not to be had this way, TooLarge, Unavailable.
        """


class Packing(Protocol):
    """How a folder that a stranger filled becomes an archive, without harm to who waits for it."""

    async def pack(self, folder: Path, archive: Path, limits: Limits, *, sent: Path | None = None) -> Packed:
        """Pack a folder as `placet deploy` does; a zip or tar that was `sent` is unpacked to it first.

        Raises Refused, TooLarge.
        """


class Rules(Protocol):
    """What the certifier's rules of stage submit would say of a source, before anybody asks for it."""

    async def admit_exceptions(self, now: datetime) -> Mapping[str, bool]:
        """Every rule of every stage that is in force, and whether it admits exceptions."""

    async def judge(self, workspace: Path, now: datetime, *, partial: bool = False) -> Sequence[Verdict]:
        """The verdicts on the archive that lies in a folder, which is used; `partial`: those that can be told where
        placet.yaml has mistakes. Raises Refused where it is no project."""


class PolicyFiles(Protocol):
    """Where the certifier finds what was submitted, by the digest of its bytes."""

    async def keep(self, digest: str, file: bytes) -> None:
        """Keep the file; keeping it again changes nothing. Raises Unavailable."""

    async def read(self, digest: str) -> bytes:
        """Raises Unknown, Unavailable."""


class Facts(Protocol):
    """What rules saw, as the certifier recorded it; none where there is nothing (any more) with this digest.

    Raises Unavailable.
    """

    async def seen(self, digest: str) -> bytes | None: ...

    async def personal(self, digest: str) -> bytes | None: ...

    def all_personal(self) -> AsyncIterator[str]:
        """The digests of all that is about people."""

    async def remove_personal(self, digest: str) -> bool:
        """Whether it was there. Raises Refused where the registry removes nothing."""

    async def sweep(self, before: datetime) -> None:
        """Remove the bytes of what was removed before then, where the registry does not do that by itself."""


class SnapshotFiles(Protocol):
    """Where the certifier finds the advisories that were submitted, by the digest of their bytes."""

    async def keep(self, digest: str, file: Path) -> None:
        """Keep the file; keeping it again changes nothing. Raises Unavailable."""

    def read(self, digest: str) -> AsyncIterator[bytes]:
        """Its bytes, in pieces. Raises Unknown, Unavailable."""


class AssessmentFiles(Protocol):
    """Where the certifier finds questionnaires and answers, by the digests of their bytes."""

    async def keep_questionnaire(self, digest: str, file: bytes) -> None:
        """Keep the file; keeping it again changes nothing. Raises Unavailable."""

    async def questionnaire(self, digest: str) -> bytes:
        """Raises Unknown, Unavailable."""

    async def keep_answers(self, answers: bytes) -> str:
        """The digest that they are kept by. Raises Unavailable."""

    async def answers(self, digest: str) -> bytes:
        """Raises Unknown, also once they were taken away, and Unavailable."""

    async def remove_answers(self, digest: str) -> bool:
        """Whether they were there. Raises Unavailable, and Refused where the registry removes nothing."""

    async def sweep(self, before: datetime) -> None:
        """Remove the bytes of what was removed before then, where the registry does not do that by itself."""


class Envelopes(Protocol):
    """Where certificates lie: beside their images."""

    async def read(self, repository: str, envelope: str) -> dict[str, Any]:
        """The DSSE envelope with this digest. Raises Unknown, Unavailable."""


@dataclass(frozen=True, kw_only=True)
class Referrer:
    """Something in the registry that speaks of an image: a certificate, a bill of materials, a scan."""

    digest: str
    artifact_type: str | None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What the registry itself has of an image."""

    labels: Mapping[str, str]
    referrers: Sequence[Referrer]


class Images(Protocol):
    async def look_up(self, repository: str, image: str) -> Labelled | None:
        """The image's labels and referrers; none if it is not there. Raises Unavailable."""


class Reads(Protocol):
    """Selects on the gateway's own tables, for handlers that fold what they hear into what is there."""

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Ports:
    sources: Sources
    repositories: Repositories
    packing: Packing
    rules: Rules
    policies: PolicyFiles
    facts: Facts
    snapshots: SnapshotFiles
    assessments: AssessmentFiles
    envelopes: Envelopes
    images: Images
