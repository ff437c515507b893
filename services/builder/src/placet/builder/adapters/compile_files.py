"""A program: compile the Python files that standard input lists, the same bytes every time.

    compile_files.py OUT   < [[source, name, most], …]   > [size, …]

The bytecode goes to the file OUT, one after the other; of what cannot be compiled, or comes to more than `most` bytes,
there is none, and its size is 0. Ends with 75 (EX_TEMPFAIL) where the disk has no room for OUT.

Run with `python -I -S`, and never imported: the files are other people's, and what they can do to a compiler
should end with this process. Bytecode is checked against its source by nobody (`unchecked-hash`, PEP 552),
since an image's files do not change.

The marshal format is version 2, which has no references between objects: later versions write a flag that
depends on how often an object happens to be in use in the compiling process, so the same source would give
other bytes elsewhere. It costs a sixth of the size and a few milliseconds at a start.
"""

import errno
import json
import marshal
import os
import resource
import sys
import warnings
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

NICENESS = 10
"""Others wait for wheels to be unpacked, for layers to be written and for answers; bytecode fills the gaps."""
UNCHECKED_HASH = (1).to_bytes(4, "little")
MARSHAL_VERSION = 2


def bytecode(source: Path, name: str, most: int) -> bytes:
    content = source.read_bytes()
    try:
        code = compile(content, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return b""  # templates and files for other Pythons are found in many wheels
    except MemoryError:
        if _is_short_of_memory():
            raise  # without its bytecode the image would be another one than with more memory
        return b""  # the parser says the same of what is nested too deep
    made = MAGIC_NUMBER + UNCHECKED_HASH + source_hash(content) + marshal.dumps(code, MARSHAL_VERSION)
    return made if len(made) <= most else b""


def _is_short_of_memory() -> bool:
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return limit != resource.RLIM_INFINITY and _most_memory() > limit // 2


def _most_memory() -> int:
    """Bytes that this program had at most. `ru_maxrss` would count what its process was before it became this one."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main() -> None:
    os.nice(NICENESS)
    warnings.simplefilter("ignore")
    try:
        with Path(sys.argv[1]).open("wb") as out:
            sizes = [
                out.write(bytecode(Path(source), name, most)) for source, name, most in json.load(sys.stdin)
            ]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(os.EX_TEMPFAIL)
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    main()
