"""The deployer as a process of its own."""

import gc
import os
import signal

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container.
gc.disable()
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.deployer.bootstrap import build
from placet.deployer.projections import TABLES
from placet.deployer.settings import DeployerSettings
from placet.events.main import main

if __name__ == "__main__":
    main("deployer", DeployerSettings, build, tables=(TABLES,))
