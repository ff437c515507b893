"""Is an assessment still one of this model? Told by what it was made about, what is so now, and when it was made.

It is about a purpose, data and a source, each by its digest: that of the words, so that they can be compared and need
not be told. (Who can guess the words can tell that he guessed right: what a model is for, and what it was made from,
is no secret between those who read the log.) Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from placet.projects.manifest import Governance

Reason = Literal["age", "questionnaire", "purpose", "data", "source"]
REASONS: dict[Reason, str] = {
    "age": "it is older than its questionnaire says that one holds",
    "questionnaire": "there is a newer version of its questionnaire",
    "purpose": "the purpose has changed",
    "data": "the data have changed",
    "source": "the source has changed",
}

DataSet = tuple[str, str, str, bool | None]
"""Name, origin and licence, each empty where it is not said, and whether it is about persons."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an assessment is about; digests."""

    source: str
    purpose: str
    data: str


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """One that was made. `digest` is its questionnaire's. Before it is scored, its level is 0 and the rest unknown."""

    assessment: str
    questionnaire: str
    version: str
    digest: str
    subject: Subject
    answered_at: datetime
    answered_by: str
    valid_days: int = 0
    level: int = 0
    label: str = ""
    score: int = 0
    missing: tuple[str, ...] = ()


def declared(governance: Governance) -> tuple[str, str]:
    """The digests of purpose and data, as a manifest says them."""
    sets = [
        (each.name, each.origin or "", each.licence or "", each.personal_data) for each in governance.data
    ]
    return purpose_digest(governance.purpose or ""), data_digest(sets)


def purpose_digest(purpose: str) -> str:
    return _digest(["purpose", " ".join(purpose.split())])


def data_digest(sets: Iterable[DataSet]) -> str:
    """In whatever order they are named."""
    return _digest(["data", *sorted(msgspec.json.encode(each).decode() for each in sets)])


def age_in_days(answered_at: datetime, now: datetime) -> int:
    """Whole days."""
    return max(0, (now - answered_at) // timedelta(days=1))


def stale(made: Assessment, subject: Subject, *, newest: str | None, now: datetime) -> tuple[Reason, ...]:
    """Why it says nothing of this any more; `newest` is the digest of its questionnaire's newest version."""
    was = made.subject
    is_so: dict[Reason, bool] = {
        "age": age_in_days(made.answered_at, now) > made.valid_days,
        "questionnaire": newest != made.digest,
        "purpose": was.purpose != subject.purpose,
        "data": was.data != subject.data,
        "source": was.source != subject.source,
    }
    return tuple(reason for reason in REASONS if is_so[reason])


def latest(made: Sequence[Assessment], subject: Subject) -> tuple[Assessment, ...]:
    """For each questionnaire the one that counts, by its id: the last of those that are about just this, else about
    the same purpose and data, else the last.

    So nobody can choose among several about the same the one that says least. What is not scored counts if nothing else
    is there.
    """
    by_questionnaire: dict[str, Assessment] = {}
    for each in sorted(made, key=lambda one: _fit(one, subject)):
        by_questionnaire[each.questionnaire] = each
    return tuple(by_questionnaire[id] for id in sorted(by_questionnaire))


def _fit(made: Assessment, subject: Subject) -> tuple[bool, bool, bool, datetime, str]:
    was = made.subject
    same_words = (was.purpose, was.data) == (subject.purpose, subject.data)
    return made.level > 0, was == subject, same_words, made.answered_at, made.assessment


def _digest(parts: Sequence[str]) -> str:
    return f"sha256:{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()}"
