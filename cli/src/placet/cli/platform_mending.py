"""One service of the embedded platform, as `python -m placet.SERVICE` is one elsewhere, to mend its database.

Run by `placet audit restore` and `placet audit rebuild`, which feed it with the audit log: of a restore while the
platform is stopped, since they hold its folder; of a rebuild while it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from pathlib import Path

gc.disable()  # until all is imported, which stays
from placet.cli.platform import open_part
from placet.errors import PlacetError, Unavailable
from placet.events import mending


async def _mend(arguments: argparse.Namespace) -> None:
    part, store = await open_part(arguments.data, arguments.service)
    try:
        if arguments.restore:
            await mending.restore(part.name, store, part.build, "-", arguments.until)
        else:
            await mending.rebuild(part.name, store, part.build, part.tables, "-")
    finally:
        await store.close()


async def _rebuild_own(arguments: argparse.Namespace) -> None:
    part, store = await open_part(arguments.data, arguments.service)
    try:
        await mending.rebuild_own(part.name, store, part.build)
    finally:
        await store.close()


def main() -> None:
    gc.freeze()
    gc.enable()
    parser = argparse.ArgumentParser(prog="python -m placet.cli.platform_mending", description=__doc__)
    parser.add_argument("service")
    parser.add_argument("data", type=Path)
    parser.add_argument("--restore", metavar="-", help="fill its empty database from what is piped in")
    parser.add_argument("--until", metavar="N", type=int, help="of a restore: the log's last position")
    parser.add_argument(
        "--rebuild", metavar="-", nargs="?", const="", help="make its read models anew from what is piped in"
    )
    arguments = parser.parse_args()
    work = _rebuild_own(arguments) if arguments.rebuild == "" else _mend(arguments)
    try:
        asyncio.run(work)
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1 if isinstance(error, Unavailable) else 2)


if __name__ == "__main__":
    main()
