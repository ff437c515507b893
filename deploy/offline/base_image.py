"""A base image out of Debian's own packages: Python, the libraries that wheels expect, and nothing else.

    python deploy/offline/base_image.py http://127.0.0.1:5000 [--repository bases/python] [--add PACKAGE …]

For whoever reaches no other registry, or wants to know what is in a base. The packages come from this machine's own apt
sources, which apt checks by their signatures (`apt-get update` first), and are those of this machine's release and
architecture. They are unpacked, and none of their scripts is run; there is no shell, no package manager and no user but
nobody in the image. The same packages give the same digest. The last line says what to set PLACET_BASE_IMAGE to.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from debian import Contents, compressed, run, unpacked, written
from placet.errors import PlacetError
from placet.oci import ImageConfig, Manifest, Platform, open_registry
from placet.oci.content import OCI_CONFIG, OCI_LAYER_GZIP

REPOSITORY = "bases/python"
PYTHON = Contents(
    packages=("python3-minimal", "libpython3-stdlib", "libgomp1", "libstdc++6", "tzdata", "netbase"),
    links={"usr/bin/python": "python3"},
)
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("registry", help="http(s)://host:port, or the folder of an image layout")
    parser.add_argument("--repository", default=REPOSITORY, help=f"where in it ({REPOSITORY})")
    parser.add_argument("--add", action="append", default=[], metavar="PACKAGE", help="one package more")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="placet-base-") as scratch:
            contents = replace(PYTHON, packages=(*PYTHON.packages, *asked.add))
            plain, layer = Path(scratch) / "layer.tar", Path(scratch) / "layer"
            diff_id = written(contents, unpacked(contents, Path(scratch)), plain)
            compressed(plain, layer)
            digest = asyncio.run(pushed(layer, diff_id, asked.registry, asked.repository))
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        sys.stderr.write(f"{' '.join(map(str, error.cmd))} failed: {said}\n")
        return 1
    sys.stdout.write(f"{asked.repository}@{digest}\n")
    return 0


async def pushed(layer: Path, diff_id: str, address: str, repository: str) -> str:
    """The digest of the image, which is in the registry then."""
    architecture = run("dpkg", "--print-architecture").strip()
    registry = open_registry(address)
    try:
        described = await registry.put_blob(repository, layer, media_type=OCI_LAYER_GZIP)
        config = ImageConfig(
            platform=Platform(os="linux", architecture=architecture),
            diff_ids=(diff_id,),
            env=ENVIRONMENT,
            cmd=("python",),
            user="65532",
            history=("Debian packages",),
        )
        kept = await registry.put_blob(repository, config.encode(), media_type=OCI_CONFIG)
        return await registry.put_manifest(repository, Manifest.image(config=kept, layers=(described,)))
    finally:
        await registry.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
