"""What a server shows where its connections are encrypted, over real sockets; and what its files may not be."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Response
from placet.connections import BoundedServer, Bounds, bounded
from placet.errors import Refused
from placet.events.settings import ProcessSettings, load
from placet.events.tls import ShownCertificate, shown_certificate

from tests.support.authorities import Authority, Signed
from tests.support.eventually import eventually
from tests.support.logs import Logged
from tests.support.serving import EndsAtOnce

NOW = datetime.now(UTC)  # noqa: TID251 - what is signed holds from the machine's now on
ASK = b"GET %b HTTP/1.1\r\nHost: placet\r\nConnection: close\r\n\r\n"


class Server(EndsAtOnce, BoundedServer):
    pass


def shown(signed: Signed, *, now: datetime = NOW, client_ca: Path | None = None) -> ShownCertificate:
    return ShownCertificate(signed.certificate, signed.key, now=lambda: now, client_ca=client_ca)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def signed(authority: Authority) -> Signed:
    return authority.sign("service", "localhost", "127.0.0.1", lasts=timedelta(days=30))


@asynccontextmanager
async def serving(encryption: ShownCertificate, bounds: Bounds = Bounds()) -> AsyncIterator[int]:  # noqa: B008
    async with served(encryption, bounds) as (port, _):
        yield port


@asynccontextmanager
async def served(encryption: ShownCertificate, bounds: Bounds) -> AsyncIterator[tuple[int, Server]]:
    app = FastAPI()

    @app.get("/much")
    async def much() -> Response:
        return Response(bytes(2**24))

    @app.get("/{name}")
    async def named(name: str) -> str:
        return name

    server = Server(bounded(app, bounds, encryption=encryption, host="127.0.0.1", port=0))
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        server.end()
        await running


def believing(authority: Authority, shows: Signed | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if shows is not None:
        context.load_cert_chain(shows.certificate, shows.key)
    return context


async def asked(
    port: int, context: ssl.SSLContext, path: bytes = b"/hello", host: str | None = "localhost"
) -> tuple[bytes, int]:
    """The answer, and the serial number of what was shown; with no `host` nobody is named, as by who has an address."""
    if host is None:
        context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host or "")
    writer.write(ASK % path)
    answer = await reader.read()
    shown = writer.get_extra_info("peercert")
    writer.close()
    return answer, int(shown["serialNumber"], 16)


async def test_who_believes_its_authority_is_answered(authority: Authority, signed: Signed) -> None:
    async with serving(shown(signed)) as port:
        answer, _ = await asked(port, believing(authority))
        assert b"200 OK" in answer
        assert answer.endswith(b'"hello"')


async def test_who_believes_another_is_not(tmp_path: Path, signed: Signed) -> None:
    async with serving(shown(signed)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(port, believing(Authority(tmp_path / "another")))


async def test_who_speaks_no_tls_is_not_answered(signed: Signed) -> None:
    async with serving(shown(signed)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK % b"/hello")
        assert b"HTTP" not in await reader.read()
        writer.close()


async def test_who_shakes_no_hands_is_parted_with(signed: Signed) -> None:
    async with serving(shown(signed), Bounds(head_seconds=0.05)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_who_does_not_read_its_answer_is_parted_with(authority: Authority, signed: Signed) -> None:
    async with served(shown(signed), Bounds(silence=0.05)) as (port, server):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=believing(authority), server_hostname="localhost", limit=1
        )
        writer.write(b"GET /much HTTP/1.1\r\nHost: placet\r\n\r\n")
        await eventually(lambda: server.server_state.total_requests == 1)
        await eventually(lambda: not server.server_state.connections)
        writer.transport.abort()


async def test_an_address_that_is_taken_ends_it_as_without_tls(signed: Signed) -> None:
    async with serving(shown(signed)) as port:
        second = Server(bounded(FastAPI(), Bounds(), encryption=shown(signed), host="127.0.0.1", port=port))
        with pytest.raises(SystemExit):
            await second.serve()


@pytest.mark.parametrize("host", ["localhost", None])
async def test_a_renewed_certificate_is_shown_without_a_restart(
    authority: Authority, signed: Signed, tmp_path: Path, host: str | None
) -> None:
    async with serving(shown(signed)) as port:
        _, before = await asked(port, believing(authority), host=host)
        renewed = authority.sign("service", "localhost", "127.0.0.1", into=tmp_path)
        shutil.move(renewed.certificate, signed.certificate)
        shutil.move(renewed.key, signed.key)
        reached = before
        async with asyncio.timeout(10):
            while reached == before:
                _, reached = await asked(port, believing(authority), host=host)


def test_what_is_half_written_is_not_taken_and_said_once(
    authority: Authority, signed: Signed, tmp_path: Path, caplog: pytest.LogCaptureFixture, logged: Logged
) -> None:
    caplog.set_level(logging.INFO)
    shows = shown(signed)
    renewed = authority.sign("service", "localhost", lasts=timedelta(days=30), into=tmp_path)
    shutil.move(renewed.certificate, signed.certificate)
    for _ in range(3):
        shows.look()
    (told,) = logged()
    assert "is not the key of the certificate" in told.getMessage()
    shutil.move(renewed.key, signed.key)
    for _ in range(3):
        shows.look()
    _, told = logged()
    assert "is shown from now on" in told.getMessage()


def test_a_secret_that_a_kubelet_mounts_anew_is_read_again(
    authority: Authority, signed: Signed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files are links through a folder that is a link, which is what changes."""
    caplog.set_level(logging.INFO)
    mounted = tmp_path / "mounted"
    for number in (1, 2):
        (mounted / f"..{number}").mkdir(parents=True)
        made = authority.sign("tls", "localhost", into=tmp_path)
        shutil.move(made.certificate, mounted / f"..{number}" / "tls.crt")
        shutil.move(made.key, mounted / f"..{number}" / "tls.key")
    (mounted / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (mounted / name).symlink_to(f"..data/{name}")
    shows = ShownCertificate(mounted / "tls.crt", mounted / "tls.key", now=lambda: NOW)
    (mounted / "..new").symlink_to("..2")
    (mounted / "..new").rename(mounted / "..data")
    shows.look()
    assert "is shown from now on" in caplog.text


# Clients that show a certificate.


async def is_parted_with(port: int, context: ssl.SSLContext) -> bool:
    """By TLS 1.3 a client may have asked by the time it hears that its certificate does not do."""
    try:
        answer, _ = await asked(port, context, b"/livez")
    except (ssl.SSLError, ConnectionError):
        return True
    return answer == b""


async def test_who_shows_no_certificate_is_told_how_the_service_is_and_nothing_else(
    authority: Authority, signed: Signed, tmp_path: Path
) -> None:
    edge = authority.sign("edge", "edge")
    stranger = Authority(tmp_path / "another").sign("edge", "edge")
    async with serving(shown(signed, client_ca=authority.file)) as port:
        for path in (b"/livez", b"/readyz", b"/livez?x"):
            answer, _ = await asked(port, believing(authority), path)
            assert b"200 OK" in answer
        for path in (b"/hello", b"/livez/..", b"//livez", b"https://placet/hello"):
            answer, _ = await asked(port, believing(authority), path)
            assert b"403 Forbidden" in answer
        answer, _ = await asked(port, believing(authority, edge))
        assert b"200 OK" in answer
        assert await is_parted_with(port, believing(authority, stranger))


async def test_an_authority_that_is_taken_out_counts_no_more(
    authority: Authority, signed: Signed, tmp_path: Path
) -> None:
    clients = Authority(tmp_path / "clients")
    edge = clients.sign("edge", "edge")
    encryption = shown(signed, client_ca=clients.file)
    async with serving(encryption) as port:
        await asked(port, believing(authority, edge))
        clients.file.write_bytes(Authority(tmp_path / "others").file.read_bytes())
        encryption.look()
        assert await is_parted_with(port, believing(authority, edge))


# What is wrong at the start.


def settings(monkeypatch: pytest.MonkeyPatch, **tls: Path) -> ProcessSettings:
    monkeypatch.setenv("PLACET_AMQP_URL", "amqp://x@y/")
    monkeypatch.setenv("PLACET_DATABASE_URL", "postgresql://x@y/z")
    for name, file in tls.items():
        monkeypatch.setenv(f"PLACET_HTTP_TLS_{name.upper()}", str(file))
    return load(ProcessSettings)


def test_without_a_certificate_nothing_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_certificate(settings(monkeypatch), lambda: NOW) is None


@pytest.mark.parametrize("only", ["certificate", "key"])
def test_one_without_the_other_is_refused(signed: Signed, monkeypatch: pytest.MonkeyPatch, only: str) -> None:
    with pytest.raises(Refused, match=r"PLACET_HTTP_TLS_KEY.*: TLS takes both"):
        settings(monkeypatch, **{only: signed.key})


def test_an_authority_of_clients_without_tls_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="PLACET_HTTP_TLS_CLIENT_CA"):
        settings(monkeypatch, client_ca=authority.file)


def wrong(signed: Signed, **files: bytes | None) -> str:
    for name, content in files.items():
        file: Path = getattr(signed, name)
        file.unlink()
        if content is not None:
            file.write_bytes(content)
    with pytest.raises(Refused) as refused:
        shown(signed)
    return refused.value.detail


def test_a_file_that_is_not_there_is_named(signed: Signed) -> None:
    said = wrong(signed, key=None)
    assert said == f"PLACET_HTTP_TLS_KEY: {signed.key} cannot be read: No such file or directory"


def test_a_folder_is_no_file(signed: Signed) -> None:
    signed.certificate.unlink()
    signed.certificate.mkdir()
    with pytest.raises(Refused, match=r"PLACET_HTTP_TLS_CERTIFICATE: .*cannot be read: Is a directory"):
        shown(signed)


def test_a_key_of_another_certificate_is_refused(authority: Authority, signed: Signed) -> None:
    other = authority.sign("other", "localhost")
    said = wrong(signed, key=other.key.read_bytes())
    assert said.startswith(f"PLACET_HTTP_TLS_KEY: {signed.key} is not the key of the certificate")


def test_files_that_hold_something_else_are_refused(signed: Signed) -> None:
    key, certificate = signed.key.read_bytes(), signed.certificate.read_bytes()
    assert "has no private key in PEM" in wrong(signed, key=b"nothing")
    assert "has no certificate in PEM" in wrong(signed, key=key, certificate=b"nothing")
    assert "has no private key in PEM" in wrong(signed, key=certificate, certificate=certificate)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(signed: Signed) -> None:
    key = serialization.load_pem_private_key(signed.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    assert "is encrypted with a passphrase" in wrong(signed, key=encrypted)


def test_authorities_of_clients_that_are_none_are_refused(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("nothing")
    with pytest.raises(Refused, match=r"PLACET_HTTP_TLS_CLIENT_CA: .* has no certificate in PEM"):
        shown(signed, client_ca=tmp_path / "none")


@pytest.mark.parametrize(
    ("days", "told"), [(-1, "ended at"), (3, "ends at"), (-40, "holds only from"), (20, None)]
)
def test_one_that_has_ended_or_will_is_told_of_and_shown(
    authority: Authority, logged: Logged, days: int, told: str | None
) -> None:
    at = NOW + timedelta(days=-40) if days == -40 else NOW
    shown(authority.sign("service", "localhost", lasts=timedelta(days=max(days, -1))), now=at)
    words = [each.getMessage() for each in logged()]
    assert all(told is not None and told in each for each in words)
    assert bool(words) is (told is not None)


def test_a_service_ends_at_once_and_waits_for_nobody_first(tmp_path: Path) -> None:
    """Its broker and its database may be away for long, and nothing that they do cures it."""
    (tmp_path / "tokens.json").write_text("[]")
    done = subprocess.run(
        [sys.executable, "-m", "placet.indexer"],
        env={
            "PLACET_AMQP_URL": "amqp://indexer@127.0.0.1:1/",
            "PLACET_DATABASE_URL": "postgresql://indexer@127.0.0.1:1/x",
            "PLACET_REGISTRY": "http://127.0.0.1:1",
            "PLACET_TOKEN_KEYS": str(tmp_path / "tokens.json"),
            "PLACET_HTTP_TLS_CERTIFICATE": str(tmp_path / "none.crt"),
            "PLACET_HTTP_TLS_KEY": str(tmp_path / "none.key"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"PLACET_HTTP_TLS_CERTIFICATE: {tmp_path}/none.crt cannot be read" in done.stderr
