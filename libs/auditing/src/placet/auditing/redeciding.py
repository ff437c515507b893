"""What would another version of a policy have said of all that was decided? Both are asked again, of recorded facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from placet.auditing.judgements import Judgement, facts_of, judgements
from placet.client import Client
from placet.rules import Engine, Policy
from placet.rules.difference import Decision, Past, decided_by_both
from placet.rules.policy import asks_about_people

_PAGE = 200
"""Decisions that are asked about at once."""
_OWN_NAME = "placet"
"""By which the platform itself refuses."""


@dataclass(kw_only=True)
class Redecided:
    """What became of past decisions. `flips` are those that would be others, `unknown` those of which it is not known
    any more what the rules saw, `live` the releases that are served."""

    decided: int = 0
    unknown: list[Judgement] = field(default_factory=list)
    flips: list[tuple[Judgement, Decision]] = field(default_factory=list)
    live: frozenset[tuple[str, int]] = frozenset()

    @property
    def stopping(self) -> list[tuple[str, int]]:
        """What runs and would be refused."""
        refused = {(each.project, each.release) for each, decision in self.flips if decision.is_refused}
        return sorted(refused & self.live)


async def redecide(
    platform: Client,
    old: Policy,
    new: Policy,
    *,
    on_page: Callable[[int], None] = lambda _: None,
    workers: int = 1,
) -> Redecided:
    """Everything that was decided, by both. `on_page` is told how many decisions were made again, now and then;
    `workers` is how many of them are made side by side.

    What rules saw of people is asked for only where one of the two asks about it: the platform lets few have it.
    """
    history = Redecided(
        live=frozenset(
            (each.project, each.release)
            for each in await platform.models()
            if each.state == "live" and each.release is not None
        )
    )
    with_people = asks_about_people(old) or asks_about_people(new)
    with Engine(workers=workers) as engine:
        async for page in _pages(platform):
            seen = await facts_of(
                platform, [each.facts for each in page if each.facts is not None], with_people=with_people
            )
            known = [each for each in page if each.facts is not None and each.facts.facts in seen]
            history.unknown += [each for each in page if each not in known]
            past = [_past(each, seen, old, new) for each in known]
            history.flips += [
                (each, decision)
                for each, decision in zip(known, await _decided(engine, old, new, past, workers), strict=True)
                if decision.flips
            ]
            history.decided += len(known)
            on_page(history.decided)
    return history


async def _pages(platform: Client) -> AsyncIterator[list[Judgement]]:
    page: list[Judgement] = []
    async for each in judgements(platform):
        if each.facts is None and all(verdict.policy == _OWN_NAME for verdict in each.verdicts):
            continue  # there was nothing to see: the source could not be read
        page.append(each)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


async def _decided(
    engine: Engine, old: Policy, new: Policy, past: Sequence[Past], workers: int
) -> list[Decision]:
    size = -(-len(past) // workers) or 1
    told = await asyncio.gather(
        *(
            asyncio.to_thread(decided_by_both, engine, old, new, past[start : start + size])
            for start in range(0, len(past), size)
        )
    )
    return [each for part in told for each in part]


def _past(judgement: Judgement, seen: dict[str, dict[str, Any]], old: Policy, new: Policy) -> Past:
    facts = seen[judgement.facts.facts] if judgement.facts is not None else {}
    return Past(
        stage=judgement.stage,
        facts=facts,
        refused_by_others=any(
            each.is_refusal and each.policy not in (old.id, new.id) for each in judgement.verdicts
        ),
        exceptions={each.rule: each.exception for each in judgement.verdicts if each.exception is not None},
    )
