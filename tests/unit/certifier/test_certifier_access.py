"""How the certifier stands is told to who has a token, and to nobody whose token ended or who was erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from placet.certifier.bootstrap import build
from placet.certifier.projections import TABLES
from placet.certifier.settings import CertifierSettings
from placet.events.contracts.gateway import ErasureRequested, TokenRevoked
from placet.trust import KeySet, own_key, tokens

from tests.unit.hearing import Alone, alone

PERSON, OTHER = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2))
STANDS = "/v1/services/certifier"


@pytest.fixture
async def certifier(tmp_path: Path) -> AsyncIterator[Alone]:
    (tmp_path / "tokens.json").write_text(KeySet([own_key(tmp_path / "tokens.pem").public]).to_json())
    settings = CertifierSettings(
        registry=str(tmp_path / "registry"),
        signing_key=tmp_path / "key.pem",
        token_keys=tmp_path / "tokens.json",
    )
    async with alone(
        "certifier", tmp_path, lambda wiring: build(settings, wiring), tables=(TABLES,)
    ) as service:
        yield service


def token(certifier: Alone, id: str = "token-1") -> str:
    return tokens.issue(
        id=id,
        person=PERSON,
        roles=frozenset({"scientist"}),
        now=certifier.clock.now(),
        lifetime=timedelta(days=1),
        key=own_key(certifier.folder / "tokens.pem"),
    )


async def status(certifier: Alone, bearer: str | None) -> int:
    async with certifier.http(bearer) as http:
        return (await http.get(STANDS)).status_code


async def test_it_is_told_to_who_has_a_token_that_was_not_revoked(certifier: Alone) -> None:
    assert await status(certifier, None) == 401
    assert await status(certifier, "no token") == 401
    mine, another = token(certifier), token(certifier, "token-2")
    assert await status(certifier, mine) == 200
    await certifier.hear(TokenRevoked(token="token-1"))
    assert (await status(certifier, mine), await status(certifier, another)) == (401, 200)


async def test_it_is_told_to_nobody_who_was_erased_by_whichever_token(certifier: Alone) -> None:
    mine, another = token(certifier), token(certifier, "token-2")
    await certifier.hear(ErasureRequested(person=OTHER, requested_by=PERSON, tokens=0, words=0))
    assert await status(certifier, mine) == 200
    await certifier.hear(ErasureRequested(person=PERSON, requested_by=OTHER, tokens=0, words=0))
    assert (await status(certifier, mine), await status(certifier, another)) == (401, 401)
