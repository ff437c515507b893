"""From an address to the registry behind it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from placet.errors import Refused
from placet.oci.authentication import Credentials
from placet.oci.distribution import DistributionRegistry
from placet.oci.image_layout import ImageLayout
from placet.oci.registry import Registry


def open_registry(address: str) -> Registry:
    """The registry at `http(s)://[user:password@]host:port[/prefix]`, or in the folder with that path.

    Nothing is connected to or made before the first call. A wrong address is `Refused`.
    """
    if "://" not in address:
        if not address:
            raise Refused("the registry's address is empty", fix="give a URL or the path of a folder")
        return ImageLayout(Path(address))
    user = urlsplit(address)
    credentials = None
    if user.username:
        credentials = Credentials(user=unquote(user.username), password=unquote(user.password or ""))
    return DistributionRegistry(address, credentials=credentials)
