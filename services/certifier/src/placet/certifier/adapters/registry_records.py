"""What rules saw, in the registry by digest; what of it is about people in a repository of its own."""

from __future__ import annotations

import hashlib

from placet.certifier.ports import Facts
from placet.errors import Unknown
from placet.events.contracts.shapes import RecordedFacts
from placet.oci import ArtifactFile, Registry, push_artifact, sha256_digest
from placet.oci.together import together
from placet.rules.recorded import MAX_FACTS_BYTES, facts_again, only_personal, without_personal
from placet.trust.key_files import KeyFiles

FACTS = "facts"
FACTS_TYPE = "application/vnd.placet.facts.v1+json"
PERSONAL = "personal"
PERSONAL_TYPE = "application/vnd.placet.personal.v1+json"
SALTING = "the salt of what placet recorded about people of"


class RegistryRecords:
    """The `Records` port. Each is tagged with the hex of its digest; who erases one removes what the tag stands for.

    Salts follow from the key: one of chance would leave another copy of the same people behind with each second try,
    and so does one across a rotation.
    """

    def __init__(self, registry: Registry, keys: KeyFiles) -> None:
        self._registry = registry
        self._keys = keys

    async def keep(self, project: str, facts: Facts) -> RecordedFacts:
        key = (await self._keys.active()).key

        def salt(personal: bytes) -> str:
            return hashlib.sha256(key.sign(f"{SALTING} {project}\n".encode() + personal)).hexdigest()

        personal = only_personal(facts, salt)
        kept, apart = await together(
            self._keep(FACTS, FACTS_TYPE, without_personal(facts)),
            self._keep(PERSONAL, PERSONAL_TYPE, personal),
        )
        return RecordedFacts(facts=str(kept), personal=apart)

    async def read(self, recorded: RecordedFacts) -> Facts:
        facts = await self._registry.read_blob(FACTS, recorded.facts, limit=MAX_FACTS_BYTES)
        return facts_again(facts, await self._personal(recorded.personal))

    async def _personal(self, digest: str | None) -> bytes | None:
        # A registry forgets a blob later than the tag, and what was erased is not to be seen from then on.
        if digest is None or await self._registry.resolve(PERSONAL, _tag(digest)) is None:
            return None
        try:
            return await self._registry.read_blob(PERSONAL, digest, limit=MAX_FACTS_BYTES)
        except Unknown:
            return None

    async def _keep(self, repository: str, type_: str, content: bytes | None) -> str | None:
        if content is None:
            return None
        digest = sha256_digest(content)
        file = ArtifactFile(content=content, media_type=type_, digest=digest)
        await push_artifact(self._registry, repository, artifact_type=type_, files=(file,), tag=_tag(digest))
        return digest


def _tag(digest: str) -> str:
    return digest.removeprefix("sha256:")
