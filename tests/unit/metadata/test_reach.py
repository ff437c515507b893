"""Where a webhook may lead: to the internet by TLS, and where an operator said so; nowhere inside."""

from __future__ import annotations

import pytest
from placet.errors import Refused
from placet.metadata.reach import Reach
from placet.metadata.settings import MetadataSettings
from pydantic import ValidationError

ANYWHERE = Reach.of("")
PUBLIC = "93.184.215.14"
INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.1.2.3",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
"""Private, loopback, link-local, a cloud's, multicast, reserved, unspecified, for documentation, and IPv4 as IPv6."""


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_leads_nowhere(address: str) -> None:
    target = ANYWHERE.target("https://hooks.example.org/placet")
    with pytest.raises(Refused, match="where webhooks do not lead") as refused:
        ANYWHERE.judge(target, [address])
    assert address not in str(refused.value).split()


@pytest.mark.parametrize("address", [each for each in INSIDE if "%" not in each])
def test_an_address_inside_is_refused_as_it_is_typed(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="where webhooks do not lead"):
        ANYWHERE.target(f"https://{host}/placet")


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_reached(address: str) -> None:
    target = ANYWHERE.target("https://hooks.example.org/placet")
    ANYWHERE.judge(target, [PUBLIC, address])


def test_one_address_inside_among_many_is_enough() -> None:
    target = ANYWHERE.target("https://hooks.example.org/placet")
    with pytest.raises(Refused):
        ANYWHERE.judge(target, [PUBLIC, "10.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "gopher://hooks.example.org/",
        "//hooks.example.org/",
        "hooks.example.org",
        "https://",
        "https:///placet",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org/a#b",
        "https://hooks.example.org\\@127.0.0.1/",
        "https://hooks.example.org/\\x",
        "https://user@hooks.example.org/",
        "https://user:secret@hooks.example.org/",
        "https://hooks.example.org@127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://[::1%25lo]/",
        "https://[::1/",
        "https://hooks example.org/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nx: y",
        "https://münchen.example/",
        "https://hooks..example.org/",
        "https://-hooks.example.org/",
        "https://" + "x" * 64 + ".example.org/",
        "https://hooks.example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        ANYWHERE.target(url)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(Refused, match="names no user") as refused:
        ANYWHERE.target("https://user:hunter2@hooks.example.org/")
    assert "hunter2" not in str(refused.value)


def test_http_is_for_where_an_operator_allows_it() -> None:
    with pytest.raises(Refused, match="could be read on its way") as refused:
        ANYWHERE.target("http://hooks.example.org/")
    assert refused.value.fix is not None
    assert "PLACET_WEBHOOK_HOSTS" in refused.value.fix
    named = Reach.of("hooks.example.org")
    named.judge(named.target("http://hooks.example.org/"), [PUBLIC])


@pytest.mark.parametrize("port", [1, 22, 25, 80, 1023])
def test_well_known_ports_of_others_are_not_sent_to(port: int) -> None:
    with pytest.raises(Refused, match="another service's"):
        ANYWHERE.target(f"https://hooks.example.org:{port}/")


@pytest.mark.parametrize("port", [443, 1024, 8443, 65535])
def test_other_ports_are(port: int) -> None:
    assert ANYWHERE.target(f"https://hooks.example.org:{port}/").port == port


# what is allowed


def test_a_network_that_is_allowed_is_reached_at_any_port_and_by_http() -> None:
    reach = Reach.of("10.2.0.0/16, fd00::/8")
    for url in ("http://10.2.3.4:25/", "http://[fd12::1]/"):
        assert reach.target(url).literal is not None
    target = reach.target("http://hooks.intranet.example:81/")
    reach.judge(target, ["10.2.3.4", "fd12::1", "::ffff:10.2.3.4"])
    for elsewhere in ("10.3.0.1", PUBLIC, "127.0.0.1"):
        with pytest.raises(Refused):
            reach.judge(target, ["10.2.3.4", elsewhere])


def test_a_name_that_is_allowed_leads_inside_and_still_not_to_the_machine_s_own_link() -> None:
    reach = Reach.of("Hooks.Intranet.Example")
    target = reach.target("http://hooks.intranet.example:81/")
    reach.judge(target, ["10.2.3.4", "127.0.0.1", "fd12::1"])
    for never in ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "::ffff:169.254.169.254"):
        with pytest.raises(Refused):
            reach.judge(target, [never])


def test_a_name_that_is_allowed_allows_no_other() -> None:
    reach = Reach.of("hooks.intranet.example")
    for url in ("http://evil.hooks.intranet.example/", "http://hooks.intranet.example.org/"):
        with pytest.raises(Refused):
            reach.target(url)


def test_a_link_local_network_can_be_allowed_by_itself() -> None:
    reach = Reach.of("169.254.169.254")
    assert reach.target("http://169.254.169.254/hook").port == 80


@pytest.mark.parametrize("text", ["10.0.0.0/33", "http://x", "a b", "*.example.org", "10.0.0.1/8", "x_y!"])
def test_what_is_neither_name_nor_network_stops_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match="is no name, address or network"):
        MetadataSettings.model_validate({"token_keys": "x", "signing_key": "y", "webhook_hosts": text})
