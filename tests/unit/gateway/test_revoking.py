"""A certificate ends before its time: who may say so, and what is left of the words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.events.codec import timestamp
from placet.events.contracts import certifier
from placet.events.contracts.gateway import RevocationRequested
from placet.events.contracts.shapes import Ground
from placet.events.store import Run, Unit
from placet.gateway import projections as p
from placet.gateway.reasons import GIVEN, words_in

from tests.unit.gateway.harness import Gateway, live
from tests.unit.gateway.roads import CERTIFICATE
from tests.unit.gateway.test_gateway_api import is_problem

BOB = "person:00000000-0000-7000-8000-000000000002"
OF: dict[str, Any] = {"certificate": CERTIFICATE, "project": "churn", "release": 1}


async def revoke(
    gateway: Gateway, *roles: Any, id: str = CERTIFICATE, reason: str = "it harms"
) -> httpx.Response:
    async with gateway.http(gateway.token(*(roles or ("compliance",)), person=BOB)) as http:
        return await http.post(f"/v1/certificates/{id}/revoke", json={"reason": reason})


async def said(gateway: Gateway) -> list[RevocationRequested]:
    return [each for each in await gateway.said() if isinstance(each, RevocationRequested)]


async def test_a_certificate_is_revoked_once_and_no_event_has_the_reason(gateway: Gateway) -> None:
    await live(gateway)
    answers = [await revoke(gateway), await revoke(gateway)]
    assert [(each.status_code, each.json()["state"]) for each in answers] == [(202, "revoked")] * 2
    [asked] = await said(gateway)
    assert (asked.certificate, asked.project, asked.release, asked.requested_by) == (
        CERTIFICATE,
        "churn",
        1,
        BOB,
    )
    [row] = await gateway.wiring.store.rows(GIVEN)
    assert (row.words_of, words_in(row)) == (CERTIFICATE, "it harms")
    assert not any(b"harms" in each.event.raw for each in await gateway.wiring.store.read_all(0, 100))


async def test_who_asks_is_told_why_it_was_revoked_by_whom_and_when_until_the_words_are_erased(
    gateway: Gateway,
) -> None:
    await live(gateway)
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = {"payload": "e30="}
    await revoke(gateway)
    at = timestamp(gateway.clock.now())
    gateway.clock.pass_(timedelta(minutes=1))
    other = await revoke(gateway, reason="it harms more")
    assert is_problem(other, 409, "shows it")["detail"].endswith("for another reason, which stays")
    shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
    assert (shown["reason"], shown["revokedBy"], shown["revokedAt"]) == (
        "it harms",
        {"person": BOB, "name": None},
        at,
    )
    forget = sa.update(p.reasons).values(sealed=None)
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=forget),)))
    assert (await revoke(gateway, reason="it harms more")).status_code == 202
    shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
    assert (shown["reason"], shown["revokedAt"]) == ("erased", at)


async def test_what_was_revoked_stays_so_whatever_was_on_its_way(gateway: Gateway) -> None:
    operation = await live(gateway)
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = {"payload": "e30="}
    await revoke(gateway)
    ground = Ground(rule="operate.drift", why="it drifts")
    await gateway.hear(certifier.CertificateSuspended(**OF, grounds=(ground,)), operation)
    await gateway.hear(certifier.CertificateReinstated(**OF), operation)
    shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
    assert (shown["state"], shown["grounds"]) == ("revoked", [])
    revoked = Ground(rule="certificate.revoked", why="it was revoked")
    await gateway.hear(certifier.CertificateRevoked(**OF, ground=revoked, revoked_by=BOB), operation)
    shown = await gateway.read(f"/v1/certificates/{CERTIFICATE}")
    assert shown["grounds"] == [
        {"rule": "certificate.revoked", "why": "it was revoked", "fix": None, "measured": []}
    ]


@pytest.mark.parametrize("role", ["scientist", "auditor", "operator"])
async def test_not_everybody_may(gateway: Gateway, role: Any) -> None:
    await live(gateway)
    assert is_problem(await revoke(gateway, role), 403)
    assert not await said(gateway)


async def test_what_is_not_there_out_of_time_or_without_words_is_told(gateway: Gateway) -> None:
    await live(gateway)
    assert is_problem(await revoke(gateway, id="certificate:none"), 404)
    assert is_problem(await revoke(gateway, reason=" "), 400)
    gateway.clock.pass_(timedelta(days=400))
    assert is_problem(await revoke(gateway), 409)
    assert not await said(gateway)
