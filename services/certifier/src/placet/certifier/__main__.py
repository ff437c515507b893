"""The certifier by itself: `python -m placet.certifier`."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.certifier.bootstrap import build
from placet.certifier.projections import TABLES
from placet.certifier.settings import CertifierSettings
from placet.events.main import main

if __name__ == "__main__":
    main("certifier", CertifierSettings, build, tables=(TABLES,))
