"""When the provider is asked for its keys, and what holds while it is away or says nonsense."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from placet.errors import Unauthenticated, Unavailable
from placet.events.testing import ManualClock
from placet.identity import Provider
from placet.identity.provider import FRESH, KEPT, MAX_DOCUMENT, PAUSE

from tests.support.eventually import eventually
from tests.support.oidc_provider import OidcProvider, ec_key, rsa_key

MOMENT = timedelta(seconds=1)


async def test_nothing_is_asked_before_a_token_comes_and_then_once(
    server: OidcProvider, provider: Provider
) -> None:
    assert server.asked.total() == 0
    for _ in range(20):
        await provider.verify(server.token())
    assert dict(server.asked) == {"/.well-known/openid-configuration": 1, "/jwks": 1}


async def test_many_at_once_ask_once(server: OidcProvider, provider: Provider) -> None:
    await asyncio.gather(*(provider.verify(server.token()) for _ in range(20)))
    assert server.asked["/jwks"] == 1


async def test_a_new_key_is_fetched_for_the_first_token_that_it_signed(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    clock.pass_(PAUSE)
    server.keys.append(ec_key("second"))
    await provider.verify(server.token())
    await provider.verify(server.token(key=server.keys[0]))
    assert server.asked["/jwks"] == 2


async def test_a_storm_of_unknown_keys_asks_once_in_a_pause(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    clock.pass_(PAUSE)
    storm = [server.token(headers={"kid": f"garbage {number}"}) for number in range(50)]
    for refused in await asyncio.gather(*(provider.verify(each) for each in storm), return_exceptions=True):
        assert isinstance(refused, Unauthenticated)
    for each in storm:
        with pytest.raises(Unauthenticated, match="no key"):
            await provider.verify(each)
    assert server.asked["/jwks"] == 2
    await provider.verify(server.token())  # who has a good one does not notice
    clock.pass_(PAUSE)
    with pytest.raises(Unauthenticated):
        await provider.verify(storm[0])
    assert server.asked["/jwks"] == 3


async def test_what_no_key_could_make_good_asks_nothing(server: OidcProvider, provider: Provider) -> None:
    for token in ("", "a.b.c", "x" * 9000, server.token(headers={"typ": "logout+jwt"})):
        with pytest.raises(Unauthenticated):
            await provider.verify(token)
    assert server.asked.total() == 0


async def test_a_key_that_was_withdrawn_signs_no_more_before_long(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    old = server.keys[0]
    await provider.verify(server.token())
    server.keys = [ec_key("second")]
    await provider.verify(server.token(key=old))  # until its time is over
    clock.pass_(FRESH)
    await provider.verify(server.token(key=old))  # which this one notices
    await eventually(lambda: server.asked["/jwks"] == 2 and provider._asking is None)
    with pytest.raises(Unauthenticated, match="no key"):
        await provider.verify(server.token(key=old))
    await provider.verify(server.token())


async def test_known_keys_hold_while_the_provider_is_away_and_not_for_ever(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    server.answers["/jwks"] = 503, b""
    clock.pass_(KEPT - MOMENT)
    await provider.verify(server.token())
    await eventually(lambda: server.asked["/jwks"] == 2 and provider._asking is None)
    with pytest.raises(Unavailable, match="503") as away:
        await provider.verify(server.token(headers={"kid": "new"}))
    assert away.value.retry_after
    clock.pass_(MOMENT)
    with pytest.raises(Unavailable):
        await provider.verify(server.token())
    clock.pass_(PAUSE)
    del server.answers["/jwks"]
    await provider.verify(server.token())


async def test_who_has_a_known_key_does_not_wait_for_a_provider_that_hangs(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    server.waits = threading.Event()
    clock.pass_(FRESH)
    for _ in range(3):
        await asyncio.wait_for(provider.verify(server.token()), 60)
    server.waits.set()


async def test_a_clock_that_was_set_back_has_the_keys_asked_for_again(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    clock.pass_(timedelta(days=-1))
    await provider.verify(server.token())
    assert server.asked["/jwks"] == 2


async def test_who_leaves_takes_the_answer_from_nobody(server: OidcProvider, provider: Provider) -> None:
    server.waits = threading.Event()
    first, second = (asyncio.create_task(provider.verify(server.token())) for _ in range(2))
    await eventually(lambda: server.asked.total() == 1)
    first.cancel()
    server.waits.set()
    assert (await second).token.roles == {"scientist"}
    assert server.asked["/jwks"] == 1


async def test_who_comes_from_the_provider_itself_waits_until_it_may_be_asked(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    server.keys.append(rsa_key("second", 1))
    clock.pass_(PAUSE - timedelta(milliseconds=20))
    with pytest.raises(Unauthenticated):
        await provider.verify(server.token())
    assert (await provider.verify(server.token(), patient=True)).token.name == "ada@example.org"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"issuer": "https://elsewhere.example.org"}, "is of the issuer"),
        ({"issuer": None}, "is of the issuer"),
        ({"jwks_uri": None}, "no address of its keys"),
        ({"jwks_uri": "http://login.example.org/keys"}, "no address of its keys"),
        ({"jwks_uri": "file:///etc/passwd"}, "no address of its keys"),
        ({"jwks_uri": "https://user@login.example.org/keys"}, "no address of its keys"),
        ({"jwks_uri": 7}, "no address of its keys"),
    ],
)
async def test_a_provider_that_says_what_cannot_be_believed_is_not(
    said: dict[str, Any], why: str, server: OidcProvider, provider: Provider
) -> None:
    server.discovered = said
    with pytest.raises(Unavailable, match=why):
        await provider.verify(server.token())
    assert "/jwks" not in server.asked


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b"{}", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [7, {"kty": "RSA"}]}',
     b'{"keys": [' + b"{}," * 200 + b"{}]}", b'{"keys": "' + b"x" * MAX_DOCUMENT + b'"}', b"[" * 5000],
    ids=["empty", "a list", "no text", "no keys", "a number", "none", "none usable", "many", "long", "deep"],
)  # fmt: skip
async def test_nonsense_in_place_of_keys_is_told_and_keeps_those_that_are_known(
    body: bytes, server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    await provider.verify(server.token())
    server.answers["/jwks"] = 200, body
    clock.pass_(FRESH)
    with pytest.raises(Unavailable):
        await provider.verify(server.token(headers={"kid": "new"}))
    await provider.verify(server.token())


async def test_a_redirection_is_not_followed(server: OidcProvider, provider: Provider) -> None:
    server.answers["/jwks"] = 302, b""
    with pytest.raises(Unavailable, match="302"):
        await provider.verify(server.token())
