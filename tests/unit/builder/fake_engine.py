"""A container engine in memory: it builds nothing, and hands over the image that a test gives it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from placet.builder.ports import EngineImage, Log

SERVES: Mapping[str, Any] = MappingProxyType({"Cmd": ["serve"], "User": "65532"})


def layer(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@dataclass
class FakeEngine:
    """`layers` and `run` are the image's; `created` is when it was made; `lies` about its layers; `hangs` for ever."""

    layers: Sequence[bytes] = field(default_factory=lambda: (layer({"app/server": b"serve"}),))
    run: Mapping[str, Any] = field(default_factory=lambda: SERVES)
    created: str = "2026-11-26T21:15:41.106189143Z"
    lies: bool = False
    hangs: bool = False
    seen: list[str] = field(default_factory=list)

    async def build(self, folder: Path, dockerfile: str, archive: Path, log: Log) -> EngineImage:
        self.seen += await asyncio.to_thread(_files, folder)
        log(f"Step 1/1 : of {dockerfile}")
        if self.hangs:
            await asyncio.Event().wait()
        diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in self.layers]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": self.created,
            "container": self.created,
            "config": {"Hostname": self.created, **self.run},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] if self.lies else diff_ids},
            "history": [{"created": self.created, "created_by": "COPY"} for _ in self.layers],
        }
        names = [f"{number}/layer.tar" for number in range(len(self.layers))]
        manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
        documents = {
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }
        packed = layer(dict(zip(names, self.layers, strict=True)) | documents)
        await asyncio.to_thread(archive.write_bytes, packed)
        return EngineImage(id=diff_ids[0], size=100, engine="docker 1.0", network="none")


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
