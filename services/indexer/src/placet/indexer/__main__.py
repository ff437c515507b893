"""The indexer by itself: `python -m placet.indexer`."""

import gc
import os
import signal

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container.
gc.disable()
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.events.main import main
from placet.indexer.bootstrap import build
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings

if __name__ == "__main__":
    main("indexer", IndexerSettings, build, tables=(TABLES,))
