import sys

from placet.runtime.server import main

sys.exit(main())
