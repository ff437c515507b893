"""OCI registries and image layouts: one port, `Registry`, and an adapter for each.

`open_registry` takes an address and gives the adapter for it. `push_artifact` and `fetch_artifact` keep
anything that is no image; `unpack_layers` lays an image's files out on disk, and `link_tree` once more elsewhere.
"""

from placet.oci.artifacts import Artifact, ArtifactFile, fetch_artifact, push_artifact
from placet.oci.authentication import Credentials
from placet.oci.content import (
    Descriptor,
    ImageConfig,
    Manifest,
    Platform,
    is_digest,
    is_repository,
    sha256_digest,
)
from placet.oci.distribution import DistributionRegistry
from placet.oci.image_layout import ImageLayout
from placet.oci.opening import open_registry
from placet.oci.registry import Registry
from placet.oci.unpacking import UnpackLimits, link_tree, unpack_layers

__all__ = [
    "Artifact",
    "ArtifactFile",
    "Credentials",
    "Descriptor",
    "DistributionRegistry",
    "ImageConfig",
    "ImageLayout",
    "Manifest",
    "Platform",
    "Registry",
    "UnpackLimits",
    "fetch_artifact",
    "is_digest",
    "is_repository",
    "link_tree",
    "open_registry",
    "push_artifact",
    "sha256_digest",
    "unpack_layers",
]
