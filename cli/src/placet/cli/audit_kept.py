"""What an audit keeps on the auditor's own machine: whose keys it believes, and how far it came.

By the platform's address: what a log says of itself must not decide which of them it is compared with.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from placet.client.connection import discovery_file
from placet.errors import PlacetError, Refused, Unreadable
from placet.trust.auditing import Audited, Auditor


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: tuple[str, ...]
    """Verifier keys of the log."""
    audited: Audited


def load(url: str) -> Kept | None:
    """Raises Unreadable where the file is not what `save` wrote."""
    file = _file(url)
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=Kept)
        Auditor(kept.audited)  # that its sizes and hashes are some
    except FileNotFoundError:
        return None
    except (OSError, PlacetError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(
            f"what the last audit kept in {file} cannot be read: {error}",
            fix="remove it, and give the log's keys with --log: without them those that the log tells are believed",
        ) from error
    return kept


def save(url: str, kept: Kept) -> None:
    """Whole, or as it was before. Raises Refused where it cannot be: the next audit would believe what it is told."""
    file = _file(url)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2))
        unfinished.replace(file)
    except OSError as error:
        raise Refused(
            f"what this audit has seen cannot be kept in {file}: {error.strerror}",
            fix="see to that folder, or name another one with XDG_STATE_HOME",
        ) from error


def _file(url: str) -> Path:
    return discovery_file(os.environ).parent / "audits" / f"{sha256(url.encode()).hexdigest()[:16]}.json"
