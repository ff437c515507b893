"""The Secrets of a first installation: what the chart's values call for, and what a database takes its services by."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import yaml
from placet.trust import KeySet, SigningKey

from tests.support.helm import example, rendered
from tools import workspace

PROGRAM = workspace.ROOT / "deploy" / "helm" / "first_secrets.py"
BROKER = "amqps://placet.messaging.svc:5671/"
DATABASE = "postgresql://db.example.org:5432/placet?sslmode=verify-full&sslrootcert=/run/trust/ca.pem"
REGISTRY = "https://registry.example.org"
SERVERS = ("--broker", BROKER, "--database", DATABASE, "--registry", REGISTRY)

Secrets = dict[str, dict[str, str]]


def make(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, *(words or SERVERS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def read(folder: Path, name: str = "secrets.yaml") -> Secrets:
    return {
        each["metadata"]["name"]: {key: base64.b64decode(text).decode() for key, text in each["data"].items()}
        for each in yaml.safe_load_all((folder / name).read_text())
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "secrets"
    make(folder, *SERVERS, "--provider", "--broker-namespace", "messaging")
    return folder


def test_there_is_what_the_chart_calls_for_and_nothing_else(folder: Path) -> None:
    wanted: dict[str, set[str]] = {}
    chart = rendered(example("production"))
    for each in (*chart.all("Deployment"), *chart.all("Job")):
        for volume in each["spec"]["template"]["spec"]["volumes"]:
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"].get("items", ())}
                wanted.setdefault(volume["secret"]["secretName"], set()).update(keys)
    made = read(folder)
    assert made.keys() == wanted.keys()
    for name, keys in wanted.items():
        if name.endswith("-keys"):
            assert [key for key in made[name] if key.endswith(".pem")]
        else:
            assert made[name].keys() == keys, name


def test_nobody_else_can_read_it(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_each_service_is_a_user_of_its_own_everywhere(folder: Path) -> None:
    passwords = json.loads((folder / "passwords.json").read_text())
    made = read(folder)
    for service in workspace.SERVICES:
        own = made[f"placet-{service}"]
        for key, name, kind in (
            ("amqp-url", service, "broker"),
            ("database-url", f"placet_{service}", "database"),
            ("registry-url", service, "registry"),
        ):
            parts = urlsplit(own[key])
            assert (parts.username, parts.password) == (name, passwords[kind][name])
        others = {
            password
            for kind, names in passwords.items()
            for name, password in names.items()
            if name not in (service, f"placet_{service}")
        }
        assert not {each for each in others if each in json.dumps(own)}
    assert parse_qs(urlsplit(made["placet-database-owner"]["database-url"]).query)["sslmode"] == [
        "verify-full"
    ]
    assert urlsplit(made["placet-metadata"]["database-url"]).path == "/placet"


def test_who_checks_knows_who_signs(folder: Path, tmp_path: Path) -> None:
    made = read(folder)
    for name, what in (("gateway", "tokens"), ("certifier", "certificates")):
        file = tmp_path / what
        file.write_text(made[f"placet-{name}-keys"][f"{what}.pem"])
        file.chmod(0o600)
        told = made[f"placet-{name}-keys"][f"{what}.json"]
        assert SigningKey.load(file).kid in KeySet.from_json(told)
        checked_by = {each for each, keys in made.items() if f"{what}.json" in keys} - {f"placet-{name}-keys"}
        assert {made[each][f"{what}.json"] for each in checked_by} == {told}
    assert len({made[f"placet-{each}"]["oidc-person-key"] for each in workspace.SERVICES}) == 1


def test_the_brokers_users_have_the_passwords_of_the_services(folder: Path) -> None:
    passwords = json.loads((folder / "passwords.json").read_text())["broker"]
    assert read(folder, "rabbitmq.yaml") == {
        f"placet-broker-{name}": {"username": name, "password": passwords[name]}
        for name in workspace.SERVICES
    }
    for each in yaml.safe_load_all((folder / "rabbitmq.yaml").read_text()):
        assert each["metadata"]["labels"] == {"rabbitmq.com/topology-operator": "true"}
        assert each["metadata"]["namespace"] == "messaging"
    users = json.loads((folder / "definitions.json").read_text())["users"]
    assert {each["name"] for each in users} == passwords.keys()
    assert all(each["password_hash"] for each in users)


def test_what_is_there_is_never_written_over(folder: Path) -> None:
    before = {each: each.read_text() for each in folder.iterdir()}
    assert f"{folder} is there" in make(folder, status=2)
    assert {each: each.read_text() for each in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("--broker", "http://rabbitmq"), "--broker"),
        (("--database", "postgresql://admin:x@db/placet"), "--database"),
        (("--database", "postgresql://db/placet-1"), "--database"),
        (("--registry", "registry.example.org"), "--registry"),
    ],
)
def test_an_address_that_is_none_is_named(wrong: tuple[str, str], named: str, tmp_path: Path) -> None:
    assert named in make(tmp_path / "none", *SERVERS, *wrong, status=2)
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_a_database_takes_the_services_by_them(database_url: str, tmp_path: Path) -> None:
    """An administrator who is no superuser runs the file; the jobs make tables; services may use them and no more."""
    parts = urlsplit(database_url)
    name = parts.path.strip("/")
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    make(tmp_path / "s", "--broker", BROKER, "--database", plain, "--registry", REGISTRY)
    made = read(tmp_path / "s")
    roles = [f"placet_{each}" for each in ("owner", *workspace.SERVICES)]
    administrator = f"administrator_of_{name}"
    asyncio.run(drop_all(database_url, roles))  # of other tests on the same server
    asyncio.run(
        run_all(
            database_url,
            f"CREATE ROLE {administrator} LOGIN CREATEROLE PASSWORD 'managed'",
            f"ALTER DATABASE {name} OWNER TO {administrator}",
        )
    )
    managed = parts._replace(netloc=f"{administrator}:managed@{urlsplit(plain).netloc}").geturl()
    try:
        done = subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", managed, "--file", tmp_path / "s" / "roles.sql"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for service in workspace.SERVICES:
            prepare(service, made["placet-database-owner"]["database-url"], tmp_path)
            prepare(service, made["placet-database-owner"]["database-url"], tmp_path)  # as an upgrade does
        for service in workspace.SERVICES:
            found = asyncio.run(schemas_of(made[f"placet-{service}"]["database-url"]))
            assert found == {service}
    finally:
        asyncio.run(drop_all(database_url, [*roles, administrator]))


def prepare(service: str, owner: str, folder: Path) -> None:
    (folder / "database-url").write_text(owner)
    job = rendered().the("Job", f"placet-database-{service}")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {
        each["name"]: each["value"].replace("/run/owner", str(folder)) for each in container["env"]
    }
    done = subprocess.run(
        [sys.executable, "-m", f"placet.{service}", *container["args"]],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"placet_{service} has SELECT, INSERT ON", done.stderr)


async def schemas_of(url: str) -> set[str]:
    """In which it may use tables. It owns none of them."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        rows = await connection.fetch(
            "SELECT schemaname, has_table_privilege(schemaname || '.' || tablename, 'DELETE') AS deletes, tablename"
            " FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            " AND has_schema_privilege(schemaname, 'USAGE')"
        )
        owned = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
    finally:
        await connection.close()
    assert owned == 0
    assert not [row for row in rows if row["tablename"] == "events" and row["deletes"]]
    return {str(row["schemaname"]) for row in rows}


async def run_all(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        for each in statements:
            await connection.execute(each)
    finally:
        await connection.close()


async def drop_all(database_url: str, roles: list[str]) -> None:
    """What they own goes with the database, which another may drop."""
    connection = await asyncpg.connect(database_url, timeout=30)
    try:
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        await connection.execute(
            f'ALTER DATABASE "{urlsplit(database_url).path.strip("/")}" OWNER TO CURRENT_USER'
        )
        for each in roles:
            if each in there:
                await connection.execute(f"DROP OWNED BY {each} CASCADE")
        for each in reversed(roles):
            if each in there:
                await connection.execute(f"DROP ROLE {each}")
    finally:
        await connection.close()
