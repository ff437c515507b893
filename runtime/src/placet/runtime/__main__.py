import gc
import os
import signal
import sys

# Until `main` sees to both: what is imported stays, and the kernel keeps a signal that nobody handles from a process
# that is the first of its machine, as in a container. From others it does not, which is better: Python handles none
# while a library loads a model, which can be one call of many seconds.
gc.disable()
if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
from placet.runtime.server import main

sys.exit(main())
