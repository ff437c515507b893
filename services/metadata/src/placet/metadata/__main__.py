"""The audit log by itself: `python -m placet.metadata`."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.events.main import main
from placet.metadata.bootstrap import build
from placet.metadata.projections import AUDIT, TABLES
from placet.metadata.settings import MetadataSettings

if __name__ == "__main__":
    main("metadata", MetadataSettings, build, tables=(TABLES,), logs=(AUDIT,))
