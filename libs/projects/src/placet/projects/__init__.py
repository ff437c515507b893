"""The model project: placet.yaml, the source archive, model formats, scans and the card."""

from placet.projects.archive import (
    DEFAULT_LIMITS,
    Limits,
    PackedSource,
    SourceContents,
    SourceFile,
    inspect_archive,
    pack,
    project_files,
    unpack,
)
from placet.projects.documents import DocumentRefused, Problem
from placet.projects.manifest import (
    MANIFEST_NAME,
    PROJECT_PATTERN,
    Manifest,
    dump_manifest,
    manifest_schema,
    parse_manifest,
)

__all__ = [
    "DEFAULT_LIMITS",
    "MANIFEST_NAME",
    "PROJECT_PATTERN",
    "DocumentRefused",
    "Limits",
    "Manifest",
    "PackedSource",
    "Problem",
    "SourceContents",
    "SourceFile",
    "dump_manifest",
    "inspect_archive",
    "manifest_schema",
    "pack",
    "parse_manifest",
    "project_files",
    "unpack",
]
