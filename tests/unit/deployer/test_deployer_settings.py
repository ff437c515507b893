"""Where the deployer finds what others have another address for."""

from __future__ import annotations

import pytest
from placet.deployer.settings import DeployerSettings
from placet.errors import Refused
from placet.events.settings import load


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DATA", "CERTIFIER_KEYS", "TOKEN_KEYS"):
        monkeypatch.setenv(f"PLACET_{name}", "/data")
    monkeypatch.setenv("PLACET_REGISTRY", "http://registry:5000")
    monkeypatch.setenv("PLACET_PUBLIC_URL", "http://127.0.0.1:8080")
    return monkeypatch


def test_what_nobody_says_is_nothing(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PLACET_DOCKER_REGISTRY", "")
    settings = load(DeployerSettings)
    assert settings.docker_registry is None
    assert settings.caddy_admin_url == "http://127.0.0.1:2019"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLACET_DOCKER_REGISTRY", "127.0.0.1:5000"),
        ("PLACET_DOCKER_REGISTRY", "registry.example.org/placet"),
        ("PLACET_CADDY_ADMIN_URL", "unix:///run/caddy/admin.sock"),
        ("PLACET_CADDY_ADMIN_URL", "http://caddy:2019"),
        ("PLACET_KUBERNETES_CALLER_ADDRESSES", "192.0.2.7/32,2001:db8::/64"),
    ],
)
def test_what_is_right_is_kept_as_it_is(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    assert getattr(load(DeployerSettings), name.removeprefix("PLACET_").lower()) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLACET_DOCKER_REGISTRY", "http://registry:5000"),
        ("PLACET_DOCKER_REGISTRY", "registry:5000/"),
        ("PLACET_CADDY_ADMIN_URL", "unix:run/admin.sock"),
        ("PLACET_CADDY_ADMIN_URL", "unix://"),
        ("PLACET_KUBERNETES_CALLER_ADDRESSES", "edge.example.org"),
        ("PLACET_KUBERNETES_CALLER_ADDRESSES", "192.0.2.7/33"),
        ("PLACET_KUBERNETES_CALLER_ADDRESSES", "192.0.2.7/32,"),
    ],
)
def test_what_is_wrong_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(Refused, match=name):
        load(DeployerSettings)


def test_a_password_in_the_registrys_other_name_is_not_repeated(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PLACET_DOCKER_REGISTRY", "somebody:secret@registry:5000")
    with pytest.raises(Refused, match="PLACET_DOCKER_REGISTRY") as refused:
        load(DeployerSettings)
    assert "secret" not in str(refused.value)


def test_networks_are_read_as_people_write_them(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PLACET_KUBERNETES_CALLER_ADDRESSES", "192.0.2.7, 198.51.100.0/24")
    assert load(DeployerSettings).kubernetes_caller_addresses == "192.0.2.7/32,198.51.100.0/24"
    environment.setenv("PLACET_KUBERNETES_CALLER_ADDRESSES", "")
    assert load(DeployerSettings).kubernetes_caller_addresses is None


def test_an_address_in_the_midst_of_its_network_is_told_as_that(environment: pytest.MonkeyPatch) -> None:
    """A policy takes the network, and nobody knows which of both was meant."""
    environment.setenv("PLACET_KUBERNETES_CALLER_ADDRESSES", "198.51.100.7/24")
    with pytest.raises(Refused, match=r"must be networks, .*198\.51\.100\.7/24 has host bits set"):
        load(DeployerSettings)
