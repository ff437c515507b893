"""docker-compose.yml, booted in a real engine from nothing: what it does, keeps to itself, and survives.

One stack serves all tests, each of which leaves it whole. Models serve through everything that is not on their way. The
images that it starts are looked at first.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from placet.client import Operation
from placet.oci import sha256_digest
from placet.oci.content import OCI_MANIFEST

from tests.deploy.compose_stack import (
    OVERRIDE,
    RUN,
    SERVICES,
    WITHIN,
    Stack,
    booted,
    paused,
    write_settings,
)
from tests.deploy.images_of_services import Images, commit_before
from tests.deploy.images_suite import AllImages, EachImage, OfflineImages
from tests.support.authorities import Authority
from tests.support.eventually import eventually
from tests.support.load import Load, constant_load
from tests.system.models import write_project
from tests.system.scenarios import client_of, deploy, placet, predict
from tools import workspace

EXAMPLE = workspace.ROOT / "examples" / "iris"
ON_THE_WAY = ("edge", "caddy")
"""Of requests for models."""
RATE = 20
"""Requests a second."""
SOME_SECONDS = 2 * RATE
"""Of requests: for as long something is away."""
JOBS_OF_ROOT = {"secrets", "roles", "base"}
"""They give files to those whose they are to be, and read all of an image."""
TELL_SECRETS = """
import hashlib, json, pathlib
found = {}
for path in sorted(pathlib.Path("/secrets").rglob("*")):
    if path.is_file():
        found[str(path)] = [path.read_text(), path.stat().st_mtime_ns]
print(json.dumps(found))
"""

ASK_IN_THE_PLAIN = """
import http.client
asking = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
asking.request("GET", "/livez")
try:
    print(asking.getresponse().status)
except (http.client.HTTPException, ConnectionError):
    print("nothing")
"""

pytestmark = pytest.mark.timeout(1800)  # the first test waits for eight images and six more


class TestEachImage(EachImage):
    pass


class TestAllImages(AllImages):
    pass


class TestOfflineImages(OfflineImages):
    pass


class Weights:
    """Of models that multiply, each another."""

    def __init__(self) -> None:
        self._numbers = count(2)

    def __call__(self) -> float:
        return float(next(self._numbers))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights()


@pytest.fixture(scope="module")
def steady(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that serves from now on."""
    folder = write_project(tmp_path_factory.mktemp("steady") / "p", "steady")
    assert_is_live(asyncio.run(deploy(stack.platform, folder)))
    return "steady"


@asynccontextmanager
async def asked_all_the_time(stack: Stack, project: str) -> AsyncIterator[Load]:
    """At its end every request was answered rightly."""
    async with constant_load(
        f"{stack.platform.url}/models/{project}/predict",
        {"inputs": [[3.0]]},
        is_right=lambda said: bool(said["outputs"] == [[6.0]]),
        rate=RATE,
    ) as load:
        yield load
    assert not load.lost
    assert load.answered > 0


async def goes_through(stack: Stack, folder: Path, weight: float) -> None:
    """A command, through every service: another model takes the place of one, and is asked."""
    live = await deploy(stack.platform, write_project(folder, "changing", weight=weight))
    assert_is_live(live)
    assert await predict(stack.platform, "changing", 2.0) == pytest.approx(2 * weight)


def assert_is_live(operation: Operation) -> None:
    assert operation.state == "live", operation


async def answers_again(stack: Stack) -> None:
    """Who asks by the edge for what only the gateway says."""

    async def is_answered() -> bool:
        async with stack.platform.http() as http:
            try:
                answer = await http.get("/v1/models", headers=stack.platform.authorized(), timeout=5)
            except httpx.TransportError:
                return False
        return answer.status_code == 200

    await eventually(is_answered, within=WITHIN, every=0.2)


def up_by_prometheus(stack: Stack) -> set[str]:
    """The services whose metrics it has read, as it says itself."""
    done = stack.container("prometheus").exec_run(
        ["promtool", "query", "instant", "http://127.0.0.1:9090", 'up{job="placet"} == 1']
    )
    return set(re.findall(r'service="(\w+)"', done.output.decode()))


# What it is replaced by. First, so that of two platforms one runs at a time.

SAID = " UNION ALL ".join(
    f"SELECT convert_from(raw, 'UTF8') FROM {log}"  # noqa: S608 - names of ours
    for log in (*(f"{service}.events" for service in SERVICES), "metadata.audit")
)
NOT_KEPT = " + ".join(
    f"(SELECT count(*) FROM {service}.events AS said WHERE NOT EXISTS"  # noqa: S608 - names of ours
    " (SELECT FROM metadata.audit AS kept WHERE kept.raw = said.raw))"
    for service in SERVICES
)


async def test_an_upgrade_from_the_commit_before_loses_nothing(
    compose: str, images: Images, tmp_path: Path, weights: Weights
) -> None:
    """As the page says it is done, while a model is asked all the time, and others are deployed one after the other."""
    with commit_before(tmp_path / "before") as checkout:
        images.build(tag="before", checkout=checkout)
        with booted(compose, images, tmp_path / "site", checkout=checkout, tag="before") as stack:
            assert_is_live(await deploy(stack.platform, write_project(tmp_path / "steady", "steady")))
            before, is_over = containers_of_others(stack), asyncio.Event()
            async with asked_all_the_time(stack, "steady") as load:
                deploying = asyncio.create_task(keeps_deploying(stack, tmp_path, weights, load, is_over))
                await asyncio.to_thread(stack.upgrade)
                await stack.is_whole()
                await load.some_more(SOME_SECONDS)
                is_over.set()
                deployed = await deploying
            assert containers_of_others(stack) == before
            assert deployed > 1, "something was deployed before, and something after it"
            for service in SERVICES:
                image = stack.container(service).image
                assert image is not None
                assert images.name(service) in image.tags
            await eventually(lambda: asked_of_the_database(stack, f"SELECT {NOT_KEPT}") == "0", within=WITHIN)
            assert (await placet(stack.platform, "audit", "verify", "--anew"))["verified"]


def containers_of_others(stack: Stack) -> Mapping[str, str]:
    """The containers that are none of the services', and when they began: what serves need not begin anew."""
    others = {name: stack.container(name) for name in RUN if name not in SERVICES}
    return {name: f"{each.id} {each.attrs['State']['StartedAt']}" for name, each in others.items()}


async def keeps_deploying(
    stack: Stack, folder: Path, weights: Weights, load: Load, is_over: asyncio.Event
) -> int:
    """How often, each of which got live; some requests lie between two, so that the machine is the upgrade's."""
    for number in count():
        await goes_through(stack, folder / f"changing-{number}", weights())
        if is_over.is_set():
            return number + 1
        await load.some_more(SOME_SECONDS)
    raise AssertionError("there is no last number")


def asked_of_the_database(stack: Stack, query: str) -> str:
    done = stack.container("postgres").exec_run(["psql", "-U", "postgres", "-d", "placet", "-tAc", query])
    assert done.exit_code == 0, done.output
    return str(done.output.decode().strip())


# What it does.


async def test_it_boots_from_nothing_and_is_whole(stack: Stack) -> None:
    await stack.is_whole()
    ended = {name: each.attrs["State"] for name, each in stack.containers().items() if name not in RUN}
    assert ended
    assert {state["ExitCode"] for state in ended.values()} == {0}


async def test_a_prometheus_beside_it_sees_every_service(stack: Stack) -> None:
    """Of the profile, what can be made without pulling anything."""
    observed = ("--profile", "observability")
    stack.compose(*observed, "up", "--detach", "--wait", "--no-build", "--pull", "never", "prometheus")
    try:
        await eventually(lambda: up_by_prometheus(stack) == set(SERVICES), within=WITHIN, every=0.5)
    finally:
        stack.compose(*observed, "rm", "--stop", "--force", "prometheus")


async def test_an_example_becomes_a_url_that_answers(stack: Stack) -> None:
    said = await placet(stack.platform, "deploy", str(EXAMPLE))
    assert said["state"] == "live"
    assert said["url"] == f"{stack.platform.url}/models/iris"
    sample = json.loads((EXAMPLE / "sample.json").read_text())
    async with stack.platform.http() as http:
        answer = await http.post("/models/iris/predict", json=sample["request"])
    assert answer.status_code == 200
    assert answer.json().keys() >= sample["response"].keys()

    async def everybody_is_in_the_log() -> bool:
        verified = await placet(stack.platform, "audit", "verify", "--anew")
        assert verified["verified"]
        return set(verified["producers"]) >= set(SERVICES) - {"metadata"}

    await eventually(everybody_is_in_the_log, within=WITHIN, every=1)


async def test_the_console_asks_the_platform_from_within(stack: Stack) -> None:
    """Where its address for people is nobody's."""
    assert "iris" in await shown_by_the_console(stack)


async def shown_by_the_console(stack: Stack) -> str:
    """Of models, to who signs in there."""
    async with stack.platform.http() as browser:
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        signed_in = await browser.post("/console/sign-in", data={"token": stack.platform.token})
        assert signed_in.status_code == 303
        models = await browser.get("/console/models")
    assert models.status_code == 200
    return models.text


@asynccontextmanager
async def encrypted(stack: Stack) -> AsyncIterator[Stack]:
    """As the page says, with a certificate of the edge for where it is asked here; afterwards in the plain again."""
    page, listen = "docs/how-to/use-tls.md", stack.settings["PLACET_LISTEN"]
    made = stack.told_by(page, "## Try it") + stack.told_by(page, "## With Docker Compose")
    made = made.replace("DNS:placet.example.org", f"IP:{listen.rpartition(':')[0]}")
    await asyncio.to_thread(stack.typed, f"{made}\nchown -R 65532 run/tls/*/")
    platform = replace(
        stack.platform, url=f"https://{listen}", authority=stack.folder / "run" / "tls" / "ca.crt"
    )
    override = stack.folder / OVERRIDE
    override.write_text(stack.told_by(page, f"`{OVERRIDE}`", "yaml"))
    write_settings({**stack.settings, "PLACET_URL": platform.url}, stack.folder)
    try:
        await asyncio.to_thread(stack.up)
        yield replace(stack, platform=platform)
    finally:
        override.unlink()
        write_settings(stack.settings, stack.folder)
        await asyncio.to_thread(stack.up)
        await stack.is_whole()


async def test_it_is_encrypted_and_in_the_plain_again(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path
) -> None:
    weight = weights()
    async with encrypted(stack) as sealed:
        await sealed.is_whole()
        folder = write_project(tmp_path / "sealed", "changing", weight=weight)
        live = await placet(sealed.platform, "deploy", str(folder))
        assert (live["state"], live["url"]) == ("live", f"{sealed.platform.url}/models/changing")
        assert await predict(sealed.platform, "changing", 2.0) == pytest.approx(2 * weight)
        assert await predict(sealed.platform, steady, 3.0) == pytest.approx(6.0)
        assert "changing" in await shown_by_the_console(sealed)
        for service in SERVICES:
            asked = sealed.container(service).exec_run(["python3", "-c", ASK_IN_THE_PLAIN])
            assert asked.output == b"nothing\n", service
        async with stack.platform.http() as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get("/livez")
    await goes_through(stack, tmp_path / "plain", weights())


async def test_a_second_up_changes_nothing(stack: Stack) -> None:
    def known() -> Mapping[str, Any]:
        running = {name: stack.container(name) for name in RUN}
        return {name: (each.id, each.attrs["State"]["StartedAt"]) for name, each in running.items()}

    before, secrets = known(), secrets_of(stack)
    await asyncio.to_thread(stack.up)
    assert known() == before
    assert secrets_of(stack) == secrets


async def test_nodes_of_a_cluster_pull_by_tls_with_their_password_and_change_nothing(
    stack: Stack, steady: str, tmp_path: Path
) -> None:
    """What the profile `kubernetes` adds, with a certificate of the operator's."""
    authority, at = Authority(tmp_path), stack.settings["PLACET_NODES_LISTEN"]
    certificate = authority.sign("nodes", at.rpartition(":")[0], into=stack.folder).both
    certificate.chmod(0o444)
    clustered = ("--profile", "kubernetes")
    stack.compose(*clustered, "up", "--detach", "--wait", "--no-build", "--pull", "never", "nodes")
    try:
        stack.compose(*clustered, "cp", "nodes:/run/placet/password", "nodes.password")
        me = ("nodes", (stack.folder / "nodes.password").read_text())
        async with client_of(stack.platform) as client:
            (image,) = await client.images(project=steady)
        path = f"/v2/models/{steady}/manifests/{image.image}"
        believing = ssl.create_default_context(cafile=authority.file)
        async with httpx.AsyncClient(
            base_url=f"https://{at}", verify=believing, trust_env=False, timeout=60
        ) as node:
            pulled = await node.get(path, auth=me, headers={"Accept": OCI_MANIFEST})
            deleted = await node.delete(path, auth=me)
            unknown = await node.get(path)
        assert sha256_digest(pulled.content) == image.image
        assert (deleted.status_code, unknown.status_code) == (405, 401)
    finally:
        stack.compose(*clustered, "rm", "--stop", "--force", "nodes")


# What it keeps to itself.


def test_nobody_but_the_edge_and_for_the_engine_the_registry_is_reached_from_outside(stack: Stack) -> None:
    published = {
        name: sorted({each["HostIp"] for bound in ports.values() for each in bound or ()})
        for name, container in stack.containers().items()
        if any((ports := container.attrs["NetworkSettings"]["Ports"]).values())
    }
    assert published == {"edge": [stack.images.engine.published_at], "registry": ["127.0.0.1"]}
    assert not any(model.attrs["HostConfig"]["PortBindings"] for model in stack.models())


def test_only_those_whose_work_it_is_reach_outside(stack: Stack) -> None:
    """Packages, sources and webhooks are; the others reach each other."""
    networks = stack.client.networks.list(filters={"label": f"com.docker.compose.project={stack.name}"})
    leading = {each.name for each in networks if not each.attrs["Internal"]}
    led = {
        name
        for name, container in stack.containers().items()
        if leading & set(container.attrs["NetworkSettings"]["Networks"])
    }
    assert led == {"edge", "registry", "gateway", "builder", "metadata"}
    outside = stack.images.engine.outside
    if outside is None:
        return  # of an engine in the machine's own network nothing is outside that is ours to ask
    with socket.create_server((outside, 0)) as listening:
        reached = {name for name in SERVICES if reaches(stack.container(name), listening.getsockname())}
    assert reached == {"gateway", "builder", "metadata"}


def reaches(container: Container, address: tuple[str, int]) -> bool:
    program = f"import socket; socket.create_connection({address!r}, timeout=2)"
    return bool(container.exec_run(["python3", "-c", program]).exit_code == 0)


async def test_all_are_nobody_but_those_that_say_why(stack: Stack) -> None:
    containers = stack.containers()
    as_root = {
        name for name, each in containers.items() if each.attrs["Config"]["User"] in ("", "0:0", "root")
    }
    assert as_root == JOBS_OF_ROOT | {"engine"}
    for name in set(RUN) - {"engine"}:
        for status in await statuses_of(containers[name]):
            assert "0" not in status["Uid"].split(), (name, status["Name"])


async def test_none_has_rights_or_gets_any(stack: Stack) -> None:
    declared = json.loads(stack.compose("config", "--format", "json"))["services"]
    containers = stack.containers()
    assert declared.keys() == containers.keys()
    for name, container in containers.items():
        host = container.attrs["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert sorted(host["CapAdd"] or ()) == sorted(declared[name].get("cap_add", ())), name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert host["ReadonlyRootfs"] is (name not in ("rabbitmq", "postgres")), name
        if name in RUN:
            for status in await statuses_of(container):
                assert int(status["CapEff"], 16) == 0, (name, status["Name"])


async def test_no_secret_is_where_others_look(stack: Stack, steady: str) -> None:
    """Neither of containers and images, as the engine tells of them, nor in what they say, nor in what processes are
    started with, nor in any event."""
    planted = {**planted_by(secrets_of(stack)), **await brought(stack, steady)}
    planted["the administrator's token"] = stack.platform.token
    assert len(planted) > 25
    looked = {"the events": asked_of_the_database(stack, SAID), **told_of(stack)}
    assert steady in looked["the events"]
    assert sum(each.startswith("environ") for each in looked) >= len(RUN)
    found = [
        f"{what} in {where}"
        for where, text in looked.items()
        for what, secret in planted.items()
        if secret in text
    ]
    assert not found


def told_of(stack: Stack) -> dict[str, str]:
    """What can be read of containers, images and processes, by what it is."""
    told = {}
    for container in (*stack.containers().values(), *stack.models()):
        told[f"inspect {container.name}"] = json.dumps(container.attrs)
        told[f"logs {container.name}"] = container.logs().decode(errors="replace")
        image = container.image
        assert image is not None
        told[f"image {container.name}"] = json.dumps([image.attrs, image.history()])
        for process in Path("/proc").glob("[0-9]*") if container.attrs["State"]["Running"] else ():
            if is_of(process, container.id or ""):
                for file in ("environ", "cmdline"):
                    told[f"{file} {container.name} {process.name}"] = read(process / file)
    return told


async def brought(stack: Stack, project: str) -> dict[str, str]:
    """Secrets that come with requests, and what a model is asked: each in a request of its own, that is over."""
    guessed, password, address, callers, asked = (token_hex(16) for _ in range(5))
    mine = stack.platform.authorized()
    async with stack.platform.http() as http:
        made = await http.post("/v1/tokens", json={"as": "somebody", "roles": ["scientist"]}, headers=mine)
        theirs = made.json()["token"]
        hook = await http.post("/v1/webhooks", json={"url": f"https://198.41.0.4/{address}"}, headers=mine)
        assert (made.status_code, hook.status_code) == (201, 201), (made.text, hook.text)
        git = {"git": f"https://somebody:{password}@git.invalid/model.git"}
        predict = f"/models/{project}/predict"
        answers = [
            await http.get("/v1/models", headers={"Authorization": f"Bearer {theirs}"}),
            *[
                await http.get(path, headers={"Authorization": f"Bearer {guessed}"})
                for path in ("/v1/models", "/v1/audit/checkpoint", "/v1/capacity", "/v1/garbage")
            ],
            await http.post("/v1/commands", json={"command": "deploy", "source": git}, headers=mine),
            await http.post(
                predict, json={"inputs": [[3.0]]}, headers={"Authorization": f"Bearer {callers}"}
            ),
            await http.post(predict, json={"inputs": [[asked]]}),
        ]
        await http.delete(f"/v1/webhooks/{hook.json()['webhook']}", headers=mine)
    assert [each.status_code for each in answers] == [200, 401, 401, 401, 401, 422, 200, 422]
    return {
        "a token that was made": theirs,
        "a token that was guessed": guessed,
        "a password in a git address": password,
        "a webhook's address": address,
        "a webhook's secret": hook.json()["secret"],
        "a token that a model was asked with": callers,
        "what a model was asked": asked,
    }


def test_each_has_its_own_secrets_and_no_others(stack: Stack) -> None:
    """Nobody finds among its own files the passwords of another, nor a private key that is not its own to use."""
    secrets = secrets_of(stack)
    passwords = json.loads(secrets["/secrets/setup/passwords.json"][0])
    for service in SERVICES:
        own = "".join(text for path, (text, _) in secrets.items() if path.startswith(f"/secrets/{service}/"))
        of_others = {
            password
            for kind, names in passwords.items()
            for name, password in names.items()
            if name not in (service, f"placet_{service}")
        }
        assert not {each for each in of_others if each in own}, service
    keys = {path for path, (text, _) in secrets.items() if "PRIVATE KEY" in text}
    assert keys == {
        "/secrets/certifier/certificates.pem",
        "/secrets/metadata/checkpoints.pem",
        "/secrets/gateway/tokens.pem",
    }


def secrets_of(stack: Stack) -> Mapping[str, tuple[str, int]]:
    """All files of them, and when they were written. What a log's signer writes down beside its key is none."""
    volumes = {
        each.name: {"bind": f"/secrets/{each.name.removeprefix(f'{stack.name}_secrets-')}", "mode": "ro"}
        for each in stack.client.volumes.list(filters={"label": f"com.docker.compose.project={stack.name}"})
        if each.name.startswith(f"{stack.name}_secrets-")
    }
    said: bytes = stack.client.containers.run(
        stack.images.name("metadata"),
        ["-c", TELL_SECRETS],
        entrypoint="python3",
        user="0:0",
        network_mode="none",
        remove=True,
        volumes=volumes,
    )
    files = {path: (text, written) for path, (text, written) in json.loads(said).items()}
    return {path: file for path, file in files.items() if path != "/secrets/metadata/checkpoints.last"}


def planted_by(secrets: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    passwords = json.loads(secrets["/secrets/setup/passwords.json"][0])
    planted = {
        f"{kind} password of {name}": password
        for kind, names in passwords.items()
        for name, password in names.items()
    }
    for path, (text, _) in secrets.items():
        if "PRIVATE KEY" in text:
            planted[path] = text.splitlines()[1]
        elif path.endswith("/people.key"):
            planted[path] = text.strip()
    return planted


async def statuses_of(container: Container) -> list[dict[str, str]]:
    """What the kernel says of each process in it.

    A look at its health begins as the engine's own process, which gives its rights up before it is that look: then it
    is asked again.
    """

    def all_of_them() -> list[dict[str, str]]:
        found = [status for status in statuses_with(container.attrs["State"]["Pid"]) if status]
        assert not [status for status in found if status["Name"].startswith("runc:")]
        return found

    return await eventually(all_of_them)


def statuses_with(pid: int) -> Iterator[dict[str, str]]:
    """Of the processes that share that one's namespace; of one that has just ended, nothing."""
    for process in Path("/proc").glob("[0-9]*"):
        if namespace(process) == namespace(Path(f"/proc/{pid}")):
            lines = read(process / "status").splitlines()
            yield dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def namespace(process: Path) -> str:
    try:
        return str((process / "ns" / "pid").readlink())
    except OSError:
        return f"{process} is over"


def is_of(process: Path, container: str) -> bool:
    return container in read(process / "cgroup")


def read(file: Path) -> str:
    """Nothing of a process that is over."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


# What may be asked of whom.

ASK_ENGINE = """
import http.client, json, socket
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/engine/docker.sock")
said = {}
for asked in json.loads(ASKED):
    engine = Engine("engine", timeout=30)
    method, _, path = asked.partition(" ")
    engine.request(method, path)  # in one piece: who refuses it waits for no body
    said[asked] = engine.getresponse().status
    engine.close()
print(json.dumps(said))
"""


def test_the_deployer_asks_the_engine_for_nothing_but_containers_networks_and_images(stack: Stack) -> None:
    postgres = f"{stack.name}-postgres-1"
    granted = ["GET /_ping", "GET /v1.41/containers/json", "GET /v1.41/networks", "GET /v1.41/images/json"]
    granted += [f"GET /v1.41/containers/{postgres}/json", f"GET /containers/{postgres}/logs?stdout=1&tail=1"]
    refused = [
        *(f"POST {prefix}/containers/{postgres}/exec" for prefix in ("", "/v1.41")),
        *(f"POST /v1.41/containers/{postgres}/{what}" for what in ("%65xec", "attach", "update", "rename")),
        *(
            f"GET /v1.41/containers/{postgres}/{what}"
            for what in ("archive?path=/run/placet", "%61rchive", "export")
        ),
        *(
            f"{asked}/v1.41/images/{what}"
            for asked, what in (("POST ", "load"), ("POST ", "prune"), ("GET ", "get"))
        ),
        *(
            f"GET /v1.41/{what}"
            for what in ("volumes", "secrets", "configs", "plugins", "swarm", "events", "services")
        ),
        *(f"POST /v1.41/{what}" for what in ("build", "commit", "session", "volumes/create", "exec/0/start")),
        *(
            f"GET /v1.41/containers/{what}"
            for what in ("../volumes", "%2e%2e/volumes", "..%2fvolumes", "/volumes")
        ),
    ]
    said = told_by(stack, granted + refused)
    assert {asked: status for asked, status in said.items() if asked in granted and status != 200} == {}
    assert {asked: status for asked, status in said.items() if asked in refused and status != 403} == {}


def told_by(stack: Stack, asked: list[str]) -> dict[str, int]:
    program = f"ASKED = {json.dumps(asked)!r}\n{ASK_ENGINE}"
    done = stack.container("deployer").exec_run(["python3", "-c", program])
    assert done.exit_code == 0, done.output
    said: dict[str, int] = json.loads(done.output)
    return said


MAY = """
SELECT json_build_object(
  'able', (SELECT json_agg(rolname) FROM pg_roles WHERE rolname LIKE 'placet%' AND
           (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)),
  'own', (SELECT json_agg(DISTINCT r.rolname) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
          WHERE r.rolname LIKE 'placet%'),
  'create', (SELECT json_agg(r.rolname) FROM pg_roles r, pg_namespace n WHERE r.rolname LIKE 'placet%' AND
             r.rolname <> 'placet_owner' AND n.nspname !~ '^pg_' AND has_schema_privilege(r.oid, n.oid, 'CREATE')),
  'elsewhere', (SELECT json_agg(r.rolname || ' ' || n.nspname) FROM pg_roles r, pg_namespace n
                WHERE r.rolname LIKE 'placet%' AND r.rolname <> 'placet_owner' AND n.nspname !~ '^(pg_|information)'
                AND n.nspname <> replace(r.rolname, 'placet_', '') AND has_schema_privilege(r.oid, n.oid, 'USAGE')),
  'rewrite', (SELECT json_agg(r.rolname || ' ' || c.oid::regclass) FROM pg_roles r, pg_class c
              WHERE r.rolname LIKE 'placet%' AND r.rolname <> 'placet_owner' AND c.relname = 'events' AND
              has_table_privilege(r.oid, c.oid, 'UPDATE, DELETE, TRUNCATE')),
  'logs in', (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'placet%' AND rolcanlogin),
  'events', (SELECT count(*) FROM pg_class WHERE relname = 'events' AND relkind = 'r')
)
"""


def test_the_roles_of_services_own_nothing_and_rewrite_no_event(stack: Stack) -> None:
    assert json.loads(asked_of_the_database(stack, MAY)) == {
        "able": None,
        "own": ["placet_owner"],
        "create": None,
        "elsewhere": None,
        "rewrite": None,
        "logs in": 7,
        "events": 6,
    }


def test_what_models_start_from_is_the_same_from_another_container(stack: Stack) -> None:
    """So that nothing of a container, such as its name or its hosts, has got into it; nor has what packs it."""
    packing = "python3 /placet/base.py /run/placet/registry-url /tmp/image"
    said = stack.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", packing, "base")
    kept = stack.container("builder").exec_run(["python3", "-c", "print(open('/run/base/image').read())"])
    assert said.split()[-1] == kept.output.decode().strip()
    assert said.startswith("bases/model@sha256:")
    for model in stack.models():
        with pytest.raises(NotFound):
            model.get_archive("/placet")


# What it survives.


@pytest.mark.parametrize("service", RUN)
async def test_one_that_is_killed_comes_back_and_one_that_stands_still_keeps_a_deploy_from_nothing(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path, service: str
) -> None:
    """Killed, and started again by the engine: then a deploy begins, for which it stands still for some seconds."""
    async with AsyncExitStack() as meanwhile:
        load = None
        if service not in ON_THE_WAY:
            load = await meanwhile.enter_async_context(asked_all_the_time(stack, steady))
        await stack.killed(service)
        await answers_again(stack)
        deploying = asyncio.create_task(goes_through(stack, tmp_path / "p", weights()))
        async with paused(stack.container(service)):
            await (load.some_more(SOME_SECONDS) if load else nothing_comes(stack, steady))
        await deploying
    assert await predict(stack.platform, steady, 3.0) == pytest.approx(6.0)


async def nothing_comes(stack: Stack, project: str) -> None:
    async with stack.platform.http() as http:
        with pytest.raises(httpx.TimeoutException):
            await http.post(f"/models/{project}/predict", json={"inputs": [[3.0]]}, timeout=2)


@pytest.mark.parametrize(
    ("service", "network"), [("rabbitmq", "bus"), ("postgres", "data"), ("registry", "store")]
)
async def test_one_that_was_cut_off_from_the_services_is_found_again(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path, service: str, network: str
) -> None:
    async with asked_all_the_time(stack, steady) as load:
        with stack.cut_off(service, network):
            deploying = asyncio.create_task(goes_through(stack, tmp_path / "p", weights()))
            await load.some_more(SOME_SECONDS)
        await deploying


async def test_any_two_that_were_cut_from_one_another_find_each_other_again(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path
) -> None:
    """Each service from the one whose network it shares, one pair after the other, while models are deployed."""
    pairs = [(service, network) for service in SERVICES for network in ("data", "bus", "store", "edge")]
    is_over = asyncio.Event()
    async with asked_all_the_time(stack, steady) as load:
        deploying = asyncio.create_task(keeps_deploying(stack, tmp_path, weights, load, is_over))
        for service, network in (*pairs, ("deployer", "routes")):
            with stack.cut_off(service, network):
                await load.some_more(SOME_SECONDS)
            await load.some_more(SOME_SECONDS)
        is_over.set()
        assert await deploying > 1


async def test_what_was_backed_up_is_restored_as_the_pages_say(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path
) -> None:
    """Word for word, while a model is asked all the time. What came after the backup is gone, and may come again."""
    before, later = weights(), write_project(tmp_path / "later", "later")
    await goes_through(stack, tmp_path / "before", before)
    backing_up = stack.told_by("docs/how-to/run-with-compose.md", "## Back up").splitlines()[0]
    await asyncio.to_thread(stack.typed, backing_up)
    await goes_through(stack, tmp_path / "after", weights())
    assert_is_live(await deploy(stack.platform, later))
    assert (await placet(stack.platform, "audit", "verify", "--anew"))["verified"], "and its log is trusted"

    async with asked_all_the_time(stack, steady):
        restoring = stack.told_by("docs/runbooks/lost-database.md", "2. From a backup")
        await asyncio.to_thread(stack.typed, restoring)
        await stack.is_whole()
        await eventually(lambda: multiplies_by(stack, "changing", before), within=WITHIN, every=0.2)
        await eventually(lambda: is_unknown(stack, "later"), within=WITHIN, every=0.2)
        await its_log_goes_on_by_another_name(stack)
        await goes_through(stack, tmp_path / "again", weights())
        assert_is_live(await deploy(stack.platform, later))


async def test_another_machine_becomes_the_same_platform(
    stack: Stack, steady: str, weights: Weights, tmp_path: Path
) -> None:
    """From what was backed up, word for word: the engine has nothing of it before, but images. What was signed after
    the database's backup, and before that of the keys, is known by those: the log goes on by another name."""
    database, keys = stack.told_by("docs/how-to/run-with-compose.md", "## Back up").splitlines()
    before = weights()
    await goes_through(stack, tmp_path / "before", before)
    await asyncio.to_thread(stack.typed, database)
    await goes_through(stack, tmp_path / "lost", weights())
    assert (await placet(stack.platform, "audit", "verify", "--anew"))["verified"], "so much was signed"
    await asyncio.to_thread(stack.typed, keys)
    await asyncio.to_thread(stack.compose, "down", "--volumes")
    for model in stack.models():
        model.remove(force=True)

    restoring = stack.told_by("docs/runbooks/lost-database.md", "## Another machine")
    await asyncio.to_thread(stack.typed, restoring)
    await stack.is_whole()
    await eventually(lambda: multiplies_by(stack, steady, 2.0), within=WITHIN, every=0.2)
    await eventually(lambda: multiplies_by(stack, "changing", before), within=WITHIN, every=0.2)
    await its_log_goes_on_by_another_name(stack)
    await goes_through(stack, tmp_path / "again", weights())


async def its_log_goes_on_by_another_name(stack: Stack) -> None:
    """Who verified it before is refused until told of it, and has it verified then. It has its name from when its
    service leads."""

    async def is_refused_for_its_name() -> bool:
        refused = await placet(stack.platform, "audit", "verify", "--anew", status=1)
        return bool(refused["error"]["rule"] == "audit.origin")

    await eventually(is_refused_for_its_name, within=WITHIN, every=1)
    async with client_of(stack.platform) as operator:
        told = [each.vkey for each in (await operator.log_keys()).keys]
    given = [word for vkey in told for word in ("--log", vkey)]
    assert (await placet(stack.platform, "audit", "verify", "--anew", *given))["verified"]


async def multiplies_by(stack: Stack, project: str, weight: float) -> bool:
    async with stack.platform.http() as http:
        answer = await http.post(f"/models/{project}/predict", json={"inputs": [[1.0]]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == [[weight]]
    return True


async def is_unknown(stack: Stack, project: str) -> bool:
    async with stack.platform.http() as http:
        asked = await http.post(f"/models/{project}/predict", json={"inputs": [[1.0]]})
        known = await http.get(f"/v1/models/{project}", headers=stack.platform.authorized())
    assert (asked.status_code, known.status_code) == (404, 404)
    return True


async def test_at_the_end_it_is_whole_and_its_log_verifies(stack: Stack) -> None:
    await stack.is_whole()
    assert (await placet(stack.platform, "audit", "verify", "--anew"))["verified"]
