"""What a registry's 401 asks for, and the header that answers it: basic credentials or a bearer token.

The token flow is the distribution specification's: the challenge names a realm, a service and scopes; the
realm gives a token for them. Credentials go only where the registry's own connection is no safer: a realm
without TLS gets none from a registry with TLS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import encode_basic_auth

_SCHEME = re.compile(r"\s*([A-Za-z]+)\s*(.*)", re.DOTALL)
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A name and a password, or a token in place of one."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        return encode_basic_auth(self.user, self.password, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """The parts of a `WWW-Authenticate` header that this client acts on."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, header: str) -> Challenge | None:
        found = _SCHEME.match(header)
        if found is None:
            return None
        parameters = {
            name.lower(): quoted.replace('\\"', '"') or bare
            for name, quoted, bare in _PARAMETER.findall(found.group(2))
        }
        return cls(scheme=found.group(1).lower(), parameters=parameters)

    def is_safe_from(self, registry: str) -> bool:
        """Whether the realm's connection is as safe as the registry's."""
        realm = urlsplit(self.parameters.get("realm", ""))
        return realm.scheme == "https" or (realm.scheme == "http" and urlsplit(registry).scheme == "http")
