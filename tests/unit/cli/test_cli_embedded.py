"""`up` and `demo` around a platform that only says it is one: what is told, left behind and cleaned up."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from argparse import Namespace
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import placet.cli.platform
import pytest
from placet.cli.platform import listen
from placet.cli.screen import Screen
from placet.cli.verbs import embedded
from placet.cli.verbs.embedded import Serve, run, show
from placet.client import Connection, discovery_file, leave_discovery, read_discovery
from placet.errors import Refused

from tests.support.eventually import eventually
from tests.unit.client.fake_platform import ADMIN, FakePlatform, running

OnReady = Callable[[str, str], Awaitable[None]]


def serving(platform: FakePlatform) -> Serve:
    async def serve(
        data: Path,
        host: str,
        port: int,
        *,
        on_ready: OnReady,
        tell: Callable[[str], None] = print,
        only: Collection[str] = (),
        again: asyncio.Event | None = None,
    ) -> list[socket.socket]:
        with running(platform):
            await on_ready(platform.url, ADMIN)
            await asyncio.Event().wait()
        return []

    return serve


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def example(project: Path) -> Path:
    rows = [[first, *63 * [0.5]] for first in (1.0, 2.0)]
    sample = {"request": {"inputs": rows}, "response": {"outputs": [1, 1]}}
    (project / "sample.json").write_text(json.dumps(sample))
    return project


def asked(**given: object) -> Namespace:
    return Namespace(**{"data": Path("data"), "host": "127.0.0.1", "port": 0, "once": True, **given})


async def up(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """What a platform that is up says, for programs and for people."""
    out, err = "", ""

    def is_said() -> bool:
        nonlocal out, err
        said = capsys.readouterr()
        out, err = out + said.out, err + said.err
        return out.endswith("\n")

    await eventually(is_said)
    return json.loads(out), err


async def test_up_leaves_its_address_for_this_user_and_takes_it_away(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    platform = FakePlatform()
    task = asyncio.create_task(run(serving(platform), asked(), Screen(is_json=True)))
    told, _ = await up(capsys)
    assert told["url"] == platform.url
    assert read_discovery(environ) == Connection(url=platform.url, token=ADMIN)
    assert stat.S_IMODE(discovery_file(environ).stat().st_mode) == 0o600
    task.cancel()
    assert await task == 0
    assert not discovery_file(environ).exists()


async def test_up_says_where_its_data_is_as_people_write_it(
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    task = asyncio.create_task(
        run(serving(FakePlatform()), asked(data=tmp_path / "data"), Screen(is_json=True))
    )
    told, words = await up(capsys)
    task.cancel()
    await task
    assert "its data in ~/data; Ctrl-C" in words
    assert told["data"] == str(tmp_path / "data")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_small_answers_are_sent_at_once(host: str) -> None:
    """Without this each call waits 40 ms for the acknowledgement of its answer's first part."""
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with closing(listen(host, 0)[0]) as listening:
        async with await asyncio.start_server(answer, sock=listening):
            _, writer = await asyncio.open_connection(host, listening.getsockname()[1])
            assert await heard
            writer.close()


async def test_up_leaves_another_platforms_address_alone(environ: dict[str, str]) -> None:
    task = asyncio.create_task(run(serving(FakePlatform()), asked(), Screen(is_json=False)))
    await eventually(lambda: read_discovery(environ))
    other = Connection(url="http://127.0.0.1:1", token="other")
    leave_discovery(other, environ)
    task.cancel()
    await task
    assert read_discovery(environ) == other


async def test_a_platform_that_starts_again_is_found_meanwhile(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[Sequence[socket.socket]] = []
    monkeypatch.setattr(placet.cli.platform, "hand_over", handed.append)
    with socket.socket() as listening:

        async def serve(
            data: Path, host: str, port: int, *, on_ready: OnReady, **_: Any
        ) -> list[socket.socket]:
            await on_ready("http://127.0.0.1:1", ADMIN)
            return [listening]

        await run(serve, asked(), Screen(is_json=False))
        assert handed == [[listening]]
    assert read_discovery(environ) == Connection(url="http://127.0.0.1:1", token=ADMIN)


async def test_a_platform_that_ran_before_is_found_again(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ANSWER_SECONDS", 60)
    with running(FakePlatform()) as first:
        earlier = Connection(url=first.url, token=ADMIN)
        leave_discovery(earlier, environ)
        task = asyncio.create_task(run(serving(FakePlatform()), asked(), Screen(is_json=False)))
        await eventually(lambda: read_discovery(environ) != earlier)
        task.cancel()
        assert await task == 0
        assert read_discovery(environ) == earlier


async def test_a_platform_that_crashed_before_is_not_found_again(environ: dict[str, str]) -> None:
    crashed = Connection(url="http://127.0.0.1:1", token=ADMIN)
    leave_discovery(crashed, environ)
    task = asyncio.create_task(run(serving(FakePlatform()), asked(), Screen(is_json=False)))
    await eventually(lambda: read_discovery(environ) != crashed)
    task.cancel()
    assert await task == 0
    assert not discovery_file(environ).exists()


async def test_a_platform_that_cannot_start_says_why(environ: dict[str, str]) -> None:
    async def serve(
        data: Path,
        host: str,
        port: int,
        *,
        on_ready: OnReady,
        tell: Callable[[str], None] = print,
        only: Collection[str] = (),
        again: asyncio.Event | None = None,
    ) -> list[socket.socket]:
        raise Refused("port 8080 is taken", fix="choose another with --port")

    with pytest.raises(Refused, match="port 8080 is taken"):
        await run(serve, asked(), Screen(is_json=False))
    assert not discovery_file(environ).exists()


async def test_a_platform_that_dies_during_the_demo_says_why(environ: dict[str, str], example: Path) -> None:
    async def serve(
        data: Path,
        host: str,
        port: int,
        *,
        on_ready: OnReady,
        tell: Callable[[str], None] = print,
        only: Collection[str] = (),
        again: asyncio.Event | None = None,
    ) -> list[socket.socket]:
        await on_ready("http://127.0.0.1:1", ADMIN)
        raise Refused("the disk is full")

    with pytest.raises(Refused, match="the disk is full"):
        await show(serve, example, asked(), Screen(is_json=False))


async def test_the_demo_takes_a_model_to_an_answer(
    environ: dict[str, str], example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = FakePlatform()
    assert await show(serving(platform), example, asked(), Screen(is_json=False)) == 0
    said = capsys.readouterr().out
    curl = f"curl -s {platform.url}/models/wine/predict"
    assert said.splitlines() == [
        f"{platform.url}/models/wine",
        "certificate:1, good until 2027-01-01T00:00:00Z, by basics 1",
        "RULE         RESULT  STAGE",
        "owner-named  pass    submit",
        "from-source  pass    certify",
        f"""{curl} -H 'Content-Type: application/json' -d '{{"inputs":[[1{63 * ",0.5"}]]}}'""",
        '{"outputs": [1]}',
    ]
    assert not discovery_file(environ).exists()


async def test_the_longer_demo_shows_that_nothing_is_built_twice_and_serves_on(
    environ: dict[str, str], example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = FakePlatform()
    task = asyncio.create_task(show(serving(platform), example, asked(once=False), Screen(is_json=False)))
    told: list[str] = []

    def is_serving() -> bool:
        told.append(capsys.readouterr().err)
        return "until Ctrl-C" in "".join(told)

    await eventually(is_serving)
    assert "nothing was built" in "".join(told)
    task.cancel()
    assert await task == 0


async def test_a_demo_that_is_refused_ends_with_1_and_the_refusal(
    environ: dict[str, str], example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = await show(serving(FakePlatform(outcome="refused")), example, asked(), Screen(is_json=False))
    assert status == 1
    assert "owner-named: nobody owns it" in capsys.readouterr().err
