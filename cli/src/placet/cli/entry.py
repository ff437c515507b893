"""The command as a process of its own: quiet if Ctrl-C comes before it has begun, and quick to end."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TextIO

from placet.cli.loading import loading


def run() -> int:
    # Where its caller closed them (`>&-`) Python has none, and each word would be an error of its own.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
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


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
