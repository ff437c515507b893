"""`placet list`: what is served, and what is in the registry."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        if arguments.images:
            images = await platform.images()
            screen.table(
                ("IMAGE", "PROJECT", "RELEASE", "FORMAT", "CERTIFICATE"),
                [
                    (image.image, image.project, image.release, image.format, image.certificate)
                    for image in images
                ],
            )
            screen.document({"images": [image.to_json() for image in images]})
        else:
            models = await platform.models()
            screen.table(
                ("PROJECT", "RELEASE", "STATE", "URL"),
                [(model.project, model.release, model.state, model.url) for model in models],
            )
            screen.document({"models": [model.to_json() for model in models]})
    return exits.DONE
