"""Every service has a broker user that may say what is its own, and the six differ in nothing but the name."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.servers.rabbitmq import DEFINITIONS, permissions_of
from tools import workspace

SERVICES = sorted(path.name for path in (workspace.ROOT / "services").iterdir() if path.is_dir())


def test_there_is_one_user_for_each_service_and_none_has_a_password_yet() -> None:
    users = json.loads(DEFINITIONS.read_text())["users"]
    assert sorted(user["name"] for user in users) == SERVICES
    assert {user["password_hash"] for user in users} == {""}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_permissions_of_any_other_in_its_own_name(service: str) -> None:
    assert permissions_of(service) == permissions_of_the_model(service)


def permissions_of_the_model(service: str) -> tuple[dict[str, str], dict[str, str]]:
    """What an unknown service would get."""
    permission, topic = permissions_of("unknown")
    return (
        {key: value.replace("unknown", service) for key, value in permission.items()},
        {key: value.replace("unknown", service) for key, value in topic.items()},
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_say_its_own_events_and_touch_its_own_queue_only(service: str) -> None:
    permission, topic = permissions_of(service)
    others = [other for other in SERVICES if other != service]
    assert re.search(topic["write"], f"{service}.thing.done.wine")
    assert not [other for other in others if re.search(topic["write"], f"{other}.thing.done.wine")]
    for may in ("configure", "write", "read"):
        assert re.search(permission[may], f"placet.{service}")
        assert not [other for other in others if re.search(permission[may], f"placet.{other}")]
    for place in ("", "amq.default", "amq.topic", "placet.events.behind"):
        assert not re.search(permission["write"], place)
