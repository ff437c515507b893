"""A service says its own events and nobody else's, and says so beforehand."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG, builder

from tests.unit.gateway.harness import Gateway

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")


@pytest.mark.parametrize("service", SERVICES)
def test_every_contract_of_a_service_is_something_it_says(service: str) -> None:
    said = importlib.import_module(f"placet.{service}.subscriptions").SAYS
    declared = {event for event in CATALOG.types if contract_of(event).producer == service}
    assert set(said) == declared


def test_a_service_that_would_say_another_s_events_is_not_put_together(gateway: Gateway) -> None:
    with pytest.raises(TypeError, match=r"gateway cannot say placet\.builder\.image\.built"):
        replace(gateway.service, says=(builder.ImageBuilt,))
