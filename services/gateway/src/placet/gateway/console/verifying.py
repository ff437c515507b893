"""Does the audit log hold? All of it is read and checked, as `placet audit verify` does from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from markupsafe import Markup
from starlette.responses import Response

from placet.auditing import go_through, judge, must_go_on_from, said_of_stores, signed_by
from placet.client import Client
from placet.errors import Refused, Unreadable
from placet.gateway.console.rounding import number
from placet.gateway.console.views import plural
from placet.gateway.console.visits import Visit
from placet.gateway.console.working import progress
from placet.trust import checkpoints
from placet.trust.auditing import Audited, Auditor, Known
from placet.trust.checkpoints import Checkpoint
from placet.trust.notes import SIGNS, Note, NoteKey

_MOST_KEYS = 50


async def shown(visit: Visit) -> Response:
    """Whose keys sign the log, and who outside has seen how much of it."""
    keys, state = await asyncio.gather(visit.ask.log_keys(), visit.ask.witnesses())
    producers = (await visit.ask.log_producers()).producers
    return visit.page(
        "audit_verification.html",
        tab="verification",
        keys=keys,
        state=state,
        producers=producers,
        filled={},
        begun=False,
    )


async def verify(visit: Visit) -> Response:
    """From its first event. A checkpoint that was kept elsewhere has to agree with it, if one is given; and the keys
    that somebody trusts, or else those that the log tells, have signed it."""
    filled = {"keys": visit.given("keys"), "checkpoint": visit.form.get("checkpoint", [""])[-1]}
    told = await visit.ask.log_keys()
    trusted = [NoteKey.from_vkey(each) for each in filled["keys"].split()[:_MOST_KEYS]]
    keys = trusted or [NoteKey.from_vkey(each.vkey) for each in told.keys]
    if any(each.kind != SIGNS or each.name != told.origin for each in keys):
        raise Unreadable(
            f"a key that was given is none of a log called {told.origin}",
            fix="give the log's own verifier keys, one a line; a witness's key signs no log",
        )
    kept = _kept(filled["checkpoint"], keys)

    async def parts(ask: Client) -> AsyncIterator[Markup]:
        said = await said_of_stores(ask)
        signed, by = await signed_by(ask, keys)
        known = [Known(signed, f"the log's own checkpoint of {plural(signed.size, 'event')}")]
        if kept is not None:
            known.append(Known(kept, f"the checkpoint of {plural(kept.size, 'event')} that you kept"))
        auditor = Auditor(Audited(origin=signed.origin), known, said)
        if kept is not None and 0 < kept.size < signed.size:
            await must_go_on_from(ask, known[-1], signed, keys)
        job = asyncio.create_task(_all_of(ask, auditor, signed, keys))
        async for part in progress(job, _words(auditor, signed.size)):
            yield part
        job.result()
        yield visit.views.fragment(
            "audit_verified.html", signed=signed, by=by, auditor=auditor, trusted=bool(trusted), kept=kept
        )

    return visit.work(
        "audit_verification.html",
        parts,
        tab="verification",
        keys=told,
        state=await visit.ask.witnesses(),
        producers=(await visit.ask.log_producers()).producers,
        filled=filled,
        begun=True,
    )


async def _all_of(ask: Client, auditor: Auditor, signed: Checkpoint, keys: list[NoteKey]) -> None:
    await go_through(ask, auditor, signed.size)
    await judge(ask, auditor, signed, keys)


def _words(auditor: Auditor, until: int) -> Callable[[], str]:
    began = monotonic()

    def words() -> str:
        at = auditor.size
        rate = at / max(monotonic() - began, 0.001)
        return f"{number(at)} of {plural(until, 'event')}" + (
            f", {number(round(rate))} a second" if at else ""
        )

    return words


def _kept(text: str, keys: list[NoteKey]) -> Checkpoint | None:
    """What somebody kept, if they did. Raises Refused for what none of the keys signed."""
    if not text.strip():
        return None
    note = text.replace("\r\n", "\n").lstrip("\n").rstrip("\n") + "\n"
    try:
        return checkpoints.verify(Note.from_bytes(note.encode()), keys)[0]
    except Unreadable as error:
        raise Unreadable(
            f"that is no checkpoint: {error.detail}",
            fix="give all of it, as `placet audit checkpoint` or this page handed it out",
        ) from error
    except Refused as error:
        raise Refused(f"the checkpoint that you kept: {error.detail}", fix=error.fix) from error
