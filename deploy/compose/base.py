"""Put the image that this runs in into the registry, as the base that images of models start from.

    python3 base.py REGISTRY_URL_FILE INTO

The registry of the platform may be one that nobody can pull to, and a builder has no engine: so what models start from
comes as a container of its own, which packs its own files. INTO gets `repository@digest`, for PLACET_BASE_IMAGE. The
same image gives the same digest, and is not packed again. Nothing but Python is needed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

REPOSITORY = "bases/model"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NOT_THE_IMAGES = frozenset(
    {
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "placet",
        ".dockerenv",
        "etc/hostname",
        "etc/hosts",
        "etc/mtab",
        "etc/resolv.conf",
    }
)
"""What an engine puts into every container, and compose into this one."""
KEPT = ("PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
"""Of the environment: the image's, and nothing that was said to this container alone."""
PATIENCE = 120
"""Seconds for a registry that starts."""


def main(url_file: str, into: str) -> None:
    registry = Registry(Path(url_file).read_text(encoding="utf-8").strip())
    target = Path(into)
    seen = fingerprint()
    known = target.with_suffix(".seen")
    if target.exists() and known.exists() and known.read_text(encoding="utf-8") == seen:
        reference = target.read_text(encoding="utf-8")
        if registry.has("manifests", reference.partition("@")[2]):
            sys.stdout.write(f"{reference} is there\n")
            return
    with tempfile.TemporaryDirectory() as scratch:
        layer = Path(scratch) / "layer"
        diff_id, digest = packed(layer)
        with layer.open("rb") as content:
            registry.put_blob(digest, content, layer.stat().st_size)
        config = encoded(
            {
                "os": "linux",
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
                "config": {
                    "Env": [f"{name}={os.environ[name]}" for name in KEPT if name in os.environ],
                    "User": "65532",
                },
                "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            }
        )
        registry.put_bytes(config)
        manifest = encoded(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
                "layers": [{"mediaType": LAYER, "digest": digest, "size": layer.stat().st_size}],
            }
        )
    registry.put_manifest(manifest)
    reference = f"{REPOSITORY}@{digest_of(manifest)}"
    for path, text in ((target, reference), (known, seen)):
        aside = path.with_suffix(".new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    sys.stdout.write(f"{reference}\n")


def files() -> Iterator[Path]:
    """All that is the image's, in one order whatever the disk's."""
    folders = [Path("/")]
    while folders:
        folder = folders.pop()
        for each in sorted(folder.iterdir(), reverse=True):
            name = each.relative_to("/").as_posix()
            if name in NOT_THE_IMAGES:
                continue
            yield each
            if each.is_dir() and not each.is_symlink():
                folders.append(each)


def fingerprint() -> str:
    counted = hashlib.sha256()
    for path in files():
        found = path.lstat()
        is_file = not path.is_dir()
        counted.update(f"{path} {found.st_mode} {found.st_size if is_file else 0}\n".encode())
        counted.update(f"{int(found.st_mtime) if is_file else 0}\n".encode())
    return counted.hexdigest()


def packed(layer: Path) -> tuple[str, str]:
    """The digests of the archive as it is and as it is compressed."""
    plain = layer.with_suffix(".tar")
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files()):
            member = archive.gettarinfo(str(path), arcname=path.relative_to("/").as_posix())
            if member is None:  # a socket
                continue
            member.uname = member.gname = ""
            member.mode &= 0o1777  # nobody gets another's rights
            # Bytecode is of a source's very time; of a folder it tells when a container was made.
            member.mtime = 0 if member.isdir() else int(member.mtime)
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
        for name, mode in (("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
    with (
        plain.open("rb") as source,
        layer.open("wb") as target,
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=5, mtime=0) as into,
    ):
        shutil.copyfileobj(source, into, 2**20)
    digests = []
    for path in (plain, layer):
        with path.open("rb") as content:
            digests.append(f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}")
    plain.unlink()
    return digests[0], digests[1]


class Registry:
    """At `http(s)://user:password@host[:port]`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/v2/{REPOSITORY}"
        given = f"{parts.username}:{parts.password}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(given).decode()}"}
        # Nobody's proxy is between containers of one platform.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def has(self, kind: str, digest: str) -> bool:
        try:
            self._ask("HEAD", f"{self._url}/{kind}/{digest}", headers={"Accept": MANIFEST}).close()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def put_bytes(self, content: bytes) -> None:
        digest = digest_of(content)
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            self.put_blob(digest, file, len(content))

    def put_blob(self, digest: str, content: BinaryIO, size: int) -> None:
        if self.has("blobs", digest):
            return
        begun = self._ask("POST", f"{self._url}/blobs/uploads/", headers={"Content-Length": "0"})
        place = begun.headers["Location"]
        begun.close()
        place = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        self._ask("PUT", place, body=content, headers=headers).close()

    def put_manifest(self, content: bytes) -> None:
        self._ask(
            "PUT", f"{self._url}/manifests/latest", body=content, headers={"Content-Type": MANIFEST}
        ).close()

    def _ask(
        self, method: str, url: str, *, headers: dict[str, str], body: BinaryIO | bytes | None = None
    ) -> HTTPResponse:
        until = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(  # noqa: S310 - the registry's own
                url, data=body, method=method, headers={**self._headers, **headers}
            )
            try:
                answer: HTTPResponse = self._opener.open(request, timeout=300)
                return answer
            except urllib.error.HTTPError:
                raise
            except OSError as away:
                if time.monotonic() > until:
                    raise SystemExit(f"the registry at {self._url} does not answer: {away}") from away
                if body is not None and not isinstance(body, bytes):
                    body.seek(0)
                time.sleep(1)  # noqa: TID251 - nothing else runs here


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encoded(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
