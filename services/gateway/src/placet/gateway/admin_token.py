"""A token for an administrator, for whoever may start programs where the gateway runs:

    python -m placet.gateway.admin_token

For a platform that was just installed, and for one whose administrators have lost theirs. It is printed and kept
nowhere; the log has that the platform itself made it. The running gateway tells the others of it.
"""

from __future__ import annotations

import asyncio
import sys

from placet.errors import PlacetError, Unavailable
from placet.events import Wiring
from placet.events.settings import ProcessSettings, load
from placet.events.wiring import open_distributed_store
from placet.gateway.bootstrap import make_admin_token
from placet.gateway.intake import SERVICE
from placet.gateway.projections import TABLES
from placet.gateway.settings import GatewaySettings


async def made(process: ProcessSettings, settings: GatewaySettings) -> str:
    """The token. Raises Unavailable while the database is away."""
    store = await open_distributed_store(SERVICE, process.database_url, tables=(TABLES,))
    try:
        # What is in the store is sent by who leads.
        return await make_admin_token(settings, Wiring.apart(SERVICE, store))
    finally:
        await store.close()


def main() -> int:
    """The exit status: 0, 1 where something is away, 2 where something is set wrong."""
    try:
        sys.stdout.write(f"{asyncio.run(made(load(ProcessSettings), load(GatewaySettings)))}\n")
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        return 1 if isinstance(error, Unavailable) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
