"""A source that is named by a git address: fetched, kept as an upload is, and deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.events.contracts.gateway import DeployRequested, SourceUploaded
from placet.gateway.adapters.packing_processes import PackingProcesses
from placet.gateway.queries import Queries
from placet.projects import Limits, pack
from placet.projects.packing import Packed

from tests.support.eventually import eventually
from tests.support.git_server import GitServer, Repository, git_server, new_repository
from tests.support.serving import serving
from tests.unit.gateway.harness import MAX_SOURCE, Gateway, a_gateway
from tests.unit.gateway.test_gateway_api import MANIFEST, is_problem

ADA = "person:11111111-1111-4111-8111-111111111111"
FILES = {"placet.yaml": MANIFEST, "model.skops": b"PK", ".placetignore": b"notes.txt\n", "notes.txt": b"mine"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def repository(server: GitServer) -> Repository:
    return new_repository(server.root / "churn")


@pytest.fixture
async def gateway(tmp_path: Path, server: GitServer) -> AsyncIterator[Gateway]:
    async with a_gateway(tmp_path, git_hosts=f"github.com, {server.address}") as gateway:
        yield gateway


async def deploy(gateway: Gateway, address: str, **headers: str) -> httpx.Response:
    body: dict[str, Any] = {"command": "deploy", "source": {"git": address}}
    async with gateway.http() as http:
        return await http.post("/v1/commands", json=body, headers=headers)


async def test_it_is_kept_as_the_folder_of_a_clone_would_be(
    gateway: Gateway, server: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit(FILES)
    operation = (await deploy(gateway, f"{server.url(repository)}@main")).json()

    packed = pack(repository.folder, tmp_path / "same.tar")
    assert (operation["project"], operation["source"]) == ("churn", packed.digest)
    assert gateway.sources.archives == {packed.digest: (tmp_path / "same.tar").read_bytes()}
    _, uploaded, requested = await gateway.said()
    assert uploaded == SourceUploaded(
        source=packed.digest,
        size=packed.size,
        project="churn",
        origin=f"git+{server.url(repository)}@{commit}",
    )
    assert isinstance(requested, DeployRequested)


async def test_one_that_is_too_large_is_told_to_be(
    gateway: Gateway, server: GitServer, repository: Repository
) -> None:
    repository.commit({**FILES, "large.bin": bytes(MAX_SOURCE + 1)})
    async with gateway.http() as http:
        answer = await http.get("/v1/sources", params={"git": f"{server.url(repository)}@main"})
    is_problem(answer, 413)


async def test_it_may_be_looked_at_without_being_kept(
    gateway: Gateway, server: GitServer, repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit(FILES)
    said = await gateway.said()
    async with gateway.http() as http:
        looked = await http.get("/v1/sources", params={"git": f"{server.url(repository)}@main"})
        nowhere = await http.get("/v1/sources", params={"git": "https://elsewhere.org/x"})
        unnamed = await http.get("/v1/sources")

    packed = pack(repository.folder, tmp_path / "same.tar")
    assert looked.content == (tmp_path / "same.tar").read_bytes()
    assert looked.headers["X-Placet-Source"] == packed.digest
    assert looked.headers["X-Placet-Origin"] == f"git+{server.url(repository)}@{commit}"
    is_problem(nowhere, 422, "nothing from elsewhere.org", "github.com")
    is_problem(unnamed, 400, "git")
    assert gateway.sources.archives == {}
    assert await gateway.said() == said


async def test_who_may_not_deploy_has_nothing_fetched(
    gateway: Gateway, server: GitServer, repository: Repository
) -> None:
    repository.commit(FILES)
    async with gateway.http() as http:
        auditor = (await http.post("/v1/tokens", json={"as": "ann", "roles": ["auditor"]})).json()["token"]
        looked = await http.get(
            "/v1/sources",
            params={"git": server.url(repository)},
            headers={"Authorization": f"Bearer {auditor}"},
        )
    is_problem(looked, 403, "fetching a source")


async def test_the_same_request_again_is_the_same_operation_though_the_branch_moved_on(
    gateway: Gateway, server: GitServer, repository: Repository
) -> None:
    repository.commit(FILES)
    first = await deploy(gateway, server.url(repository), **{"Idempotency-Key": "one"})
    repository.commit({"model.skops": b"PK2"})
    again = await deploy(gateway, server.url(repository), **{"Idempotency-Key": "one"})
    fresh = await deploy(gateway, server.url(repository))

    assert again.json() == first.json()
    assert fresh.json()["source"] != first.json()["source"]


async def test_another_commit_with_the_same_files_is_the_same_source_of_another_origin(
    gateway: Gateway, server: GitServer, repository: Repository
) -> None:
    commits = []
    for _ in range(2):
        commits.append(repository.commit(FILES))
        for _ in range(2):
            assert (await deploy(gateway, server.url(repository))).status_code == 202

    origins = [each.origin for each in await gateway.said() if isinstance(each, SourceUploaded)]
    assert origins == [f"git+{server.url(repository)}@{commit}" for commit in commits]
    assert len(gateway.sources.archives) == 1


async def test_who_sent_a_source_first_did_so_whoever_fetches_the_same_files(
    gateway: Gateway, server: GitServer, repository: Repository, tmp_path: Path
) -> None:
    """Who made it does not approve it."""
    repository.commit(FILES)
    packed = pack(repository.folder, tmp_path / "same.tar")
    async with gateway.http(gateway.token("scientist", person=ADA)) as ada:
        content = (tmp_path / "same.tar").read_bytes()
        assert (await ada.put(f"/v1/sources/{packed.digest}", content=content)).status_code == 201
    assert (await deploy(gateway, server.url(repository))).json()["source"] == packed.digest
    assert len([each for each in await gateway.said() if isinstance(each, SourceUploaded)]) == 2
    found = await Queries(gateway.wiring.store).source(packed.digest)
    assert found is not None
    assert found.sender == ADA


async def test_what_is_no_project_is_refused_and_nothing_is_said_or_kept(
    gateway: Gateway, server: GitServer, repository: Repository
) -> None:
    repository.commit({"model.skops": b"PK"})
    is_problem(await deploy(gateway, server.url(repository)), 422, "no placet.yaml", "placet init")
    is_problem(await deploy(gateway, server.url(repository)), 422, "no placet.yaml", "#subdirectory=FOLDER")
    repository.commit({"models/churn/placet.yaml": MANIFEST, "models/churn/model.skops": b"PK"})
    named = f"{server.url(repository)}@main#subdirectory=models/churn"
    is_problem(
        await deploy(gateway, f"{server.url(repository)}@main"), 422, "no placet.yaml at its top", named
    )
    is_problem(
        await deploy(gateway, named.replace("models/churn", "models/nope")),
        422,
        "no folder models/nope",
        "#subdirectory=",
    )
    (repository.folder / "link").symlink_to("/etc/passwd")
    repository.commit(FILES)
    is_problem(await deploy(gateway, server.url(repository)), 422, "link")
    is_problem(
        await deploy(gateway, "https://elsewhere.org/x"), 422, "nothing from elsewhere.org", "github.com"
    )

    assert len(await gateway.said()) == 1  # the first token
    assert gateway.sources.archives == {}


async def test_a_folder_of_mlflows_is_a_trial_called_as_its_repository_is(
    gateway: Gateway, server: GitServer
) -> None:
    folder = Path(__file__).parents[2] / "mlflow_folders" / "iris-onnx"
    repository = new_repository(server.root / "Iris_Model.git")
    repository.commit({path.name: path.read_bytes() for path in folder.iterdir()})

    assert (await deploy(gateway, server.url(repository))).json()["project"] == "iris-model"
    (archive,) = gateway.sources.archives.values()
    assert b"trial: true" in archive


async def test_a_folder_that_is_packed_without_end_is_given_up_and_the_gateway_answers_meanwhile(
    tmp_path: Path, server: GitServer
) -> None:
    """As long as its files are looked at in the gateway, they take the interpreter's lock and no time limit can act."""
    repository = new_repository(server.root / "endless")
    endless = b"\n".join(b"a/**/a/**/a/**/b%d" % number for number in range(1000))
    repository.commit({**FILES, ".placetignore": endless, "/".join(["a"] * 100): b"x"})
    packing = PackingProcesses(seconds=1)
    async with (
        a_gateway(tmp_path / "gateway", packing=packing, git_hosts=server.address) as gateway,
        gateway.http() as http,
    ):
        deploying = asyncio.create_task(deploy(gateway, server.url(repository)))
        answered = 0
        while not deploying.done():
            answered += (await http.get("/v1/me")).status_code == 200
        is_problem(await deploying, 422, "more than 1 s of processor time", "leave out what is not needed")
    assert answered > 1
    assert gateway.sources.archives == {}


class EndlessPacking:
    """The `Packing` port, that never comes to an end by itself."""

    def __init__(self) -> None:
        self.under_way = 0

    async def pack(self, folder: Path, archive: Path, limits: Limits, *, sent: Path | None = None) -> Packed:
        self.under_way += 1
        try:
            return await asyncio.Future()
        finally:
            self.under_way -= 1


async def test_who_leaves_gives_the_turn_back(tmp_path: Path, server: GitServer) -> None:
    repository = new_repository(server.root / "churn")
    repository.commit(FILES)
    packing = EndlessPacking()
    async with (
        a_gateway(tmp_path / "gateway", packing=packing, git_hosts=server.address) as gateway,
        serving(gateway.app) as url,
        httpx.AsyncClient(
            base_url=url,
            timeout=60,
            trust_env=False,
            headers={"Authorization": f"Bearer {gateway.admin_token}"},
        ) as http,
    ):
        body = {"command": "deploy", "source": {"git": server.url(repository)}}
        calls = [
            asyncio.create_task(http.post("/v1/commands", json=body)),
            asyncio.create_task(http.get("/v1/sources", params={"git": server.url(repository)})),
            asyncio.create_task(http.post("/v1/sources", files=[("file", ("churn/placet.yaml", MANIFEST))])),
        ]
        # Two are packed at once, and whoever waits for that leaves as well.
        await eventually(lambda: packing.under_way == 2)
        for call in calls:
            call.cancel()
        await eventually(lambda: packing.under_way == 0)
        assert len(await gateway.said()) == 1  # the first token
