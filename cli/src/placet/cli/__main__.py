"""`python -m placet.cli`: the command `placet`."""

import sys

from placet.cli.entry import run

sys.exit(run())
