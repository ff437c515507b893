"""From a folder, an archive, a git address or an image to a URL; and the pipeline on the way there, live."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response

from placet.client import Event, Example, Model, ModelDetail, Operation, Verdict
from placet.client.documents import ImagesPage
from placet.errors import PlacetError, Refused, Unavailable, Unknown, Unreadable
from placet.events.problems import problem_of
from placet.gateway.console.auditing import LAST
from placet.gateway.console.trying import Asking, asking
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
_DID_NOT = {"failed": "failed", "refused": "was refused", "stalled": "stalled"}
_BUILDS = 100
"""That were made last, among which the one is looked for that made an image."""
_IMAGES = 50
"""On a page."""
_SEARCHED = ("project", "format", "certificate", "metric")
_CERTIFICATES = ("valid", "suspended", "revoked", "expired", "none")
_LEFT_OUT = sorted(pattern.rstrip("/") for pattern in ALWAYS_IGNORED if pattern.endswith("/"))


async def form(visit: Visit) -> Response:
    if visit.said("from") == "image":
        return await _image_form(visit)
    return visit.page(
        "deploy.html",
        way=visit.said("from") or "folder",
        filled={},
        error=None,
        left_out=_LEFT_OUT,
        ignore_file=IGNORE_FILE,
        may=_may(visit),
    )


async def _image_form(visit: Visit) -> Response:
    """What is in the registry, to be searched and used again."""
    wanted = {name: said.strip() for name in _SEARCHED if (said := visit.said(name))}
    metric = wanted.get("metric")
    error, found = None, ImagesPage(images=())
    try:
        found = await visit.ask.images_page(
            project=wanted.get("project"),
            format=wanted.get("format"),
            certificate=wanted.get("certificate"),
            metrics=() if metric is None else (metric,),
            after=visit.said("after"),
            limit=_IMAGES,
        )
    except Unreadable as unreadable:
        error = unreadable
    return visit.page(
        "deploy.html",
        200 if error is None else 400,
        way="image",
        images=[each for each in found.images if not each.vanished],
        next=found.next,
        wanted=wanted,
        certificates=_CERTIFICATES,
        error=error,
        image=visit.said("image"),
        may=_may(visit),
    )


def _may(visit: Visit) -> bool:
    return visit.me.commands is None or "deploy" in visit.me.commands


async def begin(visit: Visit) -> Response:
    """Of a git address, an image, or a source that was sent before."""
    git, picked, digest = visit.given("git"), visit.given("image"), visit.given("source")
    if sum(map(bool, (git, picked, digest))) != 1:
        raise Unreadable("say what to deploy", fix="give a git address, or pick an image")
    image, own = await _image(visit, picked) if picked else (None, None)
    project = visit.given("project") or own
    canary = visit.number("canary")
    if image is not None and project != own and visit.given("confirmed") != "yes":
        there = await _model(visit, project)
        if there is not None and there.image != image:
            return visit.page(
                "deploy_confirm.html", model=there, image=image, own=own, picked=picked, canary=canary
            )
    try:
        begun = await visit.ask.command(
            "deploy",
            project=project,
            git=git or None,
            image=image,
            digest=digest or None,
            canary=canary,
            key=visit.given("key") or None,
        )
    except PlacetError as error:
        if not git:
            raise
        filled = {"git": git, "project": project or "", "canary": visit.given("canary")}
        return visit.page(
            "deploy.html", problem_of(error)[0], way="git", filled=filled, error=error, may=_may(visit)
        )
    return visit.go(f"/console/operations/{begun.operation}")


async def _image(visit: Visit, picked: str) -> tuple[str, str | None]:
    """The digest of an image, and whose it is: with a project behind it that one's, since several may have the same."""
    image, _, own = picked.partition(" ")
    if own:
        return image, own
    try:
        return image, (await visit.ask.image(image)).project
    except Unavailable:  # its registry is: the platform says so where it matters
        return image, None


async def _model(visit: Visit, project: str | None) -> ModelDetail | None:
    """The project's, unless there is none."""
    if project is None:
        return None
    try:
        model = await visit.ask.model(project)
    except Unknown:
        return None
    return None if model.state == "deleted" else model


async def pipeline(visit: Visit) -> Response:
    operation = await visit.ask.operation(visit.place("operation"))
    return visit.page(
        "operation.html",
        operation=operation,
        title=title(operation),
        steps=STEPS,
        warned=_warned(operation),
        build=await _build(visit, operation),
        is_built_here=_is_built_here(operation),
        has_log=await _has_log(visit, operation),
        asking=await _asking(visit, operation),
    )


async def _asking(visit: Visit, operation: Operation) -> Asking | None:
    """How what came of it is asked; of what its model says, as far as it answers."""
    if operation.project is None or operation.url is None or operation.state != "live":
        return None
    example: Example | None = None
    with suppress(PlacetError):
        example = await visit.ask.example(operation.project)
    return asking(operation.project, operation.url, example)


def _warned(operation: Operation) -> list[Verdict]:
    """By what forbids nothing."""
    return [each for each in operation.verdicts if each.on_fail == "warn" and each.result != "pass"]


def _is_built_here(operation: Operation) -> bool:
    """Or may be, as far as is known."""
    is_release = operation.project is not None and operation.release is not None
    return is_release and operation.built is not False and operation.command in ("deploy", "build")


async def _has_log(visit: Visit, operation: Operation) -> bool:
    """Whether its builder has written any: not before it began, nor once it is kept no more. Who looks at the page is
    not to ask for what is not there."""
    has_begun = any(each.name == "built" and each.state != "waiting" for each in operation.steps)
    if not has_begun or not _is_built_here(operation):
        return False
    try:
        async with visit.ask.build_log(operation.project or "", operation.release or 0):
            return True
    except (Refused, Unavailable):
        return False


def title(operation: Operation) -> str:
    """What was asked for, as one would ask for it."""
    project = operation.project or "a model"
    share = "" if operation.share is None else f" with {operation.share} % of the requests"
    match operation.command:
        case "deploy" if operation.back_to is not None:
            return f"Go back to release {operation.back_to} of {project}"
        case "deploy" if share:
            return f"Deploy {project} as a canary{share}"
        case "renew":
            return f"Renew the certificate of {project}"
        case "promote":
            return f"Promote the canary of {project}{share and f', to go on{share}'}"
        case "abort":
            return f"End the canary of {project}"
        case other:
            return f"{(other or 'Run').capitalize()} {project}"


def is_outlived(model: Model, last: Operation | None) -> bool:
    """Whether what was asked for last was about an earlier release than the one that serves: it came while that one was
    on its way, and tells nothing of what is now."""
    if last is None or last.release is None or model.release is None:
        return False
    return model.state == "live" and last.release < model.release


def setback(model: Model, last: Operation | None) -> str | None:
    """That what was asked for last did not come about, if so, unless something else serves since."""
    if last is None or last.state not in ("failed", "refused", "stalled") or is_outlived(model, last):
        return None
    if last.command in ("deploy", "build", "renew") and last.release is not None:
        return f"Release {last.release} {_DID_NOT[last.state]}"
    return f"{title(last)}: {last.state}"


async def _build(visit: Visit, operation: Operation) -> Event | None:
    """The one that made its image before, where it is among the last and nothing was built."""
    if operation.image is None or operation.built is not False:
        return None
    with suppress(Refused, Unavailable):  # it may have vanished from the registry, or that be away
        image = await visit.ask.image(operation.image)
        built = await visit.ask.events_before(
            LAST, project=image.project, type="placet.builder.image.built.*", limit=_BUILDS
        )
        found = next((each for each in built.events if each["data"]["image"] == operation.image), None)
        return None if found is None else Event.of(found)
    return None
