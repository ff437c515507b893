"""What a PostgreSQL URL says, as libpq writes it, and connections made as it says.

asyncpg reads most of it by itself, and sends what it does not know to the server as a setting. So an option of libpq
that asyncpg lacks is refused here by its name, or a demand like `channel_binding=require` would not be met unseen.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode

import asyncpg

from placet.errors import Refused

ANSWER_WITHIN = 30.0
"""Seconds for a connection or an answer. A cut that nobody announces must not hold a service still for ever."""
VANISHED_AFTER = 2 * ANSWER_WITHIN
"""Seconds without a word from who has begun something: longer than anybody here waits in the middle of it."""

_FILES = frozenset({"passfile", "sslcert", "sslcrl", "sslkey", "sslrootcert"})
_UNDERSTOOD = _FILES | {
    *("application_name", "connect_timeout", "dbname", "gsslib", "host", "krbsrvname", "options", "password", "port"),
    *("service", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslmode", "sslnegotiation", "sslpassword"),
    *("target_session_attrs", "user"),
}  # fmt: skip
_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@]*))?@)?(?P<place>[^?]*)(?:\?(?P<options>.*))?"
)
"""A password may hold a slash or a question mark, which need not be written as `%2F` and `%3F` here."""

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


def connecting(url: str, *, schema: str) -> Connect:
    """How to connect to `url` and use `schema` there. Raises Refused for options that cannot be met."""
    match = _URL.fullmatch(url)
    if match is None:
        raise _refused("it must be postgresql://user:password@host[:port]/database[?sslmode=…]")
    options = _options(match["options"] or "")
    name = options.pop("application_name", f"placet {schema}")
    seconds = _seconds(options.pop("connect_timeout", "0"))
    # Its path and its options are asyncpg's to read.
    rest = f"postgresql://{match['place']}" + (f"?{urlencode(options)}" if options else "")

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        try:
            return await asyncpg.connect(
                rest,
                user=_unquoted(match["user"]),
                password=_unquoted(match["password"]),
                server_settings={
                    "search_path": schema,
                    "application_name": name,
                    "default_transaction_isolation": "read committed",
                    # A machine that vanishes says nothing: without this, whoever takes over waits for what it had
                    # locked until the server's own keepalive finds out, two hours later as Linux has it.
                    "idle_in_transaction_session_timeout": f"{VANISHED_AFTER:.0f}s",
                    "tcp_keepalives_idle": f"{VANISHED_AFTER:.0f}",
                    "tcp_keepalives_interval": "10",
                    "tcp_keepalives_count": "3",
                },
                timeout=seconds,
                command_timeout=ANSWER_WITHIN,
            )
        except socket.gaierror as error:
            hosts = match["place"].partition("/")[0]
            raise ConnectionError(f"no address of {hosts} is known ({error.strerror})") from error

    return connect


def _options(text: str) -> dict[str, str]:
    try:
        options = {name: values[-1] for name, values in parse_qs(text, strict_parsing=bool(text)).items()}
    except ValueError as error:
        raise _refused("what follows its ? is no list of name=value") from error
    if unknown := sorted(options.keys() - _UNDERSTOOD):
        raise _refused(f"{', '.join(unknown)} is not understood, but {', '.join(sorted(_UNDERSTOOD))}")
    for name in sorted(_FILES & options.keys()):
        if not Path(options[name]).is_file():
            raise _refused(f"{name}: there is no file {options[name]}")
    return options


def _seconds(text: str) -> float:
    """As for libpq, 0 is no wish."""
    if not text.isdecimal():
        raise _refused(f"connect_timeout: {text!r} is no number of seconds")
    return float(text) or ANSWER_WITHIN


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _refused(why: str) -> Refused:
    return Refused(f"the database's URL: {why}", fix="correct PLACET_DATABASE_URL")
