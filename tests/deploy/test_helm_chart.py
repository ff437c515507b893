"""The chart: what every supported cluster takes, and what each part of it has, may and reaches, and no more.

It is rendered by Helm's own library. Objects are held against the OpenAPI schemas of the versions of Kubernetes,
strictly, and what they tell services against what the services' settings take.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from placet.events.main import END_SECONDS
from placet.events.settings import ProcessSettings, ServiceSettings, load
from placet.trust import KeySet, OwnKeys, SigningKey, own_key

from tests.support.authorities import Authority
from tests.support.helm import CHART, EXAMPLES, NAMESPACE, Document, Rendered, example, linted, rendered
from tests.support.kubernetes_schemas import validate
from tests.support.servers import sources
from tests.unit.deployer.test_deployer_kubernetes_objects import SUPPORTED as FOR_MODELS
from tools import workspace

SERVICES = workspace.SERVICES
SUPPORTED = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
EVERYTHING_ON: Document = {
    "trust": {"configMap": "authorities"},
    "tls": {"internal": {"enabled": True, "verifyClients": True, "issuer": {"name": "within"}}},
    "oidc": {
        "issuer": "https://login.example.org",
        "clientId": "placet",
        "clientSecret": True,
        "scopes": "openid",
    },
    "gateway": {
        "gitHosts": ["git.example.org"],
        "autoscaling": {"enabled": True},
        "settings": {"PLACET_MAX_SOURCE_BYTES": 4294967296, "PLACET_STALL_SECONDS": 0.5},
        "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    },
    "builder": {
        "replicas": 2,
        "persistence": {"accessMode": "ReadWriteMany"},
        "packageIndex": "https://p/simple",
    },
    "indexer": {"notifications": True},
    "metadata": {"witnesses": "witnesses", "logOrigin": "models.example.org/audit"},
    "edge": {
        "tls": {"secret": "edge-tls"},
        "autoscaling": {"enabled": True},
        "service": {"type": "LoadBalancer"},
    },
    "models": {
        "registry": "nodes.example:5000",
        "pullSecret": "pull",
        "callers": ["other"],
        "callerAddresses": ["192.0.2.0/24", "2001:db8::7/128"],
        "quota": {"pods": 9},
    },
    "podMonitor": {"enabled": True},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "placet", "operator": "Exists"}],
    "priorityClassName": "high",
    "networkPolicy": {"telemetry": {"to": [], "ports": [4318]}},
}
VALUES: Mapping[str, Document] = {
    "default": {},
    "production": example("production"),
    "gateway-api": example("gateway-api"),
    "everything-on": EVERYTHING_ON,
}
EVERY = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def whole(values: Document) -> Rendered:
    found = rendered(values)
    assert not found.refused
    return found


def pods(chart: Rendered) -> Iterator[tuple[str, Document]]:
    """What each is called that has pods, and what those are."""
    for each in (*chart.all("Deployment"), *chart.all("Job")):
        yield each["metadata"]["name"], each["spec"]["template"]["spec"]


# What a cluster takes.

OTHERS = {"HTTPRoute", "PodMonitor", "Certificate"}
"""Kinds that are no part of Kubernetes."""
ROUTES = Path(__file__).parents[1] / "unit" / "deployer" / "gateway_api"


@pytest.mark.parametrize("version", SUPPORTED)
@EVERY
def test_every_supported_version_takes_it(values: Document, version: str) -> None:
    for each in whole(values).documents:
        if each["kind"] not in OTHERS:
            validate(each, version, strict=True)


def test_the_supported_versions_are_those_that_models_run_on() -> None:
    assert SUPPORTED == FOR_MODELS
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={SUPPORTED[0]}.0-0"
    page = (workspace.ROOT / "docs" / "how-to" / "install-with-helm.md").read_text()
    assert f"Kubernetes {SUPPORTED[0]} to {SUPPORTED[-1]}" in page


@pytest.mark.parametrize("version", ["v1.2.0", "v1.6.1"])
def test_the_gateway_api_takes_the_edges_route(version: str) -> None:
    takes = Draft7Validator(json.loads((ROUTES / f"httproute-{version}.json").read_text()))
    (route,) = whole(VALUES["gateway-api"]).all("HTTPRoute")
    assert not list(takes.iter_errors(route))


def test_prometheus_calls_what_it_scrapes_as_the_rules_do() -> None:
    (monitor,) = whole(EVERYTHING_ON).all("PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"]
    named = {each["targetLabel"]: each for each in endpoint["relabelings"]}
    assert named["job"]["replacement"] == "placet"
    assert named["service"]["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]


def test_helm_finds_nothing_to_mend_in_it() -> None:
    """Severity 1 is what it would like to have: an icon."""
    found = linted(EVERYTHING_ON)
    assert [each for each in found["messages"] if each["severity"] > 1] == []
    assert found["errors"] == []


def test_there_is_a_schema_for_what_every_cluster_has() -> None:
    found = {each["kind"] for values in VALUES.values() for each in whole(values).documents}
    assert found >= {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Job", "Ingress"}
    assert found >= OTHERS


@EVERY
def test_nothing_is_there_twice(values: Document) -> None:
    known = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in whole(values).documents
    ]
    assert len(known) == len(set(known))


def test_an_upgrade_is_an_install_again() -> None:
    """But for what Helm itself calls them: who looks for a part of it finds it under the same name."""
    assert rendered(VALUES["production"], upgrade=True).documents == whole(VALUES["production"]).documents


def test_another_release_has_other_names_and_knows_its_own() -> None:
    second = rendered({"models": {"namespace": "other-models"}}, release="second")
    for each in second.documents:
        if each["kind"] != "Namespace":
            assert "second" in each["metadata"]["name"], each["metadata"]
        assert "placet-gateway." not in json.dumps(each)


# What it refuses.

REFUSED = {
    "a value that there is none of": ({"gatway": {}}, "gatway"),
    "one within a service": ({"gateway": {"replica": 2}}, "replica"),
    "a number in words": ({"gateway": {"replicas": "two"}}, "/gateway/replicas"),
    "a base that is named by its tag": ({"builder": {"baseImage": "python:3.11"}}, "/builder/baseImage"),
    "a password in the values": (
        {"gateway": {"settings": {"PLACET_DATABASE_URL": "x"}}},
        "PLACET_DATABASE_URL",
    ),
    "a setting of another service": (
        {"gateway": {"settings": {"PLACET_LOOK_SECONDS": 1}}},
        "PLACET_LOOK_SECONDS",
    ),
    "a setting among other variables": ({"indexer": {"environment": {"PLACET_X": "1"}}}, "PLACET_X"),
    "a provider that knows us by no name": ({"oidc": {"issuer": "https://x"}}, "/oidc/clientId"),
    "routes by no Gateway": ({"routes": {"by": "gatewayApi"}}, "/routes/gateway/name"),
    "an address with a path": ({"url": "https://example.org/placet"}, "/url"),
    "peers in other words": (
        {"networkPolicy": {"broker": {"to": ["all"], "ports": [1]}}},
        "/networkPolicy/broker/to",
    ),
    "callers by a name": ({"models": {"callerAddresses": ["lb.example.org"]}}, "/models/callerAddresses"),
    "a registry with its scheme": ({"models": {"registry": "https://r"}}, "/models/registry"),
    "builders without a common folder": ({"builder": {"replicas": 2}}, "builder.persistence.accessMode"),
    "models beside the platform": ({"models": {"namespace": NAMESPACE}}, "models.namespace"),
    "an Ingress for no name": ({"edge": {"ingress": {"enabled": True}}}, "edge.ingress.host"),
    "TLS at both": (
        {
            "edge": {"tls": {"secret": "tls"}},
            "routes": {"by": "gatewayApi", "gateway": {"namespace": "ingress", "name": "public"}},
        },
        "edge.tls.secret",
    ),
}


@pytest.mark.parametrize(("values", "named"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(values: Document, named: str) -> None:
    assert named in rendered(values).refused


def test_every_value_is_in_the_schema_and_the_schema_is_one() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema["properties"].keys() - {"global"} == values.keys()
    for name, value in values.items():
        declared = schema["properties"][name]
        if isinstance(value, dict) and "properties" in declared:
            assert declared["properties"].keys() == value.keys(), name
            assert declared["additionalProperties"] is False


# What each is told.


def settings_of(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = getattr(
        import_module(f"placet.{service}.settings"), f"{service.capitalize()}Settings"
    )
    return found


def variables_of(service: str) -> set[str]:
    fields = {*ProcessSettings.model_fields, *settings_of(service).model_fields}
    return {f"PLACET_{field.upper()}" for field in fields}


def told(chart: Rendered, service: str) -> dict[str, str]:
    data: dict[str, str] = chart.the("ConfigMap", f"placet-{service}")["data"]
    return data


@pytest.mark.parametrize("service", SERVICES)
@EVERY
def test_a_service_starts_with_what_it_is_told(
    values: Document, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable is one of its settings, and together they are right."""
    known = variables_of(service)
    environment = told(whole(values), service)
    files = files_of(whole(values), service)
    for name in files:
        (tmp_path / name).write_text(
            {"amqp-url": "amqps://x@y/", "database-url": "postgresql://x@y/z"}.get(name, name)
        )
    for name, value in environment.items():
        if name.startswith("PLACET_"):
            assert name in known or name.removesuffix("_FILE") in known
            if value.startswith("/run/tls/"):
                assert value.removeprefix("/run/tls/") in {"tls.crt", "tls.key", "ca.crt"}
            if value.startswith("/run/placet/"):
                assert value.removeprefix("/run/placet/") in files
            monkeypatch.setenv(name, value.replace("/run/placet", str(tmp_path)))
    load(ProcessSettings)
    load(settings_of(service))


@pytest.mark.parametrize("service", SERVICES)
def test_a_job_that_makes_tables_starts_with_what_it_is_told(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "database-url").write_text("postgresql://placet_owner:x@y/z")
    job = whole(VALUES["production"]).the("Job", f"placet-database-{service}")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"].replace("/run/owner", str(tmp_path)))
    assert load(ProcessSettings).database_url == "postgresql://placet_owner:x@y/z"
    load(settings_of(service))
    assert container["args"] == ["--prepare-database", f"placet_{service}"]


def test_numbers_are_written_as_they_are() -> None:
    environment = told(whole(EVERYTHING_ON), "gateway")
    assert environment["PLACET_MAX_SOURCE_BYTES"] == "4294967296"
    assert environment["PLACET_STALL_SECONDS"] == "0.5"


SAID_BY_THE_CHART = {
    "AMQP_URL", "DATABASE_URL", "REGISTRY", "HTTP_HOST", "HTTP_PORT", "LOG_LEVEL", "LOG_FORMAT",
    "TOKEN_KEY", "TOKEN_KEYS", "SIGNING_KEY", "CERTIFIER_KEYS", "DATA", "DATA_DIR", "BASE_IMAGE", "PACKAGE_INDEX",
    "API_URL", "API_INTERNAL_URL", "PUBLIC_URL", "GIT_HOSTS", "MODEL_HOST", "ROUTER", "LOG_ORIGIN", "WITNESSES",
    "NOTIFICATION_TOKEN", "HTTP_TLS_CERTIFICATE", "HTTP_TLS_KEY", "HTTP_TLS_CLIENT_CA", "API_CA",
}  # fmt: skip
"""Each by a value of its own, or since it could not be otherwise."""
OF_OTHER_PLACES = {
    "ADMIN_TOKEN_FILE": "no pod keeps files: `python -m placet.gateway.admin_token` prints one",
    "CADDY_ADMIN_URL": "the chart has no Caddy",
    "CADDY_SERVER": "the chart has no Caddy",
    "MODEL_USER": "models are pods",
    "MODEL_FOLDER": "models are pods",
    "STOP_MODELS_ON_EXIT": "models serve on while a deployer is replaced",
    "DOCKER_NAME": "models are pods",
    "DOCKER_REGISTRY": "models are pods",
    "DOCKER_SUBNETS": "models are pods",
}


@pytest.mark.parametrize("service", SERVICES)
def test_all_other_settings_may_be_given(service: str) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    allowed = set(schema["properties"][service]["properties"]["settings"]["propertyNames"]["enum"])
    others = (
        SAID_BY_THE_CHART
        | OF_OTHER_PLACES.keys()
        | ({"DOCKER_HOST", "DOCKER_CERT_PATH"} if service == "deployer" else set())
    )
    assert allowed == {
        name
        for name in variables_of(service)
        if not name.startswith(("PLACET_OIDC_", "PLACET_KUBERNETES_"))
        and name.removeprefix("PLACET_") not in others
    }


# What is secret.

OWN = {
    "gateway": {"amqp-url", "database-url", "registry-url"},
    "certifier": {"amqp-url", "database-url", "registry-url", "tokens.json"},
    "builder": {"amqp-url", "database-url", "registry-url", "tokens.json"},
    "indexer": {"amqp-url", "database-url", "registry-url", "tokens.json"},
    "deployer": {"amqp-url", "database-url", "registry-url", "tokens.json", "certificates.json"},
    "metadata": {"amqp-url", "database-url", "registry-url", "tokens.json"},
}
SIGN = {"gateway": "tokens", "certifier": "certificates", "metadata": "checkpoints", "deployer": "probe"}


def volumes_of(pod: Document) -> dict[str, Document]:
    return {each["name"]: each for each in pod["volumes"]}


def pod_of(chart: Rendered, service: str) -> Document:
    found: Document = chart.the("Deployment", f"placet-{service}")["spec"]["template"]["spec"]
    return found


def files_of(chart: Rendered, service: str) -> set[str]:
    """Those that it is given of its Secret."""
    return {each["path"] for each in volumes_of(pod_of(chart, service))["placet"]["secret"]["items"]}


def test_each_service_gets_the_secrets_that_are_its_own() -> None:
    chart = whole({})
    for service in SERVICES:
        assert files_of(chart, service) == OWN[service]
        secrets = {
            each["secret"]["secretName"]
            for each in volumes_of(pod_of(chart, service)).values()
            if "secret" in each
        }
        assert secrets == {f"placet-{service}"} | ({f"placet-{service}-keys"} if service in SIGN else set())


def test_with_a_provider_there_is_one_more_for_those_who_take_its_tokens() -> None:
    chart = whole(EVERYTHING_ON)
    more = {service: files_of(chart, service) - OWN[service] for service in SERVICES}
    assert more == {
        "gateway": {"oidc-person-key", "oidc-client-secret"},
        "certifier": {"oidc-person-key"},
        "builder": {"oidc-person-key"},
        "indexer": {"oidc-person-key", "notification-token"},
        "deployer": {"oidc-person-key"},
        "metadata": {"oidc-person-key"},
    }


@EVERY
def test_no_secret_is_in_the_environment_and_none_is_made_here(values: Document) -> None:
    chart = whole(values)
    assert not chart.all("Secret")
    for name, pod in pods(chart):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert "secretKeyRef" not in json.dumps(container.get("env", [])), name
            assert "secretRef" not in json.dumps(container.get("envFrom", [])), name


@EVERY
def test_the_owner_of_the_tables_is_known_to_jobs_alone(values: Document) -> None:
    for name, pod in pods(whole(values)):
        secrets = {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
        assert ("placet-database-owner" in secrets) is name.startswith("placet-database-")
        if name.startswith("placet-database-"):
            assert secrets == {"placet-database-owner"}


@EVERY
def test_a_private_key_is_mounted_where_it_is_copied_and_nowhere_else(values: Document) -> None:
    for name, pod in pods(whole(values)):
        service = name.removeprefix("placet-")
        for container in pod["containers"]:
            assert "given" not in {each["name"] for each in container["volumeMounts"]}
        assert bool(pod.get("initContainers")) is (service in SIGN)
        if service in SIGN:
            (copies,) = pod["initContainers"]
            assert copies["command"][4].split()[0] == f"{SIGN[service]}.pem"


@pytest.mark.parametrize("service", SIGN)
def test_a_copied_key_is_taken_by_who_signs_and_survives_a_restart(service: str, tmp_path: Path) -> None:
    """As kubelets give it, all by links, readable by the group, which is refused of the original."""
    given, kept, folder = (tmp_path / each for each in ("given", "keys", "folder"))
    for each in (kept, folder, given / "..1"):
        each.mkdir(parents=True)
    key = SigningKey.generate()
    name = f"{SIGN[service]}.pem"
    key.save(given / "..1" / name)
    (given / "..1" / name).chmod(0o440)
    (given / "..1" / f"{SIGN[service]}.json").write_text(KeySet([key.public]).to_json())
    (given / "..data").symlink_to("..1")
    for file in (name, f"{SIGN[service]}.json"):
        (given / file).symlink_to(f"..data/{file}")
    (container,) = pod_of(whole({}), service)["initContainers"]
    _, _, _, program, *words = container["command"]
    program = program.replace("/run/given", str(given)).replace("/run/keys", str(kept))
    has_folder = len(words) > 1
    words = [words[0], *(str(folder) for _ in words[1:])]
    for _ in range(2):
        run_program(program, words)
        used = (folder if has_folder else kept) / name
        assert own_key(used).kid == key.kid
        assert (kept / name).stat().st_mode & 0o777 == 0o600
    assert KeySet.from_json(used.with_suffix(".json").read_text()).get(key.kid) is not None


@pytest.mark.parametrize("service", ["certifier", "metadata"])
def test_a_key_that_was_rotated_in_its_secret_signs_when_its_service_starts_again(
    service: str, tmp_path: Path
) -> None:
    """And when the private half of the one before was taken out."""
    given, kept, folder = (tmp_path / each for each in ("given", "keys", "folder"))
    for each in (given, kept, folder):
        each.mkdir()
    (container,) = pod_of(whole({}), service)["initContainers"]
    _, _, _, program, *words = container["command"]
    program = program.replace("/run/given", str(given)).replace("/run/keys", str(kept))
    used = (folder if len(words) > 1 else kept) / words[0]
    words = [words[0], *(str(folder) for _ in words[1:])]
    now = [datetime(2026, 11, 30, tzinfo=UTC)]
    in_the_secret, in_the_pod = (OwnKeys(path, lambda: now[0]) for path in (given / words[0], used))
    in_the_secret.begin()
    run_program(program, words)
    in_the_pod.begin()
    before = in_the_pod.active().key.kid

    after = in_the_secret.rotate(at=now[0], why="scheduled").kid
    now[0] += timedelta(minutes=1)
    for _ in range(2):
        run_program(program, words)
        in_the_pod.begin()
        assert in_the_pod.active().key.kid == after != before
        assert [each.kid for each in in_the_pod.history()] == [before, after]
        (given / words[0]).unlink(missing_ok=True)
        (kept / words[0]).unlink(missing_ok=True)


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    (container,) = pod_of(whole({}), "certifier")["initContainers"]
    program = container["command"][3].replace("/run/given", str(tmp_path))
    assert "certificates.pem" in run_program(program, ["certificates.pem"], status=1)


def run_program(program: str, words: list[str], *, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stderr


# What each may.


@EVERY
def test_every_pod_keeps_to_the_restricted_standard(values: Document) -> None:
    for name, pod in pods(whole(values)):
        security = pod["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["runAsUser"] == security["fsGroup"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["enableServiceLinks"] is False
        for volume in pod["volumes"]:
            assert volume.keys() & {"secret", "emptyDir", "configMap", "persistentVolumeClaim"}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]


@EVERY
def test_the_deployer_alone_speaks_to_the_cluster(values: Document) -> None:
    chart = whole(values)
    for name, pod in pods(chart):
        assert pod["automountServiceAccountToken"] is (name == "placet-deployer"), name
    for account in chart.all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for binding in (*chart.all("RoleBinding"), *chart.all("ClusterRoleBinding")):
        assert [each["name"] for each in binding["subjects"]] == ["placet-deployer"]


def test_the_deployer_may_what_its_page_says() -> None:
    """deploy/kubernetes/deployer.yaml, which is for who installs without a chart."""
    shipped = [
        each
        for each in yaml.safe_load_all(
            (workspace.ROOT / "deploy" / "kubernetes" / "deployer.yaml").read_text()
        )
        if each["kind"] in ("Role", "ClusterRole")
    ]
    chart = whole(VALUES["gateway-api"])
    for kind in ("Role", "ClusterRole"):
        (ours,), (theirs,) = chart.all(kind), [each for each in shipped if each["kind"] == kind]
        assert ours["rules"] == theirs["rules"]
    without = whole({}).all("Role")[0]["rules"]
    assert [each for each in chart.all("Role")[0]["rules"] if each not in without] == [
        each for each in chart.all("Role")[0]["rules"] if each["resources"] == ["httproutes"]
    ]
    assert not whole({"models": {"listNodes": False}}).all("ClusterRole")


def test_models_have_a_namespace_that_is_restricted_and_stays() -> None:
    namespace = whole({}).the("Namespace", "placet-models")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not whole({"models": {"createNamespace": False}}).all("Namespace")


# What each reaches.

OUTSIDE = "the internet"
INNER = {"dns", "broker", "database", "registry"}
REACHES = {
    "gateway": {*INNER, "models", "edge"},
    "certifier": INNER,
    "builder": {*INNER, "packages"},
    "indexer": INNER,
    "deployer": {*INNER, "models", "kubernetesApi"},
    "metadata": {*INNER, "webhooks"},
    "edge": {"dns", *SERVICES},
    "databases": {"dns", "database"},
}
"""As the code has it: who speaks to whom. Ways that are the same are told apart by their ports below."""
PORTS = {
    "dns": 53, "broker": 1001, "database": 1002, "registry": 1003, "kubernetesApi": 1004, "packages": 1005, "git": 1006,
    "webhooks": 1007, "witnesses": 1008, "provider": 1009, "telemetry": 1010,
}  # fmt: skip


def with_ports(values: Document) -> Rendered:
    ways = {name: {"to": [], "ports": [port]} for name, port in PORTS.items() if name != "dns"}
    if "networkPolicy" not in values:
        ways["telemetry"]["ports"] = []
    return whole({**values, "networkPolicy": ways})


def reached(chart: Rendered, name: str) -> set[str]:
    policy = chart.the("NetworkPolicy", f"placet-{name}")
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    found: set[str] = set()
    for rule in policy["spec"]["egress"]:
        ports = {each["port"] for each in rule["ports"]}
        if ports == {8080}:
            assert rule["to"], "everybody at the port of services"
            for peer in rule["to"]:
                if "namespaceSelector" in peer:
                    assert peer["namespaceSelector"]["matchLabels"] == {
                        "kubernetes.io/metadata.name": "placet-models"
                    }
                    found.add("models")
                else:
                    found.add(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
        else:
            found |= {name for name, port in PORTS.items() if port in ports}
    return found


@pytest.mark.parametrize("name", REACHES)
def test_each_reaches_what_its_code_does_and_nothing_else(name: str) -> None:
    assert reached(with_ports({}), name) == REACHES[name]


def test_what_is_asked_for_opens_a_way_for_who_needs_it() -> None:
    chart = with_ports(EVERYTHING_ON)
    more = {name: reached(chart, name) - REACHES[name] for name in REACHES}
    assert more == {
        "gateway": {"git", "provider", "telemetry"},
        "certifier": {"provider", "telemetry"},
        "builder": {"provider", "telemetry"},
        "indexer": {"provider", "telemetry"},
        "deployer": {"provider", "telemetry"},
        "metadata": {"witnesses", "provider", "telemetry"},
        "edge": set(),
        "databases": set(),
    }


@EVERY
def test_whoever_has_no_policy_of_its_own_reaches_nothing(values: Document) -> None:
    chart = whole(values)
    for namespace in ("placet", "placet-models"):
        nothing = chart.the("NetworkPolicy", "placet-nothing", namespace)["spec"]
        assert nothing["policyTypes"] == ["Ingress", "Egress"]
        assert not nothing.keys() & {"ingress", "egress"}
    selected = chart.the("NetworkPolicy", "placet-nothing", "placet")["spec"]["podSelector"]["matchLabels"]
    for each in (*chart.all("Deployment"), *chart.all("Job")):
        assert selected.items() <= each["spec"]["template"]["metadata"]["labels"].items()


def test_services_are_reached_by_the_edge_and_by_who_is_named() -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    for service in SERVICES:
        asked = whole(VALUES["production"]).the("NetworkPolicy", f"placet-{service}")["spec"]["ingress"]
        (edge,), (metrics,) = (each["from"] for each in asked)
        assert edge["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "edge"
        assert metrics == monitoring
        assert len(whole({}).the("NetworkPolicy", f"placet-{service}")["spec"]["ingress"]) == 1


def test_with_tls_at_the_edge_nobody_but_the_gateway_comes_without() -> None:
    public, within = whole(EVERYTHING_ON).the("NetworkPolicy", "placet-edge")["spec"]["ingress"]
    assert public["ports"] == [{"protocol": "TCP", "port": 8443}]
    assert within["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert [each["port"] for each in whole(EVERYTHING_ON).the("Service", "placet-edge")["spec"]["ports"]] == [
        443
    ]


def test_models_are_reached_from_the_namespaces_of_who_sends_requests_on() -> None:
    assert told(whole({}), "deployer")["PLACET_KUBERNETES_CALLERS"] == NAMESPACE
    assert (
        told(whole(VALUES["gateway-api"]), "deployer")["PLACET_KUBERNETES_CALLERS"] == f"{NAMESPACE},ingress"
    )
    assert told(whole(EVERYTHING_ON), "deployer")["PLACET_KUBERNETES_CALLERS"] == f"{NAMESPACE},other"


def test_no_policy_is_made_where_none_is_wanted() -> None:
    assert not whole({"networkPolicy": {"enabled": False}}).all("NetworkPolicy")


# Parts that know each other.


@EVERY
def test_services_lead_to_pods_and_budgets_and_autoscalers_are_of_some(values: Document) -> None:
    chart = whole(values)
    made = {each["metadata"]["name"]: each["spec"] for each in chart.all("Deployment")}
    labels = {name: spec["template"]["metadata"]["labels"] for name, spec in made.items()}
    for service in chart.all("Service"):
        led = [name for name, its in labels.items() if service["spec"]["selector"].items() <= its.items()]
        assert led == [service["metadata"]["name"].removesuffix("-within")]
        (container,) = made[led[0]]["template"]["spec"]["containers"]
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= {
            each["name"] for each in container["ports"]
        }
    for budget in chart.all("PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        assert [n for n, its in labels.items() if selector.items() <= its.items()] == [
            budget["metadata"]["name"]
        ]
    assert {each["metadata"]["name"] for each in chart.all("PodDisruptionBudget")} == made.keys()
    for scaler in chart.all("HorizontalPodAutoscaler"):
        assert "replicas" not in made[scaler["spec"]["scaleTargetRef"]["name"]]
    for name, spec in made.items():
        (selected,) = {
            json.dumps(each["labelSelector"]["matchLabels"], sort_keys=True)
            for each in spec["template"]["spec"]["topologySpreadConstraints"]
        }
        assert json.loads(selected) == spec["selector"]["matchLabels"], name


def test_only_what_answers_by_every_replica_is_scaled_by_itself() -> None:
    assert {each["metadata"]["name"] for each in whole(EVERYTHING_ON).all("HorizontalPodAutoscaler")} == {
        "placet-gateway",
        "placet-edge",
    }
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {name for name, value in values.items() if isinstance(value, dict) and "autoscaling" in value} == {
        "gateway",
        "edge",
    }


@EVERY
def test_a_folder_on_one_node_has_one_pod_at_a_time(values: Document) -> None:
    chart = whole(values)
    alone = {
        each["metadata"]["name"]
        for each in chart.all("PersistentVolumeClaim")
        if each["spec"]["accessModes"] != ["ReadWriteMany"]
    }
    for each in chart.all("Deployment"):
        is_alone = each["metadata"]["name"] in alone
        assert each["spec"]["strategy"]["type"] == ("Recreate" if is_alone else "RollingUpdate")
        assert not is_alone or each["spec"]["replicas"] == 1


def test_images_are_those_that_are_made() -> None:
    for service in SERVICES:
        package = workspace.read(workspace.ROOT / "services" / service)
        images = {each["image"] for each in pod_of(whole({}), service)["containers"]}
        assert images == {f"placet-{service}:{package.version}"}
        assert re.search(r"^EXPOSE 8080$", (package.path / "Dockerfile").read_text(), re.M)
    compose = (workspace.ROOT / "docker-compose.yml").read_text()
    (edge,) = {each["image"] for each in pod_of(whole({}), "edge")["containers"]}
    assert f"PLACET_HAPROXY_IMAGE:-{edge}" in compose


def test_an_image_of_its_own_is_taken_whole() -> None:
    digest = f"registry.example.org/gateway@sha256:{'1' * 64}"
    chart = whole({"gateway": {"image": digest}, "images": {"tag": "two"}})
    assert {each["image"] for each in pod_of(chart, "gateway")["containers"]} == {digest}
    assert {each["image"] for each in pod_of(chart, "builder")["containers"]} == {"placet-builder:two"}


def test_a_changed_setting_starts_pods_anew() -> None:
    def mark(chart: Rendered, name: str) -> str:
        found: str = chart.the("Deployment", name)["spec"]["template"]["metadata"]["annotations"][
            "placet.io/settings"
        ]
        return found

    before, after = whole({}), whole({"gateway": {"settings": {"PLACET_STALL_SECONDS": 5}}})
    changed = {
        each["metadata"]["name"]
        for each in before.all("Deployment")
        if mark(before, each["metadata"]["name"]) != mark(after, each["metadata"]["name"])
    }
    assert changed == {"placet-gateway"}


def test_probes_ask_what_services_answer() -> None:
    for name, pod in pods(whole({})):
        if name.startswith("placet-database-"):
            continue
        (container,) = pod["containers"]
        asked = {each: container[each]["httpGet"]["path"] for each in container if each.endswith("Probe")}
        if name == "placet-edge":
            assert asked == {"readinessProbe": "/edgez", "livenessProbe": "/edgez"}
        else:
            assert asked == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def test_who_is_told_to_end_has_longer_than_it_takes() -> None:
    """Whoever counts: the time that a cluster gives begins before it tells, while others hear of it."""
    chart = whole({})
    for service in SERVICES:
        pod = chart.the("Deployment", f"placet-{service}")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        told_after = container["lifecycle"]["preStop"]["sleep"]["seconds"] if "lifecycle" in container else 0
        assert pod["terminationGracePeriodSeconds"] - told_after > END_SECONDS + 1


# The edge.


def test_the_edge_is_the_one_that_ships_but_for_where_models_are() -> None:
    shipped = (workspace.ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    ours = configuration_of_edge(whole({}))
    assert without_models(ours) == without_models(shipped)
    assert 'backend models\n    server gateway "${PLACET_GATEWAY}" sni ' in ours
    with_tls = configuration_of_edge(whole(EVERYTHING_ON))
    assert [line for line in with_tls.splitlines() if line not in ours.splitlines()] == [
        "    bind :8443 ssl crt /run/tls/edge.pem ssl-min-ver TLSv1.2 alpn http/1.1"
    ]


def configuration_of_edge(chart: Rendered) -> str:
    text: str = chart.the("ConfigMap", "placet-edge")["data"]["haproxy.cfg"]
    return text


def without_models(text: str) -> str:
    body = text[text.index("global\n") :].rstrip()
    return re.sub(r"^backend models\n(?:    .*\n)+", "", body, flags=re.M)


def test_haproxy_takes_it(tmp_path: Path) -> None:
    (container,) = pod_of(whole({}), "edge")["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert refused_by_haproxy(configuration_of_edge(whole({})), environment, tmp_path) == ""


def refused_by_haproxy(text: str, environment: Mapping[str, str], folder: Path) -> str:
    """Why it does not start; nothing where it would."""
    file = folder / "haproxy.cfg"
    file.write_text(text)
    done = subprocess.run(
        [sources.program("haproxy"), "-c", "-f", str(file)],
        env={name: re.sub(r"^placet-.*:", "127.0.0.1:", value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def test_the_edge_is_told_where_every_service_is() -> None:
    chart = whole({})
    (container,) = pod_of(chart, "edge")["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    for service in SERVICES:
        host, _, port = environment[f"PLACET_{service.upper()}"].partition(":")
        name, namespace, *domain = host.split(".")
        assert (namespace, domain) == (NAMESPACE, ["svc", "cluster", "local"])
        assert int(port) in {each["port"] for each in chart.the("Service", name)["spec"]["ports"]}
    inner = told(chart, "gateway")["PLACET_API_INTERNAL_URL"]
    assert (
        chart.the("Service", inner.removeprefix("http://").split(".")[0])["spec"]["ports"][0]["port"] == 8080
    )


# TLS within.

WITHIN = {"tls": {"internal": {"enabled": True}}}


def test_with_tls_within_every_way_between_parts_is_encrypted_and_checked() -> None:
    chart = whole({**WITHIN, "podMonitor": {"enabled": True}})
    (edge,) = pod_of(chart, "edge")["containers"]
    environment = {each["name"]: each["value"] for each in edge["env"]}
    assert environment["PLACET_EDGE_CA"] == "/run/internal/ca.pem"
    assert environment["PLACET_EDGE_CERTIFICATE"] == "/run/internal/edge.pem"
    asks = told(chart, "gateway")
    assert asks["PLACET_API_INTERNAL_URL"].startswith("https://placet-edge-within.")
    assert asks["PLACET_API_CA"] == "/run/tls/ca.crt"
    for service in SERVICES:
        assert told(chart, service)["PLACET_HTTP_TLS_CERTIFICATE"] == "/run/tls/tls.crt"
        assert told(chart, service)["PLACET_HTTP_TLS_KEY"] == "/run/tls/tls.key"
        assert secret_of(chart, service, "tls") == f"placet-tls-{service}"
    assert secret_of(chart, "edge", "internal") == "placet-tls-edge"
    (endpoint,) = chart.the("PodMonitor", "placet")["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert not chart.all("Certificate")


def secret_of(chart: Rendered, part: str, volume: str) -> str:
    """Of which cert-manager's three files are mounted where the part looks for them."""
    pod = pod_of(chart, part)
    secret = volumes_of(pod)[volume]["secret"]
    assert {each["key"] for each in secret["items"]} == {"tls.crt", "tls.key", "ca.crt"}
    (container,) = pod["containers"]
    assert volume in {each["name"] for each in container["volumeMounts"]}
    return str(secret["secretName"])


@pytest.mark.parametrize(("values", "scheme"), [({}, "HTTP"), (WITHIN, "HTTPS")])
def test_probes_ask_as_services_and_the_edge_answer(values: Document, scheme: str) -> None:
    for part in (*SERVICES, "edge"):
        (container,) = pod_of(whole(values), part)["containers"]
        probes = [container[each]["httpGet"] for each in container if each.endswith("Probe")]
        assert {each["scheme"] for each in probes} == {scheme}, part


def test_clients_are_asked_for_certificates_where_that_is_wanted() -> None:
    variable = "PLACET_HTTP_TLS_CLIENT_CA"
    assert variable not in told(whole(WITHIN), "builder")
    assert told(whole(EVERYTHING_ON), "builder")[variable] == "/run/tls/ca.crt"
    (edge,) = pod_of(whole(EVERYTHING_ON), "edge")["containers"]
    shows = {each["name"]: each["value"] for each in edge["env"]}
    assert shows["PLACET_EDGE_CLIENT_CERTIFICATE"] == "/run/internal/edge.pem"
    (endpoint,) = whole(EVERYTHING_ON).the("PodMonitor", "placet")["spec"]["podMetricsEndpoints"]
    assert endpoint["tlsConfig"]["keySecret"] == {"name": "placet-tls-edge", "key": "tls.key"}


def test_an_issuer_is_asked_for_the_names_that_each_is_asked_by() -> None:
    chart = whole(EVERYTHING_ON)
    (edge,) = pod_of(chart, "edge")["containers"]
    asked = {each["name"]: each["value"].partition(":")[0] for each in edge["env"]}
    (scraped,) = chart.the("PodMonitor", "placet")["spec"]["podMetricsEndpoints"]
    for service in SERVICES:
        made = chart.the("Certificate", f"placet-{service}")["spec"]
        assert made["dnsNames"] == [asked[f"PLACET_{service.upper()}"], scraped["tlsConfig"]["serverName"]]
        assert made["secretName"] == secret_of(chart, service, "tls")
        assert made["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "within"}
    made = chart.the("Certificate", "placet-edge")["spec"]
    assert f"https://{made['dnsNames'][1]}:8080" == told(chart, "gateway")["PLACET_API_INTERNAL_URL"]
    assert "client auth" in made["usages"]


def test_haproxy_takes_it_with_tls_within(tmp_path: Path) -> None:
    chart = whole(EVERYTHING_ON)
    authority = Authority(tmp_path)
    edge = authority.sign("edge", "edge")
    for folder in ("internal", "tls"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "edge.pem").write_bytes(edge.certificate.read_bytes())
        (tmp_path / folder / "edge.pem.key").write_bytes(edge.key.read_bytes())
        (tmp_path / folder / "ca.pem").write_bytes(authority.file.read_bytes())
    text = configuration_of_edge(chart).replace("/run/", f"{tmp_path}/")
    (container,) = pod_of(chart, "edge")["containers"]
    environment = {each["name"]: each["value"].replace("/run/", f"{tmp_path}/") for each in container["env"]}
    assert refused_by_haproxy(text, environment, tmp_path) == ""
    (tmp_path / "internal" / "edge.pem.key").unlink()
    assert "edge.pem" in refused_by_haproxy(text, environment, tmp_path)


# What the pages have typed.


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_stopped_is_told_of_a_restored_database_by_a_pod_like_its_own(service: str) -> None:
    page = (workspace.ROOT / "docs" / "how-to" / "restore-a-backup.md").read_text()
    (words,) = re.findall(r"jq '(.*?)'", page, re.S)
    deployment = whole(WITHIN).the("Deployment", f"placet-{service}")
    done = subprocess.run(
        [sources.program("jq"), words.replace("builder", service)],
        input=json.dumps(deployment),
        capture_output=True,
        text=True,
        check=True,
    )
    pod = json.loads(done.stdout)
    own = deployment["spec"]["template"]
    assert pod["metadata"] == {"name": f"placet-{service}-once", "labels": own["metadata"]["labels"]}
    (container,), (like,) = pod["spec"].pop("containers"), own["spec"]["containers"]
    without = {key: value for key, value in own["spec"].items() if key != "containers"}
    assert pod["spec"] == {**without, "restartPolicy": "Never"}
    assert "command" not in container
    assert container.pop("args") == ["--begin-epoch"]
    assert container == {
        key: value for key, value in like.items() if key not in ("startupProbe", "livenessProbe")
    }
    for version in (SUPPORTED[0], SUPPORTED[-1]):
        validate({**pod, "spec": {**pod["spec"], "containers": [container]}}, version)


# Beside docker-compose.yml: one platform.

ONLY_COMPOSE = {
    "gateway": {"ADMIN_TOKEN_FILE": "pods keep no files: `python -m placet.gateway.admin_token` prints one"},
    "builder": {
        "BASE_IMAGE_FILE": "compose packs the base itself; the chart is told which one is in the registry"
    },
    "deployer": {
        "CADDY_ADMIN_URL": "the chart has no Caddy: the gateway or a Gateway sends requests on",
        "DOCKER_HOST": "models are pods",
        "DOCKER_NAME": "models are pods",
        "DOCKER_REGISTRY": "models are pods",
        "DOCKER_SUBNETS": "models are pods",
        "KUBERNETES_CONFIG": "the deployer's pod has an account",
    },
}
ONLY_CHART = {
    "tls": {
        "HTTP_TLS_CERTIFICATE": "compose has it in docker-compose.override.yml",
        "HTTP_TLS_KEY": "compose has it in docker-compose.override.yml",
        "HTTP_TLS_CLIENT_CA": "compose has it in docker-compose.override.yml",
        "API_CA": "compose has it in docker-compose.override.yml",
    },
    "every": {"HTTP_PORT": "of the cluster's Services, too; compose leaves the default"},
    "builder": {
        "BASE_IMAGE": "the chart is told which base is in the registry",
        "PACKAGE_INDEX": "compose has it in docker-compose.override.yml",
    },
    "indexer": {"NOTIFICATION_TOKEN_FILE": "the registry of compose tells nobody"},
    "deployer": {
        "KUBERNETES_CALLERS": "of compose nobody is a pod",
        "KUBERNETES_GPU": "compose has it in docker-compose.override.yml",
        "DRAIN_SECONDS": "routes are heard of, and not told as to Caddy",
    },
    "metadata": {"WITNESSES": "compose has it in docker-compose.override.yml"},
}
OTHERWISE = {
    "gateway": {
        "TOKEN_KEY": "a copy in memory, of a Secret",
        "API_INTERNAL_URL": "another name for the edge",
    },
    "certifier": {"SIGNING_KEY": "a copy in memory, of a Secret"},
    "deployer": {"MODEL_HOST": "models are pods", "ROUTER": "the chart has no Caddy"},
    "metadata": {"SIGNING_KEY": "a link to a copy in memory, where it may write beside it"},
    "every": {"LOG_FORMAT": "clusters collect logs, people read those of compose"},
}
"""What both say, each in its own way."""


@pytest.mark.parametrize("service", SERVICES)
def test_compose_and_the_chart_tell_services_the_same_but_for_what_is_listed(service: str) -> None:
    everything = {
        **EVERYTHING_ON,
        "oidc": {
            **EVERYTHING_ON["oidc"],
            **dict.fromkeys(("audience", "roles", "rolesClaim", "nameClaim", "teamsClaim"), "x"),
        },
        "gateway": {"gitHosts": ["git.example.org"]},
        "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.org:4318"},
    }
    known = ("PLACET_", "OTEL_")
    chart = {name for name in told(whole(everything), service) if name.startswith(known)}
    composed = set(compose_of(service))
    only_compose = {f"PLACET_{name}" for name in ONLY_COMPOSE.get(service, {})}
    only_chart = {f"PLACET_{name}" for kind in ("every", "tls", service) for name in ONLY_CHART.get(kind, {})}
    assert composed - chart == only_compose
    assert chart - composed <= only_chart
    assert {f"PLACET_{name}" for name in ONLY_CHART.get(service, {})} <= chart - composed


@pytest.mark.parametrize("service", SERVICES)
def test_what_both_say_is_the_same_but_for_what_is_listed(service: str) -> None:
    chart, composed = told(whole({}), service), compose_of(service)
    differing = {
        name.removeprefix("PLACET_")
        for name in chart.keys() & composed.keys()
        if composed[name] != chart[name]
    }
    assert differing == {*OTHERWISE.get(service, {}), *OTHERWISE["every"]}


def compose_of(service: str) -> dict[str, str]:
    """What it is told where nobody set anything."""
    document: dict[str, Any] = yaml.safe_load((workspace.ROOT / "docker-compose.yml").read_text())
    environment: dict[str, str] = document["services"][service]["environment"]
    given = {name: re.sub(r"\$\{[A-Z_]+:\+[^}]*\}", "", str(value)) for name, value in environment.items()}
    return {name: re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value) for name, value in given.items()}


# What is shown.


def test_notes_say_what_is_next_and_what_is_missing() -> None:
    assert "placet.gateway.admin_token" in whole({}).notes
    assert "builder.baseImage is none" in whole({}).notes
    assert "metadata.logOrigin is empty" in whole({}).notes
    assert not re.findall(r"^!", whole(VALUES["production"]).notes, re.M)


def test_the_examples_broker_has_the_users_that_ship() -> None:
    """deploy/rabbitmq/definitions.json, in the words of RabbitMQ's topology operator."""
    shipped = json.loads((workspace.ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text())
    objects = list(yaml.safe_load_all((EXAMPLES / "rabbitmq.yaml").read_text()))
    users = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "User"}
    assert sorted(users) == sorted(each["name"] for each in shipped["users"])
    for name, spec in users.items():
        assert spec["importCredentialsSecret"] == {"name": f"placet-broker-{name}"}
        assert not spec.get("tags")

    def said(kind: str) -> list[Document]:
        return [
            {
                "user": each["spec"]["userReference"]["name"],
                "vhost": each["spec"]["vhost"],
                **each["spec"]["permissions"],
            }
            for each in objects
            if each["kind"] == kind
        ]

    assert said("Permission") == shipped["permissions"]
    assert said("TopicPermission") == shipped["topic_permissions"]
    (cluster,) = [each for each in objects if each["kind"] == "RabbitmqCluster"]
    assert cluster["spec"]["replicas"] == 3
    assert cluster["spec"]["tls"]["disableNonTLSListeners"] is True
    for each in objects:
        assert each["metadata"]["namespace"] == "messaging"
        if "rabbitmqClusterReference" in each.get("spec", {}):
            assert each["spec"]["rabbitmqClusterReference"] == {"name": cluster["metadata"]["name"]}
