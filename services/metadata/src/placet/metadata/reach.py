"""Where may a webhook lead? Addresses of the internet, and what an operator has allowed by name. Pure.

Whoever adds a webhook has this service send requests from where it stands, which is inside: to databases, to the
metadata address of a cloud, to the services themselves. So an address is judged, and not its name alone, and every
address that a name leads to; the adapter that connects does so at each connection, since a name may lead elsewhere a
moment later (DNS rebinding). What an address looks like is judged narrowly, so that no two readers take one URL for
two hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from placet.errors import Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2000
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!-~]*)?"
)
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ALLOW = "let an operator allow it: PLACET_WEBHOOK_HOSTS takes names and networks"
_NEVER_BY_NAME = "is_link_local", "is_multicast", "is_unspecified"
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in (
        # IPv6 that a gateway turns into any IPv4 address: NAT64, Teredo, 6to4, and the old forms of a mapped one.
        *("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96", "::ffff:0:0:0/96"),
        # Site-local IPv6 and the relays of 6to4, which newer registries no longer know.
        *("fec0::/10", "192.88.99.0/24"),
        # What older registries do not know: for protocols and documentation, and segments of a network's own.
        *("192.0.0.0/24", "3fff::/20", "5f00::/16"),
        # A cloud's own, which only looks like one of the internet: Azure's. Oracle's is among those above.
        "168.63.129.16/32",
    )
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A webhook's URL taken apart. `host` is a name in lower case, or an address without brackets."""

    url: str
    is_encrypted: bool
    host: str
    port: int

    @property
    def literal(self) -> str | None:
        """The host where it is an address and nothing has to be looked up."""
        return self.host if ":" in self.host or self.host.replace(".", "").isdecimal() else None


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What is allowed besides the internet. A name allows private addresses, too; link-local ones need a network."""

    names: frozenset[str] = field(default_factory=frozenset)
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, text: str) -> Reach:
        """From names, addresses and networks with commas between them. Raises ValueError for what is none."""
        names, networks = set(), list[Network]()
        for entry in filter(None, (each.strip().lower() for each in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                if not _NAME.fullmatch(entry):
                    raise ValueError(
                        f"{entry!r} is no name, address or network, such as hooks.example.org or 10.2.0.0/16"
                    ) from None
                names.add(entry)
        return cls(names=frozenset(names), networks=tuple(networks))

    def target(self, url: str) -> Target:
        """Raises Refused for what is no URL that a webhook can have, whatever its name leads to."""
        found = _URL.fullmatch(url)
        if len(url) > MAX_URL or found is None or "\\" in url or "#" in url:
            raise _no_url(url)
        is_encrypted = found["scheme"] == "https"
        port = int(found["port"] or (443 if is_encrypted else 80))
        if not 1 <= port <= 65535:
            raise Refused(f"{port} is no port", fix="leave it out, or give one from 1 to 65535")
        target = Target(
            url=url, is_encrypted=is_encrypted, host=found["host"].strip("[]").lower().rstrip("."), port=port
        )
        if target.literal is not None:
            self.judge(target, [target.literal])
        elif not _NAME.fullmatch(target.host):
            raise _no_url(url)
        elif target.host not in self.names and not self.networks:
            self._judge_openness(target)
        return target

    def judge(self, target: Target, addresses: Sequence[str]) -> None:
        """Raises Refused unless every one of `addresses`, which the host leads to, may be connected to."""
        is_named = target.host in self.names
        if not all(self._is_allowed(each, is_named) or _is_public(each) for each in addresses):
            # Without the address: what a name means inside is nobody's business outside.
            raise Refused(
                f"{target.host} is where webhooks do not lead: no address of the internet", fix=_ALLOW
            )
        if not all(self._is_allowed(each, is_named) for each in addresses):
            self._judge_openness(target)

    def _judge_openness(self, target: Target) -> None:
        """Of a host on the internet."""
        if not target.is_encrypted:
            raise Refused(
                f"what is sent to {target.host} could be read on its way: it is http",
                fix=f"take https, or {_ALLOW}",
            )
        if target.port < 1024 and target.port != 443:
            raise Refused(
                f"port {target.port} of {target.host} is another service's",
                fix="take 443, or one from 1024 on",
            )

    def _is_allowed(self, text: str, is_named: bool) -> bool:
        address = _address(text)
        if address is None:
            return False
        if any(address in network for network in self.networks):
            return True
        return is_named and not any(getattr(address, each) for each in _NEVER_BY_NAME)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _is_public(text: str) -> bool:
    address = _address(text)
    return (
        address is not None
        and address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in _NOT_PUBLIC)
    )


def _no_url(url: str) -> Refused:
    if "@" in url.partition("://")[2].partition("/")[0]:
        return Refused(
            "a webhook's address names no user: that would be a password in a list",
            fix="leave it out; the signature says who sends, and a secret path is never shown in events",
        )
    return Refused(
        f"{url[:100]!r} is no address that a webhook can have",
        fix="such as https://hooks.example.org/placet: up to 2000 characters, no #, a name in ASCII",
    )
