"""The gateway by itself: `python -m placet.gateway`."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.events.main import main
from placet.gateway.bootstrap import build
from placet.gateway.projections import TABLES
from placet.gateway.settings import GatewaySettings

if __name__ == "__main__":
    main("gateway", GatewaySettings, build, tables=(TABLES,))
