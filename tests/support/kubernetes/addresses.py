"""Addresses of this machine's own, for what a cluster would give addresses to: each is reached from anywhere on it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

PORT = 8080
_ALL = list(IPv4Network("127.128.0.0/9").subnets(new_prefix=20))


class Block:
    """Some thousands of them, which no other cluster on this machine has until `close`."""

    def __init__(self) -> None:
        self._holder, network = _held()
        self.services, pods = network.subnets(prefixlen_diff=1)
        self._pods = pods.hosts()

    def of_services(self) -> Iterator[str]:
        """The first is what holds the block."""
        return (str(each) for each in self.services.hosts() if each != self.services[1])

    def has_for_services(self, address: str) -> bool:
        return IPv4Address(address) in self.services

    def of_a_pod(self) -> str:
        return str(next(self._pods))

    def close(self) -> None:
        self._holder.close()


def _held() -> tuple[socket.socket, IPv4Network]:
    while True:
        network = secrets.choice(_ALL)
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            holder.bind((str(network[1]), PORT))
        except OSError:  # somebody has it
            holder.close()
        else:
            return holder, network
