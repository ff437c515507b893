"""Verbs for who may use the platform."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect


async def create(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        token = await platform.create_token(
            arguments.name, tuple(dict.fromkeys(arguments.roles)), ttl=arguments.ttl
        )
    until = f", good until {token.expires}" if token.expires else ""
    screen.note(f"token {token.id} for {arguments.name} ({', '.join(token.roles)}){until}")
    screen.note("it is shown this once; set it as PLACET_TOKEN")
    if not screen.is_json:
        screen.result(token.token)
    screen.document(token.to_json())
    return exits.DONE


async def own(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        token = await platform.own_token()
    until = f", good until {token.expires}" if token.expires else ""
    screen.note(f"token {token.id} of your own ({', '.join(token.roles)}){until}")
    if not screen.is_json:
        screen.result(token.token)
    screen.document(token.to_json())
    return exits.DONE


async def list_all(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.tokens()
    screen.table(
        ("TOKEN", "PERSON", "NAME", "ROLES", "MADE", "HOLDS UNTIL", ""),
        [
            (
                each.id,
                each.person,
                each.name,
                ", ".join(each.roles),
                each.issued_at and f"{each.issued_at[:16]}Z",
                each.expires and f"{each.expires[:16]}Z",
                "revoked" if each.revoked else "",
            )
            for each in found
        ],
    )
    screen.document({"tokens": [each.to_json() for each in found]})
    return exits.DONE


async def revoke(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        await platform.revoke_token(arguments.token)
    screen.result(f"token {arguments.token} is revoked")
    screen.document({"id": arguments.token, "revoked": True})
    return exits.DONE
