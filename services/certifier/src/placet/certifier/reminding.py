"""Which certificates end soon? Said once of each that a model serves on, in time to have it renewed.

What serves on none needs no other. A certificate that holds for days only, as a trial's does, is told of when a third
of its time is left: else it would be from its first day on.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from placet.certifier import projections as p
from placet.certifier.domain import RELEASE, Remind, stream
from placet.certifier.ports import Held, Ports
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import moment
from placet.events.contracts.certifier import CertificateIssued

SERVICE = "certifier"


def reminder_of(issued: CertificateIssued) -> dict[str, Any]:
    """What its row says of that, to begin with: nothing serves on it yet."""
    begins, ends = moment(issued.not_before), moment(issued.not_after)
    return {"last_third": (ends - (ends - begins) / 3).timestamp(), "serves": False, "is_reminded": False}


def serves(work: UnitOfWork, project: str, release: int | None) -> None:
    """Of a project this release serves from here on, or none."""
    table = p.certificates
    is_it = sa.false() if release is None else table.c.release == release
    work.run(sa.update(table).where(table.c.project == project).values(serves=is_it))


async def remind(ports: Ports, wiring: Wiring, *, before: timedelta) -> None:
    """Say of each certificate that ends within so long that it does."""
    now = wiring.clock.now()
    for held in await ports.certificates.lapsing(now, before):
        context = Context(project=held.project, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))
        await transact(wiring, SERVICE, context, partial(_say, held=held))


async def _say(work: UnitOfWork, *, held: Held) -> None:
    command = Remind(certificate=held.certificate, now=work.now)
    await work.decide(RELEASE, stream(held.project, held.release), command)
    mine = p.certificates.c.certificate == held.certificate
    work.run(sa.update(p.certificates).where(mine).values(is_reminded=True))
