"""Bearer tokens against somebody who makes their own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import PlacetError, Refused, Unauthenticated
from placet.trust import KeySet, SigningKey, tokens

KEY = SigningKey.generate()
KEYS = KeySet([KEY.public])
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERSON = "person:0192e4a0-0000-7000-8000-000000000001"


def token(**changes: Any) -> str:
    said: dict[str, Any] = {
        "id": "t1",
        "person": PERSON,
        "roles": frozenset({"scientist"}),
        "now": NOW,
        "lifetime": timedelta(hours=1),
        "key": KEY,
    }
    return tokens.issue(**(said | changes))


def forged(claims: dict[str, Any] | None = None, *, header: dict[str, Any] | None = None) -> str:
    """A token signed by the right key, with whatever claims and header."""
    said = jwt.decode(token(), options={"verify_signature": False}) | (claims or {})
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(
        kept, KEY.cryptography_key, algorithm="EdDSA", headers={"kid": KEY.kid, **(header or {})}
    )


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_says_who_and_in_which_roles() -> None:
    found = tokens.verify(token(roles=frozenset({"admin", "auditor"})), KEYS, now=NOW)
    assert (found.id, found.person, found.kid) == ("t1", PERSON, KEY.kid)
    assert sorted(found.roles) == ["admin", "auditor"]
    assert found.expires - found.issued == timedelta(hours=1)


def test_a_token_carries_the_claims_that_are_promised() -> None:
    assert jwt.get_unverified_header(token()) == {"alg": "EdDSA", "kid": KEY.kid, "typ": "JWT"}
    assert jwt.decode(token(), options={"verify_signature": False}) == {
        "iss": "placet",
        "sub": PERSON,
        "jti": "t1",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
        "aud": "placet",
        "roles": ["scientist"],
    }


def test_a_token_ends_when_it_says_give_or_take_the_clocks() -> None:
    end = NOW + timedelta(hours=1)
    assert tokens.verify(token(), KEYS, now=end + timedelta(seconds=29))
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token(), KEYS, now=end + timedelta(seconds=30))


def test_a_token_from_the_future_is_not_believed() -> None:
    assert tokens.verify(token(), KEYS, now=NOW - timedelta(seconds=30))
    with pytest.raises(Unauthenticated, match="future"):
        tokens.verify(token(), KEYS, now=NOW - timedelta(seconds=31))


def test_another_key_is_nobody_we_know() -> None:
    with pytest.raises(Unauthenticated, match="no key we know"):
        tokens.verify(token(key=SigningKey.generate()), KEYS, now=NOW)


def test_a_token_that_held_holds_for_those_keys_alone() -> None:
    issued = token()
    assert tokens.verify(issued, KEYS, now=NOW).id == "t1"
    with pytest.raises(Unauthenticated, match="no key we know"):
        tokens.verify(issued, KeySet([SigningKey.generate().public]), now=NOW)


def test_another_key_under_the_name_of_ours_is_found_out() -> None:
    stranger = SigningKey.generate()
    claims = jwt.decode(token(), options={"verify_signature": False})
    made = jwt.encode(claims, stranger.cryptography_key, algorithm="EdDSA", headers={"kid": KEY.kid})
    with pytest.raises(Unauthenticated):
        tokens.verify(made, KEYS, now=NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES256"])
def test_the_algorithm_is_not_the_tokens_to_choose(algorithm: str) -> None:
    _, claims, signature = token().split(".")
    header = encoded({"alg": algorithm, "typ": "JWT", "kid": KEY.kid})
    for end in ("", signature):
        with pytest.raises(Unauthenticated):
            tokens.verify(f"{header}.{claims}.{end}", KEYS, now=NOW)


def test_our_public_key_as_a_shared_secret_signs_nothing() -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    made = jwt.encode(claims, KEY.public.raw, algorithm="HS256", headers={"kid": KEY.kid})
    with pytest.raises(Unauthenticated):
        tokens.verify(made, KEYS, now=NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "elsewhere"},
        {"aud": ["placet"]},
        {"aud": None},
        {"iss": "somebody"},
        {"sub": "ada@example.org"},
        {"sub": f"{PERSON}\n"},
        {"roles": ["emperor"]},
        {"roles": "admin"},
        {"exp": None},
        {"exp": "4102444800"},
        {"exp": 10**30},
        {"jti": None},
        {"jti": ""},
        {"scope": "everything"},
    ],
    ids=str,
)
def test_a_signed_token_with_other_claims_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(forged(claims), KEYS, now=NOW)


@pytest.mark.parametrize(
    "header", [{"kid": "unknown"}, {"kid": ""}, {"crit": ["b64"], "b64": False}], ids=str
)
def test_a_signed_token_with_another_header_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(forged(header=header), KEYS, now=NOW)


@pytest.mark.parametrize(
    "made",
    [
        "nothing",
        "x" * 5000,
        token(key=SigningKey.generate()),
        forged({"aud": "elsewhere"}),
        forged({"iat": 2**50, "exp": 2**51}),
        forged({"exp": 1}),
    ],
    ids=["none", "long", "another key", "another audience", "future", "over"],
)
def test_who_is_not_let_in_is_told_what_to_do(made: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        tokens.verify(made, KEYS, now=NOW)
    assert refused.value.fix
    with pytest.raises(Unauthenticated) as missing:
        tokens.bearer(None)
    assert "PLACET_TOKEN" in (missing.value.fix or "")


@given(st.data())
def test_a_token_with_any_changed_character_is_refused(data: st.DataObject) -> None:
    whole = token()
    position = data.draw(st.integers(0, len(whole) - 2))  # the last one has bits that mean nothing
    other = data.draw(st.sampled_from([c for c in "abcXYZ019-_.=" if c != whole[position]]))
    with pytest.raises(Unauthenticated):
        tokens.verify(whole[:position] + other + whole[position + 1 :], KEYS, now=NOW)


@given(st.text(max_size=200))
def test_any_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(text, KEYS, now=NOW)


def test_a_token_cut_off_anywhere_is_refused() -> None:
    whole = token()
    for length in range(len(whole)):
        with pytest.raises(Unauthenticated):
            tokens.verify(whole[:length], KEYS, now=NOW)


def test_a_token_over_the_limit_is_not_even_read() -> None:
    with pytest.raises(Unauthenticated, match="over the limit"):
        tokens.verify("a" * 5000, KEYS, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [{"person": "Ada"}, {"roles": frozenset({"emperor"})}, {"lifetime": timedelta(0)}, {"id": ""}],
    ids=str,
)
def test_a_token_that_would_not_hold_is_not_issued(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        token(**changes)


def test_refusals_are_of_the_kind_that_becomes_401() -> None:
    assert issubclass(Unauthenticated, Refused)
    assert issubclass(Unauthenticated, PlacetError)
