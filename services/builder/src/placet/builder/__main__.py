"""The builder by itself: `python -m placet.builder`."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.builder.bootstrap import build
from placet.builder.projections import TABLES
from placet.builder.settings import BuilderSettings
from placet.events.main import main

if __name__ == "__main__":
    main("builder", BuilderSettings, build, tables=(TABLES,))
