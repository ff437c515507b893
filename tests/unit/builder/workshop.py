"""A place to build images in: a registry on disk, a cache and a package index in memory."""

from __future__ import annotations

import os
from pathlib import Path

from placet.builder.assembly import BuiltImage, ImagePlan, assemble
from placet.builder.assembly_image import Base
from placet.oci import ImageConfig, ImageLayout, Manifest, Platform, Registry, unpack_layers
from placet.oci.content import OCI_CONFIG, OCI_LAYER_GZIP

from tests.unit.builder.fake_index import FakeCompiler, FakePackages, Wheel

PLAN = ImagePlan(
    project="churn",
    source="sha256:" + "5" * 64,
    format="python",
    model="models/model.bin",
    sample="sample.json",
    requirements="requirements.txt",
    trusted=("b.Type", "a.Type"),
    builder_version="1.0",
)
PROJECT = {
    "requirements.txt": b"light\nheavy\n",
    "models/model.bin": b"the model",
    "sample.json": b"{}",
    "src/code.py": b"print('never run')",
}
WHEELS = {
    "light": Wheel("1.0", {"light/__init__.py": b"x = 1", "light/tests/test.py": b"y = 2"}),
    "heavy": Wheel("2.0", {"heavy/__init__.py": b"z = 3", "heavy/data": os.urandom(1024) * 9000}),
    "server": Wheel("3.0", {"server.py": b"s = 4"}, needs=("light",)),
}


class Workshop:
    """A registry, a cache and an index, and the lines that builds logged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry: Registry = ImageLayout(folder / "registry")
        self.packages = FakePackages(dict(WHEELS), serving=("server",))
        self.log: list[str] = []

    def project(self, files: dict[str, bytes], name: str = "project") -> Path:
        for path, content in files.items():
            (self.folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name / path).write_bytes(content)
        return self.folder / name

    async def build(
        self,
        project: Path,
        plan: ImagePlan = PLAN,
        *,
        repository: str = "models/churn",
        base: Base | None = None,
        python: str = "cp311",
        cache: str = "cache",
    ) -> BuiltImage:
        return await assemble(
            project,
            plan,
            registry=self.registry,
            repository=repository,
            base=base,
            cache_dir=self.folder / cache,
            python=python,
            platform="linux/amd64",
            packages=self.packages,
            compiler=FakeCompiler(),
            log=self.log.append,
        )

    async def config(self, image: BuiltImage) -> ImageConfig:
        manifest = await self.registry.manifest(image.repository, image.digest)
        assert manifest.config is not None
        return ImageConfig.parse(await self.registry.read_blob(image.repository, manifest.config.digest))

    async def files(self, image: BuiltImage, *, skip: int = 0) -> dict[str, bytes]:
        manifest = await self.registry.manifest(image.repository, image.digest)
        tree = await unpack_layers(
            self.registry, image.repository, manifest, self.folder / "unpacked", skip=skip
        )
        return {
            path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()
        }


async def put_base(registry: Registry, *, architecture: str = "amd64") -> Manifest:
    layer = await registry.put_blob("bases/python", b"base layer", media_type=OCI_LAYER_GZIP)
    config = ImageConfig(
        platform=Platform(os="linux", architecture=architecture),
        diff_ids=("sha256:" + "b" * 64,),
        env={"PATH": "/usr/bin", "PYTHONPATH": "/elsewhere"},
    )
    kept = await registry.put_blob("bases/python", config.encode(), media_type=OCI_CONFIG)
    manifest = Manifest.image(config=kept, layers=[layer])
    await registry.put_manifest("bases/python", manifest)
    return manifest
