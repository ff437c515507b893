"""Referrers where there is no referrers API: an index under the tag `sha256-<hex of the subject>`.

This is the tag schema of the OCI distribution specification. Registries cannot change a tag on condition,
so of two writers at once the later can undo the earlier. Over the network each referrer therefore gets a
tag of its own as well, `sha256-<subject>.<start of the referrer's digest>`, which nobody else writes: what
is missing in the index is found by it. These functions are the pure part; adapters read and write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from placet.oci.content import Descriptor, Manifest

_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.[0-9a-f]{40})?")


def referrers_tag(subject: str) -> str:
    """The tag of the index that lists what refers to a digest."""
    return subject.replace(":", "-", 1)


def own_tag(subject: str, referrer: str) -> str:
    """The tag that one referrer alone has."""
    return f"{referrers_tag(subject)}.{referrer.removeprefix('sha256:')[:40]}"


def is_referrers_tag(tag: str) -> bool:
    """Such tags are bookkeeping and are not shown among a repository's tags."""
    return _TAG.fullmatch(tag) is not None


def with_referrer(index: Manifest | None, referrer: Descriptor) -> Manifest | None:
    """The index with one more entry, or None if it is listed already."""
    listed = () if index is None else index.manifests
    if any(entry.digest == referrer.digest for entry in listed):
        return None
    return Manifest.index((*listed, referrer))


def without_referrer(index: Manifest | None, digest: str) -> Manifest | None:
    """The index without an entry, or None if it is not listed."""
    listed = () if index is None else index.manifests
    kept = tuple(entry for entry in listed if entry.digest != digest)
    return None if len(kept) == len(listed) else Manifest.index(kept)


def of_type(entries: Iterable[Descriptor], artifact_type: str | None) -> tuple[Descriptor, ...]:
    """The entries of one artifact type, in digest order; all of them for None."""
    return tuple(
        sorted(
            (entry for entry in entries if artifact_type in (None, entry.artifact_type)),
            key=lambda entry: entry.digest,
        )
    )
