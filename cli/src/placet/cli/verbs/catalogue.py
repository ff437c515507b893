"""`placet list`: what is served, and what is in the registry."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.report import state_of
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Image, Model
from placet.errors import Unreadable

SEARCHES = ("project", "format", "owner", "certificate", "metrics")


async def list_all(arguments: Namespace, screen: Screen) -> int:
    searched = {name: value for name in SEARCHES if (value := getattr(arguments, name))}
    if searched and not arguments.images:
        raise WrongUsageError(
            "only images are searched", fix="add --images; `placet list` alone shows all that is served"
        )
    if arguments.all and arguments.images:
        raise WrongUsageError(
            "images of deleted projects are in the list anyway", fix="leave out --all, or --images"
        )
    async with connect() as platform:
        if arguments.images:
            try:
                images = await platform.images(**searched)
            except Unreadable as mistyped:
                raise WrongUsageError(mistyped.detail, fix=mistyped.fix) from mistyped
            screen.table(
                ("IMAGE", "PROJECT", "RELEASE", "FORMAT", "SERVED", "INDEXED", "OWNER", "CERTIFICATE"),
                [
                    (
                        image.image,
                        image.project,
                        image.release,
                        image.format,
                        image.served,
                        image.indexed_at and f"{image.indexed_at[:16]}Z",
                        image.owner,
                        _certificate(image),
                    )
                    for image in images
                ],
            )
            if searched and not images:
                screen.note("no image is so; `placet list --images` shows all")
            screen.document({"images": [image.to_json() for image in images]})
        else:
            models = await platform.models(deleted=arguments.all)
            screen.table(
                ("PROJECT", "RELEASE", "STATE", "CANARY", "URL"),
                [
                    (model.project, model.release, state_of(model), _canary(model), model.url)
                    for model in models
                ],
            )
            screen.document({"models": [model.to_json() for model in models]})
    return exits.DONE


def _canary(model: Model) -> str | None:
    """Which release is one, and its share of the requests."""
    return None if model.canary is None else f"{model.canary.release}, {model.canary.weight} %"


def _certificate(image: Image) -> str | None:
    """What stands in the way of starting it comes first: without a certificate, or the image, nothing runs."""
    if image.vanished:
        return "vanished from the registry"
    return f"{image.certificate_state}  {image.certificate}" if image.certificate else image.certificate_state
