"""The command as a process of its own: quiet if Ctrl-C comes before it has begun, and quick to end."""

from __future__ import annotations

import gc
import os
import signal
import sys

from placet.cli.loading import loading


def run() -> int:
    have_streams()
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so where a shell ignores it
    if is_ours:
        # While there is nothing to give up in order, Ctrl-C ends the process at once and without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with loading():
        from placet.cli.command import main

    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = main()
    gc.freeze()  # or Python would look at every object once more before it ends
    return status


def have_streams() -> None:
    """Where its caller closed them (`>&-`) Python has none, and each word would be an error of its own. Whom we start
    would have none either, or the first file that it opens for one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(nowhere, True)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
