"""Pictures of every page of the console, in both themes and at two widths: of an embedded platform whose models work.

    make screenshots

They are written to `build/screenshots`; three of them, for the README, to `docs/images`. The models are this
repository's examples, and two small ones that drift and fail, which are asked for a while: what pictures show was
observed. Each page is looked at as the tests look at it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

import httpx
from placet.client import Client, Connection

from tests.support import browser
from tests.support.eventually import eventually
from tests.support.flawed import FLAW
from tests.support.platforms import Platform, embedded
from tests.support.visitors import NARROW, WIDE, Visitor, visitor
from tests.system.console_governance import waits_for_two
from tests.system.models import write_project
from tests.system.scenarios import deploy
from tools import workspace

OUT = workspace.ROOT / "build" / "screenshots"
SHOWN = workspace.ROOT / "docs" / "images"
EXAMPLES = ("iris", "multiclass", "wine")
DRIFTING = "demand"
WAITING = "fraud"
PARKED = "returns"
"""Of a certifier with a flaw, which puts aside what is asked for it."""
FOR_THE_README = {"models": "console-models", "deployed": "console-deploy", "model-drifting": "console-model"}
WORKED = {
    "audit-verified": ("/console/audit/verification", "Verify it"),
    "policy-effect": ("/console/governance/policies/artifact-safety", "What it changed"),
}
"""Pages that come behind a button, and take their time."""
READ = "!document.getElementById('build-log')?.textContent.startsWith('It is read')"
"""What a page fetches behind its first words is there."""
RECEIVER = "127.0.0.1"
"""Where nobody takes the events of a webhook."""
ASKED = 12
"""Windows, of a second each."""


async def fill(platform: Platform, folder: Path) -> dict[str, str]:
    """Models, and what they were asked; the pages to look at, by the name of their pictures."""
    for name in EXAMPLES:
        shutil.copytree(workspace.ROOT / "examples" / name, folder / name)
        await deploy(platform, folder / name)
    shuffled = random.Random(1)  # noqa: S311 - numbers to show
    reference = [shuffled.gauss(10, 3) for _ in range(500)]
    drifting = write_project(
        folder / DRIFTING,
        DRIFTING,
        reference=reference,
        monitoring=[{"metric": "psi", "max": 2.0, "window": "1d", "minSamples": 100, "action": "warn"}],
    )
    live = await deploy(platform, drifting)
    refused = await deploy(platform, write_project(folder / "churn", "churn", without=("owner", "data")))
    (folder / "waiting").mkdir()
    await waits_for_two(platform, folder / "waiting", WAITING)
    await _park(platform, write_project(folder / PARKED, PARKED))
    async with httpx.AsyncClient(base_url=platform.url, timeout=30) as http:
        for window in range(ASKED):
            rows = [[shuffled.gauss(10 + window / 3, 3)] for _ in range(220)]
            for number in range(3 + window % 4):
                await http.post(f"/models/{DRIFTING}/predict", json={"inputs": rows[number::4]})
            await _observed(platform, window + 1)
    return {
        "models": "/console/models",
        "models-none": "/console/models?search=none-such",
        "model": "/console/models/multiclass",
        "model-drifting": f"/console/models/{DRIFTING}",
        "try": "/console/models/wine/try",
        "releases": "/console/models/multiclass/releases",
        "logs": "/console/models/multiclass/logs",
        "lineage": "/console/models/multiclass/lineage",
        "members": "/console/models/multiclass/members",
        "timeline": "/console/models/multiclass/timeline",
        "approvals": f"/console/models/{WAITING}/approvals",
        "certificate": f"/console/certificates/{live.certificate}",
        "governance": "/console/governance",
        "exceptions": "/console/governance/exceptions",
        "policies": "/console/governance/policies",
        "policy": "/console/governance/policies/artifact-safety",
        "assessments": f"/console/governance/assessments?project={DRIFTING}",
        "assessment": f"/console/governance/assessments/answer?project={DRIFTING}&questionnaire=algorithmic-impact",
        "audit": "/console/audit",
        "audit-why": f"/console/audit/why?project={DRIFTING}",
        "audit-then": "/console/audit/then",
        "audit-then-model": f"/console/audit/then?project={DRIFTING}",
        "audit-verification": "/console/audit/verification",
        "services": "/console/platform",
        "service": "/console/platform/services/certifier",
        "room": "/console/platform/room",
        "registry": "/console/platform/registry",
        "webhooks": "/console/platform/webhooks",
        "tokens": "/console/platform/tokens",
        "retention": "/console/platform/retention",
        "deploy": "/console/deploy",
        "deploy-git": "/console/deploy?from=git",
        "deploy-image": "/console/deploy?from=image",
        "deployed": f"/console/operations/{live.operation}",
        "refused": f"/console/operations/{refused.operation}",
        "problem": "/console/models/none-such",
    }


async def _park(platform: Platform, project: Path) -> None:
    """Have it deployed, as far as that goes; and what an operator has made."""
    asked = asyncio.create_task(deploy(platform, project))
    async with Client(Connection(url=platform.url, token=platform.token)) as client:

        async def is_parked() -> bool:
            return (await client.service("certifier")).parked == 1

        await eventually(is_parked, within=60)
        await client.create_token("Ada Lovelace", ("scientist",))
        await client.create_token("Grace Hopper", ("operator", "approver"), ttl=7 * 86400)
        await client.set_quota(team="claims", cpu_millis=4000, models=3)
        await client.assign(DRIFTING, team="claims")
        await client.add_webhook(f"http://{RECEIVER}:9/placet", type="placet.deployer.*")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def _observed(platform: Platform, windows: int) -> None:
    """Until so many were."""
    async with Client(Connection(url=platform.url, token=platform.token)) as client:

        async def are_there() -> bool:
            return len((await client.model(DRIFTING)).windows) >= windows

        await eventually(are_there, within=60)


async def take(somebody: Visitor, name: str, path: str, to: Path, button: str | None = None) -> None:
    """With `button` of what it leads to, once all of that has come."""
    await somebody.open(path)
    await somebody.page.wait_for_function(READ)
    if button is not None:
        await somebody.page.get_by_role("button", name=button).click()
        await somebody.page.wait_for_selector("#found")
        await somebody.must_be_usable()
    await somebody.page.screenshot(path=to / f"{name}.png", full_page=True)


async def main() -> int:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    SHOWN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="placet-shown-") as made:
        flaw = Path(made) / "flaw"
        flaw.write_text(PARKED)
        settings = {FLAW: str(flaw), "PLACET_WEBHOOK_HOSTS": RECEIVER}
        with embedded(Path(made), settings, "tests.support.flawed") as platform:
            try:
                await shown(platform, Path(made))
            finally:
                browser.end()
    for name, picture in FOR_THE_README.items():
        shutil.copyfile(OUT / f"light-{WIDE}-{name}.png", SHOWN / f"{picture}.png")
    sys.stdout.write(f"{len(list(OUT.iterdir()))} pictures in {OUT.relative_to(workspace.ROOT)}\n")
    return 0


async def shown(platform: Platform, folder: Path) -> None:
    pages = await fill(platform, folder)
    for theme in ("light", "dark"):
        for width in (WIDE, NARROW):
            async with visitor(platform.url, theme=theme, width=width) as nobody:
                await take(nobody, f"{theme}-{width}-sign-in", "/console/sign-in", OUT)
            async with visitor(platform.url, platform.token, theme=theme, width=width) as somebody:
                for name, path in pages.items():
                    await take(somebody, f"{theme}-{width}-{name}", path, OUT)
                for name, (path, button) in WORKED.items():
                    await take(somebody, f"{theme}-{width}-{name}", path, OUT, button)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
