"""What is the matter with a pod, in one sentence? Told from its state and the events the cluster has of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from placet.deployer.adapters.kubernetes_cluster import Json
from placet.deployer.adapters.telling import ended_by, ended_with
from placet.deployer.room import Amount, in_mebibytes

_PULLS = ("ErrImagePull", "ImagePullBackOff")
_NO_IMAGE = ("InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable")
_NOT_STARTED = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "ContainerCannotRun",
)
_CRASHES = "CrashLoopBackOff"
_FOR_GOOD = ("not found", "manifest unknown", "name unknown", "unauthorized", "denied", "forbidden")
"""A pull that failed so does not succeed by itself."""
_COMES = "TriggeredScaleUp"
"""Said by an autoscaler of nodes that makes one more for the pod."""
_NOISE = re.compile(
    r"^(Failed to pull image \"[^\"]*\": |Back-off pulling image \"[^\"]*\"(: ErrImagePull: )?)"
)


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is known of a pod beside itself. `asked` is what one replica has reserved, `largest` what the largest node
    has; `restarts` are those that were told already."""

    asked: Amount
    largest: Amount | None
    events: Sequence[Json]
    restarts: int = 0


def trouble(pod: Json, life: Life) -> str | None:
    """None for one that runs, or is on its way."""
    status = pod.get("status", {})
    container = next(iter(status.get("containerStatuses") or ()), None)
    if container is not None:
        found = _of_container(container, life)
        if found is not None or status.get("phase") == "Running":
            return found
    if status.get("phase") == "Failed":
        return (
            f"the cluster ended it: {status.get('message') or status.get('reason') or 'it does not say why'}"
        )
    return _unscheduled(status, life)


def restarts(pod: Json) -> int:
    return sum(
        int(each.get("restartCount", 0)) for each in pod.get("status", {}).get("containerStatuses") or ()
    )


def warnings(events: Sequence[Json]) -> str:
    """What the cluster complained of last, for one that came to nothing without a word of its own."""
    complaints = [each for each in events if each.get("type") == "Warning"]
    if not complaints:
        return ""
    last = max(complaints, key=_when)
    return f"{last.get('reason', '')}: {last.get('message', '')}".strip()


def not_made(deployment: Json) -> str | None:
    """Why no pod may be made at all: a quota, or a rule of the namespace."""
    for each in deployment.get("status", {}).get("conditions") or ():
        if each["type"] == "ReplicaFailure" and each["status"] == "True":
            return f"the cluster makes no pod of it: {each.get('message') or each.get('reason')}"
    return None


def _of_container(container: Json, life: Life) -> str | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULLS:
        is_over = reason == _PULLS[1] or any(each in message.lower() for each in _FOR_GOOD)
        return f"image cannot be pulled: {_last_pull(message, life)}" if is_over else None
    if reason in _NO_IMAGE:
        return f"image cannot be pulled: {message or reason}"
    if reason in _NOT_STARTED:
        return f"the container could not be started: {message or reason}"
    ended = state.get("terminated") or _as_told(container, life)
    if reason == _CRASHES and not ended:
        ended = (container.get("lastState") or {}).get("terminated")
    return None if ended is None else _ended(ended, life)


def _as_told(container: Json, life: Life) -> Json | None:
    """How it ended before, if nobody was told that yet."""
    if int(container.get("restartCount", 0)) <= life.restarts:
        return None
    last: Json | None = (container.get("lastState") or {}).get("terminated")
    return last


def _last_pull(message: str, life: Life) -> str:
    """A pull that is waited with says nothing but that; the event of the one that failed does."""
    said = [message, *(each["message"] for each in reversed(life.events) if each.get("reason") == "Failed")]
    told = [_NOISE.sub("", each).strip() for each in said if each]
    return next(
        (each for each in told if each and not each.startswith("Error: ")), "the cluster does not say why"
    )


def _ended(terminated: Json, life: Life) -> str:
    if terminated.get("reason") == "OOMKilled":
        return f"it took more than the {in_mebibytes(life.asked.memory_bytes)} of memory that it had reserved"
    hung = _hung(terminated, life.events)
    if hung:
        return hung
    if terminated.get("reason") in _NOT_STARTED:
        return f"the container could not be started: {terminated.get('message') or terminated['reason']}"
    if terminated.get("signal"):
        return ended_by(int(terminated["signal"]))
    status = int(terminated.get("exitCode", 0))
    return ended_by(status - 128) if status > 128 else ended_with(status)  # as a shell counts


def _hung(terminated: Json, events: Sequence[Json]) -> str | None:
    """Whether the kubelet ended it, for its silence."""
    began = terminated.get("startedAt") or ""
    for each in events:
        if each.get("reason") != "Killing" or _when(each) < began:
            continue
        if "failed liveness probe" in each.get("message", ""):
            return "it hung: it did not answer whether it lives, again and again"
        if "failed startup probe" in each.get("message", ""):
            return "it hung: it was not ready in time"
    return None


def _unscheduled(status: Json, life: Life) -> str | None:
    for each in status.get("conditions") or ():
        if (
            each["type"] == "PodScheduled"
            and each["status"] == "False"
            and each.get("reason") == "Unschedulable"
        ):
            if any(event.get("reason") == _COMES for event in life.events):
                return None
            return _too_large(life) or f"no node has room for it: {_in_short(each.get('message', ''))}"
    return None


def _too_large(life: Life) -> str | None:
    asked, largest = life.asked, life.largest
    if largest is None or asked.fits(largest):
        return None
    if asked.cpu_millis > largest.cpu_millis:
        return f"needs {asked.cpu_millis / 1000:g} CPU, largest node has {largest.cpu_millis / 1000:g}"
    if asked.memory_bytes > largest.memory_bytes:
        return (
            f"needs {in_mebibytes(asked.memory_bytes)} of memory, largest node has"
            f" {in_mebibytes(largest.memory_bytes)}"
        )
    has = f"largest node has {largest.gpus}" if largest.gpus else "no node has one"
    return f"needs {asked.gpus} GPU, {has}"


def _in_short(message: str) -> str:
    """What the scheduler says of nodes, without what it says of making room on them."""
    return message.partition(" preemption:")[0].rstrip(". ") or "the cluster does not say why"


def _when(event: Json) -> str:
    metadata = event.get("metadata", {})
    found = event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or ""
    return str(found)
