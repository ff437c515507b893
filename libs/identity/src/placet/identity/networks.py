"""What somebody is taken for of whom nothing is known but where they ask from."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network


def network_of(address: str | None) -> str:
    """What one caller is taken for who is known by an address alone: that of IPv4, and of IPv6 the network of 64 bits
    that one host has for itself."""
    try:
        known = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(known, IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ip_network((int(known), 64), strict=False))
    return str(known)
