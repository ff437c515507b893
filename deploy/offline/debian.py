"""Files of Debian's packages, as a layer of an image: unpacked, and none of their scripts is run.

The packages come from this machine's own apt sources, which apt checks by their signatures (`apt-get update` first),
and are those of this machine's release and architecture. The same packages give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import placet.builder.adapters
from placet.builder.ports import bytecode_at_most

COMPILER = str(Path(placet.builder.adapters.__file__).with_name("compile_files.py"))
# What packages depend on for the sake of their scripts, which are not run, and what only those bring along.
LEFT_OUT = (
    r"dpkg|install-info|perl.*|libperl.*|tar|debconf.*|cdebconf|mailcap|mime-support|readline-common"
    r"|libgdbm-compat.*|libselinux1|libacl1|libpcre.*|libmd0"
)
# Of the files: what only people or the package manager read. Licences stay.
PRUNED = r"usr/share/(man|info|lintian|locale|bug|doc-base|doc/(?!.*/copyright$).*)"
LISTED = Path("var/lib/dpkg/status.d")
"""What is in the image, where those look who search images for packages that must not be there."""
NOBODY = 65532
LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Of an image: `packages` with all that they need but `left_out`, `files` and `links` of ours, `folders` with the
    number of the user whose they are, and without what `pruned` matches. `users` are there besides root and nobody."""

    packages: tuple[str, ...]
    left_out: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    pruned: str = ""
    users: Mapping[str, int] = field(default_factory=dict)

    def listed(self) -> dict[str, str]:
        """The files that say who is who, and ours."""
        users = {"root": 0, "nobody": NOBODY, **self.users}
        return {
            "etc/passwd": "".join(
                f"{name}:x:{id}:{id}:{name}:/nonexistent:/nonexistent\n" for name, id in users.items()
            ),
            "etc/group": "".join(f"{name}:x:{id}:\n" for name, id in users.items()),
            "etc/nsswitch.conf": "hosts: files dns\n",
            **self.files,
        }


def closure(contents: Contents) -> list[str]:
    """The packages and all that they need, sorted."""
    left_out = re.compile("|".join(each for each in (LEFT_OUT, contents.left_out) if each))
    needs: dict[str, set[str]] = {}
    of = ""
    # All at once: where apt keeps no cache, as in an image of Debian's, it reads its lists anew for each question.
    for line in run("apt-cache", "depends", "--important", "--recurse", *contents.packages).splitlines():
        if needed := re.fullmatch(r" +\|?(?:Pre)?Depends: ([^<\s]+)", line):
            needs[of].add(needed[1])
        elif not line.startswith(" "):
            needs[of := line] = set()
    found: set[str] = set()
    new = set(contents.packages)
    while new:
        found |= new
        new = {name for each in new for name in needs[each] - found if not left_out.fullmatch(name)}
    return sorted(found)


def unpacked(contents: Contents, scratch: Path) -> Path:
    """The folder with the files, laid out as the distribution has them."""
    packages = closure(contents)
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
    shutil.rmtree(archives)
    for name, target in {**LINKS, **contents.links}.items():
        link = root / name
        if link.is_dir() and not link.is_symlink():  # a package from before /usr was merged
            shutil.copytree(link, root / target, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    for name, content in contents.listed().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
        (root / name).chmod(0o755 if content.startswith("#!") else 0o644)
    for name in ("tmp", *contents.folders):
        (root / name).mkdir(parents=True, exist_ok=True)
    believed = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    if believed:  # which a script of the package would put together
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(each.read_text().rstrip("\n") + "\n" for each in believed))
    if list(root.glob("usr/bin/python3.[0-9]*[0-9]")):
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


def written(contents: Contents, root: Path, into: Path) -> str:
    """The files as a layer, an archive whose bytes depend on nothing else; its digest."""
    pruned = re.compile(rf"({'|'.join(each for each in (PRUNED, contents.pruned) if each)})(/|$)")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            if not pruned.match(name):
                member = _roots(archive.gettarinfo(str(root / name), arcname=name))
                if name in contents.folders:
                    member.uid = member.gid = contents.folders[name]
                    member.mode = 0o700
                with _open(root / name, member) as content:
                    archive.addfile(member, content)
    with into.open("rb") as source:
        return f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"


def compressed(layer: Path, into: Path) -> None:
    with (
        layer.open("rb") as source,
        into.open("wb") as target,
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed,
    ):
        shutil.copyfileobj(source, packed)


@contextmanager
def _open(path: Path, member: tarfile.TarInfo) -> Iterator[IO[bytes] | None]:
    if not member.isreg():
        yield None
        return
    with path.open("rb") as content:
        yield content


def _roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
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
