"""Every table of every service is a read model, which can be made anew from events, or says why it is none.

`docs/how-to/rebuild-read-models.md` names the read models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import pytest
import sqlalchemy as sa
from placet.events.mending import read_models
from placet.events.tables import LIBRARY

from tools import workspace

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
PAGE = workspace.ROOT / "docs" / "how-to" / "rebuild-read-models.md"
WORDS, WORK, LOOKS, LOG = "words", "work", "looks", "log"
"""What people gave, or keys of theirs: it is in no event. What is to be done still, or was decided by a clock. What a
look at something outside told. The audit log, and what is made of it by itself."""

NONE: Mapping[str, Mapping[str, str]] = {
    "gateway": {
        WORDS: "sources builders reasons people person_keys names_alike name_digests tokens",
        WORK: "idempotency personal_facts erasures",
    },
    "certifier": {
        WORK: "certificates stands_on watches walked awaited approvals advisories",
    },
    "builder": {WORK: "known_images"},
    "indexer": {LOOKS: "images tags strangers"},
    "deployer": {WORK: "room_taken observed silenced", LOOKS: "signs_of_life"},
    "metadata": {
        LOG: (
            "audit_epochs audit_indexed audit_named audit_revoked_tokens audit_private audit_roles audit_members "
            "audit_tiles audit_checkpoints audit_cosignatures "
            "audit_cosigned_again"
        ),
        LOOKS: "audit_witnesses audit_producers",
        WORK: "webhooks",
    },
}
"""For each service the tables that are no read models of this kind, by what they are."""


def tables(service: str) -> sa.MetaData:
    found: sa.MetaData = import_module(f"placet.{service}.projections").TABLES
    return found


def names(service: str) -> Iterator[str]:
    yield from (table.name for table in read_models((tables(service),)))


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_is_a_read_model_or_says_why_not(service: str) -> None:
    others = [name for kind in NONE[service].values() for name in kind.split()]
    every = sorted(table.name for table in tables(service).sorted_tables)
    assert sorted([*names(service), *others]) == every, "mark it as READ_MODEL, or say here what it is"


def test_the_librarys_own_are_none() -> None:
    assert read_models((LIBRARY,)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_names_every_read_model(service: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (line,) = [each for each in page.splitlines() if each.startswith(f"| {service} |")]
    assert sorted(names(service)) == sorted(part for part in line.split("|")[2].replace("`", "").split())


@pytest.mark.parametrize("service", SERVICES)
def test_what_no_event_tells_is_no_part_of_a_key(service: str) -> None:
    """Or who has it could not be found again."""
    for table in tables(service).sorted_tables:
        untold = [column for column in table.columns if column.info.get("not_told")]
        assert not untold or table.info.get("read_model")
        assert not [column for column in untold if column.primary_key]


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_shown_is_heard_or_said(service: str) -> None:
    """What is neither is not read from the audit log, so nothing would be made of it."""
    edge = import_module(f"placet.{service}.subscriptions")
    shows = set(getattr(edge, "SHOWS", {}))
    assert shows <= {*edge.HEARS, *edge.SAYS}
