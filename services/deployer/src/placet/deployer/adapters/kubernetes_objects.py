"""The objects that one release is in a cluster, as they are applied. Pure.

All of them are named as the instance is, and owned by its record, a ConfigMap: deleting that deletes them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placet.deployer.adapters.kubernetes_cluster import (
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    POLICY,
    SERVICE,
    SERVICE_ACCOUNT,
    Json,
    Kind,
)
from placet.deployer.adapters.pulse import TIMES_AT_WORK, Allowance
from placet.deployer.ports import InstanceSpec

PORT = 8080
CONTAINER = "model"
SCRATCH = "/tmp"  # noqa: S108 - in the container, where it is the only place to write to
NOBODY = 65532
BUSY = 80
"""Percent of its processors, above which there are more replicas."""
LEAVES_AFTER = 5
"""Seconds that a replica goes on after it was told to end: until all of the cluster has heard that it leaves."""
LINGERS = 2
"""Seconds more for those who keep connections to it, which no cluster ends: what is sent on one that closes is lost."""

MANAGED = "app.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"
OURS = "placet"
INSTANCE = "placet.io/instance"
PROJECT = "placet.io/project"
RELEASE = "placet.io/release"
NAMESPACE = "kubernetes.io/metadata.name"
SELECTOR = f"{MANAGED}={OURS},{NAME}=model"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for all models. `callers` are the namespaces that may reach them, `caller_addresses` the networks
    outside the cluster that may, too; `gpu` is what the cluster's nodes call one."""

    namespace: str
    callers: Sequence[str]
    caller_addresses: Sequence[str] = ()
    pull_secret: str | None
    gpu: str
    allowance: Allowance
    stop_seconds: float
    scratch_bytes: int


def endpoint_of(address: str) -> str:
    """Where a Service is reached that has this address: by pods and nodes alike, and with no name to look up."""
    return f"http://[{address}]:{PORT}" if ":" in address else f"http://{address}:{PORT}"


def address_of(service: Json) -> str:
    address: str = service["spec"]["clusterIP"]
    return address


def anywhere(service: Json) -> Json:
    """The same Service, at an address of the cluster's choice."""
    return {
        **service,
        "spec": {name: each for name, each in service["spec"].items() if name != "clusterIP"},
    }


def labels_of(spec: InstanceSpec) -> Mapping[str, str]:
    return {
        MANAGED: OURS,
        NAME: "model",
        INSTANCE: spec.id,
        PROJECT: spec.project,
        RELEASE: str(spec.release),
    }


def owner(name: str, labels: Mapping[str, str], data: Mapping[str, str]) -> Json:
    return {
        "apiVersion": CONFIG_MAP.api,
        "kind": CONFIG_MAP.name,
        "metadata": {"name": name, "labels": dict(labels)},
        "data": dict(data),
    }


def owned(document: Json, uid: str) -> Json:
    """The same, with who owns it."""
    name = document["metadata"]["name"]
    owner = {"apiVersion": CONFIG_MAP.api, "kind": CONFIG_MAP.name, "name": name, "uid": uid}
    return {**document, "metadata": {**document["metadata"], "ownerReferences": [owner]}}


def objects_of(
    spec: InstanceSpec,
    *,
    image: str,
    user: int,
    address: str | None,
    environment: Mapping[str, str],
    terms: Terms,
) -> Sequence[Json]:
    """What bounds it comes before what runs it. `image` is the name that nodes pull it by, `address` its Service's,
    which the cluster chooses where there is none."""
    labels = labels_of(spec)
    chosen = {INSTANCE: spec.id}
    scales = [_autoscaler(spec, labels)] if spec.replicas.max > spec.replicas.min else []
    return [
        _object(SERVICE_ACCOUNT, spec.id, labels, automountServiceAccountToken=False),
        _object(POLICY, spec.id, labels, spec=_bounds(chosen, terms)),
        _object(SERVICE, spec.id, labels, spec=_service(chosen, address)),
        _object(BUDGET, spec.id, labels, spec={"maxUnavailable": 1, "selector": {"matchLabels": chosen}}),
        _object(
            DEPLOYMENT,
            spec.id,
            labels,
            spec={
                "revisionHistoryLimit": 1,
                "selector": {"matchLabels": chosen},
                # A change brings the new ones up before it takes the old ones away.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {
                    "metadata": {"labels": dict(labels)},
                    "spec": _pod(spec, image, user, environment, terms),
                },
            },
        ),
        *scales,
    ]


def _object(kind: Kind, name: str, labels: Mapping[str, str], **rest: object) -> Json:
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": metadata, **rest}


def _pod(spec: InstanceSpec, image: str, user: int, environment: Mapping[str, str], terms: Terms) -> Json:
    """What the `restricted` standard for pods asks for, and a root that cannot be written to."""
    pod: Json = {
        "serviceAccountName": spec.id,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # the addresses of all its neighbours are not for it to know
        "terminationGracePeriodSeconds": LEAVES_AFTER + LINGERS + 1 + math.ceil(terms.stop_seconds),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, image, environment, terms)],
        "volumes": [
            # In memory, which is bounded by the byte, where a disk's bound is looked at now and then.
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": str(terms.scratch_bytes)}}
        ],
    }
    if terms.pull_secret:
        pod["imagePullSecrets"] = [{"name": terms.pull_secret}]
    if spec.replicas.max > 1:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {INSTANCE: spec.id}},
            }
        ]
    return pod


def _container(spec: InstanceSpec, image: str, environment: Mapping[str, str], terms: Terms) -> Json:
    amount = spec.amount
    room = {"cpu": f"{amount.cpu_millis}m", "memory": str(amount.memory_bytes)}
    if amount.gpus:
        room[terms.gpu] = str(amount.gpus)
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",  # by digest: what is present is what was asked for
        "env": [
            *({"name": name, "value": value} for name, value in environment.items()),
            {"name": "PLACET_LINGER_SECONDS", "value": str(LINGERS)},
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        # Both alike: it was reserved, and nobody's model is ended for what a neighbour takes.
        "resources": {"requests": dict(room), "limits": dict(room)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVES_AFTER}}},
        **_probes(terms.allowance),
    }


def _probes(allowance: Allowance) -> Json:
    """The kubelet sees silence and not whether it is work, so it waits for as long as one that works may be silent."""
    answer = max(1, math.ceil(allowance.answer))
    return {
        "startupProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": PORT},
            "periodSeconds": 1,
            "timeoutSeconds": answer,
            "failureThreshold": max(1, math.ceil(allowance.loading)),
        },
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": PORT},
            "periodSeconds": answer,
            "timeoutSeconds": answer,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/v2/health/live", "port": PORT},
            "periodSeconds": 2 * answer,  # with the answer to one, as far apart as ours are
            "timeoutSeconds": answer,
            "failureThreshold": TIMES_AT_WORK,
        },
    }


def _service(chosen: Mapping[str, str], address: str | None) -> Json:
    return {
        "type": "ClusterIP",
        "selector": dict(chosen),
        "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        **({"clusterIP": address} if address else {}),
    }


def _bounds(chosen: Mapping[str, str], terms: Terms) -> Json:
    """It is called by who sends requests on, and calls nobody."""
    within = [{"namespaceSelector": {"matchLabels": {NAMESPACE: each}}} for each in terms.callers]
    outside = [{"ipBlock": {"cidr": each}} for each in terms.caller_addresses]
    return {
        "podSelector": {"matchLabels": dict(chosen)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [*within, *outside], "ports": [{"port": PORT, "protocol": "TCP"}]}],
        "egress": [],
    }


def _autoscaler(spec: InstanceSpec, labels: Mapping[str, str]) -> Json:
    target = {"type": "Utilization", "averageUtilization": BUSY}
    return _object(
        AUTOSCALER,
        spec.id,
        labels,
        spec={
            "scaleTargetRef": {"apiVersion": DEPLOYMENT.api, "kind": DEPLOYMENT.name, "name": spec.id},
            "minReplicas": spec.replicas.min,
            "maxReplicas": spec.replicas.max,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    )
