"""The audit log by itself: `python -m placet.metadata`."""

import gc
import os
import signal

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container.
gc.disable()
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.events.main import main
from placet.metadata.bootstrap import build
from placet.metadata.projections import AUDIT, TABLES
from placet.metadata.settings import MetadataSettings

if __name__ == "__main__":
    main("metadata", MetadataSettings, build, tables=(TABLES,), logs=(AUDIT,))
