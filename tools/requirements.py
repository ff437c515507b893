"""Are the locked requirements complete, and is what placet calls tested in them? With `--write`, lock them again, with
the newest versions; with `--complete`, add what is missing and leave the versions that are locked as they are.

`requirements/dev.txt` is everything, `platform.txt` the part of it that runs the platform, `services/` what each
service runs with in an image of its own (`common.txt` is what is alike in all of them: a layer of every image) and
`images.txt` what such an image is made with, `large.txt` what only the large tests need beside it, and `uv.txt` the one
program that installs them. They hold hashes and no addresses: where
packages come from is the machine's matter.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from placet.projects.pins import TESTED_WITH

from tools import workspace

LOCKS = workspace.ROOT / "requirements"
COMMON = LOCKS / "services" / "common.txt"
COMPILE = (
    *("uv", "pip", "compile", "-", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
)


def needs() -> dict[str, list[Requirement]]:
    """For each lock, what it must hold. Later ones take their versions from the first."""
    return {
        "dev.txt": workspace.needed_by_development(),
        "platform.txt": workspace.needed_by_the_platform(),
        "large.txt": workspace.needed_by_large_tests(),
        "uv.txt": [Requirement("uv")],
        "images.txt": workspace.needed_to_make_images(),
        **{f"services/{name}.txt": workspace.needed_by_service(name) for name in workspace.SERVICES},
    }


def write(name: str, requirements: list[Requirement], *, upgrade: bool) -> None:
    constraints = () if name == "dev.txt" else ("--constraint", str(LOCKS / "dev.txt"))
    subprocess.run(
        [
            *(Path(sys.executable).with_name(COMPILE[0]), *COMPILE[1:], *constraints),
            *("--output-file", str(LOCKS / name)),  # whose versions are kept
            *(("--upgrade",) if upgrade else ()),
        ],
        input="\n".join(sorted({str(requirement) for requirement in requirements})),
        cwd=LOCKS,
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


def locked(name: str) -> dict[str, list[Version]]:
    """The versions in a lock; more than one where they differ between Pythons or machines."""
    found: dict[str, list[Version]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (LOCKS / name).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(package), []).append(Version(version))
    return found


def common() -> str:
    """The entries that every service's lock has."""
    locks = [entries((LOCKS / f"services/{name}.txt").read_text()) for name in workspace.SERVICES]
    return "".join(each for each in locks[0] if all(each in others for others in locks[1:]))


def entries(lock: str) -> list[str]:
    return re.findall(r"^\S.*\n(?:[ \t].*\n)*", lock, re.MULTILINE)


def missing(name: str, requirements: list[Requirement]) -> list[str]:
    versions = locked(name)
    return sorted(
        f"requirements/{name} does not satisfy {requirement}; run `make lock`"
        for requirement in set(requirements)
        if not any(
            requirement.specifier.contains(v) for v in versions.get(canonicalize_name(requirement.name), [])
        )
    )


def untested() -> list[str]:
    """What `placet init` would call tested, and the tests are not locked to. Whoever corrects it runs the tests of the
    version first (`make test-large` for torch), so it is said and not written."""
    versions = locked("large.txt") | locked("dev.txt")
    return sorted(
        f"the tests are locked to {name} {', '.join(str(each) for each in versions[name])}; correct TESTED_WITH in"
        f" placet/projects/pins.py, which says {version}"
        for name, version in TESTED_WITH.items()
        if Version(version) not in versions[name]
    )


def main(*arguments: str) -> int:
    if arguments in (("--write",), ("--complete",)):
        for name, requirements in needs().items():
            write(name, requirements, upgrade=arguments == ("--write",))
        COMMON.write_text(common())
    complaints = [
        complaint for name, requirements in needs().items() for complaint in missing(name, requirements)
    ] + untested()
    if COMMON.read_text() != common():
        complaints.append("requirements/services/common.txt is not what all services share; run `make lock`")
    sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
