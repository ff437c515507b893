"""The profiles `observability` and `kubernetes`, and a provider of people, as Compose reads them: what each adds, and
whom that reaches."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client, config
from placet.builder.settings import BuilderSettings
from placet.certifier.settings import CertifierSettings
from placet.deployer.settings import DeployerSettings
from placet.events.main import END_SECONDS
from placet.events.settings import load
from placet.gateway.settings import GatewaySettings
from placet.identity import ProviderSettings
from placet.indexer.settings import IndexerSettings
from placet.metadata.settings import MetadataSettings

from tests.deploy.compose_stack import RUN, SERVICES, compose_plugin
from tests.support.kubernetes_schemas import validate
from tools import workspace

WATCH = ("prometheus", "jaeger", "grafana")
A_CLUSTER = {
    "PLACET_MODEL_HOST": "kubernetes",
    "PLACET_ROUTES": "cluster",
    "PLACET_DOCKER_SOCKET": "/dev/null",
    "PLACET_KUBECONFIG": "cluster.kubeconfig",
    "PLACET_KUBERNETES_CALLER_ADDRESSES": "192.0.2.7/32",
    "PLACET_KUBERNETES_REGISTRY": "registry.example.org:5443",
    "PLACET_KUBERNETES_PULL_SECRET": "pull",
    "PLACET_NODES_CERTIFICATE": "nodes.pem",
}
"""As docs/how-to/run-with-compose.md has them."""
PAGE = workspace.ROOT / "docs" / "how-to" / "run-with-compose.md"
A_PROVIDER = {
    "PLACET_OIDC_ISSUER": "https://login.example.org/realms/risk",
    "PLACET_OIDC_CLIENT_ID": "placet",
    "PLACET_OIDC_CLIENT_SECRET_FILE": "client.secret",
}
"""As docs/how-to/sign-in-with-a-provider.md has them."""
TAKE_TOKENS: dict[str, type[ProviderSettings]] = {
    "gateway": GatewaySettings,
    "certifier": CertifierSettings,
    "builder": BuilderSettings,
    "indexer": IndexerSettings,
    "deployer": DeployerSettings,
    "metadata": MetadataSettings,
}


@cache
def read(*profiles: str, inside: Path = workspace.ROOT, **settings: str) -> dict[str, Any]:
    words = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        [compose_plugin(), "compose", "--env-file", "/dev/null", *words, "config", "--format", "json"],
        cwd=inside,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("PLACET_")},
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_who_is_told_to_end_has_longer_than_it_takes() -> None:
    for service in SERVICES:
        given = re.fullmatch(r"(\d+)m(\d+)s", read()["services"][service]["stop_grace_period"])
        assert given is not None
        assert 60 * int(given[1]) + int(given[2]) > END_SECONDS + 1


def test_without_them_nothing_of_them_is_started() -> None:
    services = read()["services"]
    assert {*WATCH, "nodes"}.isdisjoint(services)
    assert set(RUN) <= services.keys()


def test_with_it_they_are_added_and_nothing_else_is_changed() -> None:
    plain, watched = read()["services"], read("observability")["services"]
    assert watched.keys() - plain.keys() == set(WATCH)
    assert {name: watched[name] for name in plain} == plain


@pytest.mark.parametrize("name", WATCH)
def test_they_may_no_more_than_the_services(name: str) -> None:
    service = read("observability")["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "65532:65532"
    assert {each["host_ip"] for each in service.get("ports", [])} <= {"127.0.0.1"}
    written = {each["target"] for each in service.get("volumes", []) if not each.get("read_only")}
    assert written <= {"/prometheus", "/var/lib/grafana"}
    assert "password" not in json.dumps(service["environment"]).replace(
        "/run/placet/password", ""
    ).lower().replace("gf_security_admin_password__file", "")


@pytest.mark.parametrize("service", SERVICES)
def test_traces_are_sent_where_somebody_says_so(service: str) -> None:
    def told(**settings: str) -> str:
        environment = read(**settings)["services"][service]["environment"]
        return str(environment["OTEL_EXPORTER_OTLP_ENDPOINT"])

    assert told() == ""
    assert told(PLACET_TRACES_URL="http://jaeger:4318") == "http://jaeger:4318"


def test_who_watches_reaches_what_it_asks() -> None:
    services = read("observability")["services"]

    def share(one: str, other: str) -> bool:
        return bool(services[one]["networks"].keys() & services[other]["networks"].keys())

    for service in SERVICES:
        assert share("prometheus", service)
        assert share("jaeger", service)
        assert not share("grafana", service)
    assert share("grafana", "prometheus")
    assert share("grafana", "jaeger")


# Models in a cluster.


def leading(document: dict[str, Any], service: str) -> set[str]:
    """The networks of a service that lead outside."""
    networks = document["services"][service]["networks"]
    return {name for name in networks if not document["networks"][name].get("internal")}


def test_with_a_cluster_one_is_added_and_two_are_on_another_network() -> None:
    plain, clustered = read()["services"], read("kubernetes", **A_CLUSTER)["services"]
    assert clustered.keys() - plain.keys() == {"nodes"}
    changed = {name for name in plain if clustered[name] != plain[name]}
    assert changed == {"caddy", "deployer", "prepare-deployer", "engine"}
    assert clustered["caddy"] == {**plain["caddy"], "networks": {"cluster": None}}
    for name in ("caddy", "deployer"):
        assert plain[name]["networks"].keys() - clustered[name]["networks"].keys() == {"routes"}
        assert clustered[name]["networks"].keys() - plain[name]["networks"].keys() == {"cluster"}


def test_who_sends_requests_to_a_cluster_reaches_outside_and_otherwise_nobody_does() -> None:
    for service in ("caddy", "deployer"):
        assert leading(read(), service) == set()
        assert leading(read("kubernetes", **A_CLUSTER), service) == {"cluster"}


def test_the_deployer_is_told_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nobody says anything of one, runs containers."""

    def told(*profiles: str, **settings: str) -> DeployerSettings:
        for name, value in read(*profiles, **settings)["services"]["deployer"]["environment"].items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PLACET_REGISTRY_FILE")
        monkeypatch.setenv("PLACET_REGISTRY", "http://registry:5000")
        return load(DeployerSettings)

    plain, clustered = told(), told("kubernetes", **A_CLUSTER)
    assert plain.model_host == "docker"
    assert (plain.kubernetes_registry, plain.kubernetes_pull_secret) == (None, None)
    assert plain.kubernetes_caller_addresses is None
    assert clustered.model_host == "kubernetes"
    assert clustered.router == plain.router == "caddy"
    assert str(clustered.kubernetes_config) == "/run/cluster/kubeconfig"
    assert clustered.kubernetes_namespace == plain.kubernetes_namespace == "placet-models"
    assert clustered.kubernetes_caller_addresses == "192.0.2.7/32"
    assert clustered.kubernetes_registry == "registry.example.org:5443"
    assert clustered.kubernetes_pull_secret == "pull"


def test_files_of_this_machine_are_mounted_to_be_read_and_by_who_needs_them_alone() -> None:
    services = read("kubernetes", **A_CLUSTER)["services"]
    mounted = {
        (os.path.basename(volume["source"]), name, volume["target"], volume.get("read_only"))
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["source"].endswith(("cluster.kubeconfig", "nodes.pem"))
    }
    assert mounted == {
        ("cluster.kubeconfig", "deployer", "/run/cluster/kubeconfig", True),
        ("nodes.pem", "nodes", "/run/certificate/nodes.pem", True),
    }
    (unset,) = (
        each["source"]
        for each in read()["services"]["deployer"]["volumes"]
        if each["target"] == "/run/cluster/kubeconfig"
    )
    assert unset == "/dev/null"


def test_where_nodes_pull_from_may_no_more_than_it_must() -> None:
    document = read("kubernetes", **A_CLUSTER)
    services = document["services"]
    nodes = services["nodes"]
    assert nodes["read_only"] is True
    assert nodes["cap_drop"] == ["ALL"]
    assert nodes["user"] == "65532:65532"
    assert nodes["security_opt"] == ["no-new-privileges:true"]
    assert "environment" not in nodes
    assert all(each["read_only"] for each in nodes["volumes"])
    assert [(each["host_ip"], each["published"]) for each in nodes["ports"]] == [("0.0.0.0", "5443")]
    # Of all others the registry alone is there.
    assert nodes["networks"].keys() == {"pull"}
    assert {name for name, each in services.items() if "pull" in each.get("networks", {})} == {
        "nodes",
        "registry",
    }
    holders = {
        name
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["source"] == "secrets-nodes"
    }
    assert holders == {"nodes", "secrets"}


KUBECTL = """#!/bin/sh
case "$*" in
    "apply -f deploy/kubernetes/deployer.yaml") ;;
    "apply -f -") cat > applied.yaml ;;
    "-n placet get secret placet-deployer --output jsonpath={.data.token}")
        # A cluster fills it in some time after it was made.
        if [ -e asked ]; then printf 'the token' | base64; else touch asked; fi ;;
    "-n placet get secret placet-deployer --output jsonpath={.data.ca\\.crt}") printf 'its authority' | base64 ;;
    "config view --minify --output jsonpath={.clusters[0].cluster.server}") printf https://cluster.example.org:6443 ;;
    *) echo "it was not to be asked: $*" >&2; exit 1 ;;
esac
"""


def test_the_page_makes_a_kubeconfig_of_the_deployers_account(tmp_path: Path) -> None:
    """Typed as it says, with a cluster that says what clusters do."""
    for name, program in {"kubectl": KUBECTL, "sleep": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    _, _, rest = PAGE.read_text().partition("an account for the deployer, and a kubeconfig of it:\n\n```sh\n")
    done = subprocess.run(
        ["sh", "-euc", rest.partition("```")[0]],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = tmp_path / "cluster.kubeconfig"
    assert made.stat().st_mode & 0o777 == 0o600
    found = client.Configuration()
    asyncio.run(config.load_kube_config(config_file=str(made), client_configuration=found))
    assert found.host == "https://cluster.example.org:6443"
    assert found.api_key == {"BearerToken": "Bearer the token"}
    assert found.ssl_ca_cert is not None
    assert Path(found.ssl_ca_cert).read_text() == "its authority"
    for version in ("1.30", "1.37"):
        validate(yaml.safe_load((tmp_path / "applied.yaml").read_text()), version)


def test_the_page_has_these_settings() -> None:
    """What it says to write into `.env`, with values of its own."""
    (written,) = re.findall(r"^cat >> \.env <<END\n(.*?)^END$", PAGE.read_text(), re.M | re.S)
    assert dict(line.split("=", 1) for line in written.splitlines()).keys() == A_CLUSTER.keys()


# A provider of people.


@pytest.mark.parametrize("job", ["", "prepare-"])
@pytest.mark.parametrize("service", TAKE_TOKENS)
def test_each_service_and_its_job_start_with_a_provider_and_without(
    service: str, job: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def told(**settings: str) -> ProviderSettings:
        for name, value in read(**settings)["services"][job + service]["environment"].items():
            monkeypatch.setenv(name, value)
        for name, value in {
            "AMQP_URL": "amqp://broker",
            "DATABASE_URL": "postgresql://database/placet",
            "REGISTRY": "http://registry:5000",
            "BASE_IMAGE": f"bases/model@sha256:{64 * '0'}",
        }.items():
            monkeypatch.delenv(f"PLACET_{name}_FILE", raising=False)
            monkeypatch.setenv(f"PLACET_{name}", value)
        return load(TAKE_TOKENS[service])

    plain, known = told(), told(**A_PROVIDER, PLACET_OIDC_ROLES_CLAIM="roles")
    assert (plain.oidc_issuer, plain.oidc_person_key, plain.oidc_roles_claim) == ("", None, "groups")
    assert known.oidc_issuer == A_PROVIDER["PLACET_OIDC_ISSUER"]
    assert str(known.oidc_person_key) == "/run/placet/people.key"
    assert known.oidc_roles_claim == "roles"
    if isinstance(plain, GatewaySettings) and isinstance(known, GatewaySettings):
        assert plain.oidc_client_secret_file is None
        assert str(known.oidc_client_secret_file) == "/run/provider/client.secret"


def test_who_checks_tokens_of_a_provider_reaches_it_and_otherwise_nobody_is_let_out() -> None:
    out = {service for service in SERVICES if leading(read(), service)}
    assert out == {"gateway", "builder", "metadata"}
    assert {service for service in SERVICES if leading(read(**A_PROVIDER), service)} == set(SERVICES)


def test_the_clients_secret_is_a_file_that_the_gateway_alone_reads() -> None:
    mounted = {
        (os.path.basename(volume["source"]), name, volume["target"], volume.get("read_only"))
        for name, service in read(**A_PROVIDER)["services"].items()
        for volume in service.get("volumes", [])
        if volume["source"].endswith("client.secret")
    }
    assert mounted == {("client.secret", "gateway", "/run/provider/client.secret", True)}


def test_the_page_on_providers_has_these_settings() -> None:
    page = (workspace.ROOT / "docs" / "how-to" / "sign-in-with-a-provider.md").read_text()
    (written,) = re.findall(r"^cat >> \.env <<END\n(.*?)^END$", page, re.M | re.S)
    assert dict(line.split("=", 1) for line in written.splitlines()).items() >= A_PROVIDER.items()


# TLS between its parts.

TLS_PAGE = (workspace.ROOT / "docs" / "how-to" / "use-tls.md").read_text()


def test_each_is_told_of_certificates_that_are_mounted_to_it_and_of_nobody_elses(tmp_path: Path) -> None:
    """Typed as the page says: the authority, a certificate for each, and what Compose is told of them."""
    _, _, at_first = TLS_PAGE.partition("\n## Try it\n")
    _, _, here = TLS_PAGE.partition("\n## With Docker Compose\n")
    for name in ("docker-compose.yml", "deploy"):
        (tmp_path / name).symlink_to(workspace.ROOT / name)
    (tmp_path / "docker-compose.override.yml").write_text(here.partition("```yaml\n")[2].partition("```")[0])
    commands = "".join(text.partition("```sh\n")[2].partition("```")[0] for text in (at_first, here))
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, capture_output=True, check=True)

    services = read(inside=tmp_path)["services"]
    authority = (tmp_path / "run" / "tls" / "ca.crt").read_text()
    folders = {}
    for name in (*SERVICES, "edge"):
        (folder,) = (
            Path(each["source"]) for each in services[name]["volumes"] if each["target"] == "/run/tls"
        )
        folders[name] = folder
        told = {
            key: value
            for key, value in services[name]["environment"].items()
            if str(value).startswith("/run/tls/")
        }
        assert ("PLACET_EDGE_CERTIFICATE" if name == "edge" else "PLACET_HTTP_TLS_KEY") in told
        for key, value in told.items():
            assert (folder / value.removeprefix("/run/tls/")).is_file(), (name, key)
        for each in folder.iterdir():
            assert each.stat().st_mode & 0o077 == 0 or "PRIVATE" not in each.read_text(), each
        assert (folder / "ca.crt").read_text() == authority
        subprocess.run(
            ["openssl", "verify", "-CAfile", "ca.crt", "-verify_hostname", name, "tls.crt"],
            cwd=folder,
            capture_output=True,
            check=True,
        )
    assert len(set(folders.values())) == len(folders)
    assert services["gateway"]["environment"]["PLACET_API_INTERNAL_URL"] == "https://edge:8080"
    assert services["edge"]["healthcheck"] == read()["services"]["edge"]["healthcheck"]


def test_the_edge_is_asked_how_it_is_where_it_speaks_no_tls() -> None:
    """What asks is a wget that, made from Debian's packages, comes to no understanding with HAProxy's TLS."""
    edge = read()["services"]["edge"]
    assert edge["healthcheck"]["test"][-1] == f"http://{edge['environment']['PLACET_EDGE_HEALTH']}/edgez"


# What the pages have typed.


def typed_in_pages() -> Iterator[tuple[str, str]]:
    """Each line of a block, with those above it."""
    for page in sorted((workspace.ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            lines = block.splitlines()
            for at, line in enumerate(lines):
                yield line, "\n".join(lines[:at])


def test_a_volume_is_removed_after_every_container_that_has_it() -> None:
    """A job that is over has its volumes as well, and the engine refuses to remove those."""
    services = read("observability", "kubernetes", **A_CLUSTER)["services"]
    removed = 0
    for line, above in typed_in_pages():
        if not (found := re.search(r"docker volume rm placet_([a-z-]+)", line)):
            continue
        removed += 1
        have = {
            name
            for name, service in services.items()
            if any(each["source"] == found[1] for each in service.get("volumes", []))
        }
        gone = re.findall(r"docker compose rm --stop --force ([a-z -]+)", above)
        assert have == set(" ".join(gone).split()), line
    assert removed >= 5


def test_a_job_is_given_words_that_it_knows() -> None:
    known = subprocess.run(
        [sys.executable, str(workspace.ROOT / "deploy" / "compose" / "prepare.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = {
        found[1]
        for line, _ in typed_in_pages()
        if (found := re.search(r"docker compose run --rm [^#]*?\bsecrets ([a-z]+)", line))
    }
    assert words == {"secrets", "backup", "restore"}
    assert all(word in known for word in words)
