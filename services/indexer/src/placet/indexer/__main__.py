"""The indexer by itself: `python -m placet.indexer`."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.events.main import main
from placet.indexer.bootstrap import build
from placet.indexer.projections import TABLES
from placet.indexer.settings import IndexerSettings

if __name__ == "__main__":
    main("indexer", IndexerSettings, build, tables=(TABLES,))
