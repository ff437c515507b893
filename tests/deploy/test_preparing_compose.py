"""What the containers of docker-compose.yml are given before they start is made once, and each gets its own."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from placet.trust import KeyHistory, KeySet, OwnKeys

from tools import workspace

DEPLOY = workspace.ROOT / "deploy"
SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
FOLDERS = (*SERVICES, "setup", "owner", "base", "rabbitmq", "postgres", "registry", "grafana", "nodes")
NOBODY = 65532

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files are given away, which only root does")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As the container has it: the program with the broker's definitions, and empty volumes."""
    for name in FOLDERS:
        (tmp_path / "secrets" / name).mkdir(parents=True)
    (tmp_path / "volumes" / "registry").mkdir(parents=True)
    (tmp_path / "placet").mkdir()
    shutil.copy(DEPLOY / "compose" / "prepare.py", tmp_path / "placet")
    shutil.copy(DEPLOY / "rabbitmq" / "definitions.json", tmp_path / "placet")
    return tmp_path


def prepare(root: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(root / "placet" / "prepare.py"), *(words or ("secrets",))],
        env={**os.environ, "PLACET_PREPARED": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def written(root: Path) -> dict[str, tuple[str, int]]:
    """Every file: what it says, and when that was written."""
    return {
        path.relative_to(root / "secrets").as_posix(): (path.read_text(), path.stat().st_mtime_ns)
        for path in sorted((root / "secrets").rglob("*"))
        if path.is_file()
    }


def said(root: Path, name: str) -> Any:
    return json.loads((root / "secrets" / name).read_text())


def test_a_second_run_changes_nothing(root: Path) -> None:
    prepare(root)
    first = written(root)
    prepare(root)
    assert written(root) == first
    assert len({text for text, _ in first.values()}) > 20


def test_what_is_missing_is_made_again_as_it_was(root: Path) -> None:
    """As after a crash, which may leave a file half written beside."""
    prepare(root)
    first = {name: text for name, (text, _) in written(root).items()}
    for name in (
        "builder/database-url",
        "registry/htpasswd",
        "rabbitmq/definitions.json",
        "indexer/tokens.json",
    ):
        (root / "secrets" / name).unlink()
    (root / "secrets" / "builder" / ".database-url.new").write_text("postgresql://half")
    prepare(root)
    assert {name: text for name, (text, _) in written(root).items()} == first


def test_another_password_for_one_service_is_another_everywhere_and_for_nobody_else(root: Path) -> None:
    prepare(root)
    before, passwords = written(root), said(root, "setup/passwords.json")
    prepare(root, "secrets", "--renew", "builder")
    after, renewed = written(root), said(root, "setup/passwords.json")
    assert {name for name in after if after[name] != before[name]} == {
        "setup/passwords.json",
        "builder/amqp-url",
        "builder/database-url",
        "builder/registry-url",
        "rabbitmq/definitions.json",
        "registry/htpasswd",
    }
    changed = {
        (kind, name)
        for kind, names in passwords.items()
        for name, password in names.items()
        if renewed[kind][name] != password
    }
    assert changed == {("broker", "builder"), ("database", "placet_builder"), ("registry", "builder")}
    lines = [set(each["registry/htpasswd"][0].splitlines()) for each in (before, after)]
    assert [line.partition(":")[0] for line in lines[1] - lines[0]] == ["builder"]


def test_the_nodes_of_a_cluster_have_one_user_of_the_registry_whose_password_is_renewed_alone(
    root: Path,
) -> None:
    prepare(root)
    before = written(root)
    assert before["nodes/password"][0] == said(root, "setup/passwords.json")["registry"]["nodes"]
    prepare(root, "secrets", "--renew", "nodes")
    after = written(root)
    assert {name for name in after if after[name] != before[name]} == {
        "setup/passwords.json",
        "nodes/password",
        "registry/htpasswd",
    }
    lines = [set(each["registry/htpasswd"][0].splitlines()) for each in (before, after)]
    assert [line.partition(":")[0] for line in lines[1] - lines[0]] == ["nodes"]


def test_a_platform_that_was_there_before_gets_what_is_new_and_keeps_the_rest(root: Path) -> None:
    prepare(root)
    before, passwords = written(root), said(root, "setup/passwords.json")
    passwords["registry"].pop("nodes")
    (root / "secrets" / "setup" / "passwords.json").write_text(json.dumps(passwords))
    (root / "secrets" / "nodes" / "password").unlink()
    prepare(root)
    assert said(root, "setup/passwords.json")["registry"].keys() - passwords["registry"].keys() == {"nodes"}
    assert {name for name, told in written(root).items() if told != before[name]} == {
        "setup/passwords.json",
        "nodes/password",
        "registry/htpasswd",
    }


def test_whose_it_is_alone_reads_it(root: Path) -> None:
    prepare(root)
    for service in (*SERVICES, "grafana", "nodes"):
        for path in (root / "secrets" / service).iterdir():
            found = path.stat()
            assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY), path
            assert found.st_mode & 0o077 == 0, path
        assert (root / "secrets" / service).stat().st_mode & 0o777 == 0o700
    assert said(root, "setup/passwords.json")["grafana"].keys() == {"admin"}
    for folder in ("setup", "base"):
        assert {path.stat().st_uid for path in (root / "secrets" / folder).iterdir()} == {0}
        assert (root / "secrets" / folder).stat().st_mode & 0o777 == 0o700
    assert (root / "volumes" / "registry").stat().st_uid == NOBODY


def test_the_registry_knows_the_passwords_by_their_hashes(root: Path) -> None:
    prepare(root)
    passwords = said(root, "setup/passwords.json")["registry"]
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    lines = (root / "secrets" / "registry" / "htpasswd").read_text().splitlines()
    assert {line.partition(":")[0] for line in lines} == passwords.keys() == {*SERVICES, "bases", "nodes"}
    for line in lines:
        name, _, kept = line.partition(":")
        assert kept.startswith("$2y$")
        assert library.crypt(passwords[name].encode(), kept.encode()).decode() == kept
        assert library.crypt(b"another", kept.encode()).decode() != kept
    assert len({line.partition(":")[2][:29] for line in lines}) == len(lines), "each has a salt of its own"


def test_the_broker_knows_them_as_it_makes_hashes_itself(root: Path) -> None:
    prepare(root)
    passwords = said(root, "setup/passwords.json")["broker"]
    document = said(root, "rabbitmq/definitions.json")
    assert {each["name"] for each in document["users"]} == passwords.keys() == set(SERVICES)
    for user in document["users"]:
        kept = base64.b64decode(user["password_hash"])
        assert kept[4:] == hashlib.sha256(kept[:4] + passwords[user["name"]].encode()).digest()
        assert user["tags"] in ("", [])


def test_each_who_checks_what_was_signed_knows_the_key_of_who_signs(root: Path) -> None:
    prepare(root)
    tokens = (root / "secrets" / "gateway" / "tokens.json").read_text()
    assert len(KeySet.from_json(tokens)) == 1
    for service in set(SERVICES) - {"gateway"}:
        assert (root / "secrets" / service / "tokens.json").read_text() == tokens
    certificates = (root / "secrets" / "certifier" / "certificates.json").read_text()
    assert (root / "secrets" / "deployer" / "certificates.json").read_text() == certificates
    assert "PRIVATE" not in tokens + certificates


def test_a_key_that_was_rotated_out_and_removed_is_not_followed_by_one_that_nobody_asked_for(
    root: Path,
) -> None:
    """As the page on keys has it; who checks is told of the history."""
    prepare(root)
    first = root / "secrets" / "certifier" / "certificates.pem"
    keys = OwnKeys(first, lambda: datetime(2026, 11, 30, tzinfo=UTC))
    following = keys.rotate(at=datetime(2026, 11, 30, tzinfo=UTC), why="scheduled")
    first.unlink()
    prepare(root)
    assert not first.exists()
    told = KeyHistory.from_json((root / "secrets" / "deployer" / "certificates.json").read_bytes())
    assert [each.kid for each in told][1:] == [following.kid]


def test_who_checks_tokens_of_a_provider_makes_the_same_ids_of_its_people(root: Path) -> None:
    """For good: whatever else is renewed, and for a service whose file was lost."""
    prepare(root)
    keys = [root / "secrets" / service / "people.key" for service in SERVICES]
    (secret,) = {key.read_text() for key in keys}
    assert len(secret.strip()) == 64
    (root / "secrets" / "builder" / "people.key").unlink()
    prepare(root, "secrets", "--renew", "builder")
    assert {key.read_text() for key in keys} == {secret}


def kept(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """What must not be lost: each file, with its owner and its rights."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_uid, path.stat().st_mode)
        for folder in ("secrets/setup", "secrets/gateway", "secrets/certifier", "secrets/metadata", "volumes")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def empty(folder: Path) -> Path:
    for name in FOLDERS:
        (folder / "secrets" / name).mkdir(parents=True)
    (folder / "volumes" / "registry").mkdir(parents=True)
    shutil.copytree(DEPLOY / "compose", folder / "placet")
    shutil.copy(DEPLOY / "rabbitmq" / "definitions.json", folder / "placet")
    return folder


def test_what_was_backed_up_is_the_same_platform_elsewhere(root: Path, tmp_path: Path) -> None:
    prepare(root)
    blobs = root / "volumes" / "registry" / "docker"
    (blobs / "_uploads").mkdir(parents=True)
    (blobs / "data").write_bytes(bytes(100_000))
    os.chown(blobs / "data", NOBODY, NOBODY)
    before, everything = kept(root), {name: text for name, (text, _) in written(root).items()}
    (blobs / "_uploads" / "half").write_text("is sent again")
    (root / "secrets" / "metadata" / "checkpoints.last").write_text("signed last")
    archive = tmp_path / "volumes.tar"
    prepare(root, "backup", str(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    (root / "secrets" / "metadata" / "checkpoints.last").unlink()

    elsewhere = empty(tmp_path / "elsewhere")
    prepare(elsewhere, "restore", str(archive))
    (elsewhere / "secrets" / "metadata" / "checkpoints.last").unlink()
    assert kept(elsewhere) == before
    prepare(elsewhere)
    assert {name: text for name, (text, _) in written(elsewhere).items()} == everything


def test_half_a_backup_is_none(root: Path, tmp_path: Path) -> None:
    """Of a disk that is full; and nothing is written over what is there, or where nothing can be."""
    prepare(root)
    (root / "volumes" / "registry" / "blob").write_bytes(bytes(100_000))
    archive, placed = tmp_path / "volumes.tar", tmp_path / "no-folder" / "volumes.tar"
    words = [sys.executable, str(root / "placet" / "prepare.py"), "backup", str(archive)]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 64 && exec "$@"', "bash", *words],
        env={**os.environ, "PLACET_PREPARED": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, archive.exists()) == (1, False)
    assert "nothing was backed up" in done.stderr
    assert "nothing was backed up" in prepare(root, "backup", str(placed), status=1)
    archive.write_text("of yesterday")
    assert "there already" in prepare(root, "backup", str(archive), status=1)
    assert archive.read_text() == "of yesterday"


def test_a_platform_that_has_secrets_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    prepare(root)
    before = kept(root)
    other = empty(tmp_path / "other")
    prepare(other)
    prepare(other, "backup", str(tmp_path / "volumes.tar"))
    assert "already" in prepare(root, "restore", str(tmp_path / "volumes.tar"), status=1)
    assert kept(root) == before


def test_the_registry_alone_is_put_back_beside_secrets_that_are_there(root: Path, tmp_path: Path) -> None:
    prepare(root)
    (root / "volumes" / "registry" / "blob").write_text("a layer")
    prepare(root, "backup", str(tmp_path / "volumes.tar"))
    (root / "volumes" / "registry" / "blob").unlink()
    prepare(root, "secrets", "--renew", "builder")
    before = written(root)
    prepare(root, "restore", "--registry", str(tmp_path / "volumes.tar"))
    assert (root / "volumes" / "registry" / "blob").read_text() == "a layer"
    assert written(root) == before


@pytest.mark.parametrize(
    "name", ["secrets/../etc", "secrets/builder/amqp-url", "/secrets/setup/../../etc", "etc"]
)
def test_an_archive_that_names_other_places_writes_nothing_there(root: Path, name: str) -> None:
    archive = root / "volumes.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    assert "nothing that was backed up" in prepare(root, "restore", str(archive), status=1)
    assert written(root) == {}


def test_what_is_no_service_is_told(root: Path) -> None:
    assert "gatekeeper" in prepare(root, "secrets", "--renew", "gatekeeper", status=2)
