"""Routes in a cluster, as HTTPRoutes of the Gateway API: one for each project, attached to the Gateway people call.

What each route does is what Caddy's do (`caddy_admin.py`): a model sees no cookie, no token unless it asks for one, and
its answers are sandboxed. A project without a route falls to whatever else the Gateway leads to, which is the
platform's own gateway: that answers with what it knows, the reason of a quarantine too.

A route names Services, and the deployer knows models by the addresses of these: which is whose is watched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placet.deployer.adapters.caddy_admin import NOT_FOR_CLIENTS, SANDBOX
from placet.deployer.adapters.kubernetes_cluster import ROUTE, SERVICE, Json, KubernetesCluster, Selection
from placet.deployer.adapters.kubernetes_drift import drift, instead
from placet.deployer.adapters.kubernetes_mirror import KubernetesMirror
from placet.deployer.adapters.kubernetes_objects import (
    MANAGED,
    NAME,
    OURS,
    PORT,
    PROJECT,
    SELECTOR,
    address_of,
    endpoint_of,
)
from placet.deployer.ports import Target
from placet.errors import Unavailable

ACCEPTED_WITHIN = 10.0
SILENCE = 300
"""Seconds that a model may say nothing before its caller is told so."""
PREFIX = "model-"
_LABELS = f"{MANAGED}={OURS},{NAME}=route"
_ANSWERED = ("Accepted", "ResolvedRefs")


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The Gateway that routes are attached to, and the listener of it, if not all."""

    namespace: str
    name: str
    listener: str | None = None

    @classmethod
    def parse(cls, text: str) -> Gateway:
        namespace, name, *listener = text.split("/")
        return cls(namespace=namespace, name=name, listener=listener[0] if listener else None)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A Service of the route's own namespace, and its share."""

    service: str
    weight: int


class KubernetesRoutes:
    """A `Router`. Call `begin` before anything else, and `close` at the end."""

    def __init__(
        self, cluster: KubernetesCluster, gateway: Gateway, *, accepted_within: float = ACCEPTED_WITHIN
    ) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._accepted_within = accepted_within
        self._mirror = KubernetesMirror(
            cluster,
            [Selection(kind=ROUTE, labels=_LABELS), Selection(kind=SERVICE, labels=SELECTOR)],
        )

    async def begin(self) -> None:
        await self._mirror.begin()

    async def close(self) -> None:
        await self._mirror.close()

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        backends = await self._backends(targets)
        wanted = route_of(project, backends, access=access, gateway=self._gateway)
        found = self._mirror.named(ROUTE, wanted["metadata"]["name"])
        if found is None or drift(wanted, found) is not None:
            applied = await self._cluster.apply(wanted)
            if drift(wanted, applied) is not None:
                applied = await self._cluster.replace(instead(wanted, applied))
            self._mirror.put(applied)
        await self._accepted(wanted["metadata"]["name"])

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        found = self._mirror.named(ROUTE, f"{PREFIX}{project}")
        if found is not None:
            await self._cluster.delete(ROUTE, f"{PREFIX}{project}", uid=found["metadata"]["uid"])
            self._mirror.drop(found)

    async def routes(self) -> Mapping[str, frozenset[Target]]:
        return {
            each["metadata"]["labels"][PROJECT]: self._targets(each)
            for each in self._mirror.all(ROUTE)
            if PROJECT in each["metadata"]["labels"]
        }

    def _targets(self, route: Json) -> frozenset[Target]:
        """None for what does more or less than we would have it do, which is then mended."""
        project = route["metadata"]["labels"][PROJECT]
        backends = _backends(route)
        wanted = route_of(project, backends, access=_access(route), gateway=self._gateway)
        addresses = {name: endpoint for endpoint, name in self._services().items()}
        if drift(wanted, route) is not None or not addresses.keys() >= {each.service for each in backends}:
            return frozenset()
        return frozenset(Target(endpoint=addresses[each.service], weight=each.weight) for each in backends)

    def _services(self) -> Mapping[str, str]:
        """The Service at each endpoint."""
        return {endpoint_of(address_of(each)): each["metadata"]["name"] for each in self._mirror.all(SERVICE)}

    async def _backends(self, targets: Sequence[Target]) -> Sequence[Backend]:
        """Of a Service that was just made it may not have been heard yet."""

        def look() -> Sequence[Backend] | None:
            services = self._services()
            if not services.keys() >= {each.endpoint for each in targets}:
                return None
            return [Backend(service=services[each.endpoint], weight=each.weight) for each in targets]

        found = await self._mirror.until(look, self._accepted_within)
        if found is None:
            missing = {each.endpoint for each in targets} - self._services().keys()
            raise Unavailable(
                f"no Service of the namespace {self._cluster.namespace} is at {', '.join(sorted(missing))}",
                fix="nothing, if somebody removed it: it is made again, and the route then leads to it",
                retry_after=1.0,
            )
        return found

    async def _accepted(self, name: str) -> None:
        """What no Gateway took leads nowhere, and nobody is told then that it does."""

        def look() -> str | None:
            route = self._mirror.named(ROUTE, name)
            return None if route is None else _verdict(route, self._gateway)

        said = await self._mirror.until(look, self._accepted_within)
        if said is None:
            raise Unavailable(
                f"no Gateway took the route {name} within {self._accepted_within:g} s",
                fix="look whether the Gateway of PLACET_KUBERNETES_GATEWAY is there and its controller runs",
                retry_after=5.0,
            )
        if said:
            raise Unavailable(
                f"the Gateway did not take the route {name}: {said}",
                fix="let the Gateway's listener take routes of the models' namespace",
                retry_after=5.0,
            )


def route_of(project: str, backends: Sequence[Backend], *, access: str, gateway: Gateway) -> Json:
    """Pure."""
    kept_from_it = ["Cookie"] if access == "token" else ["Cookie", "Authorization"]
    parent: Json = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": gateway.namespace,
        "name": gateway.name,
    }
    if gateway.listener:
        parent["sectionName"] = gateway.listener
    return {
        "apiVersion": ROUTE.api,
        "kind": ROUTE.name,
        "metadata": {
            "name": f"{PREFIX}{project}",
            "labels": {MANAGED: OURS, NAME: "route", PROJECT: project},
        },
        "spec": {
            "parentRefs": [parent],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": f"/models/{project}"}}],
                    "filters": [
                        {
                            "type": "URLRewrite",
                            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                        },
                        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": kept_from_it}},
                        {
                            "type": "ResponseHeaderModifier",
                            "responseHeaderModifier": {
                                "remove": list(NOT_FOR_CLIENTS),
                                "set": [{"name": "X-Content-Type-Options", "value": "nosniff"}],
                                # Added to a policy of the model's own: a browser keeps to both.
                                "add": [{"name": "Content-Security-Policy", "value": SANDBOX}],
                            },
                        },
                    ],
                    "timeouts": {"request": f"{SILENCE}s"},
                    "backendRefs": [
                        {"kind": "Service", "name": each.service, "port": PORT, "weight": each.weight}
                        for each in sorted(backends, key=lambda each: each.service)
                    ],
                }
            ],
        },
    }


def _backends(route: Json) -> Sequence[Backend]:
    refs = [each for rule in route["spec"].get("rules") or () for each in rule.get("backendRefs") or ()]
    return [Backend(service=each["name"], weight=int(each.get("weight", 1))) for each in refs]


def _access(route: Json) -> str:
    removed = {
        name
        for rule in route["spec"].get("rules") or ()
        for each in rule.get("filters") or ()
        for name in each.get("requestHeaderModifier", {}).get("remove") or ()
    }
    return "public" if "Authorization" in removed else "token"


def _verdict(route: Json, gateway: Gateway) -> str | None:
    """What its Gateway says of it as it is now: nothing yet, no objection (an empty string), or which."""
    generation = route["metadata"].get("generation", 0)
    for parent in route.get("status", {}).get("parents") or ():
        ref = parent.get("parentRef") or {}
        if (ref.get("name"), ref.get("namespace")) != (gateway.name, gateway.namespace):
            continue
        said = {
            each["type"]: each
            for each in parent.get("conditions") or ()
            if each.get("observedGeneration", generation) >= generation
        }
        for each in _ANSWERED:
            if each in said and said[each]["status"] == "False":
                return str(said[each].get("message") or said[each].get("reason"))
        if "Accepted" in said:
            return ""
    return None
