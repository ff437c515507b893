"""The builder's whole workshop on disk: a source goes in, an image comes out, or nothing is left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from placet.builder.adapters.image_workshop import ImageWorkshop
from placet.builder.ports import Compiler, Engine, Packages
from placet.builder.settings import DEFAULT_LIMITS, Limits
from placet.events.contracts.builder import ImageBuilt
from placet.events.testing import ManualClock
from placet.oci import ImageLayout, Registry
from placet.projects import pack

from tests.unit.builder.fake_index import FakeCompiler, FakePackages
from tests.unit.builder.workshop import WHEELS

MANIFEST = b"""\
apiVersion: placet/v1
project: churn
model: {format: python, path: model.bin}
requirements: requirements.txt
governance: {purpose: To know who is about to leave}
card: README.md
"""
FILES: Mapping[str, bytes] = {
    "placet.yaml": MANIFEST,
    "model.bin": b"the model",
    "requirements.txt": b"light\nheavy\n",
    "README.md": b"---\nlicense: mit\n---\nProse.",
}


def fake_packages() -> FakePackages:
    return FakePackages(dict(WHEELS), serving=("server",))


@dataclass
class Shop:
    """A folder for the builder's data and one for the registry, which outlast any workshop in them."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def registry(self) -> ImageLayout:
        return ImageLayout(self.folder / "registry")

    async def upload(self, files: Mapping[str, bytes] = FILES) -> str:
        """Keep a source in the registry, as the gateway does; its digest."""
        project = self.folder / "project"
        for name, content in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_bytes(content)
        packed = pack(project, self.folder / "source.tar")
        await self.registry.put_blob("sources", self.folder / "source.tar", digest=packed.digest)
        return packed.digest

    def workshop(
        self,
        *,
        registry: Registry | None = None,
        packages: Packages | None = None,
        compiler: Compiler | None = None,
        limits: Limits = DEFAULT_LIMITS,
        base: str = "none",
        engine: Engine | None = None,
    ) -> ImageWorkshop:
        return ImageWorkshop(
            registry=registry or self.registry,
            base=base,
            data=self.data,
            packages=packages or fake_packages(),
            compiler=compiler or FakeCompiler(),
            limits=limits,
            clock=self.clock,
            keep_logs=timedelta(days=30),
            engine=engine,
        )

    async def build(self, source: str) -> ImageBuilt:
        """A build in which nothing goes wrong."""
        return await self.workshop().build("churn", 1, source)

    def log(self) -> str:
        return self.workshop().log_of("churn", 1).read_text()

    def leftovers(self) -> list[str]:
        """Work that nobody does any more, in the builder's folders and the registry's."""
        work = self.data / "layers" / "work"
        return [*(os.listdir(work) if work.exists() else ()), *map(str, self.folder.rglob(".partial-*"))]
