"""A project that its owner makes private and shares with a team: one scenario, for any platform."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.system.models import write_project
from tests.system.scenarios import placet, printed


class SharedProjects:
    """Subclass with a `platform` fixture."""

    async def test_a_project_is_its_owners_and_theirs_whom_they_let(
        self, platform: Platform, tmp_path: Path
    ) -> None:
        """A build is enough: nothing has to be started for that."""
        project, team, name = (f"{each}-{token_hex(4)}" for each in ("shared", "team", "bob"))
        ada, bob = await somebody(platform, f"ada-{token_hex(4)}"), await somebody(platform, name)
        await placet(ada, "build", str(write_project(tmp_path / "p", project)))
        assert "takes the role deployer" in await refused(bob, "stop", project)
        await placet(platform, "team", "set", team)
        await placet(ada, "project", "grant", project, f"team:{team}", "viewer")
        await placet(ada, "project", "restrict", project)
        log = f"/v1/builds/{project}/1/log"
        placement, events = (
            f"/v1/models/{project}/placement?cpuMillis=1&memoryBytes=1",
            f"/v1/events?project={project}",
        )
        for path in (log, placement, events):
            await answers(bob, path, 403)
        assert project not in json.dumps(await placet(bob, "list"))

        await placet(platform, "team", "add", team, name)
        assert project in json.dumps(await placet(bob, "list"))
        for path in (log, events):
            await answers(bob, path, 200)
        assert "takes the role deployer" in await refused(bob, "stop", project)
        await placet(ada, "project", "revoke", project, f"team:{team}")
        assert project not in json.dumps(await placet(bob, "list"))
        await answers(bob, log, 403)

        async def is_in_the_log() -> bool:
            said = await printed(platform, "events", "--project", project)
            names = [json.loads(line)["type"].split(".", 2)[2] for line in said.splitlines()]
            shared = [each for each in names if each.startswith(("role.", "project."))]
            return shared == [
                "role.granted.v1",
                "role.granted.v1",
                "project.restricted.v1",
                "role.revoked.v1",
            ]

        await eventually(is_in_the_log)


async def somebody(platform: Platform, name: str) -> Platform:
    """The platform as a scientist of that name sees it."""
    token = await printed(platform, "token", "create", "--as", name, "--role", "scientist")
    return replace(platform, token=token.strip())


async def refused(who: Platform, *typed: str) -> str:
    """What they are told."""
    return await printed(who, *typed, "--json", status=1)


async def answers(who: Platform, path: str, status: int) -> None:
    """Once the service that answers has heard of it."""

    async def is_so() -> bool:
        async with who.http() as http:
            return (await http.get(path, headers=who.authorized())).status_code == status

    await eventually(is_so)
