"""The certifier by itself: `python -m placet.certifier`."""

import gc
import os
import signal

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container.
gc.disable()
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.certifier.bootstrap import build
from placet.certifier.projections import TABLES
from placet.certifier.settings import CertifierSettings
from placet.events.main import main

if __name__ == "__main__":
    main("certifier", CertifierSettings, build, tables=(TABLES,))
