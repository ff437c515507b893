"""Images by digest, as the nodes of a cluster pull them: with a name of the registry's that they reach."""

from __future__ import annotations

from urllib.parse import urlsplit

from placet.deployer.adapters.kubernetes_objects import NOBODY
from placet.deployer.adapters.unpacked_images import read_whole_image
from placet.errors import Refused
from placet.oci import Registry


class KubernetesImages:
    """`address` is the registry's as the deployer has it, `seen_as` what the nodes call it, if that is another."""

    def __init__(self, registry: Registry, address: str, *, seen_as: str | None = None) -> None:
        self._registry = registry
        self._server = seen_as or _server(address)

    async def reference(self, repository: str, image: str) -> tuple[str, int]:
        """Its name, and the number of the user that it runs as. Raises `Refused` for one that no cluster can run."""
        _, config = await read_whole_image(self._registry, repository, image)
        return f"{self._server}/{repository}@{image}", _user(config.user)


def _server(address: str) -> str:
    if "://" not in address:
        raise Refused(
            f"the registry {address} is a folder, which no node of a cluster pulls from",
            fix="set PLACET_REGISTRY to a registry that the cluster reaches",
        )
    url = urlsplit(address)
    return f"{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"


def _user(user: str) -> int:
    """The image's own, unless that is root, by name or by number, or a name that says nothing."""
    number = user.partition(":")[0]
    return int(number) if number.isdigit() and int(number) else NOBODY
