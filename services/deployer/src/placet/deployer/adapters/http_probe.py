"""Asks a model over HTTP, as its clients will. It follows no redirect: a model must not send us to others' doors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
import msgspec

from placet.deployer.observations import Counters
from placet.errors import Refused

T = TypeVar("T")

READY_WITHIN = 2.0
ANSWER_WITHIN = 60.0
LARGEST_ANSWER = 32 * 2**20
LARGEST_COUNTERS = 2**20
PROBING = {"Placet-Probe": "sample"}
"""Asked for ourselves: a model that knows our token leaves it out of what it counts."""
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Media(msgspec.Struct):
    example: Any = None


class _RequestBody(msgspec.Struct):
    content: dict[str, _Media] = {}


class _Post(msgspec.Struct):
    body: _RequestBody = msgspec.field(name="requestBody")


class _Path(msgspec.Struct):
    post: _Post


class _Paths(msgspec.Struct):
    predict: _Path = msgspec.field(name="/predict")


class _Description(msgspec.Struct):
    """Of OpenAPI, what leads to an example."""

    paths: _Paths


class HttpProbe:
    """A `Probe`. `token` makes a short-lived bearer token that the models here take; the rest is seconds."""

    def __init__(
        self,
        *,
        token: Callable[[], str],
        ready_within: float = READY_WITHIN,
        answer_within: float = ANSWER_WITHIN,
    ) -> None:
        self._token = token
        self._ready_within = aiohttp.ClientTimeout(total=ready_within)
        self._answer_within = aiohttp.ClientTimeout(total=answer_within)

    async def is_ready(self, endpoint: str) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=self._ready_within) as session,
                session.get(f"{endpoint}/v2/health/ready", allow_redirects=False) as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def is_alive(self, endpoint: str, within: float) -> bool:
        """Whether its server says anything at all, be it that it has too many connections. True where it could not be
        asked: that we have no descriptor or no port left says nothing of a model."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=within)) as session,
                session.get(f"{endpoint}/v2/health/live", allow_redirects=False),
            ):
                return True
        except TimeoutError:
            return False
        except aiohttp.ClientConnectorError as error:
            return not isinstance(error.os_error, ConnectionRefusedError)
        except aiohttp.ClientError:  # it hung up: that was its answer
            return True

    async def counters(self, endpoint: str) -> Counters | None:
        return await self._read(f"{endpoint}/observations", Counters)

    async def example(self, endpoint: str) -> Any:
        """The one in its description: its sample's, or made up from what it takes."""
        said = await self._read(f"{endpoint}/openapi.json", _Description)
        body = said.paths.predict.post.body if said is not None else _RequestBody()
        return body.content.get("application/json", _Media()).example

    async def _read(self, url: str, kind: type[T]) -> T | None:
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=self._ready_within) as session,
                session.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status != 200:  # of an image that was built before there were any
                    return None
                return msgspec.json.decode(await _body(answer, LARGEST_COUNTERS), type=kind)
        except (aiohttp.ClientError, TimeoutError, Refused, *_NO_JSON):
            return None

    async def predict(self, endpoint: str, request: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token()}", **PROBING}
        try:
            async with (
                aiohttp.ClientSession(timeout=self._answer_within) as session,
                session.post(
                    f"{endpoint}/predict", json=request, headers=headers, allow_redirects=False
                ) as answer,
            ):
                body = await _body(answer, LARGEST_ANSWER)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"the sample request got no answer: {str(error) or 'it took too long'}") from error
        if answer.status != 200:
            raise Refused(f"the sample request was answered {answer.status}: {_detail(body)}")
        try:
            return msgspec.json.decode(body)
        except _NO_JSON as error:
            raise Refused(f"the sample request's answer is no JSON: {error}") from error


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most:
            raise Refused(f"the sample request was answered with more than {most} bytes")
    return bytes(body)


def _detail(body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body)
    except _NO_JSON:
        problem = None
    said = problem.get("detail") if isinstance(problem, dict) else None
    return str(said or body[:500].decode(errors="replace"))[:500]
