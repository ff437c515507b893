"""Repositories of others are fetched, and nothing that is in one is trusted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from placet.errors import PlacetError, Refused, TooLarge, Unavailable
from placet.gateway.adapters.git_repositories import MAX_FILES, GitRepositories
from placet.gateway.git_address import parse

from tests.support.git_server import GitServer, Repository, git_server, new_repository

MAX_BYTES = 256 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def repository(server: GitServer) -> Repository:
    return new_repository(server.root / "churn")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def repositories(server: GitServer, *, seconds: float = 60.0) -> GitRepositories:
    return GitRepositories(hosts={server.address}, max_bytes=MAX_BYTES, seconds=seconds)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


async def test_the_default_branch_is_fetched_as_it_is(
    server: GitServer, repository: Repository, into: Path
) -> None:
    repository.commit({"placet.yaml": b"old"})
    commit = repository.commit({"placet.yaml": b"new\r\n", "code/model.py": b"\n"})

    assert await repositories(server).check_out(parse(server.url(repository)), into) == commit
    assert files_below(into) == {"placet.yaml": b"new\r\n", "code/model.py": b"\n"}


@pytest.mark.parametrize("name", ["v1.0", "stable/one", "{commit}"])
async def test_a_tag_a_branch_or_a_commit_can_be_named(
    server: GitServer, repository: Repository, into: Path, name: str
) -> None:
    commit = repository.commit({"placet.yaml": b"1"})
    repository.git("tag", "--annotate", "v1.0", "--message", "one")
    repository.git("branch", "stable/one")
    repository.git("config", "uploadpack.allowReachableSHA1InWant", "true")
    repository.commit({"placet.yaml": b"2"})

    address = parse(f"{server.url(repository)}@{name.format(commit=commit)}")
    assert await repositories(server).check_out(address, into) == commit
    assert files_below(into) == {"placet.yaml": b"1"}


async def test_of_a_large_repository_only_the_named_folder_is_written(
    server: GitServer, repository: Repository, into: Path
) -> None:
    repository.commit({"models/churn/placet.yaml": b"1", "data.bin": b"0" * (2 * MAX_BYTES)})

    await repositories(server).check_out(parse(f"{server.url(repository)}#subdirectory=models/churn"), into)
    assert files_below(into) == {"models/churn/placet.yaml": b"1"}


async def refused(
    server: GitServer, repository: Repository, into: Path, *, at: str = "", error: type[PlacetError] = Refused
) -> str:
    with pytest.raises(error) as caught:
        await repositories(server).check_out(parse(f"{server.url(repository)}{at}"), into)
    return str(caught.value)


async def test_another_host_is_not_even_asked(server: GitServer, repository: Repository, into: Path) -> None:
    with pytest.raises(Refused, match=r"fetches nothing from .*PLACET_GIT_HOSTS"):
        await GitRepositories(hosts={"github.com"}, max_bytes=1, seconds=60).check_out(
            parse(server.url(repository)), into
        )
    assert server.asked == []


async def test_what_is_not_there_is_told(server: GitServer, repository: Repository, into: Path) -> None:
    repository.commit({"placet.yaml": b"1"})

    assert "has no v9" in await refused(server, repository, into, at="@v9")
    assert "has no folder lost" in await refused(server, repository, into, at="#subdirectory=lost")
    assert "placet.yaml is no folder" in await refused(
        server, repository, into, at="#subdirectory=placet.yaml"
    )
    elsewhere = Repository(server.root / "elsewhere")
    assert "not there, or not for everybody" in await refused(server, elsewhere, into)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_private_repository_is_not_asked_for_with_any_password(
    server: GitServer, repository: Repository, into: Path, status: int
) -> None:
    server.answer = (status, {"WWW-Authenticate": 'Basic realm="git"'} if status == 401 else {})
    assert "not for everybody" in await refused(server, repository, into)


@pytest.mark.parametrize("name", ["churn", "model-403", "401"])
async def test_a_redirection_is_not_followed(server: GitServer, into: Path, name: str) -> None:
    repository = new_repository(server.root / name)
    repository.commit({"placet.yaml": b"1"})
    server.answer = (302, {"Location": "http://169.254.169.254/latest/meta-data/"})
    await refused(server, repository, into, error=Unavailable)
    assert len(server.asked) == 1


async def test_submodules_and_pointers_are_told_and_not_fetched(
    server: GitServer, repository: Repository, into: Path
) -> None:
    commit = repository.commit({"placet.yaml": b"1"})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
    repository.git("commit", "--quiet", "--message", "a submodule")
    assert "vendor/lib is a submodule" in await refused(server, repository, into)

    other = new_repository(server.root / "large")
    other.commit({"model.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"})
    assert "model.onnx is a pointer" in await refused(server, other, into.parent / "served")


async def test_a_folder_that_is_a_link_is_refused(
    server: GitServer, repository: Repository, into: Path
) -> None:
    (repository.folder / "etc").symlink_to("/etc")
    repository.commit({"placet.yaml": b"1"})
    assert "etc is no folder" in await refused(server, repository, into, at="#subdirectory=etc")


async def test_nothing_of_a_repository_is_run(server: GitServer, repository: Repository, into: Path) -> None:
    witness = into.parent / "witness"
    command = f"touch {witness}"
    repository.commit(
        {
            ".gitattributes": b"* filter=evil diff=evil\n",
            # The clone's folder is the program's home.
            ".gitconfig": f'[filter "evil"]\n smudge = {command}\n[core]\n fsmonitor = {command}\n'.encode(),
            "placet.yaml": b"1",
        }
    )

    await repositories(server).check_out(parse(server.url(repository)), into)
    assert not witness.exists()
    assert files_below(into)["placet.yaml"] == b"1"


async def test_what_git_calls_hostile_is_refused(
    server: GitServer, repository: Repository, into: Path
) -> None:
    repository.commit({".gitmodules": b'[submodule "x"]\n path = x\n url = y\n update = !touch z\n'})
    assert "disallowed submodule update" in await refused(server, repository, into)


async def test_more_than_is_kept_is_not_fetched(
    server: GitServer, repository: Repository, into: Path
) -> None:
    noise = random.Random(1).randbytes(2 * MAX_BYTES)  # noqa: S311 - what does not shrink
    repository.commit({"noise.bin": noise})
    assert "too much" in await refused(server, repository, into, error=TooLarge)


async def test_files_that_unpack_to_more_than_is_kept_are_not_written(
    server: GitServer, repository: Repository, into: Path
) -> None:
    repository.commit({"zeros.bin": bytes(MAX_BYTES + 1)})
    assert f"1 files of {MAX_BYTES + 1} bytes" in await refused(server, repository, into, error=TooLarge)
    assert files_below(into) == {}


async def test_trees_of_trees_without_end_are_not_followed(
    server: GitServer, repository: Repository, into: Path
) -> None:
    """Ten trees, each ten times the one below: a file of one byte becomes ten thousand million."""
    blob = repository.git("hash-object", "-w", "--stdin", given=b"1")
    tree = repository.git("mktree", given="".join(f"100644 blob {blob}\tf{n}\n" for n in range(10)).encode())
    for _ in range(9):
        tree = repository.git(
            "mktree", given="".join(f"040000 tree {tree}\td{n}\n" for n in range(10)).encode()
        )
    repository.git("update-ref", "refs/heads/main", repository.git("commit-tree", tree, "-m", "a bomb"))

    assert f"more than {MAX_FILES} files" in await refused(server, repository, into, error=TooLarge)


async def test_a_host_that_says_nothing_is_given_up(
    server: GitServer, repository: Repository, into: Path
) -> None:
    with pytest.raises(Unavailable, match=r"was not fetched within 0\.05 s"):
        await repositories(server, seconds=0.05).check_out(parse(server.url(repository)), into)
