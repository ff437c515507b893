"""A Kubernetes API server, spoken to through the official client, in plain JSON and with its errors told in ours.

The client's own half for asyncio is what knows configurations, tokens and certificates. Its models are left alone: to
make one of each answer takes longer than the answer. A server that is away, slow, busy, or does not let us is
`Unavailable`; what it objects to in what was asked for is `Refused`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio import client, config

from placet.deployer.adapters.silence import why_silent
from placet.errors import PlacetError, Refused, Unavailable

log = logging.getLogger(__name__)

Json = dict[str, Any]

FIELD_MANAGER = "placet-deployer"
ANSWERS_WITHIN = 30.0
CONNECTS_WITHIN = 10.0
SILENT_FOR = 150.0
"""Seconds without a byte after which a watch is taken for dead. A server that has nothing to say of what is watched
sends a bookmark each minute."""
WATCHES_FOR = 900
"""Seconds after which the server ends a watch, and it is begun anew where it was."""
AT_ONCE = 500
"""Objects in one page of a list."""
LONGEST_SENTENCE = 500
IN_A_CLUSTER = "KUBERNETES_SERVICE_HOST"
LOOKS_AWAY = "start the API server, or correct PLACET_KUBERNETES_CONFIG and its context"


class Gone(Exception):
    """What a watch was to begin at is older than the server remembers: list again."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of object, and where it lies in the API."""

    api: str
    name: str
    plural: str
    is_namespaced: bool = True

    def path(self, namespace: str, name: str = "", *more: str) -> str:
        root = f"/api/{self.api}" if "/" not in self.api else f"/apis/{self.api}"
        place = f"/namespaces/{namespace}" if self.is_namespaced else ""
        return "/".join([f"{root}{place}/{self.plural}", *([name] if name else []), *more])


CONFIG_MAP = Kind(api="v1", name="ConfigMap", plural="configmaps")
SERVICE_ACCOUNT = Kind(api="v1", name="ServiceAccount", plural="serviceaccounts")
SERVICE = Kind(api="v1", name="Service", plural="services")
DEPLOYMENT = Kind(api="apps/v1", name="Deployment", plural="deployments")
AUTOSCALER = Kind(api="autoscaling/v2", name="HorizontalPodAutoscaler", plural="horizontalpodautoscalers")
BUDGET = Kind(api="policy/v1", name="PodDisruptionBudget", plural="poddisruptionbudgets")
POLICY = Kind(api="networking.k8s.io/v1", name="NetworkPolicy", plural="networkpolicies")
POD = Kind(api="v1", name="Pod", plural="pods")
EVENT = Kind(api="v1", name="Event", plural="events")
QUOTA = Kind(api="v1", name="ResourceQuota", plural="resourcequotas")
NODE = Kind(api="v1", name="Node", plural="nodes", is_namespaced=False)
ROUTE = Kind(api="gateway.networking.k8s.io/v1", name="HTTPRoute", plural="httproutes")

OURS = (CONFIG_MAP, SERVICE_ACCOUNT, SERVICE, DEPLOYMENT, AUTOSCALER, BUDGET, POLICY)
"""What is written here, with what owns it all first."""
KINDS = {kind.name: kind for kind in (*OURS, POD, EVENT, QUOTA, NODE, ROUTE)}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which objects of a kind are looked at. As narrow as the server can tell them apart."""

    kind: Kind
    labels: str = ""
    fields: str = ""

    @property
    def parameters(self) -> list[tuple[str, str]]:
        given = (("labelSelector", self.labels), ("fieldSelector", self.fields))
        return [(name, value) for name, value in given if value]


class KubernetesCluster:
    """One namespace of a cluster. Nothing is read or connected to before the first call.

    `file` is a kubeconfig; without one the account of the pod that we run in is taken, or what `KUBECONFIG` names.
    """

    def __init__(
        self,
        *,
        namespace: str,
        file: Path | None = None,
        context: str | None = None,
        answers_within: float = ANSWERS_WITHIN,
        silent_for: float = SILENT_FOR,
    ) -> None:
        self.namespace = namespace
        self._file = file
        self._context = context
        self._answers_within = answers_within
        self._silent_for = silent_for
        self._api: client.ApiClient | None = None
        self._opening = asyncio.Lock()

    # Objects.

    async def read(self, kind: Kind, name: str) -> Json | None:
        return await self._if_there("GET", kind.path(self.namespace, name))

    async def apply(self, document: Json) -> Json:
        """Make the fields that it has what they are in it, and ours. Whoever else wrote them is overruled."""
        kind = KINDS[document["kind"]]
        path = kind.path(self.namespace, document["metadata"]["name"])
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._ask("PATCH", path, query, document, "application/apply-patch+yaml")

    async def replace(self, document: Json) -> Json:
        """Make it that and nothing else. It has the version that was looked at; a later one is a conflict."""
        kind = KINDS[document["kind"]]
        path = kind.path(self.namespace, document["metadata"]["name"])
        return await self._ask("PUT", path, [("fieldManager", FIELD_MANAGER)], document)

    async def scale(self, deployment: str, replicas: int) -> None:
        """How many there are is not a field of ours: the autoscaler writes it, too."""
        path = DEPLOYMENT.path(self.namespace, deployment, "scale")
        document = {"spec": {"replicas": replicas}}
        query = [("fieldManager", FIELD_MANAGER)]
        await self._if_there("PATCH", path, query, document, "application/merge-patch+json")

    async def delete(self, kind: Kind, name: str, *, uid: str) -> Json | None:
        """It and all that it owns, unless somebody made another of that name since."""
        document = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        status, answer = await self._answer("DELETE", kind.path(self.namespace, name), (), document)
        if status in (404, 409):  # 409: what has that name is not what was meant
            return None
        return self._told(status, answer)

    async def listed(self, selection: Selection) -> tuple[list[Json], str]:
        """All of them, and the version of the cluster that they are of."""
        found: list[Json] = []
        more = ""
        while True:
            query = [*selection.parameters, ("limit", str(AT_ONCE)), *([("continue", more)] if more else [])]
            page = await self._ask("GET", selection.kind.path(self.namespace), query)
            found += [{**_named(selection.kind), **each} for each in page["items"] or ()]
            more = page["metadata"].get("continue") or ""
            if not more:
                return found, page["metadata"]["resourceVersion"]

    async def seen(self, kind: Kind) -> Sequence[Json] | None:
        """All of a kind; None where we may not look, or the cluster has no such kind."""
        status, body = await self._answer("GET", kind.path(self.namespace), [("limit", "1")])
        if status in (403, 404):
            log.warning(
                "the deployer does not see the cluster's %s: %s", kind.plural, _sentence(_status(body))
            )
            return None
        return (await self.listed(Selection(kind=kind)))[0]

    async def watched(self, selection: Selection, version: str) -> AsyncGenerator[tuple[str, Json], None]:
        """What happened to them since that version: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`, and to which object.
        Ends when the server ends it. Raises `Gone`."""
        query = [
            *selection.parameters,
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(WATCHES_FOR)),
        ]
        async for line in self._lines(selection.kind.path(self.namespace), query):
            try:
                said = msgspec.json.decode(line)
            except msgspec.DecodeError:  # it was cut off in the midst of one
                return
            if said["type"] == "ERROR":
                if said["object"].get("code") == 410:
                    raise Gone
                raise Unavailable(f"the cluster ended a watch: {_sentence(said['object'])}")
            yield said["type"], {**_named(selection.kind), **said["object"]}

    async def log(self, pod: str, container: str, *, tail: int | None, limit: int) -> bytes:
        """The end of what it wrote; nothing where it did not begin, or is gone."""
        query = [("container", container), *([] if tail is None else [("tailLines", str(tail))])]
        status, body = await self._answer("GET", POD.path(self.namespace, pod, "log"), query)
        if status in (400, 404):
            return b""
        if status != 200:
            raise self._objection(status, body)
        return body[-limit:]

    async def follow(self, pod: str, container: str, *, tail: int | None) -> AsyncGenerator[bytes, None]:
        """The same, and then what is added."""
        query = [("container", container), ("follow", "true")]
        query += [] if tail is None else [("tailLines", str(tail))]
        async for line in self._lines(POD.path(self.namespace, pod, "log"), query, is_silent=True):
            yield line

    async def close(self) -> None:
        if self._api is not None:
            api, self._api = self._api, None
            await api.close()

    # The wire.

    async def _if_there(self, method: str, path: str, *more: Any) -> Json | None:
        status, body = await self._answer(method, path, *more)
        return None if status == 404 else self._told(status, body)

    async def _ask(self, method: str, path: str, *more: Any) -> Json:
        return self._told(*await self._answer(method, path, *more))

    def _told(self, status: int, body: bytes) -> Json:
        if not 200 <= status < 300:
            raise self._objection(status, body)
        try:
            answer: Json = msgspec.json.decode(body, type=dict)
        except msgspec.DecodeError as error:
            raise Unavailable(f"the cluster answered what is no JSON: {error}") from error
        return answer

    async def _answer(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        document: Json | None = None,
        media: str = "application/json",
    ) -> tuple[int, bytes]:
        within = aiohttp.ClientTimeout(total=self._answers_within, sock_connect=CONNECTS_WITHIN)
        try:
            answer = await self._call(method, path, query, document, media, within)
            body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error
        if answer.status == 401:
            await self.close()  # the next call reads its configuration anew: a token may have been renewed
        return answer.status, body

    async def _lines(
        self, path: str, query: Sequence[tuple[str, str]], *, is_silent: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Line by line for as long as it lasts."""
        silence = None if is_silent else self._silent_for
        within = aiohttp.ClientTimeout(total=None, sock_connect=CONNECTS_WITHIN, sock_read=silence)
        try:
            async with asyncio.timeout(self._answers_within):
                answer = await self._call("GET", path, query, None, "application/json", within)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error
        try:
            if answer.status == 410:
                raise Gone
            if answer.status in (400, 404) and is_silent:
                return
            if answer.status != 200:
                raise self._objection(answer.status, await answer.read())
            async for line in answer.content:
                yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._away(error) from error
        finally:
            answer.close()

    async def _call(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        document: Json | None,
        media: str,
        within: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        api = await self._opened()
        request = await api.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": "application/json", "Content-Type": media},
            body=document,
            auth_settings=["BearerToken"],
        )
        answer = await api.call_api(*request, _request_timeout=within)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _opened(self) -> client.ApiClient:
        async with self._opening:
            if self._api is None:
                configuration = client.Configuration()
                try:
                    if self._file is None and IN_A_CLUSTER in os.environ:
                        config.load_incluster_config(client_configuration=configuration)
                    else:
                        await config.load_kube_config(
                            config_file=None if self._file is None else str(self._file),
                            context=self._context,
                            client_configuration=configuration,
                        )
                except (config.ConfigException, OSError, ValueError, KeyError) as error:
                    raise Unavailable(
                        f"the configuration for the cluster cannot be read: {error}", fix=LOOKS_AWAY
                    ) from error
                configuration.retries = None  # whoever asks decides what is asked again
                self._api = client.ApiClient(configuration)
                self._api.user_agent = FIELD_MANAGER
            return self._api

    def _away(self, error: Exception) -> Unavailable:
        said = why_silent(error) or str(error)
        return Unavailable(
            f"the Kubernetes API server does not answer: {said}", fix=LOOKS_AWAY, retry_after=1.0
        )

    def _objection(self, status: int, body: bytes) -> PlacetError:
        said = _sentence(_status(body))
        match status:
            case 401 | 403:
                return Unavailable(
                    f"the cluster does not let the deployer: {said}",
                    fix="apply deploy/kubernetes/deployer.yaml, or what it is in your cluster",
                )
            case 404:
                return Unavailable(
                    f"the cluster lacks it: {said}",
                    fix=f"make the namespace {self.namespace}, and install the Gateway API where it has the routes",
                )
            case 400 | 405 | 406 | 413 | 415 | 422:
                return Refused(f"the cluster refused it: {said}")
            case _:
                return Unavailable(f"the cluster failed ({status}): {said}", retry_after=1.0)


def _named(kind: Kind) -> Mapping[str, str]:
    """Items of lists do not say what they are."""
    return {"apiVersion": kind.api, "kind": kind.name}


def _status(body: bytes) -> Json:
    try:
        said: Json = msgspec.json.decode(body, type=dict)
    except msgspec.DecodeError:
        return {"message": body.decode(errors="replace")}
    return said


def _sentence(status: Json) -> str:
    return str(status.get("message") or status.get("reason") or "it does not say why")[:LONGEST_SENTENCE]
