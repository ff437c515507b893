import gc
import os
import signal
import sys

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container.
gc.disable()
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.runtime.server import main

sys.exit(main())
