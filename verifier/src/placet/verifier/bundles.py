"""A bundle: one archive, and the list of what is in it.

It is read strictly, since it will be unpacked, and not by us: plain files with the names that bundles have, one behind
the other, and nothing before, between or behind them that another program might take for a file.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile

from placet.verifier.documents import read_object, sha256_of
from placet.verifier.dossier import FORM
from placet.verifier.failures import Unsupported, Wrong

FORMAT = "https://placet.dev/bundle/v1"
MAX_FILE_BYTES = 64 * 1024**2
MAX_BYTES = 1024**3
"""Of all files: whoever makes a bundle has a quarter of that, and both have all of it in memory."""
MAX_FILES = 200_000
EVIDENCE = frozenset(
    ("policies", "facts", "people", "certificates", "assessments", "questionnaires", "answers", "images")
)
"""Folders of what events name by digest."""
_NAME = re.compile(
    r"manifest\.json|README\.txt|dossier\.html|checkpoint\.txt|keys/log\.txt|events/[0-9]{12,19}\.(?:json|tlog-proof)"
    rf"|(?:{'|'.join(sorted(EVIDENCE))})/[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,198}}[A-Za-z0-9_-])?"
)
_HEAD, _LISTED, _LONGEST_END = 30, 46, 128
"""Bytes that a zip has for a file besides its name, before it and in the list at the end; and more than its end has."""
_FAR = 12
"""Bytes more in that list where a file begins behind the first two GiB."""
_INDEX = frozenset(("format", "dossier", "project", "at", "origin", "size", "people", "files"))
_KINDS = {"project": str, "at": str, "origin": str, "size": int, "people": bool, "dossier": int}
_ENTRY = frozenset(("path", "digest", "size"))


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
        for name, kind in _KINDS.items():
            if type(self.index.get(name, kind())) is not kind:
                raise Wrong(f"the list of files has a {name} that no bundle has")
        form = self.index.get("dossier", FORM)
        if form != FORM:
            raise Wrong(
                f"{path} has a dossier of form {form}, and {FORM} is known here: take the verifier that came with it"
            )
        for unknown in sorted(self.index.keys() - _INDEX):
            raise Wrong(f"the list of files says {unknown}, which no bundle does")
        listed: dict[str, tuple[str, int | None]] = {}
        for each in self.index["files"]:
            for unknown in sorted(each.keys() - _ENTRY):
                raise Wrong(f"the list of files says {unknown} of {each['path']}, which no bundle does")
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
        with open(path, "rb") as file, zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_FILES:
                raise Wrong(f"{path} has {len(entries)} files")
            for each in entries:
                _judge_entry(each)
            if sum(each.file_size for each in entries) > MAX_BYTES:
                raise Wrong(f"{path} holds more than {MAX_BYTES} bytes, and no bundle does")
            begins = 0
            for each in sorted(entries, key=lambda entry: entry.header_offset):
                file.seek(begins)
                if each.header_offset != begins or file.read(_HEAD + len(each.filename)) != _head_of(each):
                    raise Wrong(
                        f"{each.filename} does not lie right behind what comes before it, as it is listed"
                    )
                begins += _HEAD + len(each.filename) + each.file_size
            size = sum(_LISTED + len(each.filename) + len(each.extra) for each in entries)
            file.seek(begins + size)
            if opened.start_dir != begins or file.read(_LONGEST_END) != _end_of(len(entries), begins, size):
                raise Wrong(f"{path} holds something besides its files: another program might see other ones")
            folded: set[str] = set()
            for each in entries:
                # Where capital letters are as good as small ones, the one would be unpacked over the other.
                if each.filename.lower() in folded:
                    raise Wrong(f"{each.filename} is in the bundle twice")
                folded.add(each.filename.lower())
                self.files[each.filename] = opened.read(each)

    def file(self, name: str) -> bytes:
        """Raises Wrong for one that every bundle has, and this one has not."""
        if name not in self.files:
            raise Wrong(f"{name} is not in the bundle: it was taken out")
        return self.files[name]

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
    extra = _FAR if entry.header_offset > zipfile.ZIP64_LIMIT else 0
    if (entry.flag_bits, entry.compress_size, entry.volume) != (0, entry.file_size, 0) or (
        entry.comment or len(entry.extra) != extra
    ):
        raise Wrong(f"{name} is listed with something besides its name and size")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise Wrong(f"{name} is no plain file")


def _head_of(entry: zipfile.ZipInfo) -> bytes:
    """What has to stand before the file: programs that read an archive from its beginning go by that alone."""
    year, month, day, hour, minute, second = entry.date_time
    at = hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
    size, name = entry.file_size, entry.filename.encode()
    numbers = (zipfile.DEFAULT_VERSION, 0, zipfile.ZIP_STORED, *at, entry.CRC, size, size, len(name), 0)
    return struct.pack("<4s5H3L2H", b"PK\3\4", *numbers) + name


def _end_of(count: int, at: int, size: int) -> bytes:
    """Of a zip of so many files, whose list of `size` bytes begins at `at`."""
    far = b""
    if count > zipfile.ZIP_FILECOUNT_LIMIT or at > zipfile.ZIP64_LIMIT:
        version = zipfile.ZIP64_VERSION
        numbers = (44, version, version, 0, 0, count, count, size, at)
        far = struct.pack("<4sQ2H2L4Q", b"PK\6\6", *numbers)
        far += struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    counts = min(count, 0xFFFF), min(count, 0xFFFF), min(size, 0xFFFFFFFF), min(at, 0xFFFFFFFF)
    return far + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, 0)
