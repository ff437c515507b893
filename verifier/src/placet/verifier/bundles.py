"""A bundle: one archive, and the list of what is in it.

It is read strictly, since it will be unpacked, and not by us: plain files with the names that bundles have, one behind
the other, and nothing before, between or behind them that another program might take for a file.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile

from placet.verifier.documents import read_object, sha256_of
from placet.verifier.dossier import FORM
from placet.verifier.failures import Unsupported, Wrong

FORMAT = "https://placet.dev/bundle/v1"
MAX_FILE_BYTES = 64 * 1024**2
MAX_FILES = 200_000
EVIDENCE = frozenset(
    ("policies", "facts", "people", "certificates", "assessments", "questionnaires", "answers", "images")
)
"""Folders of what events name by digest."""
_NAME = re.compile(
    r"manifest\.json|README\.txt|dossier\.html|checkpoint\.txt|keys/log\.txt|events/[0-9]{12,19}\.(?:json|tlog-proof)"
    rf"|(?:{'|'.join(sorted(EVIDENCE))})/[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,198}}[A-Za-z0-9_-])?"
)
_ENTRY_BYTES, _END_BYTES = 30 + 46, 22
"""Of a zip: what it takes for a file besides its name twice and its bytes, and for its end."""
_LARGE_BYTES, _LARGE_ENTRY_BYTES = 56 + 20, 12
"""What more it takes where it is large: at its end, and for a file that begins behind the first two GiB."""


class Bundle:
    """The files, each of which is what the list of files says. Raises Wrong."""

    def __init__(self, path: str) -> None:
        try:
            self._read(path)
        except (
            OSError,
            EOFError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            struct.error,
        ) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise Wrong(f"{path} is no bundle: {why}") from error
        self.index = read_object(self.files.pop("manifest.json", b"null"), "manifest.json")
        if self.index.get("format") != FORMAT:
            raise Wrong(f"{path} is no bundle of a kind that is known here")
        form = self.index.get("dossier", FORM)
        if form != FORM:
            raise Wrong(
                f"{path} has a dossier of form {form}, and {FORM} is known here: take the verifier that came with it"
            )
        listed: dict[str, tuple[str, int | None]] = {}
        for each in self.index["files"]:
            if each["path"] in listed:
                raise Wrong(f"{each['path']} is listed twice")
            listed[each["path"]] = (each["digest"], each.get("size"))
        for name, data in self.files.items():
            digest, size = listed.pop(name, (None, None))
            if digest != sha256_of(data) or size not in (None, len(data)):
                raise Wrong(f"{name} is not the file that the bundle lists")
        for name in listed:
            raise Wrong(f"{name} is listed, and is not in the bundle")
        self.by_digest = {sha256_of(data): data for data in self.files.values()}

    def _read(self, path: str) -> None:
        self.files: dict[str, bytes] = {}
        with zipfile.ZipFile(path) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_FILES:
                raise Wrong(f"{path} has {len(entries)} files")
            for each in entries:
                _judge_entry(each)
            if _bytes_of(entries) != os.path.getsize(path):
                raise Wrong(f"{path} holds something besides its files: another program might see other ones")
            folded: set[str] = set()
            for each in entries:
                # Where capital letters are as good as small ones, the one would be unpacked over the other.
                if each.filename.lower() in folded:
                    raise Wrong(f"{each.filename} is in the bundle twice")
                folded.add(each.filename.lower())
                self.files[each.filename] = opened.read(each)

    def below(self, folder: str) -> list[str]:
        return sorted(name for name in self.files if name.startswith(f"{folder}/"))

    def artifact(self, digest: str) -> bytes:
        """The first file of the registry's artifact that has this digest. Raises Unsupported if it is not here."""
        manifest = self.by_digest.get(digest)
        if manifest is None:
            raise Unsupported(f"{digest} is not in the bundle")
        layers = read_object(manifest, f"the artifact {digest}").get("layers") or [{}]
        found = self.by_digest.get(layers[0].get("digest", ""))
        if found is None:
            raise Unsupported(f"what {digest} holds is not in the bundle")
        return found


def _judge_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    if not _NAME.fullmatch(name) or entry.filename != name:
        raise Wrong(f"{name!r} is no file that a bundle has")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_FILE_BYTES:
        raise Wrong(f"{name} is compressed, or larger than any file of a bundle")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise Wrong(f"{name} is no plain file")


def _bytes_of(entries: list[zipfile.ZipInfo]) -> int:
    """Of an archive that has these files, and not a byte more."""
    begins, size = 0, 0
    for each in sorted(entries, key=lambda entry: entry.header_offset):
        name = len(each.filename)
        size += _ENTRY_BYTES + 2 * name + each.file_size
        size += _LARGE_ENTRY_BYTES if each.header_offset > zipfile.ZIP64_LIMIT else 0
        if each.header_offset != begins:
            raise Wrong(f"{each.filename} does not lie right behind what comes before it")
        begins += 30 + name + each.file_size
    is_large = len(entries) > zipfile.ZIP_FILECOUNT_LIMIT or begins > zipfile.ZIP64_LIMIT
    return size + _END_BYTES + (_LARGE_BYTES if is_large else 0)
