"""`placet policy facts`: what the rules saw of a release, for those who write policies."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from placet.auditing import Judgement, facts_of, judgements
from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.errors import Unknown


async def facts(arguments: Namespace, screen: Screen) -> int:
    project: str = arguments.project
    async with connect() as platform:
        found = [each async for each in judgements(platform, project)]
        release = arguments.release or max((each.release for each in found), default=None)
        those = [each for each in found if each.release == release and each.facts is not None]
        if not those:
            raise Unknown(_nothing(project, found, release), fix=f"see `placet status {project}`")
        records = [each.facts for each in those if each.facts is not None]
        seen = await facts_of(platform, records, with_people=arguments.people)
    document: dict[str, Any] = {
        each.stage: seen.get(each.facts.facts) for each in those if each.facts is not None
    }
    gone = [stage for stage, told in document.items() if told is None]
    for stage in gone:
        screen.note(f"what the rules of stage {stage} saw of release {release} is gone from the registry")
    screen.note(f"what the rules saw of release {release} of {project}, by stage")
    screen.result(json.dumps(document, indent=2, sort_keys=True))
    screen.document({"project": project, "release": release, **document})
    return exits.DONE


def _nothing(project: str, found: list[Judgement], release: int | None) -> str:
    if release is not None and any(each.release == release for each in found):
        return f"of release {release} of {project} the rules saw nothing: its source could not be read"
    return f"no release{'' if release is None else f' {release}'} of {project} was judged here"
