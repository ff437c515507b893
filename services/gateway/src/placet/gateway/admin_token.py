"""A token for an administrator, for whoever may start programs where the gateway runs:

    python -m placet.gateway.admin_token

For a platform that was just installed, and for one whose administrators have lost theirs. It is printed and kept
nowhere; the log has that the platform itself made it. The running gateway tells the others of it.
"""

from __future__ import annotations

import asyncio
import sys

from opentelemetry import trace

from placet.errors import PlacetError, Unavailable
from placet.events import Wiring
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
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
        wiring = Wiring(
            store=store,
            bus=InProcessBus(InProcessHub(), SERVICE),  # what is in the store is sent by who leads
            codec=Codec(CATALOG),
            clock=SystemClock(),
            ids=TimeOrderedIds(),
            tracer=trace.get_tracer("placet"),
        )
        return await make_admin_token(settings, wiring)
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
