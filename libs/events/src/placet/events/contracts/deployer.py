"""What runs where."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import Denial, Drift, Resources, Sample


@event("deployer", "resources.reserved")
class ResourcesReserved:
    """Capacity is held for this release until `until`; a certificate in time renews it. `asker` is who asked for it.

    `resources` is what each of its `replicas` may use.
    """

    project: str
    release: int
    source: str
    image: str | None
    resources: Resources
    until: str
    asker: str | None = None
    replicas: int = 1


@event("deployer", "resources.queued")
class ResourcesQueued:
    """There is no room for this release at the moment, and it waits for some, until then: `why` says for what.

    `position` is its place among those that wait for the same: for `quota`, as people call it, or where that is null
    for the platform's room. Said again when either changes. Who came first has the lower `turn`; `asker` is who asked.
    `replicas` are as many as it waits to run.
    """

    project: str
    release: int
    request: int
    turn: int
    position: int
    quota: str | None
    why: str
    fix: str | None
    until: str
    asker: str | None = None
    replicas: int = 1


@event("deployer", "resources.refused")
class ResourcesRefused:
    """There will be no room for this release, or there was none in time."""

    project: str
    release: int
    why: str
    fix: str | None
    request: int = 0


@event("deployer", "resources.released")
class ResourcesReleased:
    """A reservation ended without a running model: refused, failed or out of time."""

    project: str
    release: int


@event("deployer", "start.accepted")
class StartAccepted:
    """The deployer answers for this start from here on: a crash resumes it.

    `request`, here and below, counts the project's requests as they were made: it is the one that this answers,
    and what an earlier one asked for is overtaken. `trial`: of a release that nobody answers for yet. `canary`: it is
    to get so many of a hundred requests, beside what serves; none of none: it takes its place. Said again where
    something that it needs is away: `delayed` is what, and it is tried again; null once it goes on.
    """

    project: str
    release: int
    image: str
    repository: str
    certificate: str
    request: int = 0
    trial: bool = False
    replicas: int = 1
    canary: int = 0
    delayed: str | None = None


@event("deployer", "model.started")
class ModelStarted:
    """The model is ready and the route points to it. `endpoints` are where its replicas listen, or what leads to them.

    `sample`: it answered its own sample request as expected before, or it has none, so that nobody asked it anything.
    Said again when a request finds it live already, and when it is mended after it diverged, then perhaps at other
    endpoints.
    """

    project: str
    release: int
    image: str
    certificate: str
    url: str
    endpoints: tuple[str, ...]
    request: int = 0
    sample: Sample = "none"
    replicas: int = 1


@event("deployer", "canary.started")
class CanaryStarted:
    """It is ready, and the route sends it `weight` of a hundred requests; what it runs beside gets the others.

    The rest is as with `model.started`, which is said once it is promoted.
    """

    project: str
    release: int
    image: str
    certificate: str
    url: str
    endpoints: tuple[str, ...]
    weight: int
    request: int
    sample: Sample
    replicas: int


@event("deployer", "canary.weighted")
class CanaryWeighted:
    """It gets another share of a hundred requests from here on."""

    project: str
    release: int
    weight: int


@event("deployer", "canary.aborted")
class CanaryAborted:
    """It gets no more requests, and ends: somebody asked for that, or it failed, or its certificate does not stand."""

    project: str
    release: int
    why: str
    fix: str | None


@event("deployer", "scale.accepted")
class ScaleAccepted:
    """Room is held for so many replicas of what serves; a crash resumes it. `scaling` counts the project's; `delayed`
    is as with a start."""

    project: str
    release: int
    replicas: int
    scaling: int
    delayed: str | None = None


@event("deployer", "model.scaled")
class ModelScaled:
    """So many replicas of what serves are ready, and the route points to them."""

    project: str
    release: int
    replicas: int
    endpoints: tuple[str, ...]
    scaling: int


@event("deployer", "change.refused")
class ChangeRefused:
    """A scaling, promotion or abort that came to nothing: what served before serves. `scaling` is which, if it is one
    that was accepted."""

    project: str
    why: str
    fix: str | None
    scaling: int = 0


@event("deployer", "model.failed")
class ModelFailed:
    """A start that did not reach a URL: what served before still serves. Of the live release: it was given up."""

    project: str
    release: int
    why: str
    fix: str | None
    request: int = 0


@event("deployer", "model.stopped")
class ModelStopped:
    """`release` is the one that was live, or none where nothing ran."""

    project: str
    release: int | None
    request: int = 0


@event("deployer", "model.deleted")
class ModelDeleted:
    """Its releases cannot be started any more."""

    project: str
    request: int = 0


@event("deployer", "model.quarantined")
class ModelQuarantined:
    """Taken off its route for want of a certificate that stands. `rule` is what that goes against, if it is a rule."""

    project: str
    release: int
    certificate: str
    why: str
    rule: str | None = None
    fix: str | None = None


@event("deployer", "model.diverged")
class ModelDiverged:
    """What runs is not what should run; said before it is mended, and over with the next `model.started`.

    `serves`: others of its replicas do meanwhile.
    """

    project: str
    release: int
    why: str
    serves: bool = False


@event("deployer", "model.observed")
class ModelObserved:
    """What the live release or its canary was asked in a window, and how it answered; not said of windows without
    requests.

    `refused` are requests that were no good, `errors` those that the model or its server failed. The times are upper
    bounds, null where nothing was answered. `drift` covers all rows since it was told last: null where the image has no
    reference, or while there are too few of them.
    """

    project: str
    release: int
    since: str
    until: str
    requests: int
    refused: int
    errors: int
    rows: int
    p50_ms: float | None
    p99_ms: float | None
    drift: Drift | None


@event("deployer", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401 or 403 by the deployer itself, as `gateway.access.denied` tells of the
    gateway's."""
