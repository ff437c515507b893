"""Put the certifier together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from anyio import to_thread

from placet.assessments import shipped_by_digest
from placet.certifier import awaiting, rotating
from placet.certifier.access import admission
from placet.certifier.adapters.policy_engine import PolicyRules
from placet.certifier.adapters.registry_assessor import RegistryAssessor
from placet.certifier.adapters.registry_contents import RegistryContents
from placet.certifier.adapters.registry_ground import RegistryGround
from placet.certifier.adapters.registry_notary import RegistryNotary
from placet.certifier.adapters.registry_policies import RegistryPolicies
from placet.certifier.adapters.registry_records import RegistryRecords
from placet.certifier.adapters.registry_snapshots import RegistrySnapshots
from placet.certifier.adapters.registry_sources import RegistrySources
from placet.certifier.advising import read_worker
from placet.certifier.assessing import score_worker
from placet.certifier.handlers import workers
from placet.certifier.operation import look
from placet.certifier.ports import Ports
from placet.certifier.publishing import publish_worker
from placet.certifier.queries import (
    AdvisoriesInUse,
    AwaitedReleases,
    EarlierReleases,
    GrantedExceptions,
    HeardApprovals,
    HeardReports,
    HeldCertificates,
    MadeAssessments,
    PublishedPolicies,
    WatchedCertificates,
)
from placet.certifier.rejudging import judge_again
from placet.certifier.reminding import remind
from placet.certifier.settings import CertifierSettings
from placet.certifier.standing import expire, give_sign_of_life
from placet.certifier.subscriptions import HEARS, RECALLS, SAYS, SHOWS, reaction
from placet.events import Periodic, Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.certifier import AccessDenied
from placet.events.service import Admits
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.oci import open_registry
from placet.rules import Engine, PolicySet, load_shipped, shipped_files
from placet.trust import KeySet, OwnKeys
from placet.trust.key_files import KeyFiles

EXPIRE_EVERY = LOOK_EVERY = 1.0
"""Seconds between two looks whose time has come; each is one query by index."""
GROUND_EVERY = 30.0
"""Seconds until what ships is kept, where the registry was away."""
ALIVE_EVERY = 10.0
"""Seconds between two signs of life."""


async def build(settings: CertifierSettings, wiring: Wiring, ports: Ports | None = None) -> Service:
    close: list[Callable[[], Awaitable[None]]] = []
    if ports is None:
        registry, engine = open_registry(settings.registry), Engine()

        async def end_engine() -> None:
            engine.close()

        close += [registry.close, end_engine]
        own, shipped = OwnKeys(settings.signing_key, wiring.clock.now), load_shipped()
        await to_thread.run_sync(own.begin)
        keys = KeyFiles(own)
        ports = Ports(
            sources=RegistrySources(registry, dockerfiles=settings.dockerfiles == "allow"),
            rules=PolicyRules(PolicySet(shipped, PublishedPolicies(wiring.store)), engine),
            records=RegistryRecords(registry, keys),
            contents=RegistryContents(registry),
            snapshots=RegistrySnapshots(registry),
            advisories=AdvisoriesInUse(wiring.store),
            policies=RegistryPolicies(registry, shipped),
            assessor=RegistryAssessor(registry, keys),
            assessments=MadeAssessments(wiring.store),
            reports=HeardReports(wiring.store),
            notary=RegistryNotary(
                registry,
                keys,
                validity=timedelta(days=settings.certificate_days),
                trial_validity=timedelta(days=settings.trial_days),
            ),
            exceptions=GrantedExceptions(wiring.store),
            certificates=HeldCertificates(wiring.store),
            keys=keys,
            watches=WatchedCertificates(wiring.store),
            earlier=EarlierReleases(wiring.store),
            approvals=HeardApprovals(wiring.store),
            waits=AwaitedReleases(wiring.store),
            ground=RegistryGround(
                registry,
                {
                    "policies": tuple(shipped_files().values()),
                    "questionnaires": tuple(shipped_by_digest().values()),
                },
            ),
        )
    admits: Admits | None = None
    denials = Denials(wiring, AccessDenied)
    if settings.token_keys is not None:
        token_keys = await to_thread.run_sync(KeySet.load, settings.token_keys)
        callers = Callers(lambda: token_keys, wiring.clock, provider_of(settings, wiring.clock))
        close.append(callers.close)
        admits = admission(callers=callers, store=wiring.store, denials=denials)
    return Service(
        name="certifier",
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(ports),
        recalls=reaction(ports, RECALLS),
        shows=reaction(ports, SHOWS),
        admits=admits,
        workers=(
            *workers(ports, wiring.clock),
            publish_worker(ports),
            read_worker(ports),
            score_worker(ports),
        ),
        periodic=(
            Periodic(name="expire", every=EXPIRE_EVERY, run=partial(expire, ports, wiring)),
            Periodic(
                name="remind",
                every=LOOK_EVERY,
                run=partial(remind, ports, wiring, before=timedelta(days=settings.certificate_reminder_days)),
            ),
            Periodic(name="operate", every=LOOK_EVERY, run=partial(look, ports, wiring)),
            Periodic(name="await", every=LOOK_EVERY, run=partial(awaiting.look, ports, wiring)),
            Periodic(name="judge again", every=LOOK_EVERY, run=partial(judge_again, ports, wiring)),
            Periodic(name="keys", every=LOOK_EVERY, run=partial(rotating.look, ports, wiring)),
            *(
                []
                if ports.ground is None
                else [Periodic(name="ground", every=GROUND_EVERY, run=ports.ground.keep)]
            ),
            Periodic(name="alive", every=ALIVE_EVERY, run=partial(give_sign_of_life, wiring)),
        ),
        counts=(denials,),
        start=(denials.start,),
        close=(*close, denials.close),
    )
