"""Put the deployer together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import psutil

from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.adapters.gateway_routes import GatewayRoutes
from placet.deployer.adapters.http_probe import HttpProbe
from placet.deployer.adapters.local_processes import LocalProcesses
from placet.deployer.adapters.lodgings import lodgings
from placet.deployer.adapters.model_tokens import ModelTokens
from placet.deployer.adapters.pulse import TIMES, Allowance
from placet.deployer.adapters.registry_certificates import RegistryCertificates, read_keys
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.api import Access, router
from placet.deployer.domain import Amount
from placet.deployer.jobs import Jobs, Patience
from placet.deployer.observing import Observing
from placet.deployer.placements import Placements
from placet.deployer.ports import Ports, Router
from placet.deployer.reconcile import SERVICE, Reconciliation
from placet.deployer.settings import DeployerSettings
from placet.deployer.subscriptions import HEARS, RECALLS, SAYS, SHOWS, reaction
from placet.deployer.vigil import Vigil
from placet.events import Periodic, Service, Wiring
from placet.events.catalog import contract_of
from placet.oci import Registry, open_registry

CORES_SHARED_BY = 4
"""Models mostly wait for requests."""


async def build(settings: DeployerSettings, wiring: Wiring, ports: Ports | None = None) -> Service:
    start, close = [], []
    if ports is None:
        registry = open_registry(settings.registry)
        host, probe = await asyncio.to_thread(_local, settings, wiring, registry)
        start.append(host.adopt)
        close += [registry.close, *([host.stop_all] if settings.stop_models_on_exit else [])]
        ports = Ports(
            host=host,
            router=_router(settings),
            certificates=RegistryCertificates(registry, settings.certifier_keys),
            images=host.images,
            probe=probe,
        )
    placements = Placements(
        reads=wiring.store,
        total=await asyncio.to_thread(_room, settings),
        reservation=timedelta(seconds=settings.reservation_seconds),
    )
    vigil = Vigil(wiring=wiring, limit=timedelta(seconds=settings.certifier_silence_seconds))
    jobs = Jobs(
        ports=ports,
        placements=placements,
        store=wiring.store,
        clock=wiring.clock,
        public_url=settings.public_url,
        patience=Patience(ready=settings.ready_seconds, drain=settings.drain_seconds),
        vigil=vigil,
    )
    reconciliation = Reconciliation(
        ports=ports,
        placements=placements,
        wiring=wiring,
        grace=settings.drain_seconds + settings.stop_seconds,
        vigil=vigil,
    )
    observing = Observing(ports=ports, placements=placements, wiring=wiring, every=settings.observe_seconds)
    access = Access(lambda: read_keys(settings.token_keys), wiring.store, wiring.clock)
    return Service(
        name=SERVICE,
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(placements, ports),
        recalls=reaction(placements, ports, RECALLS),
        shows=reaction(placements, ports, SHOWS),
        workers=jobs.workers,
        periodic=(
            Periodic(name="reconcile", every=settings.reconcile_seconds, run=reconciliation.run),
            Periodic(name="observe", every=settings.observe_seconds, run=observing.run),
            Periodic(name="liveness", every=_pause(settings), run=ports.host.check),
        ),
        routers=(
            router(
                host=ports.host, probe=ports.probe, access=access, store=wiring.store, placements=placements
            ),
        ),
        on_alive=vigil.on_alive,
        start=tuple(start),
        close=tuple(close),
    )


def _pause(settings: DeployerSettings) -> float:
    """Between two questions whether a model lives, and for the answer to one: what hangs takes both, `TIMES` times."""
    return settings.liveness_seconds / (2 * TIMES)


def _local(
    settings: DeployerSettings, wiring: Wiring, registry: Registry
) -> tuple[LocalProcesses, HttpProbe]:
    tokens = ModelTokens(
        platform_keys=settings.token_keys,
        own_key=settings.data / "probe.pem",
        clock=wiring.clock,
        ids=wiring.ids,
    )
    probe = HttpProbe(token=tokens.probe)
    instances, unpacked = settings.data / "instances", settings.data / "unpacked"
    for private in (instances, unpacked):
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
    host = LocalProcesses(
        folder=instances,
        images=UnpackedImages(registry, unpacked),
        lodgings=lodgings(
            instances,
            place=settings.model_folder,
            own_users=None if settings.model_user is None else settings.model_user == "own",
        ),
        token_keys=tokens.keys,
        is_alive=probe.is_alive,
        allowance=Allowance(
            # What does not get ready at its first start is told so before, with its last words.
            loading=settings.ready_seconds + settings.liveness_seconds,
            answer=_pause(settings),
        ),
        stop_seconds=settings.stop_seconds,
        log_bytes=settings.log_bytes,
        scratch_bytes=settings.scratch_bytes,
    )
    return host, probe


def _router(settings: DeployerSettings) -> Router:
    match settings.router:
        case "gateway":
            return GatewayRoutes()
        case "caddy":
            return CaddyAdmin(settings.caddy_admin_url, server=settings.caddy_server)


def _room(settings: DeployerSettings) -> Amount:
    cores = settings.cpu or (os.cpu_count() or 1) * CORES_SHARED_BY
    return Amount(cpu_millis=int(cores * 1000), memory_bytes=settings.memory or psutil.virtual_memory().total)
