"""What may be served, and on which grounds."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import (
    Command,
    ExceptionUsed,
    Ground,
    PolicyRef,
    Resources,
    Stage,
    Verdict,
)


@event("certifier", "release.cleared")
class ReleaseCleared:
    """The source passed the rules of stage submit; carries what deployer and builder need from its manifest.

    `trial`: it was asked for as a trial, and its certificate holds for days. `dockerfile`: its image comes from one of
    its own, and serves by itself. `asker`: who asked for it, whose turn it takes wherever there is a queue.
    `exceptions` are those that its verdicts name.
    """

    project: str
    release: int
    command: Command
    source: str
    image: str | None
    format: str
    resources: Resources
    access: str
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    trial: bool = False
    dockerfile: bool = False
    exceptions: tuple[ExceptionUsed, ...] = ()
    asker: str | None = None


@event("certifier", "release.refused")
class ReleaseRefused:
    project: str
    release: int
    stage: Stage
    source: str
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]


@event("certifier", "certificate.issued")
class CertificateIssued:
    """A signed certificate lies beside the image: `envelope` is the DSSE envelope's digest in `repository`.

    `exceptions` are those that it stands on, of both stages; it ends no later than the first of them.
    """

    certificate: str
    project: str
    release: int
    command: Command
    source: str
    image: str
    repository: str
    envelope: str
    not_before: str
    not_after: str
    verdicts: tuple[Verdict, ...]
    exceptions: tuple[ExceptionUsed, ...] = ()


@event("certifier", "certificate.upheld")
class CertificateUpheld:
    """The exception `withdrawn` was, and it stands on another one from the same rule, which was in force already."""

    certificate: str
    project: str
    release: int
    withdrawn: str
    exception: ExceptionUsed


@event("certifier", "certificate.suspended")
class CertificateSuspended:
    """It does not stand for as long as it has grounds against it; said again whenever those are others."""

    certificate: str
    project: str
    release: int
    grounds: tuple[Ground, ...]


@event("certifier", "certificate.reinstated")
class CertificateReinstated:
    """There is nothing against it any more."""

    certificate: str
    project: str
    release: int


@event("certifier", "certificate.revoked")
class CertificateRevoked:
    """For good, by a person."""

    certificate: str
    project: str
    release: int
    ground: Ground
    revoked_by: str


@event("certifier", "certificate.expired")
class CertificateExpired:
    """Its time was over; whoever relies on one knows that by himself."""

    certificate: str
    project: str
    release: int
    not_after: str
