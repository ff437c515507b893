"""From a folder, an archive, a git address or an image to a URL; and the pipeline on the way there, live."""

from __future__ import annotations

from starlette.responses import Response

from placet.errors import Unreadable
from placet.gateway.console.visits import Visit
from placet.projects.archive import ALWAYS_IGNORED
from placet.projects.ignoring import IGNORE_FILE

STEPS = {
    "requested": "asked for",
    "cleared": "checked by the rules",
    "reserved": "given room",
    "built": "built",
    "indexed": "in the registry",
    "certified": "certified",
    "live": "live",
    "stopped": "stopped",
    "deleted": "deleted",
}
_LEFT_OUT = sorted(pattern.rstrip("/") for pattern in ALWAYS_IGNORED if pattern.endswith("/"))


async def form(visit: Visit) -> Response:
    images = await visit.ask.images() if visit.said("from") == "image" else ()
    return visit.page(
        "deploy.html",
        way=visit.said("from") or "folder",
        images=images,
        image=visit.said("image"),
        left_out=_LEFT_OUT,
        ignore_file=IGNORE_FILE,
        may=visit.me.commands is None or "deploy" in visit.me.commands,
    )


async def begin(visit: Visit) -> Response:
    """Of a git address, an image, or a source that was sent before."""
    git, image, digest = visit.given("git"), visit.given("image"), visit.given("source")
    if sum(map(bool, (git, image, digest))) != 1:
        raise Unreadable("say what to deploy", fix="give a git address, or pick an image")
    begun = await visit.ask.command(
        "deploy",
        project=visit.given("project") or None,
        git=git or None,
        image=image or None,
        digest=digest or None,
        canary=visit.number("canary"),
        key=visit.given("key") or None,
    )
    return visit.go(f"/console/operations/{begun.operation}")


async def pipeline(visit: Visit) -> Response:
    operation = await visit.ask.operation(visit.place("operation"))
    return visit.page("operation.html", operation=operation, steps=STEPS)
