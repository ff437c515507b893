"""A witness over HTTP, as C2SP's tlog-witness has it."""

from __future__ import annotations

from datetime import timedelta

import aiohttp

from placet.errors import Refused, Unavailable, Unreadable
from placet.metadata.ports import Knows
from placet.trust import checkpoints
from placet.trust.checkpoints import size_in
from placet.trust.notes import Note, NoteKey, Signature
from placet.trust.proofs import ConsistencyProof

WITHIN = aiohttp.ClientTimeout(total=10)
MAX_ANSWER = 64 * 1024


class HttpWitness:
    """The `Witness` port. `url` is the witness's submission prefix."""

    pace = timedelta()

    def __init__(self, key: NoteKey, url: str) -> None:
        self._key = key
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self._key.name

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def show(self, proof: ConsistencyProof) -> Signature | Knows:
        status, text = await self._post(str(proof).encode())
        match status:
            case 200:
                return self._cosignature(proof.checkpoint, text)
            case 409:
                return self._knows(text)
            case _ if status >= 500 or status == 429:
                raise Unavailable(f"the witness {self.name} answers {status}: {text[:200]}")
            case _:
                raise Refused(
                    f"the witness {self.name} does not cosign, and answers {status}: {text[:200].strip()}"
                )

    async def _post(self, body: bytes) -> tuple[int, str]:
        if self._session is None:  # here, since a session belongs to the loop that runs now
            # As it comes: a few packed bytes may be any number of others.
            self._session = aiohttp.ClientSession(
                timeout=WITHIN, auto_decompress=False, headers={"accept-encoding": "identity"}
            )
        try:
            # A redirection would take what is signed to an address that nobody configured.
            async with self._session.post(
                f"{self.url}/add-checkpoint", data=body, allow_redirects=False
            ) as answer:
                return answer.status, (await answer.content.read(MAX_ANSWER)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            said = str(error) or "it does not answer in time"
            raise Unavailable(f"the witness {self.name} is away: {said}") from error

    def _cosignature(self, checkpoint: Note, text: str) -> Signature:
        """Raises Refused for any but a cosignature of this witness on this checkpoint."""
        try:
            signatures = [Signature.from_line(line) for line in text.splitlines()]
            own = [each for each in signatures if each.is_of(self._key)]
            if own and checkpoints.cosigned(checkpoint.with_signatures(own[:1]), [self._key]):
                return own[0]
        except Unreadable as error:
            raise Refused(f"the witness {self.name} answers with no cosignature: {error}") from error
        raise Refused(f"the witness {self.name} answers, and not with its key {self._key.vkey}")

    def _knows(self, text: str) -> Knows:
        try:
            return Knows(size=size_in(text.removesuffix("\n")))
        except Unreadable as error:
            raise Refused(f"the witness {self.name} says 409, and not which size it knows") from error
