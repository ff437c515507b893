"""The deployer as a process of its own."""

import gc

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.deployer.bootstrap import build
from placet.deployer.projections import TABLES
from placet.deployer.settings import DeployerSettings
from placet.events.main import main

if __name__ == "__main__":
    main("deployer", DeployerSettings, build, tables=(TABLES,))
