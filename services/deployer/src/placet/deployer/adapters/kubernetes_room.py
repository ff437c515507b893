"""How much a cluster has to give: what its nodes have together, and no more than its namespace's quota allows.

What else runs on the nodes is not counted, since that takes a look at everybody's pods: a quota says what is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from placet.deployer.adapters.kubernetes_cluster import NODE, QUOTA, Json, KubernetesCluster
from placet.deployer.room import Amount
from placet.errors import Refused

_QUANTITY = re.compile(
    r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?"
)
_FACTORS = {
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{
        unit: Decimal(1024) ** power
        for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)
    },
}
_KEEPS_OUT = ("NoSchedule", "NoExecute")
_CPU = ("requests.cpu", "cpu", "limits.cpu")
_MEMORY = ("requests.memory", "memory", "limits.memory")


def quantity(text: Any) -> Decimal | None:
    """What a cluster writes as `500m`, `1Gi` or `2`; None for what is none."""
    found = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    unit = found[2] or ""
    return Decimal(found[1]) * (_FACTORS[unit] if unit in _FACTORS else Decimal(f"1{unit}" if unit else 1))


async def room(cluster: KubernetesCluster, gpu: str) -> Amount:
    """Raises `Refused` where neither nodes nor quotas say it."""
    nodes = await cluster.seen(NODE)
    quotas = await cluster.seen(QUOTA) or ()
    given = together(nodes, gpu) if nodes is not None else None
    bound = _within(quotas, given, gpu)
    if bound is None:
        raise Refused(
            f"how much room there is in the cluster is not known: the deployer sees no nodes, and the namespace"
            f" {cluster.namespace} has no quota of processors and memory",
            fix="apply deploy/kubernetes/deployer.yaml, or set PLACET_CPU and PLACET_MEMORY",
        )
    return bound


async def largest(cluster: KubernetesCluster, gpu: str) -> Amount | None:
    """What the largest node has, of each the most; None where nodes are not for us to see."""
    nodes = await cluster.seen(NODE)
    amounts = [_of(each, gpu) for each in nodes or () if _takes_pods(each)]
    if not amounts:
        return None
    return Amount(
        cpu_millis=max(each.cpu_millis for each in amounts),
        memory_bytes=max(each.memory_bytes for each in amounts),
        gpus=max(each.gpus for each in amounts),
    )


def together(nodes: Sequence[Json], gpu: str) -> Amount:
    return sum((_of(each, gpu) for each in nodes if _takes_pods(each)), Amount())


def _within(quotas: Sequence[Json], given: Amount | None, gpu: str) -> Amount | None:
    """The least of what is given and what every quota lets be asked for. Without nodes, quotas must bound both."""
    hard: list[Mapping[str, str]] = [each.get("spec", {}).get("hard") or {} for each in quotas]
    cpu = _least(hard, _CPU, 1000, given.cpu_millis if given else None)
    memory = _least(hard, _MEMORY, 1, given.memory_bytes if given else None)
    gpus = _least(hard, (f"requests.{gpu}", f"limits.{gpu}"), 1, given.gpus if given else None)
    if cpu is None or memory is None:
        return None
    return Amount(cpu_millis=cpu, memory_bytes=memory, gpus=gpus or 0)


def _least(
    hard: Sequence[Mapping[str, str]], names: Sequence[str], times: int, given: int | None
) -> int | None:
    bounds = [quantity(each[name]) for each in hard for name in names if name in each]
    least = [int(each * times) for each in bounds if each is not None]
    return min([*least, *([] if given is None else [given])], default=None)


def _of(node: Json, gpu: str) -> Amount:
    has = node.get("status", {}).get("allocatable") or {}
    return Amount(
        cpu_millis=int((quantity(has.get("cpu")) or 0) * 1000),
        memory_bytes=int(quantity(has.get("memory")) or 0),
        gpus=int(quantity(has.get(gpu)) or 0),
    )


def _takes_pods(node: Json) -> bool:
    spec = node.get("spec", {})
    taints = (each.get("effect") for each in spec.get("taints") or ())
    return not spec.get("unschedulable") and not any(each in _KEEPS_OUT for each in taints)
