"""Sources, policies, advisories, certificates, questionnaires and answers as artifacts in the OCI registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from placet.errors import Refused, Unknown, Unreadable
from placet.gateway.ports import Labelled, Referrer
from placet.oci import ArtifactFile, ImageConfig, Registry, fetch_artifact, push_artifact, sha256_digest
from placet.rules.recorded import MAX_FACTS_BYTES

REPOSITORY = "sources"
SOURCE_TYPE = "application/vnd.placet.source.v1+tar"
POLICIES = "policies"
FACTS, PERSONAL = "facts", "personal"
POLICY_TYPE = "application/vnd.placet.policy.v1+yaml"
ADVISORIES = "advisories"
ADVISORIES_TYPE = "application/vnd.placet.advisories.v1+zip"
QUESTIONNAIRES = "questionnaires"
QUESTIONNAIRE_TYPE = "application/vnd.placet.questionnaire.v1"
ASSESSMENTS = "assessments"
ANSWERS_TYPE = "application/vnd.placet.answers.v1+json"
MAX_ANSWERS = 2 * 1024 * 1024
MAX_DOCUMENT = 4 * 1024 * 1024
"""Of a policy or a questionnaire, which were looked through when they came."""
MAX_ENVELOPE = 1024 * 1024
MAX_CONFIG = 4 * 1024 * 1024


class RegistrySources:
    """Archives in repository `sources`, tagged with the hex of their digest."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def has(self, digest: str) -> bool:
        return await self._registry.resolve(REPOSITORY, _tag(digest)) is not None

    async def keep(self, digest: str, archive: Path) -> None:
        file = ArtifactFile(content=archive, media_type=SOURCE_TYPE, digest=digest)
        await push_artifact(
            self._registry, REPOSITORY, artifact_type=SOURCE_TYPE, files=(file,), tag=_tag(digest)
        )

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        async for chunk in self._registry.stream_blob(REPOSITORY, digest):
            yield chunk


class RegistryPolicies:
    """The `PolicyFiles` port: in repository `policies`, tagged with the hex of their digests."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def keep(self, digest: str, file: bytes) -> None:
        kept = ArtifactFile(content=file, media_type=POLICY_TYPE, digest=digest)
        await push_artifact(
            self._registry, POLICIES, artifact_type=POLICY_TYPE, files=(kept,), tag=_tag(digest)
        )

    async def read(self, digest: str) -> bytes:
        return await self._registry.read_blob(POLICIES, digest, limit=MAX_DOCUMENT)


class RegistryFacts:
    """The `Facts` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def seen(self, digest: str) -> bytes | None:
        return await self._read(FACTS, digest)

    async def personal(self, digest: str) -> bytes | None:
        # A registry forgets a blob later than the tag, and what was erased is not to be seen from then on.
        is_there = await self._registry.resolve(PERSONAL, _tag(digest)) is not None
        return await self._read(PERSONAL, digest) if is_there else None

    async def all_personal(self) -> AsyncIterator[str]:
        for tag in await self._registry.tags(PERSONAL):
            yield f"sha256:{tag}"

    async def remove_personal(self, digest: str) -> bool:
        return await _remove(self._registry, PERSONAL, digest)

    async def sweep(self, before: datetime) -> None:
        await self._registry.sweep(PERSONAL, before=before)

    async def _read(self, repository: str, digest: str) -> bytes | None:
        try:
            return await self._registry.read_blob(repository, digest, limit=MAX_FACTS_BYTES)
        except Unknown:
            return None


class RegistrySnapshots:
    """The `SnapshotFiles` port: in repository `advisories`, tagged with the hex of their digests."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def keep(self, digest: str, file: Path) -> None:
        kept = ArtifactFile(content=file, media_type=ADVISORIES_TYPE, digest=digest)
        await push_artifact(
            self._registry, ADVISORIES, artifact_type=ADVISORIES_TYPE, files=(kept,), tag=_tag(digest)
        )

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        async for chunk in self._registry.stream_blob(ADVISORIES, digest):
            yield chunk


class RegistryAssessments:
    """The `AssessmentFiles` port: in repositories `questionnaires` and `assessments`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def keep_questionnaire(self, digest: str, file: bytes) -> None:
        kept = ArtifactFile(content=file, media_type=QUESTIONNAIRE_TYPE, digest=digest)
        await push_artifact(
            self._registry,
            QUESTIONNAIRES,
            artifact_type=QUESTIONNAIRE_TYPE,
            files=(kept,),
            tag=_tag(digest),
        )

    async def questionnaire(self, digest: str) -> bytes:
        return await self._registry.read_blob(QUESTIONNAIRES, digest, limit=MAX_DOCUMENT)

    async def keep_answers(self, answers: bytes) -> str:
        digest = sha256_digest(answers)
        kept = ArtifactFile(content=answers, media_type=ANSWERS_TYPE, digest=digest)
        await push_artifact(
            self._registry, ASSESSMENTS, artifact_type=ANSWERS_TYPE, files=(kept,), tag=_tag(digest)
        )
        return digest

    async def answers(self, digest: str) -> bytes:
        # As with what is about people: the tag is gone before the bytes are.
        if await self._registry.resolve(ASSESSMENTS, _tag(digest)) is None:
            raise Unknown(f"the answers {digest} are kept no longer", fix="answer the questionnaire again")
        return await self._registry.read_blob(ASSESSMENTS, digest, limit=MAX_ANSWERS)

    async def remove_answers(self, digest: str) -> bool:
        return await _remove(self._registry, ASSESSMENTS, digest)

    async def sweep(self, before: datetime) -> None:
        await self._registry.sweep(ASSESSMENTS, before=before)


class RegistryEnvelopes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def read(self, repository: str, envelope: str) -> dict[str, Any]:
        artifact = await fetch_artifact(self._registry, repository, envelope, limit=MAX_ENVELOPE)
        document: dict[str, Any] = msgspec.json.decode(artifact.contents[0])
        return document


class RegistryImages:
    """The `Images` port."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def look_up(self, repository: str, image: str) -> Labelled | None:
        try:
            manifest = await self._registry.manifest(repository, image)
            if manifest.config is None:
                return None
            body = await self._registry.read_blob(repository, manifest.config.digest, limit=MAX_CONFIG)
            labels = ImageConfig.parse(body).labels
        except (Refused, Unreadable):
            return None  # also Unknown: gone, or not what its digest says
        referrers = await self._registry.referrers(repository, image)
        return Labelled(
            labels=labels,
            referrers=tuple(
                Referrer(digest=each.digest, artifact_type=each.artifact_type) for each in referrers
            ),
        )


async def _remove(registry: Registry, repository: str, digest: str) -> bool:
    manifest = await registry.resolve(repository, _tag(digest))
    if manifest is None:
        return False
    try:
        await registry.delete_manifest(repository, manifest)
    except Unknown:
        return False  # somebody else was first
    return True


def _tag(digest: str) -> str:
    return digest.removeprefix("sha256:")
