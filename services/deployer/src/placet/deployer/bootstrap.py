"""Put the deployer together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.adapters.docker_containers import DockerContainers
from placet.deployer.adapters.docker_engine import DockerEngine
from placet.deployer.adapters.docker_images import DockerImages
from placet.deployer.adapters.gateway_routes import GatewayRoutes
from placet.deployer.adapters.http_probe import HttpProbe
from placet.deployer.adapters.local_processes import LocalProcesses
from placet.deployer.adapters.lodgings import lodgings
from placet.deployer.adapters.model_tokens import ModelTokens
from placet.deployer.adapters.pulse import TIMES, Allowance
from placet.deployer.adapters.registry_certificates import RegistryCertificates, read_keys
from placet.deployer.adapters.unpacked_images import UnpackedImages
from placet.deployer.api import Access, router
from placet.deployer.jobs import Jobs, Patience
from placet.deployer.measures import MODEL_DRIFT, MODEL_REQUESTS, MODEL_SECONDS, measures
from placet.deployer.observing import Observing
from placet.deployer.placements import Placements
from placet.deployer.ports import Ports, Router
from placet.deployer.queueing import Queueing
from placet.deployer.reconcile import SERVICE, Reconciliation
from placet.deployer.room import Amount
from placet.deployer.settings import DeployerSettings
from placet.deployer.subscriptions import HEARS, RECALLS, SAYS, SHOWS, reaction
from placet.deployer.vigil import Vigil
from placet.errors import Refused, Unavailable
from placet.events import Periodic, Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.deployer import AccessDenied
from placet.events.service import CLOSE_SECONDS
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.oci import Registry, open_registry

if TYPE_CHECKING:
    from placet.deployer.adapters.kubernetes_cluster import KubernetesCluster
    from placet.deployer.adapters.kubernetes_models import KubernetesModels

log = logging.getLogger(__name__)

Run = Callable[[], Awaitable[None]]

CORES_SHARED_BY = 4
"""Models mostly wait for requests."""
STOPPING_SECONDS = 30.0
"""When all models are stopped, beside what each has to end by itself: for an engine's answers and for cleaning up."""
ROOM_SECONDS = 60.0
"""How often it is looked how much a cluster has: nodes come and go, and quotas are changed."""


async def build(
    settings: DeployerSettings,
    wiring: Wiring,
    ports: Ports | None = None,
    *,
    models_stay: Callable[[], bool] = lambda: False,
    edge: Router | None = None,
) -> Service:
    """`models_stay` is asked at the end, where models would be stopped with the deployer: another takes them over.
    `edge` moves routes where the gateway of the same process sends requests on.
    """
    start: list[Run] = []
    close: list[Run] = []
    again: list[Periodic] = []
    placements = Placements(
        reads=wiring.store,
        total=_room(settings, await asyncio.to_thread(_this_machine)),
        reservation=timedelta(seconds=settings.reservation_seconds),
        queue=timedelta(seconds=settings.queue_seconds),
        has_containers=settings.model_host != "process",
    )
    if ports is None:
        registry = open_registry(settings.registry)
        close.append(registry.close)
        tokens, probe, images = await asyncio.to_thread(_asking, settings, wiring, registry)
        if settings.model_host == "docker":
            engine = DockerEngine(settings.docker_host, settings.docker_cert_path)
            close.append(engine.close)
            start.append(partial(_look_at, engine.room, settings, placements))
            host: DockerContainers | KubernetesModels | LocalProcesses = _docker(
                settings, engine, registry, tokens, probe
            )
        elif settings.model_host == "kubernetes":
            cluster = await asyncio.to_thread(_cluster, settings)
            close.append(cluster.close)
            look = partial(_look_at, partial(_room_of, cluster, settings), settings, placements)
            start.append(look)
            again.append(Periodic(name="room", every=ROOM_SECONDS, run=look))
            host = _kubernetes(settings, cluster, registry, tokens)
            close.append(host.close)
        else:
            host = await asyncio.to_thread(_local, settings, images, tokens, probe)
        start.append(host.adopt)
        routes = await asyncio.to_thread(_router, settings, start, close, edge or GatewayRoutes())
        if settings.stop_models_on_exit:
            close.append(partial(_stop_all, host, models_stay))
        ports = Ports(
            host=host,
            router=routes,
            certificates=RegistryCertificates(registry, settings.certifier_keys),
            images=images,
            probe=probe,
        )
    vigil = Vigil(wiring=wiring, limit=timedelta(seconds=settings.certifier_silence_seconds))
    jobs = Jobs(
        ports=ports,
        placements=placements,
        wiring=wiring,
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
    queueing = Queueing(placements=placements, wiring=wiring)
    observing = Observing(ports=ports, placements=placements, wiring=wiring, every=settings.observe_seconds)
    # Once, as soon as there are any: whoever makes them may start later.
    callers = Callers(
        cache(lambda: read_keys(settings.token_keys)), wiring.clock, provider_of(settings, wiring.clock)
    )
    denials = Denials(wiring, AccessDenied)
    start.append(denials.start)
    access = Access(callers, wiring.store, denials)
    return Service(
        name=SERVICE,
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(placements, ports),
        recalls=reaction(placements, ports, RECALLS),
        shows=reaction(placements, ports, SHOWS),
        workers=(*jobs.workers, queueing.worker),
        periodic=(
            Periodic(name="reconcile", every=settings.reconcile_seconds, run=reconciliation.run),
            Periodic(name="queue", every=settings.reconcile_seconds, run=queueing.run),
            Periodic(name="observe", every=settings.observe_seconds, run=observing.run),
            Periodic(name="liveness", every=_pause(settings), run=ports.host.check),
            *again,
        ),
        routers=lambda: [
            router(
                host=ports.host,
                probe=ports.probe,
                access=access,
                store=wiring.store,
                placements=placements,
                where=_where(settings),
            )
        ],
        admits=asynccontextmanager(access.require),
        on_alive=vigil.on_alive,
        measures=tuple(measures(placements, wiring.clock, settings.data)),
        counts=(MODEL_REQUESTS, MODEL_SECONDS, MODEL_DRIFT, denials),
        start=tuple(start),
        close=(*close, callers.close, denials.close),
        close_seconds=settings.stop_seconds + STOPPING_SECONDS
        if settings.stop_models_on_exit
        else CLOSE_SECONDS,
    )


async def _look_at(
    room: Callable[[], Awaitable[Amount]], settings: DeployerSettings, placements: Placements
) -> None:
    """Whoever has the room may be away at the moment."""
    placements.total = _room(settings, await room())


async def _stop_all(
    host: DockerContainers | KubernetesModels | LocalProcesses, models_stay: Callable[[], bool]
) -> None:
    if models_stay():
        return
    try:
        await host.stop_all()
    except (
        Unavailable
    ) as away:  # who is asked to end ends all the same, and takes them over when it is started again
        log.warning("models that run go on: %s", away)


def _pause(settings: DeployerSettings) -> float:
    """Between two questions whether a model lives, and for the answer to one: what hangs takes both, `TIMES` times."""
    return settings.liveness_seconds / (2 * TIMES)


def _asking(
    settings: DeployerSettings, wiring: Wiring, registry: Registry
) -> tuple[ModelTokens, HttpProbe, UnpackedImages]:
    """How models are asked, and what for."""
    tokens = ModelTokens(
        platform_keys=settings.token_keys,
        own_key=settings.data / "probe.pem",
        clock=wiring.clock,
        ids=wiring.ids,
    )
    return tokens, HttpProbe(token=tokens.probe), UnpackedImages(registry, _private(settings, "unpacked"))


def _private(settings: DeployerSettings, name: str) -> Path:
    folder = settings.data / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _allowance(settings: DeployerSettings) -> Allowance:
    return Allowance(
        # What does not get ready at its first start is told so before, with its last words.
        loading=settings.ready_seconds + settings.liveness_seconds,
        answer=_pause(settings),
    )


def _docker(
    settings: DeployerSettings,
    engine: DockerEngine,
    registry: Registry,
    tokens: ModelTokens,
    probe: HttpProbe,
) -> DockerContainers:
    return DockerContainers(
        engine=engine,
        images=DockerImages(engine, registry, settings.registry, seen_as=settings.docker_registry),
        folder=settings.data / "containers",
        name=settings.docker_name,
        subnets=IPv4Network(settings.docker_subnets),
        token_keys=tokens.keys,
        is_alive=probe.is_alive,
        allowance=_allowance(settings),
        stop_seconds=settings.stop_seconds,
        log_bytes=settings.log_bytes,
        scratch_bytes=settings.scratch_bytes,
    )


def _local(
    settings: DeployerSettings, images: UnpackedImages, tokens: ModelTokens, probe: HttpProbe
) -> LocalProcesses:
    instances = _private(settings, "instances")
    return LocalProcesses(
        folder=instances,
        images=images,
        lodgings=lodgings(
            instances,
            place=settings.model_folder,
            own_users=None if settings.model_user is None else settings.model_user == "own",
        ),
        token_keys=tokens.keys,
        is_alive=probe.is_alive,
        allowance=_allowance(settings),
        stop_seconds=settings.stop_seconds,
        log_bytes=settings.log_bytes,
        scratch_bytes=settings.scratch_bytes,
    )


def _cluster(settings: DeployerSettings) -> KubernetesCluster:
    """The official client takes seconds to load, which only those wait for who have a cluster."""
    from placet.deployer.adapters.kubernetes_cluster import KubernetesCluster

    return KubernetesCluster(
        namespace=settings.kubernetes_namespace,
        file=settings.kubernetes_config,
        context=settings.kubernetes_context,
    )


async def _room_of(cluster: KubernetesCluster, settings: DeployerSettings) -> Amount:
    from placet.deployer.adapters.kubernetes_room import room

    try:
        return await room(cluster, settings.kubernetes_gpu)
    except Refused:
        if settings.cpu is None or settings.memory is None:
            raise
        return Amount()  # what is set is enough; nobody says that there are GPUs


def _kubernetes(
    settings: DeployerSettings, cluster: KubernetesCluster, registry: Registry, tokens: ModelTokens
) -> KubernetesModels:
    from placet.deployer.adapters.kubernetes_images import KubernetesImages
    from placet.deployer.adapters.kubernetes_models import KubernetesModels
    from placet.deployer.adapters.kubernetes_objects import Terms

    images = KubernetesImages(registry, settings.registry, seen_as=settings.kubernetes_registry)
    addresses = settings.kubernetes_caller_addresses
    return KubernetesModels(
        cluster=cluster,
        reference=images.reference,
        token_keys=tokens.keys,
        terms=Terms(
            namespace=settings.kubernetes_namespace,
            callers=[each.strip() for each in settings.kubernetes_callers.split(",")],
            caller_addresses=addresses.split(",") if addresses else [],
            pull_secret=settings.kubernetes_pull_secret,
            gpu=settings.kubernetes_gpu,
            allowance=_allowance(settings),
            stop_seconds=settings.stop_seconds,
            scratch_bytes=settings.scratch_bytes,
        ),
        log_bytes=settings.log_bytes,
    )


def _router(settings: DeployerSettings, start: list[Run], close: list[Run], gateway: Router) -> Router:
    match settings.router:
        case "gateway":
            return gateway
        case "caddy":
            return CaddyAdmin(settings.caddy_admin_url, server=settings.caddy_server)
        case "kubernetes":
            return _cluster_routes(settings, start, close)


def _cluster_routes(settings: DeployerSettings, start: list[Run], close: list[Run]) -> Router:
    from placet.deployer.adapters.kubernetes_routes import Gateway, KubernetesRoutes

    if settings.kubernetes_gateway is None:
        raise Refused(
            "PLACET_ROUTER is kubernetes, and no Gateway is named that routes are attached to",
            fix="set PLACET_KUBERNETES_GATEWAY to its namespace/name",
        )
    cluster = _cluster(settings)
    routes = KubernetesRoutes(cluster, Gateway.parse(settings.kubernetes_gateway))
    start.append(routes.begin)
    close.extend((cluster.close, routes.close))
    return routes


def _where(settings: DeployerSettings) -> str:
    """What models run in, as people call it."""
    match settings.model_host:
        case "process":
            return "processes of this machine"
        case "docker":
            return f"containers of the Docker Engine at {settings.docker_host}"
        case "kubernetes":
            return f"namespace {settings.kubernetes_namespace} of the cluster"


def _this_machine() -> Amount:
    return Amount(cpu_millis=(os.cpu_count() or 1) * 1000, memory_bytes=psutil.virtual_memory().total)


def _room(settings: DeployerSettings, machine: Amount) -> Amount:
    # A cluster keeps what is asked for.
    shared_by = 1 if settings.model_host == "kubernetes" else CORES_SHARED_BY
    cpu = settings.cpu * 1000 if settings.cpu else machine.cpu_millis * shared_by
    memory = settings.memory or machine.memory_bytes
    return Amount(cpu_millis=int(cpu), memory_bytes=memory, gpus=machine.gpus)
