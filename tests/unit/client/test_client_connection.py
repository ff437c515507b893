"""Which platform is meant, and whose token goes where."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from placet.client import Connection, discovery_file, find, leave_discovery, remove_discovery
from placet.errors import Unavailable, Unreadable

LOCAL = Connection(url="http://127.0.0.1:8080", token="local")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_without_anything_said_the_error_names_both_ways(environ: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="placet up"):
        find(environ)


def test_the_platform_of_the_same_user_is_found(environ: dict[str, str]) -> None:
    leave_discovery(LOCAL, environ)
    assert find(environ) == LOCAL


def test_the_file_is_for_this_user_only_even_where_one_was_open_to_all(environ: dict[str, str]) -> None:
    path = leave_discovery(LOCAL, environ)
    path.chmod(0o644)
    leave_discovery(LOCAL, environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_wins_over_the_file(environ: dict[str, str]) -> None:
    leave_discovery(LOCAL, environ)
    told = {**environ, "PLACET_URL": "https://placet.example.org/", "PLACET_TOKEN": "mine"}
    assert find(told) == Connection(url="https://placet.example.org", token="mine")
    assert find({**environ, "PLACET_TOKEN": "mine"}) == Connection(url=LOCAL.url, token="mine")


def test_the_local_token_goes_to_no_other_address(environ: dict[str, str]) -> None:
    leave_discovery(LOCAL, environ)
    assert find({**environ, "PLACET_URL": "http://elsewhere:8080"}).token is None
    assert find({**environ, "PLACET_URL": LOCAL.url}).token == "local"


def test_another_platforms_file_is_left_alone(environ: dict[str, str]) -> None:
    leave_discovery(LOCAL, environ)
    newer = Connection(url="http://127.0.0.1:9090", token="newer")
    leave_discovery(newer, environ)
    remove_discovery(LOCAL, environ)
    assert find(environ) == newer
    remove_discovery(newer, environ)
    assert not discovery_file(environ).exists()


def test_a_damaged_file_counts_as_none(environ: dict[str, str]) -> None:
    leave_discovery(LOCAL, environ).write_text("[1")
    with pytest.raises(Unavailable):
        find(environ)


def test_a_token_is_not_shown_where_a_connection_is_printed() -> None:
    assert "local" not in repr(LOCAL)


def test_this_machines_own_addresses_are_told_from_others() -> None:
    assert Connection(url="http://[::1]:80").is_local
    assert Connection(url="http://localhost").is_local
    assert not Connection(url="http://10.0.0.1").is_local


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "localhost:8080",
        "ftp://placet.example.org",
        "http://",
        "http://[::1",
        "http://a b/",
        "http://placet:99999",
        "http://placet:port",
        "http://placet:0",
        "http://pläcet\n",
    ],
)
def test_what_is_no_address_is_refused_with_an_example_of_one(environ: dict[str, str], url: str) -> None:
    with pytest.raises(Unreadable, match="is no address of a platform") as refused:
        find({**environ, "PLACET_URL": url})
    assert "PLACET_URL" in str(refused.value.fix)


@pytest.mark.parametrize("token", ["two\nlines", "a b", "schlüssel", "a\x00"])
def test_a_token_that_no_header_could_carry_is_refused_unshown(environ: dict[str, str], token: str) -> None:
    with pytest.raises(Unreadable, match="token") as refused:
        find({**environ, "PLACET_URL": LOCAL.url, "PLACET_TOKEN": token})
    assert token not in str(refused.value)
