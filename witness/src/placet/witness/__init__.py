"""A witness of other people's logs (C2SP tlog-witness): it cosigns what goes on from what it saw before, and no more.

It knows nothing of the platform, reads no entry of a log, and asks nobody anything: logs come to it.
"""

from placet.witness.app import app
from placet.witness.server import only_one, serve
from placet.witness.witness import Witness, open_witness

__all__ = ["Witness", "app", "only_one", "open_witness", "serve"]
