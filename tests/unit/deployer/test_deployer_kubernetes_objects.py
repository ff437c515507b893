"""What a release is in a cluster: taken by every version that is supported, and bounded on all sides.

Objects are held against the OpenAPI schemas of the versions of Kubernetes, as `kubernetes-validate` carries them,
strictly: a field that a version does not know is an error. Routes are held against the schemas of HTTPRoute that the
Gateway API publishes in its standard channel (v1.2.0 and v1.6.1, Apache-2.0; without descriptions and CEL rules, and
closed to what they do not know).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from placet.deployer.adapters.kubernetes_cluster import KINDS
from placet.deployer.adapters.kubernetes_objects import (
    Terms,
    address_of,
    anywhere,
    endpoint_of,
    labels_of,
    objects_of,
    owned,
    owner,
)
from placet.deployer.adapters.kubernetes_routes import Backend, Gateway, route_of
from placet.deployer.adapters.pulse import Allowance
from placet.deployer.ports import InstanceSpec, Replicas
from placet.deployer.room import Amount

from tests.support.kubernetes_schemas import ValidationError, validate

SUPPORTED = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
ROUTES = Path(__file__).with_name("gateway_api")
TERMS = Terms(
    namespace="placet-models",
    callers=["placet", "edge"],
    caller_addresses=["192.0.2.7/32", "2001:db8::/64"],
    pull_secret="pull",
    gpu="nvidia.com/gpu",
    allowance=Allowance(loading=90.0, answer=5.0),
    stop_seconds=10.0,
    scratch_bytes=2**30,
)
SPEC = InstanceSpec(
    project="churn",
    release=3,
    image=f"sha256:{'1' * 64}",
    repository="models/churn",
    access="token",
    amount=Amount(cpu_millis=1500, memory_bytes=512 * 2**20, gpus=1),
    replicas=Replicas(min=2, max=5),
)


def objects(spec: InstanceSpec = SPEC, terms: Terms = TERMS) -> Sequence[dict[str, Any]]:
    image = f"registry.example/{spec.repository}@{spec.image}"
    environment = {"PLACET_PROJECT": "churn"}
    return objects_of(
        spec, image=image, user=65532, address="10.96.0.7", environment=environment, terms=terms
    )


def the(kind: str, spec: InstanceSpec = SPEC, terms: Terms = TERMS) -> dict[str, Any]:
    (found,) = [each for each in objects(spec, terms) if each["kind"] == kind]
    return found


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_version_takes_what_is_applied(version: str) -> None:
    record = owner(SPEC.id, labels_of(SPEC), {"record": "{}"})
    for spec in (SPEC, replace(SPEC, replicas=Replicas(), amount=Amount(cpu_millis=500, memory_bytes=2**28))):
        for each in (record, *(owned(each, "a-uid") for each in objects(spec))):
            validate(each, version, strict=True)


def test_a_field_that_no_version_knows_would_be_found() -> None:
    deployment = the("Deployment")
    deployment["spec"]["template"]["spec"]["hostNetworking"] = False
    with pytest.raises(ValidationError):
        validate(deployment, SUPPORTED[-1], strict=True)


@pytest.mark.parametrize("version", ["v1.2.0", "v1.6.1"])
@pytest.mark.parametrize("access", ["token", "public"])
def test_the_gateway_api_takes_the_routes(version: str, access: str) -> None:
    takes = Draft7Validator(json.loads((ROUTES / f"httproute-{version}.json").read_text()))
    targets = [Backend(service=f"churn-{number}", weight=number) for number in (1, 9)]
    gateway = Gateway(namespace="edge", name="public", listener="https")
    route = route_of("churn", targets, access=access, gateway=gateway)
    assert [each.message for each in takes.iter_errors(route)] == []
    backends = route["spec"]["rules"][0]["backendRefs"]
    assert [(each["name"], each["weight"]) for each in backends] == [("churn-1", 1), ("churn-9", 9)]
    route["spec"]["rules"][0]["weight"] = 1
    assert not takes.is_valid(route)


def test_a_pod_is_what_the_restricted_standard_asks_for() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {next(iter(each.keys() - {"name"})) for each in pod["volumes"]} == {"emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["automountServiceAccountToken"] is False
    assert the("ServiceAccount")["automountServiceAccountToken"] is False


def test_a_pod_has_what_its_manifest_asks_for_and_no_more() -> None:
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {"cpu": "1500m", "memory": str(512 * 2**20), "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": asked, "limits": asked}
    assert container["image"] == f"registry.example/models/churn@sha256:{'1' * 64}"
    assert the("Deployment")["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    without = replace(SPEC, amount=Amount(cpu_millis=500, memory_bytes=2**28))
    (container,) = the("Deployment", without)["spec"]["template"]["spec"]["containers"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_models_are_reached_by_the_callers_alone_and_reach_nobody() -> None:
    policy = the("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    within = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": each}}}
        for each in ("placet", "edge")
    ]
    outside = [{"ipBlock": {"cidr": each}} for each in ("192.0.2.7/32", "2001:db8::/64")]
    assert rule["from"] == [*within, *outside]
    (rule,) = the("NetworkPolicy", terms=replace(TERMS, caller_addresses=()))["spec"]["ingress"]
    assert rule["from"] == within
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_only_what_may_have_more_replicas_is_scaled() -> None:
    scaler = the("HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert "replicas" not in the("Deployment")["spec"]  # the autoscaler's to write
    fixed = replace(SPEC, replicas=Replicas(min=2, max=2))
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in objects(fixed)}


def test_one_that_leaves_goes_on_until_all_have_heard() -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    sleeps = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (lingers,) = (int(each["value"]) for each in container["env"] if each["name"] == "PLACET_LINGER_SECONDS")
    assert lingers > 0
    assert pod["terminationGracePeriodSeconds"] > sleeps + lingers + TERMS.stop_seconds


def test_an_endpoint_is_the_address_of_a_service_in_either_family() -> None:
    assert address_of(the("Service")) == "10.96.0.7"
    assert endpoint_of("10.96.0.7") == "http://10.96.0.7:8080"
    assert endpoint_of("fd00::9") == "http://[fd00::9]:8080"
    assert "clusterIP" not in anywhere(the("Service"))["spec"]
    assert anywhere(the("Service"))["spec"]["selector"] == the("Service")["spec"]["selector"]


def test_all_that_is_applied_has_one_owner_and_one_name() -> None:
    for each in (owned(each, "a-uid") for each in objects()):
        assert each["kind"] in KINDS
        assert each["metadata"]["name"] == "churn-3"
        (its,) = each["metadata"]["ownerReferences"]
        assert (its["kind"], its["name"], its["uid"]) == ("ConfigMap", "churn-3", "a-uid")
