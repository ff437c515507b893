"""What the deployer's read models are made of: what it heard of releases, and what it said of who holds room.

Nothing is done about it.

Handling these again would close roads to models that serve by now.
"""

from __future__ import annotations

from placet.deployer import handlers, recalling
from placet.deployer.placements import Placements, keep_holdings
from placet.deployer.ports import Ports
from placet.events import Heard, UnitOfWork
from placet.events.contracts import certifier, deployer, gateway


async def on_deploy_requested(
    heard: Heard[gateway.DeployRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    asked = heard.data
    request = await handlers.count_request(work, placements, asked.project)
    handlers.show_requested(work, asked, request, correlation=heard.event.correlationid)


Asked = gateway.StartRequested | gateway.StopRequested | gateway.DeleteRequested


async def on_requested(heard: Heard[Asked], work: UnitOfWork, placements: Placements, ports: Ports) -> None:
    await handlers.count_request(work, placements, heard.data.project)


async def on_release_cleared(
    heard: Heard[certifier.ReleaseCleared], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    handlers.show_cleared(work, heard.data)


async def on_certificate_issued(
    heard: Heard[certifier.CertificateIssued], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    handlers.show_certified(work, heard.data)


async def on_certificate_suspended(
    heard: Heard[certifier.CertificateSuspended], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    handlers.show_grounds(work, heard.data.project, heard.data.release, heard.data.grounds)


async def on_certificate_revoked(
    heard: Heard[certifier.CertificateRevoked], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    handlers.show_grounds(work, heard.data.project, heard.data.release, (heard.data.ground,))


async def on_certificate_reinstated(
    heard: Heard[certifier.CertificateReinstated], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    handlers.show_grounds(work, heard.data.project, heard.data.release, ())


async def on_placed(
    heard: Heard[recalling.Placed] | Heard[deployer.StartAccepted] | Heard[deployer.ScaleAccepted],
    work: UnitOfWork,
    placements: Placements,
    ports: Ports,
) -> None:
    await keep_holdings(work, heard.data.project)
