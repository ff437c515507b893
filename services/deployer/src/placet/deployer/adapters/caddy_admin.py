"""Routes in Caddy, over its admin API.

One route of the configuration is ours, by its `@id`: it takes `/models/*`, holds a route for each project and
ends in a 404. It is read, changed and written back as a whole, so a change is atomic, may be repeated, and puts
everything back after Caddy was restarted with less; requests in flight go on. Whatever else Caddy does is not
touched. Only one deployer leads at a time, and within it changes queue up.

With each change Caddy opens its port anew and closes connections between two requests, so this one is not the clients'
own: it is behind the edge, whose configuration never changes, on a socket where every request has a connection to
itself (`deploy/haproxy`, `deploy/caddy`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from placet.deployer.adapters.silence import why_silent
from placet.deployer.ports import Target
from placet.errors import PlacetError, Unavailable, Unknown
from placet.events.problems import MEDIA_TYPE, problem_of

OURS = "placet-models"
MODEL = "placet-model-"
SANDBOX = "sandbox allow-scripts allow-forms; default-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
ANSWER_WITHIN = 10.0
SILENCE = 300.0
"""Seconds that a model may say nothing before its caller is told so."""
REQUESTS = 256
"""Under way to one model at once. More wait for their turn."""
# What speaks for a whole origin is not for a model to say: it has only a folder of ours.
NOT_FOR_CLIENTS = [
    "Alt-Svc",
    "Clear-Site-Data",
    "NEL",
    "Report-To",
    "Reporting-Endpoints",
    "Service-Worker-Allowed",
    "Set-Cookie",
    "Strict-Transport-Security",
]
# Caddy drops what it is told over a socket; there, nobody but the edge says it.
_AS_THE_EDGE_SAW_IT = {
    name: [f"{{http.request.header.{name}}}"]
    for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
}
# Those that Caddy does not say itself, and would hand on from clients who like to be taken for another.
_SAID_BY_NOBODY = ["Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-Ip"]

Json = dict[str, Any]


class CaddyAdmin:
    """A `Router`. `admin_url` is `http://host:port`, or `unix:///…` for a socket."""

    def __init__(self, admin_url: str, *, server: str, silence: float = SILENCE) -> None:
        self._admin = admin_url
        scheme, _, socket = admin_url.partition("://")
        self._socket = socket if scheme == "unix" else None
        # Over a socket Caddy takes a request that names no host, which a URL cannot say.
        self._url = admin_url if self._socket is None else "http://caddy"
        self._headers = {} if self._socket is None else {"Host": ""}
        self._server = server
        self._silence = silence
        self._changing = asyncio.Lock()

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        wanted = _route(project, targets, access, self._silence)
        async with self._changing:
            routes = await self._read()
            if routes is None or _named(routes, project) != wanted:
                await self._write(routes, [wanted, *_others(routes or [], project)])

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        wanted = None if why is None else _refusal(project, why)
        async with self._changing:
            routes = await self._read()
            if routes is None or _named(routes, project) != wanted:
                others = _others(routes or [], project)
                await self._write(routes, others if wanted is None else [wanted, *others])

    async def routes(self) -> Mapping[str, frozenset[Target]]:
        found = await self._read() or []
        return {each["@id"].removeprefix(MODEL): _targets(each) for each in found if _leads_on(each)}

    async def _read(self) -> list[Json] | None:
        """The projects' routes, or None where our route is not there at all."""
        status, body = await self._ask("GET", f"/id/{OURS}")
        if status == 404 or (status >= 400 and b"unknown object" in body):
            return None
        _expect(status, body)
        ours = msgspec.json.decode(body)
        routes: list[Json] = ours["handle"][0]["routes"]
        return [each for each in routes if each.get("@id", "").startswith(MODEL)]

    async def _write(self, before: list[Json] | None, routes: list[Json]) -> None:
        ours = {
            "@id": OURS,
            "match": [{"path": ["/models/*"]}],
            "handle": [{"handler": "subroute", "routes": [*routes, _NOT_SERVED]}],
            "terminal": True,
        }
        if before is None:
            await self._insert(ours)
        else:
            _expect(*await self._ask("PATCH", f"/id/{OURS}", ours))

    async def _insert(self, ours: Json) -> None:
        """Before every other route, since one of those may take all that is left."""
        path = f"/config/apps/http/servers/{self._server}/routes"
        status, body = await self._ask("GET", path)
        _expect(status, body)
        match msgspec.json.decode(body):
            case []:
                _expect(*await self._ask("POST", path, ours))
            case None:
                _expect(*await self._ask("PUT", path, [ours]))
            case _:
                _expect(*await self._ask("PUT", f"{path}/0", ours))

    async def _ask(
        self, method: str, path: str, document: Json | list[Json] | None = None
    ) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        connector = None if self._socket is None else aiohttp.UnixConnector(self._socket)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector, headers=self._headers) as session,
                session.request(method, f"{self._url}{path}", json=document) as answer,
            ):
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            why = why_silent(error) or str(error)
            raise Unavailable(
                f"Caddy does not answer at {self._admin}: {why}",
                fix="start it, or correct PLACET_CADDY_ADMIN_URL",
                retry_after=1.0,
            ) from error


def _expect(status: int, body: bytes) -> None:
    if status != 200:
        raise Unavailable(f"Caddy answered {status}: {body[:500].decode(errors='replace')}", retry_after=5.0)


def _route(project: str, targets: Sequence[Target], access: str, silence: float) -> Json:
    """A model sees no cookie, and no token unless it asks for one; its answers are sandboxed.

    No `flush_interval`: streams are flushed without it, and with it Caddy 2.6 ends every request that is under way
    when a route changes (`test_moving_a_route_fails_no_request`).
    """
    kept_from_it = ["Cookie", *_SAID_BY_NOBODY, *(() if access == "token" else ("Authorization",))]
    return {
        **_to(project),
        "handle": [
            {"handler": "rewrite", "strip_path_prefix": f"/models/{project}"},
            {
                "handler": "headers",
                "response": {
                    "deferred": True,
                    "delete": NOT_FOR_CLIENTS,
                    "set": {"X-Content-Type-Options": ["nosniff"]},
                    # Added to a policy of the model's own, never left out for it: a browser keeps to both.
                    "add": {"Content-Security-Policy": [SANDBOX]},
                },
            },
            {
                "handler": "reverse_proxy",
                "headers": {"request": {"delete": kept_from_it, "set": _AS_THE_EDGE_SAW_IT}},
                "transport": {
                    "protocol": "http",
                    "dial_timeout": "5s",
                    "read_timeout": f"{silence}s",
                    "max_conns_per_host": REQUESTS,
                    "max_response_header_size": 2**16,
                },
                "upstreams": [{"dial": urlsplit(each).netloc} for each in _turns(targets)],
                **(_BALANCED if len(targets) > 1 else {}),
            },
        ],
        "terminal": True,
    }


_BALANCED: Json = {
    "load_balancing": {
        "selection_policy": {"policy": "round_robin"},
        "retries": 3,
        "try_interval": "5ms",
    },
    # One that takes no connection is passed over for a moment.
    "health_checks": {"passive": {"fail_duration": "1s"}},
}


def _refusal(project: str, why: Unavailable) -> Json:
    """In place of its route: callers are told what the deployer knows."""
    return {**_to(project), "handle": [_said(why)], "terminal": True}


def _to(project: str) -> Json:
    return {
        "@id": f"{MODEL}{project}",
        "match": [{"path": [f"/models/{project}", f"/models/{project}/*"]}],
    }


def _said(error: PlacetError) -> Json:
    status, body, headers = problem_of(error)
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": {"Content-Type": [MEDIA_TYPE], **{name: [value] for name, value in headers.items()}},
        # Braces would be Caddy's to fill in.
        "body": msgspec.json.encode(body).decode().replace("{", "\\{"),
    }


_NOT_SERVED: Json = {"handle": [_said(Unknown("no model is served here", fix="see `placet list`"))]}


def _named(routes: list[Json], project: str) -> Json | None:
    return next((each for each in routes if each["@id"] == f"{MODEL}{project}"), None)


def _others(routes: list[Json], project: str) -> list[Json]:
    return [each for each in routes if each["@id"] != f"{MODEL}{project}"]


def _leads_on(route: Json) -> bool:
    return "upstreams" in route["handle"][-1]


def _targets(route: Json) -> frozenset[Target]:
    turns = Counter(f"http://{each['dial']}" for each in route["handle"][-1]["upstreams"])
    return frozenset(Target(endpoint=endpoint, weight=weight) for endpoint, weight in turns.items())


def _turns(targets: Sequence[Target]) -> Iterator[str]:
    """Each endpoint as often as its weight says, since Caddy 2.6 knows no weights, and spread as evenly as it goes."""
    total = sum(target.weight for target in targets)
    credit = dict.fromkeys(targets, 0)
    for _ in range(total):
        for target in targets:
            credit[target] += target.weight
        chosen = max(targets, key=credit.__getitem__)
        credit[chosen] -= total
        yield chosen.endpoint
