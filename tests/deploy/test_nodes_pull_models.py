"""deploy/compose/nodes.cfg, before a registry with the users that compose gives it: nodes pull models, and no more."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import httpx
import pytest
from placet.oci import Manifest, Registry, open_registry, sha256_digest
from placet.oci.content import OCI_MANIFEST

from tests.contract.registry_contract import put_image
from tests.deploy import preparing
from tests.support.authorities import Authority, Signed
from tests.support.servers import Registry as RegistryServer
from tests.support.servers import haproxy, registry, sources
from tests.support.servers.local import free_port
from tools import workspace

CONFIGURATION = workspace.ROOT / "deploy" / "compose" / "nodes.cfg"
HERE = "127.0.0.1"
MODEL = "models/churn"
LAYER = b"a model, so large that it comes in pieces" * 100_000
ACCEPT = {"Accept": OCI_MANIFEST}
PASSWORDS = {name: token_urlsafe(32) for name in ("builder", "nodes")}


@dataclass(frozen=True, kw_only=True)
class Site:
    """`address` is what nodes call the registry."""

    address: str
    behind: RegistryServer
    health: str
    authority: Path
    shown: Signed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if shutil.which("docker-registry") is None:
        sources.cannot_be_had("registry", "no program for it on this machine (`make servers`)")
    program = sources.program("haproxy")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    shown = authority.sign("nodes", HERE)
    behind = registry.run_locally(users=preparing.prepare().htpasswd(PASSWORDS))
    port, health = free_port(), free_port()
    try:
        before = haproxy.run_locally(
            program, port, settings(port, health, behind.address, shown.both), CONFIGURATION
        )
        try:
            yield Site(
                address=f"{HERE}:{port}",
                behind=behind,
                health=f"http://{HERE}:{health}/nodesz",
                authority=authority.file,
                shown=shown,
            )
        finally:
            before.remove()
    finally:
        behind.lifecycle.remove()


def settings(port: int, health: int, behind: str, certificate: Path) -> Mapping[str, str]:
    return {
        "PLACET_NODES": f"{HERE}:{port}",
        "PLACET_NODES_HEALTH": f"{HERE}:{health}",
        "PLACET_NODES_REGISTRY": behind,
        "PLACET_NODES_CERTIFICATE": str(certificate),
    }


@pytest.fixture
async def builder(site: Site) -> AsyncIterator[Registry]:
    """Who pushes, from within."""
    async with open_registry(f"http://builder:{PASSWORDS['builder']}@{site.behind.address}") as opened:
        yield opened


@pytest.fixture
async def image(builder: Registry) -> Manifest:
    return await put_image(builder, MODEL, LAYER, tag="release-1")


@pytest.fixture
async def asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """By somebody who is nobody yet."""
    monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
    async with httpx.AsyncClient(base_url=f"https://{site.address}", timeout=30) as client:
        yield client


def as_user(name: str, password: str | None = None) -> httpx.BasicAuth:
    return httpx.BasicAuth(name, password or PASSWORDS[name])


# What they may.


async def test_an_image_is_pulled_by_its_digest(asked: httpx.AsyncClient, image: Manifest) -> None:
    """As programs of nodes ask: who they are, whether it is there, and then for what is missing of a layer."""
    me = as_user("nodes")
    (layer,) = image.layers
    assert image.config is not None
    path = f"/v2/{MODEL}/manifests/{image.digest}"
    answers = [
        await asked.get("/v2/", auth=me),
        there := await asked.head(path, auth=me, headers=ACCEPT),
        manifest := await asked.get(path, auth=me, headers=ACCEPT),
        config := await asked.get(f"/v2/{MODEL}/blobs/{image.config.digest}", auth=me),
        whole := await asked.get(f"/v2/{MODEL}/blobs/{layer.digest}", auth=me),
        rest := await asked.get(f"/v2/{MODEL}/blobs/{layer.digest}", auth=me, headers={"Range": "bytes=7-"}),
    ]
    assert [each.status_code for each in answers] == [200, 200, 200, 200, 200, 206]
    assert there.headers["Docker-Content-Digest"] == sha256_digest(manifest.content) == image.digest
    assert (config.content, whole.content, rest.content) == (b"{}", LAYER, LAYER[7:])
    for each in answers:  # none of them leads elsewhere
        assert not {"location", "link"} & each.headers.keys()


async def test_what_is_not_there_is_told_as_the_registry_tells_it(asked: httpx.AsyncClient) -> None:
    missing = await asked.get(f"/v2/{MODEL}/manifests/sha256:{'0' * 64}", auth=as_user("nodes"))
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"


async def test_it_says_that_it_is_there_to_who_asks_from_within(site: Site) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as within:
        assert (await within.get(site.health)).status_code == 200


# What they may not.


async def test_nothing_is_pushed_and_nothing_deleted(
    asked: httpx.AsyncClient, builder: Registry, image: Manifest
) -> None:
    before = await builder.entries(MODEL)
    (layer,) = image.layers
    changes = [
        ("POST", f"/v2/{MODEL}/blobs/uploads/"),
        ("POST", f"/v2/{MODEL}/blobs/uploads/?mount={layer.digest}&from=sources"),
        ("PATCH", f"/v2/{MODEL}/blobs/uploads/x"),
        ("PUT", f"/v2/{MODEL}/blobs/uploads/x?digest={layer.digest}"),
        ("PUT", f"/v2/{MODEL}/manifests/{image.digest}"),
        ("PUT", f"/v2/{MODEL}/manifests/another"),
        ("DELETE", f"/v2/{MODEL}/manifests/{image.digest}"),
        ("DELETE", f"/v2/{MODEL}/blobs/{layer.digest}"),
        ("OPTIONS", f"/v2/{MODEL}/blobs/{layer.digest}"),
    ]
    for method, path in changes:
        told = await asked.request(method, path, content=b"{}", auth=as_user("nodes"))
        assert (told.status_code, told.headers["Allow"]) == (405, "GET, HEAD"), (method, path)
        assert told.json()["errors"][0]["code"] == "UNSUPPORTED"
        as_another = await asked.request(method, path, content=b"{}", auth=as_user("builder"))
        assert as_another.status_code == 405, (method, path)
    assert await builder.entries(MODEL) == before
    assert await builder.read_blob(MODEL, layer.digest) == LAYER


async def test_nobody_pulls_without_the_password(asked: httpx.AsyncClient, image: Manifest) -> None:
    (layer,) = image.layers
    for path in ("/v2/", f"/v2/{MODEL}/manifests/{image.digest}", f"/v2/{MODEL}/blobs/{layer.digest}"):
        unknown = await asked.get(path)
        assert unknown.status_code == 401
        assert unknown.headers["WWW-Authenticate"] == 'Basic realm="placet"'
        assert LAYER not in unknown.content
        assert (await asked.get(path, auth=as_user("nodes", "guessed"))).status_code == 401


async def test_no_other_user_of_the_registry_comes_in_here(asked: httpx.AsyncClient, image: Manifest) -> None:
    """Nor beside the nodes' own: who reads two of them may take the first, or the last."""
    path = f"/v2/{MODEL}/manifests/{image.digest}"
    theirs, ours = (
        next(as_user(name).auth_flow(asked.build_request("GET", path))).headers["Authorization"]
        for name in ("builder", "nodes")
    )
    assert (await asked.get(path, headers={"Authorization": ours, **ACCEPT})).status_code == 200
    for several in ([theirs], [theirs, ours], [ours, theirs], [f"{theirs}, {ours}"], ["Bearer x"]):
        told = await asked.get(path, headers=[("Authorization", each) for each in several])
        assert told.status_code == 403, several
        assert told.json()["errors"][0]["code"] == "DENIED"


async def test_nothing_but_models_is_read(
    asked: httpx.AsyncClient, builder: Registry, image: Manifest
) -> None:
    source = await put_image(builder, "sources", b"somebody's code")
    (code,) = source.layers
    (layer,) = image.layers
    for path in (
        "/",
        "/v2",
        "/v2/_catalog",
        f"/v2/{MODEL}/tags/list",
        f"/v2/{MODEL}/manifests/release-1",
        f"/v2/{MODEL}/manifests/{image.digest.replace(':', '-')}",
        f"/v2/{MODEL}/referrers/{image.digest}",
        f"/v2/sources/manifests/{source.digest}",
        f"/v2/sources/blobs/{code.digest}",
        f"/v2/{MODEL}/../../sources/blobs/{code.digest}",
        f"/v2/models/%2e%2e/%2e%2e/sources/blobs/{code.digest}",
        f"/v2/models%2Fchurn/blobs/{layer.digest}",
        f"//v2/{MODEL}/blobs/{layer.digest}",
        f"/v2/{MODEL}/blobs/{layer.digest}/",
    ):
        url = httpx.URL(str(asked.base_url)).copy_with(raw_path=path.encode())
        told = await asked.get(url, auth=as_user("nodes"))
        assert told.status_code == 403, path
        assert told.json()["errors"][0]["code"] == "DENIED"


async def test_it_is_reached_by_tls_that_holds_and_not_otherwise(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as plain:
        with pytest.raises(httpx.TransportError):
            await plain.get(f"http://{site.address}/v2/")
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path, "another").file))
    async with httpx.AsyncClient(timeout=30) as distrusting:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await distrusting.get(f"https://{site.address}/v2/")


def test_without_a_certificate_it_does_not_start(site: Site) -> None:
    """What is mounted where nobody set one: nothing."""
    done = subprocess.run(
        [sources.program("haproxy"), "-c", "-f", str(CONFIGURATION)],
        env=dict(settings(free_port(), free_port(), site.behind.address, Path("/dev/null"))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "certificate" in done.stderr
