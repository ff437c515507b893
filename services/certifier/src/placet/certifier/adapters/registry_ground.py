"""What ships and is relied on, kept in the registry as what people submit is: the next version ships something else."""

from __future__ import annotations

from collections.abc import Mapping

from placet.oci import ArtifactFile, Registry, push_artifact, sha256_digest

MEDIA_TYPES = {
    "policies": "application/vnd.placet.policy.v1+yaml",
    "questionnaires": "application/vnd.placet.questionnaire.v1",
}


class RegistryGround:
    """Keeps files by the digests that verdicts and scores name, for whoever looks at those years later."""

    def __init__(self, registry: Registry, files: Mapping[str, tuple[bytes, ...]]) -> None:
        """`files` are those of each repository."""
        self._registry = registry
        self._left = [(repository, file) for repository, each in files.items() for file in each]

    async def keep(self) -> None:
        """Those that are not known to be kept. Raises Unavailable while the registry is away."""
        while self._left:
            repository, file = self._left[-1]
            digest = sha256_digest(file)
            type_ = MEDIA_TYPES[repository]
            kept = ArtifactFile(content=file, media_type=type_, digest=digest)
            tag = digest.removeprefix("sha256:")
            await push_artifact(self._registry, repository, artifact_type=type_, files=(kept,), tag=tag)
            self._left.pop()
