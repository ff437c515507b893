"""The models' own URLs: what passes through to a model, and what does not."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.events.adapters.sqlite_store import SqliteStore
from placet.events.contracts import certifier, deployer
from placet.events.contracts.shapes import Ground
from placet.events.testing import changed
from placet.gateway import model_proxy
from placet.gateway.model_proxy import SANDBOX, ProxyLimits
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.eventually import eventually
from tests.support.logs import Logged
from tests.support.servers.local import free_port
from tests.support.serving import serving
from tests.unit.gateway.harness import Gateway, a_gateway, asked, live
from tests.unit.gateway.roads import CERTIFICATE, DEPLOY, cleared, started


class Model:
    """Other people's code: it tells what it was asked, and answers what a test has it answer."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.asked = 0
        self.left = asyncio.Event()
        self.chunks: list[bytes] = []
        self.app = Starlette(
            routes=[
                Route("/hostile", self._hostile),
                Route("/drip", self._drip),
                Route("/without/{status:int}", self._without),
                Route("/slow", self._slow, methods=["GET", "POST"]),
                Route("/take", self._take, methods=["POST"]),
                Route(
                    "/{path:path}", self._echo, methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
                ),
            ]
        )

    async def _echo(self, request: Request) -> JSONResponse:
        told = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": (await request.body()).decode("latin-1"),
        }
        return JSONResponse(told)

    async def _hostile(self, _: Request) -> Response:
        answer = Response("<script>", 418, media_type="text/html")
        answer.headers["Content-Security-Policy"] = "default-src *"
        answer.headers["X-Content-Type-Options"] = "none"
        for name in (
            "Clear-Site-Data",
            "Service-Worker-Allowed",
            "Alt-Svc",
            "Strict-Transport-Security",
            "NEL",
        ):
            answer.headers[name] = "hostile"
        answer.headers["Connection"] = "X-Private"
        answer.headers["X-Private"] = "hop"
        answer.headers.append("Set-Cookie", "session=stolen; Path=/")
        answer.headers.append("Vary", "Accept")
        answer.headers.append("Vary", "Origin")
        return answer

    async def _without(self, request: Request) -> Response:
        status = request.path_params["status"]
        return Response(status_code=status, headers={"Content-Length": "0" if status == 204 else "5"})

    async def _drip(self, _: Request) -> StreamingResponse:
        async def drops() -> AsyncIterator[bytes]:
            yield b"first"
            try:
                await self.gate.wait()
                yield b"second"
            finally:
                self.left.set()

        return StreamingResponse(drops())

    async def _slow(self, request: Request) -> Response:
        await request.body()
        self.asked += 1
        self.reached.set()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        return Response()

    async def _take(self, request: Request) -> Response:
        async for chunk in request.stream():
            self.chunks.append(chunk)
        return Response()


@pytest.fixture
async def model() -> Model:
    return Model()


@asynccontextmanager
async def a_live_model(gateway: Gateway, model: Model) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, on real sockets, with `churn` live."""
    operation = await asked(gateway)
    async with serving(model.app) as endpoint, serving(gateway.app) as url:
        await gateway.hear_all((*DEPLOY[1:-1], started(endpoints=(endpoint,))), operation)
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            yield http


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_request_reaches_the_model_as_it_was_sent(
    gateway: Gateway, model: Model, method: str
) -> None:
    async with a_live_model(gateway, model) as http:
        answer = await http.request(
            method, "/models/churn/v2/models/churn?a=%20b&c=d%2F", content=b"\x00body"
        )
    told = answer.json()
    assert (told["method"], told["path"], told["query"]) == (method, "/v2/models/churn", "a=%20b&c=d%2F")
    assert told["body"] == "\x00body"
    assert answer.headers["content-security-policy"] == SANDBOX
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_project_s_own_address_is_the_model_s_root(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http:
        assert (await http.get("/models/churn")).json()["path"] == "/"
        assert (await http.get("/models/churn/")).json()["path"] == "/"
        assert (await http.head("/models/churn/docs")).status_code == 200


async def test_a_model_sees_the_token_and_no_cookie_and_nothing_of_the_hop(
    gateway: Gateway, model: Model
) -> None:
    sent = {
        "Authorization": "Bearer abc",
        "Cookie": "console=secret",
        "Proxy-Authorization": "Basic x",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "mine",
        "TE": "trailers",
        "X-Kept": "yes",
    }
    async with a_live_model(gateway, model) as http:
        told = (await http.get("/models/churn/x", headers=sent)).json()
    headers = dict(told["headers"])
    assert headers["authorization"] == "Bearer abc"
    assert headers["x-kept"] == "yes"
    assert headers.keys().isdisjoint({"cookie", "proxy-authorization", "x-hop", "te"})


async def test_a_model_is_told_where_a_request_came_from_by_nobody_but_us(
    gateway: Gateway, model: Model
) -> None:
    """As at any edge: a client would say it to be taken for another."""
    said = {
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "1.2.3.4",
        "Host": "models.test",
    }
    async with a_live_model(gateway, model) as http:
        told = (await http.get("/models/churn/x", headers=said)).json()
    assert {name: value for name, value in told["headers"] if "forwarded" in name or "real" in name} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "models.test",
        "x-forwarded-proto": "http",
    }


@pytest.mark.parametrize(("sent", "arrives"), [("é", "é"), ("\udce9", "é")])
async def test_what_a_header_says_stays_what_it_is(
    gateway: Gateway, model: Model, sent: str, arrives: str
) -> None:
    said = {b"X-Name": sent.encode("utf-8", "surrogateescape")}
    async with a_live_model(gateway, model) as http:
        told = (await http.get("/models/churn/x", headers=said)).json()
    assert dict(told["headers"])["x-name"].encode("latin-1").decode() == arrives


async def test_a_model_that_everybody_may_call_sees_no_token(gateway: Gateway, model: Model) -> None:
    operation = await asked(gateway)
    public = changed(cleared(), access="public")
    async with serving(model.app) as endpoint:
        await gateway.hear_all((public, *DEPLOY[2:-1], started(endpoints=(endpoint,))), operation)
        told = (await get(gateway, "/models/churn/x")).json()
    assert "authorization" not in dict(told["headers"])


async def test_what_a_client_did_not_say_is_not_made_up(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http:
        for name in ("Accept", "Accept-Encoding", "User-Agent"):
            del http.headers[name]
        told = (await http.post("/models/churn/x", content=b"x")).json()
    assert (
        dict(told["headers"]).keys().isdisjoint({"accept", "accept-encoding", "user-agent", "content-type"})
    )


async def test_a_hostile_answer_speaks_for_itself_only(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http:
        answer = await http.get("/models/churn/hostile")
    assert (answer.status_code, answer.text) == (418, "<script>")
    assert answer.headers.get_list("content-security-policy") == ["default-src *", SANDBOX]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("vary") == ["Accept", "Origin"]
    for name in (
        "set-cookie",
        "clear-site-data",
        "service-worker-allowed",
        "alt-svc",
        "strict-transport-security",
        "nel",
        "x-private",
    ):
        assert name not in answer.headers


async def test_an_answer_streams_as_it_comes(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http, http.stream("GET", "/models/churn/drip") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"  # while the model is still at it
        model.gate.set()
        assert b"".join([piece async for piece in pieces]) == b"second"


async def test_a_body_streams_as_it_comes(gateway: Gateway, model: Model) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await eventually(lambda: model.chunks)
        yield b"second"

    async with a_live_model(gateway, model) as http:
        assert (await http.post("/models/churn/take", content=body())).status_code == 200
    assert b"".join(model.chunks) == b"firstsecond"


async def test_who_leaves_in_the_middle_of_an_answer_ends_it(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http:
        async with http.stream("GET", "/models/churn/drip") as answer:
            assert await anext(answer.aiter_raw()) == b"first"
        await eventually(model.left.is_set)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_leaves_before_an_answer_ends_its_making(
    gateway: Gateway, model: Model, method: str
) -> None:
    async with a_live_model(gateway, model) as http:
        content = b"x" if method == "POST" else None
        asking = asyncio.create_task(http.request(method, "/models/churn/slow", content=content))
        await model.reached.wait()
        asking.cancel()
        await eventually(model.left.is_set)


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/models/churn/..%2f..%2fv1%2fme", "/../../v1/me"),
        ("/models/churn/a%3Fadmin=1", "/a%3Fadmin=1"),
        ("/models/churn/a%23b", "/a%23b"),
        ("/models/churn/%40evil.example/x", "/@evil.example/x"),
        ("/models/churn//evil.example/x", "//evil.example/x"),
        ("/models/churn/http:%2F%2Fevil.example", "/http://evil.example"),
    ],
)
async def test_no_path_leads_anywhere_but_to_the_model(
    gateway: Gateway, model: Model, path: str, arrives: str
) -> None:
    async with a_live_model(gateway, model) as http:
        told = (await http.get(path)).json()
    assert told["path"] == arrives
    assert told["query"] == ""
    assert dict(told["headers"])["host"].startswith("127.0.0.1:")


async def test_a_path_with_dots_is_no_way_from_a_model_to_the_platform(
    gateway: Gateway, model: Model
) -> None:
    async with a_live_model(gateway, model) as http:
        port = http.base_url.port
        answer = await raw_request(
            port, b"GET /models/churn/../../v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert b'"path":"/../../v1/me"' in answer


SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n"),
        (b"Content-Length: 0\r\nContent-Length: %d" % len(SMUGGLED), b""),
        (b"Content-Length: +0", b""),
        (b"Content-Length: 0, 0", b""),
        (b"Transfer-Encoding: identity\r\nContent-Length: 0", b""),
        (b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
        (b"Transfer-Encoding : chunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
        (b"X: a\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        (b"X: a\rContent-Length: 0", b""),
        (b"Transfer-Encoding: chunked", b"0\n\n"),
        (b"Transfer-Encoding: chunked", b"0x0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"1\r\nhello\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"10000000000000000\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"5;\n\r\nhello\r\n0\r\n\r\n"),
    ],
)
async def test_what_others_would_read_differently_smuggles_nothing(
    gateway: Gateway, model: Model, head: bytes, body: bytes
) -> None:
    request = b"POST /models/churn/x HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body + SMUGGLED
    async with a_live_model(gateway, model) as http:
        answer = await raw_request(http.base_url.port, request)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
        assert (await http.get("/models/churn/after")).json()["path"] == "/after"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: %d" % len(SMUGGLED), SMUGGLED),
        (b"Content-Length: %d \t" % len(SMUGGLED), SMUGGLED),
        (b"Content-Length: %d\r\nConnection: content-length" % len(SMUGGLED), SMUGGLED),
        (b"Content-Length: %d\r\nContent_Length: 0\r\nTE: trailers" % len(SMUGGLED), SMUGGLED),
        (b"Content-Length: %d\r\nConnection: Upgrade\r\nUpgrade: websocket" % len(SMUGGLED), SMUGGLED),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
        (
            b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
            b"%x;a=b\r\n%b\r\n0\r\nHost: evil\r\nAuthorization: x\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        ),
    ],
)
async def test_a_body_reaches_the_model_as_a_body(
    gateway: Gateway, model: Model, head: bytes, body: bytes
) -> None:
    request = b"POST /models/churn/x HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body
    async with a_live_model(gateway, model) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        for _ in range(2):
            writer.write(request)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            told = json.loads(await reader.readexactly(length))
            assert (told["path"], told["body"]) == ("/x", SMUGGLED.decode())
            assert [value for name, value in told["headers"] if name in ("host", "authorization")] == ["x"]
        writer.close()


async def test_a_model_that_answers_before_it_has_heard_all_is_not_sent_the_rest_as_a_request(
    gateway: Gateway,
) -> None:
    """On the connection that the next request would take: the body's rest would be read as that one."""
    connections: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(b"")
        number = len(connections) - 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                connections[number] += await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    operation = await asked(gateway)
    model = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = "http://{}:{}".format(*model.sockets[0].getsockname())
    async with (
        model,
        serving(gateway.app) as url,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http,
    ):
        await gateway.hear_all((*DEPLOY[1:-1], started(endpoints=(endpoint,))), operation)
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        head = b"POST /models/churn/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        writer.write(head + b"x" * 20_000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await http.get("/models/churn/next")).status_code == 200
        writer.close()
    assert [each.split(b" ", 2)[1] for each in connections] == [b"/x", b"/next"]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_may_say_how_long_it_would_be(
    gateway: Gateway, model: Model, status: int
) -> None:
    async with a_live_model(gateway, model) as http:
        port = http.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET /models/churn/without/%d HTTP/1.1\r\nHost: x\r\n\r\n" % status)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert b"content-length" not in answer
        writer.close()


async def raw_request(port: int | None, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


# what a model must not take from the others


async def test_a_model_that_says_nothing_is_given_up(tmp_path: Path, model: Model) -> None:
    async with (
        a_gateway(tmp_path, model_silence_seconds=0.3) as gateway,
        a_live_model(gateway, model) as http,
    ):
        answer = await http.get("/models/churn/slow")
        await eventually(model.left.is_set)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "churn said nothing for 0.3 s"
    assert "placet logs churn" in answer.json()["fix"]


async def test_an_answer_that_stops_in_the_middle_is_cut_off(
    tmp_path: Path, model: Model, logged: Logged
) -> None:
    async with (
        a_gateway(
            tmp_path, model_silence_seconds=3.0
        ) as gateway,  # in which its first piece has to come, too
        a_live_model(gateway, model) as http,
    ):
        with pytest.raises(httpx.RemoteProtocolError):  # never as if it had been the whole answer
            await http.get("/models/churn/drip")
        await eventually(model.left.is_set)
    told, by_server = logged()  # and no trace of how it came here: a model decides how often
    assert (by_server.name, by_server.exc_info) == ("uvicorn.error", None)
    assert told.getMessage().startswith("churn broke off its answer: ")
    assert told.exc_info is None


async def test_requests_beyond_a_model_s_share_come_back_later_and_others_are_served(
    tmp_path: Path, model: Model
) -> None:
    async with (
        a_gateway(tmp_path, model_requests=2) as gateway,
        a_live_model(gateway, model) as http,
    ):
        waiting = [asyncio.create_task(http.get("/models/churn/slow")) for _ in range(2)]
        await eventually(lambda: model.asked == 2)

        refused = await http.get("/models/churn/slow")

        assert refused.status_code == 503
        assert refused.json()["detail"] == "churn takes no more requests at the moment"
        assert int(refused.headers["retry-after"]) == 1
        assert (await http.get("/livez")).status_code == 200
        for each in waiting:
            each.cancel()
        await eventually(model.left.is_set)
        assert (await http.get("/models/churn/x")).status_code == 200


def test_a_process_that_may_open_little_keeps_half_of_it_for_itself() -> None:
    asked = ProxyLimits(silence=1.0, one_model=256, together=1024)
    assert asked.within(100_000) == asked
    assert asked.within(256) == ProxyLimits(silence=1.0, one_model=64, together=64)
    assert asked.within(3).together == 1


@pytest.mark.parametrize(
    "head",
    ["600 Odd", "999 Odd", "000 Odd", "101 Switching Protocols\r\nUpgrade: x", "200 OK\r\nX-A: a\x01b"],
)
async def test_an_answer_that_cannot_be_passed_on_is_unavailable_and_no_accident(
    gateway: Gateway, head: str, logged: Logged
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    operation = await asked(gateway)
    model = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = "http://{}:{}".format(*model.sockets[0].getsockname())
    async with (
        model,
        serving(gateway.app) as url,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http,
    ):
        await gateway.hear_all((*DEPLOY[1:-1], started(endpoints=(endpoint,))), operation)
        answered = await http.get("/models/churn/x")
    assert answered.status_code == 503
    assert answered.json()["detail"] == "churn gave an answer that is no HTTP"
    assert not logged()


async def test_a_target_may_be_a_whole_url(gateway: Gateway, model: Model) -> None:
    async with a_live_model(gateway, model) as http:
        reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        writer.write(
            b"GET http://models.test/models/churn/a%2Fb?c=d HTTP/1.1\r\nHost: another\r\nConnection: close\r\n\r\n"
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    told = json.loads(body)
    assert (told["path"], told["query"]) == ("/a/b", "c=d")
    assert [value for name, value in told["headers"] if name == "host"] == ["models.test"]


# what is not served


@pytest.mark.parametrize("how", ["revoked", "suspended", "out of its time"])
async def test_a_model_whose_certificate_is_known_not_to_stand_is_not_asked_before_it_is_taken_off(
    gateway: Gateway, model: Model, how: str
) -> None:
    async with a_live_model(gateway, model) as http:
        assert (await http.get("/models/churn/")).status_code == 200
        if how == "out of its time":
            gateway.clock.pass_(timedelta(days=91))
        elif how == "revoked":
            async with gateway.http(gateway.token("compliance")) as people:
                url = f"/v1/certificates/{CERTIFICATE}/revoke"
                assert (await people.post(url, json={"reason": "it harms"})).status_code == 202
        else:
            ground = Ground(rule="operate.drift", why="it drifts")
            of: dict[str, Any] = {"certificate": CERTIFICATE, "project": "churn", "release": 1}
            said = certifier.CertificateSuspended(**of, grounds=(ground,))
            await gateway.hear(said, await asked(gateway))
        answer = await http.get("/models/churn/")
    assert answer.status_code == 503
    assert answer.json()["detail"] == f"churn is not served: {CERTIFICATE} is {how}"


async def test_what_another_process_commits_is_known_within_a_moment(gateway: Gateway, model: Model) -> None:
    store = gateway.wiring.store
    assert isinstance(store, SqliteStore)
    async with a_live_model(gateway, model) as http:
        assert (await http.get("/models/churn/")).status_code == 200
        with closing(sqlite3.connect(store.file)) as another, another:
            another.execute("UPDATE models SET state = 'stopped', endpoints = NULL")

        async def is_known() -> bool:
            return (await http.get("/models/churn/")).status_code == 404

        await eventually(is_known)


async def test_a_request_that_meets_an_instance_that_was_just_replaced_goes_to_its_successor(
    gateway: Gateway, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its body: nothing of it was sent where nobody listened. The gateway hears later than the old one ends."""
    monkeypatch.setattr(model_proxy, "HEARD_WITHIN", 60.0)
    operation = await asked(gateway)
    gone = started(endpoints=(f"http://127.0.0.1:{free_port()}",))
    await gateway.hear_all((*DEPLOY[1:-1], gone), operation)
    async with (
        serving(model.app) as endpoint,
        serving(gateway.app) as url,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http,
    ):
        asking = asyncio.create_task(http.post("/models/churn/predict", content=b"[1]"))
        assert (await http.get("/models/fraud")).status_code == 404  # by then the first one found nobody
        await gateway.hear(started(release=2, request=2, endpoints=(endpoint,)), operation)
        answer = await asking
    assert (answer.status_code, answer.json()["body"]) == (200, "[1]")


async def test_a_dead_model_is_unavailable_for_now(gateway: Gateway) -> None:
    operation = await asked(gateway)
    gone = started(endpoints=(f"http://127.0.0.1:{free_port()}",))
    await gateway.hear_all((*DEPLOY[1:-1], gone), operation)
    answer = await get(gateway, "/models/churn/predict")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "placet logs churn" in answer.json()["fix"]
    assert int(answer.headers["retry-after"]) >= 1


async def test_replicas_take_turns_and_one_that_is_gone_costs_no_request(gateway: Gateway) -> None:
    operation = await asked(gateway)
    models = [Model(), Model()]
    async with serving(models[0].app) as first, serving(models[1].app) as second, serving(gateway.app) as url:
        endpoints = (first, f"http://127.0.0.1:{free_port()}", second)
        await gateway.hear_all((*DEPLOY[1:-1], started(endpoints=endpoints)), operation)
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            for number in range(9):
                answer = await http.post("/models/churn/take", content=b"%d" % number)
                assert answer.status_code == 200
    taken = [b"".join(model.chunks) for model in models]
    assert sorted(b"".join(taken)) == sorted(b"012345678")
    assert all(len(each) >= 3 for each in taken)


async def test_a_model_that_speaks_no_http_is_unavailable_for_now(gateway: Gateway) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01nothing like HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    operation = await asked(gateway)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await gateway.hear_all((*DEPLOY[1:-1], started(endpoints=(endpoint,))), operation)
    assert (await get(gateway, "/models/churn/predict")).status_code == 503
    server.close()


@pytest.mark.parametrize("path", ["nobody-here", "CHURN", "ch%00urn", "churn%0a", "x" * 3000, "churn%2e"])
async def test_an_unknown_model_is_a_404(gateway: Gateway, path: str) -> None:
    await live(gateway)
    answer = await get(gateway, f"/models/{path}/predict")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_model_that_is_not_served_yet_is_unavailable_and_one_that_was_stopped_unknown(
    gateway: Gateway,
) -> None:
    operation = await asked(gateway)
    assert (await get(gateway, "/models/churn/predict")).status_code == 503
    await gateway.hear_all(DEPLOY[1:], operation)
    stop = await asked(gateway, "stop")
    await gateway.hear(deployer.ModelStopped(project="churn", release=1, request=2), stop)
    answer = await get(gateway, "/models/churn/predict")
    assert answer.status_code == 404
    assert "placet start churn" in answer.json()["fix"]


async def get(gateway: Gateway, path: str) -> Any:
    async with gateway.http() as http:
        return await http.get(path)
