"""What an event names by digest, and what that is called in a bundle; here for who makes it and who checks it.

Whoever unpacks a bundle looks at names: a file of another name would be taken for what it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from placet.verifier.documents import read_base64, read_object
from placet.verifier.failures import Wrong

CERTIFICATES = "certificates"
ABOUT_PEOPLE = ("people", "answers")
"""Folders of what is in a bundle only where it was asked for."""
MANIFEST = ".manifest"
"""Behind the name of what an artifact of the registry holds: the artifact's own."""


class Named(NamedTuple):
    """Something that an event names by digest, where the registry has it, and where it goes in the archive."""

    kind: Literal["blob", "tagged", "artifact"]
    repository: str
    digest: str | None
    path: str
    is_of_people: bool = False


def named_in(kind: str, data: Mapping[str, Any]) -> Iterator[Named]:
    """By an event of that kind, `placet.certifier.certificate.issued`. Raises KeyError or TypeError where its data are
    not formed so."""
    if kind in ("placet.certifier.release.cleared", "placet.certifier.release.refused"):
        yield from _facts_of(data.get("facts"), f"{data.get('stage', 'submit')}-{data['release']}")
        yield from _policies_of(data["policies"])
    elif kind == "placet.certifier.certificate.issued":
        name = data["certificate"].rpartition(":")[2]
        yield from _facts_of(data.get("facts"), f"certify-{data['release']}-{name}")
        yield Named("artifact", data["repository"], data["envelope"], f"{CERTIFICATES}/{name}.dsse.json")
    elif kind == "placet.certifier.policy.published":
        yield from _policies_of([{**data, "id": data["policy"]}])
    elif kind == "placet.certifier.approval.awaited":
        yield from _policies_of(data["binding"]["policies"])
    elif kind == "placet.certifier.assessment.scored":
        name = data["assessment"].rpartition(":")[2]
        yield Named("artifact", "assessments", data["envelope"], f"assessments/{name}.dsse.json")
    elif kind == "placet.gateway.assessment.answered":
        name = data["assessment"].rpartition(":")[2]
        path = f"questionnaires/{data['questionnaire']}-{data['digest'][7:19]}"
        yield Named("blob", "questionnaires", data["digest"], path)
        yield Named("blob", "assessments", data["answers"], f"answers/{name}.json", is_of_people=True)
    elif kind == "placet.builder.image.built":
        name = data["image"][7:19]
        yield Named("artifact", data["repository"], data.get("bom"), f"images/{name}.cdx.json")
        yield Named("artifact", data["repository"], data.get("provenance"), f"images/{name}.provenance.json")


def named_by_certificate(content: bytes) -> Iterator[Named]:
    """The policies of both stages, which only a certificate names. What is none is for whoever verifies to say."""
    try:
        payload = read_base64(read_object(content, "a certificate")["payload"], "a payload")
        policies = list(_policies_of(read_object(payload, "a statement")["predicate"]["policies"]))
    except (Wrong, KeyError, TypeError, AttributeError):
        return
    yield from policies


def beside(path: str, digest: str) -> str:
    """Of two with one name, what the second is called."""
    stem, _, suffix = path.partition(".")
    return f"{stem}-{digest[len('sha256:') :]}.{suffix}"


def _facts_of(recorded: Mapping[str, Any] | None, name: str) -> Iterator[Named]:
    if recorded is not None:
        yield Named("blob", "facts", recorded["facts"], f"facts/{name}.json")
        yield Named("tagged", "personal", recorded.get("personal"), f"people/{name}.json", is_of_people=True)


def _policies_of(references: Iterable[Mapping[str, Any]]) -> Iterator[Named]:
    for each in references:
        path = f"policies/{each['id']}-{each['version']}-{each['digest'][7:19]}.yaml"
        yield Named("blob", "policies", each["digest"], path)
