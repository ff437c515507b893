"""A package index and a compiler in memory, for builds that need neither network nor time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from placet.builder.ports import SourceFile, Span, Target
from placet.errors import Refused


@dataclass(frozen=True)
class Wheel:
    """One version of a package: its files, the packages it needs, and what its metadata says of a licence."""

    version: str
    files: Mapping[str, bytes]
    needs: tuple[str, ...] = ()
    licence: str = ""
    files_locked: int = 1


@dataclass
class FakePackages:
    """Knows the newest version of each package and nothing about version ranges."""

    wheels: Mapping[str, Wheel]
    serving: tuple[str, ...] = ()
    fetched: list[str] = field(default_factory=list)
    installed: list[str] = field(default_factory=list)

    async def resolve(
        self, project: Sequence[str], runtime: Sequence[str], target: Target, workspace: Path
    ) -> str:
        asked_by: dict[str, set[str]] = {}
        self._follow(project, "-r project.txt", asked_by)
        self._follow(self.serving, "-r runtime.txt", asked_by)
        return "".join(
            f"{name}=={self.wheels[name].version} \\\n    {self._hashes(name)}\n"
            f"    # via {', '.join(sorted(askers))}\n"
            for name, askers in sorted(asked_by.items())
        )

    async def fetch(self, requirements: Sequence[str], target: Target, workspace: Path) -> None:
        self.fetched += [requirement.split("==")[0] for requirement in requirements]

    async def install(self, requirement: str, target: Target, into: Path, workspace: Path) -> None:
        name, rest = requirement.split("==")
        if self._hash(name) not in rest:
            raise Refused(f"{name} does not have its locked hash")
        self.installed.append(name)
        wheel = self.wheels[name]
        info = f"{name}-{wheel.version}.dist-info"
        files = {
            **wheel.files,
            f"{info}/METADATA": f"Metadata-Version: 2.4\nName: {name}\n{wheel.licence}\n".encode(),
            f"{info}/RECORD": f"{info}/REQUESTED,,\nbin/{name},sha256=x,1\n{info}/RECORD,,\n".encode(),
            f"{info}/REQUESTED": b"",
            f"bin/{name}": f"#!{workspace}/bin/python\n".encode(),
            ".lock": b"",
        }
        for path, content in files.items():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_bytes(content)

    def _follow(self, names: Sequence[str], asker: str, asked_by: dict[str, set[str]]) -> None:
        for name in names:
            name = name.replace(">", "=").split("=")[0]
            if name not in self.wheels:
                raise Refused(f"{name} was not found in the package index")
            asked_by.setdefault(name, set()).add(asker)
            self._follow(self.wheels[name].needs, name, asked_by)

    def _hashes(self, name: str) -> str:
        others = [
            hashlib.sha256(bytes([number])).hexdigest() for number in range(1, self.wheels[name].files_locked)
        ]
        return " ".join(f"--hash=sha256:{one}" for one in (self._hash(name), *others))

    def _hash(self, name: str) -> str:
        return hashlib.sha256(repr(self.wheels[name]).encode()).hexdigest()


class FakeCompiler:
    """Writes bytecode that says which file it is of."""

    def fits(self, target: Target) -> bool:
        return target.python == "cp311"

    async def compile(self, files: Sequence[SourceFile], folder: Path) -> Mapping[str, Span]:
        made = [f"bytecode of {file.name}".encode() for file in files]
        (folder / "bytecode").write_bytes(b"".join(made))
        starts = accumulate(map(len, made), initial=0)
        return {
            file.name: Span(file=folder / "bytecode", start=start, size=len(each))
            for file, each, start in zip(files, made, starts, strict=False)
        }
