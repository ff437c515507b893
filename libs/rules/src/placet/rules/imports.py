"""Which modules does a project's Python import that neither it, nor Python, nor what it requires seems to bring?

Told from the code and from names alone, so alike on every machine: what is installed here says nothing of the image.
A package may bring modules under any name, and whatever it requires itself, so this is a guess, for a warning.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from placet.projects import read_imports

# The model server is made of it, so that it is in each image.
_ALWAYS_THERE = frozenset({"numpy", "placet"})
# Packages whose modules have another name. Several bring the same one.
_BROUGHT_BY: Mapping[str, tuple[str, ...]] = {
    "Crypto": ("pycryptodome",),
    "PIL": ("pillow", "pillow-simd"),
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "dateutil": ("python-dateutil",),
    "docx": ("python-docx",),
    "dotenv": ("python-dotenv",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "igraph": ("igraph", "python-igraph"),
    "imblearn": ("imbalanced-learn",),
    "jwt": ("pyjwt",),
    "Levenshtein": ("levenshtein", "python-levenshtein"),
    "magic": ("python-magic",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "pkg_resources": ("setuptools",),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn", "scikit-learn-intelex"),
    "sksurv": ("scikit-survival",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel"),
    "umap": ("umap-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "yaml": ("pyyaml",),
}


def unnamed(start: str, files: Mapping[str, Path], required: Iterable[str]) -> list[str]:
    """Top-level modules that the file `start`, or one of the project that it imports, names and nothing seems to
    bring. `required` are the names of the packages that the project asks for."""
    packages = {str(canonicalize_name(name)) for name in required}
    return sorted(name for name in _foreign(start, files) if not _is_brought(name, packages))


def _foreign(start: str, files: Mapping[str, Path]) -> set[str]:
    """What is imported from outside of the project, from `start` on."""
    own = _modules_beside(start, files)
    found: set[str] = set()
    left, seen = [start], {start}
    while left:
        for name in read_imports(files[left.pop()]):
            if name not in own:
                found.add(name)
            elif name not in seen:
                seen.add(name)
                left += own[name]
    return found


def _modules_beside(start: str, files: Mapping[str, Path]) -> dict[str, list[str]]:
    """By its name, the files of each module that the model server finds beside the model."""
    folder = PurePosixPath(start).parent
    modules: dict[str, list[str]] = {}
    for name in files:
        path = PurePosixPath(name)
        if path.suffix == ".py" and path.is_relative_to(folder):
            modules.setdefault(PurePosixPath(path.relative_to(folder).parts[0]).stem, []).append(name)
    return modules


def _is_brought(name: str, packages: set[str]) -> bool:
    if name in sys.stdlib_module_names or name in _ALWAYS_THERE:
        return True
    known = _BROUGHT_BY.get(name, (name,))
    # `google` and its like are shared by packages that begin so.
    return any(canonicalize_name(each) in packages for each in known) or any(
        package.startswith(f"{canonicalize_name(name)}-") for package in packages
    )
