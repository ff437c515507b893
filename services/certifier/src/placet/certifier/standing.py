"""What becomes of a certificate after it was given: grounds against it come and go, it is revoked, its time ends.

A certificate that stands on an exception loses its ground with it, and has it back with another one that holds as long
as it does itself. What a rule of operation is excepted from is judged anew instead.
"""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa

from placet.certifier import operation, rejudging, reminding
from placet.certifier import projections as p
from placet.certifier.domain import RELEASE, Command, Lapse, Lift, Object, Revoke, Uphold, stream
from placet.certifier.ports import Held, Ports
from placet.events import Actor, Context, Heard, UnitOfWork, Wiring, transact
from placet.events.bus import Alive
from placet.events.codec import moment
from placet.events.contracts.certifier import CertificateExpired, CertificateIssued, CertificateRevoked
from placet.events.contracts.gateway import ExceptionGranted, ExceptionWithdrawn, RevocationRequested
from placet.events.contracts.shapes import ExceptionUsed, Ground

SERVICE = "certifier"


async def keep(work: UnitOfWork, issued: CertificateIssued, ports: Ports) -> None:
    """From here on its standing is looked after."""
    work.put(
        p.certificates,
        certificate=issued.certificate,
        project=issued.project,
        release=issued.release,
        source=issued.source,
        not_after=moment(issued.not_after).timestamp(),
        turn=0,
        **reminding.reminder_of(issued),
    )
    if issued.key is not None:
        work.put(p.signed, certificate=issued.certificate, key=issued.key)
    await operation.begin(work, issued, ports)
    for each in issued.exceptions:
        stand_on(work, issued.certificate, each.rule, each.exception)


async def on_exception_granted(heard: Heard[ExceptionGranted], work: UnitOfWork, ports: Ports) -> None:
    granted = heard.data
    show_granted(work, granted)
    work.run(p.look_again(granted.project))
    if await ports.exceptions.is_known(granted.exception):
        return  # heard again: it may have been withdrawn since
    rejudging.judge_anew_all_of(work, granted.project)
    used = ExceptionUsed(
        exception=granted.exception, rule=granted.rule, until=granted.until, granted_by=granted.granted_by
    )
    if await ports.rules.is_of_operation(granted.rule, work.now):
        await operation.judge_anew(work, ports, granted.project, with_=used, of_source=granted.source)
        return
    for held in await ports.certificates.of_project(granted.project):
        fits = granted.source in (None, held.source) and moment(granted.until).timestamp() >= held.not_after
        if fits and await decide(work, held, Lift(certificate=held.certificate, exception=used)):
            stand_on(work, held.certificate, granted.rule, granted.exception)


async def on_exception_withdrawn(heard: Heard[ExceptionWithdrawn], work: UnitOfWork, ports: Ports) -> None:
    """One that was only asked for is not known here."""
    withdrawn = heard.data
    show_withdrawn(work, withdrawn)
    work.run(p.look_again(withdrawn.project))
    rejudging.judge_anew_all_of(work, withdrawn.project)
    if await ports.rules.is_of_operation(withdrawn.rule, work.now):
        await operation.judge_anew(work, ports, withdrawn.project, without=withdrawn.exception)
        return
    ground = Ground(
        rule=withdrawn.rule,
        why=f"{withdrawn.exception}, which excepted it from {withdrawn.rule}, was withdrawn",
        fix="deploy a source that keeps the rule, or ask for another exception",
    )
    for held in await ports.certificates.on_exception(withdrawn.exception):
        other = await _other(work, ports, held, withdrawn)
        if other is None:
            await decide(work, held, Object(certificate=held.certificate, grounds=(ground,)))
            continue
        uphold = Uphold(certificate=held.certificate, withdrawn=withdrawn.exception, exception=other)
        if await decide(work, held, uphold):
            stand_on(work, held.certificate, other.rule, other.exception)


def show_granted(work: UnitOfWork, granted: ExceptionGranted) -> None:
    work.put(
        p.exceptions,
        keep=("withdrawn",),
        exception=granted.exception,
        project=granted.project,
        rule=granted.rule,
        source=granted.source,
        until=granted.until,
        granted_by=granted.granted_by,
        withdrawn=False,
    )


def show_withdrawn(work: UnitOfWork, withdrawn: ExceptionWithdrawn) -> None:
    mine = p.exceptions.c.exception == withdrawn.exception
    work.run(sa.update(p.exceptions).where(mine).values(withdrawn=True))


async def _other(
    work: UnitOfWork, ports: Ports, held: Held, withdrawn: ExceptionWithdrawn
) -> ExceptionUsed | None:
    """One in force that the certificate can stand on instead."""
    in_force = await ports.exceptions.in_force(
        held.project, held.source, work.now, without=withdrawn.exception
    )
    theirs = (each for each in in_force if each.rule == withdrawn.rule)
    return next((each for each in theirs if moment(each.until).timestamp() >= held.not_after), None)


async def on_revocation_requested(heard: Heard[RevocationRequested], work: UnitOfWork, ports: Ports) -> None:
    asked = heard.data
    ground = Ground(
        rule="certificate.revoked", why="it was revoked", fix="deploy again, to have it judged anew"
    )
    revoke = Revoke(certificate=asked.certificate, ground=ground, by=asked.requested_by)
    for held in await ports.certificates.of_project(asked.project):
        if held.certificate == asked.certificate:
            await decide(work, held, revoke)


async def expire(ports: Ports, wiring: Wiring) -> None:
    """Say of each certificate whose time is over that it is."""
    now = wiring.clock.now()
    for held in await ports.certificates.ended(now):
        context = Context(project=held.project, correlation=wiring.ids.new(), actor=Actor.service(SERVICE))
        lapse = Lapse(certificate=held.certificate, now=now)
        await transact(wiring, SERVICE, context, partial(decide, held=held, command=lapse))


async def give_sign_of_life(wiring: Wiring) -> None:
    """For those who serve on its certificates: only from one that could take them back, so that silence says otherwise.

    Raises `Unavailable` while its database is away, or the bus.
    """
    await wiring.store.rows(sa.select(p.certificates.c.certificate).limit(1))
    if wiring.bus.impediment is None:
        await wiring.bus.tell(Alive(producer=SERVICE))


async def decide(work: UnitOfWork, held: Held, command: Command) -> bool:
    """Whether anything came of it."""
    happened = await work.decide(RELEASE, stream(held.project, held.release), command)
    if any(isinstance(event, CertificateRevoked) for event in happened):
        work.put(p.revoked, certificate=held.certificate)
        work.run(p.look_again(held.project))  # its renewal may wait for people
    if any(isinstance(event, CertificateRevoked | CertificateExpired) for event in happened):
        forget(work, held.certificate)
    return bool(happened)


def forget(work: UnitOfWork, certificate: str) -> None:
    """It is over: nothing is looked after any more."""
    for table in (p.certificates, p.signed, p.stands_on, p.watches):
        work.run(sa.delete(table).where(table.c.certificate == certificate))


def stand_on(work: UnitOfWork, certificate: str, rule: str, exception: str) -> None:
    work.put(p.stands_on, certificate=certificate, rule=rule, exception=exception)
