from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from placet.events.testing import ManualClock
from placet.identity import Provider, ProviderSettings, own_person_key, provider_of

from tests.support.oidc_provider import OidcProvider, running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[OidcProvider]:
    with running(OidcProvider(now=lambda: clock.now().timestamp())) as provider:
        yield provider


@pytest.fixture
def settings(server: OidcProvider, tmp_path: Path) -> ProviderSettings:
    return ProviderSettings(
        oidc_issuer=server.issuer,
        oidc_client_id=server.client,
        oidc_person_key=own_person_key(tmp_path / "people.key"),
    )


@pytest.fixture
async def provider(settings: ProviderSettings, clock: ManualClock) -> AsyncIterator[Provider]:
    provider = provider_of(settings, clock)
    assert provider is not None
    yield provider
    await provider.close()
