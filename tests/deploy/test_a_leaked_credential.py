"""How far somebody gets who has one service's credentials: as `docs/explanation/blast-radius.md` says, and no further.

The users and roles are those that ship: the broker's definitions, and the database's roles as
`deploy/compose/prepare.py` makes them and `--prepare-database` grants them. All is tried, or asked of the server.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import aiormq
import asyncpg
import pytest
from aiormq.abc import AbstractChannel
from placet.events.adapters.rabbitmq_bus import open_rabbitmq_bus
from placet.events.bus import EXCHANGE, STREAM
from placet.trust import own_key

from tests.deploy import preparing
from tests.support.amqp import amqp_channel, properties
from tests.support.platforms import SERVICES
from tests.support.servers import PostgreSQL, RabbitMQ
from tools import workspace

PAGE = workspace.ROOT / "docs" / "explanation" / "blast-radius.md"
REFUSED = aiormq.ChannelAccessRefused


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A database as compose prepares it; as whom to log in, by service, and as the owner and the administrator."""

    owner: str
    administrator: str
    roles: dict[str, str]


@pytest.fixture(scope="module")
def installed(postgres: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    postgres.start()
    administrator = postgres.create_database()
    prepare = preparing.prepare()
    where = urlsplit(administrator)
    prepare.DATABASE = where.path.removeprefix("/")
    prepare.ADMINISTRATOR = where.username
    host = f"{where.hostname}:{where.port}{where.path}"
    prepare.POSTGRESQL = "postgresql://{name}:{password}@" + host
    passwords = {name: f"password-of-{name}" for name in prepare.roles()}
    passwords[str(where.username)] = str(where.password)
    asyncio.run(prepare.make_roles({"database": passwords}))

    def url(role: str) -> str:
        return urlunsplit(where._replace(netloc=f"{role}:{passwords[role]}@{where.hostname}:{where.port}"))

    keys = tmp_path_factory.mktemp("keys")
    for name in ("certificates", "tokens"):
        own_key(keys / f"{name}.pem")
    try:
        for service in SERVICES:
            _prepare_database(service, url(prepare.OWNER), prepare.role(service), keys)
        yield Installed(
            owner=url(prepare.OWNER),
            administrator=administrator,
            roles={service: url(prepare.role(service)) for service in SERVICES},
        )
    finally:
        postgres.drop_database(administrator)
        for role in prepare.roles():
            postgres.drop_role(url(role))


def _prepare_database(service: str, owner: str, role: str, keys: Path) -> None:
    settings = {
        "AMQP_URL": "amqp://none",
        "DATABASE_URL": owner,
        "REGISTRY": "http://127.0.0.1:9",
        "TOKEN_KEY": keys / "tokens.pem",
        "TOKEN_KEYS": keys / "tokens.json",
        "ADMIN_TOKEN_FILE": keys / "admin.token",
        "SIGNING_KEY": keys / f"{'certificates' if service == 'certifier' else 'checkpoints'}.pem",
        "CERTIFIER_KEYS": keys / "certificates.json",
        "DATA_DIR": keys / service,
        "DATA": keys / service,
        "PUBLIC_URL": "http://127.0.0.1:9",
    }
    subprocess.run(
        [sys.executable, "-m", f"placet.{service}", "--prepare-database", role],
        env={**os.environ, **{f"PLACET_{name}": str(value) for name, value in settings.items()}},
        check=True,
        capture_output=True,
    )


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


# the database


async def test_a_role_has_its_own_schema_and_no_right_beyond_the_page(installed: Installed) -> None:
    """Asked of the server, over every table that there is."""
    async with logged_in(installed.administrator) as database:
        rights = await database.fetch(
            "SELECT r.rolname AS role, n.nspname AS schema, c.relname AS name, p.may"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " CROSS JOIN pg_roles r CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'),"
            " ('REFERENCES'), ('TRIGGER')) AS p (may)"
            " WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'v', 'm', 'p') AND r.rolname = ANY($2)"
            " AND has_table_privilege(r.oid, c.oid, p.may)",
            list(SERVICES),
            [f"placet_{service}" for service in SERVICES],
        )
        written_once = {
            (row["schema"], row["name"])
            for row in await database.fetch(
                "SELECT DISTINCT n.nspname AS schema, c.relname AS name FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE NOT t.tgisinternal AND n.nspname = ANY($1)",
                list(SERVICES),
            )
        }
    found: dict[tuple[str, str, str], set[str]] = {}
    for row in rights:
        found.setdefault((row["role"], row["schema"], row["name"]), set()).add(row["may"])
    assert {schema for _, schema, _ in found} == set(SERVICES)
    for (role, schema, name), has in found.items():
        assert role == f"placet_{schema}", f"{role} reaches {schema}.{name}"
        once = (schema, name) in written_once
        expected = {"SELECT", "INSERT"} if once else {"SELECT", "INSERT", "UPDATE", "DELETE"}
        assert has == expected, (schema, name)
    for service in SERVICES:
        assert found[f"placet_{service}", service, "events"] == {"SELECT", "INSERT"}
    audit = {name for role, _, name in found if role == "placet_metadata" and name.startswith("audit")}
    for name in ("audit", "audit_checkpoints", "audit_cosignatures", "audit_tiles"):
        assert name in audit
        assert found["placet_metadata", "metadata", name] == {"SELECT", "INSERT"}


ATTEMPTS = (
    "UPDATE {own}.events SET raw = raw",
    "DELETE FROM {own}.events",
    "TRUNCATE {own}.events",
    "ALTER TABLE {own}.events DISABLE TRIGGER ALL",
    "ALTER TABLE {own}.events OWNER TO CURRENT_USER",
    "DROP TABLE {own}.events",
    "DROP SCHEMA {own} CASCADE",
    "CREATE TABLE {own}.planted (x int)",
    "CREATE TABLE public.planted (x int)",
    "CREATE SCHEMA planted",
    "CREATE FUNCTION {own}.planted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TEMPORARY TABLE planted (x int)",
    "SELECT * FROM {other}.events",
    "INSERT INTO {other}.events SELECT * FROM {own}.events",
    "SELECT * FROM {other}.inbox",
    "DELETE FROM {other}.jobs",
    "SET ROLE placet_owner",
    "SET ROLE placet_{other}",
    "SET SESSION AUTHORIZATION placet_{other}",
    "SET session_replication_role = replica",
    "ALTER ROLE placet_{other} PASSWORD 'mine'",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE ROLE planted LOGIN",
    "GRANT placet_owner TO CURRENT_USER",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/planted'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> CURRENT_USER",
    "ALTER SYSTEM SET fsync = off",
    "CREATE EXTENSION dblink SCHEMA {own}",
    "SELECT pg_switch_wal()",
)


@pytest.mark.parametrize("service", SERVICES)
async def test_what_a_thief_would_try_is_refused(installed: Installed, service: str) -> None:
    other = next(each for each in SERVICES if each != service)
    async with logged_in(installed.roles[other]), logged_in(installed.roles[service]) as database:
        for attempt in ATTEMPTS:
            with pytest.raises(
                (
                    asyncpg.InsufficientPrivilegeError,
                    asyncpg.InvalidParameterValueError,
                    asyncpg.PostgresError,
                )
            ) as refused:
                await database.execute(attempt.format(own=service, other=other))
            assert refused.value.sqlstate in ("42501", "42704", "0LP01"), (attempt, refused.value)


@pytest.mark.parametrize("service", SERVICES)
async def test_another_database_of_the_server_is_closed(installed: Installed, service: str) -> None:
    parts = urlsplit(installed.roles[service])
    for name in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(urlunsplit(parts._replace(path=f"/{name}")))


# the broker


@pytest.fixture
async def declared(broker: RabbitMQ) -> dict[str, str]:
    """The URL of each service's user, on a broker where every queue is there."""
    urls = {service: await asyncio.to_thread(broker.add_service_user, service) for service in SERVICES}
    for service, url in urls.items():
        bus = await open_rabbitmq_bus(url, service=service)
        await bus.close()
        async with amqp_channel(url) as channel:
            await channel.queue_declare(
                f"placet.{service}", durable=True, arguments={"x-queue-type": "quorum"}
            )
    return urls


Attempt = Callable[[AbstractChannel], Any]


async def may(url: str, attempt: Attempt) -> bool:
    async with amqp_channel(url) as channel:
        try:
            await attempt(channel)
        except REFUSED:
            return False
        return True


@pytest.mark.parametrize("service", SERVICES)
async def test_a_user_says_what_is_its_services_alone(declared: dict[str, str], service: str) -> None:
    def say(producer: str, exchange: str = EXCHANGE) -> Attempt:
        return lambda channel: channel.basic_publish(
            b"{}", exchange=exchange, routing_key=f"{producer}.thing.done.wine", properties=properties()
        )

    for producer in SERVICES:
        assert await may(declared[service], say(producer)) == (producer == service), producer
    for exchange in ("amq.topic", "amq.direct", "amq.fanout"):
        assert not await may(declared[service], say(service, exchange)), exchange

    def put_into(queue: str) -> Attempt:
        return lambda channel: channel.basic_publish(b"{}", exchange="", routing_key=queue)

    for other in SERVICES:
        assert not await may(declared[service], put_into(f"placet.{other}"))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_user_touches_no_queue_but_its_services(declared: dict[str, str], service: str) -> None:
    def attempts(queue: str) -> dict[str, Attempt]:
        return {
            "read": lambda channel: channel.basic_get(queue),
            "empty": lambda channel: channel.queue_purge(queue),
            "bind": lambda channel: channel.queue_bind(queue, EXCHANGE, routing_key="#"),
            "delete": lambda channel: channel.queue_delete(queue, if_empty=True),
        }

    for other in SERVICES:
        for name, attempt in attempts(f"placet.{other}").items():
            if other != service:
                assert not await may(declared[service], attempt), (name, other)
    assert not await may(declared[service], lambda channel: channel.basic_get(STREAM))
    assert not await may(declared[service], lambda channel: channel.queue_declare("planted"))
    assert not await may(declared[service], lambda channel: channel.exchange_declare("planted"))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_user_administers_nothing(broker: RabbitMQ, declared: dict[str, str], service: str) -> None:
    parts = urlsplit(broker.management_url)
    request = Request(f"http://{parts.hostname}:{parts.port}/api/overview")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{service}:{service}".encode()).decode())
    with pytest.raises(OSError, match="HTTP Error 401"):
        await asyncio.to_thread(urlopen, request, timeout=30)
    elsewhere = urlunsplit(urlsplit(declared[service])._replace(path="/%2F"))
    with pytest.raises(aiormq.AMQPError):
        await aiormq.connect(elsewhere)


# the page


def test_the_page_has_every_credential() -> None:
    """And says of each what to do where it leaked."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(\w+)\*\* \|(.*)\|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == list(SERVICES)
    for _, row in rows:
        assert all(cell.strip() for cell in row.split("|")), row
