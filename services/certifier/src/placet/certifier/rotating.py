"""The key history changed: say so, and end what a compromised key signed. Looked for again and again: it is a file."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from placet.certifier.domain import Revoke
from placet.certifier.keys import KEYS, STREAM, Tell, Told, forgotten
from placet.certifier.ports import Ports
from placet.certifier.standing import SERVICE, decide
from placet.errors import Unavailable
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.contracts.shapes import Ground
from placet.trust import KeyHistory
from placet.trust.history import Key


async def look(ports: Ports, wiring: Wiring) -> None:
    """Raises `Unavailable` while there is no history to be read, or one that others had better not believe."""
    history = await ports.keys.history()
    told = await _tell(history, wiring)
    await _end_what_they_signed(history, ports, wiring)
    if keys := forgotten(history.keys, told):
        raise Unavailable(
            f"the key history says less of {', '.join(keys)} than the log has heard",
            fix="restore a newer copy, as `placet key list --json` tells it: who verifies with this one is deceived",
        )


async def _tell(history: KeyHistory, wiring: Wiring) -> Told:
    """What had been told before."""
    tell = Tell(history=history.keys)
    told = KEYS.fold(each.data for each in await wiring.store.read(STREAM))
    if not KEYS.decide(tell, told):
        return told

    async def say(work: UnitOfWork) -> None:
        await work.decide(KEYS, STREAM, tell)

    context = Context(project=PLATFORM, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))
    await transact(wiring, SERVICE, context, say)
    return told


async def _end_what_they_signed(history: KeyHistory, ports: Ports, wiring: Wiring) -> None:
    """A model whose certificate counts no more must not serve on it until somebody looks at the signature again."""
    for key in history:
        since = key.compromised
        if since is None or wiring.clock.now() < since:
            continue
        for held in await ports.certificates.signed_with(key.kid, or_unknown=key is history.keys[0]):
            context = Context(
                project=held.project, correlation=wiring.ids.new(), actor=Actor.service(SERVICE)
            )
            revoke = Revoke(certificate=held.certificate, ground=_ground(key, since), by=SERVICE)
            await transact(wiring, SERVICE, context, partial(decide, held=held, command=revoke))


def _ground(key: Key, since: datetime) -> Ground:
    return Ground(
        rule="certificate.key",
        why=f"the key {key.kid}, which signed it, was compromised, and counts for nothing since {since.isoformat()}",
        fix="deploy again: it is judged anew, and signed with another key",
    )
