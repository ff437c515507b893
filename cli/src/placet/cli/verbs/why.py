"""The verb that answers compliance: was it allowed to run at that moment, and on what does that stand?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.client import (
    Against,
    ApprovalThen,
    AssessmentThen,
    Attempt,
    CertificateThen,
    ExceptionThen,
    InputThen,
    Later,
    PolicyThen,
    ReleaseThen,
    VerdictThen,
    Why,
)


async def why(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.why(arguments.project, at=arguments.at)
    for line in told(found):
        screen.result(line)
    screen.document(found.to_json())
    return exits.DONE


def told(found: Why) -> Iterator[str]:
    """The answer first, then what it stands on. In brackets behind each statement is its position in the audit log."""
    yield f"{found.project} at {found.at}: it {_whether(found)}"
    yield _line(found.why, found.position)
    if found.fix:
        yield f"    fix: {found.fix}"
    if found.note:
        yield f"  {found.note}"
    yield from _part("release", _release(found.release))
    yield from _part("certificate", _certificate(found.certificate))
    yield from _part("policies", (_policy(each) for each in found.policies))
    yield from _part("verdicts", _verdicts(found.verdicts))
    yield from _part("recorded inputs", (_input(each) for each in found.inputs))
    yield from _part("approved by", (_approval(each) for each in found.approvals))
    yield from _part("exceptions", (_exception(each) for each in found.exceptions))
    yield from _part("assessments", (_assessment(each) for each in found.assessments))
    yield from _part("known against it then", map(_against, found.against), "nothing")
    yield from _part("became known only later", map(_later, found.later), "nothing")
    if found.more_later:
        yield f"  and more: `placet events --project {found.project} --since {found.at}`"
    yield from _part("asked for after it", map(_attempt, found.attempts))
    yield from _part("proof", _proof(found))


def _whether(found: Why) -> str:
    """Of a time that is still to come nothing is said but what would be so."""
    not_ = "" if found.allowed else "not "
    if found.ran is None:
        return f"would {not_}be allowed to run"
    ran = ("and ran" if found.allowed else "and ran all the same") if found.ran else "and did not run"
    return f"was {not_}allowed to run, {ran}"


def _part(name: str, lines: Iterable[str], otherwise: str | None = None) -> Iterator[str]:
    said = list(lines) or ([f"  {otherwise}"] if otherwise else [])
    if said:
        yield ""
        yield name
        yield from said


def _line(text: str, position: int | None) -> str:
    return f"  {text}" + (f"  [{position}]" if position is not None else "")


def _release(release: ReleaseThen | None) -> Iterator[str]:
    if release is None:
        return
    of = ", ".join(
        each for each in (release.format, release.risk_class and f"risk class {release.risk_class}") if each
    )
    yield _line(
        f"release {release.release}{f' ({of})' if of else ''}, asked for by {release.requested_by}"
        f" at {release.requested_at}",
        release.position,
    )
    for name, digest in (("source", release.source), ("image", release.image)):
        if digest is not None:
            yield f"  {name:<7} {digest}"
    served = release.served
    if served is not None:
        at = f" at {served.url}" if served.url else ""
        yield _line(f"{served.state} since {served.since}{at}", served.position)


def _certificate(certificate: CertificateThen | None) -> Iterator[str]:
    if certificate is None:
        yield "  there was none"
        return
    yield _line(
        f"{certificate.certificate}, {certificate.state}: issued at {certificate.issued_at}, valid from"
        f" {certificate.not_before} until {certificate.not_after}",
        certificate.position,
    )
    yield f"  envelope {certificate.envelope}"
    key = certificate.key
    if key.key is not None:
        yield _line(f"signed with key {key.key}", key.position)
    if certificate.renews is not None:
        yield f"  renews {certificate.renews}"
    if certificate.break_glass:
        yield "  the glass was broken for it: it was certified for a day although people were still awaited"


def _policy(policy: PolicyThen) -> str:
    which = f"{policy.policy} {policy.version}" if policy.version is not None else policy.policy
    digest = policy.digest or "of which version, its signed envelope says"
    return _line(f"{which}, at stage {policy.stage}, {digest}", policy.position)


def _verdicts(verdicts: Sequence[VerdictThen]) -> Iterator[str]:
    """Those that pass are only counted: they are all in the document."""
    passed = [each for each in verdicts if each.result == "pass"]
    if verdicts:
        positions = ", ".join(str(each) for each in sorted({each.position for each in passed}))
        yield f"  {len(passed)} of {len(verdicts)} rules were kept" + (
            f"  [{positions}]" if positions else ""
        )
    for each in verdicts:
        if each.result == "pass":
            continue
        weight = {"warn": "warned", "suspend": "suspends"}.get(each.on_fail, "forbade it")
        excepted = f", and was excepted by {each.exception}" if each.exception else ""
        yield _line(
            f"{each.rule} ({each.policy}) {weight}: {each.why or each.result}{excepted}",
            each.position,
        )
        if each.fix and not excepted:
            yield f"    fix: {each.fix}"


def _input(recorded: InputThen) -> str:
    personal = f", and of people {recorded.personal}" if recorded.personal else ""
    return _line(f"at stage {recorded.stage} {recorded.facts}{personal}", recorded.position)


def _approval(approval: ApprovalThen) -> str:
    breaks = ", to break the glass" if approval.break_glass else ""
    roles = " and ".join(approval.roles)
    return _line(f"{approval.given_by} as {roles} at {approval.at}{breaks}", approval.position)


def _exception(exception: ExceptionThen) -> str:
    withdrawn = (
        f", withdrawn by {exception.withdrawn_by} at {exception.withdrawn_at}"
        if exception.withdrawn_by is not None
        else ""
    )
    return _line(
        f"{exception.exception} from {exception.rule} until {exception.until}, {exception.state} then,"
        f" granted by {exception.granted_by}{withdrawn}",
        exception.position,
    )


def _assessment(assessment: AssessmentThen) -> str:
    level = f", level {assessment.level} ({assessment.label})" if assessment.level is not None else ""
    missing = f", without {', '.join(assessment.missing)}" if assessment.missing else ""
    return _line(
        f"{assessment.assessment} by {assessment.questionnaire} {assessment.version},"
        f" {assessment.state}{level}{missing}",
        assessment.position,
    )


def _against(ground: Against) -> str:
    rule = f" {ground.rule}" if ground.rule else ""
    return _line(f"{ground.kind}{rule}: {ground.why}", ground.position)


def _later(later: Later) -> str:
    return _line(f"{later.time} {later.kind}: {later.why}", later.position)


def _attempt(attempt: Attempt) -> str:
    return _line(f"release {attempt.release}: {attempt.state} by then", attempt.position)


def _proof(found: Why) -> Iterator[str]:
    last, size = found.last_position, found.checkpoint
    if not last:
        return
    if size is None:
        yield f"  no checkpoint covers position {last} yet: ask again in a second"
        return
    yield f"  the checkpoint of {counted(size, 'event')} is the first that covers all of this, up to position {last}"
    yield f"  `placet audit proof {last}` proves that event, and `placet audit verify` the whole log"
