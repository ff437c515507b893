"""Certificates as they lie in the registry, checked with the certifier's public keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from placet.errors import Refused, Unavailable
from placet.oci import Registry, fetch_artifact
from placet.trust import KeyHistory, KeySet, certificates, dsse


class RegistryCertificates:
    """A `Certificates`. The keys are read each time, so that a new one counts at once."""

    def __init__(self, registry: Registry, keys: Path) -> None:
        self._registry = registry
        self._keys = keys

    async def verify(
        self, *, repository: str, envelope: str, certificate: str, image: str, source: str, now: datetime
    ) -> None:
        history = await asyncio.to_thread(read_history, self._keys)
        artifact = await fetch_artifact(self._registry, repository, envelope, limit=dsse.MAX_ENVELOPE_BYTES)
        if len(artifact.contents) != 1:
            raise Refused(
                f"{envelope} in {repository} is no certificate: it holds {len(artifact.contents)} files"
            )
        signed = dsse.read(artifact.contents[0])
        found = certificates.verify(signed, history, image=image, source=source, now=now)
        if found.certificate != certificate:
            raise Refused(f"the envelope holds the certificate {found.certificate}, not {certificate}")

    async def compromised(self, now: datetime) -> Mapping[str, datetime]:
        history = await asyncio.to_thread(read_history, self._keys)
        return {
            each.kid: each.compromised
            for each in history
            if each.compromised is not None and each.compromised <= now
        }


def read_history(path: Path) -> KeyHistory:
    """Of the keys that certificates are signed with, from a file. `Unavailable` where there is none, as below."""
    return KeyHistory.from_json(_read(path, "PLACET_CERTIFIER_KEYS"))


def read_keys(path: Path) -> KeySet:
    """Public keys from a file. `Unavailable` where there is none: whoever makes it may not have started yet."""
    return KeySet.from_json(_read(path, "PLACET_TOKEN_KEYS"))


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"the public keys {path} cannot be read: {error.strerror}",
            fix=f"see that {setting} of the deployer names the file that their owner wrote at its first start",
        ) from error
