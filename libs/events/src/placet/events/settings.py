"""Settings of a service: environment variables `PLACET_…`, all listed by `--help-settings`.

A wrong one stops the start with its name and what is allowed. `PLACET_…_FILE` names a file that holds the value, since
what is in the environment is seen by whoever looks at a process or a container.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

from placet.errors import Refused
from placet.events.validation import in_words


def _amqp(url: str) -> str:
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError("must be amqp://user:password@host[:port]/[vhost] or amqps://…")
    return url


def _database(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be postgresql://user:password@host[:port]/database[?sslmode=…]")
    return url.replace("postgres://", "postgresql://", 1)


def _networks(text: str) -> str:
    try:
        return ",".join(
            str(ip_network(each.strip(), strict=False)) for each in text.split(",") if each.strip()
        )
    except ValueError as error:
        raise ValueError(
            "must be addresses or networks with commas between, such as 10.0.0.7,fd00::/64"
        ) from error


class ServiceSettings(BaseSettings):
    """What one service needs, wherever it runs: each has a subclass. The embedded platform makes them itself."""

    # What a compose file or a chart leaves empty was not given.
    model_config = SettingsConfigDict(
        env_prefix="PLACET_", env_ignore_empty=True, extra="ignore", frozen=True
    )


class HttpSettings(ServiceSettings):
    """What a server is reached by: `placet up` has these, and each service that is a process of its own."""

    http_tls_certificate: Path | None = Field(
        default=None,
        description="file with the certificate that it shows, in PEM, and those between it and its authority: with it"
        " HTTP is by TLS alone; read again when it changes",
    )
    http_tls_key: Path | None = Field(
        default=None, description="file with that certificate's private key, in PEM, without a passphrase"
    )
    http_trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="addresses or networks, with commas between, of proxies in front of it, which are believed for whom"
        " they ask, and how that one asked them (X-Forwarded-For, X-Forwarded-Proto): such that nobody else asks from;"
        " without it nobody is",
    )

    @model_validator(mode="after")
    def _must_have_both(self) -> Self:
        both = {
            "PLACET_HTTP_TLS_CERTIFICATE": self.http_tls_certificate,
            "PLACET_HTTP_TLS_KEY": self.http_tls_key,
        }
        missing = [name for name, value in both.items() if value is None]
        if len(missing) == 1:
            (there,) = both.keys() - missing
            raise ValueError(f"{there} is set, and not {missing[0]}: TLS takes both")
        return self


class ProcessSettings(HttpSettings):
    """What a process of its own needs besides: broker, database, an address to listen on."""

    amqp_url: Annotated[str, AfterValidator(_amqp)] = Field(
        description="the RabbitMQ broker, with this service's own user: amqp://builder:…@host:5672/"
    )
    database_url: Annotated[str, AfterValidator(_database)] = Field(
        description="the PostgreSQL database, with libpq's options (?sslmode=verify-full&sslrootcert=…); "
        "the service uses the schema of its own name"
    )
    http_host: str = Field(default="0.0.0.0", description="address to listen on")  # noqa: S104 - in a container
    http_port: int = Field(default=8080, ge=0, le=65535, description="port to listen on")
    http_connections: int = Field(
        default=1024,
        gt=0,
        description="clients connected at once; at most half of the descriptors it may open",
    )
    http_tls_client_ca: Path | None = Field(
        default=None,
        description="file with the authorities, in PEM, whose certificates clients show: who shows none is answered"
        " nothing but /livez and /readyz; read again when it changes",
    )
    lease_seconds: float = Field(
        default=10.0, gt=0.5, le=600, description="how long leadership and jobs outlive a crashed process"
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error"
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="how logs are written: for people, or one JSON object a line, with the operation and the trace",
    )

    @model_validator(mode="after")
    def _must_be_encrypted_for_certificates(self) -> Self:
        if self.http_tls_client_ca is not None and self.http_tls_certificate is None:
            raise ValueError(
                "PLACET_HTTP_TLS_CLIENT_CA is set, and not PLACET_HTTP_TLS_CERTIFICATE: without TLS nobody shows one"
            )
        return self


_FIX = "see docs/reference/settings.md, or --help-settings of the service"

Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings], **known: Any) -> Settings:
    """The settings from the environment, but for those that are `known`. Raises Refused naming each variable that is
    missing or wrong."""
    try:
        return kind(**(_from_files(kind) | known))
    except ValidationError as error:
        lines = []
        for each in error.errors():
            if not each["loc"]:  # of several together, which it names; what they are set to is not for logs
                lines.append(in_words(each))
                continue
            field = str(each["loc"][0])
            info = kind.model_fields.get(field)
            allowed = f" ({info.description})" if info and info.description else ""
            is_missing = each["type"] == "missing"
            wrong = "is not set" if is_missing else f"{in_words(each)}, got {_shown(each['input'])}"
            lines.append(f"{_variable(kind, field)}: {wrong}{allowed}")
        raise Refused("\n".join(lines), fix=_FIX) from error


def _from_files(kind: type[BaseSettings]) -> dict[str, str]:
    """What files hold that are named instead of values. Raises Refused."""
    found, wrong = {}, []
    for field in kind.model_fields:
        variable = _variable(kind, field)
        name = f"{variable}_FILE"
        file = os.environ.get(name)
        if not file or f"{field}_file" in kind.model_fields:
            continue
        if os.environ.get(variable):
            wrong.append(f"{name}: {variable} is set, too, and one of them is to be")
            continue
        try:
            found[field] = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            wrong.append(f"{name}: {file} cannot be read: {why}")
    if wrong:
        raise Refused("\n".join(wrong), fix=_FIX)
    return found


def describe(kind: type[BaseSettings]) -> str:
    """A table of every setting: variable, what it is, its default."""
    lines = []
    for field, info in kind.model_fields.items():
        default = "required" if info.default is PydanticUndefined else f"default: {info.default!r}"
        choices = get_args(info.annotation)
        allowed = (
            f" one of {', '.join(map(str, choices))};"
            if choices and all(isinstance(c, str) for c in choices)
            else ""
        )
        lines.append(f"{_variable(kind, field):28} {info.description or ''};{allowed} {default}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    """The value without the password in a URL, or in what is one but for its beginning: it goes to logs."""
    without = re.sub(r"^'[^'/]*:[^'/]*@", "'…@", re.sub(r"//.*@", "//…@", repr(value)))
    return re.sub(r"(password=)[^&']*", r"\1…", without)


def _variable(kind: type[BaseSettings], field: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()
