"""Put the audit log together. Starts nothing."""

from __future__ import annotations

from anyio import to_thread

from placet.events import Context, Gap, Service, UnitOfWork, Wiring, transact
from placet.events.envelope import PLATFORM, Actor
from placet.metadata.api import router
from placet.metadata.domain import LOG, NoteGap
from placet.metadata.projections import INDEX
from placet.metadata.queries import Queries
from placet.metadata.settings import MetadataSettings
from placet.metadata.subscriptions import HEARS, SAYS, reaction
from placet.trust import KeySet

SERVICE = "metadata"


async def build(settings: MetadataSettings, wiring: Wiring) -> Service:
    keys = await to_thread.run_sync(KeySet.load, settings.token_keys)
    queries = Queries(wiring.store)

    async def note_gap(gap: Gap) -> None:
        context = Context(project=PLATFORM, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))
        command = NoteGap(producer=gap.producer, epoch=gap.epoch, after=gap.after, upto=gap.upto)

        async def change(work: UnitOfWork) -> None:
            await work.decide(LOG, f"log/{gap.producer}", command)

        await transact(wiring, SERVICE, context, change)

    return Service(
        name=SERVICE,
        wiring=wiring,
        hears=HEARS,
        says=SAYS,
        reaction=reaction(wiring.store),
        projections=(INDEX,),
        routers=(router(keys=keys, clock=wiring.clock, queries=queries, store=wiring.store),),
        on_gap=note_gap,
    )
