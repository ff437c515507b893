"""What was changed about an object is found, by whom; what the cluster itself filled in is not taken for that."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.deployer.adapters.kubernetes_cluster import FIELD_MANAGER
from placet.deployer.adapters.kubernetes_drift import drift, instead
from placet.deployer.adapters.kubernetes_objects import owned
from placet.deployer.adapters.kubernetes_room import quantity

from tests.support.kubernetes import fields
from tests.unit.deployer.test_deployer_kubernetes_objects import objects

NOW = "2026-01-01T00:00:00Z"
WANTED = {each["kind"]: owned(each, "a-uid") for each in objects()}


def applied(kind: str) -> dict[str, Any]:
    """As a server keeps it, with its defaults."""
    kept = fields.apply(None, WANTED[kind], manager=FIELD_MANAGER, force=True, now=NOW)
    kept["metadata"]["resourceVersion"] = "7"
    if kind == "Deployment":
        kept["spec"]["replicas"] = 2
        kept["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
        kept["status"] = {"replicas": 2}
    if kind == "Service":
        kept["spec"]["clusterIP"] = "10.96.0.7"
    return kept


def changed(kind: str, change: Any, *, manager: str = "kubectl-edit") -> dict[str, Any]:
    live = applied(kind)
    other = copy.deepcopy(live)
    change(other)
    return fields.update(live, other, manager=manager, now=NOW)


@pytest.mark.parametrize("kind", sorted(WANTED))
def test_what_was_applied_and_filled_in_is_no_drift(kind: str) -> None:
    assert drift(WANTED[kind], applied(kind)) is None


def test_amounts_are_the_same_however_they_are_written() -> None:
    live = applied("Deployment")
    limits = live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    limits.update(cpu="1.5", memory="512Mi")
    assert drift(WANTED["Deployment"], live) is None
    limits.update(cpu="2")
    assert "limits.cpu" in (drift(WANTED["Deployment"], live) or "")


def test_an_autoscaler_may_write_how_many_there_are() -> None:
    def scale(each: dict[str, Any]) -> None:
        each["spec"]["replicas"] = 4

    assert (
        drift(WANTED["Deployment"], changed("Deployment", scale, manager="kube-controller-manager")) is None
    )


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        (
            "Deployment",
            lambda each: each["spec"]["template"]["spec"]["containers"][0].update(image="evil"),
            "spec.template.spec.containers[model].image",
        ),
        (
            "Deployment",
            lambda each: each["spec"]["template"]["spec"]["containers"].append(
                {"name": "side", "image": "evil"}
            ),
            "spec.template.spec.containers",
        ),
        (
            "Deployment",
            lambda each: each["spec"]["template"]["spec"].update(hostNetwork=True),
            "spec.template.spec.hostNetwork",
        ),
        (
            "Deployment",
            lambda each: each["spec"]["template"]["spec"]["containers"][0].update(command=["sh"]),
            "spec.template.spec.containers[model].command",
        ),
        ("NetworkPolicy", lambda each: each["spec"].update(egress=[{}]), "spec.egress"),
        (
            "NetworkPolicy",
            lambda each: each["spec"]["ingress"][0]["from"][2]["ipBlock"].update(cidr="0.0.0.0/0"),
            "spec.ingress[0].from[2].ipBlock.cidr",
        ),
        (
            "NetworkPolicy",
            lambda each: each["spec"]["ingress"][0]["from"].append({"ipBlock": {"cidr": "0.0.0.0/0"}}),
            "spec.ingress[0].from",
        ),
        ("Service", lambda each: each["spec"].update(externalIPs=["192.0.2.1"]), "spec.externalIPs"),
        ("Service", lambda each: each["spec"]["selector"].clear(), "spec.selector.placet.io/instance"),
        (
            "ServiceAccount",
            lambda each: each.update(automountServiceAccountToken=True),
            "automountServiceAccountToken",
        ),
        ("HorizontalPodAutoscaler", lambda each: each["spec"].update(maxReplicas=50), "spec.maxReplicas"),
    ],
)
def test_what_somebody_changed_is_found_with_who(kind: str, change: Any, where: str) -> None:
    assert drift(WANTED[kind], changed(kind, change)) == f"its {kind} was changed at {where}, by kubectl-edit"


def test_what_is_gone_or_goes_is_told() -> None:
    assert drift(WANTED["Service"], None) == "its Service was gone"
    live = applied("Service")
    live["metadata"]["deletionTimestamp"] = NOW
    assert drift(WANTED["Service"], live) == "its Service was gone"


def test_who_is_owned_by_somebody_else_has_drifted() -> None:
    live = applied("Deployment")
    live["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert "ownerReferences" in (drift(WANTED["Deployment"], live) or "")


def test_put_in_its_place_nothing_is_left_of_what_was_added_and_all_of_what_was_given() -> None:
    live = changed("Service", lambda each: each["spec"].update(externalIPs=["192.0.2.1"]))
    put = instead(WANTED["Service"], live)
    assert put["spec"] == {**WANTED["Service"]["spec"], "clusterIP": "10.96.0.7"}
    assert put["metadata"]["resourceVersion"] == "7"
    assert instead(WANTED["Deployment"], applied("Deployment"))["spec"]["replicas"] == 2


@given(st.integers(0, 2**50))
def test_bytes_are_read_back_as_they_are_written(size: int) -> None:
    assert quantity(str(size)) == size
    assert quantity(f"{size}Mi") == size * 2**20
    assert quantity(f"{size}m") == quantity(str(size)) / 1000  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "x", "1x", "1.2.3", ".", None, 7])
def test_what_is_no_amount_is_none(text: Any) -> None:
    assert quantity(text) is None
