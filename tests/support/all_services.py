"""All six services in one process, with databases of their own and one clock, and none of them at work."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.cli import platform as embedded
from placet.errors import Unavailable
from placet.events import Service, ServiceRunner, Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.http import Face, http_app
from placet.events.testing import ManualClock
from placet.trust import SigningKey, tokens

from tests.support.described import Described

UNKNOWN = f"sha256:{'f' * 64}"
NOBODY = "person:00000000-0000-7000-8000-0000000000ff"
VALUES = {
    "digest": UNKNOWN,
    "id": "00000000-0000-7000-8000-0000000000ff",
    "kind": "incident",
    "level": "0",
    "number": "000",
    "person": NOBODY,
    "project": "nobody",
    "release": "7",
    "service": "gateway",
    "team": "nobody",
    "to": NOBODY,
}
"""What each parameter of a path is; nothing is there by these names but the service."""


class AwayStore:
    """A store whose database may go away."""

    is_away = False

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise Unavailable("the database is away")
        return getattr(self._store, name)


@dataclass(kw_only=True)
class AllServices:
    face: Face
    clock: ManualClock
    key: SigningKey
    services: Mapping[str, Service]
    stores: list[AwayStore]
    described: Described

    def token(self, *roles: tokens.Role) -> str:
        """Of a new person."""
        id = f"00000000-0000-7000-8000-{next(_NUMBERS):012d}"
        return tokens.issue(
            id=id,
            person=f"person:{id}",
            roles=frozenset(roles),
            now=self.clock.now(),
            lifetime=timedelta(hours=1),
            key=self.key,
        )

    async def ask(self, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        values = VALUES | more.pop("values", {})
        transport = httpx.ASGITransport(self.face, raise_app_exceptions=False)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://placet") as http:
            return await http.request(
                method, path.format(**values), **{**more, "headers": headers | more.get("headers", {})}
            )


_NUMBERS = itertools.count(1)


@asynccontextmanager
async def all_services(
    data: Path, clock: ManualClock, settings: Mapping[str, str]
) -> AsyncIterator[AllServices]:
    """`settings` without their `PLACET_`."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(f"PLACET_{name}", value)
        parts = embedded._parts(data, "http://placet")
    async with AsyncExitStack() as stack:
        hub, stores, services = InProcessHub(), [], {}
        for part in parts:
            wiring = await Wiring.embedded(
                part.name,
                data=data / "log",
                hub=hub,
                tables=part.tables,
                logs=part.logs,
                clock=clock,
                is_kept=False,
            )
            stack.push_async_callback(wiring.store.close)
            stores.append(AwayStore(wiring.store))
            service = await part.build(replace(wiring, store=stores[-1]))
            for step in service.close:
                stack.push_async_callback(step)
            services[part.name] = service
        face = http_app("placet", [ServiceRunner(each) for each in services.values()], version="1")
        yield AllServices(
            face=face,
            clock=clock,
            key=SigningKey.load(data / "keys" / "tokens.pem"),
            services=services,
            stores=stores,
            described=Described(face.rest.openapi()),
        )
