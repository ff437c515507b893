"""The event store in PostgreSQL: one schema for each service, the head's row lock, and bulk inserts by `unnest`.

The statements of the hot path go to asyncpg directly, on the same connection and in the same transaction as
SQLAlchemy's: at 32 writers they are what the disk does not hide. The transaction is begun together with taking the
lock, to save a way to the server and back; SQLAlchemy, which is told to leave transactions alone, does not know.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from placet.errors import Refused, Unavailable
from placet.events.adapters.postgresql_url import connecting
from placet.events.adapters.sql_store import GetPage, NotUnique, Objected, Page, Row, SqlStore
from placet.events.clocks import Ids
from placet.events.codec import Codec
from placet.events.store import EVENTS, Put

_AWAY = ("08", "53", "57", "58", "40001", "40P01", "55P03", "25006")
"""SQLSTATEs and classes of them: connection, resources, operator intervention (it shuts down, it starts), its own
system; others were in the way (serialization, deadlock, lock timeout); it is a standby, or closed for writing."""
_CANCELLED = "57014"
"""A statement that took longer than it may, or was cancelled by hand: that is about the statement, not the server."""
_REFUSED = {
    "28": "correct the user and the password in PLACET_DATABASE_URL, or the server's pg_hba.conf",
    "3D": "create it, or correct PLACET_DATABASE_URL",
    "42501": "grant it to the user in PLACET_DATABASE_URL",
    "42704": "correct the options in PLACET_DATABASE_URL",
    "22023": "correct the options in PLACET_DATABASE_URL",
}
"""SQLSTATEs and classes of them that no waiting cures, and the next step: who it is, which database, what it may."""
CLOSE_WITHIN = 3.0
"""Seconds for what is waiting to be committed, and as many for a goodbye to the server: it may be gone, and asyncpg
would wait for each connection as long as for an answer."""
READERS = 16
"""Connections to read by, at most. They are kept: what overflows a pool is opened for one query and closed again."""
_IS_RECOGNISED = "placet: its database is the one that the logs are in"
"""Noted at a connection, for as long as it lives."""
_NO_RIGHT_TO_CREATE = ("42501", "3F000")
"""It may not, or may not even look: a schema that it may not use is none to it."""
_TRIGGER = "written_once"
_ASYNCPG = "postgresql+asyncpg://"
_ADVISORY_KEY = 0x706C61636574  # "placet": two processes that start at once must not both create the tables


class PostgreSQLStore(SqlStore):
    """Open it with `open_postgresql_store`."""

    schema: str
    connections: Collection[asyncpg.Connection[asyncpg.Record]] = ()
    """Those that are open, and maybe others, to be closed together: pools close what they have one by one."""

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._appender.close()
        # One that is not closed in time is aborted, and with it what still waits on it.
        goodbyes = [each.close(timeout=CLOSE_WITHIN) for each in self.connections]
        await asyncio.gather(*goodbyes, return_exceptions=True)
        await self._appender.cancel()
        await super().close()

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[AsyncConnection]:
        async with self._writer.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            info = (await connection.get_raw_connection()).info
            if _IS_RECOGNISED not in info:
                # It may have come up elsewhere: a failover cuts every connection, and the first thing on a new one
                # must not be a commit under an epoch whose end the new server may have lost.
                async with self._transaction(connection):
                    await self.recognise(connection)
                info[_IS_RECOGNISED] = True
            async with self._transaction(connection):
                yield connection

    @asynccontextmanager
    async def _transaction(self, connection: AsyncConnection) -> AsyncIterator[None]:
        async with _driver(connection) as driver:
            try:
                # In one order for everybody, or two processes could each have what the other waits for.
                # Whatever this database's default is: a snapshot from before the wait for the lock is of no use.
                await driver.execute(
                    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM log_heads ORDER BY log FOR UPDATE"
                )
            except asyncpg.QueryCanceledError as error:
                await _roll_back(connection, driver)
                raise Unavailable("others have the logs' lock", retry_after=1.0) from error
            except BaseException:
                await _roll_back(connection, driver)
                raise
            try:
                yield
                await driver.execute("COMMIT")
            except BaseException:
                await _roll_back(connection, driver)
                raise

    async def ends(
        self, connection: AsyncConnection, log: str, streams: Sequence[str]
    ) -> tuple[int, dict[str, int]]:
        # One step into the (stream, version) index for each stream; max() with GROUP BY would walk them whole.
        async with _driver(connection) as driver:
            rows = await driver.fetch(
                f"SELECT s, (SELECT version FROM {log} WHERE stream = s ORDER BY version DESC LIMIT 1), "  # noqa: S608 - a table's name
                "(SELECT position FROM log_heads WHERE log = $2) FROM unnest($1::text[]) AS s",
                streams,
                log,
            )
        return rows[0][2], {stream: version or 0 for stream, version, _ in rows}

    async def insert_events(
        self, connection: AsyncConnection, log: str, rows: Sequence[Row], position: int
    ) -> None:
        async with _driver(connection) as driver:
            await driver.execute(
                "WITH moved AS (UPDATE log_heads SET position = $6 WHERE log = $7) "  # noqa: S608 - a table's name
                f"INSERT INTO {log} (position, id, stream, version, raw) "
                "SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])",
                [row.position for row in rows],
                [row.id for row in rows],
                [row.stream for row in rows],
                [row.version for row in rows],
                [row.raw for row in rows],
                position,
                log,
            )

    async def create_tables(self, connection: AsyncConnection) -> None:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
        user = await self._create_schema(connection)
        try:
            for tables in self._tables:
                await connection.run_sync(tables.create_all)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_RIGHT_TO_CREATE:
                raise
            raise Refused(
                f"PostgreSQL: tables are missing in schema {self.schema}: {error.orig}",
                fix=f"GRANT USAGE, CREATE ON SCHEMA {self.schema} TO {user}",
            ) from error
        await self._create_indexes(connection, user)
        await self._write_once(connection, user)

    async def _create_indexes(self, connection: AsyncConnection, user: str) -> None:
        """Those that a later version has of tables that are there."""
        found = await connection.execute(
            sa.text("SELECT indexname FROM pg_indexes WHERE schemaname = :schema"), {"schema": self.schema}
        )
        there = {row.indexname for row in found}
        missing = [
            index
            for tables in self._tables
            for table in tables.sorted_tables
            for index in table.indexes
            if index.name not in there
        ]
        try:
            for index in missing:
                await connection.run_sync(index.create)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_RIGHT_TO_CREATE:
                raise
            raise Refused(
                f"PostgreSQL: indexes are missing in schema {self.schema}: {error.orig}",
                fix=f"as the owner of the tables: python -m placet.{self.schema} --prepare-database {user}",
            ) from error

    async def _write_once(self, connection: AsyncConnection, user: str) -> None:
        """Have the database refuse to change what is written once, whoever asks. No insert pays for it.

        Who owns the tables can take that away again; a role that does not (`grant`) cannot.
        """
        query = (
            "SELECT tgrelid::regclass::text FROM pg_trigger"
            " WHERE tgname = :name AND tgrelid = to_regclass(:table)"
        )
        missing = [
            table
            for table in self.append_only()
            if await connection.scalar(sa.text(query), {"name": _TRIGGER, "table": table}) is None
        ]
        try:
            if missing:
                await connection.exec_driver_sql(
                    f"CREATE OR REPLACE FUNCTION {_TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME; END $$"
                )
            for table in missing:
                await connection.exec_driver_sql(
                    f"CREATE TRIGGER {_TRIGGER} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                    f"FOR EACH STATEMENT EXECUTE FUNCTION {_TRIGGER}()"
                )
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_RIGHT_TO_CREATE:
                raise
            raise Refused(
                f"PostgreSQL: nothing keeps rows of {', '.join(missing)} from being changed,"
                f" and {user} may not see to it",
                fix=f"as the owner of the tables: python -m placet.{self.schema} --prepare-database {user}",
            ) from error

    async def grant(self, role: str) -> list[str]:
        """Let `role` do what the service has to, and no more; once more after an upgrade. Returns what was granted.

        Raises Refused where it could do more all the same.
        """
        async with self._available(), self._writer.begin() as connection:
            await self._must_be_another(connection, role)
            name = connection.dialect.identifier_preparer.quote(role)
            tables = {table.name for tables in self._tables for table in tables.sorted_tables}
            once = sorted(self.append_only())
            rest = ", ".join(sorted(tables - set(once)))
            granted = [
                f"USAGE ON SCHEMA {self.schema}",
                f"SELECT, INSERT ON {', '.join(once)}",
                f"SELECT, INSERT, UPDATE, DELETE ON {rest}",
            ]
            await connection.exec_driver_sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA {self.schema} FROM {name}")
            await connection.exec_driver_sql(f"REVOKE ALL ON SCHEMA {self.schema} FROM {name}")
            for each in granted:
                await connection.exec_driver_sql(f"GRANT {each} TO {name}")
        return granted

    async def _must_be_another(self, connection: AsyncConnection, role: str) -> None:
        query = (
            "SELECT rolsuper, pg_has_role(rolname, :owner, 'MEMBER') AS is_owner"
            " FROM pg_roles WHERE rolname = :role"
        )
        owner = await connection.scalar(
            sa.text(
                "SELECT tableowner::text FROM pg_tables WHERE schemaname = :schema AND tablename = 'log_heads'"
            ),
            {"schema": self.schema},
        )
        found = (await connection.execute(sa.text(query), {"role": role, "owner": owner})).first()
        if found is None:
            raise Refused(
                f"PostgreSQL: there is no role {role}",
                fix=f"CREATE ROLE {role} LOGIN PASSWORD '…', for the service to log in as",
            )
        if found.rolsuper or found.is_owner:
            what = (
                "is a superuser" if found.rolsuper else f"is {owner}, who owns the tables, or a member of it"
            )
            raise Refused(
                f"PostgreSQL: {role} {what}, and may change what is written once",
                fix="make another role for the service to log in as",
            )

    async def _create_schema(self, connection: AsyncConnection) -> str:
        """Where it is missing: IF NOT EXISTS takes the right to create one even then. Returns who asks."""
        found = await connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema),"
                " has_database_privilege(current_database(), 'CREATE'), current_user::text"
            ),
            {"schema": self.schema},
        )
        is_there, may_create, user = found.one()
        if not (is_there or may_create):
            raise Refused(
                f"PostgreSQL: there is no schema {self.schema}, and {user} may not create it",
                fix=f"CREATE SCHEMA {self.schema} AUTHORIZATION {user}",
            )
        if not is_there:
            await connection.execute(sa.schema.CreateSchema(self.schema))
        return str(user)

    async def identity(self, connection: AsyncConnection) -> str | None:
        """The cluster, and the timeline, which a promoted standby and a recovery to a point in time begin anew."""
        may_ask = await connection.scalar(
            sa.text(
                "SELECT has_function_privilege('pg_control_system()', 'execute') AND NOT pg_is_in_recovery()"
            )
        )
        if not may_ask:
            return None
        # The timeline that is written now: pg_control_checkpoint() tells a new one only after its first checkpoint.
        identity: str = await connection.scalar(
            sa.text(
                "SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
                " FROM pg_control_system()"
            )
        )
        return identity

    @asynccontextmanager
    async def pages(self, log: str) -> AsyncIterator[GetPage]:
        streams = "NULL" if log == EVENTS else "array_agg(stream)"
        # Four arrays instead of a row for each event: half the work to take apart.
        query = (
            f"SELECT coalesce(max(position), $1), array_agg(version), {streams}, array_agg(raw), "  # noqa: S608 - a table's name
            f"(SELECT position FROM log_heads WHERE log = '{log}') FROM "
            f"(SELECT * FROM {log} WHERE position > $1 ORDER BY position LIMIT $2) AS page"
        )
        async with self._reader.connect() as connection, _driver(connection) as driver:

            async def get(after: int, limit: int) -> Page:
                (row,) = await driver.fetch(query, after, limit)
                last, versions, streams, raws, end = row
                return Page(last, versions or (), streams, raws or (), end)

            yield get

    def upsert(self, put: Put) -> sa.Insert:
        statement = insert(put.table)
        keys = [column.name for column in put.table.primary_key]
        changed = {
            name: statement.excluded[name] for name in put.row if name not in keys and name not in put.keep
        }
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=keys)
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    async def scrub(self, tables: Sequence[sa.Table]) -> bool:
        async with self._available(), self._writer.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in tables:
                may = sa.text(
                    "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = CAST(:name AS regclass)"
                )
                if not await connection.scalar(may, {"name": table.name}):
                    return False
                # Rewrites it: a plain VACUUM leaves the bytes of what was deleted until something else needs the room.
                await connection.execute(sa.text(f"VACUUM (FULL) {table.name}"))
        return True

    def is_away(self, error: DBAPIError) -> bool:
        return error.connection_invalidated or _says_away(error.orig)

    def gave_up(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) == _CANCELLED


async def open_postgresql_store(
    url: str, *, schema: str, codec: Codec, ids: Ids, tables: Iterable[sa.MetaData], logs: Iterable[str]
) -> PostgreSQLStore:
    """Connect, create what is missing in `schema`, and return the store. Raises Unavailable.

    Raises Refused where waiting would change nothing.
    """
    open_connection = connecting(url, schema=schema)
    connections: WeakSet[asyncpg.Connection[asyncpg.Record]] = WeakSet()

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        connection = await open_connection()
        connections.add(connection)
        return connection

    # Readers never wait for the writer's connection, nor it for theirs. A stale connection shows as Unavailable and
    # is tried again; a ping before each use would cost more.
    writer = create_async_engine(_ASYNCPG, async_creator=connect, pool_size=1, max_overflow=1)
    reader = create_async_engine(
        _ASYNCPG, async_creator=connect, pool_size=READERS, max_overflow=0, isolation_level="AUTOCOMMIT"
    )
    store = PostgreSQLStore(writer=writer, reader=reader, codec=codec, ids=ids, tables=tables, logs=logs)
    store.schema, store.connections = schema, connections
    try:
        await store.prepare()
    except (DBAPIError, Unavailable) as error:
        if refusal := _refusal(error):
            raise refusal from error
        raise
    return store


def _refusal(error: DBAPIError | Unavailable) -> Refused | None:
    """What is wrong with how the database is set up, and not with its health. Only at the start: a service that runs
    must not take what it is doing for refused because somebody changes a password."""
    said = error.orig if isinstance(error, DBAPIError) else error.__cause__
    match getattr(said, "orig", said):
        case asyncpg.ClientConfigurationError() | ssl.SSLCertVerificationError():
            fix = "correct the options in PLACET_DATABASE_URL"
        case ConnectionError() if "rejected SSL upgrade" in str(said):
            fix = "let it have a certificate, or set sslmode in PLACET_DATABASE_URL to less"
        case asyncpg.PostgresError(sqlstate=str(state)):
            fix = next((fix for begin, fix in _REFUSED.items() if state.startswith(begin)), "")
        case _:
            fix = ""
    return Refused(f"PostgreSQL: {said}", fix=fix) if fix else None


@asynccontextmanager
async def _driver(connection: AsyncConnection) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """asyncpg's own connection inside SQLAlchemy's transaction; its errors in the store's words."""
    raw = await connection.get_raw_connection()
    driver: asyncpg.Connection[asyncpg.Record] = raw.driver_connection
    try:
        yield driver
    except asyncpg.IntegrityConstraintViolationError as error:
        raise NotUnique(str(error)) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # An "internal client error" is how asyncpg says that a server died in the middle of an answer.
        is_lost = isinstance(error, OSError | asyncpg.InternalClientError) or driver.is_closed()
        if not (is_lost or _says_away(error)):
            raise Objected(str(error)) from error
        # SQLAlchemy did not see this happen: the connection must not go back into its pool.
        await connection.invalidate()
        raise Unavailable(f"the database is away: {error}", retry_after=1.0) from error


def _says_away(error: BaseException | None) -> bool:
    state: str = getattr(error, "sqlstate", None) or ""
    return state.startswith(_AWAY) and state != _CANCELLED


async def _roll_back(connection: AsyncConnection, driver: asyncpg.Connection[asyncpg.Record]) -> None:
    """Leave no transaction behind for who has the connection next; if that cannot be said, leave no connection."""
    try:
        await driver.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        await connection.invalidate()
