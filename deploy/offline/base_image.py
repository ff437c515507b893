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
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import placet.builder.adapters
from placet.builder.ports import bytecode_at_most
from placet.errors import PlacetError
from placet.oci import ImageConfig, Manifest, Platform, open_registry
from placet.oci.content import OCI_CONFIG, OCI_LAYER_GZIP

REPOSITORY = "bases/python"
COMPILER = str(Path(placet.builder.adapters.__file__).with_name("compile_files.py"))
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libgomp1", "libstdc++6", "tzdata", "netbase")
# What packages depend on for the sake of their scripts, which are not run, and what only those bring along.
LEFT_OUT = re.compile(
    r"dpkg|install-info|perl.*|libperl.*|tar|debconf.*|cdebconf|mailcap|mime-support|readline-common"
    r"|libgdbm-compat.*|libselinux1|libacl1|libpcre.*|libmd0"
)
# Of the files: what only people or the package manager read. Licences stay.
PRUNED = re.compile(r"usr/share/(man|info|lintian|locale|bug|doc-base|doc/(?!.*/copyright$).*)(/|$)")
LISTED = Path("var/lib/dpkg/status.d")
"""What is in the image, where those look who search images for packages that must not be there."""
FILES = {
    "etc/passwd": b"root:x:0:0:root:/:/nonexistent\nnobody:x:65532:65532:nobody:/nonexistent:/nonexistent\n",
    "etc/group": b"root:x:0:\nnobody:x:65532:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}
LINKS = {
    **{name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
    "usr/bin/python": "python3",
}
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
            root = unpacked(closure((*PACKAGES, *asked.add)), Path(scratch))
            digest = asyncio.run(pushed(root, Path(scratch), asked.registry, asked.repository))
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        sys.stderr.write(f"{' '.join(map(str, error.cmd))} failed: {said}\n")
        return 1
    sys.stdout.write(f"{asked.repository}@{digest}\n")
    return 0


def closure(wanted: Iterable[str]) -> list[str]:
    """These packages and all that they need, sorted."""
    found: set[str] = set()
    new = set(wanted)
    while new:
        found |= new
        said = run("apt-cache", "depends", "--important", *sorted(new))
        named = set(re.findall(r"^ +\|?(?:Pre)?Depends: ([^<\s]+)$", said, re.MULTILINE))
        new = {name for name in named - found if not LEFT_OUT.fullmatch(name)}
    return sorted(found)


def unpacked(packages: list[str], scratch: Path) -> Path:
    """The folder with the files of these packages, laid out as the distribution has them."""
    sys.stderr.write(f"{len(packages)} packages: {' '.join(packages)}\n")
    archives, root = scratch / "archives", scratch / "root"
    archives.mkdir()
    root.mkdir()
    run("apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", *packages, folder=archives)
    for archive in sorted(archives.iterdir()):
        run("dpkg-deb", "--extract", str(archive), str(root))
        listed = root / LISTED / archive.name.partition("_")[0]
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text(run("dpkg-deb", "--field", str(archive)))
    for name, target in LINKS.items():
        link = root / name
        if link.is_dir() and not link.is_symlink():  # a package from before /usr was merged
            shutil.copytree(link, root / target, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    (root / "tmp").mkdir(exist_ok=True)
    compiled(root)
    return root


def compiled(root: Path) -> None:
    """Bytecode beside the standard library, by the Python that was unpacked: without it, each start from a read-only
    image compiles a few hundred modules. The builder's own compiler gives the same bytes every time."""
    (loader,) = root.glob("usr/lib/*/ld-linux*.so.*")
    (python,) = root.glob("usr/bin/python3.[0-9]*[0-9]")
    (library,) = root.glob("usr/lib/python3.[0-9]*")
    tag = f"cpython-{library.name.removeprefix('python').replace('.', '')}"
    sources = [path for path in sorted(library.rglob("*.py")) if path.is_file() and not path.is_symlink()]
    listed = [
        (str(path), f"/{path.relative_to(root)}", bytecode_at_most(path.stat().st_size)) for path in sources
    ]
    into = root.with_name("bytecode")
    sizes = json.loads(
        run(
            *(
                str(loader),
                "--library-path",
                str(loader.parent),
                str(python),
                "-s",
                "-S",
                COMPILER,
                str(into),
            ),
            environment={"PYTHONHOME": str(root / "usr")},
            given=json.dumps(listed).encode(),
        )
    )
    with into.open("rb") as made:
        for path, size in zip(sources, sizes, strict=True):
            if size:
                cached = path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"
                cached.parent.mkdir(exist_ok=True)
                cached.write_bytes(made.read(size))


async def pushed(root: Path, scratch: Path, address: str, repository: str) -> str:
    """The digest of the image, which is in the registry then."""
    layer = scratch / "layer"
    diff_id = written(root, layer)
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


def written(root: Path, into: Path) -> str:
    """The files as a layer whose bytes depend on nothing else; the digest of its archive."""
    plain = into.with_suffix(".tar")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            if not PRUNED.match(name):
                archive.add(root / name, arcname=name, recursive=False, filter=nobodys)
    with plain.open("rb") as source, into.open("wb") as target:
        with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed:
            shutil.copyfileobj(source, packed)
        source.seek(0)
        return f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"


def nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, of no time, and never with another's rights."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o1777 if member.name == "tmp" else (0o755 if member.mode & 0o100 else 0o644)
    return member


def run(
    *command: str, folder: Path | None = None, environment: dict[str, str] | None = None, given: bytes = b""
) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, check=True)
    return done.stdout.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
