"""What lies in a registry: descriptors, manifests, image configurations, and how they are named.

Everything here is a frozen value. A manifest keeps the bytes it was read from, because its digest is the
digest of those bytes and of no other spelling. This module does no I/O.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from placet.errors import Refused, TooLarge, Unreadable

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTET_STREAM = "application/octet-stream"

MANIFEST_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)

MANIFEST_LIMIT = 4 * 1024 * 1024
"""The largest manifest that registries promise to take, in bytes."""

READ_LIMIT = 64 * 1024 * 1024
"""The largest blob read into memory unless the caller says otherwise, in bytes."""

NOTHING: Mapping[str, str] = MappingProxyType({})

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def sha256_digest(content: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def checked_digest(text: str) -> str:
    """The digest itself, or `Refused`: digests become paths and URLs, so nothing else gets through."""
    if not is_digest(text):
        raise Refused(f"{text!r} is no digest", fix="write sha256: and 64 hexadecimal digits, lower case")
    return text


def is_repository(name: str) -> bool:
    return len(name) <= 255 and _REPOSITORY.fullmatch(name) is not None


def checked_repository(name: str) -> str:
    if not is_repository(name):
        raise Refused(f"{name!r} is no repository name", fix="use lower-case words joined by . _ - and /")
    return name


def checked_reference(text: str) -> str:
    """A digest or a tag."""
    if not is_digest(text) and _TAG.fullmatch(text) is None:
        raise Refused(f"{text!r} is neither a digest nor a tag")
    return text


def encode_json(document: Any) -> bytes:
    """One spelling per document, so that the same content has the same digest everywhere."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True)
class Platform:
    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Where some content is found and how it is checked."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    platform: Platform | None = None

    @classmethod
    def of(cls, content: bytes, media_type: str = OCTET_STREAM) -> Descriptor:
        return cls(media_type=media_type, digest=sha256_digest(content), size=len(content))

    @classmethod
    def parse(cls, document: object) -> Descriptor:
        match document:
            case {"mediaType": str(media_type), "digest": str(digest), "size": int(size), **rest} if (
                is_digest(digest) and size >= 0
            ):
                return cls(
                    media_type=media_type,
                    digest=digest,
                    size=size,
                    artifact_type=_text_or_none(rest.get("artifactType")),
                    annotations=_texts(rest.get("annotations")),
                    platform=_platform(rest.get("platform")),
                )
        raise Unreadable(f"not a descriptor with mediaType, sha256 digest and size: {document!r:.200}")

    def document(self) -> dict[str, Any]:
        """Its JSON form; what is absent is left out."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type is not None:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform is not None:
            platform = {"os": self.platform.os, "architecture": self.platform.architecture}
            document["platform"] = platform | (
                {"variant": self.platform.variant} if self.platform.variant else {}
            )
        return document


EMPTY = Descriptor.of(b"{}", OCI_EMPTY)
"""The descriptor of the empty JSON object, which stands for "no configuration" in an artifact."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An image manifest, an artifact manifest or an image index, with the bytes it is known by.

    An index has `manifests` and neither `config` nor `layers`; the others are the opposite.
    """

    body: bytes = field(repr=False)
    media_type: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)

    @classmethod
    def image(
        cls,
        *,
        config: Descriptor,
        layers: Iterable[Descriptor],
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] = NOTHING,
    ) -> Manifest:
        """A new image or artifact manifest."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.document(),
            "layers": [layer.document() for layer in layers],
        }
        return cls._written(document, artifact_type, subject, annotations)

    @classmethod
    def index(cls, manifests: Iterable[Descriptor], *, annotations: Mapping[str, str] = NOTHING) -> Manifest:
        """A new index."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [manifest.document() for manifest in manifests],
        }
        return cls._written(document, None, None, annotations)

    @classmethod
    def _written(
        cls,
        document: dict[str, Any],
        artifact_type: str | None,
        subject: Descriptor | None,
        annotations: Mapping[str, str],
    ) -> Manifest:
        if artifact_type is not None:
            document["artifactType"] = artifact_type
        if subject is not None:
            document["subject"] = subject.document()
        if annotations:
            document["annotations"] = dict(annotations)
        return cls.parse(encode_json(document))

    @classmethod
    def parse(cls, body: bytes, media_type: str | None = None) -> Manifest:
        """Read a manifest's bytes. `media_type` is what the transport said, for documents that do not say."""
        if len(body) > MANIFEST_LIMIT:
            raise TooLarge(f"a manifest of {len(body)} bytes; the limit is {MANIFEST_LIMIT}")
        document = _json_object(body, "manifest")
        said = document.get("mediaType", media_type)
        if said not in MANIFEST_TYPES:
            said = OCI_INDEX if "manifests" in document else OCI_MANIFEST
        if said in INDEX_TYPES:
            config: Descriptor | None = None
            layers: tuple[Descriptor, ...] = ()
            manifests = _descriptors(document.get("manifests"))
        else:
            config = Descriptor.parse(document.get("config"))
            layers = _descriptors(document.get("layers"))
            manifests = ()
        subject = document.get("subject")
        return cls(
            body=body,
            media_type=said,
            config=config,
            layers=layers,
            manifests=manifests,
            artifact_type=_text_or_none(document.get("artifactType")),
            subject=None if subject is None else Descriptor.parse(subject),
            annotations=_texts(document.get("annotations")),
        )

    @cached_property
    def digest(self) -> str:
        return sha256_digest(self.body)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.body))

    @property
    def referrer(self) -> Descriptor:
        """How an index of referrers lists this manifest: with its artifact type and annotations."""
        kind = self.artifact_type or (self.config.media_type if self.config else None)
        return Descriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=len(self.body),
            artifact_type=kind,
            annotations=self.annotations,
        )

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configuration and layers: the blobs that have to be there before the manifest."""
        return (() if self.config is None else (self.config,)) + self.layers


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What a container runtime needs to know beside the files."""

    platform: Platform
    diff_ids: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    history: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> ImageConfig:
        document = _json_object(body, "image configuration")
        match document:
            case {
                "os": str(system),
                "architecture": str(architecture),
                "rootfs": {"diff_ids": list(diff_ids)},
            } if all(isinstance(diff_id, str) and is_digest(diff_id) for diff_id in diff_ids):
                pass
            case _:
                raise Unreadable("an image configuration without os, architecture or rootfs.diff_ids")
        run = document.get("config") or {}
        if not isinstance(run, dict):
            raise Unreadable("an image configuration whose config is no object")
        return cls(
            platform=Platform(
                os=system, architecture=architecture, variant=_text_or_none(document.get("variant"))
            ),
            diff_ids=tuple(diff_ids),
            env=dict(entry.split("=", 1) for entry in _text_list(run.get("Env")) if "=" in entry),
            cmd=_text_list(run.get("Cmd")),
            entrypoint=_text_list(run.get("Entrypoint")),
            user=_text_or_none(run.get("User")) or "",
            working_dir=_text_or_none(run.get("WorkingDir")) or "",
            ports=tuple(sorted(run.get("ExposedPorts") or {})),
            labels=_texts(run.get("Labels")),
            history=tuple(
                str(step.get("created_by", ""))
                for step in document.get("history") or []
                if isinstance(step, dict) and not step.get("empty_layer")
            ),
        )

    def encode(self) -> bytes:
        """Its bytes: created at the epoch, since a time would give each build another digest."""
        run: dict[str, Any] = {"Env": [f"{name}={value}" for name, value in sorted(self.env.items())]}
        if self.cmd:
            run["Cmd"] = list(self.cmd)
        if self.entrypoint:
            run["Entrypoint"] = list(self.entrypoint)
        if self.user:
            run["User"] = self.user
        if self.working_dir:
            run["WorkingDir"] = self.working_dir
        if self.ports:
            run["ExposedPorts"] = {port: {} for port in self.ports}
        if self.labels:
            run["Labels"] = dict(self.labels)
        document: dict[str, Any] = {
            "created": "1970-01-01T00:00:00Z",
            "os": self.platform.os,
            "architecture": self.platform.architecture,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids)},
            "history": [{"created_by": step, "created": "1970-01-01T00:00:00Z"} for step in self.history],
        }
        if self.platform.variant:
            document["variant"] = self.platform.variant
        return encode_json(document)


def _json_object(body: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"a {what} that is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable(f"a {what} that is no JSON object")
    return document


def _descriptors(documents: object) -> tuple[Descriptor, ...]:
    if not isinstance(documents, list):
        raise Unreadable("a manifest without its list of layers or manifests")
    return tuple(Descriptor.parse(document) for document in documents)


def _texts(document: object) -> Mapping[str, str]:
    if document is None:
        return NOTHING
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise Unreadable("annotations or labels that are not texts by name")
    return MappingProxyType(dict(document))


def _text_list(document: object) -> tuple[str, ...]:
    if document is None:
        return ()
    if not isinstance(document, list) or not all(isinstance(entry, str) for entry in document):
        raise Unreadable("a list in an image configuration that holds more than texts")
    return tuple(document)


def _text_or_none(document: object) -> str | None:
    return document if isinstance(document, str) else None


def _platform(document: object) -> Platform | None:
    match document:
        case {"os": str(system), "architecture": str(architecture), **rest}:
            return Platform(os=system, architecture=architecture, variant=_text_or_none(rest.get("variant")))
    return None
