"""Git addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from placet.errors import Refused
from placet.gateway.git_address import GitAddress, parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "address", "host"),
    [
        ("https://host.org/team/model", GitAddress(url="https://host.org/team/model"), "host.org"),
        (
            "git+https://Host.org:8443/team/model.git@v1.0",
            GitAddress(url="https://host.org:8443/team/model.git", ref="v1.0"),
            "host.org:8443",
        ),
        (
            "http://127.0.0.1:9/m@feature/new-one#subdirectory=models/churn/",
            GitAddress(url="http://127.0.0.1:9/m", ref="feature/new-one", subdirectory="models/churn"),
            "http://127.0.0.1:9",
        ),
        (f"https://h/m@{COMMIT}", GitAddress(url="https://h/m", ref=COMMIT), "h"),
        ("https://h/m#subdirectory=.", GitAddress(url="https://h/m"), "h"),
    ],
)
def test_an_address_says_where_what_and_which_folder(text: str, address: GitAddress, host: str) -> None:
    assert parse(text) == address
    assert parse(text).host == host


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("ssh://git@host/m", "over https"),
        ("file:///etc", "over https"),
        ("git@host:m", "over https"),
        ("--upload-pack=touch /tmp/x", "characters"),
        ("https:///m", "over https"),
        ("https://host", "names no repository"),
        ("https://host/@main", "names no repository"),
        ("https://host:99999999/m", "no git address"),
        ("https://[::1/m", "no git address"),
        ("https://user:secret@host/m", "must not hold a user or a password"),
        ("https://host/m?x=1", "has a query"),
        ("https://host/m@", "names no branch"),
        ("https://host/m@-c", "names no branch"),
        ("https://host/m@a..b", "names no branch"),
        ("https://host/m@HEAD^{commit}", "names no branch"),
        ("https://host/m@a:b", "names no branch"),
        ("https://host/m#egg=x", "only subdirectory=FOLDER is"),
        ("https://host/m#subdirectory=a&subdirectory=b", "only subdirectory=FOLDER is"),
        ("https://host/m#subdirectory=../x", "leads out"),
        ("https://host/m#subdirectory=/x", "leads out"),
        (f"https://host/{'m' * 3000}", "too many"),
    ],
)
def test_what_is_no_address_is_refused(text: str, saying: str) -> None:
    with pytest.raises(Refused, match=saying):
        parse(text)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(Refused) as refused:
        parse("https://user:secret@host/m")
    assert "secret" not in str(refused.value)


@given(st.text())
@example("+")
@example("%20%25")
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for written in (
        text,
        f"https://host/{text}",
        f"https://host/m@{text}",
        f"https://host/m#subdirectory={text}",
    ):
        try:
            address = parse(written)
        except Refused:
            continue
        assert parse(address.at(COMMIT)) == GitAddress(
            url=address.url, ref=COMMIT, subdirectory=address.subdirectory
        )


def test_the_address_of_one_commit_is_good_for_ever() -> None:
    address = parse("https://host/m.git@main#subdirectory=models/churn")
    assert address.at(COMMIT) == f"git+https://host/m.git@{COMMIT}#subdirectory=models/churn"
