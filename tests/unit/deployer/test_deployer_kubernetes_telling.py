"""What a cluster says of a pod, as the sentence that people read."""

from __future__ import annotations

from typing import Any

import pytest
from placet.deployer.adapters.kubernetes_telling import Life, not_made, trouble, warnings
from placet.deployer.room import Amount

ASKED = Amount(cpu_millis=2000, memory_bytes=512 * 2**20)
LIFE = Life(asked=ASKED, largest=Amount(cpu_millis=1000, memory_bytes=2**34), events=())


def container(*, restarts: int = 0, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    each = {
        "name": "model",
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }
    phase = "Running" if "waiting" not in state else "Pending"
    return {"metadata": {"uid": "1"}, "status": {"phase": phase, "containerStatuses": [each]}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container(waiting={"reason": reason, "message": message})


def unscheduled(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {"uid": "1"}, "status": {"phase": "Pending", "conditions": [condition]}}


def event(
    reason: str, message: str, *, at: str = "2026-01-01T00:00:09Z", type: str = "Warning"
) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at, "type": type}


@pytest.mark.parametrize(
    "pod",
    [
        {"metadata": {"uid": "1"}},
        container(running={"startedAt": "2026-01-01T00:00:00Z"}),
        waiting("ContainerCreating"),
        waiting("ErrImagePull", 'Failed to pull image "x": dial tcp: i/o timeout'),
    ],
    ids=["just made", "runs", "is made", "is pulled again"],
)
def test_what_runs_or_is_on_its_way_is_no_trouble(pod: dict[str, Any]) -> None:
    assert trouble(pod, LIFE) is None


def test_an_image_that_cannot_be_pulled_says_why() -> None:
    missing = 'Failed to pull image "r.example/m@sha256:1": manifest unknown: not found'
    assert (
        trouble(waiting("ErrImagePull", missing), LIFE)
        == "image cannot be pulled: manifest unknown: not found"
    )
    events = [event("Failed", missing), event("Failed", "Error: ErrImagePull")]
    told = trouble(
        waiting("ImagePullBackOff", 'Back-off pulling image "r.example/m@sha256:1"'),
        Life(asked=ASKED, largest=None, events=events),
    )
    assert told == "image cannot be pulled: manifest unknown: not found"
    assert (
        trouble(waiting("InvalidImageName", "no such name"), LIFE) == "image cannot be pulled: no such name"
    )
    nothing = trouble(waiting("ImagePullBackOff"), LIFE)
    assert nothing == "image cannot be pulled: the cluster does not say why"


def test_one_that_no_node_has_room_for_says_what_it_needs() -> None:
    message = (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No victims."
    )
    pod = unscheduled(message)
    assert trouble(pod, LIFE) == "needs 2 CPU, largest node has 1"
    small = Life(asked=Amount(cpu_millis=500, memory_bytes=2**30), largest=None, events=())
    assert trouble(pod, small) == "no node has room for it: 0/1 nodes are available: 1 Insufficient cpu"
    memory = Life(asked=ASKED, largest=Amount(cpu_millis=4000, memory_bytes=2**28), events=())
    assert trouble(pod, memory) == "needs 512 MiB of memory, largest node has 256 MiB"
    gpu = Life(asked=Amount(gpus=2), largest=Amount(cpu_millis=4000, memory_bytes=2**34, gpus=1), events=())
    assert trouble(pod, gpu) == "needs 2 GPU, largest node has 1"
    none = Life(asked=Amount(gpus=1), largest=Amount(cpu_millis=4000, memory_bytes=2**34), events=())
    assert trouble(pod, none) == "needs 1 GPU, no node has one"


def test_a_node_that_is_on_its_way_is_waited_for() -> None:
    comes = Life(
        asked=ASKED, largest=LIFE.largest, events=[event("TriggeredScaleUp", "pod triggered scale-up")]
    )
    assert trouble(unscheduled("0/1 nodes are available"), comes) is None


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"exitCode": 137, "reason": "Error"}, "it was ended by SIGKILL"),
        ({"exitCode": 1, "reason": "Error"}, "it ended with status 1"),
        ({"exitCode": 0, "reason": "Completed"}, "it ended with status 0"),
        (
            {"exitCode": 137, "reason": "OOMKilled"},
            "it took more than the 512 MiB of memory that it had reserved",
        ),
        (
            {"exitCode": 128, "reason": "StartError", "message": 'exec: "Rscript": not found'},
            'the container could not be started: exec: "Rscript": not found',
        ),
    ],
)
def test_an_end_is_told_however_the_cluster_has_it(ended: dict[str, Any], told: str) -> None:
    assert trouble(container(terminated=ended), LIFE) == told
    crashes = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    assert trouble(container(waiting=crashes, restarts=3, last=ended), LIFE) == told
    started_again = container(running={"startedAt": "2026-01-01T00:00:05Z"}, restarts=1, last=ended)
    assert trouble(started_again, LIFE) == told


def test_an_end_that_was_told_is_over() -> None:
    pod = container(running={}, restarts=2, last={"exitCode": 1})
    assert trouble(pod, Life(asked=ASKED, largest=None, events=(), restarts=2)) is None
    assert trouble(pod, Life(asked=ASKED, largest=None, events=(), restarts=1)) == "it ended with status 1"


def test_one_that_the_kubelet_ended_for_its_silence_hung() -> None:
    ended = {"exitCode": 137, "reason": "Error", "startedAt": "2026-01-01T00:00:05Z"}
    pod = container(running={}, restarts=1, last=ended)
    for probe, told in (
        ("liveness", "did not answer whether it lives"),
        ("startup", "was not ready in time"),
    ):
        message = f"Container model failed {probe} probe, will be restarted"
        life = Life(asked=ASKED, largest=None, events=[event("Killing", message, type="Normal")])
        assert (trouble(pod, life) or "").startswith("it hung: ")
        assert told in (trouble(pod, life) or "")
    before = Life(
        asked=ASKED,
        largest=None,
        events=[event("Killing", "Container model failed liveness probe", at="2026-01-01T00:00:01Z")],
    )
    assert trouble(pod, before) == "it was ended by SIGKILL"


def test_a_pod_that_a_node_threw_out_says_so() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    told = trouble({"metadata": {"uid": "1"}, "status": status}, LIFE)
    assert told == "the cluster ended it: The node was low on resource: memory."


def test_a_quota_that_lets_no_pod_be_made_is_told() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: models"}
    assert not_made({"status": {"conditions": [condition]}}) == (
        "the cluster makes no pod of it: exceeded quota: models"
    )
    assert not_made({}) is None


def test_the_last_complaint_is_told_of_one_that_never_spoke() -> None:
    events = [
        event("FailedMount", "later", at="2026-01-01T00:00:09Z"),
        event("FailedScheduling", "sooner", at="2026-01-01T00:00:01Z"),
        event("Pulled", "fine", at="2026-01-01T00:00:10Z", type="Normal"),
    ]
    assert warnings(events) == "FailedMount: later"
    assert warnings([]) == ""
