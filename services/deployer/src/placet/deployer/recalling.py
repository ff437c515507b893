"""What the deployer makes of its own events when its database is restored: who holds room or waits for some,
and which start is open.

What it heard comes back by its handlers. Up to where a model was observed does not: the next window begins anew.
"""

from __future__ import annotations

from placet.deployer.domain import PROJECT, stream
from placet.deployer.placements import (
    Placements,
    enqueue_scaling,
    enqueue_start,
    keep_holdings,
    keep_queued,
)
from placet.deployer.ports import Ports
from placet.deployer.project import Project
from placet.events import Heard, UnitOfWork
from placet.events.contracts import deployer

Placed = (
    deployer.ResourcesReserved
    | deployer.ResourcesRefused
    | deployer.ResourcesReleased
    | deployer.ModelStarted
    | deployer.ModelFailed
    | deployer.ModelStopped
    | deployer.ModelDeleted
    | deployer.ModelQuarantined
    | deployer.ModelDiverged
    | deployer.CanaryStarted
    | deployer.CanaryWeighted
    | deployer.CanaryAborted
    | deployer.ModelScaled
    | deployer.ChangeRefused
)


async def on_placed(heard: Heard[Placed], work: UnitOfWork, placements: Placements, ports: Ports) -> None:
    await keep_holdings(work, heard.data.project)


async def on_queued(
    heard: Heard[deployer.ResourcesQueued], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    await keep_holdings(work, heard.data.project)
    await keep_queued(work, heard.data, correlation=heard.event.correlationid)


async def on_start_accepted(
    heard: Heard[deployer.StartAccepted], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    """Nobody works on it any more, if nothing came of it."""
    accepted = heard.data
    await keep_holdings(work, accepted.project)
    state: Project = await work.state(PROJECT, stream(accepted.project))
    if state.starting is not None and state.starting.request == accepted.request:
        enqueue_start(work, accepted, asker=accepted.project)


async def on_scale_accepted(
    heard: Heard[deployer.ScaleAccepted], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    """As with a start."""
    accepted = heard.data
    await keep_holdings(work, accepted.project)
    state: Project = await work.state(PROJECT, stream(accepted.project))
    if state.scaling is not None and state.scaling.number == accepted.scaling:
        enqueue_scaling(work, accepted, asker=accepted.project)
