"""What a platform decided about releases, as its log tells it, and what its rules saw then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from placet.client import Client, CloudEvent

EVENTS = "placet.certifier.*"
_STAGES: Mapping[str, Literal["submit", "certify"]] = {
    "placet.certifier.release.cleared.v1": "submit",
    "placet.certifier.certificate.issued.v1": "certify",
}
_REFUSED = "placet.certifier.release.refused.v1"


class Facts(msgspec.Struct, frozen=True):
    """Digests: of what rules saw, and of what of it is about people."""

    facts: str
    personal: str | None = None


class Said(msgspec.Struct, frozen=True):
    """What one rule said."""

    rule: str
    policy: str
    result: str
    on_fail: str
    exception: str | None = None

    @property
    def is_refusal(self) -> bool:
        return self.result != "pass" and self.on_fail != "warn" and self.exception is None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A release at one stage. `facts` are none where there was nothing to see."""

    project: str
    release: int
    stage: Literal["submit", "certify"]
    verdicts: tuple[Said, ...]
    at: str = ""
    certificate: str | None = None
    facts: Facts | None = None


async def judgements(platform: Client, project: str | None = None) -> AsyncIterator[Judgement]:
    """All, in the order in which they were made."""
    async for event in platform.events(type=EVENTS, project=project):
        judgement = judgement_of(event)
        if judgement is not None:
            yield judgement


def judgement_of(event: CloudEvent) -> Judgement | None:
    kind = str(event.get("type"))
    if kind not in _STAGES and kind != _REFUSED:
        return None
    data = event["data"] | {"at": event["time"]} | ({"stage": _STAGES[kind]} if kind in _STAGES else {})
    return msgspec.convert(data, Judgement)


async def facts_of(
    platform: Client, records: Sequence[Facts], *, with_people: bool
) -> dict[str, dict[str, Any]]:
    """What rules saw, by the digest of its facts; without those that are gone. People are told only if asked for."""
    people = {each.personal for each in records if each.personal is not None} if with_people else set()
    found = await platform.facts(list(dict.fromkeys(each.facts for each in records)), personal=sorted(people))
    seen = {}
    for each in records:
        facts = found.get(each.facts)
        if facts is not None:
            personal = found.get(each.personal) if each.personal and with_people else None
            seen[each.facts] = facts | ({"personal": personal["personal"]} if personal else {})
    return seen
