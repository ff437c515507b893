"""The deployer as a process of its own."""

from placet.deployer.bootstrap import build
from placet.deployer.projections import TABLES
from placet.deployer.settings import DeployerSettings
from placet.events.main import main

if __name__ == "__main__":
    main("deployer", DeployerSettings, build, tables=(TABLES,))
