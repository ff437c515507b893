"""Every column of every service's tables says what it holds of people: one without a class fails.

`docs/explanation/privacy.md` tells the same in words, and names each column that holds more than opaque ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import pytest
import sqlalchemy as sa
from placet.events.tables import LIBRARY

from tools import workspace

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
PAGE = workspace.ROOT / "docs" / "explanation" / "privacy.md"
SEALED, KEY, DIGEST, DOCUMENT, OPAQUE, NONE = "sealed", "key", "digest", "document", "opaque", "none"
CLASSES = (SEALED, KEY, DIGEST, DOCUMENT, OPAQUE, NONE)
"""Sealed with a person's key; such a key; a digest that takes a key or a guess to read; what a project or policy says
and may name people, and goes with it; opaque ids of people and salted digests, also inside of an event; nothing."""

HOLDS: Mapping[str, Mapping[str, str]] = {
    "gateway.advisories": {
        "none": "digest size submitted_at state decided_at taken advisories packages why fix",
        "opaque": "submitted_by",
    },
    "gateway.approvals": {
        "none": "approval project release binding roles given_at break_glass",
        "opaque": "given_by",
    },
    "gateway.asked_exceptions": {
        "none": "project rule source until exception is_open",
        "opaque": "requested_by",
    },
    "gateway.assessments": {
        "none": "assessment project answered_at answers scored rejected",
        "opaque": "answered answered_by",
    },
    "gateway.awaited": {"none": "project release operation state", "opaque": "awaited"},
    "gateway.builders": {"none": "source", "digest": "alike"},
    "gateway.cards": {"none": "source", "document": "card"},
    "gateway.certificates": {
        "none": (
            "certificate project release image repository envelope not_after renews lapsing standing grounds "
            "warnings revoked_at"
        ),
        "opaque": "revoked_by",
    },
    "gateway.declarations": {"none": "source purpose data"},
    "gateway.demands": {"none": "project release cpu_millis memory_bytes gpus"},
    "gateway.erasures": {"opaque": "person said", "none": "asked_at words erased_at", "digest": "looks"},
    "gateway.exceptions": {
        "none": "exception project rule source until requested_at granted_at withdrawn_at",
        "opaque": "requested_by granted_by withdrawn_by",
    },
    "gateway.histories": {"none": "image project indexed_at live_at tried_at"},
    "gateway.idempotency": {"opaque": "person", "digest": "key request", "none": "operation asked_at"},
    "gateway.images": {"none": "image project repository release source format certificate vanished"},
    "gateway.keys": {"none": "key number public since until why compromised"},
    "gateway.lives": {
        "none": "project release operation live_at tried_at ended_at ended replaced_by why",
    },
    "gateway.models": {
        "none": (
            "project state release image certificate certified_release url endpoints diverged serves replicas "
            "canary canary_certificate aborted request operation"
        ),
    },
    "gateway.name_digests": {"none": "id key"},
    "gateway.names_alike": {"digest": "alike", "opaque": "person"},
    "gateway.observations": {"none": "project observed windows"},
    "gateway.operations": {"none": "id project is_over changes heard_at", "opaque": "operation"},
    "gateway.people": {"opaque": "person", "sealed": "name", "none": "tokens"},
    "gateway.personal_facts": {"none": "digest project named_at"},
    "gateway.holds": {"none": "project hold placed_at", "opaque": "placed_by"},
    "gateway.person_keys": {"opaque": "person", "key": "key"},
    "gateway.policies": {
        "none": (
            "digest policy version supersedes effective_from effective_until warn_until submitted_at state "
            "decided_at number problems"
        ),
        "document": "title owner file",
        "opaque": "submitted_by",
    },
    "gateway.private_projects": {"none": "project"},
    "gateway.project_roles": {"none": "project role granted_at", "opaque": "to granted_by"},
    "gateway.team_members": {"none": "team", "opaque": "person"},
    "gateway.made_teams": {"none": "team"},
    "gateway.quotas": {"none": "scope of cpu_millis memory_bytes gpus models"},
    "gateway.questionnaires": {
        "none": "digest questionnaire version form imported_at",
        "document": "title file document",
        "opaque": "imported_by",
    },
    "gateway.reasons": {"none": "of given_at project", "opaque": "given_by", "sealed": "sealed"},
    "gateway.releases": {"none": "project release access trial"},
    "gateway.reports": {"none": "report project place kind release heard_at", "opaque": "said"},
    "gateway.results": {"none": "source number value", "document": "metric"},
    "gateway.reviews": {
        "none": "certificate project release owed_at review given_at",
        "opaque": "concerned given_by",
    },
    "gateway.revoked_tokens": {"none": "token"},
    "gateway.senders": {"none": "source", "opaque": "person"},
    "gateway.sources": {"none": "source size project files", "sealed": "owner", "digest": "owner_alike"},
    "gateway.teams": {"none": "project team"},
    "gateway.takedowns": {"none": "project why fix rule certificate"},
    "gateway.tokens": {"none": "token roles issued_at expires", "opaque": "person"},
    "certifier.advisories": {"none": "digest compiled"},
    "certifier.approvals": {
        "none": "approval project release binding roles at break_glass",
        "opaque": "given_by",
    },
    "certifier.assessments": {
        "none": "assessment project questionnaire version digest source purpose data answered_at scored",
        "opaque": "answered_by",
    },
    "certifier.awaited": {"none": "project release operation indexed look_at"},
    "certifier.certificates": {
        "none": (
            "certificate project release source not_after edition judge_at turn last_third serves is_reminded"
        ),
    },
    "certifier.exceptions": {"none": "exception project rule source until withdrawn", "opaque": "granted_by"},
    "certifier.policies": {"none": "digest number at warn_until", "document": "file"},
    "certifier.revoked_tokens": {"none": "token"},
    "certifier.questionnaires": {"none": "digest questionnaire version form at"},
    "certifier.reports": {
        "none": "report project release source release_of kind about weight at heard_at size",
        "opaque": "said",
    },
    "certifier.revoked": {"none": "certificate"},
    "certifier.signed": {"none": "certificate key"},
    "certifier.stands_on": {"none": "certificate rule exception"},
    "certifier.walked": {"none": "project release answered_for"},
    "certifier.watches": {"none": "certificate project release source watched turn look_at"},
    "builder.known_images": {"none": "key image repository"},
    "builder.private_projects": {"none": "project"},
    "builder.project_roles": {"none": "project role granted_at", "opaque": "to granted_by"},
    "builder.team_members": {"none": "team", "opaque": "person"},
    "builder.requests": {"none": "project newest stopped deleted"},
    "builder.revoked_tokens": {"opaque": "token"},
    "indexer.grounds": {"none": "image ground"},
    "indexer.images": {
        "none": "repository image project release source correlation announced_at is_there collecting"
    },
    "indexer.revoked_tokens": {"opaque": "token"},
    "indexer.sources": {"none": "source project size asked_at"},
    "indexer.strangers": {"none": "repository image since is_told"},
    "indexer.tags": {"none": "repository tag image"},
    "deployer.holdings": {"none": "project release replicas ready until is_live is_canary is_diverged"},
    "deployer.observed": {"none": "project release watched"},
    "deployer.projects": {"none": "project requests"},
    "deployer.queued": {
        "none": "project request release turn position quota why until replicas correlation is_over",
        "opaque": "asker",
    },
    "deployer.private_projects": {"none": "project"},
    "deployer.project_roles": {"none": "project role granted_at", "opaque": "to granted_by"},
    "deployer.team_members": {"none": "team", "opaque": "person"},
    "deployer.quotas": {"none": "scope of cpu_millis memory_bytes gpus models"},
    "deployer.releases": {
        "none": (
            "project release request correlation command source known_image access resources dockerfile "
            "trial canary certificate image repository envelope not_after grounds"
        ),
        "opaque": "asker",
    },
    "deployer.revoked_tokens": {"opaque": "token"},
    "deployer.room_taken": {"none": "id number"},
    "deployer.signers": {"none": "project release key"},
    "deployer.signs_of_life": {"none": "producer at"},
    "deployer.silenced": {"none": "project release"},
    "deployer.teams": {"none": "project team"},
    "metadata.audit_checkpoints": {"none": "size origin note epoch signed_at"},
    "metadata.audit_cosignatures": {"none": "size witness line"},
    "metadata.audit_cosigned_again": {"none": "witness size line"},
    "metadata.audit_epochs": {"none": "producer epoch began_after"},
    "metadata.audit_indexed": {"none": "generation position type project time"},
    "metadata.audit_members": {"none": "generation team", "opaque": "person"},
    "metadata.audit_named": {"none": "generation position project"},
    "metadata.audit_private": {"none": "generation project"},
    "metadata.audit_roles": {"none": "generation project", "opaque": "to"},
    "metadata.audit_producers": {"none": "producer epoch position chain said_at"},
    "metadata.audit_tiles": {"none": "level number hashes root"},
    "metadata.audit_witnesses": {"none": "name size seen_at asked_at trouble"},
    "metadata.audit_revoked_tokens": {"none": "generation", "opaque": "token"},
    "metadata.webhooks": {
        "none": (
            "webhook type project added_at secret old_secret old_until why position turn failures failing_since "
            "next_at answered_at answer_status trouble answered_position"
        ),
        "document": "url",
        "opaque": "added_by",
    },
    "library.inbox": {
        "none": "producer epoch position routing_key lane state attempts next_at reason received_at",
        "opaque": "raw",
    },
    "library.inbox_cursors": {"none": "producer epoch position"},
    "library.inbox_strays": {"none": "id sender routing_key reason received_at", "opaque": "raw"},
    "library.job_turns": {"none": "kind last", "opaque": "asker"},
    "library.jobs": {
        "none": "kind key attempts next_at reason leased_by leased_until",
        "opaque": "asker context payload",
    },
    "library.leases": {"none": "name owner until"},
    "library.outbox_cursor": {"none": "log position"},
    "library.projection_generations": {"none": "name generation version state position beat_at"},
    "library.recalled": {
        "none": "sequence id causation producer epoch position routing_key lane is_done",
        "opaque": "raw",
    },
    "library.restoring": {"none": "id phase sequence seen"},
}
"""For each table the columns of each class, with blanks between."""


def columns() -> Iterator[str]:
    for service in (*SERVICES, "library"):
        tables: sa.MetaData = (
            LIBRARY if service == "library" else import_module(f"placet.{service}.projections").TABLES
        )
        for table in tables.sorted_tables:
            yield from (f"{service}.{table.name}.{column.name}" for column in table.columns)


def classified() -> Iterator[tuple[str, str]]:
    for table, classes in HOLDS.items():
        for kind, names in classes.items():
            yield from ((f"{table}.{name}", kind) for name in names.split())


def test_every_column_says_what_it_holds_of_people() -> None:
    told = [column for column, _ in classified()]
    assert sorted(told) == sorted(columns()), (
        "give each new column a class, and say in privacy.md what it holds"
    )
    assert {kind for _, kind in classified()} == set(CLASSES)


@pytest.mark.parametrize("kind", [SEALED, KEY, DIGEST, DOCUMENT])
def test_the_page_names_every_column_that_holds_more_than_ids(kind: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = [column for column, of in classified() if of == kind]
    assert named
    assert [column for column in named if f"`{column}`" not in page] == []


def test_what_people_gave_lies_with_the_gateway_alone() -> None:
    assert {column.partition(".")[0] for column, kind in classified() if kind in (SEALED, KEY)} == {"gateway"}


def test_a_column_of_bytes_under_a_persons_key_is_no_text() -> None:
    tables: sa.MetaData = import_module("placet.gateway.projections").TABLES
    for column, kind in classified():
        if kind == SEALED:
            _, table, name = column.split(".")
            assert isinstance(tables.tables[table].c[name].type, sa.LargeBinary), column


def test_names_are_read_in_one_place() -> None:
    """Or somebody who was erased would be told of by a pseudonym here, and not there."""
    gateway = workspace.ROOT / "services" / "gateway" / "src" / "placet" / "gateway"
    readers = {
        file.name for file in gateway.rglob("*.py") if "people.c.name" in file.read_text(encoding="utf-8")
    }
    assert readers == {"people.py"}
