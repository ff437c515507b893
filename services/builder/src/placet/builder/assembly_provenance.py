"""How was this image made? SLSA v1 provenance: an in-toto Statement about the image, with everything that went in.

    https://placet.dev/build/v1: the archive `externalParameters.source` was unpacked, its requirements were locked
    to wheels for `internalParameters.python` and `.platform`, and wheels, model, code and placet's model server
    were laid over the base, in that order, with no line of the project's code run.

    https://placet.dev/build/dockerfile/v1: the Dockerfile `externalParameters.dockerfile` of that archive was built in
    the Docker Engine that `internalParameters.engine` names. Its steps ran, with `internalParameters.network` in
    reach; what they took from there nobody recorded.

It names no time, no machine and no invocation, so the same image gives the same bytes. It is not signed: the
builder has no key. What it says holds as far as whoever may write to the registry is trusted, and anybody can
check it by building the source again.
"""

from __future__ import annotations

from typing import Any

from placet.builder.assembly_bom import Contents, FoundContents, purl
from placet.builder.locking import Locked
from placet.oci import sha256_digest
from placet.oci.content import encode_json

MEDIA_TYPE = "application/vnd.in-toto+json"
"""Also the type of the artifact that refers to the image."""
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://placet.dev/build/v1"
DOCKERFILE_BUILD_TYPE = "https://placet.dev/build/dockerfile/v1"
BUILDER = "https://placet.dev/builder"


def provenance(contents: Contents, *, repository: str, python: str, platform: str, bom: bytes) -> bytes:
    """The statement's bytes. `bom` is the image's bill of materials."""
    base = contents.base
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"project": contents.project, "source": contents.source},
        "internalParameters": {
            "base": "none" if base is None else f"{base[0]}@{base[1]}",
            "platform": platform,
            "python": python,
        },
        "resolvedDependencies": [
            {"name": "source", "digest": _sha256(contents.source)},
            {"name": "requirements.lock", "digest": _sha256(contents.lock.digest)},
            *([] if base is None else [{"name": base[0], "digest": _sha256(base[1])}]),
            *map(_package, contents.lock.packages),
        ],
    }
    return _statement(contents, repository, definition, bom)


def provenance_of_dockerfile(
    contents: FoundContents,
    *,
    repository: str,
    dockerfile: str,
    images: tuple[str, ...],
    engine: str,
    network: str,
    platform: str,
    bom: bytes,
) -> bytes:
    """The statement's bytes. `images` are all that the Dockerfile takes from, by digest."""
    definition = {
        "buildType": DOCKERFILE_BUILD_TYPE,
        "externalParameters": {
            "project": contents.project,
            "source": contents.source,
            "dockerfile": dockerfile,
        },
        "internalParameters": {
            "base": contents.base or "none",
            "engine": engine,
            "network": network,
            "platform": platform,
        },
        "resolvedDependencies": [
            {"name": "source", "digest": _sha256(contents.source)},
            *(
                {"name": name, "digest": _sha256(digest)}
                for name, _, digest in (i.rpartition("@") for i in images)
            ),
        ],
    }
    return _statement(contents, repository, definition, bom)


def _statement(
    contents: Contents | FoundContents, repository: str, definition: dict[str, Any], bom: bytes
) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": repository, "digest": _sha256(contents.image)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": definition,
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"placet-builder": contents.builder_version}},
                "byproducts": [
                    {"name": "bom.cdx.json", "digest": _sha256(sha256_digest(bom))},
                ],
            },
        },
    }
    return encode_json(statement)


def _package(package: Locked) -> dict[str, Any]:
    """A package by its hash; where the lock allows several wheels, since all of them fit, they are listed beside it."""
    described: dict[str, Any] = {"name": package.name, "uri": purl(package)}
    hashes = [one.removeprefix("sha256:") for one in package.hashes]
    if len(hashes) == 1:
        return described | {"digest": {"sha256": hashes[0]}}
    return described | {"annotations": {"sha256": hashes}}


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
