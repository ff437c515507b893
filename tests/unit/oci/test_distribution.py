"""What a real registry seldom does: challenge, fail, redirect, lie."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from placet.errors import Forbidden, Refused, TooLarge, Unavailable, Unreadable
from placet.oci import Credentials, DistributionRegistry, ImageLayout, Manifest, open_registry, sha256_digest
from placet.oci.authentication import Challenge
from placet.oci.content import EMPTY, OCI_INDEX, OCI_MANIFEST

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()
CREDENTIALS = Credentials(user="me", password="secret")
MANIFEST = Manifest.image(config=EMPTY, layers=[EMPTY])


class Server:
    """An HTTP server that a test gives its answers."""

    def __init__(self) -> None:
        self.handler: Handler = lambda request: _answer(404)
        self.requests: list[web.Request] = []
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)

    async def start(self) -> None:
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handler(request)


async def _answer(status: int, body: bytes = b"", **headers: str) -> web.Response:
    return web.Response(
        status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    started = Server()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def other() -> AsyncIterator[Server]:
    started = Server()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[DistributionRegistry]:
    async with DistributionRegistry(server.url, credentials=CREDENTIALS, retry_delays=(0, 0)) as opened:
        yield opened


async def test_a_bearer_challenge_is_answered_with_a_token_for_its_scope(
    server: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/token":
            assert request.headers["Authorization"] == BASIC
            return web.json_response({"token": f"for {request.query['scope']}"})
        if request.headers.get("Authorization") != "Bearer for repository:models/churn:pull":
            realm = f'Bearer realm="{server.url}/token",service="registry"'
            return await _answer(401, WWW_Authenticate=realm)
        return await _answer(200, b"content")

    server.handler = handler
    digest = sha256_digest(b"content")

    assert await client.read_blob("models/churn", digest) == b"content"
    assert await client.read_blob("models/churn", digest) == b"content"
    assert [request.path for request in server.requests].count("/token") == 1


async def test_a_basic_challenge_is_answered_with_the_credentials(
    server: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != BASIC:
            return await _answer(401, WWW_Authenticate='Basic realm="registry"')
        return await _answer(200)

    server.handler = handler

    assert await client.blob_exists("models/churn", sha256_digest(b""))


async def test_several_that_are_challenged_at_once_are_all_answered(
    server: Server, client: DistributionRegistry
) -> None:
    """None of them had sent credentials, and each is told so after another has noted them."""
    challenged = asyncio.Barrier(3)

    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != BASIC:
            await challenged.wait()
            return await _answer(401, WWW_Authenticate='Basic realm="registry"')
        return await _answer(200)

    server.handler = handler

    asked = (client.blob_exists("models/churn", sha256_digest(each)) for each in (b"a", b"b", b"c"))
    assert await asyncio.gather(*asked) == [True] * 3


@pytest.mark.parametrize("challenge", ['Basic realm="registry"', "Negotiate", ""])
async def test_credentials_that_are_not_enough_are_said_to_be_so(
    server: Server, client: DistributionRegistry, challenge: str
) -> None:
    server.handler = lambda request: _answer(401, WWW_Authenticate=challenge)

    with pytest.raises(Forbidden):
        await client.manifest("models/churn", "latest")
    assert len(server.requests) <= 2


def test_a_realm_without_tls_is_not_trusted_by_a_registry_with_tls() -> None:
    challenge = Challenge.parse('Bearer realm="http://example.org/token", service="a \\"b\\""')

    assert challenge is not None
    assert challenge.parameters["service"] == 'a "b"'
    assert not challenge.is_safe_from("https://registry.example.org")
    assert challenge.is_safe_from("http://registry.example.org")


async def test_a_busy_registry_is_asked_again(server: Server, client: DistributionRegistry) -> None:
    server.handler = lambda request: _answer(503) if len(server.requests) < 3 else _answer(200, MANIFEST.body)

    assert await client.manifest("models/churn", "latest") == MANIFEST


async def test_a_registry_that_stays_busy_says_when_to_come_back(
    server: Server, client: DistributionRegistry
) -> None:
    server.handler = lambda request: _answer(429, Retry_After="3600")

    with pytest.raises(Unavailable) as busy:
        await client.manifest("models/churn", "latest")

    assert busy.value.retry_after == 3600
    assert len(server.requests) == 1, "nobody waits an hour inside a call"


async def test_a_registry_that_is_away_is_unavailable(server: Server) -> None:
    url = server.url
    await server.stop()

    async with DistributionRegistry(url, retry_delays=(0,)) as client:
        with pytest.raises(Unavailable, match="does not answer"):
            await client.repositories()


async def test_a_registry_that_is_full_is_unavailable_and_says_so(
    server: Server, client: DistributionRegistry, tmp_path: Path
) -> None:
    (tmp_path / "blob").write_bytes(b"content")
    server.handler = lambda request: _answer(404 if request.method == "HEAD" else 507)

    with pytest.raises(Unavailable, match="507"):
        await client.put_blob("models/churn", tmp_path / "blob")


async def test_a_registry_that_takes_nothing_so_large_is_asked_once(
    server: Server, client: DistributionRegistry
) -> None:
    server.handler = lambda request: _answer(404 if request.method == "HEAD" else 413)

    with pytest.raises(TooLarge, match="413"):
        await client.put_blob("models/churn", b"content")
    assert [request.method for request in server.requests] == ["HEAD", "POST"]


async def test_a_registry_that_never_answers_is_given_up(server: Server) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server.handler = handler

    async with DistributionRegistry(server.url, retry_delays=(0,), silence=0.1) as client:
        with pytest.raises(Unavailable, match="does not answer"):
            await client.put_manifest("models/churn", MANIFEST)
    assert len(server.requests) == 2


async def test_a_registry_that_stops_taking_a_blob_is_given_up(server: Server) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return await _answer(404)
        if request.method == "POST":
            return await _answer(202, Location=f"{server.url}/v2/models/churn/blobs/uploads/1")
        await asyncio.Event().wait()
        raise AssertionError

    server.handler = handler

    async with DistributionRegistry(server.url, retry_delays=(), silence=0.1) as client:
        with pytest.raises(Unavailable, match="does not answer"):
            await client.put_blob("models/churn", b"content")


async def test_a_blob_that_two_want_to_send_goes_over_once(
    server: Server, client: DistributionRegistry
) -> None:
    kept: set[str] = set()

    async def handler(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return await _answer(200 if kept else 404)
        if request.method == "PUT":
            kept.add(request.path)
            return await _answer(201)
        return await _answer(202, Location=f"{server.url}/v2/models/churn/blobs/uploads/1")

    server.handler = handler

    await asyncio.gather(*(client.put_blob("models/churn", b"{}") for _ in range(3)))

    assert [request.method for request in server.requests] == ["HEAD", "POST", "PUT", "HEAD", "HEAD"]


async def test_a_manifest_of_which_another_is_writing_a_blob_is_put_again(
    server: Server, client: DistributionRegistry
) -> None:
    half_written = json.dumps(
        {"errors": [{"code": "DIGEST_INVALID"}, {"code": "MANIFEST_BLOB_UNKNOWN"}]}
    ).encode()

    async def handler(request: web.Request) -> web.Response:
        return await (_answer(201) if len(server.requests) > 1 else _answer(400, half_written))

    server.handler = handler

    assert await client.put_manifest("models/churn", MANIFEST) == MANIFEST.digest
    assert len(server.requests) == 2


async def test_a_registry_that_keeps_other_bytes_than_it_was_sent_is_refused(
    server: Server, client: DistributionRegistry
) -> None:
    other = sha256_digest(b"other")

    async def handler(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return await _answer(404)
        upload = f"{server.url}/v2/models/churn/blobs/uploads/1"
        await request.read()
        return await _answer(201, Location=upload, Docker_Content_Digest=other)

    server.handler = handler

    with pytest.raises(Refused, match=f"as {other}"):
        await client.put_manifest("models/churn", MANIFEST)
    with pytest.raises(Refused, match=f"as {other}"):
        await client.put_blob("models/churn", b"content")


async def test_a_refusal_carries_the_registrys_reason(server: Server, client: DistributionRegistry) -> None:
    reason = {"errors": [{"code": "TAG_INVALID", "message": "manifest tag did not match URI"}]}
    server.handler = lambda request: _answer(400, json.dumps(reason).encode())

    with pytest.raises(Refused, match="TAG_INVALID: manifest tag did not match URI"):
        await client.put_manifest("models/churn", MANIFEST, tag="latest")


async def test_other_bytes_than_the_digest_names_are_refused_and_not_kept(
    server: Server, client: DistributionRegistry, tmp_path: Path
) -> None:
    server.handler = lambda request: _answer(200, MANIFEST.body)
    digest = sha256_digest(b"honest")

    with pytest.raises(Refused):
        await client.read_blob("models/churn", digest)
    with pytest.raises(Refused):
        await client.save_blob("models/churn", digest, tmp_path / "blob")
    with pytest.raises(Refused):
        await client.manifest("models/churn", digest)
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240 - an empty folder


async def test_a_blob_that_breaks_off_is_unavailable_and_not_kept(
    server: Server, client: DistributionRegistry, tmp_path: Path
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return answer

    server.handler = handler

    with pytest.raises(Unavailable):
        await client.save_blob("models/churn", sha256_digest(b"whole"), tmp_path / "blob")
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240 - an empty folder


async def test_a_manifest_over_the_limit_is_not_read_to_its_end(
    server: Server, client: DistributionRegistry
) -> None:
    server.handler = lambda request: _answer(200, b" " * (5 * 1024 * 1024))

    with pytest.raises(TooLarge):
        await client.manifest("models/churn", "latest")


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"config": 1, "layers": []}'])
async def test_what_is_no_manifest_is_unreadable(
    server: Server, client: DistributionRegistry, body: bytes
) -> None:
    server.handler = lambda request: _answer(200, body)

    with pytest.raises(Unreadable):
        await client.manifest("models/churn", "latest")


async def test_a_redirect_to_another_host_takes_no_credentials_along(
    server: Server, other: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return await _answer(401, WWW_Authenticate='Basic realm="registry"')
        return await _answer(307, Location=f"{other.url}/stored")

    server.handler = handler
    other.handler = lambda request: _answer(200, b"content")

    assert await client.read_blob("models/churn", sha256_digest(b"content")) == b"content"
    assert "Authorization" not in other.requests[0].headers


async def test_an_upload_to_another_host_takes_no_credentials_along(
    server: Server, other: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return await _answer(401, WWW_Authenticate='Basic realm="registry"')
        if request.method == "HEAD":
            return await _answer(404)
        return await _answer(202, Location=f"{other.url}/upload?state=a%2Fb")

    async def store(request: web.Request) -> web.Response:
        assert await request.read() == b"content"
        return await _answer(201)

    server.handler, other.handler = handler, store

    await client.put_blob("models/churn", b"content")

    [request] = other.requests
    assert "Authorization" not in request.headers
    assert request.headers["Content-Length"] == "7"
    assert request.raw_path == f"/upload?state=a%2Fb&digest={sha256_digest(b'content')}".replace(":", "%3A")


async def test_a_failed_upload_begins_again(server: Server, client: DistributionRegistry) -> None:
    received = []

    async def handler(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return await _answer(404)
        if request.method == "POST":
            return await _answer(202, Location="/upload")
        if request.method == "DELETE":
            return await _answer(204)
        received.append(await request.read())
        return await _answer(500 if len(received) == 1 else 201)

    server.handler = handler

    await client.put_blob("models/churn", b"content")

    assert received == [b"content", b"content"]


async def test_an_upload_that_is_cancelled_is_ended_in_the_registry(
    server: Server, client: DistributionRegistry
) -> None:
    arrived, never = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return await _answer(202, Location="/upload?state=1")
        if request.method == "PUT":
            arrived.set()
            await never.wait()
        return await _answer(404 if request.method == "HEAD" else 204)

    server.handler = handler
    sending = asyncio.create_task(client.put_blob("models/churn", b"content"))
    await arrived.wait()

    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    assert [request.method for request in server.requests][-2:] == ["PUT", "DELETE"]
    assert server.requests[-1].path_qs == "/upload?state=1"
    never.set()


async def test_a_mount_that_becomes_an_upload_is_given_up(
    server: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        match request.method:
            case "HEAD":
                return await _answer(404)
            case "POST":
                return await _answer(202, Location="/v2/models/churn/blobs/uploads/1")
        return await _answer(204)

    server.handler = handler

    assert not await client.mount_blob("models/churn", sha256_digest(b""), source="models/other")
    assert server.requests[-1].method == "DELETE"


async def test_a_registrys_own_referrers_are_used_page_by_page(
    server: Server, client: DistributionRegistry
) -> None:
    first, second = (
        Manifest.image(config=EMPTY, layers=[EMPTY], artifact_type=kind, subject=MANIFEST.descriptor)
        for kind in ("card", "scan")
    )

    async def handler(request: web.Request) -> web.Response:
        if request.method == "PUT":
            return await _answer(201, OCI_Subject=MANIFEST.digest)
        listed, link = (second, "") if "page" in request.query else (first, '<?page=2>; rel="next"')
        body = Manifest.index([listed.referrer]).body
        headers = {"Content-Type": OCI_INDEX} | ({"Link": link} if link else {})
        return web.Response(body=body, headers=headers)

    server.handler = handler

    await client.put_manifest("models/churn", first)
    assert len(server.requests) == 1, "the registry keeps the list itself"
    found = await client.referrers("models/churn", MANIFEST.digest)
    scans = await client.referrers("models/churn", MANIFEST.digest, artifact_type="scan")

    assert {entry.digest for entry in found} == {first.digest, second.digest}
    assert [entry.digest for entry in scans] == [second.digest]


async def test_a_listing_does_not_lead_elsewhere(
    server: Server, other: Server, client: DistributionRegistry
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return await _answer(200, b'{"tags": ["a"]}', Link=f'<{other.url}/more>; rel="next"')

    server.handler = handler

    with pytest.raises(Refused):
        await client.tags("models/churn")
    assert other.requests == []


async def test_a_manifests_type_is_sent_with_it(server: Server, client: DistributionRegistry) -> None:
    server.handler = lambda request: _answer(201)

    await client.put_manifest("models/churn", MANIFEST, tag="latest")

    assert server.requests[0].headers["Content-Type"] == OCI_MANIFEST


def test_an_address_opens_the_registry_behind_it(tmp_path: Path) -> None:
    there = open_registry("https://me:sec%40ret@registry.example.org:5000/team/a")

    assert isinstance(there, DistributionRegistry)
    assert there.address == "https://registry.example.org:5000/team/a"
    assert isinstance(open_registry(str(tmp_path)), ImageLayout)
    for wrong in ("", "ftp://example.org", "http://", "http://example.org/UPPER"):
        with pytest.raises(Refused):
            open_registry(wrong)


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"{}", b'{"errors": []}'])
async def test_a_404_that_is_not_in_a_registry_s_words_says_nothing_of_a_manifest(
    server: Server, body: bytes
) -> None:
    server.handler = lambda request: _answer(404, body)
    async with DistributionRegistry(server.url, retry_delays=()) as registry:
        with pytest.raises(Unavailable, match="not in a registry's words"):
            await registry.has_manifest("models/churn", MANIFEST.digest)


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"])
async def test_a_registry_s_own_404_says_that_a_manifest_is_not_there(server: Server, code: str) -> None:
    body = json.dumps({"errors": [{"code": code, "message": "manifest unknown"}]}).encode()
    server.handler = lambda request: _answer(404, body)
    async with DistributionRegistry(server.url, retry_delays=()) as registry:
        assert not await registry.has_manifest("models/churn", MANIFEST.digest)


async def test_a_registry_that_does_not_delete_is_told_with_what_to_do(server: Server) -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            return await _answer(405, b'{"errors": [{"code": "UNSUPPORTED", "message": "unsupported"}]}')
        return await _answer(200, MANIFEST.body, Content_Type=OCI_MANIFEST)

    server.handler = handle
    async with DistributionRegistry(server.url, retry_delays=()) as registry:
        with pytest.raises(Refused, match=r"storage\.delete\.enabled"):
            await registry.delete_manifest("models/churn", MANIFEST.digest)
