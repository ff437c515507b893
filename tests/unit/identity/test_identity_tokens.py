"""What is taken as a provider's token, and what is not, whoever signed it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from placet.errors import Forbidden, PlacetError, Unauthenticated
from placet.events.testing import ManualClock
from placet.identity import Callers, Provider, ProviderSettings, provider_of
from placet.identity.claims import MAX_TOKEN_BYTES, claimed_issuer
from placet.trust import KeySet, SigningKey, tokens

from tests.support.oidc_provider import Key, OidcProvider, ec_key, ed_key, rsa_key

Make = Callable[[OidcProvider], str]


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(server: OidcProvider) -> str:
    body = server.token().split(".")[1]
    return f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': 'first'})}.{body}."


def by_public_key(server: OidcProvider) -> str:
    """An HMAC whose secret is what everybody knows: RFC 8725, 2.1."""
    public = server.keys[0].private.public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head, body = encoded({"alg": "HS256", "typ": "JWT", "kid": "first"}), server.token().split(".")[1]
    mac = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def of_other_words(server: OidcProvider) -> str:
    head, _, signature = server.token().split(".")
    return f"{head}.{server.token('eve', groups=['placet-admin']).split('.')[1]}.{signature}"


def by_another_key(server: OidcProvider) -> str:
    return server.token(key=rsa_key("first", 1))


def by_another_algorithm(server: OidcProvider) -> str:
    """The key says that it is for RS256."""
    return server.token(key=rsa_key("first", 0, "PS256"))


def by_no_known_algorithm(server: OidcProvider) -> str:
    head = encoded({"alg": ["RS256"], "kid": "first"})
    return ".".join([head, *server.token().split(".")[1:]])


def signed(**said: Any) -> Make:
    return lambda server: server.token(**said)


def headed(**headers: Any) -> Make:
    return lambda server: server.token(headers=headers)


def at(**offsets: float) -> Make:
    """Times in seconds from now."""

    def made(server: OidcProvider) -> str:
        times: dict[str, Any] = {name: server.now() + offset for name, offset in offsets.items()}
        return server.token(**times)

    return made


def of(claims: bytes) -> Make:
    """Signed rightly, whatever it says."""
    return lambda server: jwt.api_jws.encode(
        claims, server.keys[-1].private, algorithm="RS256", headers={"kid": server.keys[-1].kid}
    )


REFUSED: dict[str, tuple[Make, str]] = {
    "none": (unsigned, "'none'"),
    "an HMAC with the public key": (by_public_key, "'HS256'"),
    "other words": (of_other_words, "signature"),
    "another key of the same name": (by_another_key, "signature"),
    "an algorithm that the key is not for": (by_another_algorithm, "no key"),
    "no text as algorithm": (by_no_known_algorithm, "only RS256"),
    "another audience": (signed(aud="payroll"), "'payroll'"),
    "other audiences": (signed(aud=["payroll", "mail"]), "'mail', 'payroll'"),
    "no audience": (signed(aud=None), "nobody"),
    "an audience that is no text": (signed(aud={"placet": 1}), "nobody"),
    "expired": (at(exp=-31), "expired"),
    "no end": (signed(exp=None), "`exp`"),
    "an end that is no number": (signed(exp="tomorrow"), "`exp`"),
    "an end that is true": (signed(exp=True), "`exp`"),
    "no beginning": (signed(iat=None), "`iat`"),
    "issued in the future": (at(iat=31), "future"),
    "not yet": (at(nbf=31), "future"),
    "out of all time": (at(iat=0, exp=1e300), "range"),
    "nobody": (signed(subject=None), "nobody"),
    "an empty subject": (signed(subject=""), "nobody"),
    "a subject that is a number": (signed(sub=7), "nobody"),
    "a long subject": (signed(subject="a" * 256, email="a@example.org"), "nobody"),
    "a logout token": (signed(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "happened"),
    "a logout token by its type": (headed(typ="logout+jwt"), "kind"),
    "what must be understood": (headed(crit=["exp"], exp=1), "no token"),
    "a long key name": (headed(kid="k" * 256), "no key"),
    "a key's name that is a number": (headed(kid="first", typ=7), "kind"),
    "no object": (of(b"[]"), "read"),
    "no JSON": (of(b"\xff"), "read"),
    "deep": (of(b'{"iss":' + b"[" * 2500 + b"]" * 2500 + b"}"), "read"),
    "oversized": (signed(groups=["x" * 40] * 300), f"limit of {MAX_TOKEN_BYTES}"),
    "garbage": (lambda server: "a.b.c", "no token"),
    "nothing": (lambda server: "", "no token"),
    "not ASCII": (lambda server: "ä.ö.ü", "no token"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_token_for_us_opens_nothing(
    case: str, server: OidcProvider, provider: Provider
) -> None:
    make, why = REFUSED[case]
    await provider.verify(server.token())
    with pytest.raises(Unauthenticated, match=why) as refused:
        await provider.verify(make(server))
    assert refused.value.fix


async def test_who_is_another_issuers_is_not_this_ones(server: OidcProvider, provider: Provider) -> None:
    with pytest.raises(Unauthenticated, match="not of"):
        await provider.verify(server.token(iss="https://login.example.org"))


@pytest.mark.parametrize(
    "key",
    [rsa_key("k"), rsa_key("k", 0, "RS512"), rsa_key("k", 0, "PS256"), ec_key("k"), ed_key("k")],
    ids=lambda key: key.alg,
)
@pytest.mark.parametrize("names_alg", [True, False])
async def test_each_asymmetric_algorithm_is_taken(
    key: Key, names_alg: bool, server: OidcProvider, provider: Provider
) -> None:
    key.names_alg = names_alg
    server.keys = [rsa_key("other", 1), key]
    assert (await provider.verify(server.token())).token.roles == {"scientist"}


async def test_a_token_says_who_until_when_and_in_which_roles(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    said = await provider.verify(
        server.token(nonce="n", azp="placet", groups=["placet-auditor", "placet-admin", "x"])
    )
    assert said.token.person.startswith("person:")
    assert "ada" not in said.token.person
    assert said.token.name == "ada@example.org"
    assert said.token.roles == {"auditor", "admin"}
    assert said.token.issued == clock.now()
    assert said.token.expires == clock.now() + timedelta(hours=1)
    assert (said.nonce, said.party, said.audiences) == ("n", "placet", frozenset({"placet"}))


async def test_clocks_may_differ_by_half_a_minute(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    now = clock.now().timestamp()
    await provider.verify(server.token(iat=now + 29, exp=now + 60))
    await provider.verify(server.token(iat=now - 60, exp=now - 29))


async def test_a_person_is_the_same_in_every_service_and_another_at_another_provider(
    server: OidcProvider, settings: ProviderSettings, clock: ManualClock, tmp_path: Path
) -> None:
    async def person(changed: ProviderSettings, subject: str = "ada", **said: Any) -> str:
        provider = provider_of(changed, clock)
        assert provider is not None
        return (await provider.verify(server.token(subject, **said))).token.person

    ada = await person(settings)
    assert await person(settings, email="lovelace@example.org") == ada
    assert await person(settings, "eve") != ada
    other = tmp_path / "other.key"
    other.write_text("another secret of enough characters\n")
    assert await person(settings.model_copy(update={"oidc_person_key": other})) != ada
    server.issuer = f"{server.issuer}/"
    assert await person(settings.model_copy(update={"oidc_issuer": server.issuer})) != ada


@pytest.mark.parametrize(
    ("changed", "said", "roles"),
    [
        ({}, {"groups": "placet-operator"}, {"operator"}),
        (
            {"oidc_roles_claim": "realm_access.roles"},
            {"realm_access": {"roles": ["placet-admin"]}},
            {"admin"},
        ),
        (
            {"oidc_roles_claim": "https://x.example/roles"},
            {"https://x.example/roles": ["placet-admin"]},
            {"admin"},
        ),
        ({"oidc_roles": "risk=compliance, risk=approver"}, {"groups": ["risk"]}, {"compliance", "approver"}),
    ],
    ids=["one value", "inside another", "an address", "two of one value"],
)
async def test_roles_come_from_the_claim_that_is_named(
    changed: dict[str, str],
    said: dict[str, Any],
    roles: set[str],
    server: OidcProvider,
    settings: ProviderSettings,
    clock: ManualClock,
) -> None:
    provider = provider_of(settings.model_copy(update=changed), clock)
    assert provider is not None
    assert (await provider.verify(server.token(**said))).token.roles == roles


@pytest.mark.parametrize(
    ("claim", "said", "teams"),
    [
        ("", {"groups": ["placet-admin", "fraud"]}, set()),
        ("groups", {"groups": ["placet-admin", "fraud", "Risk Office", "x", 7]}, {"placet-admin", "fraud"}),
        ("teams", {"teams": "fraud"}, {"fraud"}),
        ("of.teams", {"of": {"teams": ["risk"]}}, {"risk"}),
        ("teams", {"teams": {"fraud": 1}}, set()),
        ("teams", {}, set()),
    ],
    ids=["none", "no names", "one", "inside another", "no list", "not sent"],
)
async def test_teams_come_from_the_claim_that_is_named(
    claim: str,
    said: dict[str, Any],
    teams: set[str],
    server: OidcProvider,
    settings: ProviderSettings,
    clock: ManualClock,
) -> None:
    provider = provider_of(settings.model_copy(update={"oidc_teams_claim": claim}), clock)
    assert provider is not None
    assert (await provider.verify(server.token(**{"groups": "placet-admin", **said}))).token.teams == teams


@pytest.mark.parametrize(
    "groups", [None, [], ["admin"], "admin", ["PLACET-ADMIN"], {"placet-admin": 1}, [["placet-admin"]], 7]
)
async def test_who_has_no_role_is_told_which_claim_was_looked_at(
    groups: Any, server: OidcProvider, provider: Provider
) -> None:
    with pytest.raises(Forbidden, match="`groups`") as refused:
        await provider.verify(server.token(groups=groups))
    assert "placet-scientist" in (refused.value.fix or "")


@pytest.mark.parametrize(
    "said",
    [
        {"email": None},
        {"email": ""},
        {"email": 7},
        {"email": "a\u200bb"},
        {"email": "a" * 201},
        {"email": "team:fraud"},
        {"email": "person:00000000-0000-7000-8000-000000000001"},
        {"email_verified": False},
    ],
)
async def test_who_has_no_name_is_not_let_in(
    said: dict[str, Any], server: OidcProvider, provider: Provider
) -> None:
    with pytest.raises(Forbidden, match=r"mail") as refused:
        await provider.verify(server.token(**said))
    assert refused.value.rule == "oidc.name"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_short_key_signs_nothing(server: OidcProvider, provider: Provider) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is what is refused
    server.keys = [rsa_key("good"), Key(kid="short", alg="RS256", private=private)]
    with pytest.raises(Unauthenticated, match="no key"):
        await provider.verify(server.token())


async def test_a_secret_among_the_keys_signs_nothing(server: OidcProvider, provider: Provider) -> None:
    announced = [{"kty": "oct", "kid": "first", "k": encoded("secret")}, rsa_key("good").public]
    server.answers["/jwks"] = 200, json.dumps({"keys": announced}).encode()
    with pytest.raises(Unauthenticated):
        await provider.verify(by_public_key(server))
    with pytest.raises(Unauthenticated, match="no key"):
        await provider.verify(server.token())


async def test_a_key_for_encryption_signs_nothing(server: OidcProvider, provider: Provider) -> None:
    announced = [{**rsa_key("first").public, "use": "enc"}, rsa_key("good", 1).public]
    server.answers["/jwks"] = 200, json.dumps({"keys": announced}).encode()
    with pytest.raises(Unauthenticated, match="no key"):
        await provider.verify(server.token())


async def test_a_token_that_names_no_key_is_of_the_only_one(server: OidcProvider, provider: Provider) -> None:
    nameless = jwt.encode(
        {"iss": server.issuer, "sub": "ada", "aud": "placet", "iat": server.now(), "exp": server.now() + 60,
         "email": "ada@example.org", "groups": "placet-auditor"},
        server.keys[0].private,
        algorithm="RS256",
    )  # fmt: skip
    assert (await provider.verify(nameless)).token.roles == {"auditor"}
    server.keys.append(rsa_key("second", 1))
    other = Provider(server.issuer, provider._reading, provider._clock)
    with pytest.raises(Unauthenticated, match="no key"):
        await other.verify(nameless)


async def test_our_own_tokens_are_taken_beside_a_providers(
    server: OidcProvider, provider: Provider, clock: ManualClock
) -> None:
    key = SigningKey.generate()
    callers = Callers(lambda: KeySet([key.public]), clock, provider)
    person = "person:01a2093a-0295-7411-aa3a-07219b3cc246"
    issued = tokens.issue(
        id="t",
        person=person,
        roles=frozenset({"admin"}),
        now=clock.now(),
        lifetime=timedelta(hours=1),
        key=key,
    )
    own = await callers.verify_bearer(f"Bearer {issued}")
    assert (own.person, own.name) == (person, None)
    assert server.asked.total() == 0
    assert (await callers.verify_bearer(f"bearer  {server.token()} ")).name == "ada@example.org"
    for header in (None, "", "Basic YTpi", "Bearer ", "Bearer x.y.z", f"Bearer {server.token(iss='placet')}"):
        with pytest.raises(Unauthenticated):
            await callers.verify_bearer(header)


async def test_without_a_provider_its_tokens_are_nobodys(server: OidcProvider, clock: ManualClock) -> None:
    callers = Callers(lambda: KeySet([SigningKey.generate().public]), clock)
    with pytest.raises(Unauthenticated, match="no key we know"):
        await callers.verify_bearer(f"Bearer {server.token()}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "..", "x" * 9000, "e30.e30.", "é"])
def test_whose_token_it_says_it_is_can_be_asked_of_anything(text: str) -> None:
    assert claimed_issuer(text) is None


async def test_errors_say_nothing_long_of_what_was_sent(server: OidcProvider, provider: Provider) -> None:
    for made in (server.token(aud=["x" * 5000]), server.token(headers={"alg": "RS256", "typ": "y" * 5000})):
        with pytest.raises(PlacetError) as refused:
            await provider.verify(made)
        assert len(str(refused.value)) < 500
