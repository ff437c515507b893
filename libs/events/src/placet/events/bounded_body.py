"""Calls whose bodies are declared, and bounded: a body is read up to a limit before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from starlette.types import Message

from placet.errors import TooLarge
from placet.events.described import errors
from placet.events.json_route import JsonRoute


class BoundedRoute(JsonRoute):
    """For a router's `route_class`. Bodies that stream are not its business."""

    most = 64 * 1024
    """Bytes."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **told: Any) -> None:
        super().__init__(path, endpoint, **told)
        if self.body_field is not None:
            self.responses = {**errors(TooLarge), **self.responses}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def bounded(request: Request) -> Response:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.most:
                    raise TooLarge(f"a request's body is at most {self.most} bytes")
            return await handle(Request(request.scope, _replay(bytes(body), request)))

        return bounded


def _replay(body: bytes, request: Request) -> Callable[[], Coroutine[Any, Any, Message]]:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else await request.receive()

    return receive
