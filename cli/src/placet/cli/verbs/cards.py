"""Verbs for model cards as files, without a platform."""

from __future__ import annotations

from argparse import Namespace

from placet.cli import exits
from placet.cli.screen import Screen
from placet.projects import card_schema


def schema(arguments: Namespace, screen: Screen) -> int:
    """One JSON document with and without --json: an editor reads it."""
    screen.is_json = True
    screen.document(card_schema())
    return exits.DONE
