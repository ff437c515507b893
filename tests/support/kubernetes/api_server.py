"""The API server: objects, their versions and their watchers, over HTTP."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from aiohttp import ClientSession, web

from tests.support.kubernetes import fields
from tests.support.kubernetes.addresses import Block
from tests.support.kubernetes.fields import Json
from tests.support.servers.local import free_port

Trouble = Literal["errors", "loses its answers", "is slow"]

REMEMBERS = 1000
"""Changes; a watch that wants to begin before them is told that it is too late."""


@dataclass(frozen=True)
class Resource:
    api: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api.rpartition("/")[0]


RESOURCES = (
    Resource("v1", "ConfigMap", "configmaps"),
    Resource("v1", "ServiceAccount", "serviceaccounts"),
    Resource("v1", "Service", "services"),
    Resource("v1", "Pod", "pods"),
    Resource("v1", "Event", "events"),
    Resource("v1", "ResourceQuota", "resourcequotas"),
    Resource("v1", "Secret", "secrets"),
    Resource("v1", "Node", "nodes", namespaced=False),
    Resource("v1", "Namespace", "namespaces", namespaced=False),
    Resource("apps/v1", "Deployment", "deployments"),
    Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
)


class Failure(Exception):
    """An answer that is a `Status`."""

    def __init__(self, code: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
            **more,
        }


@dataclass(frozen=True)
class Change:
    version: int
    type: str
    resource: Resource
    object: Json
    before: Json | None


@dataclass
class Faults:
    """What a test has the server do.

    `errors` are status codes, one for each request to come that is no watch; 0 lets one pass.
    """

    errors: list[int] = field(default_factory=list)
    seconds: float = 0.0
    cut_after_write: int = 0
    """So many writes to come are carried out, and their answers lost."""
    trouble: Trouble | None = None
    """What is wrong until `go_on`. Watches that are open go on."""
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    def go_on(self) -> None:
        """Nothing is wrong any more, and what was slow is carried out, however late."""
        self.trouble = None
        self._go.set()
        self._go = asyncio.Event()

    async def hold_up(self, method: str) -> None:
        if self.trouble == "is slow" and method != "GET":
            await self._go.wait()

    def loses_answer(self, method: str) -> bool:
        if method == "GET":
            return False
        if self.cut_after_write:
            self.cut_after_write -= 1
            return True
        return self.trouble == "loses its answers"


class ApiServer:
    """Run it as `async with ApiServer() as server:`; `url` is where it is."""

    def __init__(self, resources: Sequence[Resource] = RESOURCES) -> None:
        self.resources = list(resources)
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self.rules: Sequence[Json] | None = None
        """Rules of roles; what none of them allows is forbidden. None allows all."""
        self._objects: dict[tuple[str, str, str], Json] = {}
        self._version = 1
        self._uids = 0
        self.addresses = Block()
        self._changes: list[Change] = []
        self._oldest = 1
        self._news = asyncio.Event()
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._watching: set[asyncio.Task[Any]] = set()
        self.logs: Callable[[Json, Mapping[str, str]], Awaitable[AsyncIterator[bytes]]] | None = None
        self.reach: Callable[[Json], str | None] = lambda service: None
        """Where a request to a Service goes."""
        self.graceful: Callable[[Json], bool] = lambda pod: False
        """Whether a pod that is deleted is still running, and removed by who runs it."""

    async def __aenter__(self) -> ApiServer:
        for namespace in ("default", "placet-models"):
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        await self.back()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.away()
        self.addresses.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "placet", "user": {"token": "a-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "placet"}}],
        }

    # Faults.

    async def away(self) -> None:
        """Nobody listens any more, and all that were connected are not."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.cut_watches()
            await runner.cleanup()

    async def back(self) -> None:
        application = web.Application(client_max_size=4 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port = self._port or free_port()
        listening.bind(("127.0.0.1", self._port))
        await web.SockSite(self._runner, listening).start()

    def cut_watches(self) -> None:
        for each in self._watching:
            each.cancel()

    def forget(self) -> None:
        """What was compacted: a watch that begins before now is too late."""
        self._changes.clear()
        self._version += 1
        self._oldest = self._version

    # Objects, for whoever is behind the API.

    def resource(self, kind: str) -> Resource:
        return next(each for each in self.resources if each.kind == kind)

    def all(self, kind: str) -> list[Json]:
        return [each for (one, _, _), each in sorted(self._objects.items()) if one == kind]

    def get(self, kind: str, name: str) -> Json | None:
        """Whatever namespace it is in: what is behind the API has no two of one name."""
        return next((each for each in self.all(kind) if each["metadata"]["name"] == name), None)

    def create(self, document: Json, namespace: str = "placet-models") -> Json:
        resource = self.resource(document["kind"])
        named = _named(document, namespace if resource.namespaced else "", self._next_uid())
        made = fields.update(
            {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": named["metadata"]},
            named,
            manager="kube-controller-manager",
            now=self.now(),
        )
        return self._keep(resource, None, made)

    def change(self, kind: str, name: str, to: Callable[[Json], object], *, manager: str = "kubelet") -> None:
        """As controllers do, and people with an editor. Nothing happens to what is gone."""
        live = self.get(kind, name)
        if live is None:
            return
        changed = copy.deepcopy(live)
        to(changed)
        self._keep(self.resource(kind), live, fields.update(live, changed, manager=manager, now=self.now()))

    def remove(self, kind: str, name: str) -> None:
        live = self.get(kind, name)
        if live is not None:
            self._drop(self.resource(kind), live)

    def now(self) -> str:
        """Each look is a second later, so that what happened in order reads so."""
        self._now += timedelta(seconds=1)
        return self._now.strftime("%Y-%m-%dT%H:%M:%SZ")

    async def changes(self, seen: int) -> tuple[list[Change], int]:
        """Those since a version; waits for one."""
        while not (found := [each for each in self._changes if each.version > seen]):
            await self._news.wait()
        return found, found[-1].version

    # Writing.

    def _keep(self, resource: Resource, live: Json | None, document: Json) -> Json:
        if resource.kind == "Service":
            self._give_address(document, live)
        self._fill_in(document)
        if live is not None and _content(live) == _content(document):
            return live
        metadata = document["metadata"]
        is_new = live is None or live.get("spec") != document.get("spec")
        metadata["generation"] = (live or {}).get("metadata", {}).get("generation", 0) + is_new
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        self._objects[(resource.kind, metadata.get("namespace", ""), metadata["name"])] = document
        self._note("ADDED" if live is None else "MODIFIED", resource, document, live)
        self._collect()
        return document

    def _drop(self, resource: Resource, live: Json) -> None:
        metadata = live["metadata"]
        self._objects.pop((resource.kind, metadata.get("namespace", ""), metadata["name"]), None)
        self._version += 1
        gone = {**live, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        self._note("DELETED", resource, gone, live)
        self._collect()

    def _note(self, type: str, resource: Resource, document: Json, before: Json | None) -> None:
        self._changes.append(Change(self._version, type, resource, copy.deepcopy(document), before))
        if len(self._changes) > REMEMBERS:
            self._oldest = self._changes.pop(0).version
        self._news.set()
        self._news = asyncio.Event()

    def _collect(self) -> None:
        """What is owned by nobody who is there goes, too."""
        there = {each["metadata"]["uid"] for each in self._objects.values()}
        for (kind, _, name), each in list(self._objects.items()):
            owners = each["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in there for owner in owners):
                resource = self.resource(kind)
                if (kind, each["metadata"].get("namespace", ""), name) in self._objects:
                    self._delete(resource, each)

    def _delete(self, resource: Resource, live: Json) -> Json:
        if resource.kind == "Namespace":
            self._empty(live["metadata"]["name"])
        if resource.kind == "Pod" and self.graceful(live):
            if "deletionTimestamp" not in live["metadata"]:
                changed = copy.deepcopy(live)
                changed["metadata"]["deletionTimestamp"] = self.now()
                changed["metadata"]["deletionGracePeriodSeconds"] = live["spec"].get(
                    "terminationGracePeriodSeconds", 30
                )
                self._keep(resource, live, changed)
                return changed
            return live
        self._drop(resource, live)
        return live

    def _empty(self, namespace: str) -> None:
        for (kind, place, name), each in list(self._objects.items()):
            if place == namespace and (kind, place, name) in self._objects:
                self._delete(self.resource(kind), each)

    def _fill_in(self, document: Json) -> None:
        """Some of the defaults that matter to who compares."""
        match document["kind"]:
            case "Deployment":
                spec = document["spec"]
                spec.setdefault("replicas", 1)
                spec.setdefault("progressDeadlineSeconds", 600)
                pod = spec["template"]["spec"]
                pod.setdefault("restartPolicy", "Always")
                pod.setdefault("dnsPolicy", "ClusterFirst")
                for container in pod["containers"]:
                    container.setdefault("terminationMessagePath", "/dev/termination-log")
                    for part in ("requests", "limits"):
                        amounts = (container.get("resources") or {}).get(part) or {}
                        amounts.update({name: _canonical(each) for name, each in amounts.items()})
            case "Service":
                document["spec"].setdefault("sessionAffinity", "None")
            case _:
                return

    def _give_address(self, service: Json, live: Json | None) -> None:
        """The one that it asks for or has, or a free one. One that it cannot have is an error, and so is another one
        than it has."""
        spec, name = service["spec"], service["metadata"]["name"]
        taken = {each["spec"]["clusterIP"] for each in self.all("Service")}
        if live is not None:
            before = live["spec"]["clusterIP"]
            if (wished := spec.setdefault("clusterIP", before)) != before:
                raise _invalid(
                    name, f'spec.clusterIPs[0]: Invalid value: ["{wished}"]: may not change once set'
                )
            return
        if wished := spec.get("clusterIP"):
            said = f'spec.clusterIPs: Invalid value: ["{wished}"]: failed to allocate IP {wished}'
            if wished in taken:
                raise _invalid(name, f"{said}: provided IP is already allocated")
            if not self.addresses.has_for_services(wished):
                raise _invalid(name, f"{said}: the provided IP is not in the valid range")
            return
        spec["clusterIP"] = next(each for each in self.addresses.of_services() if each not in taken)

    def _next_uid(self) -> str:
        self._uids += 1
        return str(UUID(int=self._uids))

    # HTTP.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        try:
            if self.faults.seconds:
                await asyncio.sleep(self.faults.seconds)
            await self.faults.hold_up(request.method)
            answer = await self._carry_out(request)
        except Failure as failure:
            return web.json_response(failure.body, status=failure.code)
        if self.faults.loses_answer(request.method) and request.transport is not None:
            request.transport.close()
        return answer

    async def _carry_out(self, request: web.Request) -> web.StreamResponse:
        if self.faults.errors and "watch" not in request.query:
            code = self.faults.errors.pop(0)
            if code:
                raise Failure(code, "InternalError", f"it was told to fail with {code}")
        if self.faults.trouble == "errors":
            raise Failure(500, "InternalError", "etcdserver: request timed out")
        parts = request.path.strip("/").split("/")
        if parts[:1] == ["version"]:
            return web.json_response({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
        if parts == ["api"]:
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if parts == ["apis"]:
            return web.json_response(self._groups())
        api, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        if not rest:
            return web.json_response(self._resources_of(api))
        namespace, rest = (rest[1], rest[2:]) if rest[0] == "namespaces" and len(rest) > 2 else ("", rest)
        resource = next((each for each in self.resources if (each.api, each.plural) == (api, rest[0])), None)
        if resource is None or (resource.namespaced and not namespace):
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        if namespace and self.get("Namespace", namespace) is None:
            raise Failure(404, "NotFound", f'namespaces "{namespace}" not found')
        name, *below = rest[1:] or [""]
        self._allow(request, resource, "/".join(below[:1]), is_named=bool(name))
        if resource.kind == "Service" and below[:1] == ["proxy"]:
            return await self._proxied(request, name, "/".join(below[1:]))
        if not name:
            return await self._list_or_watch(request, resource, namespace)
        live = self._objects.get((resource.kind, namespace, name))
        if below == ["log"] and live is not None:
            return await self._log(request, live)
        return await self._one(request, resource, namespace, name, live, "/".join(below))

    def _allow(self, request: web.Request, resource: Resource, part: str, *, is_named: bool) -> None:
        verbs = {"PATCH": "patch", "PUT": "update", "POST": "create", "DELETE": "delete"}
        read = "get" if is_named else "watch" if "watch" in request.query else "list"
        verb = verbs.get(request.method, read)
        what = f"{resource.plural}/{part}" if part else resource.plural
        if self.rules is None or any(
            resource.group in each["apiGroups"] and what in each["resources"] and verb in each["verbs"]
            for each in self.rules
        ):
            return
        message = f'{what} is forbidden: User "placet" cannot {verb} resource "{what}" in API group "{resource.group}"'
        raise Failure(403, "Forbidden", message)

    async def _one(
        self,
        request: web.Request,
        resource: Resource,
        namespace: str,
        name: str,
        live: Json | None,
        part: str,
    ) -> web.Response:
        body = json.loads(await request.text() or "null")
        if request.method == "PATCH" and request.content_type == "application/apply-patch+yaml":
            kept = self._applied(request, resource, namespace, name, live, body)
            return web.json_response(kept, status=201 if live is None else 200)
        if live is None:
            raise Failure(404, "NotFound", f'{resource.plural} "{name}" not found')
        manager = request.query.get("fieldManager", "unknown")
        match request.method, part:
            case "GET", "":
                return web.json_response(live)
            case "PATCH", "scale":
                count = body["spec"]["replicas"]
                changed = {**live, "spec": {**live["spec"], "replicas": count}}
                self._keep(
                    resource,
                    live,
                    fields.update(live, changed, manager=manager, now=self.now(), part="scale"),
                )
                return web.json_response(
                    {"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": count}}
                )
            case "PATCH", "":
                changed = _merge_patch(live, body)
                kept = self._keep(
                    resource, live, fields.update(live, changed, manager=manager, now=self.now())
                )
                return web.json_response(kept)
            case "PUT", "":
                return web.json_response(self._replaced(resource, live, body, manager))
            case "DELETE", "":
                expected = ((body or {}).get("preconditions") or {}).get("uid")
                if expected and expected != live["metadata"]["uid"]:
                    raise Failure(409, "Conflict", f"the UID in the precondition ({expected}) does not match")
                return web.json_response(self._delete(resource, live))
            case _:
                raise Failure(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )

    def _applied(
        self,
        request: web.Request,
        resource: Resource,
        namespace: str,
        name: str,
        live: Json | None,
        wanted: Json,
    ) -> Json:
        if "fieldManager" not in request.query:
            raise Failure(400, "BadRequest", "fieldManager is required for apply patch")
        if wanted.get("metadata", {}).get("managedFields"):
            raise Failure(400, "BadRequest", "metadata.managedFields must be nil")
        named = _named(wanted, namespace, (live or {}).get("metadata", {}).get("uid") or self._next_uid())
        if live is not None:
            named["metadata"].pop("uid")
            named["metadata"].pop("creationTimestamp")
        try:
            result = fields.apply(
                live,
                named,
                manager=request.query["fieldManager"],
                force=request.query.get("force") == "true",
                now=self.now(),
            )
        except fields.Conflict as conflict:
            who, paths = next(iter(conflict.owners.items()))
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{who}"',
                    "field": ".".join(path),
                }
                for path in sorted(paths)
            ]
            message = f'Apply failed with {len(causes)} conflict: conflict with "{who}"'
            raise Failure(409, "Conflict", message, details={"causes": causes}) from conflict
        return self._keep(resource, live, result)

    def _replaced(self, resource: Resource, live: Json, body: Json, manager: str) -> Json:
        expected = body["metadata"].get("resourceVersion")
        if expected and expected != live["metadata"]["resourceVersion"]:
            message = (
                f'Operation cannot be fulfilled on {resource.plural} "{live["metadata"]["name"]}": the object has been'
                " modified; please apply your changes to the latest version and try again"
            )
            raise Failure(409, "Conflict", message)
        kept = ("uid", "creationTimestamp", "namespace", "managedFields", "generation", "resourceVersion")
        metadata = {
            **body["metadata"],
            **{each: live["metadata"][each] for each in kept if each in live["metadata"]},
        }
        changed = {**copy.deepcopy(body), "metadata": copy.deepcopy(metadata)}
        if "status" in live:
            changed["status"] = live["status"]
        if resource.kind == "Service":
            self._give_address(changed, live)
        self._fill_in(changed)
        return self._keep(resource, live, fields.update(live, changed, manager=manager, now=self.now()))

    async def _list_or_watch(
        self, request: web.Request, resource: Resource, namespace: str
    ) -> web.StreamResponse:
        if request.method == "POST":
            made = self.create(json.loads(await request.text()), namespace)
            return web.json_response(made, status=201)
        matches = _selector(request, namespace)
        if request.query.get("watch") == "true":
            return await self._watch(request, resource, matches)
        found = [each for each in self.all(resource.kind) if matches(each)]
        limit = int(request.query.get("limit", "0")) or len(found)
        begin = int(request.query.get("continue", "0"))
        page = found[begin : begin + limit]
        more = str(begin + limit) if begin + limit < len(found) else ""
        items = [
            {key: value for key, value in each.items() if key not in ("kind", "apiVersion")} for each in page
        ]
        metadata = {"resourceVersion": str(self._version), "continue": more}
        kind = f"{resource.kind}List"
        return web.json_response(
            {"kind": kind, "apiVersion": resource.api, "metadata": metadata, "items": items}
        )

    async def _watch(
        self, request: web.Request, resource: Resource, matches: Callable[[Json], bool]
    ) -> web.StreamResponse:
        seen = int(request.query.get("resourceVersion") or self._version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._watching.add(task)
        try:
            if seen < self._oldest:
                gone = Failure(410, "Expired", f"too old resource version: {seen} ({self._oldest})")
                await _write(response, "ERROR", gone.body)
                return response
            with suppress(ConnectionResetError, asyncio.CancelledError):
                while True:
                    happened, seen = await self.changes(seen)
                    for each in happened:
                        said = _as_seen(each, resource, matches)
                        if said is not None:
                            await _write(response, *said)
                    if "allowWatchBookmarks" in request.query:
                        mark = {"kind": resource.kind, "metadata": {"resourceVersion": str(seen)}}
                        await _write(response, "BOOKMARK", {"apiVersion": resource.api, **mark})
        finally:
            self._watching.discard(task)
        return response

    async def _log(self, request: web.Request, pod: Json) -> web.StreamResponse:
        assert self.logs is not None
        pieces = await self.logs(pod, request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with suppress(ConnectionResetError, asyncio.CancelledError):
            async for piece in pieces:
                await response.write(piece)
        return response

    async def _proxied(self, request: web.Request, name: str, path: str) -> web.Response:
        service = self.get("Service", name.split(":")[1] if ":" in name else name)
        where = None if service is None else self.reach(service)
        if where is None:
            raise Failure(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
        try:
            async with (
                ClientSession() as session,
                session.request(request.method, f"{where}/{path}", data=await request.read()) as answer,
            ):
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=answer.content_type
                )
        except OSError as error:
            raise Failure(503, "ServiceUnavailable", f"error trying to reach service: {error}") from error

    def _groups(self) -> Json:
        names = dict.fromkeys(each.api for each in self.resources if each.group)
        groups = []
        for api in names:
            version = {"groupVersion": api, "version": api.rpartition("/")[2]}
            groups.append(
                {"name": api.rpartition("/")[0], "versions": [version], "preferredVersion": version}
            )
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _resources_of(self, api: str) -> Json:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        listed = [
            {
                "name": each.plural,
                "singularName": "",
                "namespaced": each.namespaced,
                "kind": each.kind,
                "verbs": verbs,
            }
            for each in self.resources
            if each.api == api
        ]
        if not listed:
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": listed}


def _invalid(service: str, why: str) -> Failure:
    return Failure(422, "Invalid", f'Service "{service}" is invalid: {why}')


async def _write(response: web.StreamResponse, type: str, document: Json) -> None:
    await response.write(json.dumps({"type": type, "object": document}).encode() + b"\n")


def _as_seen(change: Change, resource: Resource, matches: Callable[[Json], bool]) -> tuple[str, Json] | None:
    """What a watcher of some of them is told: what leaves its selection is deleted to it."""
    if change.resource is not resource:
        return None
    was = change.before is not None and matches(change.before)
    match change.type, matches(change.object), was:
        case "DELETED", _, True:
            return "DELETED", change.object
        case (("ADDED" | "MODIFIED"), True, was):
            return ("MODIFIED" if was else "ADDED"), change.object
        case "MODIFIED", False, True:
            return "DELETED", change.object
        case _:
            return None


def _selector(request: web.Request, namespace: str) -> Callable[[Json], bool]:
    labels = [each.split("=", 1) for each in request.query.get("labelSelector", "").split(",") if each]
    wanted = [each.split("=", 1) for each in request.query.get("fieldSelector", "").split(",") if each]

    def matches(document: Json) -> bool:
        metadata = document["metadata"]
        has = metadata.get("labels") or {}
        return (
            (not namespace or metadata.get("namespace") == namespace)
            and all(has.get(name) == value for name, value in labels)
            and all(_at(document, path) == value for path, value in wanted)
        )

    return matches


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = (document or {}).get(step)
    return document


def _named(document: Json, namespace: str, uid: str) -> Json:
    place = {"namespace": namespace} if namespace else {}
    made = copy.deepcopy(document)
    made["metadata"] = {
        **made["metadata"],
        **place,
        "uid": uid,
        "creationTimestamp": datetime(2026, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return made


def _content(document: Json) -> Json:
    """Without what a write changes that changes nothing."""
    metadata = {key: value for key, value in document["metadata"].items() if key not in _COUNTED}
    managed = [
        {key: value for key, value in each.items() if key != "time"}
        for each in metadata.pop("managedFields", ())
    ]
    return {**document, "metadata": {**metadata, "managedFields": managed}}


_COUNTED = ("resourceVersion", "generation")


def _merge_patch(live: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(live, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(live)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_patch(live.get(key), value)
    return result


def _canonical(amount: str) -> str:
    """Of an amount, as a server writes it back."""
    if amount.endswith("m") and int(amount[:-1]) % 1000 == 0:
        return str(int(amount[:-1]) // 1000)
    for unit in ("G", "M", "k"):
        size = {"G": 10**9, "M": 10**6, "k": 10**3}[unit]
        if amount.isdigit() and int(amount) and int(amount) % size == 0:
            return f"{int(amount) // size}{unit}"
    return amount
