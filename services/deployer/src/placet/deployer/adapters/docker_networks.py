"""A network for each project in a Docker Engine: its releases are on it, the deployer's machine reaches them, and
nothing leads from there anywhere else.

Where the deployer is a container itself, and who sends requests on is one, too, they are let in: containers that are
labelled as callers of this platform are on every project's network as well. One that is made anew is let in again.

Addresses are given here and not by the engine, so that an instance comes back where it was. Which are given is written
on the containers and networks themselves; two deployers that choose the same are told by the engine, and choose again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NoReturn

import docker
from docker.errors import APIError

from placet.deployer.adapters.docker_engine import if_there
from placet.errors import Refused, Unavailable

CALLER = "io.placet.caller"
"""The label of a container that is let in; its value is the platform's name."""
PREFIX = 27
"""Of a project's network: thirty addresses, of which the first is the machine's."""
_TAKEN = ("overlap", "already in use")
_IS_THERE = "already exists"


class DockerNetworks:
    """`platform` is in the networks' names, `subnets` what theirs are taken from, `labels` what marks them as ours."""

    def __init__(self, platform: str, subnets: IPv4Network, labels: Mapping[str, str]) -> None:
        self._platform = platform
        self._choices = list(subnets.subnets(new_prefix=PREFIX))
        self._labels = labels
        self._ours = {"label": [f"{name}={value}" for name, value in labels.items()]}
        self._callers = {"label": [f"{CALLER}={platform}"]}

    def name(self, project: str) -> str:
        return f"{self._platform}-{project}"

    def of(self, api: docker.APIClient, project: str) -> IPv4Network:
        """The project's, made if there is none."""
        found = self._found(api, project)
        if found is not None:
            return found
        # Anywhere, but for one project always in the same place first: it is found again after a crash.
        start = int.from_bytes(hashlib.sha256(self.name(project).encode()).digest()[:4], "big")
        for step in range(len(self._choices)):
            subnet = self._choices[(start + step) % len(self._choices)]
            try:
                self._make(api, project, subnet)
            except APIError as error:
                if _IS_THERE in str(error.explanation):
                    return self._found(api, project) or self._not_ours(project)  # made meanwhile
                if not any(each in str(error.explanation) for each in _TAKEN):
                    raise
            else:
                return subnet
        raise Unavailable(
            f"no addresses are left for a network of {project}",
            fix="set PLACET_DOCKER_SUBNETS to more of them",
        )

    def remove(self, api: docker.APIClient, project: str) -> None:
        name = self.name(project)
        # Those that do not run as well: none would start again on a network that is gone.
        for each in api.containers(all=True, filters=self._callers):
            if name in _networks(each):
                if_there(partial(api.disconnect_container_from_network, each["Id"], name, force=True))
        if_there(lambda: api.remove_network(name))

    def kept_out(self, api: docker.APIClient) -> Sequence[str]:
        """The projects whose network a caller that runs is not on."""
        callers = [_networks(each) for each in api.containers(filters=self._callers)]
        if not callers:
            return []
        return [
            project for project in self.left(api) if any(self.name(project) not in each for each in callers)
        ]

    def let_in(self, api: docker.APIClient, project: str, taken: frozenset[IPv4Address]) -> None:
        """Every caller that runs, at addresses that are not `taken`, from the last one down."""
        found = self._found(api, project)
        if found is None:
            return
        name = self.name(project)
        taken = taken | self.callers(api, project)
        for each in api.containers(filters=self._callers):
            if name not in _networks(each):
                address = _last_free(found, taken)
                taken |= {address}
                connect = partial(api.connect_container_to_network, each["Id"], name)
                if_there(partial(connect, ipv4_address=str(address)))

    def callers(self, api: docker.APIClient, project: str) -> frozenset[IPv4Address]:
        """The addresses that callers have on the project's network, whether they run or not."""
        on = [
            _networks(each).get(self.name(project))
            for each in api.containers(all=True, filters=self._callers)
        ]
        said = [
            ((each.get("IPAMConfig") or {}).get("IPv4Address") or each["IPAddress"]) for each in on if each
        ]
        return frozenset(IPv4Address(each) for each in said if each)

    def left(self, api: docker.APIClient) -> Sequence[str]:
        """The projects that a network of ours is there for."""
        return [each["Name"].removeprefix(f"{self._platform}-") for each in api.networks(filters=self._ours)]

    def _found(self, api: docker.APIClient, project: str) -> IPv4Network | None:
        # docker-py writes `names` into the filters that it is given.
        for each in api.networks(filters={**self._ours, "name": [self.name(project)]}):
            if each["Name"] == self.name(project):
                return IPv4Network(_subnet(each))
        return None

    def _not_ours(self, project: str) -> NoReturn:
        raise Refused(
            f"the Docker Engine has a network {self.name(project)} that is not this platform's",
            fix=f"remove it, `docker network rm {self.name(project)}`, or set PLACET_DOCKER_NAME to another name",
        )

    def _make(self, api: docker.APIClient, project: str, subnet: IPv4Network) -> None:
        pool = docker.types.IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))
        api.create_network(
            self.name(project),
            driver="bridge",
            internal=True,
            check_duplicate=True,
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            labels=dict(self._labels),
        )


def _last_free(subnet: IPv4Network, taken: frozenset[IPv4Address]) -> IPv4Address:
    for each in reversed(list(subnet.hosts())):
        if each != subnet[1] and each not in taken:
            return each
    raise Unavailable(f"all addresses of {subnet} are taken", fix="delete releases that nobody needs")


def _networks(container: Mapping[str, Any]) -> Mapping[str, Any]:
    on: Mapping[str, Any] = container["NetworkSettings"]["Networks"]
    return on


def free_address(subnet: IPv4Network, taken: frozenset[IPv4Address], wanted: str | None) -> IPv4Address:
    """`wanted` if it is free, else the first that is. Raises `Unavailable`."""
    given = [each for each in subnet.hosts() if each != subnet[1] and each not in taken]
    for each in given:
        if str(each) == wanted:
            return each
    if not given:
        raise Unavailable(f"all addresses of {subnet} are taken", fix="delete releases that nobody needs")
    return given[0]


def _subnet(network: Mapping[str, Any]) -> str:
    return str(network["IPAM"]["Config"][0]["Subnet"])
