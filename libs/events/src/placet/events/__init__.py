"""Event-sourced services: contracts, store, inbox, outbox, bus and the loop that runs them.

Start reading at `envelope`, then `store`, `decider`, `unit_of_work`, `outbox`, `inbox`, `lanes`, `outcome`, `service`.
"""

from placet.events.clocks import Clock, Ids
from placet.events.decider import Decider
from placet.events.envelope import PLATFORM, Actor, Event, Recorded
from placet.events.inbox import Gap
from placet.events.jobs import Finish, Job, Worker
from placet.events.outcome import DONE, Done, Outcome, Park, Retry
from placet.events.projection import Projection
from placet.events.reaction import ByType, Everything, Heard
from placet.events.service import Periodic, Service, ServiceRunner
from placet.events.settings import ServiceSettings
from placet.events.unit_of_work import Context, UnitOfWork, transact
from placet.events.wiring import Wiring

__all__ = [
    "DONE",
    "PLATFORM",
    "Actor",
    "ByType",
    "Clock",
    "Context",
    "Decider",
    "Done",
    "Event",
    "Everything",
    "Finish",
    "Gap",
    "Heard",
    "Ids",
    "Job",
    "Outcome",
    "Park",
    "Periodic",
    "Projection",
    "Recorded",
    "Retry",
    "Service",
    "ServiceRunner",
    "ServiceSettings",
    "UnitOfWork",
    "Wiring",
    "Worker",
    "transact",
]
