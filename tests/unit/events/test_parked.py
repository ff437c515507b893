"""Messages put aside are visible, and go back to the service that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from placet.events import (
    Actor,
    ByType,
    Context,
    Decider,
    Heard,
    Park,
    Service,
    ServiceRunner,
    UnitOfWork,
    transact,
)
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.contracts.builder import ImageReused
from placet.events.parked import all_parked, retry_all
from placet.events.wiring import Wiring

from tests.support.eventually import eventually

SAY: Decider[ImageReused, None, ImageReused] = Decider(
    initial=None, decide=lambda command, _: [command], evolve=lambda state, _: state
)


async def test_a_parked_message_is_told_with_its_reason_and_handled_when_it_is_handed_back(
    tmp_path: Path,
) -> None:
    hub = InProcessHub()
    said = await Wiring.embedded("builder", data=tmp_path, hub=hub)
    heard = await Wiring.embedded("indexer", data=tmp_path, hub=hub)
    handled: list[str] = []
    refuses = True

    async def on_image_reused(message: Heard[ImageReused], work: UnitOfWork) -> Park | None:
        if refuses:
            return Park(reason="a person must look at this")
        handled.append(message.data.image)
        return None

    async def say(work: UnitOfWork) -> None:
        image = ImageReused(project="churn", release=1, source="s", image="i", repository="models/churn")
        await work.decide(SAY, "release/churn/1", image)

    context = Context(project="churn", correlation="operation", actor=Actor.service("builder"))
    await transact(said, "builder", context, say)
    runners = [
        ServiceRunner(Service(name="builder", wiring=said, hears=frozenset(), says=(), reaction=ByType({}))),
        ServiceRunner(
            Service(
                name="indexer",
                wiring=heard,
                hears=frozenset({"builder"}),
                says=(),
                reaction=ByType({ImageReused: on_image_reused}),
            )
        ),
    ]
    running = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        (parked,) = await eventually(lambda: all_parked(heard.store))
        assert (parked.producer, parked.position) == ("builder", 1)
        assert parked.reason == "a person must look at this"
        refuses = False
        assert await retry_all(heard.store) == 1
        await eventually(lambda: handled == ["i"])
        assert await all_parked(heard.store) == []
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await said.store.close()
        await heard.store.close()
