"""Messages over real sockets: what comes of each answer, and that no name leads where it may not."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from placet.errors import Refused, Unavailable
from placet.metadata.adapters.http_receivers import MAX_ANSWER, HttpReceivers
from placet.metadata.adapters.names import Names as LookedUp
from placet.metadata.adapters.names import NotInTime
from placet.metadata.reach import Reach
from placet.metadata.subscribing import MOST
from placet.metadata.webhooks import Answer

from tests.support.eventually import eventually
from tests.support.servers.local import free_port
from tests.unit.metadata.receivers import Listener, listening, plain

HEADERS = {"webhook-id": "event", "content-type": "application/cloudevents+json"}


class Names:
    """What names lead to; a list of lists is gone through, one at each look."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Silent:
    """Name servers that say nothing until they are let, each in the thread that asks it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = threading.Event()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.let.wait(60)
        return ["127.0.0.1"]


@pytest.fixture
def silent() -> Iterator[Silent]:
    servers = Silent()
    yield servers
    servers.let.set()


@asynccontextmanager
async def receivers(
    allowed: str = "127.0.0.0/8", names: Callable[[str, int], Awaitable[list[str]]] | None = None
) -> AsyncIterator[HttpReceivers]:
    opened = HttpReceivers(Reach.of(allowed), names or Names(["127.0.0.1"]))
    try:
        yield opened
    finally:
        await opened.close()


async def answered(answer: bytes) -> Answer:
    async with listening(lambda head, body: answer) as there, receivers() as opened:
        return await opened.send(f"http://127.0.0.1:{there.port}/", b"{}", HEADERS)


async def test_a_message_arrives_as_it_was_signed() -> None:
    async with listening(lambda head, body: plain(204)) as there, receivers() as opened:
        for _ in range(3):
            answer = await opened.send(f"http://hooks.example:{there.port}/in?to=x", b'{"a":1}', HEADERS)
            assert answer == Answer(status=204)
    head, body = there.heard[0]
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /in?to=x HTTP/1.1\r\n")
    for line in (
        f"Host: hooks.example:{there.port}",
        "webhook-id: event",
        "Content-Type: application/cloudevents+json",
        "User-Agent: placet-webhooks",
    ):
        assert line.encode().lower() in head.lower(), head
    assert there.connections == [1]  # it is used again


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(status: int) -> None:
    async with listening(lambda head, body: plain(200)) as inside, receivers() as opened:
        location = f"location: http://127.0.0.1:{inside.port}/"
        async with listening(lambda head, body: plain(status, location)) as there:
            answer = await opened.send(f"http://127.0.0.1:{there.port}/", b"{}", HEADERS)
    assert (answer.status, answer.is_taken, inside.heard) == (status, False, [])


async def test_what_retry_after_says_is_told() -> None:
    assert await answered(plain(429, "retry-after: 17")) == Answer(status=429, retry_after="17")


async def test_of_an_answer_without_end_no_more_than_a_bound_is_read() -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with receivers() as opened, server:
        port = server.sockets[0].getsockname()[1]
        answer = await opened.send(f"http://127.0.0.1:{port}/", b"{}", HEADERS)
    assert answer.status == 200
    assert sent > MAX_ANSWER  # and it ended


async def test_a_body_that_is_packed_is_not_unpacked() -> None:
    assert await answered(plain(200, "content-encoding: gzip", body=b"no gzip at all")) == Answer(status=200)


async def test_no_cookie_is_kept() -> None:
    async with listening(lambda head, body: plain(204, "set-cookie: a=b")) as there, receivers() as opened:
        for _ in range(2):
            await opened.send(f"http://hooks.example:{there.port}/", b"{}", HEADERS)
    assert all(b"cookie" not in head.lower() for head, _ in there.heard)


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(lambda head, body: plain(200)) as proxy, receivers() as opened:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with listening(lambda head, body: plain(204)) as there:
            assert (await opened.send(f"http://127.0.0.1:{there.port}/", b"{}", HEADERS)).status == 204
    assert proxy.heard == []


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200\r\ncontent-length: x\r\n\r\n", b"\x00" * 100]
)
async def test_an_answer_that_is_none_is_a_trouble(answer: bytes) -> None:
    assert (await answered(answer)).trouble == "its answer is no HTTP, or breaks off"


async def test_who_is_not_there_is_a_trouble() -> None:
    async with receivers() as opened:
        answer = await opened.send(f"http://127.0.0.1:{free_port()}/", b"{}", HEADERS)
    assert answer == Answer(trouble="nothing answers there")


async def test_who_speaks_no_tls_is_a_trouble() -> None:
    async def say_that_it_is_no_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(plain(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say_that_it_is_no_request, "127.0.0.1", 0)
    async with server, receivers() as opened:
        port = server.sockets[0].getsockname()[1]
        answer = await opened.send(f"https://127.0.0.1:{port}/", b"{}", HEADERS)
    assert answer == Answer(trouble="it does not speak TLS as we do")


async def test_who_says_nothing_is_a_trouble() -> None:
    async with listening(lambda head, body: b"") as there:
        opened = HttpReceivers(Reach.of("127.0.0.0/8"), Names(["127.0.0.1"]), within=1.0)
        answer = await opened.send(f"http://127.0.0.1:{there.port}/", b"{}", HEADERS)
        await opened.close()
    assert answer == Answer(trouble="it does not answer within 1 seconds")


async def test_a_name_that_is_not_known_any_more_is_a_trouble() -> None:
    async with receivers(names=Names(socket.gaierror(socket.EAI_NONAME, "x"))) as opened:
        answer = await opened.send("https://hooks.example/", b"{}", HEADERS)
    assert answer == Answer(trouble="no machine is known as hooks.example, for now")


# where it leads


async def leads(there: Listener, host: str, names: Names, allowed: str = "") -> Answer:
    async with receivers(allowed, names) as opened:
        return await opened.send(f"https://{host}:{there.port}/", b"{}", HEADERS)


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    async with listening(lambda head, body: plain(204)) as there:
        answer = await leads(there, "hooks.example", Names(["127.0.0.1"]))
    assert answer.trouble == "hooks.example is where webhooks do not lead: no address of the internet"
    assert there.connections == []


async def test_nor_one_of_which_one_address_is_inside() -> None:
    async with listening(lambda head, body: plain(204)) as there:
        answer = await leads(there, "hooks.example", Names(["93.184.215.14", "127.0.0.1"]))
    assert (answer.status, there.connections) == (None, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "127.1", "2130706433", "localhost"])
async def test_nor_an_address_however_it_is_written(host: str) -> None:
    async with listening(lambda head, body: plain(204)) as there:
        answer = await leads(there, host, Names(["127.0.0.1"]))
    assert (answer.status, there.connections) == (None, [])


async def test_a_name_that_leads_elsewhere_a_moment_later_is_judged_by_where_it_leads_then() -> None:
    """DNS rebinding: what is looked up for the judgement is what is connected to, and nothing is looked up after it."""
    names = Names(["93.184.215.14"], ["127.0.0.1"])
    async with listening(lambda head, body: plain(204)) as there, receivers("", names) as opened:
        url = f"https://hooks.example:{there.port}/"
        await opened.judge(url)
        answer = await opened.send(url, b"{}", HEADERS)
    assert (answer.status, there.connections) == (None, [])
    assert names.asked == 2


async def test_what_was_looked_up_is_what_is_connected_to() -> None:
    """A name that no name server knows, so that a second look-up would fail."""
    async with listening(lambda head, body: plain(204)) as there, receivers() as opened:
        answer = await opened.send(f"http://no-such-host.invalid:{there.port}/", b"{}", HEADERS)
    assert answer.status == 204


async def test_plain_http_to_a_name_on_the_internet_is_not_sent() -> None:
    """It was allowed when it led into the network that is."""
    async with receivers("10.0.0.0/8", Names(["93.184.215.14"])) as opened:
        answer = await opened.send("http://hooks.example:8080/", b"{}", HEADERS)
    assert answer.trouble == "what is sent to hooks.example could be read on its way: it is http"


async def test_whoever_adds_one_is_told_at_once() -> None:
    for names, error, said in (
        (Names(["10.0.0.1"]), Refused, "where webhooks do not lead"),
        (Names(socket.gaierror(socket.EAI_NONAME, "x")), Refused, "no machine is known as hooks.example"),
        (Names(socket.gaierror(socket.EAI_AGAIN, "x")), Unavailable, "no name server"),
        (Names(OSError("x")), Unavailable, "cannot be looked up"),
    ):
        async with receivers("", names) as opened:
            with pytest.raises(error, match=said):
                await opened.judge("https://hooks.example/")


# whom a slow one holds up


async def test_a_silent_name_server_takes_no_thread_that_others_need(silent: Silent) -> None:
    """The process has few threads for everything that waits, and looking up a name cannot be stopped."""
    names = LookedUp(most=50, within=0.01, resolve=silent)
    shared = ThreadPoolExecutor(max_workers=1)
    asyncio.get_running_loop().set_default_executor(shared)
    for number in range(40):
        with pytest.raises(NotInTime):
            await names(f"silent{number}.example", 443)
    assert await asyncio.to_thread(lambda: "at once") == "at once"
    assert await LookedUp(most=1, resolve=silent)("hooks.example", 443) == ["127.0.0.1"]


async def test_one_name_takes_one_thread_however_many_ask_and_however_often(silent: Silent) -> None:
    names = LookedUp(most=1, within=0.01, resolve=silent)
    asked = [names(host, 443) for host in ("silent.example", "SILENT.example", "silent.example")]
    assert [type(each) for each in await asyncio.gather(*asked, return_exceptions=True)] == [NotInTime] * 3
    await eventually(lambda: silent.asked == ["silent.example"])
    with pytest.raises(OSError, match="1 names are looked up already"):
        await names("other.example", 443)
    silent.let.set()

    async def has_room() -> bool:
        try:
            return await names("other.example", 443) == ["127.0.0.1"]
        except OSError:
            return False

    await eventually(has_room)


async def test_what_a_name_server_says_is_told_to_who_asks() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "x")

    with pytest.raises(socket.gaierror):
        await LookedUp(most=1, resolve=unknown)("hooks.example", 443)
    assert await LookedUp(most=1)("localhost", 80)


async def test_who_is_not_looked_up_in_time_is_a_trouble_and_no_one_waits_longer(silent: Silent) -> None:
    async with receivers("", LookedUp(most=1, within=0.01, resolve=silent)) as opened:
        answer = await opened.send("https://silent.example/", b"{}", HEADERS)
        assert answer == Answer(trouble="no name server says where silent.example is within 5 seconds")
        with pytest.raises(Unavailable, match="cannot be looked up, for now") as refused:
            await opened.judge("https://silent.example/")
    assert refused.value.fix == "does its name server answer?"


async def test_receivers_that_hang_keep_no_other_of_their_host_waiting() -> None:
    """Many share a host, and who waited for one of its connections would be counted as one who does not answer."""
    hanging, all_hang = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hanging
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST /hangs"):
            hanging += 1
            if hanging == MOST:
                all_hang.set()
            await reader.read()
        else:
            writer.write(plain(204))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, receivers() as opened:
        hung = [
            asyncio.create_task(opened.send(f"http://hooks.example:{port}/hangs", b"{}", HEADERS))
            for _ in range(MOST)
        ]
        await all_hang.wait()
        assert await opened.send(f"http://hooks.example:{port}/", b"{}", HEADERS) == Answer(status=204)
        for each in hung:
            each.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
