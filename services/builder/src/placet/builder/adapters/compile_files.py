"""A program: compile the Python files that standard input lists, the same bytes every time.

Run with `python -I -S`, and never imported: the files are other people's, and what they can do to a compiler
should end with this process. Bytecode is checked against its source by nobody (`unchecked-hash`, PEP 552),
since an image's files do not change.

The marshal format is version 2, which has no references between objects: later versions write a flag that
depends on how often an object happens to be in use in the compiling process, so the same source would give
other bytes elsewhere. It costs a sixth of the size and a few milliseconds at a start.
"""

import json
import marshal
import resource
import sys
import warnings
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

UNCHECKED_HASH = (1).to_bytes(4, "little")
MARSHAL_VERSION = 2


def compile_file(source: Path, name: str, bytecode: Path) -> None:
    content = source.read_bytes()
    try:
        code = compile(content, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return  # templates and files for other Pythons are found in many wheels
    except MemoryError:
        if _is_short_of_memory():
            raise  # without its bytecode the image would be another one than with more memory
        return  # the parser says the same of what is nested too deep
    bytecode.parent.mkdir(parents=True, exist_ok=True)
    bytecode.write_bytes(
        MAGIC_NUMBER + UNCHECKED_HASH + source_hash(content) + marshal.dumps(code, MARSHAL_VERSION)
    )


def _is_short_of_memory() -> bool:
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return limit != resource.RLIM_INFINITY and _most_memory() > limit // 2


def _most_memory() -> int:
    """Bytes that this program had at most. `ru_maxrss` would count what its process was before it became this one."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main() -> None:
    warnings.simplefilter("ignore")
    for source, name, bytecode in json.load(sys.stdin):
        compile_file(Path(source), name, Path(bytecode))


if __name__ == "__main__":
    main()
