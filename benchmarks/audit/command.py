"""The command `placet` as it is, which says last, on stderr, how much memory it had at most: in KiB.

What the system tells a parent of its child's memory begins with the parent's own, from before the child was another
program. So the child looks itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from placet.cli.command import main

if __name__ == "__main__":
    status = main()
    [peak] = [
        each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:")
    ]
    sys.stderr.write(f"{peak.split()[1]}\n")
    sys.exit(status)
