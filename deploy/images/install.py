"""What an image of a service is made of, while it is built: packages, the workspace's own, the list of both.

    python3 install.py tools LOCK            # what the rest is installed with: one layer for all images
    python3 install.py common LOCK           # into /usr/lib/placet/common, as locked: one layer for all images
    python3 install.py packages LOCK         # the rest of another lock, into /usr/lib/placet/packages
    python3 install.py placet SERVICE        # the folders that were copied here, into /usr/lib/placet/own
    python3 install.py programs NAME …       # what is not there yet, from the distribution
    python3 install.py libraries FILE=NAME … # the same for libraries, by the package of each
    python3 install.py bill                  # adds the distribution to /usr/lib/placet/sbom.cdx.json

The same commit gives the same files: what an installer writes of the day is left out, and bytecode is made without
times. Only Python and pip are needed. `site/pip.conf` and `site/ca.pem`, where they are copied here, say where packages
come from and whom to believe; nothing of either gets into the image.
"""

from __future__ import annotations

import csv
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

COMMON = Path("/usr/lib/placet/common")
"""What every service needs, in the stage that installs: where services run it lies with the others in `PACKAGES`."""
PACKAGES = Path("/usr/lib/placet/packages")
OWN = Path("/usr/lib/placet/own")
TOOLS = Path("/usr/lib/placet/tools")
SITE = Path("site")
COMPILER = SITE / "compile_files.py"
OF_THE_DAY = {"direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED"}
"""Where and when a package was installed."""
PROGRAMS = {"uv"}
"""Those of packages' own that services run; the others name a Python that is elsewhere in the image."""
DATA = Path("/data")
"""What services write: of their user, and empty."""
BILL = Path("/usr/lib/placet/sbom.cdx.json")
DEBIAN = Path("/var/lib/dpkg")


def main(verb: str, *arguments: str) -> None:
    if verb == "tools":
        (lock,) = arguments
        pip("install", "--target", TOOLS, "--require-hashes", "--requirement", lock)
    elif verb == "common":
        (lock,) = arguments
        locked(COMMON, lock)
    elif verb == "packages":
        (lock,) = arguments
        rest = Path("rest.txt")
        rest.write_text(beside(Path(lock), Path(lock).with_name("common.txt")), encoding="utf-8")
        locked(PACKAGES, rest)
    elif verb == "placet":
        # Whole paths, and no index: a folder's bare name would be somebody else's package.
        folders = sorted(each.parent.resolve() for each in Path().glob("*/**/pyproject.toml"))
        uv(OWN, "--no-deps", "--no-index", "--no-build-isolation", *folders)
        tidied(OWN)
        DATA.mkdir()
        (service,) = arguments
        BILL.write_text(encoded(bill(service)), encoding="utf-8")
    elif verb == "programs":
        distribution([each for each in arguments if not shutil.which(each)])
    elif verb == "libraries":
        wanted = dict(each.split("=") for each in arguments)
        distribution([package for file, package in wanted.items() if not is_loadable(file)])
    elif verb == "bill":
        BILL.write_text(
            encoded(with_the_distribution(json.loads(BILL.read_text(encoding="utf-8")))), encoding="utf-8"
        )
    else:
        raise SystemExit(__doc__)


def locked(target: Path, lock: str | Path) -> None:
    """Nothing but what is locked: each lock, or both together, has all that each of its packages needs."""
    uv(target, "--no-deps", "--require-hashes", *index(), "--requirement", lock)
    tidied(target)


def beside(lock: Path, common: Path) -> str:
    """The entries of a lock that are not in the other."""
    there = set(entries(common))
    return "".join(each for each in entries(lock) if each not in there)


def entries(lock: Path) -> list[str]:
    """A package each, with its hashes."""
    return re.findall(r"^\S.*\n(?:[ \t].*\n)*", lock.read_text(encoding="utf-8"), re.MULTILINE)


def distribution(packages: list[str]) -> None:
    """Into the stage that runs, which is left without this program."""
    if packages:
        run("apt-get", "update", "--quiet")
        run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages)
        shutil.rmtree("/var/lib/apt/lists")
    Path(__file__).unlink()


def is_loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def uv(target: Path, *arguments: str | Path) -> None:
    """Its own cache ends with the build. On a busy machine it may crash while it ends, in threads of its own: what a
    signal ended is tried once more, since that says nothing of what was to be installed."""
    python = ("--python", sys.executable, "--no-cache", "--quiet", "--link-mode", "copy")
    asked = (sys.executable, "-m", "uv", "pip", "install", *python, *arguments, "--target", target)
    status = status_of(*asked, PYTHONPATH=str(TOOLS))
    if status < 0:
        shutil.rmtree(target, ignore_errors=True)
        status = status_of(*asked, PYTHONPATH=str(TOOLS))
    must_be_done(asked, status)


def pip(*arguments: str | Path) -> None:
    config = {"PIP_CONFIG_FILE": str(SITE / "pip.conf")} if (SITE / "pip.conf").exists() else {}
    options = ("--no-cache-dir", "--disable-pip-version-check", "--quiet", "--root-user-action", "ignore")
    run(sys.executable, "-m", "pip", *arguments, *options, **config)


def index() -> list[str]:
    """For uv, which does not read pip's settings."""
    named = {"index-url": "--default-index", "extra-index-url": "--index", "find-links": "--find-links"}
    try:
        lines = (SITE / "pip.conf").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    given = (line.partition("=") for line in lines)
    return [
        word
        for name, _, value in given
        if (option := named.get(name.strip().replace("_", "-"))) is not None
        for address in value.split()
        for word in (option, address)
    ]


def run(*command: str | Path, **environment: str) -> None:
    must_be_done(command, status_of(*command, **environment))


def must_be_done(command: Sequence[str | Path], status: int) -> None:
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed with {status}")


def status_of(*command: str | Path, **environment: str) -> int:
    believed = {
        name: str(SITE / "ca.pem") for name in ("SSL_CERT_FILE", "PIP_CERT") if (SITE / "ca.pem").exists()
    }
    fixed = {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "315532800", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env={**os.environ, **fixed, **believed, **environment}, check=False)
    return done.returncode


def tidied(folder: Path) -> None:
    for program in (folder / "bin").glob("*"):
        if program.name not in PROGRAMS:
            program.unlink()
    for name in (*OF_THE_DAY, ".lock"):
        for each in folder.rglob(name):
            each.unlink()
    # A third of what packages bring is what tests them.
    for tests in [each for each in folder.glob("*/**/tests") if each.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)  # one may lie in another
    for record in folder.glob("*.dist-info/RECORD"):
        record.write_text(still_there(record), encoding="utf-8")
    compiled(folder)


def compiled(folder: Path) -> None:
    """By the builder's own program, whose bytecode depends on nothing but the source; beside it, as Python wants it."""
    sources, at_once = sorted(folder.rglob("*.py")), os.cpu_count() or 1
    running = []
    for number in range(at_once):
        part, asked, into = sources[number::at_once], Path(f"asked-{number}"), Path(f"bytecode-{number}")
        asked.write_text(json.dumps([(str(each), str(each), sys.maxsize) for each in part]), encoding="utf-8")
        with asked.open("rb") as given:
            command = (sys.executable, "-I", "-S", COMPILER, into)
            running.append((part, into, subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE)))
    for part, into, program in running:
        said, _ = program.communicate()
        if program.returncode:
            raise SystemExit(f"{COMPILER} failed with {program.returncode}")
        with into.open("rb") as made:
            for source, size in zip(part, json.loads(said), strict=True):
                if size:
                    cached = Path(importlib.util.cache_from_source(str(source), optimization=""))
                    cached.parent.mkdir(exist_ok=True)
                    cached.write_bytes(made.read(size))
        into.unlink()


def still_there(record: Path) -> str:
    rows = csv.reader(io.StringIO(record.read_text(encoding="utf-8")))
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(
        sorted(row for row in rows if (record.parents[1] / row[0]).exists())
    )
    return kept.getvalue()


def bill(service: str) -> dict[str, Any]:
    """CycloneDX 1.6: Python's packages, and placet's own."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": f"placet-{service}",
                "version": version_of(f"placet-{service}"),
            }
        },
        "components": list(python_packages()),
    }


def with_the_distribution(bill: dict[str, Any]) -> dict[str, Any]:
    """And the packages of what the image starts from. The same contents give the same number."""
    components = [*bill["components"], *debian_packages()]
    digest = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).digest()
    number = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}"
    return bill | {"serialNumber": number, "components": components}


def encoded(bill: dict[str, Any]) -> str:
    return json.dumps(bill, indent=1, sort_keys=True) + "\n"


def version_of(name: str) -> str:
    (found,) = importlib.metadata.distributions(name=name, path=[str(OWN)])
    return found.version


def python_packages() -> Iterator[dict[str, Any]]:
    found = importlib.metadata.distributions(path=[str(OWN), str(PACKAGES), str(COMMON)])
    for each in sorted(found, key=lambda each: each.name.lower()):
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        said = each.metadata["License-Expression"]
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pypi:{name}",
            "name": name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{quote(each.version, safe='')}",
        }
        yield component | ({"licenses": [{"expression": said}]} if said else {})


def debian_packages() -> Iterator[dict[str, Any]]:
    """As the distribution keeps them, or as images do that have no package manager."""
    files = [DEBIAN / "status", *sorted((DEBIAN / "status.d").glob("*"))]
    entries = [
        entry
        for file in files
        if file.is_file()
        for entry in file.read_text(encoding="utf-8").strip().split("\n\n")
    ]
    for entry in sorted(entries):
        facts = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", entry, re.MULTILINE))
        if facts.get("Status", "install ok installed") != "install ok installed":
            continue
        name, version, of = facts["Package"], facts["Version"], facts["Architecture"]
        yield {
            "type": "library",
            "bom-ref": f"deb:{name}:{of}",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={of}",
        }


if __name__ == "__main__":
    main(*sys.argv[1:])
