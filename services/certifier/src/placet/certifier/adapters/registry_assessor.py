"""Questionnaires, answers to them and signed scores, in the registry by their digests."""

from __future__ import annotations

import msgspec

from placet.assessments import Given, Outcome, Reading, scored, shipped_by_digest
from placet.assessments.questionnaire import MAX_QUESTIONNAIRE_BYTES
from placet.errors import Refused
from placet.oci import ArtifactFile, Registry, push_artifact
from placet.trust import ScoredAssessment, assessments
from placet.trust.key_files import KeyFiles

QUESTIONNAIRES = "questionnaires"
ANSWERS = "assessments"
MAX_ANSWERS_BYTES = 2 * 1024**2
ENVELOPE_TYPE = "application/vnd.placet.assessment.v1"
MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"


class RegistryAssessor:
    """The `Assessor` port. Answers are scored in a process of its own."""

    def __init__(self, registry: Registry, keys: KeyFiles) -> None:
        self._registry = registry
        self._keys = keys
        self._shipped = shipped_by_digest()

    async def score(self, digest: str, reading: Reading, answers: str) -> Outcome:
        file = self._shipped.get(digest) or await self._registry.read_blob(
            QUESTIONNAIRES, digest, limit=MAX_QUESTIONNAIRE_BYTES
        )
        kept = await self._registry.read_blob(ANSWERS, answers, limit=MAX_ANSWERS_BYTES)
        return await scored(file, reading, _given(kept))

    async def sign(self, assessment: ScoredAssessment) -> str:
        active = await self._keys.active()
        envelope = assessments.issue(assessment, active.key)
        file = ArtifactFile(content=envelope.to_json(), media_type=MEDIA_TYPE)
        tag = assessment.assessment.removeprefix("assessment:")
        manifest = await push_artifact(
            self._registry, ANSWERS, artifact_type=ENVELOPE_TYPE, files=(file,), tag=tag
        )
        return manifest.digest


def _given(kept: bytes) -> Given:
    """Whatever else lies there with the answers is for who reads them."""
    try:
        return msgspec.json.decode(kept, type=Given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("what lies there are no answers at all", fix="answer again") from error
