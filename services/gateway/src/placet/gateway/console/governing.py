"""What waits for people: what somebody has to decide, and a release that waits for approval."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import Response

from placet.client import AwaitedRelease, Certificate, Me, PolicyNamed, RuleException
from placet.errors import Refused, Unauthenticated, Unknown, Unreadable
from placet.events.problems import problem_of
from placet.gateway.approvals import APPROVERS, BREAKERS
from placet.gateway.console.visits import Visit
from placet.gateway.exceptions import DECIDERS

PATH = "/console/governance"
_PAGE = 25


@dataclass(frozen=True, kw_only=True)
class Before:
    """What was certified last of a project: what an approval was of then. `inputs` is only known of what waited."""

    release: int
    source: str
    image: str
    policies: tuple[PolicyNamed, ...]
    inputs: str | None = None
    certificate: str | None = None
    state: str | None = None
    """Of its certificate."""
    approved_at: str | None = None
    """When the last of those approved it on whose word it was certified; None of what nobody had to."""
    certified_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """`before` and `now` are digests, or a policy's version with its digest; None where there was or is none."""

    what: str
    before: str | None
    now: str | None

    @property
    def is_same(self) -> bool:
        return self.before == self.now


async def waiting(visit: Visit) -> Response:
    """Each list has pages of its own."""
    ask, me = visit.ask, visit.me
    releases = await ask.awaited_anywhere(after=visit.said("releases"), limit=_PAGE)
    exceptions = await ask.exceptions_page(state="requested", after=visit.said("exceptions"), limit=_PAGE)
    reviews = await ask.reviews_owed(after=visit.said("reviews"), limit=_PAGE)
    ending = await ask.watched_models(lapsing=True, windows=0, after=visit.said("models"), limit=_PAGE)
    return visit.page(
        "governance.html",
        tab="waiting",
        releases=[(each, may_approve(me, each)) for each in releases.releases],
        exceptions=[(each, may_grant(me, each)) for each in exceptions.exceptions],
        reviews=[(each, not APPROVERS.isdisjoint(me.roles)) for each in reviews.reviews],
        ending=[(each, "renew" in (me.commands or ())) for each in ending.models],
        next={
            "releases": releases.next,
            "exceptions": exceptions.next,
            "reviews": reviews.next,
            "models": ending.next,
        },
    )


def may_approve(me: Me, release: AwaitedRelease) -> bool:
    """As far as can be seen here: the platform also knows who sent and who built it, and has the last word."""
    is_own = release.asked_by is not None and release.asked_by.person == me.person
    return not (APPROVERS.isdisjoint(me.roles) or is_own or has_approved(me, release))


def may_break_glass(me: Me, release: AwaitedRelease) -> bool:
    is_own = release.asked_by is not None and release.asked_by.person == me.person
    return not (BREAKERS.isdisjoint(me.roles) or is_own or has_approved(me, release, break_glass=True))


def has_approved(me: Me, release: AwaitedRelease, *, break_glass: bool = False) -> bool:
    return any(
        each.binds and each.given_by.person == me.person and each.break_glass == break_glass
        for each in release.approvals
    )


def may_grant(me: Me, exception: RuleException) -> bool:
    is_own = exception.requested_by.person == me.person
    return exception.state == "requested" and not DECIDERS.isdisjoint(me.roles) and not is_own


def may_withdraw(me: Me, exception: RuleException) -> bool:
    is_own = exception.requested_by.person == me.person
    return exception.state in ("requested", "granted") and (is_own or not DECIDERS.isdisjoint(me.roles))


async def approvals(visit: Visit) -> Response:
    return await _approvals(visit)


async def _approvals(visit: Visit, error: Refused | None = None) -> Response:
    """With why the last approval was not counted, and what was written with it."""
    model = await visit.ask.model(visit.place("project"))
    releases = await visit.ask.awaited(model.project)
    certificate = None
    if model.certificate is not None:
        with suppress(Refused):
            certificate = await visit.ask.certificate(model.certificate)
    awaiting = [each for each in releases if each.state == "awaiting"]
    compared = [(each, last_certified(each.release, releases, certificate)) for each in awaiting]
    tried = None if error is None else visit.number("release")
    return visit.page(
        "model_approvals.html",
        200 if error is None else problem_of(error)[0],
        tab="approvals",
        error=error,
        tried=tried,
        settled=next((each for each in releases if each.release == tried and each.state != "awaiting"), None),
        written=visit.given("reason"),
        haste=visit.given("break_glass") == "yes",
        model=model,
        awaiting=[
            {
                "release": each,
                "before": before,
                "changes": () if before is None else differences(before, each),
                "may_approve": may_approve(visit.me, each),
                "may_break": may_break_glass(visit.me, each),
                "did": has_approved(visit.me, each),
                "is_own": each.asked_by is not None and each.asked_by.person == visit.me.person,
            }
            for each, before in compared
        ],
        past=[each for each in releases if each.state != "awaiting"],
        approvers=", ".join(sorted(APPROVERS)),
        key=secrets.token_urlsafe(),
    )


async def approve(visit: Visit) -> Response:
    project, release = visit.place("project"), visit.number("release")
    if release is None:
        raise Unreadable("release is missing", fix="approve it from its page")
    haste = visit.given("break_glass") == "yes"
    binding = visit.wanted("binding")
    reason = visit.wanted("reason") if haste else visit.given("reason") or None
    try:
        await visit.ask.approve(
            project,
            release=release,
            binding=binding,
            reason=reason,
            break_glass=haste,
            key=visit.given("key") or None,
        )
    except (Unauthenticated, Unknown):
        raise
    except Refused as error:  # somebody else was first, say, or it is another by now
        return await _approvals(visit, error)
    done = "You broke the glass for" if haste else "You approved"
    return visit.go_saying(f"/console/models/{project}/approvals", f"{done} release {release} of {project}.")


def last_certified(
    release: int, releases: Iterable[AwaitedRelease], certificate: Certificate | None
) -> Before | None:
    """The newest of what was certified before a release: of what had to be approved, and of what serves."""
    found = [
        Before(
            release=each.release,
            source=each.source,
            image=each.image,
            policies=each.policies,
            inputs=each.inputs,
            approved_at=approved_at(each),
        )
        for each in releases
        if each.state == "certified" and each.release < release
    ]
    if certificate is not None and certificate.release < release:
        waited = next((each for each in found if each.release == certificate.release), None)
        found.append(of_certificate(certificate, waited))
    # Of the same release, the one that has a certificate.
    return max(found, key=lambda each: (each.release, each.certificate is not None), default=None)


def approved_at(release: AwaitedRelease) -> str | None:
    return max((each.given_at for each in release.approvals if each.binds), default=None)


def of_certificate(certificate: Certificate, waited: Before | None = None) -> Before:
    """With what is known of its release from when that `waited`."""
    said = certificate.statement
    [source] = [each["digest"]["sha256"] for each in said["subject"] if each["name"] == "sources"]
    return Before(
        release=certificate.release,
        source=f"sha256:{source}",
        image=certificate.image,
        policies=tuple(
            PolicyNamed(id=each["id"], version=each["version"], digest=each["digest"])
            for each in said["predicate"]["policies"]
        ),
        inputs=None if waited is None else waited.inputs,
        certificate=certificate.certificate,
        state=certificate.state,
        approved_at=None if waited is None else waited.approved_at,
        certified_at=said["predicate"].get("notBefore"),
    )


def differences(before: Before, now: AwaitedRelease) -> list[Change]:
    """Of all that an approval is of, what is the same included; policies by id. What is not known is left out."""
    digests = [("Source", before.source, now.source), ("Image", before.image, now.image)]
    if before.inputs is not None:
        digests.append(("What the rules saw", before.inputs, now.inputs))
    then, since = _by_id(before.policies), _by_id(now.policies)
    digests_of_policies = [(f"Policy {id}", then.get(id), since.get(id)) for id in sorted({*then, *since})]
    return [Change(what=what, before=was, now=now) for what, was, now in (*digests, *digests_of_policies)]


def _by_id(policies: Iterable[PolicyNamed]) -> dict[str, str]:
    return {each.id: f"version {each.version}, {each.digest}" for each in policies}
