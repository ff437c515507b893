"""An engine on a port is asked by TLS where a folder with certificates is given, and is believed by its authority."""

from __future__ import annotations

from pathlib import Path

import pytest
from placet.deployer.adapters.docker_engine import DockerEngine
from placet.deployer.room import Amount
from placet.errors import Refused, Unavailable

from tests.support.authorities import Authority
from tests.support.encrypted_engine import encrypted_engine, folder_for


async def room(address: str, certificates: Path | None) -> Amount:
    engine = DockerEngine(address, certificates)
    try:
        return await engine.room()
    finally:
        await engine.close()


async def test_it_is_asked_by_who_shows_a_certificate_and_believed_by_its_authority(tmp_path: Path) -> None:
    ours, another = Authority(tmp_path / "ours"), Authority(tmp_path / "another")
    deployer = ours.sign("deployer", "deployer")
    with encrypted_engine(ours.sign("engine", "127.0.0.1"), ours) as engine:
        found = await room(engine.address, folder_for(ours, tmp_path / "right", deployer))
        assert found == Amount(cpu_millis=2000, memory_bytes=2**31)
        assert set(engine.asked) == {"deployer"}
        engine.asked.clear()
        for certificates in (
            folder_for(another, tmp_path / "another engine's", deployer),
            folder_for(ours, tmp_path / "nobody's"),
            folder_for(ours, tmp_path / "a stranger's", another.sign("deployer", "deployer")),
            None,
        ):
            with pytest.raises(Unavailable, match="does not answer"):
                await room(engine.address, certificates)
        assert engine.asked == []


async def test_an_engine_of_another_name_is_not_believed(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    with encrypted_engine(ours.sign("engine", "engine.example.org"), ours) as engine:
        with pytest.raises(Unavailable, match="certificate"):
            await room(engine.address, folder_for(ours, tmp_path / "right", ours.sign("deployer", "d")))
        assert engine.asked == []


def test_what_is_missing_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"PLACET_DOCKER_CERT_PATH: there is no .*/ca\.pem"):
        DockerEngine("tcp://engine:2376", tmp_path)
    ours = Authority(tmp_path / "ours")
    half = folder_for(ours, tmp_path / "half", ours.sign("deployer", "deployer"))
    (half / "key.pem").unlink()
    with pytest.raises(Refused, match=r"there is no .*/key\.pem"):
        DockerEngine("tcp://engine:2376", half)


def test_a_socket_takes_no_certificates(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="PLACET_DOCKER_CERT_PATH is set, and the engine is at unix://"):
        DockerEngine("unix:///var/run/docker.sock", tmp_path)
