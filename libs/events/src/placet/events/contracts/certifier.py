"""What may be served, and on which grounds."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import Command, ExceptionUsed, PolicyRef, Resources, Stage, Verdict


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
