"""A Kubernetes API server of the tests' own, with as much of a cluster behind it as model hosts need.

`ApiServer` speaks the wire protocol: discovery, server-side apply with managed fields, watches with versions that get
too old, conflicts, deletion with what is owned. `Cluster` is what controllers and kubelets do: pods of Deployments that
are real processes, or what a test says becomes of them. What it does was held against a kube-apiserver with its
controllers; where that is not known, the documentation of the API is the measure.
"""

from tests.support.kubernetes.api_server import ApiServer
from tests.support.kubernetes.cluster import Cluster, Fate

__all__ = ["ApiServer", "Cluster", "Fate"]
