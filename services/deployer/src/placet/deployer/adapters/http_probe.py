"""Asks a model over HTTP, as its clients will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from placet.errors import Refused

READY_WITHIN = 2.0
ANSWER_WITHIN = 60.0
LARGEST_ANSWER = 32 * 2**20


class HttpProbe:
    """A `Probe`. `token` makes a short-lived bearer token that the models here take."""

    def __init__(self, *, token: Callable[[], str]) -> None:
        self._token = token

    async def is_ready(self, endpoint: str) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READY_WITHIN)) as session,
                session.get(f"{endpoint}/v2/health/ready") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def predict(self, endpoint: str, request: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN)) as session,
                session.post(f"{endpoint}/predict", json=request, headers=headers) as answer,
            ):
                body = await answer.content.read(LARGEST_ANSWER)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"the sample request got no answer: {error or 'it took too long'}") from error
        if answer.status != 200:
            raise Refused(f"the sample request was answered {answer.status}: {_detail(body)}")
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Refused(f"the sample request's answer is no JSON: {error}") from error


def _detail(body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body)
    except msgspec.DecodeError:
        problem = None
    said = problem.get("detail") if isinstance(problem, dict) else None
    return str(said or body[:500].decode(errors="replace"))
