"""Settings come from the environment; a wrong one is named, with what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from placet.errors import Refused
from placet.events.settings import ProcessSettings, ServiceSettings, describe, load
from pydantic import Field

GOOD = {
    "PLACET_AMQP_URL": "amqp://builder:secret@broker/",
    "PLACET_DATABASE_URL": "postgres://builder:secret@database/placet",
}


class BuilderSettings(ServiceSettings):
    model_host: Literal["process", "docker"] = Field(default="process", description="where models run")
    registry: str = Field(description="where images are")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_what_is_right_is_read() -> None:
    settings = load(ProcessSettings)
    assert settings.amqp_url == GOOD["PLACET_AMQP_URL"]
    assert settings.database_url == "postgresql://builder:secret@database/placet"
    assert settings.http_port == 8080


def test_proxies_are_networks_however_they_are_written(environment: pytest.MonkeyPatch) -> None:
    assert load(ProcessSettings).http_trusted_proxies == ""
    environment.setenv("PLACET_HTTP_TRUSTED_PROXIES", "10.0.0.7, 10.1.2.3/16,fd00::7")
    assert load(ProcessSettings).http_trusted_proxies == "10.0.0.7/32,10.1.0.0/16,fd00::7/128"


@pytest.mark.parametrize(
    ("name", "value", "saying"),
    [
        ("PLACET_AMQP_URL", "http://broker/", "PLACET_AMQP_URL: must be amqp://"),
        ("PLACET_DATABASE_URL", "mysql://database/", "must be postgresql://"),
        ("PLACET_HTTP_PORT", "99999", "port to listen on"),
        ("PLACET_HTTP_PORT", "eighty", "port to listen on"),
        ("PLACET_HTTP_TRUSTED_PROXIES", "edge,10.0.0.7", "must be addresses or networks with commas between"),
        ("PLACET_HTTP_TRUSTED_PROXIES", "*", "must be addresses or networks with commas between"),
        ("PLACET_LEASE_SECONDS", "0", "outlive a crashed process"),
        ("PLACET_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ],
)
def test_a_wrong_one_is_named_with_what_is_allowed(
    environment: pytest.MonkeyPatch, name: str, value: str, saying: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(Refused, match=name) as refusal:
        load(ProcessSettings)
    assert saying in str(refusal.value)
    assert value in str(refusal.value)
    assert refusal.value.fix == "see docs/reference/settings.md, or --help-settings of the service"


def test_all_that_are_wrong_are_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("PLACET_AMQP_URL")
    environment.setenv("PLACET_HTTP_PORT", "-1")
    with pytest.raises(Refused) as refusal:
        load(ProcessSettings)
    assert [line.partition(":")[0] for line in refusal.value.detail.splitlines()] == [
        "PLACET_AMQP_URL",
        "PLACET_HTTP_PORT",
    ]
    assert "PLACET_AMQP_URL: is not set" in refusal.value.detail


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://builder:secret@database/placet", "mysql://…@database/placet"),
        ("mysql://builder:se/secret@database/placet", "mysql://…@database/placet"),
        ("mysql://database/placet?password=secret&a=b", "mysql://database/placet?password=…&a=b"),
    ],
)
def test_a_password_is_not_repeated(environment: pytest.MonkeyPatch, url: str, shown: str) -> None:
    environment.setenv("PLACET_DATABASE_URL", url)
    with pytest.raises(Refused) as refusal:
        load(ProcessSettings)
    assert "secret" not in str(refusal.value)
    assert shown in str(refusal.value)


def test_a_choice_is_named_with_its_members(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PLACET_REGISTRY", "http://registry")
    environment.setenv("PLACET_MODEL_HOST", "mainframe")
    with pytest.raises(Refused, match=r"PLACET_MODEL_HOST.*'process' or 'docker'"):
        load(BuilderSettings)


def test_every_setting_is_listed_with_its_default() -> None:
    lines = {line.split()[0]: line for line in describe(BuilderSettings).splitlines()}
    assert set(lines) == {"PLACET_MODEL_HOST", "PLACET_REGISTRY"}
    assert "one of process, docker; default: 'process'" in lines["PLACET_MODEL_HOST"]
    assert lines["PLACET_REGISTRY"].endswith("required")


def test_a_file_may_hold_a_value(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As secrets are mounted, with the end of line that editors leave."""
    secret = tmp_path / "amqp"
    secret.write_text(f"{GOOD['PLACET_AMQP_URL']}\n")
    environment.delenv("PLACET_AMQP_URL")
    environment.setenv("PLACET_AMQP_URL_FILE", str(secret))
    assert load(ProcessSettings).amqp_url == GOOD["PLACET_AMQP_URL"]


def test_what_a_file_holds_is_checked_alike(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "amqp"
    secret.write_text("http://builder:secret@broker/")
    environment.delenv("PLACET_AMQP_URL")
    environment.setenv("PLACET_AMQP_URL_FILE", str(secret))
    with pytest.raises(Refused, match="PLACET_AMQP_URL: must be amqp") as refusal:
        load(ProcessSettings)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(("content", "saying"), [(None, "No such file"), (b"\xff\xfe", "it is no text")])
def test_a_file_that_cannot_be_read_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, saying: str
) -> None:
    secret = tmp_path / "amqp"
    if content is not None:
        secret.write_bytes(content)
    environment.delenv("PLACET_AMQP_URL")
    environment.setenv("PLACET_AMQP_URL_FILE", str(secret))
    with pytest.raises(Refused, match=f"PLACET_AMQP_URL_FILE: .*{saying}"):
        load(ProcessSettings)


def test_a_value_and_a_file_are_one_too_many(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("PLACET_AMQP_URL_FILE", str(tmp_path / "amqp"))
    with pytest.raises(Refused, match="PLACET_AMQP_URL_FILE: PLACET_AMQP_URL is set, too"):
        load(ProcessSettings)


def test_what_is_left_empty_was_not_given(environment: pytest.MonkeyPatch) -> None:
    """As a compose file leaves what nobody set, whether a value or the name of a file."""
    environment.setenv("PLACET_HTTP_PORT", "")
    environment.setenv("PLACET_AMQP_URL_FILE", "")
    assert load(ProcessSettings).http_port == 8080
    assert load(ProcessSettings).amqp_url == GOOD["PLACET_AMQP_URL"]


def test_an_empty_value_leaves_it_to_the_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "amqp").write_text("amqp://other:secret@broker/")
    environment.setenv("PLACET_AMQP_URL", "")
    environment.setenv("PLACET_AMQP_URL_FILE", str(tmp_path / "amqp"))
    assert load(ProcessSettings).amqp_url == "amqp://other:secret@broker/"


def test_one_that_has_to_be_there_and_is_empty_is_not_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PLACET_AMQP_URL", "")
    with pytest.raises(Refused, match="PLACET_AMQP_URL: is not set"):
        load(ProcessSettings)


def test_a_setting_that_is_a_file_is_that_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Keys(ServiceSettings):
        token: str = Field(default="none")
        token_file: Path = Field(description="where it is")

    environment.setenv("PLACET_TOKEN_FILE", str(tmp_path / "token"))
    assert load(Keys).token_file == tmp_path / "token"
    assert load(Keys).token == "none"
