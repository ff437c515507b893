"""The `kubernetes` host: a release as a Deployment, whose pods a cluster makes, spreads, replaces and counts.

One instance here stands for all replicas of its release, and listens at its Service's address, which the cluster chose
and which is asked for again whenever the Service is made anew. The cluster starts again what crashed by itself; that it
did is told as an end all the same, and once: it is over with the `start` that follows. What somebody else changed about
what was applied is told as drift, and mended by the next `start`, too.

All that is known of an instance is in its record, a ConfigMap that owns everything else of it. So models outlive a
deployer, are taken over by the next one, and leave nothing behind: what is not owned is not made.

    record   what it is, and every object as it was applied
    end      why it was ended by us, with `log`, the end of what it wrote: pods take theirs with them
    seen     how often each pod had been started again, when that was last told
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from placet.deployer.adapters import kubernetes_room
from placet.deployer.adapters.kubernetes_cluster import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    KINDS,
    OURS,
    POD,
    SERVICE,
    Json,
    KubernetesCluster,
    Selection,
)
from placet.deployer.adapters.kubernetes_drift import drift, instead
from placet.deployer.adapters.kubernetes_mirror import KubernetesMirror
from placet.deployer.adapters.kubernetes_objects import (
    CONTAINER,
    INSTANCE,
    SCRATCH,
    SELECTOR,
    Terms,
    address_of,
    anywhere,
    endpoint_of,
    labels_of,
    objects_of,
    owned,
    owner,
)
from placet.deployer.adapters.kubernetes_telling import Life, not_made, restarts, trouble, warnings
from placet.deployer.adapters.telling import LAST_WORDS, in_a_container, last_words
from placet.deployer.ports import Instance, InstanceSpec, Replicas
from placet.deployer.room import Amount
from placet.errors import PlacetError, Refused, Unavailable

LARGEST_LOG = 256 * 2**10
"""Bytes that are kept of a log with its record: an object of a cluster has room for 1 MiB in all."""
LOOKED_AT = 30.0
"""Seconds for which it is remembered how large the nodes are."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """`endpoint` is empty until the cluster has given it an address."""

    project: str
    release: int
    image: str
    endpoint: str
    amount: tuple[int, int, int]
    replicas: tuple[int, int]
    objects: list[dict[str, Any]]

    @property
    def service(self) -> Json:
        return next(each for each in self.objects if each["kind"] == SERVICE.name)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An instance as it is in the cluster."""

    id: str
    document: Json
    record: _Record
    deployment: Json | None
    pods: Sequence[Json]

    @property
    def data(self) -> Mapping[str, str]:
        data: Mapping[str, str] = self.document.get("data") or {}
        return data

    @property
    def replicas(self) -> int:
        return 0 if self.deployment is None else int(self.deployment["spec"].get("replicas", 1))

    @property
    def is_ended(self) -> bool:
        """Said to be, and gone, too: one that was killed in between is still to be ended."""
        return "end" in self.data and self.replicas == 0


@dataclass(kw_only=True)
class _Largest:
    amount: Amount | None = None
    looked: float = field(default=float("-inf"))


class KubernetesModels:
    """A `ModelHost`. Call `adopt` once before anything else, and `close` at the end.

    `reference` gives the name that the cluster's nodes pull an image by, and the user that it says; `token_keys` what
    the model at an endpoint checks tokens with.
    """

    scales = True

    def __init__(
        self,
        *,
        cluster: KubernetesCluster,
        reference: Callable[[str, str], Awaitable[tuple[str, int]]],
        token_keys: Callable[[str], str],
        terms: Terms,
        log_bytes: int,
    ) -> None:
        self._cluster = cluster
        self._reference = reference
        self._token_keys = token_keys
        self._terms = terms
        self._log_bytes = min(log_bytes, LARGEST_LOG)
        self._mirror = KubernetesMirror(
            cluster,
            [
                *(Selection(kind=kind, labels=SELECTOR) for kind in OURS),
                Selection(kind=POD, labels=SELECTOR),
                # Events have no labels; what happens to pods is all that is told of.
                Selection(kind=EVENT, fields="involvedObject.kind=Pod"),
            ],
        )
        self._largest = _Largest()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One instance is changed by one at a time."""

    # The port.

    async def start(self, spec: InstanceSpec) -> Instance:
        image, user = await self._reference(spec.repository, spec.image)
        async with self._turns[spec.id]:
            found = self._find(spec.id)
            address = _address((found.record.endpoint if found is not None else "") or spec.endpoint)
            record = self._record(spec, image, user, address)
            if found is None or found.record != record or not await self._runs_as_it_should(found):
                uid = await self._begin(spec, record, found)
                given = await self._give_address(spec.id, record, uid)
                if given != address:
                    record = self._record(spec, image, user, given)
                    await self._keep(spec, record, found)
                await self._bring_up(spec, record, found, uid)
        return _instance(spec.id, record)

    async def stop(self, id: str, *, why: str = "") -> None:
        async with self._turns[id]:
            await self._stop(id, why or "it was stopped")

    async def list(self) -> Sequence[Instance]:
        found = [self._found(each) for each in self._mirror.all(CONFIG_MAP)]
        told = [await self._told(each) for each in found if each is not None]
        return sorted(told, key=lambda each: each.id)

    async def find(self, id: str) -> Instance | None:
        found = self._find(id)
        return None if found is None else await self._told(found)

    async def check(self) -> None:
        """The kubelets do: each asks its own pods, and ends those that are silent for too long."""

    async def forget(self, id: str) -> None:
        async with self._turns[id]:
            document = self._mirror.named(CONFIG_MAP, id)
            if document is not None:
                await self._cluster.delete(CONFIG_MAP, id, uid=document["metadata"]["uid"])
                self._mirror.drop(document)

    async def last_words(self, id: str) -> str:
        found = self._find(id)
        if found is None:
            return ""
        written = last_words(await self._written(found, LAST_WORDS))
        return written or "\n".join(filter(None, (warnings(self._events(each)) for each in found.pods[:1])))

    async def log(self, id: str, *, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
        found = self._find(id)
        pod = _spokesman(found.pods) if found is not None and not found.is_ended else None
        if follow and pod is not None:
            pieces = self._cluster.follow(pod["metadata"]["name"], CONTAINER, tail=tail)
            async with aclosing(pieces) as lines:
                async for line in lines:
                    yield line
        elif found is not None:
            yield await self._written(found, tail)

    # Beginning and end of the deployer.

    async def adopt(self) -> None:
        """Look at what there is, and from now on at what changes; remove what a crash left half made."""
        await self._mirror.begin()
        for each in self._mirror.all(CONFIG_MAP):
            found = self._found(each)
            if found is None or (found.deployment is None and "end" not in found.data):
                await self._cluster.delete(CONFIG_MAP, each["metadata"]["name"], uid=each["metadata"]["uid"])
                self._mirror.drop(each)

    async def stop_all(self) -> None:
        running = [each.id for each in await self.list() if each.is_running]
        await asyncio.gather(*(self.stop(id, why="the platform was stopped") for id in running))

    async def close(self) -> None:
        await self._mirror.close()

    # Starting.

    def _record(self, spec: InstanceSpec, image: str, user: int, address: str | None) -> _Record:
        """What it is at that address."""
        endpoint = endpoint_of(address) if address else ""
        environment = in_a_container(spec, self._token_keys(endpoint), scratch=SCRATCH)
        objects = objects_of(
            spec, image=image, user=user, address=address, environment=environment, terms=self._terms
        )
        return _Record(
            project=spec.project,
            release=spec.release,
            image=spec.image,
            endpoint=endpoint,
            amount=(spec.amount.cpu_millis, spec.amount.memory_bytes, spec.amount.gpus),
            replicas=(spec.replicas.min, spec.replicas.max),
            objects=[dict(each) for each in objects],
        )

    async def _begin(self, spec: InstanceSpec, record: _Record, found: _Found | None) -> str:
        """What owns all of it comes first. The uid that it has."""
        if found is None:
            await self._must_be_ours(spec)
        return await self._keep(spec, record, found)

    async def _keep(self, spec: InstanceSpec, record: _Record, found: _Found | None) -> str:
        data = {
            "record": msgspec.json.encode(record).decode(),
            "seen": msgspec.json.encode(_restarts(found)).decode(),
        }
        kept = await self._cluster.apply(owner(spec.id, labels_of(spec), data))
        self._mirror.put(kept)
        uid: str = kept["metadata"]["uid"]
        return uid

    async def _give_address(self, id: str, record: _Record, uid: str) -> str:
        """The one that it had, or one of the cluster's choice: where it had none, or somebody else has that by now."""
        service = record.service
        try:
            return address_of(await self._apply(owned(service, uid)))
        except Refused:
            wished = service["spec"].get("clusterIP")
            there = await self._cluster.read(SERVICE, id)
            if wished is None or (there is not None and address_of(there) == wished):
                raise
            if there is not None:  # somebody made another of that name, and no Service changes its address
                await self._cluster.delete(SERVICE, id, uid=there["metadata"]["uid"])
                self._mirror.drop(there)
            return address_of(await self._apply(owned(anywhere(service), uid)))

    async def _bring_up(self, spec: InstanceSpec, record: _Record, found: _Found | None, uid: str) -> None:
        """What bounds it, and then what runs. Any part may be there already."""
        for each in record.objects:
            if each["kind"] != SERVICE.name:  # it was the first, for its address
                await self._apply(owned(each, uid))
        await self._remove_what_is_not_wanted(spec.id, record)
        await self._scale(spec.id, spec.replicas)
        seen = _restarts(found)
        for pod in found.pods if found else ():
            # What crashes again and again is waited with by the cluster; one that is made anew is not.
            if await self._trouble(pod, record, seen) is not None:
                gone = await self._cluster.delete(POD, pod["metadata"]["name"], uid=pod["metadata"]["uid"])
                if gone is not None and gone.get("kind") == POD.name:
                    self._mirror.put(gone)
                else:
                    self._mirror.drop(pod)

    async def _apply(self, document: Json) -> Json:
        applied = await self._cluster.apply(document)
        if drift(document, applied) is not None:
            # Somebody added to it what applying leaves alone.
            applied = await self._cluster.replace(instead(document, applied))
        self._mirror.put(applied)
        return applied

    async def _remove_what_is_not_wanted(self, id: str, record: _Record) -> None:
        """An autoscaler of a release that scales no more."""
        wanted = {each["kind"] for each in record.objects}
        for kind in OURS[1:]:
            extra = None if kind.name in wanted else self._mirror.named(kind, id)
            if extra is not None:
                await self._cluster.delete(kind, id, uid=extra["metadata"]["uid"])
                self._mirror.drop(extra)

    async def _scale(self, id: str, replicas: Replicas) -> None:
        deployment = self._mirror.named(DEPLOYMENT, id)
        now = 0 if deployment is None else int(deployment["spec"].get("replicas", 1))
        wanted = min(max(now, replicas.min), replicas.max)
        if wanted != now:
            await self._set_replicas(id, wanted)

    async def _set_replicas(self, id: str, count: int) -> None:
        await self._cluster.scale(id, count)
        read = await self._cluster.read(DEPLOYMENT, id)
        if read is not None:
            self._mirror.put(read)

    async def _must_be_ours(self, spec: InstanceSpec) -> None:
        """Nothing of that name is somebody else's, who would lose it to us."""
        for kind in OURS:
            there = await self._cluster.read(kind, spec.id)
            labels = (there or {}).get("metadata", {}).get("labels") or {}
            if there is not None and labels.get(INSTANCE) != spec.id:
                raise Refused(
                    f"the namespace {self._terms.namespace} has a {kind.name} {spec.id} that is not this platform's",
                    fix=f"remove it, `kubectl -n {self._terms.namespace} delete {kind.name.lower()} {spec.id}`, or"
                    " set PLACET_KUBERNETES_NAMESPACE to a namespace of the platform's own",
                )

    # Looking.

    def _find(self, id: str) -> _Found | None:
        document = self._mirror.named(CONFIG_MAP, id)
        return None if document is None else self._found(document)

    def _found(self, document: Json) -> _Found | None:
        """None for a record that says nothing: somebody emptied it."""
        id = document["metadata"]["name"]
        try:
            record = msgspec.json.decode((document.get("data") or {})["record"], type=_Record)
        except (KeyError, msgspec.MsgspecError):
            return None
        pods = [each for each in self._mirror.all(POD) if each["metadata"]["labels"].get(INSTANCE) == id]
        return _Found(
            id=id,
            document=document,
            record=record,
            deployment=self._mirror.named(DEPLOYMENT, id),
            pods=sorted(
                (each for each in pods if "deletionTimestamp" not in each["metadata"]),
                key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]),
            ),
        )

    async def _told(self, found: _Found) -> Instance:
        instance = _instance(found.id, found.record)
        if found.is_ended:
            return replace(instance, is_running=False, why=found.data["end"])
        if found.deployment is None or "deletionTimestamp" in found.deployment["metadata"]:
            return replace(instance, is_running=False, why="its Deployment was gone")
        why = await self._why(found)
        if why is not None:
            return replace(instance, is_running=False, why=why)
        return replace(instance, drift=self._drift(found) or "")

    async def _runs_as_it_should(self, found: _Found) -> bool:
        told = await self._told(found)
        return told.is_running and not told.drift and "end" not in found.data

    async def _why(self, found: _Found) -> str | None:
        """Why none of its pods runs, nor comes."""
        if not found.pods:
            return not_made(found.deployment or {})
        seen = _seen(found)
        troubles = [await self._trouble(each, found.record, seen) for each in found.pods]
        return None if any(each is None for each in troubles) else troubles[-1]

    async def _trouble(self, pod: Json, record: _Record, seen: Mapping[str, int]) -> str | None:
        cpu, memory, gpus = record.amount
        life = Life(
            asked=Amount(cpu_millis=cpu, memory_bytes=memory, gpus=gpus),
            largest=self._largest.amount,
            events=self._events(pod),
            restarts=seen.get(pod["metadata"]["uid"], 0),
        )
        found = trouble(pod, life)
        if found is not None and not pod.get("spec", {}).get("nodeName"):
            return trouble(pod, replace(life, largest=await self._largest_node()))
        return found

    def _drift(self, found: _Found) -> str | None:
        if not found.record.endpoint:  # set back by a write of ours that came through late
            return "its ConfigMap was changed: it does not say where it listens"
        uid = found.document["metadata"]["uid"]
        for each in found.record.objects:
            changed = drift(owned(each, uid), self._mirror.named(KINDS[each["kind"]], found.id))
            if changed is not None:
                return changed
        least, most = found.record.replicas
        if not least <= found.replicas <= most:
            return f"its Deployment was scaled to {found.replicas}, and {least} to {most} are wanted"
        return None

    def _events(self, pod: Json) -> Sequence[Json]:
        uid = pod["metadata"]["uid"]
        return [each for each in self._mirror.all(EVENT) if each.get("involvedObject", {}).get("uid") == uid]

    async def _largest_node(self) -> Amount | None:
        now = time.monotonic()
        if now - self._largest.looked > LOOKED_AT:
            try:
                amount = await kubernetes_room.largest(self._cluster, self._terms.gpu)
            except Unavailable:
                return self._largest.amount
            self._largest = _Largest(amount=amount, looked=now)
        return self._largest.amount

    async def _written(self, found: _Found, tail: int | None) -> bytes:
        if tail == 0:
            return b""
        pod = _spokesman(found.pods)
        if found.is_ended or pod is None:
            kept = found.data.get("log", "").encode()
            return kept if tail is None else b"".join(kept.splitlines(keepends=True)[-tail:])
        return await self._cluster.log(pod["metadata"]["name"], CONTAINER, tail=tail, limit=self._log_bytes)

    # Ending.

    async def _stop(self, id: str, why: str) -> None:
        found = self._find(id)
        if found is None or found.is_ended:
            return
        if "end" not in found.data:
            written = await self._last_log(found)
            # Before it ends: whoever looks meanwhile is told why, and a deployer that is killed here has said it.
            data = {"record": found.data["record"], "end": why, "log": written}
            kept = await self._cluster.apply(owner(id, found.document["metadata"]["labels"], data))
            self._mirror.put(kept)
        await self._set_replicas(id, 0)

    async def _last_log(self, found: _Found) -> str:
        """Nothing where it cannot be had: nobody's end waits for his words."""
        try:
            written = await self._written(found, None)
        except PlacetError:
            return ""
        # A character may take six bytes in an object, and a zero byte has no place there.
        return written[-self._log_bytes // 2 :].decode(errors="replace").replace("\0", "")


def _instance(id: str, record: _Record) -> Instance:
    return Instance(
        id=id,
        project=record.project,
        release=record.release,
        image=record.image,
        endpoint=record.endpoint,
        is_running=True,
    )


def _address(endpoint: str | None) -> str | None:
    """Of a Service, where it is one."""
    host = urlsplit(endpoint).hostname if endpoint else None
    try:
        return str(ip_address(host)) if host else None
    except ValueError:
        return None


def _restarts(found: _Found | None) -> Mapping[str, int]:
    return {each["metadata"]["uid"]: restarts(each) for each in (found.pods if found else ())}


def _seen(found: _Found) -> Mapping[str, int]:
    try:
        return msgspec.json.decode(found.data.get("seen", "{}"), type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def _spokesman(pods: Sequence[Json]) -> Json | None:
    """The pod whose log is shown: the newest of those that run, or else the newest."""
    running = [each for each in pods if each.get("status", {}).get("phase") == "Running"]
    return next(reversed(running or list(pods)), None)
