"""Build the images of the services, each with what it needs and nothing else.

    make images                                    # all six, placet-gateway:0.1.0 and so on
    make images ARGS="builder --tag 2026-11-29"    # one, under another tag

Files come from the checkout as git knows them, so that a folder beside them cannot get into an image; the label
`org.opencontainers.image.revision` says which commit that is. Where packages come from is pip's default, or what
`--pip-config` says; that and the certificates of `--ca` stay in the stage that installs, in this engine. Ends with 1
when an image cannot be built, with the last words of its builder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from tools import workspace

COMPILER = "services/builder/src/placet/builder/adapters/compile_files.py"
SHARED = "shared"
"""The stage of each Dockerfile to which it is as all others."""
AT_ONCE = 2
SAID_LAST = 30
"""Lines that a failed build is told with."""


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    if unknown := set(asked.service) - set(workspace.SERVICES):
        parser().error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(workspace.SERVICES)}")
    try:
        engine = docker.from_env(timeout=3600)
        engine.ping()
    except DockerException as away:
        sys.stderr.write(
            f"there is no Docker Engine: {away}\n  fix: start one, or name it with DOCKER_HOST\n"
        )
        return 1
    # Most of a build is one program that installs, and then the disk: two at once have no need to wait for each other.
    with contextlib.closing(engine), ThreadPoolExecutor(AT_ONCE) as builders:
        began = time.monotonic()
        asked.anew = secrets.token_hex(8) if asked.no_cache else None
        tags = {name: f"{asked.prefix}{name}:{asked.tag}" for name in asked.service or workspace.SERVICES}
        # What all share is made by one, or each of two at once would have a layer of its own.
        if (failed := built(engine, next(iter(tags)), None, asked, until=SHARED)) is not None:
            sys.stderr.write(f"what the images share could not be built:\n{failed}\n")
            return 1
        under_way = {builders.submit(built, engine, name, tag, asked): tag for name, tag in tags.items()}
        for done in as_completed(under_way):
            tag = under_way[done]
            if (failed := done.result()) is not None:
                builders.shutdown(cancel_futures=True)
                sys.stderr.write(f"{tag} could not be built:\n{failed}\n")
                return 1
            image = engine.images.get(tag)
            size = f"{image.attrs['Size'] / 1e6:.0f} MB"
            sys.stdout.write(f"{tag}  {image.id}  {size}  after {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make images", description="Build the images of the services.")
    parser.add_argument(
        "service", nargs="*", help=f"of {', '.join(workspace.SERVICES)} (all)", metavar="SERVICE"
    )
    parser.add_argument(
        "--prefix", default="placet-", help="before each image's name, such as registry:5000/placet-"
    )
    parser.add_argument("--tag", default=version(), help="behind it (%(default)s)")
    parser.add_argument("--python", metavar="IMAGE", help="what it is made with: a Python with pip")
    parser.add_argument("--base", metavar="IMAGE", help="what it starts from: a Python (the same)")
    parser.add_argument(
        "--network", help="the engine's network in which packages are installed, such as host"
    )
    parser.add_argument(
        "--pip-config", type=Path, metavar="FILE", help="pip's settings: where packages come from"
    )
    parser.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        default=os.environ.get("SSL_CERT_FILE"),
        help="certificates of those who are believed, where they are not everybody's (%(default)s)",
    )
    parser.add_argument("--no-cache", action="store_true", help="make each layer anew")
    return parser


def built(
    engine: docker.DockerClient,
    name: str,
    tag: str | None,
    asked: argparse.Namespace,
    *,
    until: str | None = None,
) -> str | None:
    """None, or why not. `until` is the stage to end with, if it is not the last."""
    given = {
        "PYTHON": asked.python,
        "BASE": asked.base,
        "VERSION": version(),
        "REVISION": revision(),
        "ANEW": asked.anew,
    }
    said: deque[str] = deque(maxlen=SAID_LAST)
    try:
        steps: Iterable[Mapping[str, Any]] = engine.api.build(
            fileobj=io.BytesIO(context(name, asked.pip_config, asked.ca)),
            custom_context=True,
            dockerfile=f"services/{name}/Dockerfile",
            tag=tag,
            target=until,
            buildargs={key: value for key, value in given.items() if value},
            network_mode=asked.network,
            nocache=asked.no_cache and until == SHARED,  # later, each would have its own again
            forcerm=True,
            decode=True,
        )
        for step in steps:
            if "error" in step:
                return "".join([*said, str(step["error"])])
            line = str(step.get("stream", ""))
            said.append(line)
            if line.startswith("Step ") and sys.stderr.isatty():
                sys.stderr.write(f"{name}: {line}")
    except DockerException as error:
        return str(error)
    return None


def context(name: str, pip_config: Path | None, ca: Path | None) -> bytes:
    """What the engine gets of this checkout, as an archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in tracked(name):
            archive.add(workspace.ROOT / path, arcname=path, filter=nobodys)
        for source, target in ((pip_config, "pip.conf"), (ca, "ca.pem")):
            if source is not None:
                archive.add(source.resolve(), arcname=f"site/{target}", filter=nobodys)
    return packed.getvalue()


def tracked(name: str) -> Iterator[str]:
    """The files that its Dockerfile copies, as git knows them and as they are now."""
    folders = [
        str(package.path.relative_to(workspace.ROOT)) for package in workspace.closure(f"placet-{name}")
    ]
    wanted = [*folders, "requirements", "deploy/images", COMPILER]
    for path in git("ls-files", "-z", "--", *wanted).split("\0"):
        if path and (workspace.ROOT / path).exists():
            yield path


def nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


def version() -> str:
    (gateway,) = [package for package in workspace.packages() if package.name == "placet-gateway"]
    return gateway.version


def revision() -> str:
    """The commit; and whether what is built is what it says."""
    is_changed = bool(git("status", "--porcelain", "--untracked-files=no"))
    return git("rev-parse", "HEAD").strip() + ("-changed" if is_changed else "")


def git(*arguments: str) -> str:
    program = shutil.which("git") or "git"
    done = subprocess.run(
        (program, *arguments), cwd=workspace.ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
