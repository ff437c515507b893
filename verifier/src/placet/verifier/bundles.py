"""A bundle: one archive, and the list of what is in it."""

from __future__ import annotations

import zipfile

from placet.verifier.documents import read_object, sha256_of
from placet.verifier.failures import Unsupported, Wrong

FORMAT = "https://placet.dev/bundle/v1"
MAX_FILE_BYTES = 64 * 1024**2
MAX_FILES = 200_000


class Bundle:
    """The files, each of which is what the list of files says. Raises Wrong."""

    def __init__(self, path: str) -> None:
        try:
            self._read(path)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Wrong(f"{path} is no bundle: {error}") from error
        self.index = read_object(self.files.pop("manifest.json", b"null"), "manifest.json")
        if self.index.get("format") != FORMAT:
            raise Wrong(f"{path} is no bundle of a kind that is known here")
        listed = {each["path"]: each["digest"] for each in self.index["files"]}
        for name, data in self.files.items():
            if listed.pop(name, None) != sha256_of(data):
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
                if each.filename in self.files:
                    raise Wrong(f"{each.filename} is in the bundle twice")
                if each.compress_type != zipfile.ZIP_STORED or each.file_size > MAX_FILE_BYTES:
                    raise Wrong(f"{each.filename} is compressed, or larger than any file of a bundle")
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
