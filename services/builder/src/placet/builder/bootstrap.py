"""Put the builder together. Starts nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta

from anyio import to_thread

from placet.builder.adapters.docker_engine import DockerEngine
from placet.builder.adapters.image_workshop import ImageWorkshop, RegistryImages
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.remembered_locks import RememberedLocks
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.api import Access, router
from placet.builder.jobs import build_worker
from placet.builder.ports import Ports
from placet.builder.queries import HeardRequests, KnownImages
from placet.builder.settings import BuilderSettings
from placet.builder.subscriptions import HEARS, RECALLS, SAYS, SHOWS, reaction
from placet.events import Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.builder import AccessDenied
from placet.events.metrics import disk
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.oci import open_registry
from placet.trust import KeySet


async def build(settings: BuilderSettings, wiring: Wiring) -> Service:
    registry = open_registry(settings.registry)
    workshop = ImageWorkshop(
        registry=registry,
        base=settings.base_image,
        data=settings.data_dir,
        packages=RememberedLocks(
            UvPackages(settings.package_index, settings.limits), seconds=settings.lock_seconds
        ),
        compiler=PythonCompiler(settings.limits),
        limits=settings.limits,
        clock=wiring.clock,
        keep_logs=timedelta(days=settings.build_log_days),
        engine=None
        if settings.docker_host is None
        else DockerEngine(
            settings.docker_host,
            network=settings.docker_network,
            limits=settings.limits,
            certificates=settings.docker_cert_path,
        ),
    )
    ports = Ports(
        known=KnownImages(wiring.store),
        images=RegistryImages(registry),
        workshop=workshop,
        requests=HeardRequests(wiring.store),
    )
    keys = await to_thread.run_sync(KeySet.load, settings.token_keys)
    callers = Callers(lambda: keys, wiring.clock, provider_of(settings, wiring.clock))
    denials = Denials(wiring, AccessDenied)
    access = Access(callers, wiring.store, denials)
    return Service(
        name="builder",
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(ports),
        recalls=reaction(ports, RECALLS),
        shows=reaction(ports, SHOWS),
        workers=(build_worker(ports, slots=settings.builds_at_once),),
        routers=lambda: [router(access=access, store=wiring.store, log_of=workshop.log_of)],
        admits=asynccontextmanager(access.require),
        measures=(disk(settings.data_dir),),
        counts=(denials,),
        start=(denials.start,),
        close=(registry.close, callers.close, denials.close),
    )
