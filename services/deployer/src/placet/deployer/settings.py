"""What the deployer needs to know about its surroundings."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from placet.identity import ProviderSettings

SMALLEST_SUBNETS = 24
_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""Of an object in a cluster."""


def _without_slash(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must be http://host[:port][/prefix] or https://…")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_without_slash)]


def _admin(url: str) -> str:
    if url.startswith("unix:"):
        if not re.fullmatch(r"unix:///.+", url):
            raise ValueError("must be unix:///path/of/a/socket")
        return url
    return _without_slash(url)


def _host(address: str | None) -> str | None:
    if address is not None and not re.fullmatch(r"unix:///.+|tcp://[^/]+:\d+", address):
        raise ValueError("must be unix:///path/of/a/socket or tcp://host:port")
    return address


def _subnets(text: str) -> str:
    if not IPv4Network(text).prefixlen <= SMALLEST_SUBNETS:
        raise ValueError(
            f"must be a network of /{SMALLEST_SUBNETS} or larger: each project takes 32 addresses of it"
        )
    return text


def _names(text: str) -> str:
    if not all(re.fullmatch(_NAME, each.strip()) for each in text.split(",")):
        raise ValueError("must be names of namespaces, with commas between")
    return text


def _networks(text: str) -> str:
    """As a policy of the cluster's has them."""
    try:
        return ",".join(str(ip_network(each.strip())) for each in text.split(","))
    except ValueError as wrong:
        raise ValueError(
            f"must be networks, as 192.0.2.0/24 or 2001:db8::7/128, with commas between: {wrong}"
        ) from wrong


class DeployerSettings(ProviderSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    data: Path = Field(description="folder for unpacked images, and for instances with their logs")
    certifier_keys: Path = Field(
        description="file with the public keys that certificates are signed with: the certifier's key history, or a"
        " JSON list of {kid, x}; read each time"
    )
    token_keys: Path = Field(
        description="file with the public keys that tokens are signed with, as a JSON list of {kid, x}"
    )
    public_url: Url = Field(
        default="http://127.0.0.1:8080",
        description="where people reach the platform; models are below /models/",
    )
    model_host: Literal["process", "docker", "kubernetes"] = Field(
        default="process",
        description="what runs the models: processes of this machine, a Docker Engine, or a Kubernetes cluster",
    )
    docker_host: Annotated[str, AfterValidator(_host)] = Field(
        default="unix:///var/run/docker.sock",
        description="the Docker Engine, where it runs the models: a socket, or tcp://host:port; the deployer and who"
        " sends requests on must be on its machine",
    )
    docker_cert_path: Path | None = Field(
        default=None,
        description="folder with ca.pem, who signs for an engine at tcp://, and with cert.pem and key.pem, what the"
        " deployer shows it: it is asked by TLS then",
    )
    docker_name: str = Field(
        default="placet",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="what the engine's containers and networks of this platform are called, and known by: another for"
        " each platform on one engine",
    )
    docker_registry: str | None = Field(
        default=None,
        pattern=r"^[^/@\s]+(/[^/@\s]+)*$",
        description="the registry as the engine calls it, host[:port][/prefix]; the default is what PLACET_REGISTRY"
        " calls it",
    )
    docker_subnets: Annotated[str, AfterValidator(_subnets)] = Field(
        default="198.18.0.0/15",
        description="the addresses that projects' networks in the engine are taken from, 32 for each; the default is"
        " kept free in the Internet (RFC 2544)",
    )
    kubernetes_config: Path | None = Field(
        default=None,
        description="file with the configuration for the cluster, a kubeconfig; without one the account of the pod that"
        " the deployer runs in, or else what KUBECONFIG names",
    )
    kubernetes_context: str | None = Field(
        default=None, description="the context in that file; the default is its current one"
    )
    kubernetes_namespace: str = Field(
        default="placet-models",
        pattern=_NAME,
        description="the namespace that models run in: another for each platform, which keeps nothing else in it",
    )
    kubernetes_callers: Annotated[str, AfterValidator(_names)] = Field(
        default="placet",
        description="the namespaces whose pods may reach models, with commas between: the one that deployer and gateway"
        " run in, and the one of what the Gateway's requests come from",
    )
    kubernetes_caller_addresses: Annotated[str, AfterValidator(_networks)] | None = Field(
        default=None,
        description="networks outside the cluster that may reach models, too, as pods see who comes from there:"
        " 192.0.2.7/32, with commas between; the default is none",
    )
    kubernetes_registry: str | None = Field(
        default=None,
        pattern=r"^[^/@\s]+(/[^/@\s]+)*$",
        description="the registry as the cluster's nodes call it, host[:port][/prefix]; the default is what"
        " PLACET_REGISTRY calls it",
    )
    kubernetes_pull_secret: str | None = Field(
        default=None,
        pattern=_NAME,
        description="the secret in the models' namespace that images are pulled with, of type"
        " kubernetes.io/dockerconfigjson",
    )
    kubernetes_gpu: str = Field(
        default="nvidia.com/gpu",
        min_length=1,
        description="the resource that is asked for where a model asks for a GPU",
    )
    kubernetes_gateway: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+(/[a-z0-9.-]+)?$",
        description="the Gateway that routes are attached to, where the router is kubernetes:"
        " namespace/name[/listener]",
    )
    model_user: Literal["own", "deployer"] | None = Field(
        default=None,
        description="as whom models run: each as a user of its own, which takes a deployer that runs as root, or all"
        " as the deployer's; the default is their own where that is possible",
    )
    model_folder: Path | None = Field(
        default=None,
        description="folder for what models with users of their own run from, which everybody can pass through; the"
        " default is one below /var/lib/placet",
    )
    router: Literal["gateway", "caddy", "kubernetes"] = Field(
        default="gateway",
        description="who sends /models/… to the models: the gateway, if embedded, Caddy, or a Gateway of the cluster",
    )
    caddy_admin_url: Annotated[str, AfterValidator(_admin)] = Field(
        default="http://127.0.0.1:2019",
        description="Caddy's admin API, where the router is caddy: http://host:port, or unix:///… for a socket",
    )
    caddy_server: str = Field(
        default="placet",
        min_length=1,
        description="the HTTP server in Caddy's configuration that gets the routes",
    )
    cpu: float | None = Field(
        default=None,
        gt=0,
        description="cores to give to models; models mostly wait, so the default is four times the machine's",
    )
    memory: int | None = Field(
        default=None, gt=0, description="bytes of memory to give to models; the default is the machine's"
    )
    reservation_seconds: float = Field(
        default=900.0, gt=0, description="how long room is held for a release that is not certified yet"
    )
    queue_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="how long a release waits for room or for its quota before it is refused; 0: none does",
    )
    ready_seconds: float = Field(
        default=60.0, gt=0, description="how long a model may take to load before its start has failed"
    )
    drain_seconds: float = Field(
        default=1.0, ge=0, description="how long an instance goes on after it left its route"
    )
    stop_seconds: float = Field(
        default=10.0, gt=0, description="how long an instance may take to end before it is killed"
    )
    reconcile_seconds: float = Field(
        default=2.0, gt=0, description="how often what runs is compared with what should run"
    )
    liveness_seconds: float = Field(
        default=30.0,
        gt=0,
        description="how long a model may answer nothing and do nothing before it is taken for hung, ended and"
        " started again; ten times as long while it computes",
    )
    observe_seconds: float = Field(
        default=60.0,
        gt=0,
        description="how often the live models are asked what they counted: the window of `model.observed`",
    )
    certifier_silence_seconds: float = Field(
        default=3600.0,
        ge=60,
        description="how long the certifier may give no sign of life, as it does every ten seconds, before all models"
        " leave their routes: nobody could take a certificate back meanwhile; they are back when it is",
    )
    log_bytes: int = Field(
        default=10 * 2**20,
        ge=2**16,
        description="how large an instance's log may grow before its older half goes",
    )
    scratch_bytes: int = Field(
        default=2**30,
        ge=2**20,
        description="how much an instance may write into its scratch folder, and how large one file may get",
    )
    stop_models_on_exit: bool = Field(
        default=False, description="whether models end with the deployer, to be started again with it"
    )
