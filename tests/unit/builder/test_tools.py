"""The builder's real tools: uv with the machine's package index, and Python's compiler."""

from __future__ import annotations

import asyncio
import importlib.machinery
import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from placet.builder.adapters.processes import Ended, run
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import host_platform, host_python
from placet.builder.layers import files_below
from placet.builder.layers_packages import package_files
from placet.builder.layers_runtime import serving_code
from placet.builder.locking import lock, parse_requirements
from placet.builder.ports import SourceFile, Span, Target
from placet.builder.settings import Limits
from placet.errors import Refused, TooLarge, Unavailable
from uv import find_uv_bin

HERE = Target(python=host_python(), platform=host_platform())

SOURCES = {
    "names.py": "from os import path, sep as separator\nNAMES = ('path', 'separator', 'a text', 'a')\n",
    "sets.py": "def is_vowel(letter):\n    return letter in {'a', 'e', 'i', 'o', 'u', 'longer'}\n",
    "classes.py": "class Path:\n    'A doc.'\n    size: int = 12345678901234567890\n    sep = path = 0.1\n",
    "template.py": "this is {{ no }} Python\n",
    "binary.py": "x = 1\0\n",
}


def content(span: Span) -> bytes:
    return span.file.read_bytes()[span.start : span.start + span.size]


async def compiled(folder: Path, order: list[str]) -> dict[str, bytes]:
    files = []
    for name in order:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SOURCES[name])
        files.append(SourceFile(source=folder / name, name=f"/app/deps/{name}"))
    made = await PythonCompiler().compile(files, folder)
    return {f"{Path(name).name}c": content(span) for name, span in made.items()}


async def test_bytecode_is_the_same_whatever_was_compiled_before_it(tmp_path: Path) -> None:
    alone: dict[str, bytes] = {}
    for number, name in enumerate(SOURCES):
        alone |= await compiled(tmp_path / f"alone-{number}", [name])

    together = await compiled(tmp_path / "together", list(reversed(SOURCES)))

    assert together == alone
    assert set(alone) == {"names.pyc", "sets.pyc", "classes.pyc"}


async def test_of_what_waits_for_a_processor_the_largest_is_compiled_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []
    is_busy, may_end = asyncio.Event(), asyncio.Event()

    async def one(*_: object, given: bytes, **__: object) -> Ended:
        files = len(json.loads(given))
        compiled.append(files)
        is_busy.set()
        await may_end.wait()
        return Ended(status=0, output=json.dumps([0] * files), errors="")

    monkeypatch.setattr("placet.builder.adapters.python_compiler.run", one)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    compiler = PythonCompiler()
    (tmp_path / "a.py").write_text("")
    file = SourceFile(source=tmp_path / "a.py", name="/app/a.py")
    first = asyncio.create_task(compiler.compile([file], tmp_path))
    await is_busy.wait()
    waiting = [asyncio.create_task(compiler.compile([file] * number, tmp_path)) for number in (2, 5, 9, 7)]
    for _ in range(10):
        await asyncio.sleep(0)  # all of them stand in line
    waiting[2].cancel()
    may_end.set()
    await asyncio.gather(first, *waiting, return_exceptions=True)

    assert compiled == [1, 7, 5, 2]
    assert await compiler.compile([file], tmp_path) == {}


async def test_bytecode_is_used_without_a_look_at_the_source(tmp_path: Path) -> None:
    made = await compiled(tmp_path, list(SOURCES))
    bytecode = tmp_path / "names.pyc"
    bytecode.write_bytes(made["names.pyc"])

    assert int.from_bytes(made["names.pyc"][4:8], "little") == 0b01  # PEP 552: hash, unchecked
    loader = importlib.machinery.SourcelessFileLoader("names", str(bytecode))
    spec = spec_from_file_location("names", bytecode, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    assert module.NAMES == ("path", "separator", "a text", "a")


async def compiled_with(memory: int, folder: Path, source: str) -> bool:
    """Whether there is bytecode of it."""
    file = SourceFile(source=folder / "file.py", name="/app/file.py")
    await asyncio.to_thread(file.source.write_text, source)
    return bool(await PythonCompiler(Limits(memory_bytes=memory)).compile([file], folder))


async def test_a_file_that_takes_too_much_memory_ends_the_build_and_is_not_left_out(tmp_path: Path) -> None:
    """Left out, it would make another image than on a machine with more."""
    huge = f"x = [{'1, ' * 1_000_000}]\n"

    assert await compiled_with(2**31, tmp_path, huge)
    with pytest.raises(TooLarge, match="bytes of memory"):
        await compiled_with(2**26, tmp_path, huge)


async def test_a_disk_without_room_for_bytecode_is_nobodys_fault(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text(SOURCES["names.py"])
    (tmp_path / "bytecode-0").symlink_to("/dev/full")
    file = SourceFile(source=tmp_path / "names.py", name="/app/deps/names.py")
    with pytest.raises(Unavailable, match="no room"):
        await PythonCompiler().compile([file], tmp_path)


async def test_a_file_that_no_parser_gets_through_has_no_bytecode(tmp_path: Path) -> None:
    assert not await compiled_with(2**30, tmp_path, f"x = {'-' * 100_000}1\n")


async def test_bytecode_that_comes_to_far_more_than_its_source_is_left_out(tmp_path: Path) -> None:
    """How large a layer can become is judged before its bytecode is there."""
    assert not await compiled_with(2**30, tmp_path, "x = (" + "'a'*4096," * 100 + ")\n")


async def test_a_python_of_another_version_is_not_served(tmp_path: Path) -> None:
    assert PythonCompiler().fits(HERE)
    assert not PythonCompiler().fits(Target(python="cp39", platform=HERE.platform))


async def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await run(
            [sys.executable, "-c", "import threading; threading.Event().wait()"],
            environment={},
            folder=tmp_path,
            seconds=0.5,
        )


async def test_a_lock_from_the_index_installs_the_same_files_everywhere(tmp_path: Path) -> None:
    asked = parse_requirements("click==8.1.7\n", "requirements.txt")
    found = await lock(asked, ["typing-extensions"], HERE, packages=UvPackages(), workspace=tmp_path)
    assert [(package.name, package.is_serving) for package in found.packages] == [
        ("click", False),
        ("typing-extensions", True),
    ]

    trees = []
    for name in ("one", "two"):
        await UvPackages().install(str(found.packages[0]), HERE, tmp_path / name, tmp_path)
        files = package_files(files_below(tmp_path / name))
        trees.append(
            {
                path: content if isinstance(content, bytes) else content.read_bytes()
                for path, content in files.items()
            }
        )

    assert trees[0] == trees[1]
    assert {"click/__init__.py", "click-8.1.7.dist-info/RECORD"} <= trees[0].keys()


async def test_a_file_with_another_hash_is_not_installed(tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64

    with pytest.raises(Refused):
        await UvPackages().install(f"click==8.1.7 --hash={wrong}", HERE, tmp_path / "one", tmp_path)


@pytest.mark.parametrize("wanted", ["placet-no-such-package", "click==0.0.0.1", "click==8.1.7\nclick<8"])
async def test_requirements_that_cannot_be_had_are_named(tmp_path: Path, wanted: str) -> None:
    asked = parse_requirements(wanted, "requirements.txt")

    with pytest.raises(Refused, match=r"click|placet-no-such-package") as refused:
        await lock(asked, [], HERE, packages=UvPackages(), workspace=tmp_path)

    assert "://" not in str(refused.value)
    assert refused.value.fix


async def test_a_package_that_has_no_wheel_is_not_built(tmp_path: Path) -> None:
    asked = parse_requirements("docopt==0.6.2", "requirements.txt")

    with pytest.raises(Refused, match="docopt") as refused:
        await lock(asked, [], HERE, packages=UvPackages(), workspace=tmp_path)

    assert "wheel" in str(refused.value.fix)


def test_the_model_servers_code_is_taken_from_where_it_is_installed() -> None:
    code = serving_code()

    assert "placet/runtime/__init__.py" in code.files
    assert "placet/__init__.py" not in code.files
    assert not [path for path in code.files if "__pycache__" in path]
    assert not [one for one in code.requirements if one.startswith("placet")]


BUILD = """
import asyncio, json, sys
from pathlib import Path
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import ImagePlan, assemble, host_platform, host_python
from placet.oci import ImageLayout

folder = Path(sys.argv[1])
plan = ImagePlan(
    project="churn", source="sha256:" + "5" * 64, format="python", model="model.bin", sample=None,
    requirements="requirements.txt", trusted=(), builder_version="1.0",
)
image = asyncio.run(assemble(
    folder / "project", plan, registry=ImageLayout(folder / "registry"), repository="models/churn", base=None,
    cache_dir=folder / "cache", python=host_python(), platform=host_platform(), packages=UvPackages(),
    compiler=PythonCompiler(), log=lambda line: None,
))
print(json.dumps([image.digest, image.lock_digest, image.bom, image.provenance]))
"""


async def test_the_same_project_has_the_same_digest_on_unlike_machines(tmp_path: Path) -> None:
    """Another home, folder, umask, locale, clock, time zone, hash seed and order of files, and user; no layer
    is cached. What is told of the image is the same, too."""
    files = {"requirements.txt": "click==8.1.7\n", "model.bin": "model"}
    files |= {f"src/module_{number}.py": f"x = {number}" for number in range(20)}
    asked = await run(  # uv's own cache only spares the network
        [find_uv_bin(), "cache", "dir"], environment=dict(os.environ), folder=tmp_path, seconds=60
    )

    async def build(number: int) -> list[str]:
        folder = tmp_path / ("short" if number else "a folder with a longer name" * 3)
        for name in sorted(files, reverse=bool(number)):
            (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "project" / name).write_text(files[name])
            os.utime(folder / "project" / name, (number * 10**9, number * 10**9))
        environment = os.environ | {
            "HOME": str(folder),
            "LC_ALL": ("C", "C.UTF-8")[number],
            "TZ": ("UTC", "Asia/Kolkata")[number],
            "PYTHONHASHSEED": str(number + 1),
            "SOURCE_DATE_EPOCH": str((number + 1) * 10**8),
            "USER": ("ada", "grace")[number],
            "UV_CACHE_DIR": asked.output.strip(),
        }
        umask = ("umask 0; ", "umask 077; ")[number]
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f'{umask} exec "$0" "$@"', sys.executable, "-c", BUILD, str(folder)),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        found: list[str] = json.loads(output)
        return found

    first, second = await asyncio.gather(build(0), build(1))

    assert first == second
