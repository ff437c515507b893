"""What is in this image? A CycloneDX 1.7 bill of materials: the model, every package, and who needs whom.

It says what the lock, the wheels' own metadata and the project's card say, and judges none of it. It is made from
the finished image and changes nothing in it. The same image gives the same bytes: there is no time in it, and the
serial number is derived from the image's digest. A package's hashes are those that the lock allows: of the wheels
that fit the image's Python and platform, which are seldom more than one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from placet.builder.layers_packages import PackageFacts, spdx
from placet.builder.locking import OF_PROJECT, OF_RUNTIME, Lock, Locked
from placet.oci.content import encode_json
from placet.projects import Card
from placet.projects.manifest import DataSet

MEDIA_TYPE = "application/vnd.cyclonedx+json"
"""Also the type of the artifact that refers to the image."""

_IMAGE, _MODEL, _BASE = "image", "model", "base"
_OWN_LICENCE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is told of the model. `files` are digests by path; the last three are the project's own words."""

    format: str
    path: str
    files: Mapping[str, str]
    card: Card | None
    purpose: str | None
    data: tuple[DataSet, ...]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an image was made of. `base` is its repository and digest, `own` are placet's distributions in it."""

    project: str
    source: str
    image: str
    builder_version: str
    base: tuple[str, str] | None
    model: ModelFacts
    lock: Lock
    packages: Mapping[str, PackageFacts]
    own: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class FoundPackage:
    """A package that says of itself in an image that it is there. `kind` is whose: `pypi`, or `deb`."""

    kind: str
    name: str
    version: str
    licence: str = ""
    is_spdx: bool = False


@dataclass(frozen=True, kw_only=True)
class FoundContents:
    """What can be said of an image that a Dockerfile made. `base` is as that names it, or none; `packages` is none
    where they could not be read."""

    project: str
    source: str
    image: str
    builder_version: str
    base: str | None
    model: ModelFacts
    packages: tuple[FoundPackage, ...] | None


def bill_of_what_was_found(contents: FoundContents) -> bytes:
    """Of an image that a Dockerfile made: what is in its source, and what its layers say of themselves.

    It claims to be no more: who needs whom nobody said, and what came without a word of itself is not in it.
    """
    components = [_model(contents.project, contents.model)]
    if contents.base is not None:
        components.append(_base(*contents.base.rsplit("@", 1)))
    components += [_found(package) for package in contents.packages or ()]
    packages = "not read" if contents.packages is None else "found in the layers"
    return _document(
        contents.builder_version,
        _image(
            contents.project, contents.image, {"placet:source": contents.source, "placet:packages": packages}
        ),
        components,
        [],
        [{"aggregate": "incomplete", "assemblies": [_IMAGE]}],
    )


def _found(package: FoundPackage) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{quote(package.version, safe='')}"
    return {
        "type": "library",
        "bom-ref": f"{package.kind}/{package.name}@{package.version}",
        "name": package.name,
        "version": package.version,
        "properties": _properties({"placet:packages": package.kind}),
        # What a Debian package is called depends on whose it is, which its own words do not say.
        **({"purl": purl} if package.kind == "pypi" else {}),
    } | _licences(package.licence, is_spdx=package.is_spdx)


def bill_of_materials(contents: Contents) -> bytes:
    """The document's bytes."""
    image = _image(
        contents.project,
        contents.image,
        {"placet:source": contents.source, "placet:lock": contents.lock.digest},
    )
    return _document(contents.builder_version, image, _components(contents), _dependencies(contents))


def _document(
    builder_version: str,
    image: dict[str, Any],
    components: list[dict[str, Any]],
    dependencies: list[dict[str, Any]],
    compositions: list[dict[str, Any]] | None = None,
) -> bytes:
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"oci:{image['version']}")
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "serialNumber": f"urn:uuid:{serial}",
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "component": image,
            "tools": {
                "components": [{"type": "application", "name": "placet-builder", "version": builder_version}]
            },
        },
        "components": components,
        "dependencies": dependencies,
        **({"compositions": compositions} if compositions else {}),
    }
    return encode_json(document)


def purl(package: Locked) -> str:
    """The package's address that names no index: `pkg:pypi/numpy@2.4.6`."""
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='')}"


def _image(project: str, image: str, properties: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "container",
        "bom-ref": _IMAGE,
        "name": project,
        "version": image,
        "purl": f"pkg:oci/{project}@{quote(image, safe='')}",
        "hashes": _hashes([image]),
        "properties": _properties(properties),
    }


def _base(repository: str, digest: str) -> dict[str, Any]:
    return {
        "type": "container",
        "bom-ref": _BASE,
        "name": repository,
        "version": digest,
        "hashes": _hashes([digest]),
    }


def _components(contents: Contents) -> list[dict[str, Any]]:
    components = [_model(contents.project, contents.model)]
    if contents.base is not None:
        components.append(_base(*contents.base))
    components += [
        {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": version,
            "licenses": [{"expression": _OWN_LICENCE, "acknowledgement": "declared"}],
        }
        for name, version in sorted(contents.own.items())
    ]
    return components + [
        _package(package, contents.packages[package.name]) for package in contents.lock.packages
    ]


def _package(package: Locked, facts: PackageFacts) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        "hashes": _hashes(package.hashes),
        "properties": _properties({"placet:part": "serving" if package.is_serving else "project"}),
    } | _licences(facts.licence, is_spdx=facts.is_spdx)


def _licences(said: str, *, is_spdx: bool) -> dict[str, Any]:
    if not said:
        return {}
    if is_spdx:
        return {"licenses": [{"expression": said, "acknowledgement": "declared"}]}
    return {"licenses": [{"license": {"name": said, "acknowledgement": "declared"}}]}


def _model(project: str, model: ModelFacts) -> dict[str, Any]:
    card = model.card
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": project,
        "properties": _properties(
            {"placet:format": model.format, "placet:path": model.path}
            | ({"placet:languages": ", ".join(card.languages)} if card and card.languages else {})
        ),
    }
    if set(model.files) == {model.path}:
        component["hashes"] = _hashes(model.files.values())
    else:
        component["components"] = [
            {"type": "file", "bom-ref": f"{_MODEL}/{path}", "name": path, "hashes": _hashes([digest])}
            for path, digest in sorted(model.files.items())
        ]
    if card is not None and card.licence:
        known = spdx(card.licence)
        component |= _licences(known or card.licence, is_spdx=known is not None)
    if card is not None and card.tags:
        component["tags"] = sorted(set(card.tags))
    if model_card := _model_card(model):
        component["modelCard"] = model_card
    return component


def _model_card(model: ModelFacts) -> dict[str, Any]:
    """Only what somebody said; a card that nobody wrote is left out rather than made up."""
    card: dict[str, Any] = {}
    named = {each.name for each in model.data}
    of_card = [name for name in dict.fromkeys(model.card.datasets if model.card else ()) if name not in named]
    if data := [*map(_data_set, model.data), *({"type": "dataset", "name": name} for name in of_card)]:
        card["modelParameters"] = {"datasets": data}
    if model.card and model.card.metrics:
        metrics = [{"type": metric} for metric in dict.fromkeys(model.card.metrics)]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    if model.purpose:
        card["considerations"] = {"useCases": [model.purpose]}
    return card


def _data_set(data: DataSet) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "dataset", "name": data.name}
    if data.origin:
        described["description"] = data.origin
    if data.licence:
        described["contents"] = {"properties": _properties({"placet:licence": data.licence})}
    if data.personal_data:
        described["sensitiveData"] = ["personal data"]
    return described


def _dependencies(contents: Contents) -> list[dict[str, Any]]:
    """Each component with those it needs, as far as the resolver said. What asks is the model, or placet's server."""
    needs: dict[str, set[str]] = {_IMAGE: {_MODEL, *contents.own}, _MODEL: set()}
    if contents.base is not None:
        needs[_IMAGE].add(_BASE)
        needs[_BASE] = set()
    refs = {package.name: purl(package) for package in contents.lock.packages}
    needs |= {name: set() for name in contents.own} | {ref: set() for ref in refs.values()}
    for package in contents.lock.packages:
        for asker in package.asked_by:
            if asker == OF_PROJECT:
                needs[_MODEL].add(refs[package.name])
            elif asker == OF_RUNTIME:
                for own in contents.own:
                    needs[own].add(refs[package.name])
            elif asker in refs:
                needs[refs[asker]].add(refs[package.name])
    return [{"ref": ref, "dependsOn": sorted(needed)} for ref, needed in sorted(needs.items())]


def _hashes(digests: Iterable[str]) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")} for digest in sorted(digests)]


def _properties(properties: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(properties.items())]
