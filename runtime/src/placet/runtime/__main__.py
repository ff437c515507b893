import gc
import sys

gc.disable()  # until all is imported, which stays: `main` has it enabled again
from placet.runtime.server import main

sys.exit(main())
