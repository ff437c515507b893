"""The model project: placet.yaml, the source archive, model formats, scans and the card."""

from placet.projects.archive import (
    DEFAULT_LIMITS,
    Complaints,
    Limits,
    PackedSource,
    SourceContents,
    SourceFile,
    inspect_archive,
    pack,
    project_files,
    read_one,
    unpack,
)
from placet.projects.card import MAX_CARD_BYTES, Card, Measured, parse_card
from placet.projects.dockerfiles import DOCKERFILE, Dockerfile, read_dockerfile
from placet.projects.documents import DocumentRefused, Problem
from placet.projects.formats import (
    FORMATS,
    MLFLOW,
    PYTORCH,
    SAFETENSORS,
    Recognised,
    Served,
    initial_manifest,
    project_name,
    recognise,
    recognise_at,
    recognise_file,
    served,
    trial_manifest,
)
from placet.projects.incoming import IncomingFolder, only_folder, unpack_sent
from placet.projects.manifest import (
    MANIFEST_NAME,
    PROJECT_PATTERN,
    RESERVED_NAME,
    Manifest,
    dump_manifest,
    manifest_schema,
    parse_manifest,
)
from placet.projects.mlflow_models import MLMODEL, Column, MlflowModel, read_mlflow_model
from placet.projects.onnx_files import outside_data
from placet.projects.pickles import Finding, Scan, scan_pickle
from placet.projects.pins import Pins, pins, requirements_text
from placet.projects.pt2_files import program_problems, torch_operators
from placet.projects.python_files import PythonModel, read_module, read_python
from placet.projects.skops_files import trusted_types, untrusted_types

__all__ = [
    "DEFAULT_LIMITS",
    "DOCKERFILE",
    "FORMATS",
    "MANIFEST_NAME",
    "MAX_CARD_BYTES",
    "MLFLOW",
    "MLMODEL",
    "PROJECT_PATTERN",
    "PYTORCH",
    "RESERVED_NAME",
    "SAFETENSORS",
    "Card",
    "Column",
    "Complaints",
    "Dockerfile",
    "DocumentRefused",
    "Finding",
    "IncomingFolder",
    "Limits",
    "Manifest",
    "Measured",
    "MlflowModel",
    "PackedSource",
    "Pins",
    "Problem",
    "PythonModel",
    "Recognised",
    "Scan",
    "Served",
    "SourceContents",
    "SourceFile",
    "dump_manifest",
    "initial_manifest",
    "inspect_archive",
    "manifest_schema",
    "only_folder",
    "outside_data",
    "pack",
    "parse_card",
    "parse_manifest",
    "pins",
    "program_problems",
    "project_files",
    "project_name",
    "read_dockerfile",
    "read_mlflow_model",
    "read_module",
    "read_one",
    "read_python",
    "recognise",
    "recognise_at",
    "recognise_file",
    "requirements_text",
    "scan_pickle",
    "served",
    "torch_operators",
    "trial_manifest",
    "trusted_types",
    "unpack",
    "unpack_sent",
    "untrusted_types",
]
