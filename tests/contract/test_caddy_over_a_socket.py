"""Caddy as it ships, with its admin API on a socket that nobody else has, told by the deployer where models are."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.ports import Target
from placet.errors import Unavailable

from tests.support.platforms import ROUTES
from tests.support.servers import sources
from tests.support.servers.local import LocalServer, private_directory


@pytest.fixture
def folder() -> Iterator[Path]:
    """With `admin.sock` and `models.sock` of a Caddy that has it to itself."""
    program = sources.program("caddy")
    directory = private_directory("caddy")
    admin = directory / "admin.sock"
    server = LocalServer(
        "caddy",
        [program, "run", "--config", str(ROUTES)],
        directory=directory,
        is_ready=lambda: listens(admin) and listens(directory / "models.sock"),
        environment={
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory),
            "XDG_DATA_HOME": str(directory),
            "PLACET_CADDY_ADMIN": f"unix/{admin}",
            "PLACET_MODELS": str(directory / "models.sock"),
        },
    )
    server.start()
    yield directory
    server.remove()


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


@pytest.fixture
async def model() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"the model, {request.path}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asked(folder: Path) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "models.sock"))) as session,
        session.get("http://models/models/churn/predict") as answer,
    ):
        return answer.status, await answer.text()


async def test_routes_are_told_over_a_socket(folder: Path, model: str) -> None:
    admin = CaddyAdmin(f"unix://{folder}/admin.sock", server="placet")
    assert (await asked(folder))[0] == 503
    await admin.route("churn", [Target(endpoint=model)], access="public")
    assert await asked(folder) == (200, "the model, /predict")
    assert await admin.routes() == {"churn": frozenset({Target(endpoint=model)})}
    await admin.unroute("churn")
    assert (await asked(folder))[0] == 404
    assert await admin.routes() == {}


async def test_over_a_socket_caddy_takes_no_request_that_names_a_host(folder: Path) -> None:
    """Which is why the deployer's names none: so no page that somebody has open can ask through a browser."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "admin.sock"))) as session,
        session.get("http://caddy/config/") as answer,
    ):
        assert answer.status == 403


async def test_a_socket_that_nobody_is_at_is_told(tmp_path: Path) -> None:
    admin = CaddyAdmin(f"unix://{tmp_path}/admin.sock", server="placet")
    with pytest.raises(Unavailable, match=r"does not answer at unix:///.*admin\.sock") as told:
        await admin.routes()
    assert "PLACET_CADDY_ADMIN_URL" in (told.value.fix or "")
