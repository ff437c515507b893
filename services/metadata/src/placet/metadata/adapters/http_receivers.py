"""Receivers of webhooks over HTTP: who is connected to is judged by its address, at each connection.

A name is looked up here and nowhere else, so the addresses that were judged are those that are connected to. No proxy
of the environment is asked, no cookie kept, no redirection followed, no body unpacked, and of an answer's body nothing
is told to anybody: it may be that of something inside.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from placet.errors import Refused, Unavailable
from placet.metadata.adapters.names import WITHIN as LOOKED_UP_WITHIN
from placet.metadata.adapters.names import Names, NotInTime
from placet.metadata.reach import Reach, Target
from placet.metadata.subscribing import MOST
from placet.metadata.webhooks import Answer

WITHIN = 20.0
"""Seconds, from the name to the end of the answer."""
MAX_ANSWER = 16 * 1024
"""Bytes of an answer that are read, so that its connection can be used again; of a longer one it is closed."""
JUDGED_AT_ONCE = 8
"""Names of webhooks that people are adding."""
NO_LIMIT = 0
"""Of connections, in all and to one host: each webhook has one message under way, and there are no more than `MOST`. A
limit would have those that wait for a slow receiver keep others from theirs, as happens where many share a host, and
would have their waiting for us counted against them."""

Lookup = Callable[[str, int], Awaitable[list[str]]]


class HttpReceivers:
    """The `Receivers` port.

    Who adds webhooks and who is sent to have their names looked up apart: with names that nobody answers for, the one
    cannot keep the other from being told.
    """

    def __init__(self, reach: Reach, look_up: Lookup | None = None, *, within: float = WITHIN) -> None:
        self._reach = reach
        self._look_up = look_up or Names(MOST)
        self._look_up_to_judge = look_up or Names(JUDGED_AT_ONCE)
        self._within = within
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def judge(self, url: str) -> None:
        target = self._reach.target(url)
        if target.literal is None:
            try:
                addresses = await self._look_up_to_judge(target.host, target.port)
            except socket.gaierror as error:
                if error.errno == socket.EAI_AGAIN:
                    raise Unavailable(
                        f"no name server says where {target.host} is, for now", fix="try again in a moment"
                    ) from error
                raise Refused(f"no machine is known as {target.host}", fix="is it spelt so?") from error
            except (OSError, UnicodeError) as error:
                raise Unavailable(
                    f"{target.host} cannot be looked up, for now", fix="does its name server answer?"
                ) from error
            self._reach.judge(target, addresses)

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            target = self._reach.target(url)
            async with self._session(target).post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return await _read(answer)
        except Refused as error:
            return Answer(trouble=error.detail)
        except TimeoutError:
            return Answer(trouble=f"it does not answer within {self._within:.0f} seconds")
        except aiohttp.ClientConnectorCertificateError:
            return Answer(trouble="nobody whom we know signs its certificate, or it is for another name")
        except aiohttp.ClientSSLError:
            return Answer(trouble="it does not speak TLS as we do")
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, NotInTime):
                return Answer(
                    trouble=f"no name server says where {target.host} is within {LOOKED_UP_WITHIN:.0f} seconds"
                )
            return Answer(trouble=f"no machine is known as {target.host}, for now")
        except aiohttp.ClientConnectorError:
            return Answer(trouble="nothing answers there")
        except (aiohttp.ClientError, OSError, ValueError):
            return Answer(trouble="its answer is no HTTP, or breaks off")

    def _session(self, target: Target) -> aiohttp.ClientSession:
        """Here, since a session belongs to the loop that runs now. Plain and encrypted ones are judged differently."""
        if target.is_encrypted not in self._sessions:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self._reach, self._look_up, is_encrypted=target.is_encrypted),
                use_dns_cache=False,
                limit=NO_LIMIT,
                limit_per_host=NO_LIMIT,
            )
            self._sessions[target.is_encrypted] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._within),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "placet-webhooks"},
            )
        return self._sessions[target.is_encrypted]


class _Resolver(AbstractResolver):
    """What a connection asks for addresses; it connects to these and no others. A literal one was judged before."""

    def __init__(self, reach: Reach, look_up: Lookup, *, is_encrypted: bool) -> None:
        self._reach = reach
        self._look_up = look_up
        self._is_encrypted = is_encrypted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._look_up(host, port)
        target = Target(url="", is_encrypted=self._is_encrypted, host=host.lower().rstrip("."), port=port)
        self._reach.judge(target, addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in dict.fromkeys(addresses)
        ]

    async def close(self) -> None: ...


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    read = 0
    async for piece in answer.content.iter_any():
        read += len(piece)
        if read > MAX_ANSWER:
            answer.close()
            break
    return Answer(status=answer.status, retry_after=answer.headers.get("Retry-After"))
