"""Which platform, and as whom?

`PLACET_URL` and `PLACET_TOKEN` say so; without them, the file that a platform of the same user left when it
started (`placet up`). A token from that file goes to no other address than the one it was written with.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from placet.errors import Unavailable, Unreadable


@dataclass(frozen=True, kw_only=True)
class Connection:
    url: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise Unreadable(
                f"{self.url!r} is no address of a platform",
                fix="set PLACET_URL to one such as http://127.0.0.1:8080, with http:// or https:// in front",
            )
        if self.token is not None and not re.fullmatch(r"[!-~]+", self.token):
            raise Unreadable(
                "the token holds a character that no token has",
                fix="set PLACET_TOKEN to the very line that `placet token create` printed",
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @property
    def is_plain(self) -> bool:
        """Whether it is HTTP without TLS."""
        return urlsplit(self.url).scheme == "http"

    @property
    def is_local(self) -> bool:
        """Whether the address is this machine's own, which no proxy should be asked about."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and re.fullmatch(r"[!-~]+", url) is not None
        )
    except ValueError:  # brackets that do not close, a port that is none
        return False


def discovery_file(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME") or str(
        Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    )
    return Path(state) / "placet" / "platform.json"


def find(environ: Mapping[str, str]) -> Connection:
    """The platform this user means. `Unavailable` when nothing says which."""
    local = read_discovery(environ)
    url = environ.get("PLACET_URL") or (local.url if local else None)
    if url is None:
        raise Unavailable(
            "no platform is known here", fix="start one with `placet up`, or set PLACET_URL and PLACET_TOKEN"
        )
    connection = Connection(url=url, token=environ.get("PLACET_TOKEN") or None)
    if connection.token is None and local is not None and local.url == connection.url:
        return local
    return connection


def read_discovery(environ: Mapping[str, str]) -> Connection | None:
    """What a platform left for its user; None where there is nothing to read."""
    try:
        left = json.loads(discovery_file(environ).read_text(encoding="utf-8"))
        return Connection(url=str(left["url"]), token=left.get("token"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Unreadable):
        return None


def leave_discovery(connection: Connection, environ: Mapping[str, str]) -> Path:
    """Write the file for this user only, whole or not at all."""
    path = discovery_file(environ)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": connection.url, "token": connection.token}, file)
    draft.replace(path)
    return path


def remove_discovery(connection: Connection, environ: Mapping[str, str]) -> bool:
    """Take the file away, unless another platform has written its own since; whether it was taken away."""
    if read_discovery(environ) != connection:
        return False
    discovery_file(environ).unlink(missing_ok=True)
    return True
