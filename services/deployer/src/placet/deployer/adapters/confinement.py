"""The first moments of a model's process: it gives up what no model needs, and then becomes the model.

    python -I -S -c TEXT OF THIS FILE NOFILE=4096 … -- COMMAND…

Each NAME=NUMBER is a limit of the kernel's (`RLIMIT_…`) that the process and all it starts never get beyond. It is
run by its text, since the model's user may not reach this file, and in place of `preexec_fn`, which may hang in a
process that has threads. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_SET_NO_NEW_PRIVS = 38


def confine(*words: str) -> None:
    at = words.index("--")
    for name, number in (word.split("=") for word in words[:at]):
        limit = getattr(resource, f"RLIMIT_{name}")
        _, hardest = resource.getrlimit(limit)
        wanted = int(number) if hardest == resource.RLIM_INFINITY else min(int(number), hardest)
        resource.setrlimit(limit, (wanted, wanted))
    # From here on no `sudo` and no setuid program makes more of it than it is.
    if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("the kernel does not know no_new_privs")
    command = words[at + 1 :]
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, and nothing a shell reads


if __name__ == "__main__":
    confine(*sys.argv[1:])
