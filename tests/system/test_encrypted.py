"""Six processes whose connections are all by TLS: broker, database, registry, services, the edge and its clients.

One authority signs for all of them. Another one, which nobody believes, shows that each client checks.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from placet.errors import PlacetError, Refused, Unavailable
from placet.events.adapters.rabbitmq_bus import open_rabbitmq_bus
from placet.events.wiring import open_distributed_store
from placet.gateway.console.asking import Platform as AsConsole
from placet.oci import open_registry

from tests.support.authorities import Authority
from tests.support.eventually import eventually
from tests.support.platforms import (
    SERVICES,
    DistributedPlatform,
    Encryption,
    Platform,
    distributed,
    embedded_process,
)
from tests.support.servers import CaddyServer, haproxy, postgresql, rabbitmq, registry, sources
from tests.support.servers.local import free_port
from tests.system.models import write_project
from tests.system.scenarios import placet, predict, printed

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encrypted")


@pytest.fixture(scope="module")
def another(folder: Path) -> Authority:
    return Authority(folder / "another", "another")


@pytest.fixture(scope="module")
def running(folder: Path, caddy: CaddyServer) -> Iterator[DistributedPlatform]:
    for kind in (sources.POSTGRES, sources.RABBITMQ, sources.REGISTRY):
        if kind.can_run_locally() is None:
            sources.cannot_be_had(kind.name, "no program for it on this machine (`make servers`)")
    authority = Authority(folder / "authority")
    # HAProxy compares names, and takes an address for one where it is the certificate's own.
    shown = {
        name: authority.sign(HERE, HERE, into=_made(folder / "shown" / name)) for name in (*SERVICES, "edge")
    }
    with ExitStack() as stack:
        trusting = stack.enter_context(pytest.MonkeyPatch.context())
        trusting.setenv("SSL_CERT_FILE", str(_with_those_before(authority, folder)))
        servers = (
            postgresql.run_encrypted(authority),
            rabbitmq.run_locally(authority.sign("broker", HERE)),
            registry.run_locally(shows=authority.sign("registry", HERE)),
        )
        for server in servers:
            stack.callback(server.lifecycle.remove)
        yield stack.enter_context(
            distributed(
                folder,
                postgres=servers[0],
                rabbitmq=servers[1],
                registry=servers[2],
                caddy=caddy,
                encryption=Encryption(authority=authority, shown=shown),
            )
        )


@pytest.fixture(scope="module")
def platform(running: DistributedPlatform) -> Platform:
    return running.platform


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _with_those_before(authority: Authority, folder: Path) -> Path:
    """As an operator adds an authority: packages come from an index that others sign for."""
    before = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    bundle = folder / "bundle.pem"
    bundle.write_bytes(authority.file.read_bytes() + (Path(before).read_bytes() if before else b""))
    return bundle


async def test_a_model_goes_from_its_folder_to_a_url_by_tls_alone(platform: Platform, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p", "encrypted", weight=4.0)
    said = await placet(platform, "deploy", str(project))
    assert said["state"] == "live", said
    assert said["url"].startswith("https://")
    assert await predict(platform, "encrypted", 2.0) == 8.0


async def test_who_signs_in_to_the_console_is_looked_up_by_tls(platform: Platform) -> None:
    async with platform.http() as browser:
        origin = {"Origin": platform.url}
        answer = await browser.post("/console/sign-in", data={"token": platform.token}, headers=origin)
        assert answer.status_code == 303, answer.text
        page = await browser.get("/console/models")
        assert page.status_code == 200


# Without TLS.


async def test_a_plain_connection_is_refused_by_each_server(running: DistributedPlatform) -> None:
    broker = await impediment(running.broker.amqp_url.replace("amqps://", "amqp://"))
    assert broker is not None
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        await asyncpg.connect(running.database_url.partition("?")[0], ssl=False)
    for url in (running.registry_url, running.url, *of_services(running)):
        assert not await answers_in_plain(url.replace("https://", "http://"))


async def answers_in_plain(url: str) -> bool:
    """A server of Go's says in plain words that it is asked in plain ones."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        try:
            answer = await client.get(f"{url}/readyz")
        except httpx.TransportError:
            return False
    return answer.status_code != 400


async def test_services_answer_whoever_shows_no_certificate_only_how_they_are(
    running: DistributedPlatform, platform: Platform
) -> None:
    assert platform.authority is not None
    context = ssl.create_default_context(cafile=platform.authority)
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=context) as client:
        for url in of_services(running):
            assert (await client.get(f"{url}/readyz")).status_code == 200
            assert (await client.get(f"{url}/metrics")).status_code == 403


def of_services(running: DistributedPlatform) -> list[str]:
    return [f"https://{HERE}:{port}" for port in running.ports.values()]


# A certificate of another authority than the one that is believed.


async def test_a_service_does_not_believe_another_authoritys_broker(
    running: DistributedPlatform, another: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await impediment(running.broker.amqp_url) is None
    monkeypatch.setenv("SSL_CERT_FILE", str(another.file))
    assert "CERTIFICATE_VERIFY_FAILED" in str(await impediment(running.broker.amqp_url))


async def impediment(url: str) -> str | None:
    """What keeps a service from saying something there."""
    bus = await open_rabbitmq_bus(url, service="placet")
    try:
        return bus.impediment
    finally:
        await bus.close()


async def test_nor_its_database(running: DistributedPlatform, another: Authority) -> None:
    url = running.database_url.partition("sslrootcert=")[0] + f"sslrootcert={quote(str(another.file))}"
    with pytest.raises(Refused, match="certificate verify failed"):
        await open_distributed_store("indexer", url)


async def test_nor_its_registry(
    running: DistributedPlatform, another: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(another.file))
    there = open_registry(running.registry_url)
    try:
        with pytest.raises(Unavailable, match="certificate"):
            await there.manifest("encrypted", "latest")
    finally:
        await there.close()


async def test_the_edge_believes_a_service_by_its_authority_and_its_name(
    running: DistributedPlatform, another: Authority, tmp_path: Path
) -> None:
    for changed in (
        {"PLACET_EDGE_CA": str(another.file)},
        # The same place by a name that its certificate does not have.
        {"PLACET_GATEWAY": f"localhost:{running.ports['gateway']}"},
    ):
        assert await told_by_an_edge(running, changed) == 503, changed
    # And services do not believe another authority's edge, which may hear of it only once it has asked.
    stranger = {"PLACET_EDGE_CLIENT_CERTIFICATE": str(another.sign("edge", HERE, into=tmp_path).both)}
    assert await told_by_an_edge(running, stranger) in (502, 503)
    assert await told_by_an_edge(running, {}) == 401


async def told_by_an_edge(running: DistributedPlatform, changed: dict[str, str]) -> int:
    """The status of a read without a token, which the gateway refuses; the edge waits for nobody."""
    configuration = running.folder / "impatient.cfg"
    configuration.write_text(haproxy.CONFIGURATION.read_text().replace("retries 15", "retries 0"))
    port = free_port()
    edge = await asyncio.to_thread(
        haproxy.run_locally,
        sources.program("haproxy"),
        port,
        {**running.edge_environment, "PLACET_MODELS": "/nowhere.sock", **changed},
        configuration,
    )
    try:
        async with replace(running.platform, url=f"https://{HERE}:{port}").http() as client:
            return (await client.get("/v1/models")).status_code
    finally:
        await asyncio.to_thread(edge.remove)


async def test_the_command_and_the_console_do_not_believe_another_authoritys_edge(
    platform: Platform, another: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(another.file))
    elsewhere = replace(platform, authority=another.file)
    await printed(elsewhere, "list", status=3)
    console = AsConsole(platform.url, another.file)
    await console.start()
    try:
        async with console.as_whom(platform.token) as ask:
            with pytest.raises(PlacetError, match="not in TLS that holds"):
                await ask.me()
    finally:
        await console.close()


# One process.


async def test_placet_up_by_tls_starts_again_on_its_socket(tmp_path: Path) -> None:
    """With SIGUSR2: whoever was connected connects anew, and who does so meanwhile is answered by the next one."""
    authority = Authority(tmp_path / "authority")
    shown = authority.sign("platform", HERE)
    settings = {
        "PLACET_HTTP_TLS_CERTIFICATE": str(shown.certificate),
        "PLACET_HTTP_TLS_KEY": str(shown.key),
        "PLACET_API_CA": str(authority.file),
        "PLACET_HTTP_TRUSTED_PROXIES": HERE,
    }
    with embedded_process(tmp_path, settings) as (found, process):
        platform = replace(found, authority=authority.file)
        assert platform.url.startswith("https://")
        async with platform.http() as connected:
            assert (await connected.get("/readyz")).status_code == 200
            await tells_callers_apart_by_what_its_proxy_says(platform, connected)
            process.start_again()
            await eventually(lambda: "the platform starts again" in process.log.read_text())
            assert (await connected.get("/readyz")).status_code == 200
            signed_in = await connected.post(
                "/console/sign-in", data={"token": platform.token}, headers={"Origin": platform.url}
            )
            assert signed_in.status_code == 303, signed_in.text


async def tells_callers_apart_by_what_its_proxy_says(platform: Platform, proxy: httpx.AsyncClient) -> None:
    for caller in ("198.51.100.7", "203.0.113.7"):
        await proxy.get("/v1/models", headers={"X-Forwarded-For": caller})

    async def are_two() -> bool:
        path = "/v1/events?type=placet.gateway.access.denied.*"
        answer = await proxy.get(path, headers=platform.authorized())
        return len({each["data"]["origin"] for each in answer.json()["events"]}) == 2

    await eventually(are_two)
