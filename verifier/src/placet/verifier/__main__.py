"""`python -m placet.verifier BUNDLE.zip`."""

from __future__ import annotations

import sys

from placet.verifier.program import main

sys.exit(main())
