"""Put the audit log together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta

from anyio import to_thread

from placet.errors import Refused
from placet.events import Context, Gap, Periodic, Service, UnitOfWork, Wiring, transact
from placet.events.contracts.metadata import AccessDenied
from placet.events.envelope import PLATFORM, Actor
from placet.events.store import Signal
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.metadata import api, bundles_api, checkpoints_api, history_api, webhooks_api
from placet.metadata.access import AUDITORS, Onlookers, reader
from placet.metadata.adapters.checkpoint_folder import CheckpointFolder
from placet.metadata.adapters.http_receivers import HttpReceivers
from placet.metadata.adapters.http_witness import HttpWitness
from placet.metadata.adapters.registry_evidence import RegistryEvidence
from placet.metadata.adapters.signed_file import SignedFile
from placet.metadata.bundles import Bundling
from placet.metadata.delivering import Delivering
from placet.metadata.domain import LOG, NoteGap
from placet.metadata.following import Tail
from placet.metadata.hearing import Hearing
from placet.metadata.histories import Histories
from placet.metadata.measures import measures
from placet.metadata.ports import Ports
from placet.metadata.projections import INDEX
from placet.metadata.queries import Queries
from placet.metadata.reach import Reach
from placet.metadata.sealing import Sealing
from placet.metadata.settings import MetadataSettings
from placet.metadata.subscribing import Subscribing
from placet.metadata.subscriptions import HEARS, SAYS, reaction
from placet.metadata.tree import Tree
from placet.metadata.witnessing import Witnessing
from placet.oci import open_registry
from placet.trust import KeySet, OwnKeys
from placet.trust.key_files import KeyFiles
from placet.trust.trust_policy import TrustPolicy

SERVICE = "metadata"
SEAL_EVERY = 0.5
"""Seconds from one checkpoint to the next at least; that no event waits for a second is promised."""
TELL_EVERY = 0.25
"""Seconds between two looks whether a witness lacks a checkpoint."""
SEND_AGAIN_AFTER = 1.0
"""Seconds until webhooks go on after the database was away: what sends them ends for nothing else."""


async def build(settings: MetadataSettings, wiring: Wiring, ports: Ports | None = None) -> Service:
    keys = await to_thread.run_sync(KeySet.load, settings.token_keys)
    own = OwnKeys(settings.signing_key, wiring.clock.now)
    await to_thread.run_sync(own.begin)
    witnesses = await to_thread.run_sync(_witnesses, settings)
    callers = Callers(lambda: keys, wiring.clock, provider_of(settings, wiring.clock))
    outside = HttpReceivers(Reach.of(settings.webhook_hosts))
    close = [outside.close, callers.close, *(each.close for each in witnesses)]
    if ports is None:
        registry = None if settings.registry is None else open_registry(settings.registry)
        if registry is not None:
            close.append(registry.close)
        ports = Ports(
            keys=KeyFiles(own),
            signed=SignedFile(settings.signing_key.with_suffix(".last")),
            receivers=outside,
            witnesses=(*witnesses, *_archive(settings)),
            evidence=None if registry is None else RegistryEvidence(registry),
        )
    first = (await to_thread.run_sync(own.history)).keys[0]
    sealing = Sealing(wiring, ports, settings.log_origin or f"placet.local/{first.kid}")
    queries, tree, changed = Queries(wiring.store), Tree(wiring.store), Signal()
    tail = Tail(queries, wiring.store)
    bundling = Bundling(queries=queries, tree=tree, keys=ports.keys, evidence=ports.evidence)
    denials = Denials(wiring, AccessDenied)
    admitted = reader(callers=callers, queries=queries, denials=denials)
    auditor = reader(callers=callers, queries=queries, denials=denials, roles=AUDITORS)
    onlookers = Onlookers(callers, queries)
    histories = Histories(wiring.store, queries)

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
        periodic=(
            Periodic(name="seal", every=SEAL_EVERY, run=sealing.seal),
            Periodic(
                name="webhooks",
                every=SEND_AGAIN_AFTER,
                run=Delivering(wiring, ports.receivers, tail.follow, changed).run,
            ),
            *(
                Periodic(name=f"witness {each.name}", every=TELL_EVERY, run=Witnessing(wiring, each).tell)
                for each in ports.witnesses
            ),
        ),
        projections=(INDEX,),
        routers=lambda: [
            api.router(reader=admitted, onlookers=onlookers, queries=queries, store=wiring.store, tail=tail),
            checkpoints_api.router(reader=admitted, tree=tree, queries=queries, keys=ports.keys),
            bundles_api.router(reader=admitted, bundling=bundling, queries=queries, clock=wiring.clock),
            history_api.router(auditor=auditor, histories=histories, clock=wiring.clock),
            webhooks_api.router(reader=admitted, subscribing=Subscribing(wiring, ports.receivers, changed)),
        ],
        admits=asynccontextmanager(admitted),
        measures=tuple(measures(wiring)),
        on_gap=note_gap,
        on_head=Hearing(wiring).on_head,
        counts=(denials,),
        start=(denials.start,),
        close=(*close, denials.close),
    )


def _archive(settings: MetadataSettings) -> tuple[CheckpointFolder, ...]:
    if settings.checkpoint_folder is None:
        return ()
    return (
        CheckpointFolder(settings.checkpoint_folder, timedelta(seconds=settings.checkpoint_folder_seconds)),
    )


def _witnesses(settings: MetadataSettings) -> tuple[HttpWitness, ...]:
    """Those of the policy that have an address. Raises Refused, Unreadable for a policy that is none."""
    if settings.witnesses is None:
        return ()
    policy = TrustPolicy.load(settings.witnesses)
    found = tuple(HttpWitness(each.key, each.url) for each in policy.witnesses if each.url is not None)
    if not found:
        raise Refused(
            f"{settings.witnesses} names no witness with an address: nobody would see a checkpoint",
            fix="a line for each: witness NAME VKEY URL",
        )
    return found
