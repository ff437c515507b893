"""What a service is told of a provider, and what it says of nonsense at its start."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.errors import Refused
from placet.events.settings import load
from placet.events.testing import ManualClock
from placet.gateway.settings import GatewaySettings
from placet.identity import ProviderSettings, own_person_key, provider_of
from placet.identity.settings import ROLES, USUAL_ROLES, roles_by_value

GOOD = {
    "PLACET_OIDC_ISSUER": "https://login.example.org/realms/risk",
    "PLACET_OIDC_CLIENT_ID": "placet",
    "PLACET_OIDC_PERSON_KEY": "/run/secrets/people.key",
}


def loaded(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> ProviderSettings:
    for name, value in {**GOOD, **changed}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return load(ProviderSettings)


def test_three_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch)
    assert settings.oidc_audiences == {"placet"}
    assert (settings.oidc_roles_claim, settings.oidc_name_claim) == ("groups", "email")
    assert roles_by_value(settings.oidc_roles) == {f"placet-{role}": {role} for role in ROLES}


def test_without_an_issuer_there_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, PLACET_OIDC_ISSUER="", PLACET_OIDC_CLIENT_ID="", PLACET_OIDC_PERSON_KEY="")
    assert provider_of(settings, ManualClock()) is None


def test_who_makes_access_tokens_for_an_api_names_it_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, PLACET_OIDC_AUDIENCE="api://placet").oidc_audiences == {
        "placet",
        "api://placet",
    }
    only = loaded(monkeypatch, PLACET_OIDC_AUDIENCE="api://placet", PLACET_OIDC_CLIENT_ID="")
    assert only.oidc_audiences == {"api://placet"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"PLACET_OIDC_ISSUER": "login.example.org"}, "PLACET_OIDC_ISSUER: must be"),
        ({"PLACET_OIDC_ISSUER": "http://login.example.org"}, "PLACET_OIDC_ISSUER: must be"),
        ({"PLACET_OIDC_ISSUER": "https://ada:secret@login.example.org"}, "PLACET_OIDC_ISSUER: must be"),
        ({"PLACET_OIDC_ISSUER": "https://login.example.org?x=1"}, "PLACET_OIDC_ISSUER: must be"),
        ({"PLACET_OIDC_ISSUER": "https://login.example.org:port"}, "PLACET_OIDC_ISSUER: must be"),
        ({"PLACET_OIDC_CLIENT_ID": None}, "neither PLACET_OIDC_CLIENT_ID nor PLACET_OIDC_AUDIENCE"),
        ({"PLACET_OIDC_PERSON_KEY": None}, "PLACET_OIDC_PERSON_KEY is not"),
        ({"PLACET_OIDC_ISSUER": None}, "PLACET_OIDC_ISSUER is not: set both"),
        ({"PLACET_OIDC_ROLES": "ml=wizard"}, "'ml=wizard' must be VALUE=ROLE"),
        ({"PLACET_OIDC_ROLES": "cn=admin,dc=example=scientist"}, "cannot be named here"),
        ({"PLACET_OIDC_ROLES": "scientist"}, "'scientist' must be VALUE=ROLE"),
    ],
)
def test_nonsense_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], told: str
) -> None:
    with pytest.raises(Refused) as refused:
        loaded(monkeypatch, **changed)
    assert told in refused.value.detail
    assert "secret@" not in refused.value.detail


def test_what_fits_together_is_told_without_what_anything_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as refused:
        loaded(monkeypatch, PLACET_OIDC_CLIENT_ID=None)
    assert "login.example.org" not in refused.value.detail


def test_a_secret_of_no_client_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACET_OIDC_CLIENT_SECRET_FILE", "/run/secrets/client")
    known = {"registry": "x", "token_key": tmp_path, "admin_token_file": tmp_path}
    with pytest.raises(Refused, match="not both PLACET_OIDC_ISSUER and PLACET_OIDC_CLIENT_ID"):
        load(GatewaySettings, **known)
    monkeypatch.setenv("PLACET_OIDC_CLIENT_SECRET_FILE", "")
    assert load(GatewaySettings, **known).oidc_client_secret_file is None


@pytest.mark.parametrize("held", [None, "", "short", " " * 40])
def test_a_secret_that_is_none_stops_the_start(
    held: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "people.key"
    if held is not None:
        file.write_text(held)
    with pytest.raises(Refused, match="PLACET_OIDC_PERSON_KEY") as refused:
        provider_of(loaded(monkeypatch, PLACET_OIDC_PERSON_KEY=str(file)), ManualClock())
    assert refused.value.fix


def test_a_platform_in_one_process_makes_the_secret_once_and_for_itself(tmp_path: Path) -> None:
    file = own_person_key(tmp_path / "people.key")
    made = file.read_text()
    assert own_person_key(file).read_text() == made
    assert len(made.strip()) == 64
    assert file.stat().st_mode & 0o077 == 0


def test_usual_roles_are_no_names_that_a_company_has_anyway() -> None:
    assert all(value.startswith("placet-") for value in roles_by_value(USUAL_ROLES))
