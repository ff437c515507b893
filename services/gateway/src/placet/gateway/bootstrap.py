"""Put the gateway together. Starts nothing; tests call `build` with ports of their own."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter

from placet.events import Periodic, Service, Wiring
from placet.events.catalog import contract_of
from placet.events.contracts.gateway import AccessDenied
from placet.gateway.access import Access
from placet.gateway.adapters.git_repositories import GitRepositories
from placet.gateway.adapters.packing_processes import PackingProcesses
from placet.gateway.adapters.policy_rules import PolicyRules
from placet.gateway.adapters.registry_artifacts import (
    RegistryAssessments,
    RegistryEnvelopes,
    RegistryFacts,
    RegistryImages,
    RegistryPolicies,
    RegistrySnapshots,
    RegistrySources,
)
from placet.gateway.advising import Advisories
from placet.gateway.advisories_api import advisories_router
from placet.gateway.api import router
from placet.gateway.approvals_api import approvals_router
from placet.gateway.approving import Approving
from placet.gateway.assessed import AssessmentQueries
from placet.gateway.assessing import Assessing
from placet.gateway.assessments_api import assessments_router
from placet.gateway.certificates_api import certificates_router
from placet.gateway.commands import Commands
from placet.gateway.console.app import Console, entrance, unset
from placet.gateway.console.signing_in import SigningIn, client_of
from placet.gateway.erasing import Erasing
from placet.gateway.excepting import Excepting
from placet.gateway.exceptions_api import exceptions_router
from placet.gateway.facts_api import facts_router
from placet.gateway.granting import Granting
from placet.gateway.held import Held
from placet.gateway.intake import SERVICE, Intake
from placet.gateway.keys_api import keys_router
from placet.gateway.lately import Lately
from placet.gateway.measures import OPERATIONS, STEPS, begin, measures
from placet.gateway.model_proxy import ModelProxy, ProxyLimits
from placet.gateway.people_api import people_router
from placet.gateway.policies_api import policies_router
from placet.gateway.ports import Ports
from placet.gateway.published import PolicyQueries, PublishedPolicies
from placet.gateway.publishing import Publishing
from placet.gateway.queries import Queries
from placet.gateway.quotas import Quotas
from placet.gateway.quotas_api import quotas_router
from placet.gateway.recalling import Recall
from placet.gateway.reported import ReportQueries
from placet.gateway.reporting import Reporting
from placet.gateway.reports_api import reports_router
from placet.gateway.retaining import Kind, Retaining
from placet.gateway.retention_api import retention_router
from placet.gateway.reviewing import Reviewing
from placet.gateway.revoking import Revoking
from placet.gateway.settings import GatewaySettings
from placet.gateway.sharing_api import sharing_router
from placet.gateway.subscriptions import HEARS, SAYS, reaction, recollection
from placet.gateway.told_routes import ToldRoutes
from placet.identity import Callers, provider_of
from placet.identity.denials import Denials
from placet.oci import open_registry
from placet.projects import Limits
from placet.rules import Engine, PolicySet, load_shipped
from placet.trust import KeySet, own_key

FIRST_TOKEN_LIFETIME = timedelta(days=365)
KEYS_ARE_KEPT = timedelta(days=7)
"""How long a repeated Idempotency-Key finds the operation that it began."""


async def build(
    settings: GatewaySettings, wiring: Wiring, ports: Ports | None = None, told: ToldRoutes | None = None
) -> Service:
    """`told` is what the deployer of the same process moves routes with, where there is one."""
    close: list[Callable[[], Awaitable[None]]] = []
    if ports is None:
        ports = _ports(settings, wiring, close)
    key = own_key(settings.token_key)
    queries = Queries(wiring.store)
    own = KeySet([key.public])
    provider = provider_of(settings, wiring.clock)
    callers = Callers(lambda: own, wiring.clock, provider)
    close.append(callers.close)
    denials = Denials(wiring, AccessDenied)
    lately = Lately[tuple[str, str], None](wiring.store.committed)
    access = Access(callers, queries, wiring.clock, settings, denials, lately)
    intake = Intake(wiring, queries, ports, max_bytes=settings.max_source_bytes)
    commands = Commands(wiring, queries, ports.sources, intake, key)
    limits = ProxyLimits(
        silence=settings.model_silence_seconds,
        one_model=settings.model_requests,
        together=settings.models_requests,
    )
    proxy = ModelProxy(queries, wiring.store.committed, limits.within(_descriptors()), wiring.clock, told)
    held = Held(wiring.store, queries.people)
    erasing = Erasing(wiring, queries.people, held, facts=ports.facts, assessments=ports.assessments)
    days: dict[Kind, int] = {
        "words": settings.keep_words_days,
        "answers": settings.keep_answers_days,
        "facts": settings.keep_facts_days,
    }
    retaining = Retaining(wiring, queries.people, days, facts=ports.facts, assessments=ports.assessments)

    client = client_of(settings)
    signing_in = (
        None
        if provider is None or client is None
        else SigningIn(provider, client, settings.api_url, wiring.clock)
    )
    console = (
        Console(
            settings.api_url,
            wiring.clock,
            signing_in,
            asks=settings.api_internal_url,
            authority=settings.api_ca,
        )
        if settings.api_url
        else None
    )
    if console is not None:
        close.append(console.close)

    def routers() -> list[APIRouter]:
        known = PolicyQueries(wiring.store, queries)
        made = AssessmentQueries(wiring.store, queries)
        heard = ReportQueries(wiring.store, queries.people)
        granting = Granting(wiring, queries.people)
        return [
            router(
                access=access,
                commands=commands,
                intake=intake,
                queries=queries,
                ports=ports,
                store=wiring.store,
                clock=wiring.clock,
                max_source=settings.max_source_bytes,
            ),
            exceptions_router(
                access=access,
                excepting=Excepting(wiring, queries, ports.rules, days=settings.exception_days),
                queries=queries,
                clock=wiring.clock,
            ),
            approvals_router(access=access, approving=Approving(wiring, queries), queries=queries),
            certificates_router(
                access=access, revoking=Revoking(wiring, queries), reviewing=Reviewing(wiring, queries)
            ),
            keys_router(access=access, queries=queries),
            policies_router(
                access=access,
                publishing=Publishing(wiring, known, ports.policies),
                policies=known,
                clock=wiring.clock,
            ),
            facts_router(access=access, facts=ports.facts),
            advisories_router(access=access, advisories=Advisories(wiring, queries, ports.snapshots)),
            assessments_router(
                access=access,
                assessing=Assessing(wiring, made, ports.assessments),
                made=made,
                clock=wiring.clock,
            ),
            reports_router(
                access=access,
                reporting=Reporting(wiring, heard, queries.people, most=settings.reports_per_day),
                reported=heard,
            ),
            people_router(access=access, held=held, erasing=erasing),
            retention_router(access=access, retaining=retaining),
            quotas_router(access=access, quotas=Quotas(wiring), granting=granting),
            sharing_router(access=access, granting=granting, queries=queries),
            entrance(),
        ]

    async def leave_first_token() -> None:
        if settings.admin_token_file is not None:
            await _leave_first_token(commands, settings.admin_token_file)

    async def name_silence() -> None:
        await commands.name_silence(settings.stall_seconds)

    async def forget_keys() -> None:
        await commands.forget_keys(KEYS_ARE_KEPT)

    begin()
    return Service(
        name=SERVICE,
        wiring=wiring,
        hears=frozenset(contract_of(event).producer for event in HEARS),
        says=SAYS,
        reaction=reaction(wiring.store),
        workers=(erasing.worker(),),
        recalls=recollection(
            Recall(ports=ports, limits=Limits(max_archive=settings.max_source_bytes), people=queries.people)
        ),
        settles=(name_silence,),
        periodic=(
            Periodic(name="name silence", every=settings.stall_seconds / 10, run=name_silence),
            Periodic(name="forget keys", every=3600.0, run=forget_keys),
            Periodic(name="retain", every=86400.0, run=retaining.apply),
            Periodic(name="erase", every=3600.0, run=erasing.take_up_again),
        ),
        routers=routers,
        mounts={"/models": proxy, "/console": unset() if console is None else console.app},
        admits=asynccontextmanager(access.caller),
        measures=tuple(measures(wiring.store, wiring.clock)),
        counts=(STEPS, OPERATIONS, denials),
        start=(*(() if console is None else (console.start,)), leave_first_token, denials.start),
        close=(*close, proxy.close, denials.close),
    )


async def make_admin_token(settings: GatewaySettings, wiring: Wiring) -> str:
    """One more, in the name of the platform itself, as the log says."""
    close: list[Callable[[], Awaitable[None]]] = []
    ports = _ports(settings, wiring, close)
    try:
        queries = Queries(wiring.store)
        intake = Intake(wiring, queries, ports, max_bytes=settings.max_source_bytes)
        commands = Commands(wiring, queries, ports.sources, intake, own_key(settings.token_key))
        return await _admin_token(commands)
    finally:
        for each in reversed(close):
            await each()


def _ports(settings: GatewaySettings, wiring: Wiring, close: list[Callable[[], Awaitable[None]]]) -> Ports:
    """The real ones; what they hold open is closed by what they add to `close`."""
    registry, engine = open_registry(settings.registry), Engine()

    async def end_engine() -> None:
        engine.close()

    close += [registry.close, end_engine]
    return Ports(
        sources=RegistrySources(registry),
        repositories=GitRepositories(
            hosts=settings.allowed_git_hosts,
            max_bytes=settings.max_source_bytes,
            seconds=settings.git_seconds,
        ),
        packing=PackingProcesses(),
        rules=PolicyRules(PolicySet(load_shipped(), PublishedPolicies(wiring.store)), engine),
        policies=RegistryPolicies(registry),
        facts=RegistryFacts(registry),
        snapshots=RegistrySnapshots(registry),
        assessments=RegistryAssessments(registry),
        envelopes=RegistryEnvelopes(registry),
        images=RegistryImages(registry),
    )


def _descriptors() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if allowed == resource.RLIM_INFINITY else allowed


async def _leave_first_token(commands: Commands, file: Path) -> None:
    """Who installs the platform needs one token to make the others with."""
    if await anyio.Path(file).exists():
        return
    await anyio.to_thread.run_sync(_write_private, file, await _admin_token(commands))


async def _admin_token(commands: Commands) -> str:
    issued = await commands.issue_token("admin", frozenset({"admin"}), FIRST_TOKEN_LIFETIME, None)
    token: str = issued["token"]
    return token


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: an empty file left by a crash would look like a token that was handed out.
    descriptor, unfinished = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="ascii") as target:
        target.write(text)
    Path(unfinished).replace(file)
